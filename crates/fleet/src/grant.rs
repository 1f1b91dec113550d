//! Reservations: granted, confirmed, renewed, ended.

use std::sync::Arc;

use gantry_types::{
    CpuKind, DeviceShare, Fence, Hold, HostId, Phase, PlaceRequest, Plan, Refused, Rejection, Reservation,
    ReservationId, Shape, Stamp, VolumeId, limits,
};

use smallvec::SmallVec;

use crate::{Change, EndReason, EventKind, Fleet, Host, Scheduling, Usage, host::device_position};

/// A machine about to be reserved: what was asked for, and where the plan puts it.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    pub request: &'a PlaceRequest,
    pub plan: &'a Plan,
}

impl Grant<'_> {
    /// The volume that the machine uses; 0 for none.
    pub fn volume(&self) -> VolumeId {
        self.plan.volume_for(&self.request.constraints)
    }
}

impl Fleet {
    /// Whether a plan fits its host now: the last check before a grant, and the whole of S1 for one plan.
    pub fn fits(&self, grant: Grant<'_>) -> Result<(), Rejection> {
        let Some(host) = self.hosts.get(grant.plan.host) else {
            return Err(Rejection::new("host", grant.plan.host, "no such host"));
        };
        if host.scheduling != Scheduling::Open {
            return Err(Rejection::new("scheduling", "an open host", scheduling_word(host.scheduling)));
        }
        let hold = self.hold_for(&grant.request.app, grant.volume(), host.id);
        let usage = host.usage_without(hold);
        room_for_shape(host, &usage, &grant.request.shape)?;
        devices_fit(host, &usage, &grant.request.shape, &grant.plan.devices)?;
        self.volume_fits(host.id, grant.volume())
    }

    fn volume_fits(&self, host: HostId, volume: u64) -> Result<(), Rejection> {
        if volume == 0 {
            return Ok(());
        }
        match self.volumes.get(&volume) {
            None => Err(Rejection::new("volume", volume, "no such volume")),
            Some(row) if row.host != host => Err(Rejection::new("volume", row.host, host)),
            Some(row) if row.used_by != 0 => {
                Err(Rejection::new("volume", "an unused volume", format!("used by reservation {}", row.used_by)))
            }
            Some(_) => Ok(()),
        }
    }

    /// Commits a plan, and ends what was held for the machine. The caller has checked it with [`Fleet::fits`] in the same
    /// log entry.
    pub fn grant(&mut self, grant: Grant<'_>) -> Arc<Reservation> {
        let Grant { request, plan } = grant;
        let id = self.meta.next_grant;
        self.meta.next_grant += 1;
        let lease_ms = request.effective_lease_ms();
        let reservation = Arc::new(Reservation {
            id,
            fence: id,
            app: request.app.clone(),
            image: request.image.clone(),
            shape: request.shape.clone(),
            plan: plan.clone(),
            volume: grant.volume(),
            phase: Phase::Reserved as i32,
            lease_ms,
            expires_at: self.meta.now.saturating_add(lease_ms),
            created_at: self.meta.now,
            rev: self.meta.rev,
            request_id: request.request_id.clone(),
            group: request.constraints.group.clone(),
        });
        if reservation.volume != 0 {
            self.end_hold(reservation.volume);
        }
        self.link(&reservation);
        if reservation.volume != 0 {
            self.set_volume_user(reservation.volume, id);
        }
        self.changes.push(Change::Reservation(id));
        self.room_changed(plan.host);
        self.happened(EventKind::Reserved(Arc::clone(&reservation)));
        reservation
    }

    /// Puts a reservation into every index.
    pub(crate) fn link(&mut self, reservation: &Arc<Reservation>) {
        let app = self.apps.added(&reservation.app);
        let group = (!reservation.group.is_empty()).then(|| self.groups.added(&reservation.group));
        let image = self.image_used(&reservation.image);
        let host = self.host_mut(reservation.plan.host);
        let spec = Arc::clone(&host.spec);
        host.usage.add_shape(&reservation.shape);
        host.usage.add_shares(&reservation.plan.devices, &spec);
        host.apps.add(app);
        group.into_iter().for_each(|group| host.groups.add(group));
        image.into_iter().for_each(|image| host.images.add(image));
        if let Err(at) = host.reservations.binary_search(&reservation.id) {
            host.reservations.insert(at, reservation.id);
        }
        let zone = host.zone;
        self.zones.machine_added(zone, app, group);
        if reservation.expires_at != 0 {
            self.leases.insert((reservation.expires_at, reservation.id));
        }
        self.reservations.insert(reservation.id, Arc::clone(reservation));
    }

