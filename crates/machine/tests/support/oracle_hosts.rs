//! The oracle's hosts: they come, change, and go.

use std::collections::BTreeMap;

use gantry_machine::{Effect, RegisterHost, SetReachable, SetScheduling, UpdateHost};
use gantry_types::{HostSpec, Label, PullObservation, limits};

use super::{Check, INVALID, Oracle, Predicted};

#[derive(Clone, Debug)]
pub struct OracleHost {
    pub id: u32,
    /// What counts.
    pub spec: HostSpec,
    /// As registered.
    declared: HostSpec,
    overrides: Overrides,
    pub scheduling: i32,
    pub unreachable: bool,
    /// State by digest.
    pub layers: BTreeMap<Vec<u8>, i32>,
    /// By digest of layers being pulled: the bytes there, and when that was said.
    pub progress: BTreeMap<Vec<u8>, (u64, u64)>,
    pub observed: Vec<PullObservation>,
}

/// What an operator said last.
#[derive(Clone, Debug, Default)]
struct Overrides {
    /// By key; nothing where the label shall not be there.
    labels: BTreeMap<String, Option<String>>,
    percent: Option<u32>,
}

impl Overrides {
    fn on(&self, declared: &HostSpec) -> HostSpec {
        let mut labels: BTreeMap<String, Option<String>> =
            declared.labels.iter().map(|l| (l.key.clone(), Some(l.value.clone()))).collect();
        labels.extend(self.labels.clone());
        let labels = labels.into_iter().filter_map(|(key, value)| Some(Label { key, value: value? }));
        HostSpec {
            labels: labels.collect(),
            cpu_overcommit_percent: self.percent.unwrap_or(declared.cpu_overcommit_percent),
            ..declared.clone()
        }
    }
}

impl Oracle {
    pub fn register(&mut self, command: &RegisterHost) -> Predicted {
        let mut declared = command.spec.clone();
        declared.labels.sort();
        declared.devices.sort_by_key(|d| d.index);
        spec_is_sane(&declared)?;
        let rev = self.rev;
        if let Ok(at) = self.named(&declared.name) {
            let overrides = self.hosts[at].overrides.clone();
            self.replace_spec(at, declared, overrides)?;
            self.hosts[at].unreachable = false;
            return Ok(Effect::HostRegistered { rev, host: self.hosts[at].id });
        }
        self.hosts_ever += 1;
        self.hosts.push(OracleHost {
            id: self.hosts_ever,
            spec: declared.clone(),
            declared,
            overrides: Overrides::default(),
            scheduling: 0,
            unreachable: false,
            layers: BTreeMap::new(),
            progress: BTreeMap::new(),
            observed: Vec::new(),
        });
        Ok(Effect::HostRegistered { rev, host: self.hosts_ever })
    }

    pub fn update(&mut self, command: &UpdateHost) -> Check {
        let at = self.named(&command.name)?;
        let mut overrides = self.hosts[at].overrides.clone();
        overrides.labels.extend(command.remove_labels.iter().map(|key| (key.clone(), None)));
        let set: BTreeMap<_, _> = command.set_labels.iter().map(|l| (l.key.clone(), Some(l.value.clone()))).collect();
        let set_twice = set.len() < command.set_labels.len();
        overrides.labels.extend(set);
        overrides.percent = command.cpu_overcommit_percent.or(overrides.percent);
        if set_twice || overrides.percent.is_some_and(|percent| percent > 10_000) {
            return Err(INVALID);
        }
        self.replace_spec(at, self.hosts[at].declared.clone(), overrides)
    }

    fn replace_spec(&mut self, at: usize, declared: HostSpec, overrides: Overrides) -> Check {
        let spec = overrides.on(&declared);
        let host = &self.hosts[at];
        let free = self.free(host.id, &spec);
        let kind =
            |spec: &HostSpec, index| spec.devices.iter().find(|d| d.index == index).map(|d| (d.kind.clone(), d.parent));
        let used = |index: &u32| {
            let held = self.volumes.iter().filter(|v| v.host == host.id).filter_map(|v| v.hold.as_ref());
            let taken = self.reservations.iter().filter(|r| r.plan.host == host.id).map(|r| &r.plan.devices);
            taken.chain(held.map(|hold| &hold.devices)).flatten().any(|d| d.index == *index)
        };
        let moved = free.gpus.keys().any(|index| used(index) && kind(&spec, *index) != kind(&host.spec, *index));
        if moved || free.cpu.iter().chain([&free.memory, &free.disk]).any(|left| *left < 0) {
            return Err("LESS_THAN_PROMISED");
        }
        let host = &mut self.hosts[at];
        (host.spec, host.declared, host.overrides) = (spec, declared, overrides);
        Ok(())
    }

    pub fn remove(&mut self, name: &str) -> Check {
        let at = self.named(name)?;
        let id = self.hosts[at].id;
        if self.reservations.iter().any(|r| r.plan.host == id) || self.volumes.iter().any(|v| v.host == id) {
            return Err("HOST_IN_USE");
        }
        self.hosts.remove(at);
        self.removed.push((id, self.now));
        self.keep_named_layers();
        Ok(())
    }

    pub fn schedule(&mut self, command: &SetScheduling) -> Predicted {
        let at = self.named(&command.name)?;
        if command.scheduling > 2 {
            return Err(INVALID);
        }
        self.hosts[at].scheduling = command.scheduling;
        let reservations = self.reservations.iter().filter(|r| r.plan.host == self.hosts[at].id).count() as u32;
        Ok(Effect::SchedulingSet { rev: self.rev, reservations })
    }

    pub fn set_reachable(&mut self, command: &SetReachable) -> Check {
        let host = self.hosts.iter_mut().find(|host| host.id == command.host).ok_or("UNKNOWN_HOST")?;
        host.unreachable = !command.reachable;
        Ok(())
    }
}

fn spec_is_sane(spec: &HostSpec) -> Check {
    let repeated_label = spec.labels.windows(2).any(|pair| pair[0].key == pair[1].key);
    let repeated_device = spec.devices.windows(2).any(|pair| pair[0].index == pair[1].index);
    let absurd = spec.memory_bytes > limits::SIZE_BYTES || spec.cpu_overcommit_percent > 10_000;
    let bad_slice = spec.devices.iter().filter(|slice| slice.parent.is_some()).any(|slice| {
        let is_offered = |d: &gantry_types::Device| Some(d.index) == slice.parent;
        let is_whole = |d: &gantry_types::Device| d.parent.is_none() && d.kind == slice.kind;
        slice.nvlink_group != 0 || spec.devices.iter().any(|d| is_offered(d) || is_whole(d))
    });
    if bad_slice || spec.name.is_empty() || repeated_label || repeated_device || absurd { Err(INVALID) } else { Ok(()) }
}
