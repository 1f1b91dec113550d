//! Zones with their hosts, and how many machines of an app or group are in each. Derived, not replicated.

use std::{borrow::Borrow, collections::BTreeMap};

use gantry_types::{HostId, HostSpec, Party};

use crate::{Fleet, Host, lookup::Lookup};

/// Zones by number; a zone is of one region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zones {
    by_name: Lookup<String, u32>,
    zones: Vec<Zone>,
    free: Vec<u32>,
    /// Zones of each region.
    regions: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Default)]
struct Zone {
    name: String,
    /// Sorted.
    hosts: Vec<HostId>,
    apps: BTreeMap<u32, u32>,
    groups: BTreeMap<u32, u32>,
}

/// Names hold no control characters, so two zones never share a key.
fn key(spec: &HostSpec) -> String {
    format!("{}\0{}", spec.region, spec.zone)
}

impl Zones {
    /// Puts a host into the zone that it declares. Returns the zone's number.
    pub(crate) fn join(&mut self, spec: &HostSpec, host: HostId) -> u32 {
        let name = key(spec);
        let number = self.by_name.get(&name).copied().unwrap_or_else(|| {
            let number = self.free.pop().unwrap_or_else(|| {
                self.zones.push(Zone::default());
                self.zones.len() as u32 - 1
            });
            self.by_name.insert(name.clone(), number);
            *self.regions.entry(spec.region.clone()).or_default() += 1;
            self.zones[number as usize].name = name;
            number
        });
        let hosts = &mut self.zones[number as usize].hosts;
        if let Err(at) = hosts.binary_search(&host) {
            hosts.insert(at, host);
        }
        number
    }

    /// Takes a host out of its zone, with the machines that it has.
    pub(crate) fn leave(&mut self, host: &Host) {
        let zone = &mut self.zones[host.zone as usize];
        host.apps.iter().for_each(|(app, machines)| subtract(&mut zone.apps, &app, machines));
        host.groups.iter().for_each(|(group, machines)| subtract(&mut zone.groups, &group, machines));
        zone.hosts.retain(|&id| id != host.id);
        if zone.hosts.is_empty() {
            self.by_name.remove(&zone.name);
            let region = zone.name.split('\0').next().unwrap_or_default();
            subtract(&mut self.regions, region, 1);
            *zone = Zone::default();
            self.free.push(host.zone);
        }
    }

    /// Counts the machines that a host brings along.
    pub(crate) fn arrived(&mut self, zone: u32, host: &Host) {
        let zone = &mut self.zones[zone as usize];
        host.apps.iter().for_each(|(app, machines)| *zone.apps.entry(app).or_default() += machines);
        host.groups.iter().for_each(|(group, machines)| *zone.groups.entry(group).or_default() += machines);
    }

    pub(crate) fn has_region(&self, region: &str) -> bool {
        self.regions.contains_key(region)
    }

    /// By name.
    pub(crate) fn regions(&self) -> impl ExactSizeIterator<Item = &str> {
        self.regions.keys().map(String::as_str)
    }

    pub(crate) fn machine_added(&mut self, zone: u32, app: u32, group: Option<u32>) {
        let zone = &mut self.zones[zone as usize];
        *zone.apps.entry(app).or_default() += 1;
        group.into_iter().for_each(|group| *zone.groups.entry(group).or_default() += 1);
    }

    pub(crate) fn machine_removed(&mut self, zone: u32, app: Option<u32>, group: Option<u32>) {
        let zone = &mut self.zones[zone as usize];
        app.into_iter().for_each(|app| subtract(&mut zone.apps, &app, 1));
        group.into_iter().for_each(|group| subtract(&mut zone.groups, &group, 1));
    }
}

fn subtract<K: Ord + Borrow<Q>, Q: Ord + ?Sized>(counts: &mut BTreeMap<K, u32>, key: &Q, less: u32) {
    if let Some(count) = counts.get_mut(key) {
        *count -= less;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Fleet {
    /// The zones that hosts are in, each with its number and its hosts.
    pub fn zones(&self) -> impl Iterator<Item = (u32, &[HostId])> {
        (0..)
            .zip(&self.zones.zones)
            .map(|(number, zone)| (number, zone.hosts.as_slice()))
            .filter(|(_, h)| !h.is_empty())
    }

    /// Machines of an app or group on a host.
    pub fn machines_on(&self, host: &Host, party: Party<'_>) -> u32 {
        match party {
            Party::App(app) => self.apps.find(app).map_or(0, |number| host.apps.of(number)),
            Party::Group(group) => self.groups.find(group).map_or(0, |number| host.groups.of(number)),
        }
    }

    /// Machines of an app or group in a zone.
    pub fn machines_in(&self, zone: u32, party: Party<'_>) -> u32 {
        let Some(zone) = self.zones.zones.get(zone as usize) else { return 0 };
        let (number, counts) = match party {
            Party::App(app) => (self.apps.find(app), &zone.apps),
            Party::Group(group) => (self.groups.find(group), &zone.groups),
        };
        number.and_then(|number| counts.get(&number)).copied().unwrap_or(0)
    }

    /// Whether zones hold the hosts that declare them, with their machines.
    pub(crate) fn check_zones(&self) -> Result<(), String> {
        let mut expected: BTreeMap<String, Zone> = BTreeMap::new();
        let mut regions: BTreeMap<String, u32> = BTreeMap::new();
        for host in self.hosts.iter() {
            let zone = expected.entry(key(&host.spec)).or_default();
            if zone.hosts.is_empty() {
                *regions.entry(host.spec.region.clone()).or_default() += 1;
            }
            zone.hosts.push(host.id);
            host.apps.iter().for_each(|(app, machines)| *zone.apps.entry(app).or_default() += machines);
            host.groups.iter().for_each(|(group, machines)| *zone.groups.entry(group).or_default() += machines);
            if self.zones.by_name.get(&key(&host.spec)) != Some(&host.zone) {
                return Err(format!("host {} counts in zone {}", host.name, host.zone));
            }
        }
        if self.zones.regions != regions {
            return Err(format!("zones by region are {:?}, expected {regions:?}", self.zones.regions));
        }
        if self.zones.by_name.len() != expected.len() || self.zones().count() != expected.len() {
            return Err(format!("{} zones, expected {}", self.zones.by_name.len(), expected.len()));
        }
        expected.into_iter().try_for_each(|(name, expected)| {
            let number = self.zones.by_name.get(&name).copied().unwrap_or(u32::MAX);
            let have = self.zones.zones.get(number as usize).ok_or_else(|| format!("zone {name:?} is missing"))?;
            let same = have.name == name
                && have.hosts == expected.hosts
                && have.apps == expected.apps
                && have.groups == expected.groups;
            if same { Ok(()) } else { Err(format!("zone {name:?} has {have:?}, expected {expected:?}")) }
        })
    }
}
