//! How often an app asks for machines, seen from the arrivals alone.

/// Arrivals count half after this time.
const HALF_LIFE_US: u64 = 3_600_000_000;
/// An app is taken to have been watched at least this long, so that one early arrival is not a flood.
const LEAST_WATCHED_US: u64 = 100_000_000;
/// How far a decision looks ahead: about two lives of a machine.
const HORIZON_US: u64 = 1_200_000_000;
const ONE: u64 = 1_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// Both fade with the same half-life, so that their quotient is a rate.
    events_milli: u64,
    watched_us: u64,
    at_us: u64,
    /// Machines of the latest request.
    pub burst: u32,
}

impl Demand {
    pub fn arrived(&mut self, now_us: u64, machines: u32) {
        *self = self.at(now_us);
        self.events_milli += ONE;
        self.burst = machines;
    }

    fn at(self, now_us: u64) -> Self {
        let gone_us = now_us - self.at_us;
        let watched_us = faded(self.watched_us, gone_us) + gone_us;
        Self { events_milli: faded(self.events_milli, gone_us), watched_us, at_us: now_us, burst: self.burst }
    }

    /// The chance that the app asks again within the horizon, in thousandths: n / (1 + n) for n expected requests.
    pub fn chance_milli(&self, now_us: u64) -> u64 {
        let now = self.at(now_us);
        let expected_milli = now.events_milli * HORIZON_US / now.watched_us.max(LEAST_WATCHED_US);
        expected_milli * ONE / (ONE + expected_milli)
    }
}

/// Halves with every half-life; between two halvings on a straight line.
fn faded(value: u64, gone_us: u64) -> u64 {
    let halvings = gone_us / HALF_LIFE_US;
    if halvings >= 63 {
        return 0;
    }
    let (from, to) = (value >> halvings, value >> (halvings + 1));
    from - (from - to) * (gone_us % HALF_LIFE_US / 1_000) / (HALF_LIFE_US / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_halves_with_every_half_life() {
        assert_eq!([0, 1, 2, 64].map(|lives| faded(4_000, lives * HALF_LIFE_US)), [4_000, 2_000, 1_000, 0]);
        assert_eq!(faded(4_000, HALF_LIFE_US / 2), 3_000);
    }

    #[test]
    fn who_asks_often_is_expected_soon() {
        let (mut often, mut once) = (Demand::default(), Demand::default());
        once.arrived(0, 1);
        (0..100).for_each(|n| often.arrived(n * 60_000_000, 1));
        let now_us = 100 * 60_000_000;
        let [often, once] = [often, once].map(|demand| demand.chance_milli(now_us));
        assert!(often > 900 && once < 200, "{often} {once}");
        assert_eq!(Demand::default().chance_milli(now_us), 0);
    }
}
