//! Volumes: created on a host, used by at most one machine, deleted.

use std::sync::Arc;

use gantry_types::{HostId, Plan, Refused, Rejection, ReservationId, Volume, VolumeId, VolumeRequest};

use crate::{
    Change, EventKind, Fleet, Scheduling,
    grant::{devices_fit, room_for_shape},
    hold::first_hold,
};

/// A volume about to be created: what was asked for, with all that a fork takes over, and where the plan puts it.
#[derive(Clone, Copy, Debug)]
pub struct NewVolume<'a> {
    pub request: &'a VolumeRequest,
    pub host: HostId,
    /// The devices held for its machine, with the rest of the machine's shape; nothing is held without it.
    pub hold: Option<&'a Plan>,
}

impl Fleet {
    /// Whether a volume fits its host now, and what is held for its machine.
    pub fn volume_fits_host(&self, new: NewVolume<'_>) -> Result<(), Rejection> {
        let request = new.request;
        let Some(host) = self.hosts.get(new.host) else {
            return Err(Rejection::new("host", new.host, "no such host"));
        };
        if host.scheduling != Scheduling::Open {
            return Err(Rejection::new("scheduling", "an open host", "a cordoned or draining one"));
        }
        let free = host.spec.volume_bytes.saturating_sub(host.usage.volume_bytes);
        if request.size_bytes > free {
            return Err(Rejection::new("volume_disk", request.size_bytes, free));
        }
        let Some((plan, shape)) = new.hold.zip(request.held_shape()) else { return Ok(()) };
        room_for_shape(host, &host.usage, shape)?;
        devices_fit(host, &host.usage, shape, &plan.devices)
    }

    /// Commits a volume. The caller has checked it with [`Fleet::volume_fits_host`] in the same log entry.
    pub fn create_volume(&mut self, new: NewVolume<'_>) -> Arc<Volume> {
        let NewVolume { request, host, .. } = new;
        let id = self.meta.next_volume;
        self.meta.next_volume += 1;
        let volume = Arc::new(Volume {
            id,
            app: request.app.clone(),
            name: request.name.clone(),
            host,
            size_bytes: request.size_bytes,
            created_at: self.meta.now,
            rev: self.meta.rev,
            used_by: 0,
            hold: first_hold(new, self.meta.now),
            forked_from: request.fork_of,
        });
        self.link_volume(&volume);
        self.changes.push(Change::Volume(id));
        self.room_changed(host);
        self.happened(EventKind::VolumeCreated(Arc::clone(&volume)));
        volume
    }

    pub(crate) fn link_volume(&mut self, volume: &Arc<Volume>) {
        let host = self.host_mut(volume.host);
        host.usage.volume_bytes += volume.size_bytes;
        if let Err(at) = host.volumes.binary_search(&volume.id) {
            host.volumes.insert(at, volume.id);
        }
        self.link_hold(volume);
        self.volume_names.added(volume);
        self.volumes.insert(volume.id, Arc::clone(volume));
    }

    /// Deletes a volume that no machine uses.
    pub fn delete_volume(&mut self, id: VolumeId) -> Result<(), Refused> {
        let volume = self.volumes.get(&id).cloned().ok_or(Refused::UnknownVolume { volume: id })?;
        if volume.used_by != 0 {
            return Err(Refused::VolumeInUse { volume: id, reservation: volume.used_by });
        }
        self.volumes.remove(&id);
        self.unlink_hold(&volume);
        self.volume_names.removed(&volume);
        let host = self.host_mut(volume.host);
        host.usage.volume_bytes -= volume.size_bytes;
        if let Ok(at) = host.volumes.binary_search(&id) {
            host.volumes.remove(at);
        }
        self.changes.push(Change::Volume(id));
        self.room_changed(volume.host);
        self.happened(EventKind::VolumeDeleted(volume));
        Ok(())
    }

    pub(crate) fn set_volume_user(&mut self, id: VolumeId, user: ReservationId) {
        if let Some(volume) = self.volumes.get_mut(&id) {
            Arc::make_mut(volume).used_by = user;
            self.volume_names.attached_or_not(volume);
            self.changes.push(Change::Volume(id));
        }
    }
}
