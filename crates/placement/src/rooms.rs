//! What every host has left in a few bytes each, side by side, so that most hosts are ruled out without looking at them.
//!
//! A row only rules out: whoever passes is looked at in full.

use std::{collections::BTreeMap, sync::Arc};

use gantry_fleet::{Fleet, Host, Journal, Scheduling, Usage};
use gantry_types::{CpuKind, HostId, HostSpec};

use crate::{Ask, InFlight, Room, constraint::OF_OFFER};

/// One host's room, plans in flight included. Nothing is left of a host that is gone, not open or unreachable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    cpu_shared_milli: u64,
    cpu_performance_milli: u64,
    memory_bytes: u64,
    pub(crate) gpu_milli: u32,
    /// What the emptiest GPU has left.
    gpu_most_milli: u32,
    /// Which of the distinct declarations is the host's.
    offer: u32,
    open: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    /// By host number.
    rows: Vec<Row>,
    /// The distinct declarations, held so that an address stands for one of them only.
    offers: Vec<Arc<HostSpec>>,
    by_address: BTreeMap<usize, u32>,
    position: Option<u64>,
}

/// What an ask needs of a row, and what is known of the declarations.
#[derive(Debug)]
pub(crate) struct Need<'a> {
    ask: &'a Ask<'a>,
    cpu_shared_milli: u64,
    cpu_performance_milli: u64,
    memory_bytes: u64,
    gpu_milli: u32,
    gpu_each_milli: u32,
    /// By offer: whether an empty host of it would do.
    verdicts: Vec<Option<bool>>,
}

impl Rooms {
    /// Takes over what was touched up to the journal's end.
    pub(crate) fn catch_up(&mut self, fleet: &Fleet, in_flight: &InFlight, journal: &Journal) {
        // Whoever redeclares often leaves declarations behind that no host has.
        let crowded = self.offers.len() > 2 * fleet.host_count() + 64;
        let touched = self.position.filter(|_| !crowded).and_then(|position| journal.since(position));
        match touched {
            Some(entries) => entries.for_each(|touched| self.renew(fleet, in_flight, touched.host)),
            None => {
                *self = Self::default();
                fleet.host_ids().for_each(|id| self.renew(fleet, in_flight, id));
            }
        }
        self.position = Some(journal.end());
    }

    fn renew(&mut self, fleet: &Fleet, in_flight: &InFlight, id: HostId) {
        let at = id as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, Row::default());
        }
        let open = |host: &&Host| host.scheduling == Scheduling::Open && !host.unreachable;
        self.rows[at] = match fleet.host(id).filter(open) {
            None => Row::default(),
            Some(host) => {
                let offer = self.offer(&host.offer);
                in_flight.with_room(fleet, host, "", None, |room| row(room, offer))
            }
        };
    }

    fn offer(&mut self, offer: &Arc<HostSpec>) -> u32 {
        let next = self.offers.len() as u32;
        let number = *self.by_address.entry(Arc::as_ptr(offer) as usize).or_insert(next);
        if number == next {
            self.offers.push(Arc::clone(offer));
        }
        number
    }

    pub(crate) fn need<'a>(&self, ask: &'a Ask<'a>) -> Need<'a> {
        let (mut cpu_shared_milli, mut cpu_performance_milli) = (0, 0);
        if let Some(shape) = ask.shape {
            match shape.cpu_kind() {
                CpuKind::Shared => cpu_shared_milli = shape.cpu_milli,
                CpuKind::Performance => cpu_performance_milli = shape.cpu_milli,
            }
        }
        let gpu = ask.shape.and_then(|shape| shape.gpu.as_ref());
        Need {
            ask,
            cpu_shared_milli,
            cpu_performance_milli,
            memory_bytes: ask.shape.map_or(0, |shape| shape.memory_bytes),
            gpu_milli: gpu.map_or(0, |gpu| gpu.total_milli().min(u64::from(u32::MAX)) as u32),
            gpu_each_milli: gpu.map_or(0, |gpu| gpu.milli),
            verdicts: vec![None; self.offers.len()],
        }
    }

    /// The row of a host that may do; none where a constraint would refuse it for certain.
    pub(crate) fn may_fit(&self, fleet: &Fleet, need: &mut Need<'_>, id: HostId) -> Option<&Row> {
        let row = self.rows.get(id as usize)?;
        let has_room = row.open
            && row.gpu_most_milli >= need.gpu_each_milli
            && row.gpu_milli >= need.gpu_milli
            && row.cpu_shared_milli >= need.cpu_shared_milli
            && row.cpu_performance_milli >= need.cpu_performance_milli
            && row.memory_bytes >= need.memory_bytes;
        if !has_room {
            return None;
        }
        let ask = need.ask;
        let verdict = &mut need.verdicts[row.offer as usize];
        verdict.get_or_insert_with(|| empty_would_do(fleet, ask, id)).then_some(row)
    }
}

fn row(room: &Room<'_>, offer: u32) -> Row {
    let (spec, usage) = (&room.host.offer, room.usage);
    let free = |at| usage.free_device_milli(at);
    Row {
        cpu_shared_milli: spec.cpu_shared_promisable_milli().saturating_sub(usage.cpu_shared_milli),
        cpu_performance_milli: spec.cpu_performance_milli.saturating_sub(usage.cpu_performance_milli),
        memory_bytes: spec.memory_bytes.saturating_sub(usage.memory_bytes),
        gpu_milli: room.free_gpu_milli() as u32,
        gpu_most_milli: (0..usage.devices.len()).map(free).max().unwrap_or(0),
        offer,
        open: true,
    }
}

/// Whether a host with this one's declaration and nothing on it would do, as far as the declaration says.
fn empty_would_do(fleet: &Fleet, ask: &Ask<'_>, id: HostId) -> bool {
    let Some(host) = fleet.host(id) else { return false };
    let usage = Usage::empty(host.offer.devices.len());
    let room = Room { fleet, host, usage: &usage, app_machines: 0, in_flight: None };
    OF_OFFER.iter().all(|constraint| (constraint.check)(ask, &room).is_ok())
}
