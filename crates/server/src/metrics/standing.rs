//! Where this member stands, looked up when it is asked for.

use std::sync::atomic::AtomicU64;

use gantry_consensus::{Consensus, Standing as Part};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

type Number = Gauge<u64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Standing {
    numbers: [Number; NUMBERS.len()],
}

struct Known {
    name: &'static str,
    help: &'static str,
    value: fn(&Look<'_>) -> u64,
}

struct Look<'a> {
    status: &'a gantry_consensus::Status,
    fleet: &'a gantry_fleet::Fleet,
    rev: u64,
}

static NUMBERS: [Known; 13] = [
    Known {
        name: "is_leader",
        help: "1 on the member that leads",
        value: |at| u64::from(at.status.standing == Part::Leader),
    },
    Known { name: "has_leader", help: "1 where a leader is known", value: |at| u64::from(at.status.leader.is_some()) },
    Known { name: "term", help: "The Raft term, one more with each election", value: |at| at.status.term },
    Known {
        name: "voters",
        help: "Members that vote",
        value: |at| at.status.members.iter().filter(|m| m.is_voter).count() as u64,
    },
    Known {
        name: "members_changing",
        help: "1 while a change of the voters is half done",
        value: |at| u64::from(at.status.is_joint),
    },
    Known { name: "log_last_index", help: "The log's last entry", value: |at| at.status.last_log.unwrap_or(0) },
    Known {
        name: "log_committed_index",
        help: "The last entry known to be committed",
        value: |at| at.status.committed.map_or(0, |pos| pos.index),
    },
    Known { name: "applied_rev", help: "The last entry in the state", value: |at| at.rev },
    Known {
        name: "snapshot_index",
        help: "The last entry in the newest snapshot",
        value: |at| at.status.snapshot.map_or(0, |pos| pos.index),
    },
    Known { name: "hosts", help: "Registered hosts", value: |at| at.fleet.host_count() as u64 },
    Known {
        name: "hosts_unreachable",
        help: "Of these, hosts whose agents are silent: nothing new goes there",
        value: |at| at.fleet.hosts().filter(|host| host.unreachable).count() as u64,
    },
    Known { name: "reservations", help: "Reservations that stand", value: |at| at.fleet.reservation_count() as u64 },
    Known { name: "volumes", help: "Volumes", value: |at| at.fleet.volume_count() as u64 },
];

impl Standing {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let numbers: [Number; NUMBERS.len()] = std::array::from_fn(|_| Number::default());
        for (known, number) in NUMBERS.iter().zip(&numbers) {
            registry.register(known.name, known.help, number.clone());
        }
        Self { numbers }
    }

    pub(super) fn look(&self, consensus: &Consensus) {
        let status = consensus.status();
        let state = consensus.state();
        let state = state.read();
        let look = Look { status: &status, fleet: &state.fleet, rev: state.rev() };
        for (known, number) in NUMBERS.iter().zip(&self.numbers) {
            number.set((known.value)(&look));
        }
    }
}
