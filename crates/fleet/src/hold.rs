//! Compute held for the machine that a volume waits for: set aside with the volume, given to that machine, or ended.

use std::{collections::BTreeSet, sync::Arc};

use gantry_types::{Hold, HostId, HostSpec, Stamp, Volume, VolumeId, VolumeRequest};

use crate::{Change, EventKind, Fleet, NewVolume, Usage};

impl Usage {
    /// What is used but for a hold that is counted in it.
    pub fn subtract_hold(&mut self, hold: &Hold, spec: &HostSpec) {
        self.subtract_shape(&hold.shape);
        self.subtract_shares(&hold.devices, spec);
    }
}

/// The hold that a new volume begins with.
pub(crate) fn first_hold(new: NewVolume<'_>, now: Stamp) -> Option<Box<Hold>> {
    let VolumeRequest { compute_image, .. } = new.request;
    let (plan, shape) = (new.hold?, new.request.held_shape()?);
    Some(Box::new(Hold {
        shape: shape.clone(),
        devices: plan.devices.clone(),
        image: compute_image.clone(),
        expires_at: now.saturating_add(new.request.effective_hold_ms()),
    }))
}

impl Fleet {
    /// The hold that a machine of `app` ends by using `volume` on a host. Nobody else gets what is held.
    pub fn hold_for(&self, app: &str, volume: VolumeId, host: HostId) -> Option<&Hold> {
        // Most machines use no volume, and every look at a host asks.
        let row = if volume == 0 { None } else { self.volumes.get(&volume) }?;
        row.hold.as_deref().filter(|_| row.app == app && row.host == host)
    }

    /// When the next hold ends by itself.
    pub(crate) fn next_hold_end(&self) -> Option<Stamp> {
        self.hold_ends.first().map(|&(at, _)| at)
    }

    /// Ends holds whose lease has run out by stamped time, at most so many.
    pub fn expire_holds(&mut self, at_most: usize) -> u32 {
        let mut ended = 0;
        while let Some(&(at, volume)) = self.hold_ends.first() {
            if at > self.meta.now || ended as usize == at_most {
                break;
            }
            self.end_hold(volume);
            if let Some(volume) = self.volumes.get(&volume).cloned() {
                self.happened(EventKind::HoldExpired(volume));
            }
            ended += 1;
        }
        ended
    }

    /// Frees what is held for a volume's machine, if anything is.
    pub(crate) fn end_hold(&mut self, id: VolumeId) {
        let Some(volume) = self.volumes.get_mut(&id).filter(|volume| volume.hold.is_some()) else { return };
        let held = Arc::clone(volume);
        Arc::make_mut(volume).hold = None;
        self.unlink_hold(&held);
        self.changes.push(Change::Volume(id));
        self.room_changed(held.host);
    }

    /// Puts a hold back that a grant ended which is itself taken back.
    pub(crate) fn restore_hold(&mut self, id: VolumeId, hold: Box<Hold>) {
        let Some(volume) = self.volumes.get_mut(&id) else { return };
        Arc::make_mut(volume).hold = Some(hold);
        let held = Arc::clone(volume);
        self.link_hold(&held);
    }

    /// Puts a volume's hold into every index.
    pub(crate) fn link_hold(&mut self, volume: &Volume) {
        let Some(hold) = &volume.hold else { return };
        let image = self.image_used(&hold.image);
        let host = self.host_mut(volume.host);
        let spec = Arc::clone(&host.spec);
        host.usage.add_shape(&hold.shape);
        host.usage.add_shares(&hold.devices, &spec);
        image.into_iter().for_each(|image| host.images.add(image));
        self.hold_ends.insert((hold.expires_at, volume.id));
    }

    /// Takes a volume's hold out of every index.
    pub(crate) fn unlink_hold(&mut self, volume: &Volume) {
        let Some(hold) = &volume.hold else { return };
        let image = self.image_unused(&hold.image);
        let host = self.host_mut(volume.host);
        let spec = Arc::clone(&host.spec);
        host.usage.subtract_hold(hold, &spec);
        image.into_iter().for_each(|image| host.images.remove(image));
        self.hold_ends.remove(&(hold.expires_at, volume.id));
    }

    /// Whether holds end when their volumes say, and none stands beside its machine.
    pub(crate) fn check_holds(&self) -> Result<(), String> {
        let held = || self.volumes.values().filter_map(|volume| Some((volume, volume.hold.as_ref()?)));
        let expected: BTreeSet<_> = held().map(|(volume, hold)| (hold.expires_at, volume.id)).collect();
        if expected != self.hold_ends {
            return Err(format!("{} holds end, expected {}", self.hold_ends.len(), expected.len()));
        }
        match held().find(|(volume, _)| volume.used_by != 0) {
            Some((volume, _)) => Err(format!("volume {} has a machine and yet a hold", volume.id)),
            None => Ok(()),
        }
    }
}
