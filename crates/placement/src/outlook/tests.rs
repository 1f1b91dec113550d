use super::*;

const WHOLE: Demand = Demand { cpu_milli: 12_000, memory_mib: 4_096, devices: 1, milli: 1_000, kinds: 0 };
const HALF: Demand = Demand { cpu_milli: 4_000, memory_mib: 2_048, devices: 1, milli: 500, kinds: 0 };
const EIGHT: Demand = Demand { cpu_milli: 64_000, memory_mib: 65_536, devices: 8, milli: 1_000, kinds: 0 };

fn mix(seen: &[(Demand, u32)]) -> Mix {
    let mut mix = Mix::of_kinds(["common", "rare"]);
    mix.learn(seen.iter().map(|(demand, count)| (demand.clone(), u64::from(*count))).collect());
    mix
}

fn bin(kind: u8, cpu: u32, free: &[u16]) -> Bin {
    Bin::new(cpu * 1_000, 786_432, free.iter().map(|&free_milli| Slot { kind, free_milli }))
}

fn cost(outlook: &mut Outlook, bin: &Bin, demand: &Demand) -> i64 {
    outlook.fit(bin, demand).expect("it fits").cost
}

#[test]
fn a_bin_says_what_fits_and_what_is_left() {
    let host = bin(0, 16, &[1_000, 300, 600]);
    assert!(host.fits(&HALF) && host.fits(&WHOLE) && !host.fits(&EIGHT));
    assert_eq!((host.capacity(&HALF), host.capacity(&WHOLE), host.capacity(&EIGHT)), (3, 1, 0));
    let after = host.taken(&HALF);
    assert_eq!((after, host.free_gpu_milli()), (bin(0, 12, &[100, 300, 1_000]), 1_900));
    let ways: Vec<u16> = host.options(&HALF).into_iter().filter_map(|(slot, _)| Some(slot?.free_milli)).collect();
    assert_eq!(ways, [600, 1_000]);
    assert_eq!(bin(0, 3, &[400]).options(&HALF).len(), 0);
}

#[test]
fn a_share_goes_where_its_counterpart_is() {
    let bins = [bin(0, 96, &[1_000; 8]), bin(0, 92, &[500, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000])];
    let mut outlook = Outlook::new(mix(&[(HALF, 1), (WHOLE, 40)]), bins.iter());
    assert!(cost(&mut outlook, &bins[1], &HALF) < cost(&mut outlook, &bins[0], &HALF));
    assert_eq!(outlook.fit(&bins[1], &HALF).unwrap().device, Some(Slot { kind: 0, free_milli: 500 }));
}

#[test]
fn a_rare_kind_is_kept_for_those_who_need_it() {
    let mix = mix(&[(WHOLE, 90), (Demand { kinds: 0b10, ..WHOLE }, 10)]);
    let mut bins = vec![bin(0, 96, &[1_000; 8]); 20];
    bins.push(bin(1, 96, &[1_000; 8]));
    let mut outlook = Outlook::new(mix, bins.iter());
    assert!(cost(&mut outlook, &bins[20], &WHOLE) > cost(&mut outlook, &bins[0], &WHOLE));
}

#[test]
fn a_host_that_is_whole_is_kept_for_those_who_need_all_of_it() {
    let mix = mix(&[(WHOLE, 90), (EIGHT, 10)]);
    let mut bins = vec![bin(0, 84, &[0, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000]); 20];
    bins.push(bin(0, 96, &[1_000; 8]));
    let mut outlook = Outlook::new(mix, bins.iter());
    assert!(cost(&mut outlook, &bins[20], &WHOLE) > cost(&mut outlook, &bins[0], &WHOLE));
}

#[test]
fn room_that_nobody_can_use_is_counted_as_stranded() {
    // Without CPU for a whole machine, the second GPU is lost to all that is asked for.
    let bins = [bin(0, 24, &[1_000; 2]), bin(0, 20, &[1_000; 2])];
    let outlook = Outlook::new(mix(&[(WHOLE, 10)]), bins.iter());
    let [good, bad] = [&bins[0], &bins[1]].map(|bin| outlook.futures.stranded_milli(bin));
    assert_eq!((good, bad), (0, 1_000));
}

#[test]
fn an_outlook_that_follows_changes_is_one_made_anew() {
    let seen = [(WHOLE, 7), (HALF, 5), (EIGHT, 1), (Demand { kinds: 0b10, ..HALF }, 3)];
    let mut bins = vec![bin(0, 96, &[1_000; 8]), bin(1, 64, &[1_000; 4]), bin(0, 16, &[1_000; 2])];
    let mut following = Outlook::new(mix(&seen), bins.iter());
    for (at, demand) in [(0, &HALF), (1, &WHOLE), (0, &WHOLE), (2, &HALF), (1, &HALF)] {
        let after = bins[at].taken(demand);
        following.changed(&bins[at], &after);
        bins[at] = after;
    }
    following.reprice();
    let mut anew = Outlook::new(mix(&seen), bins.iter());
    for bin in &bins {
        assert_eq!(following.fit(bin, &HALF), anew.fit(bin, &HALF));
    }
}

#[test]
fn nothing_known_is_no_difference() {
    let mut outlook = Outlook::default();
    assert_eq!(cost(&mut outlook, &bin(0, 96, &[1_000; 8]), &WHOLE), 0);
}

#[test]
fn capacities_of_all_demands_are_those_of_each() {
    let seen: Vec<(Demand, u32)> = (1..40)
        .map(|n: u32| {
            let (devices, milli) =
                if n.is_multiple_of(4) { ((n % 9) as u8, 1_000) } else { (1, (n * 37 % 1_000 + 1) as u16) };
            let demand = Demand { cpu_milli: n * 700 % 9_000, memory_mib: n % 5 * 4_096, devices, milli, kinds: 0 };
            (Demand { kinds: u64::from(n % 4), ..demand }, n)
        })
        .collect();
    let mix = mix(&seen);
    for n in 0..60_u16 {
        let slots = (0..n % 9).map(|at| Slot { kind: (at % 2) as u8, free_milli: at.wrapping_mul(n) * 61 % 1_001 });
        let bin = Bin::new(u32::from(n) * 1_500, u32::from(n) * 900, slots);
        for ((demand, _), capacity) in mix.demands().iter().zip(mix.capacities(&bin)) {
            assert_eq!(u32::from(capacity), bin.capacity(demand), "{bin:?} {demand:?}");
            // CPU and memory are rounded in a bin that has taken something.
            let demand = Demand { cpu_milli: 0, memory_mib: 0, ..demand.clone() };
            let (mut left, mut times) = (bin.clone(), 0);
            while demand.devices > 0 && left.fits(&demand) {
                (left, times) = (left.taken(&demand), times + 1);
            }
            assert!(demand.devices > 1 || bin.capacity(&demand) == times, "{bin:?} {demand:?}");
        }
    }
}
