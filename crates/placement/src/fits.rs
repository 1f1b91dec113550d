//! How many more machines like the asked one fit.

use std::collections::BTreeMap;

use gantry_fleet::{Fleet, Host};
use gantry_types::{Plan, Scope, Shape, limits};

use crate::{
    Ask, InFlight, Room, choose_devices, constraint::first_refusal, devices::fitting, plan_on, volumes::admitted,
};

/// Machines counted on one host; there may be more.
pub const FITS_PER_HOST: u32 = 1_000;
/// Machines counted one by one over the whole fleet, which is done where those on one host leave less room on others.
pub const FITS_ONE_BY_ONE: u32 = 20_000;

/// Room for machines of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fits {
    pub total: FitsIn,
    /// By the names of the regions; those without room are left out.
    pub regions: BTreeMap<String, FitsIn>,
    /// Counting was stopped at a bound, so there may be more.
    pub at_least: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FitsIn {
    pub machines: u64,
    /// Hosts that would take the first of them.
    pub hosts: u64,
}

/// Counts the machines that would find room one after the other, every one of them as much asked for as the first. A
/// machine with a volume is one. As hosts take machines of one kind in any order to the same end, the count is exact
/// wherever it does not say that it is at least so many.
pub fn fits(fleet: &Fleet, ask: &Ask<'_>) -> Fits {
    let mut count = Count { fleet, ask, app_number: fleet.app_number(ask.app), taken: InFlight::default() };
    let (is_shared, nothing) = (shares_zones(ask), InFlight::default());
    let mut fits = Fits::default();
    for host in fleet.hosts() {
        let Some(plan) = count.plan(host, &nothing) else { continue };
        let at_most = match fits.total.machines {
            _ if ask.constraints.volume != 0 => 1,
            counted if is_shared => FITS_PER_HOST.min(FITS_ONE_BY_ONE.saturating_sub(counted as u32)),
            _ => FITS_PER_HOST,
        };
        // Machines that take any volume of a name have as many there as are free.
        let one_by_one = is_shared || ask.is_by_name();
        let machines = if one_by_one { count.one_by_one(host, at_most) } else { count.at_once(host, &plan, at_most) };
        fits.at_least |= machines == at_most && ask.constraints.volume == 0;
        fits.total.add(machines);
        fits.regions.entry(host.spec.region.clone()).or_default().add(machines);
    }
    fits
}

/// Whether a machine on one host can keep the next from another host of the zone.
fn shares_zones(ask: &Ask<'_>) -> bool {
    let mut apart = ask.constraints.anti_affinity.iter();
    ask.constraints.max_per_zone > 0 || apart.any(|affinity| affinity.scope() == Scope::Zone)
}

impl FitsIn {
    fn add(&mut self, machines: u32) {
        self.machines += u64::from(machines);
        self.hosts += 1;
    }
}

struct Count<'a> {
    fleet: &'a Fleet,
    ask: &'a Ask<'a>,
    app_number: Option<u32>,
    /// Room that machines counted before take.
    taken: InFlight,
}

impl Count<'_> {
    /// Puts machines on a host and leaves them there.
    fn one_by_one(&mut self, host: &Host, at_most: u32) -> u32 {
        let mut machines = 0;
        while machines < at_most {
            let Some(plan) = self.plan(host, &self.taken) else { break };
            self.taken.add(self.fleet, self.ask, &plan);
            machines += 1;
        }
        machines
    }

    /// Puts one machine on a host, looks how many more there could be, and takes it away again.
    fn at_once(&mut self, host: &Host, plan: &Plan, at_most: u32) -> u32 {
        self.taken.add(self.fleet, self.ask, plan);
        let more =
            self.taken.with_room(self.fleet, host, self.ask, self.app_number, |room| more(self.ask, room, at_most - 1));
        self.taken.remove(self.ask, plan);
        1 + more
    }

    /// One machine on a host beside what is taken, if it fits.
    fn plan(&self, host: &Host, taken: &InFlight) -> Option<Plan> {
        admitted(self.fleet, taken, self.ask, self.app_number, host).ok()?;
        plan_on(self.fleet, taken, self.ask, host.id, None)
    }
}

/// How many more fit on a host that already has one of them. What constraints say of others than the asking app was said
/// of the second machine; from then on only amounts and counts change, and once there is no room there is none for more.
/// GPUs are apart, because several have to be chosen one machine after the other, and nothing else depends on which.
fn more(ask: &Ask<'_>, room: &Room<'_>, at_most: u32) -> u32 {
    let Some(shape) = ask.shape else { return 0 };
    let plain = Shape { gpu: None, ..shape.clone() };
    let but_gpu = Ask { shape: Some(&plain), ..*ask };
    let pools = largest(at_most, |machines| fits_beside(&but_gpu, room, machines - 1));
    let Some(gpu) = &shape.gpu else { return pools };
    if gpu.count == 1 {
        // No device says anything of another.
        let on_devices: u32 = fitting(gpu, room).map(|(free_milli, _)| free_milli / gpu.milli).sum();
        return pools.min(on_devices);
    }
    let mut usage = room.usage.clone();
    for machines in 0..pools {
        let Some(devices) = choose_devices(gpu, &Room { usage: &usage, ..*room }, None) else { return machines };
        usage.add_shares(&devices, &room.host.offer);
    }
    pools
}

/// Whether one more machine fits beside so many more.
fn fits_beside(ask: &Ask<'_>, room: &Room<'_>, machines: u32) -> bool {
    let Some(shape) = ask.shape else { return false };
    let mut usage = room.usage.clone();
    usage.add_shape(&Shape {
        cpu_milli: shape.cpu_milli.saturating_mul(machines.into()),
        // More than this no host has, and the sum with what is used stays far from overflow.
        memory_bytes: shape.memory_bytes.saturating_mul(machines.into()).min(limits::SIZE_BYTES + 1),
        ..shape.clone()
    });
    let app_machines = room.app_machines + machines;
    first_refusal(ask, &Room { usage: &usage, app_machines, ..*room }).is_none()
}

/// The largest number up to `at_most` of which `holds` is true, where it is true of all up to some number and of none
/// above; 0 where it is true of none. Numbers are tried from 1 on, twice as large each time.
fn largest(at_most: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut good, mut step) = (0, 1);
    while good < at_most {
        let next = (good + step).min(at_most);
        if !holds(next) {
            break;
        }
        (good, step) = (next, step * 2);
    }
    let mut bad = (good + step).min(at_most + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) { good = middle } else { bad = middle }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_is_found_wherever_it_is() {
        for at_most in 0..40 {
            for limit in 0..45 {
                let largest = largest(at_most, |number| {
                    assert!((1..=at_most).contains(&number), "{number} of {at_most}");
                    number <= limit
                });
                assert_eq!(largest, limit.min(at_most));
            }
        }
    }
}
