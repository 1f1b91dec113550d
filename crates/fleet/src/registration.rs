//! Hosts come, change, and go.

use std::sync::Arc;

use gantry_types::{Device, HostId, HostOverrides, HostSpec, Label, Refused, Stamp, limits};

use crate::{Change, EventKind, Fleet, Host, HostChange, HostRow, Scheduling, Touched, bounds::room, host::Usage};

impl Fleet {
    /// A host's agent says who it is and what it has. A host that is known keeps its number, its promises, its
    /// scheduling, and what an operator changed of its declaration; it may not offer less than it has promised.
    pub fn register_host(&mut self, mut declared: HostSpec) -> Result<HostId, Refused> {
        declared.normalize();
        declared.validate()?;
        if let Some(host) = self.host_named(&declared.name) {
            let (id, name) = (host.id, Arc::clone(&host.name));
            if *host.declared != declared {
                let overrides = host.overrides();
                self.redeclare(id, declared, overrides)?;
            }
            self.note_reachable(id, name, true);
            return Ok(id);
        }
        room("hosts", self.hosts.len(), 1, self.bounds.hosts)?;
        let id = self.meta.next_host;
        self.meta.next_host += 1;
        let mut host = Host::new(id, declared, HostOverrides::default());
        host.zone = self.zones.join(&host.spec, id);
        host.offer = self.offers.shared(&host.spec, self.hosts.len());
        let name = Arc::clone(&host.name);
        self.host_by_name.insert(Arc::clone(&name), id);
        self.hosts.insert(host);
        self.changes.push(Change::Host(id));
        self.journal.push(Touched { host: id, layers: true });
        self.happened(EventKind::Host { id, name, change: HostChange::Registered });
        Ok(id)
    }

    /// An operator changes labels or overcommit; it stands until an operator changes it again, whatever the agent
    /// declares. Unset keys are left alone.
    pub fn update_host(
        &mut self,
        id: HostId,
        set: &[Label],
        remove: &[String],
        overcommit_percent: Option<u32>,
    ) -> Result<(), Refused> {
        let host = self.known_host(id)?;
        let overrides = host.overrides().changed(set, remove, overcommit_percent);
        overrides.validate()?;
        let declared = (*host.declared).clone();
        self.redeclare(id, declared, overrides)
    }

    fn redeclare(&mut self, id: HostId, declared: HostSpec, overrides: HostOverrides) -> Result<(), Refused> {
        let host = self.known_host(id)?;
        let usage = carried_over(host, &overrides.applied_to(&declared))?;
        let host = self.host_mut(id);
        host.redeclare(declared, overrides);
        host.usage = usage;
        let (name, spec) = (Arc::clone(&host.name), Arc::clone(&host.spec));
        let offer = self.offers.shared(&spec, self.hosts.len());
        self.host_mut(id).offer = offer;
        self.change_zone(id);
        self.changes.push(Change::Host(id));
        self.room_changed(id);
        self.happened(EventKind::Host { id, name, change: HostChange::Updated });
        Ok(())
    }

    /// Counts a host and its machines in the zone that it declares now.
    fn change_zone(&mut self, id: HostId) {
        let Self { zones, hosts, .. } = self;
        let Some(host) = hosts.get_mut(id) else { return };
        let zone = zones.join(&host.spec, id);
        if zone != host.zone {
            zones.leave(host);
            zones.arrived(zone, host);
            host.zone = zone;
        }
    }

    pub fn set_scheduling(&mut self, id: HostId, scheduling: Scheduling) -> Result<(), Refused> {
        if self.known_host(id)?.scheduling == scheduling {
            return Ok(());
        }
        let host = self.host_mut(id);
        host.scheduling = scheduling;
        let name = Arc::clone(&host.name);
        self.changes.push(Change::Host(id));
        self.room_changed(id);
        let change = match scheduling {
            Scheduling::Open => HostChange::Opened,
            Scheduling::Cordoned => HostChange::Cordoned,
            Scheduling::Draining => HostChange::Draining,
        };
        self.happened(EventKind::Host { id, name, change });
        Ok(())
    }

