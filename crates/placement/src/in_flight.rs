//! Plans that were proposed and are not yet applied. They take room at once, so that two plans never count on the same.

mod attached;
mod zones;

use gantry_fleet::{Fleet, Host, Journal, Touched, Usage};
use gantry_types::{DeviceShare, Hold, HostId, Party, Plan, VolumeId};
use smallvec::SmallVec;

use crate::{Ask, Room};
use zones::ZoneMachines;

/// What plans in flight take of one host.
#[derive(Clone, Debug, Default)]
struct Pending {
    /// But for the devices.
    usage: Usage,
    /// By index and not by position: the host may be registered anew with other devices before the plans are applied.
    devices: SmallVec<[DeviceShare; 4]>,
    /// Machines an app is getting here.
    apps: Named,
    /// As apps, by the groups that machines name.
    groups: Named,
    /// Machines with an image that are coming here.
    images: Named,
    /// App and name of volumes that are coming here.
    volumes: SmallVec<[(String, String); 1]>,
    /// Volumes that machines which are coming here use.
    attached: SmallVec<[VolumeId; 1]>,
    /// The host's zone as the plans are counted in it; nothing once the host is gone.
    zone: Option<u32>,
    plans: u32,
}

/// Machines by a name that they have.
type Named = SmallVec<[(String, u32); 2]>;

/// Plans in flight by host. Lost whenever leadership is: then nothing is in flight any more, or may be and will be seen
/// as applied.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// By host number, which are dense.
    hosts: Vec<Option<Box<Pending>>>,
    zones: ZoneMachines,
    /// How often images had been recorded in the fleet when hosts were last touched for it.
    images_recorded: u64,
}

impl InFlight {
    /// A plan for a machine, or for a volume: then the ask's shape and image and the plan's devices are what is held.
    pub fn add(&mut self, fleet: &Fleet, ask: &Ask<'_>, plan: &Plan) {
        let at = plan.host as usize;
        if self.hosts.len() <= at {
            self.hosts.resize(at + 1, None);
        }
        let zone = fleet.host(plan.host).map(Host::zone);
        let pending = self.hosts[at].get_or_insert_with(|| Box::new(Pending { zone, ..Pending::default() }));
        pending.add(ask, plan);
        if let Some(zone) = pending.zone.filter(|_| ask.volume.is_none()) {
            parties(ask).for_each(|party| self.zones.add(party, zone, 1));
        }
    }

