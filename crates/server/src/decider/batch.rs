//! Commands on their way to one log entry, with those who wait for them.

use std::sync::Arc;

use gantry_consensus::Commands;
use gantry_machine::{Command, Entry, Kind, Reserve};
use gantry_placement::{Choice, Planned, Planner};
use gantry_types::{PlaceRequest, Plan, RejectionGroup, Stamp};
use prost::Message;
use tokio::time::Instant;

use crate::call::{Call, Reply, What};

#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Grows with every proposal of this process.
    pub number: u64,
    pub commands: Vec<Command>,
    /// The commands, once they are proposed.
    pub entry: Arc<Entry>,
    /// One a command.
    pub waiting: Vec<Waiting>,
    pub bytes: usize,
    /// Its plans no longer count as in flight.
    pub settled: bool,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub reply: Reply,
    pub deadline: Option<Instant>,
    pub attempts: u32,
    pub context: Context,
}

/// What an answer says beyond what was committed.
#[derive(Debug)]
pub(crate) enum Context {
    Plain,
    Reservation { plans: Vec<Plan>, choices: Vec<Choice>, rejections: Vec<RejectionGroup> },
}

/// The command that reserves what was planned.
pub(crate) fn reservation(request: PlaceRequest, fingerprint: u64, planned: Planned) -> (Command, Context) {
    let Planned { plans, choices, rejections, .. } = planned;
    let context = Context::Reservation { plans: plans.clone(), choices, rejections };
    (Command::from(Reserve { request, fingerprint, plans }), context)
}

impl Batch {
    pub(crate) fn push(&mut self, command: Command, waiting: Waiting) {
        self.bytes += command.encoded_len();
        self.commands.push(command);
        self.waiting.push(waiting);
    }

    /// The log entry, shared with the log: this node applies it without decoding it.
    pub(crate) fn seal(&mut self, stamp: Stamp, proposer: u64) -> Commands {
        let commands = std::mem::take(&mut self.commands);
        self.entry = Arc::new(Entry::new(stamp, proposer, self.number, commands));
        Commands { bytes: self.entry.encode_to_vec().into(), decoded: Some(Arc::clone(&self.entry)) }
    }

    /// Whether the state holds the entry, given the proposal applied last.
    pub(crate) fn is_applied(&self, proposer: u64, last_proposal: (u64, u64)) -> bool {
        last_proposal.0 == proposer && last_proposal.1 >= self.number
    }

    /// Its plans are in the state now, or never will be.
    pub(crate) fn settle(&mut self, planner: &mut Planner) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        for command in &self.entry.commands {
            match &command.kind {
                Some(Kind::Reserve(reserve)) => planner.settle(&reserve.request, &reserve.plans),
                Some(Kind::CreateVolume(create)) => planner.settle_volume(&create.request, &create.plan()),
                _ => {}
            }
        }
    }
}

impl Waiting {
    /// The call that a command came from, to be planned once more.
    pub(crate) fn again(self, command: &Command) -> Option<Call> {
        let what = match command.kind.clone()? {
            Kind::Reserve(Reserve { request, fingerprint, .. }) => What::Place { request, fingerprint },
            Kind::CreateVolume(create) => {
                What::CreateVolume { request: create.request, fingerprint: create.fingerprint }
            }
            kind => What::Command(Command { kind: Some(kind) }),
        };
        Some(Call { what, deadline: self.deadline, attempts: self.attempts, reply: self.reply })
    }
}
