//! Volumes that plans in flight give to machines: nobody else gets them, and what was held for these machines is theirs.

use gantry_fleet::{Fleet, Host};
use gantry_types::{Hold, HostId, VolumeId};

use super::{InFlight, Pending};

impl InFlight {
    /// Volumes of a host that plans give to machines.
    pub(crate) fn attached_on(&self, host: HostId) -> &[VolumeId] {
        self.pending(host).map_or(&[], |pending| &pending.attached)
    }

    /// The holds on a host that no longer count: those of machines that come here, and of the one that asks.
    pub(super) fn holds_ended<'f>(
        &self,
        fleet: &'f Fleet,
        host: &Host,
        app: &str,
        uses: VolumeId,
    ) -> impl Iterator<Item = &'f Hold> {
        let (attached, id) = (self.attached_on(host.id), host.id);
        let own = fleet.hold_for(app, uses, id).filter(|_| !attached.contains(&uses));
        let here = attached.iter().filter_map(move |&volume| fleet.volume(volume).filter(|row| row.host == id));
        here.filter_map(|row| row.hold.as_deref()).chain(own)
    }
}

impl Pending {
    /// A machine that comes gets this volume, if it gets one. No two plans do: a constraint refuses the second.
    pub(super) fn attach(&mut self, volume: VolumeId) {
        if volume != 0 && !self.attached.contains(&volume) {
            self.attached.push(volume);
        }
    }

    pub(super) fn detach(&mut self, volume: VolumeId) {
        self.attached.retain(|attached| *attached != volume);
    }
}
