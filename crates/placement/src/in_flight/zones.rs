//! Machines that plans in flight bring to zones, by app and by group.

use std::collections::BTreeMap;

use gantry_types::Party;
use smallvec::SmallVec;

/// Zone and machines. An app is in few zones.
type InZones = SmallVec<[(u32, u32); 4]>;

#[derive(Clone, Debug, Default)]
pub(super) struct ZoneMachines {
    apps: BTreeMap<String, InZones>,
    groups: BTreeMap<String, InZones>,
}

impl ZoneMachines {
    pub(super) fn of(&self, party: Party<'_>, zone: u32) -> u32 {
        let counts = match party {
            Party::App(app) => self.apps.get(app),
            Party::Group(group) => self.groups.get(group),
        };
        counts.and_then(|counts| counts.iter().find(|count| count.0 == zone)).map_or(0, |count| count.1)
    }

    pub(super) fn add(&mut self, party: Party<'_>, zone: u32, machines: u32) {
        let (named, name) = self.named(party);
        if let Some(counts) = named.get_mut(name) {
            match counts.iter_mut().find(|count| count.0 == zone) {
                Some(count) => count.1 += machines,
                None => counts.push((zone, machines)),
            }
        } else {
            named.insert(name.to_owned(), SmallVec::from_slice(&[(zone, machines)]));
        }
    }

    pub(super) fn subtract(&mut self, party: Party<'_>, zone: u32, machines: u32) {
        let (named, name) = self.named(party);
        let Some(counts) = named.get_mut(name) else { return };
        counts.iter_mut().filter(|count| count.0 == zone).for_each(|count| count.1 -= machines);
        counts.retain(|count| count.1 > 0);
        if counts.is_empty() {
            named.remove(name);
        }
    }

    fn named<'a, 'p>(&'a mut self, party: Party<'p>) -> (&'a mut BTreeMap<String, InZones>, &'p str) {
        match party {
            Party::App(app) => (&mut self.apps, app),
            Party::Group(group) => (&mut self.groups, group),
        }
    }
}
