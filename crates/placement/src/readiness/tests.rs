//! The model by itself: worked examples, and what must hold for any image, link and rates.

use gantry_types::HostRates;
use proptest::{collection::vec, option, prelude::*};

use super::{
    Estimate, Paces, STREAMS, at_best_us,
    link::Link,
    run::{Coming, Need, run},
};

const MB: u64 = 1_000_000;
const UNLIMITED: u64 = u64::MAX;

fn paces(stream: u64, link: u64, unpack: u64) -> Paces {
    Paces::of(&HostRates { stream_bytes_per_s: stream, link_bytes_per_s: link, unpack_bytes_per_s: unpack })
}

/// How far a layer is: a nearer state is the larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Missing,
    Blob,
    Unpacked,
}

fn layer(size_bytes: u64, held: Held) -> Need {
    let (is_there, is_unpacked) = (held >= Held::Blob, held == Held::Unpacked);
    Need { layer: 0, size_bytes, is_there, is_unpacked, coming: None }
}

/// One of which another compression of the same content is unpacked.
fn twin(size_bytes: u64) -> Need {
    Need { is_unpacked: true, ..layer(size_bytes, Held::Missing) }
}

fn coming(size_bytes: u64, fetched_us: u64, unpacked_us: Option<u64>) -> Need {
    Need { coming: Some(Coming { fetched_us, unpacked_us }), ..layer(size_bytes, Held::Missing) }
}

fn of(link: &Link, chain: &[Need]) -> Estimate {
    run(&mut link.clone(), 0, chain.iter().copied(), |_| {})
}

fn ready_us(paces: Paces, chain: &[Need]) -> u64 {
    of(&Link::new(paces), chain).ready_us
}

#[test]
fn one_queue_is_the_bytes_up_to_the_last_layer_over_the_rate() {
    let paces = paces(7 * MB, 7 * MB, UNLIMITED);
    let mut link = Link::new(paces);
    let queued = [3 * MB, 5, 11 * MB + 1, 0, 123_456_789].map(|bytes| link.fetch(0, bytes));
    assert_eq!(queued[4], paces.link.us(14 * MB + 6 + 123_456_789));
    let image = [layer(29 * MB + 1, Held::Missing), layer(1, Held::Missing), layer(600 * MB + 3, Held::Missing)];
    let bytes = 14 * MB + 6 + 123_456_789 + 629 * MB + 5;
    assert_eq!(of(&link, &image).ready_us, paces.link.us(bytes));
    assert_eq!(paces.link.us(bytes), (bytes * 1_000_000).div_ceil(7 * MB));
}

/// One layer at 74 MB/s, four together at 247 MB/s, as published.
#[test]
fn flows_run_beside_each_other_until_they_fill_the_link() {
    let paces = paces(74 * MB, 247 * MB, UNLIMITED);
    let one = layer(740 * MB, Held::Missing);
    assert_eq!(ready_us(paces, &[one]), 10_000_000);
    assert_eq!(ready_us(paces, &[one; 3]), 10_000_000);
    // 2,960 MB over 247 MB/s.
    assert_eq!(ready_us(paces, &[one; 4]), 11_983_806);
    // The fifth waits for a place, and is one flow then.
    assert_eq!(ready_us(paces, &[one; 5]), 20_000_000);
}

/// The 2.65 GB layer of `nvidia/cuda` was there after 30.0 s and unpacked 36.4 s later.
#[test]
fn a_layer_unpacks_once_it_is_there_and_the_one_below_it_is_unpacked() {
    let paces = paces(10 * MB, 100 * MB, 5 * MB);
    let (small, large) = (layer(10 * MB, Held::Missing), layer(100 * MB, Held::Missing));
    // There after 10 s, unpacked 20 s later.
    assert_eq!(ready_us(paces, &[large]), 30_000_000);
    // The small one is unpacked before the large one is there.
    assert_eq!(ready_us(paces, &[small, large]), 30_000_000);
    // The small one waits for the large one.
    assert_eq!(ready_us(paces, &[large, small]), 32_000_000);
    let cuda = ready_us(Paces::of(&HostRates::PUBLISHED), &[layer(2_650 * MB, Held::Blob)]);
    assert_eq!(cuda / 100_000, 363);
}