    /// Takes back every grant from `first` on, and puts back the holds that these ended: a command whose later plans do
    /// not fit leaves nothing behind.
    pub fn take_back_grants(&mut self, first: ReservationId, holds: Vec<(VolumeId, Box<Hold>)>) {
        for id in (first..self.meta.next_grant).rev() {
            if let Some(reservation) = self.reservations.get(&id).cloned() {
                self.unlink(&reservation);
                self.events.pop();
            }
        }
        holds.into_iter().for_each(|(volume, hold)| self.restore_hold(volume, hold));
        self.meta.next_grant = first;
    }

    /// The number that the next grant will have.
    pub fn next_grant(&self) -> ReservationId {
        self.meta.next_grant
    }

    /// Ends a reservation and frees what it held.
    pub fn end(&mut self, id: ReservationId, reason: EndReason) -> Result<(), Refused> {
        let reservation = self.known_reservation(id)?;
        self.unlink(&reservation);
        self.happened(EventKind::Ended { reservation, reason });
        Ok(())
    }

    /// Takes a reservation out of every index.
    fn unlink(&mut self, reservation: &Reservation) {
        let id = reservation.id;
        self.reservations.remove(&id);
        self.leases.remove(&(reservation.expires_at, id));
        let app = self.apps.removed(&reservation.app);
        let group = self.groups.removed(&reservation.group);
        let image = self.image_unused(&reservation.image);
        let host = self.host_mut(reservation.plan.host);
        let spec = Arc::clone(&host.spec);
        host.usage.subtract_shape(&reservation.shape);
        host.usage.subtract_shares(&reservation.plan.devices, &spec);
        app.into_iter().for_each(|app| host.apps.remove(app));
        group.into_iter().for_each(|group| host.groups.remove(group));
        image.into_iter().for_each(|image| host.images.remove(image));
        if let Ok(at) = host.reservations.binary_search(&id) {
            host.reservations.remove(at);
        }
        let zone = host.zone;
        self.zones.machine_removed(zone, app, group);
        if reservation.volume != 0 {
            self.set_volume_user(reservation.volume, 0);
        }
        self.changes.push(Change::Reservation(id));
        self.room_changed(reservation.plan.host);
    }

    /// The host says that it has the machine: the lease no longer runs. Confirming twice is the same as once.
    pub fn confirm(&mut self, host: HostId, id: ReservationId, fence: Fence) -> Result<(), Refused> {
        let reservation = self.reservation_for_agent(host, id, fence)?;
        if reservation.phase() == Phase::Allocated {
            return Ok(());
        }
        let confirmed = Reservation { phase: Phase::Allocated as i32, expires_at: 0, ..(*reservation).clone() };
        let confirmed = self.replace(&reservation, confirmed);
        self.happened(EventKind::Confirmed(confirmed));
        Ok(())
    }

    /// The host ends a reservation, because it cannot do it or because the machine is gone.
    pub fn end_by_host(
        &mut self,
        host: HostId,
        id: ReservationId,
        fence: Fence,
        reason: EndReason,
    ) -> Result<(), Refused> {
        self.reservation_for_agent(host, id, fence)?;
        self.end(id, reason)
    }

    /// Lets a lease run anew from now. 0 keeps its length. Returns when it ends; 0 where the host has confirmed, and no
    /// lease runs.
    pub fn renew(&mut self, id: ReservationId, lease_ms: u64) -> Result<Stamp, Refused> {
        if lease_ms > limits::LEASE_MS {
            return Err(Refused::over("lease_ms", lease_ms, limits::LEASE_MS));
        }
        let reservation = self.known_reservation(id)?;
        if reservation.phase() == Phase::Allocated {
            return Ok(0);
        }
        let lease_ms = if lease_ms == 0 { reservation.lease_ms } else { lease_ms };
        let expires_at = self.meta.now.saturating_add(lease_ms);
        let renewed = self.replace(&reservation, Reservation { lease_ms, expires_at, ..(*reservation).clone() });
        self.happened(EventKind::Renewed(renewed));
        Ok(expires_at)
    }