    /// Takes back what [`InFlight::add`] added, once the plan is applied or refused.
    pub fn remove(&mut self, ask: &Ask<'_>, plan: &Plan) {
        let Some(slot) = self.hosts.get_mut(plan.host as usize) else { return };
        let Some(pending) = slot else { return };
        pending.remove(ask, plan);
        if let Some(zone) = pending.zone.filter(|_| ask.volume.is_none()) {
            parties(ask).for_each(|party| self.zones.subtract(party, zone, 1));
        }
        if pending.plans == 0 {
            *slot = None;
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Counts the plans for a host in the zone that it is in now.
    pub(crate) fn follow(&mut self, fleet: &Fleet, host: HostId) {
        let Some(Some(pending)) = self.hosts.get_mut(host as usize) else { return };
        let zone = fleet.host(host).map(Host::zone);
        let before = std::mem::replace(&mut pending.zone, zone);
        if before == zone {
            return;
        }
        let apps = pending.apps.iter().map(|(app, machines)| (Party::App(app), *machines));
        let groups = pending.groups.iter().map(|(group, machines)| (Party::Group(group), *machines));
        for (party, machines) in apps.chain(groups) {
            before.into_iter().for_each(|zone| self.zones.subtract(party, zone, machines));
            zone.into_iter().for_each(|zone| self.zones.add(party, zone, machines));
        }
    }

    /// As [`InFlight::follow`], for every host that plans are in flight for.
    pub(crate) fn follow_all(&mut self, fleet: &Fleet) {
        (0..self.hosts.len() as HostId).for_each(|host| self.follow(fleet, host));
    }

    fn pending(&self, host: HostId) -> Option<&Pending> {
        self.hosts.get(host as usize)?.as_deref()
    }

    /// References of the images of machines that come to a host.
    pub(crate) fn images_on(&self, host: HostId) -> impl Iterator<Item = &str> {
        self.pending(host).into_iter().flat_map(|pending| &pending.images).map(|(reference, _)| reference.as_str())
    }

    /// App and name of volumes that come to a host.
    pub(crate) fn volumes_on(&self, host: HostId) -> impl Iterator<Item = (&str, &str)> {
        let volumes = self.pending(host).into_iter().flat_map(|pending| &pending.volumes);
        volumes.map(|(app, name)| (app.as_str(), name.as_str()))
    }

    /// Machines of an app or group that come to a host.
    pub(crate) fn machines_on(&self, host: HostId, party: Party<'_>) -> u32 {
        self.pending(host).map_or(0, |pending| match party {
            Party::App(app) => of(&pending.apps, app),
            Party::Group(group) => of(&pending.groups, group),
        })
    }

    /// Machines of an app or group that come to a zone.
    pub(crate) fn machines_in(&self, zone: u32, party: Party<'_>) -> u32 {
        self.zones.of(party, zone)
    }

    /// Touches the hosts that machines with images are coming to, where images were recorded since the last call: what
    /// these hosts cannot evict may be another thing now.
    pub(crate) fn follow_images(&mut self, fleet: &Fleet, journal: &mut Journal) {
        if std::mem::replace(&mut self.images_recorded, fleet.images_recorded()) == fleet.images_recorded() {
            return;
        }
        for (host, pending) in (0..).zip(&self.hosts) {
            if pending.as_ref().is_some_and(|pending| !pending.images.is_empty()) {
                journal.push(Touched { host, layers: false });
            }
        }
    }

    /// Looks at a host as it will be once everything in flight is applied, with what is held for the asking machine given
    /// back. `app_number` is the fleet's number of the asking app.
    pub fn with_room<R>(
        &self,
        fleet: &Fleet,
        host: &Host,
        ask: &Ask<'_>,
        app_number: Option<u32>,
        look: impl FnOnce(&Room<'_>) -> R,
    ) -> R {
        self.with_room_of(fleet, host, (ask.app, ask.uses), app_number, look)
    }

    /// As [`InFlight::with_room`], for nobody in particular.
    pub(crate) fn with_rest<R>(&self, fleet: &Fleet, host: &Host, look: impl FnOnce(&Room<'_>) -> R) -> R {
        self.with_room_of(fleet, host, ("", 0), None, look)
    }

    fn with_room_of<R>(
        &self,
        fleet: &Fleet,
        host: &Host,
        (app, uses): (&str, VolumeId),
        app_number: Option<u32>,
        look: impl FnOnce(&Room<'_>) -> R,
    ) -> R {
        let applied = app_number.map_or(0, |number| host.machines_of(number));
        let Some(pending) = self.pending(host.id) else {
            let hold = fleet.hold_for(app, uses, host.id);
            let (usage, ended) = (host.usage_without(hold), hold.as_slice());
            return look(&Room { fleet, host, usage: &usage, app_machines: applied, in_flight: Some(self), ended });
        };
        let mut usage = host.usage().clone();
        let ended: SmallVec<[&Hold; 2]> = self.holds_ended(fleet, host, app, uses).collect();
        ended.iter().for_each(|hold| usage.subtract_hold(hold, &host.offer));
        usage.add_pools(&pending.usage);
        usage.add_shares(&pending.devices, &host.offer);
        let app_machines = applied + of(&pending.apps, app);
        look(&Room { fleet, host, usage: &usage, app_machines, in_flight: Some(self), ended: &ended })
    }
}

impl Pending {
    fn add(&mut self, ask: &Ask<'_>, plan: &Plan) {
        self.plans += 1;
        if let Some((name, size_bytes)) = ask.volume {
            self.usage.volume_bytes += size_bytes;
            self.volumes.push((ask.app.to_owned(), name.to_owned()));
        } else {
            count(&mut self.apps, ask.app);
            count(&mut self.groups, &ask.constraints.group);
            self.attach(plan.volume_for(ask.constraints));
        }
        for share in &plan.devices {
            match self.devices.iter_mut().find(|taken| taken.index == share.index) {
                Some(taken) => taken.milli += share.milli,
                None => self.devices.push(*share),
            }
        }
        ask.shape.into_iter().for_each(|shape| self.usage.add_shape(shape));
        count(&mut self.images, ask.image_name);
    }

    fn remove(&mut self, ask: &Ask<'_>, plan: &Plan) {
        self.plans -= 1;
        if let Some((name, size_bytes)) = ask.volume {
            self.usage.volume_bytes -= size_bytes;
            let at = self.volumes.iter().position(|volume| volume.0 == ask.app && volume.1 == name);
            at.into_iter().for_each(|at| drop(self.volumes.swap_remove(at)));
        } else {
            discount(&mut self.apps, ask.app);
            discount(&mut self.groups, &ask.constraints.group);
            self.detach(plan.volume_for(ask.constraints));
        }
        for share in &plan.devices {
            if let Some(at) = self.devices.iter().position(|taken| taken.index == share.index) {
                self.devices[at].milli -= share.milli;
                if self.devices[at].milli == 0 {
                    self.devices.swap_remove(at);
                }
            }
        }
        ask.shape.into_iter().for_each(|shape| self.usage.subtract_shape(shape));
        discount(&mut self.images, ask.image_name);
    }
}

/// The app, and the group if there is one.
fn parties<'a>(ask: &Ask<'a>) -> impl Iterator<Item = Party<'a>> {
    let group = Some(ask.constraints.group.as_str()).filter(|group| !group.is_empty());
    std::iter::once(Party::App(ask.app)).chain(group.map(Party::Group))
}

fn of(named: &Named, name: &str) -> u32 {
    named.iter().find(|(known, _)| known == name).map_or(0, |(_, machines)| *machines)
}

/// Machines without a name are not counted.
fn count(named: &mut Named, name: &str) {
    match named.iter_mut().find(|(known, _)| known == name) {
        Some((_, machines)) => *machines += 1,
        None if name.is_empty() => {}
        None => named.push((name.to_owned(), 1)),
    }
}

fn discount(named: &mut Named, name: &str) {
    if let Some(at) = named.iter().position(|(known, _)| known == name) {
        named[at].1 -= 1;
        if named[at].1 == 0 {
            named.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_types::{GpuShape, PlaceRequest, Shape, VolumeRequest};

    use super::*;

    #[test]
    fn what_was_added_and_removed_leaves_nothing() {
        let (mut in_flight, fleet) = (InFlight::default(), Fleet::default());
        let gpu = GpuShape { kinds: Vec::new(), count: 1, milli: 500, ..GpuShape::default() };
        let shape = Shape { cpu_milli: 1, memory_bytes: 2, gpu: Some(gpu), ..Shape::default() };
        let request = |app: &str| PlaceRequest {
            app: app.to_owned(),
            image: "image".to_owned(),
            shape: shape.clone(),
            ..PlaceRequest::default()
        };
        let plan = |host, index| Plan { host, devices: vec![DeviceShare { index, milli: 500 }], ..Plan::default() };
        let machines = [("a", plan(3, 0)), ("a", plan(3, 0)), ("b", plan(3, 1)), ("a", plan(5, 0))];
        for (app, plan) in &machines {
            in_flight.add(&fleet, &Ask::machine_without_image(&request(app)), plan);
        }
        let on_three = in_flight.hosts[3].as_ref().expect("three machines are in flight");
        assert_eq!((of(&on_three.apps, "a"), of(&on_three.images, "image")), (2, 3));
        let volume = Plan { host: 3, ..Plan::default() };
        let create = VolumeRequest { app: "a".to_owned(), size_bytes: 9, ..VolumeRequest::default() };
        in_flight.add(&fleet, &Ask::volume_without_image(&create), &volume);

        for (app, plan) in &machines {
            in_flight.remove(&Ask::machine_without_image(&request(app)), plan);
        }
        let left = in_flight.hosts[3].as_ref().expect("the volume is in flight");
        assert_eq!(left.usage, Usage { volume_bytes: 9, ..Usage::default() });
        assert!(left.devices.is_empty() && left.apps.is_empty() && left.images.is_empty() && left.plans == 1);
        in_flight.remove(&Ask::volume_without_image(&create), &volume);
        assert!(in_flight.hosts.iter().all(Option::is_none));
    }
}