    /// A host's agent was not heard of for too long, or is heard of again. A registration says the latter too.
    pub fn set_reachable(&mut self, id: HostId, reachable: bool) -> Result<(), Refused> {
        let name = Arc::clone(&self.known_host(id)?.name);
        self.note_reachable(id, name, reachable);
        Ok(())
    }

    fn note_reachable(&mut self, id: HostId, name: Arc<str>, reachable: bool) {
        let host = self.host_mut(id);
        if host.unreachable != reachable {
            return;
        }
        host.unreachable = !reachable;
        self.changes.push(Change::Host(id));
        self.room_changed(id);
        let change = if reachable { HostChange::Reachable } else { HostChange::Unreachable };
        self.happened(EventKind::Host { id, name, change });
    }

    /// Takes a host out of the fleet. Only an empty one: what it still holds would be forgotten otherwise.
    pub fn remove_host(&mut self, id: HostId) -> Result<(), Refused> {
        let host = self.known_host(id)?;
        if !host.reservations.is_empty() || !host.volumes.is_empty() {
            return Err(Refused::HostInUse {
                host: host.name.to_string(),
                reservations: host.reservations.len(),
                volumes: host.volumes.len(),
            });
        }
        self.forget_all_layers(id);
        let host = self.hosts.remove(id).expect("looked up above");
        self.host_by_name.remove(&host.name);
        self.zones.leave(&host);
        let row = HostRow {
            host: id,
            spec: (*host.spec).clone(),
            scheduling: host.scheduling as i32,
            removed_at: Some(self.meta.now),
            overrides: None,
            unreachable: false,
            measured: None,
        };
        self.removed_hosts.insert(id, row);
        self.changes.push(Change::Host(id));
        self.journal.push(Touched { host: id, layers: true });
        self.happened(EventKind::Host { id, name: host.name, change: HostChange::Removed });
        Ok(())
    }

    /// Forgets removed hosts that no remembered answer can name any more.
    pub fn forget_removed_hosts(&mut self) {
        let horizon = self.meta.now.saturating_sub(limits::REQUEST_MEMORY_MS);
        // An answer can only name a host that was there when it was given, and answers are forgotten in their order.
        let oldest_answer = self.requests.oldest().map_or(Stamp::MAX, |row| row.stamp);
        let gone: Vec<HostId> = self
            .removed_hosts
            .values()
            .filter(|row| row.removed_at.is_some_and(|at| at < horizon && at < oldest_answer))
            .take(limits::EXPIRED_PER_COMMAND)
            .map(|row| row.host)
            .collect();
        for id in gone {
            self.removed_hosts.remove(&id);
            self.changes.push(Change::Host(id));
        }
    }
}

/// The usage of a host under a new declaration, or what the declaration falls short of.
fn carried_over(host: &Host, spec: &HostSpec) -> Result<Usage, Refused> {
    let used = &host.usage;
    let mut usage = Usage { devices: Usage::empty(spec.devices.len()).devices, ..used.clone() };
    let short = |resource, want, have| Err(Refused::LessThanPromised { host: spec.name.clone(), resource, want, have });
    for (resource, want, have) in [
        ("cpu_shared_milli", used.cpu_shared_milli, spec.cpu_shared_promisable_milli()),
        ("cpu_performance_milli", used.cpu_performance_milli, spec.cpu_performance_milli),
        ("memory_bytes", used.memory_bytes, spec.memory_bytes),
        ("volume_bytes", used.volume_bytes, spec.volume_bytes),
    ] {
        if want > have {
            return short(resource, want, have);
        }
    }
    for (device, &milli) in host.spec.devices.iter().zip(&used.devices) {
        let is_same = |d: &Device| d.index == device.index && d.kind == device.kind && d.parent == device.parent;
        let same = spec.devices.iter().position(is_same);
        match same {
            Some(position) => usage.devices[position] = milli,
            None if milli > 0 => return short("device_milli", u64::from(milli), 0),
            None => {}
        }
    }
    Ok(usage)
}
