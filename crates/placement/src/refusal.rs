//! Why hosts were refused, counted by constraint.

use gantry_fleet::{Fleet, Host};
use gantry_types::{HostId, Rejection, RejectionGroup};

use crate::{
    Ask, CONSTRAINTS, InFlight,
    volumes::{admitted, with_its_volume},
};

/// The first constraint that refused a host.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusal {
    /// Its place among [`CONSTRAINTS`].
    pub(crate) constraint: usize,
    pub(crate) shortfall: u64,
}

/// Hosts that one constraint refused.
#[derive(Clone, Copy, Debug)]
struct Group {
    hosts: usize,
    /// Of the host that came nearest, the first of these.
    shortfall: u64,
    nearest: HostId,
}

/// Refusals by constraint.
#[derive(Debug, Default)]
pub(crate) struct Groups([Option<Group>; CONSTRAINTS.len()]);

/// Counts refused hosts by constraint, by looking at every host; of each group the host that came nearest is the example.
pub fn refusals(fleet: &Fleet, in_flight: &InFlight, ask: &Ask<'_>) -> Vec<RejectionGroup> {
    let app_number = fleet.app_number(ask.app);
    let mut groups = Groups::default();
    for host in fleet.hosts() {
        if let Err(refusal) = admitted(fleet, in_flight, ask, app_number, host) {
            groups.add(host.id, refusal);
        }
    }
    groups.written_out(fleet, in_flight, ask)
}

impl Groups {
    /// Counts one host; hosts come in the order of their numbers.
    pub(crate) fn add(&mut self, host: HostId, refusal: Refusal) {
        let Refusal { constraint, shortfall } = refusal;
        let group = self.0[constraint].get_or_insert(Group { hosts: 0, shortfall, nearest: host });
        group.hosts += 1;
        if shortfall < group.shortfall {
            (group.shortfall, group.nearest) = (shortfall, host);
        }
    }

    /// With the words of each group's example.
    pub(crate) fn written_out(self, fleet: &Fleet, in_flight: &InFlight, ask: &Ask<'_>) -> Vec<RejectionGroup> {
        let app_number = fleet.app_number(ask.app);
        let example = |at: usize, host: &Host| {
            let ask = with_its_volume(fleet, in_flight, ask, host);
            in_flight.with_room(fleet, host, &ask, app_number, |room| {
                let constraint = &CONSTRAINTS[at];
                let no = (constraint.check)(&ask, room).err()?;
                Some(Rejection::new(constraint.name, no.want, no.have))
            })
        };
        let groups = self.0.into_iter().enumerate().filter_map(|(at, group)| {
            let Group { hosts, nearest, .. } = group?;
            Some(RejectionGroup { hosts, example: example(at, fleet.host(nearest)?)? })
        });
        groups.collect()
    }
}
