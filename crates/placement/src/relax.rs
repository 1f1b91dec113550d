//! What would let a request fit that fits nowhere: one field changed, the others as they are. To add such a change, write
//! a function that asks for less and add its line to [`RELAXATIONS`].

mod constraints;
mod shape;

use gantry_fleet::{Fleet, Host};
use gantry_types::{HostId, PlaceRequest, RequestChange};

use crate::{Ask, CONSTRAINTS, Constraint, Fits, InFlight, Quantity, Room, volumes::admitted};

/// Changes told of one request.
pub const CHANGES: usize = 16;

/// A way to ask for less where one constraint stands in the way.
struct Relaxation {
    /// The only constraint that refuses the hosts looked at.
    constraint: &'static str,
    field: &'static str,
    /// The field in words.
    show: fn(&PlaceRequest) -> String,
    less: fn(&Near<'_>) -> Tiers,
}

/// Requests that differ in one field and ask for less, those that keep most in the first tier. They may fit or not; the
/// first tier of which one fits is told.
type Tiers = Vec<Vec<PlaceRequest>>;

static RELAXATIONS: &[Relaxation] = &[
    constraints::HOST,
    constraints::REGIONS,
    constraints::REQUIRE_LABELS,
    constraints::AVOID_LABELS,
    constraints::MAX_PER_ZONE,
    constraints::MAX_PER_HOST,
    constraints::AFFINITY,
    constraints::ZONE_AFFINITY,
    constraints::ANTI_AFFINITY,
    constraints::ZONE_ANTI_AFFINITY,
    shape::GPU_COUNT,
    shape::GPU_MILLI,
    shape::GPU_KINDS,
    shape::GPU_LINKED,
    shape::CPU,
    shape::CPU_KIND,
    shape::MEMORY,
];

/// A change with the request that it makes.
#[derive(Clone, Debug)]
pub struct Relaxed {
    pub change: RequestChange,
    pub request: PlaceRequest,
}

/// A request, and the hosts that all constraints but one would let it go to.
struct Near<'a> {
    fleet: &'a Fleet,
    request: &'a PlaceRequest,
    /// That one.
    constraint: &'static Constraint,
    hosts: &'a [HostId],
}

impl<'a> Near<'a> {
    fn hosts(&self) -> impl Iterator<Item = &'a Host> {
        let fleet = self.fleet;
        self.hosts.iter().filter_map(move |&id| fleet.host(id))
    }

    /// The request with a change.
    fn with(&self, change: impl FnOnce(&mut PlaceRequest)) -> PlaceRequest {
        let mut request = self.request.clone();
        change(&mut request);
        request
    }

    /// The request with a value set, if there is one.
    fn with_value<T>(&self, value: Option<T>, set: impl FnOnce(&mut PlaceRequest, T)) -> Tiers {
        value.map(|value| vec![self.with(|request| set(request, value))]).into_iter().collect()
    }

    /// What the constraint that refuses the hosts says that each has.
    fn have<T>(&self, read: impl Fn(&Quantity<'_>) -> Option<T>) -> impl Iterator<Item = T> {
        let ask = Ask::machine(self.fleet, self.request);
        self.hosts().filter_map(move |host| {
            in_room(self.fleet, &ask, host, |room| read(&(self.constraint.check)(&ask, room).err()?.have))
        })
    }

    fn in_room<R>(&self, host: &Host, look: impl FnOnce(&Room<'_>) -> R) -> R {
        in_room(self.fleet, &Ask::machine(self.fleet, self.request), host, look)
    }
}

/// The changes of one field each that let a machine of the request fit somewhere, given that it fits nowhere as it is.
/// Counts nothing in flight.
pub fn relaxations(fleet: &Fleet, request: &PlaceRequest) -> Vec<Relaxed> {
    let near = nearest(fleet, request);
    let mut found = Vec::new();
    for relaxation in RELAXATIONS {
        let refused = CONSTRAINTS.iter().zip(&near).find(|(constraint, _)| constraint.name == relaxation.constraint);
        let Some((constraint, hosts)) = refused.filter(|(_, hosts)| !hosts.is_empty()) else { continue };
        let near = Near { fleet, request, constraint, hosts };
        let tiers = (relaxation.less)(&near).into_iter();
        let told =
            tiers.map(|tier| tier.into_iter().filter_map(|less| relaxation.told(&near, less)).collect::<Vec<_>>());
        found.extend(told.into_iter().find(|told| !told.is_empty()).into_iter().flatten());
    }
    found.truncate(CHANGES);
    found
}

impl Relaxation {
    /// A request that asks for less, if it fits and may be made.
    fn told(&self, near: &Near<'_>, less: PlaceRequest) -> Option<Relaxed> {
        less.validate().ok()?;
        let (ask, nothing) = (Ask::machine(near.fleet, &less), InFlight::default());
        let app_number = near.fleet.app_number(ask.app);
        let takes = |host: &&Host| admitted(near.fleet, &nothing, &ask, app_number, host).is_ok();
        let hosts = near.hosts().filter(takes).count();
        let (from, to) = ((self.show)(near.request), (self.show)(&less));
        let change = RequestChange { field: self.field, from, to, hosts };
        (hosts > 0).then_some(Relaxed { change, request: less })
    }
}

/// The changes of one field each that let a request be placed which is refused as it is, given the room that there is.
pub fn changes(fleet: &Fleet, request: &PlaceRequest, fits: &Fits) -> Vec<Relaxed> {
    if fits.total.machines == 0 {
        return relaxations(fleet, request);
    }
    smaller_count(request, fits).filter(|_| request.all_or_nothing).into_iter().collect()
}

/// The count that fits now, where a request asks for more.
fn smaller_count(request: &PlaceRequest, fits: &Fits) -> Option<Relaxed> {
    let machines = u32::try_from(fits.total.machines).unwrap_or(u32::MAX);
    if machines == 0 || machines >= request.count {
        return None;
    }
    let (from, to) = (request.count.to_string(), machines.to_string());
    let change = RequestChange { field: "count", from, to, hosts: fits.total.hosts as usize };
    Some(Relaxed { change, request: PlaceRequest { count: machines, ..request.clone() } })
}

/// A host as it is applied, with what is held for the machine given back.
fn in_room<R>(fleet: &Fleet, ask: &Ask<'_>, host: &Host, look: impl FnOnce(&Room<'_>) -> R) -> R {
    InFlight::default().with_room(fleet, host, ask, fleet.app_number(ask.app), look)
}

/// The hosts that one constraint alone refuses, by its place among [`CONSTRAINTS`].
fn nearest(fleet: &Fleet, request: &PlaceRequest) -> Vec<Vec<HostId>> {
    let ask = Ask::machine(fleet, request);
    let mut near = vec![Vec::new(); CONSTRAINTS.len()];
    for host in fleet.hosts() {
        let refusing = in_room(fleet, &ask, host, |room| {
            let checks = CONSTRAINTS.iter().map(|constraint| (constraint.check)(&ask, room));
            let mut refusing = checks.enumerate().filter(|(_, checked)| checked.is_err());
            refusing.next().filter(|_| refusing.next().is_none()).map(|(at, _)| at)
        });
        if let Some(at) = refusing {
            near[at].push(host.id);
        }
    }
    near
}
