//! The rules of the simulated fleet, and that a run is the same every time.

use super::{
    Seeds,
    files::Image,
    fleet::{Fleet, Placed, Seen},
    known::Known,
    simulate::{self, Policy},
    workload::{Scenario, Workload},
};

const MB: u64 = 1_000_000;

/// Layers of 10, 20, 30 and 40 MB.
fn fleet(hosts: usize, cache_mb: u64) -> Fleet {
    Fleet::new(hosts, 2, cache_mb * MB, 10, vec![10 * MB, 20 * MB, 30 * MB, 40 * MB])
}

fn image(layers: &[u32]) -> Image {
    Image { layers: layers.to_vec(), bytes: layers.iter().map(|&layer| u64::from(layer + 1) * 10 * MB).sum() }
}

fn seen(fleet: &Fleet, image: &Image) -> Vec<Seen> {
    let mut seen = Vec::new();
    fleet.look(image, &mut seen);
    seen
}

#[test]
fn a_link_fetches_first_in_first_out_and_nothing_twice() {
    let mut fleet = fleet(1, 1_000);
    let first = fleet.place(0, &image(&[0, 1]));
    assert_eq!(first, Placed { wait_us: 3_000_000, fetched_bytes: 30 * MB });
    fleet.now_us = 1_000_000;
    let shares = image(&[1, 2]);
    assert_eq!(seen(&fleet, &shares)[0], Seen { missing_bytes: 30 * MB, ready_us: 6_000_000 });
    assert_eq!(fleet.place(0, &shares), Placed { wait_us: 5_000_000, fetched_bytes: 30 * MB });
    fleet.depart(0);
    fleet.now_us = 2_000_000;
    let queued = fleet.place(0, &image(&[0, 1]));
    assert_eq!(queued, Placed { wait_us: 1_000_000, fetched_bytes: 0 }, "what is on its way is only waited for");
}

#[test]
fn the_layer_used_longest_ago_leaves_first() {
    let mut fleet = fleet(1, 60);
    for layers in [&[0, 1][..], &[2], &[0]] {
        fleet.place(0, &image(layers));
        fleet.depart(0);
    }
    assert_eq!(fleet.oldest(0).collect::<Vec<_>>(), [1, 2, 0]);
    fleet.place(0, &image(&[3]));
    assert_eq!(fleet.oldest(0).collect::<Vec<_>>(), [0, 3], "20 and 30 MB leave for 40");
    assert_eq!(fleet.room_bytes(0), 10 * MB);
    assert_eq!([0, 1, 2, 3].map(|layer| fleet.has(0, layer)), [true, false, false, true]);
}

#[test]
fn known_policies_choose_as_they_are_known_to() {
    let mut fleet = fleet(3, 1_000);
    let mut rng = fastrand::Rng::with_seed(1);
    fleet.place(0, &image(&[2, 3]));
    fleet.now_us = 1_000_000;
    let mut choose = |known: Known, image: &Image| known.choose(&fleet, image, &mut rng, &mut Vec::new());
    let whole = image(&[2, 3]);
    assert_ne!(choose(Known::Spread, &whole), Some(0));
    // 70 MB on one of three nodes scale to 23.3 MB: a score of 0, and the empty hosts win.
    assert_ne!(choose(Known::ImageLocality, &whole), Some(0));
    assert_eq!(choose(Known::ImageFirst, &whole), Some(0));
    assert_ne!(choose(Known::ImageFirst, &image(&[2])), Some(1), "layer 2 alone is an image that host 0 has");
    assert_eq!(choose(Known::LayerOverlap, &image(&[1, 2])), Some(0));
    // Behind 6 s of pulls, 20 MB arrive later than 30 MB on an idle host.
    let behind = image(&[0, 1, 2]);
    assert_ne!(choose(Known::EtaGreedy, &behind), Some(0));
}

#[test]
fn image_locality_is_the_formula_of_kubernetes() {
    use super::known::image_locality;
    assert_eq!(image_locality(10_000 * MB, 1, 400), 0, "10 GB on 1 of 400 nodes: 25 MB");
    assert_eq!(image_locality(10_000 * MB, 39, 400), 97);
    assert_eq!(image_locality(10_000 * MB, 40, 400), 100);
    assert_eq!(image_locality(100_000 * MB, 400, 400), 100, "1 GB is as much as counts");
    assert_eq!(image_locality(500 * MB, 200, 200), 48);
}

#[test]
fn a_run_is_the_same_every_time_and_no_policy_oversteps() {
    let images: Vec<Image> = [&[0, 1][..], &[0, 2], &[1, 3], &[0, 3]].map(image).into();
    let apps = vec![vec![(0.0, 0), (0.5, 1)], vec![(0.0, 2)], vec![(0.0, 3), (0.2, 0)]];
    let layer_bytes = vec![10 * MB, 20 * MB, 30 * MB, 40 * MB];
    let scenario = Scenario { images, layer_bytes: layer_bytes.clone(), apps };
    let workload = Workload::new(&scenario, 7, 40, 4, 1_000);
    for (name, policy) in Policy::ALL {
        let fleet = || Fleet::new(20, 2, 70 * MB, 10, layer_bytes.clone());
        let [one, two] = [(), ()].map(|()| simulate::run(policy, &scenario, &workload, fleet(), 7).unwrap());
        assert_eq!(one.waits_us, two.waits_us, "{name}");
        assert!(one.waits_us.len() as u64 + one.refused >= 800 && one.waits_us.len() > 600, "{name}: {}", one.refused);
    }
}

#[test]
fn seeds_are_a_range_or_one() {
    assert_eq!("1..3".parse(), Ok(Seeds { first: 1, last: 3 }));
    assert_eq!("7".parse(), Ok(Seeds { first: 7, last: 7 }));
    for bad in ["", "3..1", "a..2", "0..1000"] {
        assert!(bad.parse::<Seeds>().is_err(), "{bad}");
    }
}
