//! S1. Each replica's state is sound, and what clients were told adds up to no more than a host has.

use std::collections::BTreeMap;

use gantry_types::WHOLE_GPU_MILLI;

use super::{Check, Invariant, Moment};
use crate::{history::Released, workload};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "no oversubscription",
    why: "S1: on every replica, no host has promised more than it has",
    begin: || Box::new(NoOversubscription::default()),
};

/// The rev at which each node was last looked at.
#[derive(Default)]
struct NoOversubscription(BTreeMap<u64, u64>);

impl Check for NoOversubscription {
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        if !moment.thorough {
            return Ok(());
        }
        for (id, up) in moment.up() {
            let state = up.state.read();
            if self.0.insert(id, state.rev()) != Some(state.rev()) {
                state.fleet.check().map_err(|why| format!("node {id} at rev {}: {why}", state.rev()))?;
            }
        }
        promised(moment)
    }
}

/// All that was promised of a host, to the clients' knowledge.
#[derive(Debug, Default)]
struct Promised {
    cpu_milli: u64,
    memory_bytes: u64,
    /// Thousandths, by index.
    gpus: BTreeMap<u32, u32>,
}

fn promised(moment: &Moment<'_>) -> Result<(), String> {
    let mut hosts: BTreeMap<u32, Promised> = BTreeMap::new();
    let history = moment.world.history.lock();
    for granted in history.grants().filter(|granted| granted.released == Released::No) {
        let host = hosts.entry(granted.host).or_default();
        host.cpu_milli += granted.cpu_milli;
        host.memory_bytes += granted.memory_bytes;
        for (index, milli) in &granted.devices {
            *host.gpus.entry(*index).or_default() += milli;
        }
    }
    let has = workload::spec(0);
    let is_too_much = |promised: &Promised| {
        promised.cpu_milli > has.cpu_shared_milli
            || promised.memory_bytes > has.memory_bytes
            || promised.gpus.values().any(|milli| *milli > WHOLE_GPU_MILLI)
    };
    match hosts.iter().find(|(_, promised)| is_too_much(promised)) {
        Some((host, promised)) => Err(format!("host {host} does not have what clients were promised: {promised:?}")),
        None => Ok(()),
    }
}
