//! Machines that use a volume: what they get on its host, and which of an app's volumes where any of a name will do.

use std::collections::{BTreeSet, BinaryHeap};

use gantry_fleet::{Fleet, Host};
use gantry_types::{HostId, Plan, Volume, VolumeId};

use crate::{Ask, InFlight, Ranked, choose_devices, constraint::first_refusal, devices::choose_held, refusal::Refusal};

/// The plan that a host is given, if it is feasible: the volume where any of a name will do, and the devices, which are
/// those that are held for the machine where these are enough.
/// `free_milli` is as for [`choose_devices`].
pub fn plan_on(
    fleet: &Fleet,
    in_flight: &InFlight,
    ask: &Ask<'_>,
    host: HostId,
    free_milli: Option<u32>,
) -> Option<Plan> {
    let host = fleet.host(host)?;
    let mut plan = Plan { host: host.id, ..Plan::default() };
    let mut ask = *ask;
    if ask.is_by_name() {
        ask = with_its_volume(fleet, in_flight, &ask, host);
        admitted(fleet, in_flight, &ask, fleet.app_number(ask.app), host).ok()?;
        plan.volume = ask.uses;
    }
    if let Some(gpu) = ask.shape.and_then(|shape| shape.gpu.as_ref()) {
        let hold = fleet.hold_for(ask.app, ask.uses, host.id);
        plan.devices = in_flight.with_room(fleet, host, &ask, None, |room| {
            let held = hold.and_then(|hold| choose_held(gpu, room, &hold.devices));
            held.or_else(|| choose_devices(gpu, room, free_milli))
        })?;
    }
    Some(plan)
}

/// Which constraint refuses a host first, if one does. Where any volume of a name will do, it is asked with the one that a
/// machine would get there.
pub(crate) fn admitted(
    fleet: &Fleet,
    in_flight: &InFlight,
    ask: &Ask<'_>,
    app_number: Option<u32>,
    host: &Host,
) -> Result<(), Refusal> {
    if ask.is_by_name() {
        let with = |ask: &Ask<'_>| admitted(fleet, in_flight, ask, app_number, host);
        if let Some((_, admitted)) = with_a_volume(fleet, in_flight, ask, host, with) {
            return admitted;
        }
    }
    in_flight.with_room(fleet, host, ask, app_number, |room| match first_refusal(ask, room) {
        None => Ok(()),
        Some((constraint, no)) => Err(Refusal { constraint, shortfall: no.shortfall }),
    })
}

/// The ask with the volume that a machine would get on a host, where any of a name will do and one is there.
pub(crate) fn with_its_volume<'a>(fleet: &Fleet, in_flight: &InFlight, ask: &Ask<'a>, host: &Host) -> Ask<'a> {
    let app_number = fleet.app_number(ask.app);
    let with = |ask: &Ask<'_>| admitted(fleet, in_flight, ask, app_number, host);
    let found = ask.is_by_name().then(|| with_a_volume(fleet, in_flight, ask, host, with)).flatten();
    found.map_or(*ask, |(volume, _)| ask.using(volume))
}

/// The unattached volumes of a host that the ask's name means.
pub(crate) fn candidates<'f>(fleet: &'f Fleet, host: &'f Host, ask: &Ask<'_>) -> impl Iterator<Item = &'f Volume> {
    let (app, name) = (ask.app, ask.constraints.volume_name.as_str());
    let here = host.volumes().iter().filter_map(|&id| fleet.volume(id));
    here.map(|volume| &**volume).filter(move |v| v.app == app && v.name == name && v.used_by == 0)
}

/// The volume of a host that a machine gets, and what comes of it: the first with which it fits, or else the first. What
/// is held for such a machine goes first, then the lowest number. Nothing where the host has no volume for it.
pub(crate) fn with_a_volume<T, E>(
    fleet: &Fleet,
    in_flight: &InFlight,
    ask: &Ask<'_>,
    host: &Host,
    mut with: impl FnMut(&Ask<'_>) -> Result<T, E>,
) -> Option<(VolumeId, Result<T, E>)> {
    let attached = in_flight.attached_on(host.id);
    let free = || candidates(fleet, host, ask).filter(|volume| !attached.contains(&volume.id));
    let held = free().filter(|volume| volume.hold.is_some());
    // Those without a hold are all alike.
    let tried = held.chain(free().find(|volume| volume.hold.is_none()));
    let mut first = None;
    for volume in tried {
        let result = with(&ask.using(volume.id));
        if result.is_ok() {
            return Some((volume.id, result));
        }
        first.get_or_insert((volume.id, result));
    }
    first
}

/// The hosts of an app's unattached volumes of one name, best first, while machines take the volumes one after the other.
pub(crate) struct VolumeHosts {
    unranked: Vec<HostId>,
    ranked: BinaryHeap<Ranked>,
}

impl VolumeHosts {
    pub(crate) fn of(fleet: &Fleet, ask: &Ask<'_>) -> Self {
        let named = fleet.unattached(ask.app, &ask.constraints.volume_name);
        let hosts: BTreeSet<HostId> = named.map(|volume| volume.host).collect();
        Self { unranked: hosts.into_iter().collect(), ranked: BinaryHeap::new() }
    }

    /// The best host, to which a machine goes before the next call. That changes the score of this host only; others may
    /// stop being feasible, as where machines are counted over a zone, but none becomes feasible or better.
    pub(crate) fn best(&mut self, mut rank: impl FnMut(HostId) -> Option<Ranked>) -> Option<Ranked> {
        self.ranked.extend(self.unranked.drain(..).filter_map(&mut rank));
        loop {
            let top = self.ranked.pop()?;
            let host = top.host();
            match rank(host) {
                Some(now) if now == top => {
                    self.unranked.push(host);
                    return Some(now);
                }
                now => self.ranked.extend(now),
            }
        }
    }
}
