//! The oracle's volumes: what is held for their machines, and what forks take over.

use gantry_machine::{CreateVolume, Effect};
use gantry_types::{Hold, Inherited, PlaceRequest, Plan, Volume, VolumeRequest, limits};

use super::{INVALID, Oracle, OracleHost, Predicted, constraints_are_sane, shape_is_sane};

impl Oracle {
    /// Whether a machine may use this volume on this host.
    pub(super) fn may_attach(&self, host: &OracleHost, request: &PlaceRequest, volume: u64) -> bool {
        let name = &request.constraints.volume_name;
        let is_it = |v: &&Volume| v.id == volume && v.app == request.app && v.host == host.id && v.used_by == 0;
        volume == 0 || self.volumes.iter().find(is_it).is_some_and(|v| name.is_empty() || v.name == *name)
    }

    /// What a fork takes over; nothing where it must be refused.
    pub fn inherited(&self, request: &VolumeRequest) -> Option<Inherited> {
        let source = self.volumes.iter().find(|v| v.id == request.fork_of && v.app == request.app)?;
        let machine = self.reservations.iter().find(|row| row.volume == source.id);
        let is_smaller = request.size_bytes != 0 && request.size_bytes < source.size_bytes;
        if is_smaller || request.hold_ms != 0 && request.compute.is_none() && machine.is_none() {
            return None;
        }
        let region = &self.host(source.host)?.spec.region;
        let compute = if request.compute.is_some() { None } else { machine.map(|row| row.shape.clone()) };
        Some(Inherited {
            size_bytes: source.size_bytes,
            compute,
            compute_image: machine.map_or("", |row| &row.image).to_owned(),
            region: if request.constraints.regions.is_empty() { region.clone() } else { String::new() },
        })
    }

    pub(super) fn create_volume(&mut self, command: &CreateVolume) -> Predicted {
        let asked = &command.request;
        let lacks_shape = asked.hold_ms != 0 && asked.compute.is_none() && asked.fork_of == 0;
        if asked.size_bytes == 0 && asked.fork_of == 0
            || asked.size_bytes > limits::SIZE_BYTES
            || asked.hold_ms > limits::LEASE_MS
            || asked.hold_ms != 0 && asked.no_hold
            || lacks_shape
            || asked.constraints.volume != 0
            || !asked.constraints.volume_name.is_empty()
            || !constraints_are_sane(&asked.app, &asked.constraints)
            || asked.compute.as_ref().is_some_and(|shape| !shape_is_sane(shape))
            || asked.fork_of != 0 && self.inherited(asked).is_none()
            || (asked.fork_of != 0) != command.inherited.is_some()
        {
            return Err(INVALID);
        }
        let whole = asked.inheriting(command.inherited.as_ref()).into_owned();
        let holds = whole.compute.is_some() && !whole.no_hold;
        if command.hold.as_ref().is_some_and(|plan| !holds || plan.host != command.host || plan.volume != 0) {
            return Err(INVALID);
        }
        let hold = command.hold.as_ref().zip(whole.compute.as_ref());
        let host = self.host(command.host).ok_or("CONTENDED")?;
        let held_fits = hold.is_none_or(|(plan, shape)| self.devices_fit(host, shape, plan, 0));
        if !self.volume_fits(host, &whole) || !held_fits {
            return Err("CONTENDED");
        }
        let hold = command.hold.as_ref().map(|plan| Box::new(self.hold(&whole, plan)));
        self.volumes_ever += 1;
        let volume = Volume {
            id: self.volumes_ever,
            app: whole.app,
            name: whole.name,
            host: command.host,
            size_bytes: whole.size_bytes,
            created_at: self.now,
            rev: self.rev,
            used_by: 0,
            hold,
            forked_from: whole.fork_of,
        };
        self.volumes.push(volume.clone());
        Ok(Effect::VolumeCreated { rev: self.rev, volume: std::sync::Arc::new(volume) })
    }

    fn hold(&self, request: &VolumeRequest, plan: &Plan) -> Hold {
        let hold_ms = if request.hold_ms == 0 { limits::LEASE_DEFAULT_MS } else { request.hold_ms };
        Hold {
            shape: request.compute.clone().unwrap_or_default(),
            devices: plan.devices.clone(),
            image: request.compute_image.clone(),
            expires_at: self.now + hold_ms,
        }
    }

    fn volume_fits(&self, host: &OracleHost, request: &VolumeRequest) -> bool {
        let VolumeRequest { app, name, size_bytes, constraints, compute, fork_of, .. } = request;
        let free = self.free(host.id, &host.spec);
        let sibling = |any_name: bool| {
            self.volumes.iter().any(|v| v.host == host.id && v.app == *app && (any_name || v.name == *name))
        };
        let machine_fits = compute.as_ref().is_none_or(|shape| {
            let wanted = shape.gpu.as_ref().map_or(0, |gpu| gpu.count as usize);
            Self::has_pools(&free, shape) && self.linked(host, shape, 0).len() >= wanted
        });
        let is_source = self.volumes.iter().any(|v| v.id == *fork_of && v.host == host.id);
        let is_crowded = constraints.unique_zone && sibling(false) || constraints.unique_zone_app_wide && sibling(true);
        self.allows(host, app, constraints)
            && !is_source
            && !is_crowded
            && machine_fits
            && i128::from(*size_bytes) <= free.disk
    }

    pub(super) fn expire_holds(&mut self) -> u32 {
        let is_over = |v: &&mut Volume| v.hold.as_ref().is_some_and(|hold| hold.expires_at <= self.now);
        self.volumes.iter_mut().filter(is_over).map(|volume| volume.hold = None).count() as u32
    }
}
