//! How fast hosts fetch and unpack, learnt from the pulls that their agents report.

use gantry_types::{HostId, HostRates, PullObservation, Refused, STREAMS};
use prost::Message;

use crate::{Change, Fleet, Host, Touched};

/// An observation moves a mean by one part in so many; a young mean by more, as if every observation and what was
/// published counted the same.
const WEIGHT: u32 = 8;
/// What is further from the mean than this factor counts as if it were just as far.
const OUTLIER: u64 = 4;

/// What was measured on one host. Hints: what they move are estimates.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MeasuredRates {
    #[prost(message, optional, tag = "1")]
    pub stream: Option<MeasuredRate>,
    #[prost(message, optional, tag = "2")]
    pub link: Option<MeasuredRate>,
    #[prost(message, optional, tag = "3")]
    pub unpack: Option<MeasuredRate>,
}

/// A mean in which older observations fade.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MeasuredRate {
    #[prost(uint64, tag = "1")]
    pub bytes_per_s: u64,
    /// Counted until they no longer matter.
    #[prost(uint32, tag = "2")]
    pub observations: u32,
}

impl MeasuredRates {
    /// With what was published in place of what was not measured.
    fn or_published(&self) -> HostRates {
        let HostRates { stream_bytes_per_s, link_bytes_per_s, unpack_bytes_per_s } = HostRates::PUBLISHED;
        let rate = |measured: Option<MeasuredRate>, published| measured.map_or(published, |rate| rate.bytes_per_s);
        let stream_bytes_per_s = rate(self.stream, stream_bytes_per_s);
        HostRates {
            stream_bytes_per_s,
            // A link carries at least one flow.
            link_bytes_per_s: rate(self.link, link_bytes_per_s).max(stream_bytes_per_s),
            unpack_bytes_per_s: rate(self.unpack, unpack_bytes_per_s),
        }
    }

    /// A few flows that do not fill the link say how fast one is; more of them, how fast the link is. What is faster than
    /// was thought possible speaks of both.
    fn observe(&mut self, observed: &PullObservation) {
        let known = self.or_published();
        if let Some(all) = observed.fetched_bytes_per_s() {
            let streams = observed.streams.max(1);
            let one = (all / u64::from(streams)).max(1);
            if streams < STREAMS || one > known.stream_bytes_per_s {
                observe(&mut self.stream, known.stream_bytes_per_s, one);
            }
            if streams >= STREAMS || all > known.link_bytes_per_s {
                observe(&mut self.link, known.link_bytes_per_s, all);
            }
        }
        if let Some(unpacked) = observed.unpacked_bytes_per_s() {
            observe(&mut self.unpack, known.unpack_bytes_per_s, unpacked);
        }
    }
}

fn observe(rate: &mut Option<MeasuredRate>, known: u64, seen: u64) {
    let observations = rate.map_or(0, |rate| rate.observations);
    let weight = i128::from((observations + 2).min(WEIGHT));
    let seen = seen.clamp((known / OUTLIER).max(1), known.saturating_mul(OUTLIER));
    let mean = i128::from(known) + (i128::from(seen) - i128::from(known)) / weight;
    let bytes_per_s = u64::try_from(mean).expect("a mean lies between what was known and what was seen");
    *rate = Some(MeasuredRate { bytes_per_s, observations: (observations + 1).min(WEIGHT) });
}

impl Host {
    /// How fast it fetches and unpacks: as measured, or as published where nothing was measured yet.
    pub fn rates(&self) -> HostRates {
        self.measured.as_ref().map_or(HostRates::PUBLISHED, |measured| measured.or_published())
    }

    /// What was measured of [`Host::rates`].
    pub fn measured(&self) -> MeasuredRates {
        self.measured.as_deref().copied().unwrap_or_default()
    }
}

impl Fleet {
    /// Learns from a pull that an agent measured. One that is too small to tell anything changes nothing.
    pub fn observe_pull(&mut self, host: HostId, observed: &PullObservation) -> Result<(), Refused> {
        observed.validate()?;
        let before = self.known_host(host)?.measured();
        let mut measured = before;
        measured.observe(observed);
        if measured != before {
            self.host_mut(host).measured = Some(Box::new(measured));
            self.changes.push(Change::Host(host));
            self.journal.push(Touched { host, layers: true });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    /// A pull of so many flows at so many MB/s, and unpacking at the same rate.
    fn pull(streams: u32, mb_per_s: u64) -> PullObservation {
        let bytes = mb_per_s * 10 * MB;
        PullObservation { fetched_bytes: bytes, fetch_ms: 10_000, streams, unpacked_bytes: bytes, unpack_ms: 10_000 }
    }

    fn after(pulls: impl IntoIterator<Item = PullObservation>) -> [u64; 3] {
        let mut measured = MeasuredRates::default();
        pulls.into_iter().for_each(|pull| measured.observe(&pull));
        let rates = measured.or_published();
        [rates.stream_bytes_per_s, rates.link_bytes_per_s, rates.unpack_bytes_per_s].map(|rate| rate / MB)
    }

    #[test]
    fn what_is_seen_again_and_again_is_believed() {
        assert_eq!(after([]), [74, 247, 73]);
        assert_eq!(after([pull(1, 84)]), [79, 247, 78]);
        assert_eq!(after(vec![pull(1, 100); 40]), [99, 247, 99]);
        assert_eq!(after(vec![pull(6, 30); 40]), [74, 74, 30]);
        // A fast host: two flows already carry more than the link was thought to.
        let fast = after(vec![pull(2, 1_000); 60]);
        assert!(fast[0] > 490 && fast[1] > 990 && fast[2] > 990, "{fast:?}");
    }

    #[test]
    fn an_outlier_moves_little() {
        let usual = vec![pull(4, 250); 20];
        let [_, link, unpack] = after(usual.iter().copied());
        let odd = |odd| after(usual.iter().copied().chain([odd]));
        // Four times as much counts, for an eighth.
        let [_, faster_link, faster_unpack] = odd(pull(4, 1_000_000));
        assert!(faster_link <= link * 11 / 8 + 1 && faster_unpack <= unpack * 11 / 8 + 1);
        let [_, slower_link, slower_unpack] =
            odd(PullObservation { fetch_ms: 86_400_000, unpack_ms: 86_400_000, ..pull(4, 1) });
        assert!(slower_link >= link * 29 / 32 && slower_unpack >= unpack * 29 / 32);
        assert!(faster_link > link && faster_unpack > unpack && slower_link < link && slower_unpack < unpack);
    }

    #[test]
    fn what_is_too_small_says_nothing() {
        let small = PullObservation { fetched_bytes: (1 << 20) - 1, unpacked_bytes: (1 << 20) - 1, ..pull(1, 1) };
        let short = PullObservation { fetch_ms: 19, unpack_ms: 0, ..pull(1, 1) };
        let mut measured = MeasuredRates::default();
        [small, short, PullObservation::default()].iter().for_each(|pull| measured.observe(pull));
        assert_eq!(measured, MeasuredRates::default());
    }
}