#[test]
fn a_layer_is_unpacked_only_where_the_chain_below_it_is() {
    let paces = paces(10 * MB, 10 * MB, 10 * MB);
    let unpacked = layer(10 * MB, Held::Unpacked);
    let chain = [unpacked, unpacked, layer(20 * MB, Held::Missing)];
    let expected = Estimate { ready_us: 4_000_000, fetch_bytes: 20 * MB, unpack_bytes: 20 * MB };
    assert_eq!(of(&Link::new(paces), &chain), expected);
    // The same layers in another order: what lies above the missing one is a blob.
    let chain = [layer(20 * MB, Held::Missing), unpacked, unpacked];
    let expected = Estimate { ready_us: 6_000_000, fetch_bytes: 20 * MB, unpack_bytes: 40 * MB };
    assert_eq!(of(&Link::new(paces), &chain), expected);
    assert_eq!(of(&Link::new(paces), &[unpacked; 9]), Estimate::default());
    // Content that is unpacked does not stand in for a blob.
    assert_eq!(of(&Link::new(paces), &[unpacked, twin(10 * MB), unpacked]), Estimate::default());
    let chain = [layer(20 * MB, Held::Missing), twin(10 * MB)];
    let expected = Estimate { ready_us: 5_000_000, fetch_bytes: 30 * MB, unpack_bytes: 30 * MB };
    assert_eq!(of(&Link::new(paces), &chain), expected);
}

#[test]
fn what_somebody_else_fetches_and_unpacks_is_not_done_again() {
    let paces = paces(10 * MB, 10 * MB, 10 * MB);
    let link = Link::new(paces);
    let both = [coming(10 * MB, 1_000_000, Some(2_000_000)), coming(10 * MB, 2_000_000, Some(3_000_000))];
    assert_eq!(of(&link, &both), Estimate { ready_us: 3_000_000, fetch_bytes: 0, unpack_bytes: 0 });
    // The fetch counts, and the unpacking of another chain does not.
    let chain = [layer(10 * MB, Held::Missing), both[1]];
    let expected = Estimate { ready_us: 3_000_000, fetch_bytes: 10 * MB, unpack_bytes: 20 * MB };
    assert_eq!(of(&link, &chain), expected);
    // Nobody waits for somebody who is slower.
    let slow = coming(10 * MB, 1_000_000, Some(60_000_000));
    assert_eq!(of(&link, &[slow]).ready_us, 2_000_000);
}

#[test]
fn nothing_takes_time_without_limits() {
    let unlimited = paces(UNLIMITED, UNLIMITED, UNLIMITED);
    assert_eq!(unlimited, Paces::default());
    let image = [layer(1 << 44, Held::Missing), layer(1 << 44, Held::Blob)];
    assert_eq!(ready_us(unlimited, &image), 0);
}

#[test]
fn the_largest_images_at_the_slowest_rates_do_not_overflow() {
    let image = vec![layer(1 << 44, Held::Missing); 1_024];
    assert_eq!(ready_us(paces(1, 1, 1), &image), u64::MAX);
}

#[derive(Clone, Debug)]
struct Case {
    rates: [u64; 3],
    queue: Vec<(u64, u64)>,
    chain: Vec<Need>,
}

fn rate() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1..2_000u64, 1 => Just(UNLIMITED)]
}

/// Small numbers, so that what happens at the same microsecond happens often.
fn case() -> impl Strategy<Value = Case> {
    let somebody = (0..4_000_000u64, option::of(0..6_000_000u64)).prop_map(|(fetched_us, unpacked_us)| Coming {
        fetched_us,
        unpacked_us: unpacked_us.map(|after_us| fetched_us + after_us),
    });
    let need = (0..4_000u64, any::<(bool, bool)>(), option::weighted(0.3, somebody)).prop_map(
        |(size_bytes, (is_there, is_unpacked), coming)| Need { layer: 0, size_bytes, is_there, is_unpacked, coming },
    );
    let queue = vec((0..3_000_000u64, 0..4_000u64), 0..8);
    ([rate(), rate(), rate()], queue, vec(need, 0..10)).prop_map(|(rates, queue, chain)| Case { rates, queue, chain })
}

impl Case {
    fn paces(&self) -> Paces {
        let [stream, link, unpack] = self.rates;
        paces(stream, link, unpack)
    }

    fn estimate(&self) -> Estimate {
        let mut link = Link::new(self.paces());
        self.queue.iter().for_each(|&(at_us, bytes)| _ = link.fetch(at_us, bytes));
        of(&link, &self.chain)
    }
}

