//! Plans that were proposed and are not yet applied. They take room at once, so that two plans never count on the same.

use gantry_fleet::{Fleet, Host, Usage};
use gantry_types::{DeviceShare, Plan, Shape};
use smallvec::SmallVec;

use crate::Room;

/// What plans in flight take of one host.
#[derive(Clone, Debug, Default)]
struct Pending {
    /// But for the devices.
    usage: Usage,
    /// By index and not by position: the host may be registered anew with other devices before the plans are applied.
    devices: SmallVec<[DeviceShare; 4]>,
    /// Machines an app is getting here.
    apps: SmallVec<[(String, u32); 2]>,
    plans: u32,
}

/// Plans in flight by host. Lost whenever leadership is: then nothing is in flight any more, or may be and will be seen
/// as applied.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// By host number, which are dense.
    hosts: Vec<Option<Box<Pending>>>,
}

impl InFlight {
    pub fn add(&mut self, app: &str, shape: Option<&Shape>, plan: &Plan, volume_bytes: u64) {
        let at = plan.host as usize;
        if self.hosts.len() <= at {
            self.hosts.resize(at + 1, None);
        }
        self.hosts[at].get_or_insert_with(Box::default).add(app, shape, plan, volume_bytes);
    }

    /// Takes back what [`InFlight::add`] added, once the plan is applied or refused.
    pub fn remove(&mut self, app: &str, shape: Option<&Shape>, plan: &Plan, volume_bytes: u64) {
        let Some(slot) = self.hosts.get_mut(plan.host as usize) else { return };
        let Some(pending) = slot else { return };
        pending.remove(app, shape, plan, volume_bytes);
        if pending.plans == 0 {
            *slot = None;
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Looks at a host as it will be once everything in flight is applied. `app_number` is the fleet's number of `app`.
    pub fn with_room<R>(
        &self,
        fleet: &Fleet,
        host: &Host,
        app: &str,
        app_number: Option<u32>,
        look: impl FnOnce(&Room<'_>) -> R,
    ) -> R {
        let applied = app_number.map_or(0, |number| host.machines_of(number));
        let Some(pending) = self.hosts.get(host.id as usize).and_then(Option::as_ref) else {
            return look(&Room { fleet, host, usage: host.usage(), app_machines: applied });
        };
        let mut usage = host.usage().clone();
        usage.add_pools(&pending.usage);
        usage.add_shares(&pending.devices, &host.spec);
        let coming = pending.apps.iter().find(|(name, _)| name == app).map_or(0, |(_, machines)| *machines);
        look(&Room { fleet, host, usage: &usage, app_machines: applied + coming })
    }
}

impl Pending {
    fn add(&mut self, app: &str, shape: Option<&Shape>, plan: &Plan, volume_bytes: u64) {
        self.plans += 1;
        self.usage.volume_bytes += volume_bytes;
        for share in &plan.devices {
            match self.devices.iter_mut().find(|taken| taken.index == share.index) {
                Some(taken) => taken.milli += share.milli,
                None => self.devices.push(*share),
            }
        }
        let Some(shape) = shape else { return };
        self.usage.add_shape(shape);
        match self.apps.iter_mut().find(|(name, _)| name == app) {
            Some((_, machines)) => *machines += 1,
            None => self.apps.push((app.to_owned(), 1)),
        }
    }

    fn remove(&mut self, app: &str, shape: Option<&Shape>, plan: &Plan, volume_bytes: u64) {
        self.plans -= 1;
        self.usage.volume_bytes -= volume_bytes;
        for share in &plan.devices {
            if let Some(at) = self.devices.iter().position(|taken| taken.index == share.index) {
                self.devices[at].milli -= share.milli;
                if self.devices[at].milli == 0 {
                    self.devices.swap_remove(at);
                }
            }
        }
        let Some(shape) = shape else { return };
        self.usage.subtract_shape(shape);
        if let Some(at) = self.apps.iter().position(|(name, _)| name == app) {
            self.apps[at].1 -= 1;
            if self.apps[at].1 == 0 {
                self.apps.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_types::GpuShape;

    use super::*;

    #[test]
    fn what_was_added_and_removed_leaves_nothing() {
        let mut in_flight = InFlight::default();
        let gpu = GpuShape { kinds: Vec::new(), count: 1, milli: 500 };
        let shape = Shape { cpu_milli: 1, memory_bytes: 2, gpu: Some(gpu), ..Shape::default() };
        let plan = |host, index| Plan { host, devices: vec![DeviceShare { index, milli: 500 }] };
        let machines = [("a", plan(3, 0)), ("a", plan(3, 0)), ("b", plan(3, 1)), ("a", plan(5, 0))];
        machines.iter().for_each(|(app, plan)| in_flight.add(app, Some(&shape), plan, 0));
        let volume = Plan { host: 3, devices: Vec::new() };
        in_flight.add("a", None, &volume, 9);

        machines.iter().for_each(|(app, plan)| in_flight.remove(app, Some(&shape), plan, 0));
        let left = in_flight.hosts[3].as_ref().expect("the volume is in flight");
        assert_eq!(left.usage, Usage { volume_bytes: 9, ..Usage::default() });
        assert!(left.devices.is_empty() && left.apps.is_empty() && left.plans == 1);
        in_flight.remove("a", None, &volume, 9);
        assert!(in_flight.hosts.iter().all(Option::is_none));
    }
}
