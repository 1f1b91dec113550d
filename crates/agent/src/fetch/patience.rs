//! How often something that breaks is tried again, and after which pause.

use std::time::Duration;

use super::error::FetchError;

/// Tries in a row that get nowhere.
const TRIES: u32 = 6;
/// A try that brought so many bytes got somewhere: a layer of 100 GB may see a few broken connections.
const SOMEWHERE: u64 = 16 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause, also where a registry asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Patience {
    failed: u32,
    best: u64,
    /// Which place is asked: a mirror, and then the registry.
    pub place: usize,
    places: usize,
}

impl Patience {
    pub(super) fn new(places: usize) -> Self {
        Self { failed: 0, best: 0, place: 0, places }
    }

    /// After a try that left `fetched` bytes: the pause before the next one; nothing where it is given up.
    pub(super) fn after(&mut self, error: &FetchError, fetched: u64) -> Option<Duration> {
        if error.is_of_one_place() && self.place + 1 < self.places {
            self.place += 1;
            return Some(Duration::ZERO);
        }
        let wanted = error.again_after()?;
        if fetched >= self.best + SOMEWHERE {
            (self.failed, self.best) = (0, fetched);
        }
        self.failed += 1;
        let own = FIRST_PAUSE * 2_u32.pow(self.failed);
        (self.failed < TRIES).then(|| own.mul_f64(0.5 + fastrand::f64() / 2.0).max(wanted).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use gantry_oci::ResolveError;
    use gantry_types::Digest;

    use super::*;

    fn broken() -> FetchError {
        ResolveError::Unreachable { at: "x".to_owned(), why: "it broke off".to_owned() }.into()
    }

    #[test]
    fn tries_that_get_nowhere_are_few_and_those_that_do_start_anew() {
        let mut patience = Patience::new(1);
        let tries = (0..20).take_while(|_| patience.after(&broken(), 0).is_some()).count();
        assert_eq!(tries, TRIES as usize - 1);
        let mut patience = Patience::new(1);
        assert!((1..100).all(|n| patience.after(&broken(), n * SOMEWHERE).is_some()));
    }

    #[test]
    fn a_pause_is_as_long_as_the_registry_wants_within_reason() {
        let busy = |seconds| ResolveError::Busy { at: "x".to_owned(), pause: Duration::from_secs(seconds) }.into();
        assert_eq!(Patience::new(1).after(&busy(30), 0), Some(Duration::from_secs(30)));
        assert_eq!(Patience::new(1).after(&busy(9_999), 0), Some(LONGEST_PAUSE));
    }

    #[test]
    fn a_mirror_that_lies_is_passed_over_and_a_registry_that_does_is_not_believed_twice() {
        let lie = FetchError::WrongBytes { wanted: Digest([1; 32]), found: Digest([2; 32]) };
        let mut patience = Patience::new(2);
        assert_eq!((patience.after(&lie, 0), patience.place), (Some(Duration::ZERO), 1));
        assert_eq!(patience.after(&lie, 0), None);
    }
}
