//! What constraints of zones said of each zone, so that a ranking notices where they say something else.
//!
//! A machine that comes or goes touches its own host only. For constraints that count over a zone, the others in the zone
//! change with it, but only where an answer changes: a zone that was free is full, or the other way round.

use gantry_fleet::Fleet;
use gantry_types::HostId;

use crate::{Ask, InFlight, constraint::zone_refusals};

/// By zone number: one bit a constraint that refuses; nothing before the first look.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneAnswers(Vec<Option<u64>>);

impl ZoneAnswers {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The hosts of zones whose answers are others than at the last call. Cheap where no constraint counts over zones.
    pub(crate) fn changed<'f>(&mut self, fleet: &'f Fleet, in_flight: &InFlight, ask: &Ask<'_>) -> Vec<&'f [HostId]> {
        if !ask.constraints.looks_at_zones() {
            return Vec::new();
        }
        let app_number = fleet.app_number(ask.app);
        let mut changed = Vec::new();
        for (zone, hosts) in fleet.zones() {
            // Any host of the zone will do.
            let Some(host) = hosts.first().and_then(|&id| fleet.host(id)) else { continue };
            let answers = in_flight.with_room(fleet, host, ask, app_number, |room| zone_refusals(ask, room));
            if self.0.len() <= zone as usize {
                self.0.resize(zone as usize + 1, None);
            }
            if self.0[zone as usize].replace(answers) != Some(answers) {
                changed.push(hosts);
            }
        }
        changed
    }
}
