//! What every host has left in a few bytes each, side by side, so that most hosts are ruled out without looking at them.
//!
//! A row only rules out: whoever passes is looked at in full.

use std::{collections::BTreeMap, sync::Arc};

use gantry_fleet::{Fleet, Scheduling, Usage};
use gantry_types::{CpuKind, HostId, HostSpec};

use super::Asked;
use crate::{Room, constraint::OF_OFFER};

/// One host's room, plans in flight included. Nothing is left of a host that is gone, not open or unreachable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    cpu_shared_milli: u64,
    cpu_performance_milli: u64,
    memory_bytes: u64,
    gpu_milli: u32,
    /// What the emptiest GPU has left.
    gpu_most_milli: u32,
    /// Which of the distinct declarations is the host's.
    offer: u32,
    open: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// By host number.
    rows: Vec<Row>,
    /// The distinct declarations, held so that an address stands for one of them only.
    offers: Vec<Arc<HostSpec>>,
    by_address: BTreeMap<usize, u32>,
}

/// What an ask needs of a row, and what is known of the declarations.
#[derive(Debug, Default)]
pub(crate) struct Need {
    cpu_shared_milli: u64,
    cpu_performance_milli: u64,
    memory_bytes: u64,
    gpu_milli: u32,
    gpu_each_milli: u32,
    /// By offer, once asked: the place of its region if an empty host of it would do.
    verdicts: Vec<Option<Option<u16>>>,
}

impl Rows {
    /// Whoever redeclares often leaves declarations behind that no host has.
    pub(super) fn is_crowded(&self, fleet: &Fleet) -> bool {
        self.offers.len() > 2 * fleet.host_count() + 64
    }

    /// Takes over what a host has left, if it is still there. Returns whether its declaration was not known before.
    pub(super) fn renew(&mut self, id: HostId, room: Option<&Room<'_>>) -> bool {
        let at = id as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, Row::default());
        }
        let offers = self.offers.len();
        let open = |room: &&Room<'_>| room.host.scheduling == Scheduling::Open && !room.host.unreachable;
        self.rows[at] = match room.filter(open) {
            None => Row::default(),
            Some(room) => row(room, self.offer(&room.host.offer)),
        };
        self.offers.len() > offers
    }

    fn offer(&mut self, offer: &Arc<HostSpec>) -> u32 {
        let next = self.offers.len() as u32;
        let number = *self.by_address.entry(Arc::as_ptr(offer) as usize).or_insert(next);
        if number == next {
            self.offers.push(Arc::clone(offer));
        }
        number
    }

    pub(super) fn offers(&self) -> impl Iterator<Item = &HostSpec> {
        self.offers.iter().map(Arc::as_ref)
    }

    /// The row of a host that may do, with the place of its region; none where a constraint would refuse it for certain.
    pub(super) fn may_fit(&self, fleet: &Fleet, asked: &mut Asked<'_>, id: HostId) -> Option<(&Row, u16)> {
        let row = self.rows.get(id as usize)?;
        let need = &mut asked.need;
        let has_room = row.open
            && row.gpu_most_milli >= need.gpu_each_milli
            && row.gpu_milli >= need.gpu_milli
            && row.cpu_shared_milli >= need.cpu_shared_milli
            && row.cpu_performance_milli >= need.cpu_performance_milli
            && row.memory_bytes >= need.memory_bytes;
        if !has_room {
            return None;
        }
        if need.verdicts.len() < self.offers.len() {
            need.verdicts.resize(self.offers.len(), None);
        }
        let does = match need.verdicts[row.offer as usize] {
            Some(does) => does,
            None => {
                let region = &self.offers[row.offer as usize].region;
                let does = empty_would_do(fleet, asked, id).then(|| asked.region_place(fleet, region));
                asked.need.verdicts[row.offer as usize] = Some(does);
                does
            }
        };
        does.map(|region| (row, region))
    }
}

impl Need {
    pub(super) fn of(ask: &crate::Ask<'_>) -> Self {
        let mut need = Self::default();
        let Some(shape) = ask.shape else { return need };
        match shape.cpu_kind() {
            CpuKind::Shared => need.cpu_shared_milli = shape.cpu_milli,
            CpuKind::Performance => need.cpu_performance_milli = shape.cpu_milli,
        }
        need.memory_bytes = shape.memory_bytes;
        if let Some(gpu) = &shape.gpu {
            need.gpu_milli = gpu.total_milli().min(u64::from(u32::MAX)) as u32;
            need.gpu_each_milli = gpu.milli;
        }
        need
    }

    /// No more machines than so many fit beside the first, up to `limit`.
    pub(super) fn more_at_most(&self, row: &Row, limit: u64) -> u64 {
        let enough = limit + 1;
        // Multiplying once is cheaper than dividing.
        let holds = |have: u64, want: u64| want.saturating_mul(enough) <= have;
        if holds(row.cpu_shared_milli, self.cpu_shared_milli)
            && holds(row.cpu_performance_milli, self.cpu_performance_milli)
            && holds(row.memory_bytes, self.memory_bytes)
            && holds(row.gpu_milli.into(), self.gpu_milli.into())
        {
            return limit;
        }
        let times = |have: u64, want: u64| have.checked_div(want).unwrap_or(enough);
        let machines = times(row.cpu_shared_milli, self.cpu_shared_milli)
            .min(times(row.cpu_performance_milli, self.cpu_performance_milli))
            .min(times(row.memory_bytes, self.memory_bytes))
            .min(times(row.gpu_milli.into(), self.gpu_milli.into()));
        machines.saturating_sub(1).min(limit)
    }
}

fn row(room: &Room<'_>, offer: u32) -> Row {
    let free = |at| room.usage.free_device_milli(at);
    Row {
        cpu_shared_milli: room.free_cpu_milli(CpuKind::Shared),
        cpu_performance_milli: room.free_cpu_milli(CpuKind::Performance),
        memory_bytes: room.free_memory_bytes(),
        gpu_milli: room.free_gpu_milli() as u32,
        gpu_most_milli: (0..room.usage.devices.len()).map(free).max().unwrap_or(0),
        offer,
        open: true,
    }
}

/// Whether a host with this one's declaration and nothing on it would do, as far as the declaration says.
fn empty_would_do(fleet: &Fleet, asked: &Asked<'_>, id: HostId) -> bool {
    let Some(host) = fleet.host(id) else { return false };
    let usage = Usage::empty(host.offer.devices.len());
    let room = Room { fleet, host, usage: &usage, app_machines: 0, in_flight: None, ended: &[] };
    OF_OFFER.iter().all(|constraint| (constraint.check)(&asked.ask, &room).is_ok())
}