    /// Ends reservations whose lease has run out by stamped time, a bounded number at a time.
    pub fn expire_leases(&mut self) -> u32 {
        let mut ended = 0;
        while let Some(&(at, id)) = self.leases.first() {
            if at > self.meta.now || ended as usize == limits::EXPIRED_PER_COMMAND {
                break;
            }
            self.end(id, EndReason::Expired).expect("a lease names a reservation that stands");
            ended += 1;
        }
        ended
    }

    fn replace(&mut self, old: &Reservation, new: Reservation) -> Arc<Reservation> {
        if old.expires_at != 0 {
            self.leases.remove(&(old.expires_at, old.id));
        }
        if new.expires_at != 0 {
            self.leases.insert((new.expires_at, new.id));
        }
        let new = Arc::new(new);
        self.reservations.insert(new.id, Arc::clone(&new));
        self.changes.push(Change::Reservation(new.id));
        new
    }

    pub(crate) fn known_reservation(&self, id: ReservationId) -> Result<Arc<Reservation>, Refused> {
        self.reservations.get(&id).cloned().ok_or(Refused::UnknownReservation { reservation: id })
    }

    fn reservation_for_agent(
        &self,
        host: HostId,
        id: ReservationId,
        fence: Fence,
    ) -> Result<Arc<Reservation>, Refused> {
        let reservation = self.known_reservation(id)?;
        if reservation.plan.host != host {
            return Err(Refused::WrongHost { reservation: id, host: reservation.plan.host });
        }
        if reservation.fence != fence {
            return Err(Refused::Fenced { reservation: id, want: reservation.fence, have: fence });
        }
        Ok(reservation)
    }
}

fn scheduling_word(scheduling: Scheduling) -> &'static str {
    match scheduling {
        Scheduling::Open => "open",
        Scheduling::Cordoned => "cordoned",
        Scheduling::Draining => "draining",
    }
}

/// CPU and memory.
pub(crate) fn room_for_shape(host: &Host, usage: &Usage, shape: &Shape) -> Result<(), Rejection> {
    let (name, used, offered) = match shape.cpu_kind() {
        CpuKind::Shared => ("cpu", usage.cpu_shared_milli, host.spec.cpu_shared_promisable_milli()),
        CpuKind::Performance => ("cpu", usage.cpu_performance_milli, host.spec.cpu_performance_milli),
    };
    let free = offered.saturating_sub(used);
    if shape.cpu_milli > free {
        return Err(Rejection::new(name, shape.cpu_milli, free));
    }
    let free = host.spec.memory_bytes.saturating_sub(usage.memory_bytes);
    if shape.memory_bytes > free {
        return Err(Rejection::new("memory", shape.memory_bytes, free));
    }
    Ok(())
}

/// The named devices are what the shape asks for, and each has that much left.
pub(crate) fn devices_fit(host: &Host, usage: &Usage, shape: &Shape, devices: &[DeviceShare]) -> Result<(), Rejection> {
    let Some(gpu) = &shape.gpu else {
        return if devices.is_empty() { Ok(()) } else { Err(Rejection::new("gpu", 0, devices.len())) };
    };
    if devices.len() != gpu.count as usize {
        return Err(Rejection::new("gpu", gpu.count, devices.len()));
    }
    if devices.windows(2).any(|pair| pair[0].index >= pair[1].index) {
        return Err(Rejection::new("gpu", "distinct devices in order", "a device twice or out of order"));
    }
    let mut groups = SmallVec::<[u32; 8]>::new();
    for share in devices {
        let Some(position) = device_position(&host.spec, share.index) else {
            return Err(Rejection::new("gpu", format!("device {}", share.index), "no such device"));
        };
        let device = &host.spec.devices[position];
        groups.push(device.nvlink_group);
        if share.milli != gpu.milli || !gpu.accepts(device) {
            return Err(Rejection::new(
                "gpu",
                format!("{} of {:?}", gpu.milli, gpu.kinds),
                format!("{} of {}", share.milli, device.kind),
            ));
        }
        let free = usage.free_device_milli(position);
        if share.milli > free {
            return Err(Rejection::new("gpu", share.milli, free));
        }
    }
    if gpu.must_be_linked() && (groups[0] == 0 || groups.iter().any(|group| *group != groups[0])) {
        return Err(Rejection::new("gpu", "devices of one NVLink group", "devices that are not linked"));
    }
    Ok(())
}