/// Something that brings an image nearer.
#[derive(Clone, Debug)]
enum Nearer {
    Rate(usize, u64),
    /// A layer in a nearer state.
    State(usize, bool, bool),
    /// Somebody else does something of a layer, or does it sooner.
    Sooner(usize, u64, u64),
    /// A layer of fewer bytes.
    Smaller(usize, u64),
    Shorter(usize, u64),
    Gone(usize),
}

fn nearer() -> impl Strategy<Value = Nearer> {
    let pick = || 0..64usize;
    prop_oneof![
        (0..3usize, rate()).prop_map(|(which, rate)| Nearer::Rate(which, rate)),
        (pick(), any::<(bool, bool)>()).prop_map(|(at, (there, unpacked))| Nearer::State(at, there, unpacked)),
        (pick(), 0..4_000_000u64, 0..4_000_000u64).prop_map(|(at, by, more)| Nearer::Sooner(at, by, more)),
        (pick(), 0..4_000u64).prop_map(|(at, by)| Nearer::Smaller(at, by)),
        (pick(), 0..4_000u64).prop_map(|(at, by)| Nearer::Shorter(at, by)),
        pick().prop_map(Nearer::Gone),
    ]
}

impl Nearer {
    fn apply(&self, case: &mut Case) {
        let (layers, queued) = (case.chain.len().max(1), case.queue.len().max(1));
        match *self {
            Self::Rate(which, rate) => case.rates[which] = case.rates[which].max(rate),
            Self::State(at, is_there, is_unpacked) => {
                case.chain.get_mut(at % layers).into_iter().for_each(|need| {
                    need.is_there |= is_there;
                    need.is_unpacked |= is_unpacked;
                });
            }
            Self::Sooner(at, by, more) => {
                case.chain.get_mut(at % layers).and_then(|need| need.coming.as_mut()).into_iter().for_each(|coming| {
                    coming.fetched_us = coming.fetched_us.saturating_sub(by);
                    let unpacked_us = coming.unpacked_us.unwrap_or(10_000_000);
                    coming.unpacked_us = Some(unpacked_us.saturating_sub(more));
                });
            }
            Self::Smaller(at, by) => {
                case.chain.get_mut(at % layers).into_iter().for_each(|need| {
                    need.size_bytes = need.size_bytes.saturating_sub(by);
                });
            }
            Self::Shorter(at, by) => {
                case.queue.get_mut(at % queued).into_iter().for_each(|queued| queued.1 = queued.1.saturating_sub(by));
            }
            Self::Gone(at) if !case.queue.is_empty() => drop(case.queue.remove(at % queued)),
            Self::Gone(_) => {}
        }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x7265_6164),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn what_brings_an_image_nearer_never_makes_it_ready_later(case in case(), nearer in vec(nearer(), 1..4)) {
        let before = case.estimate();
        let mut after = case.clone();
        nearer.iter().for_each(|nearer| nearer.apply(&mut after));
        let ready_us = after.estimate().ready_us;
        prop_assert!(ready_us <= before.ready_us, "{} became {ready_us} in {after:?}", before.ready_us);
    }

    #[test]
    fn no_estimate_is_below_the_bound(case in case()) {
        let estimate = case.estimate();
        let bound = at_best_us(estimate.fetch_bytes, &case.paces());
        prop_assert!(bound <= estimate.ready_us, "{estimate:?} is below {bound}");
        let bound = at_best_us(estimate.fetch_bytes, &case.paces().faster(&paces(1_000, 1_000, 1_000)));
        prop_assert!(bound <= estimate.ready_us, "{estimate:?} is below {bound} for faster hosts");
    }

    /// Where flows neither wait nor fill the link, each is as fast as it can be, and the last decides.
    #[test]
    fn a_few_flows_on_a_wide_link_do_not_meet(sizes in vec(1..1_000_000u64, 1..=STREAMS)) {
        let paces = paces(1_000, UNLIMITED, UNLIMITED);
        let chain: Vec<Need> = sizes.iter().map(|&bytes| layer(bytes, Held::Missing)).collect();
        let largest = sizes.into_iter().max().unwrap_or_default();
        prop_assert_eq!(ready_us(paces, &chain), paces.stream.us(largest));
    }
}
