//! The leader's one task: it plans calls over the applied state and the plans in flight, proposes many as one log entry
//! while earlier ones are being synced, and answers when they are applied.
//!
//! Batching is natural: whatever waited while the allowed proposals were in flight is the next batch. There are no timers.

mod batch;
mod clock;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use futures::{StreamExt, stream::FuturesOrdered};
use gantry_consensus::{Applied, Consensus, Member, Proposal, ProposeError, Role, SharedState, watch};
use gantry_fleet::Fleet;
use gantry_machine::{Command, CreateVolume, Effect, Expire, Outcome};
use gantry_placement::Planner;
use gantry_types::{Refused, limits};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};

pub(crate) use self::batch::Context;
pub use self::clock::WallClock;
use self::{
    batch::{Batch, Waiting},
    clock::Clock,
};
use crate::{
    answer,
    call::{Call, CallError, Reply, What},
    refusal, shortage,
};

/// Proposals whose outcome is not known yet. More would only make batches smaller.
const PROPOSALS_IN_FLIGHT: usize = 4;
/// Calls taken into the decider's own queue at once.
const CALLS_TAKEN: usize = 1_024;
/// Commands of one log entry.
const COMMANDS_PER_ENTRY: usize = 512;
/// Encoded bytes of one log entry above which no further command is added.
const ENTRY_BYTES: usize = 256 << 10;
/// How long an entry is planned for, but for the call at which that is over. Apply waits meanwhile, for the state's lock: in a
/// large fleet the first calls of a kind take a hundred milliseconds each.
const PLANNING: Duration = Duration::from_millis(5);
/// Hosts from which on planning gets a thread of its own: handing it over costs an eighth of the throughput.
const LARGE_FLEET: usize = 20_000;
/// How often a call is planned before its caller is told that it is contended.
const ATTEMPTS: u32 = 16;
/// How long a leader waits that was not heard from by enough followers to propose: a part of a heartbeat.
const UNHEARD: Duration = Duration::from_millis(10);
/// How often the decider looks for leases that ran out, and for callers that gave up.
pub(crate) const TICK: Duration = Duration::from_millis(200);

pub(crate) struct Decider {
    consensus: Consensus,
    state: SharedState,
    role: watch::Receiver<Role>,
    calls: mpsc::Receiver<Call>,
    queue: VecDeque<Call>,
    /// A call of which only a part fits beside what is in flight. It is planned when nothing is: only then is it true that
    /// the rest has no room (S7).
    partial: Option<Call>,
    /// Calls that only plans in flight leave no room for. They are planned again when one of these has come to its end.
    crowded: VecDeque<Call>,
    planner: Planner,
    /// Proposed and not yet answered, oldest first; runs parallel to `in_flight`.
    proposed: VecDeque<Batch>,
    in_flight: FuturesOrdered<Proposal>,
    /// Refusals that wait for the check that makes them honest.
    suspects: Vec<Call>,
    checking: Option<JoinHandle<Vec<Call>>>,
    /// Tells this run's entries from those of any other.
    proposer: u64,
    proposals: u64,
    leading_since: Option<u64>,
    /// Nothing is proposed before it.
    hold_until: Option<Instant>,
    clock: Clock,
    wall: WallClock,
}

impl Decider {
    pub(crate) fn new(consensus: Consensus, calls: mpsc::Receiver<Call>, proposer: u64, wall: WallClock) -> Self {
        Self {
            state: consensus.state(),
            role: consensus.role(),
            consensus,
            calls,
            queue: VecDeque::new(),
            partial: None,
            crowded: VecDeque::new(),
            planner: Planner::default(),
            proposed: VecDeque::new(),
            in_flight: FuturesOrdered::new(),
            suspects: Vec::new(),
            checking: None,
            proposer,
            proposals: 0,
            leading_since: None,
            hold_until: None,
            clock: Clock::starting(0, wall.clone()),
            wall,
        }
    }

    /// Runs until every sender of calls is gone.
    pub(crate) async fn run(mut self) {
        let mut taken = Vec::with_capacity(CALLS_TAKEN);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let room = self.queue.len() + self.crowded.len() + self.suspects.len() < CALLS_TAKEN;
            tokio::select! {
                biased;
                Some(outcome) = self.in_flight.next(), if !self.in_flight.is_empty() => self.finish(outcome),
                calls = self.calls.recv_many(&mut taken, CALLS_TAKEN), if room => {
                    if calls == 0 {
                        return;
                    }
                    self.queue.extend(taken.drain(..));
                }
                replan = joined(&mut self.checking), if self.checking.is_some() => {
                    self.checking = None;
                    self.crowded.extend(replan);
                }
                changed = self.role.changed() => if changed.is_err() { return },
                _ = tick.tick() => self.tick(),
                () = until(self.hold_until), if self.hold_until.is_some() => self.hold_until = None,
            }
            self.advance();
        }
    }

    /// Does whatever can be done without waiting.
    fn advance(&mut self) {
        let (leading, leader) = {
            let role = self.role.borrow();
            if role.is_settling {
                // Whoever leads in a moment decides what waits. What is under way is finished.
                return;
            }
            (role.is_leader.then_some(role.term), role.leader.clone())
        };
        if leading != self.leading_since {
            self.leading_since = leading;
            self.give_up_proposals();
            self.planner.reset();
            self.clock = Clock::starting(self.state.read().fleet.now(), self.wall.clone());
        }
        if leading.is_none() {
            self.refuse_all(leader.as_ref());
            return;
        }
        if self.in_flight.is_empty() {
            self.queue.append(&mut self.crowded);
        }
        while self.may_plan() {
            let is_large = self.state.read().fleet.host_count() >= LARGE_FLEET;
            let batch = if is_large { in_place(|| self.plan_batch()) } else { self.plan_batch() };
            self.propose(batch);
        }
        self.check_refusals();
    }

    fn may_plan(&self) -> bool {
        match self.partial {
            _ if self.hold_until.is_some() => false,
            Some(_) => self.in_flight.is_empty(),
            None => !self.queue.is_empty() && self.in_flight.len() < PROPOSALS_IN_FLIGHT,
        }
    }

    /// What was proposed in another term may be committed or not, and nobody tells this node soon.
    fn give_up_proposals(&mut self) {
        self.in_flight = FuturesOrdered::new();
        for waiting in self.proposed.drain(..).flat_map(|batch| batch.waiting) {
            waiting.reply.send(Err(CallError::Unknown("leadership changed before it was committed".to_owned())));
        }
    }

    fn refuse_all(&mut self, leader: Option<&Member>) {
        let waiting = self.partial.take().into_iter().chain(self.queue.drain(..)).chain(self.crowded.drain(..));
        for call in waiting.chain(self.suspects.drain(..)) {
            call.reply.send(Err(CallError::NotLeader(leader.cloned())));
        }
    }

    /// Plans from the queue until an entry is full, the queue is empty, or a call has to wait for what is in flight.
    fn plan_batch(&mut self) -> Batch {
        let state = self.state.clone();
        let state = state.read();
        for batch in &mut self.proposed {
            if batch.is_applied(self.proposer, state.last_proposal) {
                batch.settle(&mut self.planner);
            }
        }
        self.planner.catch_up(&state.fleet);
        let mut batch = Batch::default();
        let now = Instant::now();
        while batch.commands.len() < COMMANDS_PER_ENTRY && batch.bytes < ENTRY_BYTES && now.elapsed() < PLANNING {
            let Some(call) = self.partial.take().or_else(|| self.queue.pop_front()) else { break };
            if call.deadline.is_some_and(|deadline| deadline <= now) {
                call.reply.send(Err(CallError::Deadline));
            } else {
                self.plan_call(&state.fleet, &mut batch, call);
            }
            if self.partial.is_some() {
                break;
            }
        }
        batch
    }

    fn plan_call(&mut self, fleet: &Fleet, batch: &mut Batch, call: Call) {
        let Call { what, deadline, attempts, reply } = call;
        if let Err(refused) = what.allowed_in(fleet) {
            return reply.send(Err(CallError::Refused(refused)));
        }
        if let Some(outcome) = what.recalled(fleet) {
            return reply.send(answer::to(fleet, outcome, Context::Plain));
        }
        // After the answers that are known: whoever asks again must hear what became of it.
        if let Err(full) = shortage::check(&what, self.consensus.shortage().as_ref()) {
            return reply.send(Err(full));
        }
        match what {
            What::Command(command) => {
                batch.push(command, Waiting { reply, deadline, attempts, context: Context::Plain })
            }
            What::Place { request, fingerprint } => match self.planner.try_plan(fleet, &request) {
                Some(planned) if planned.missing > 0 && !(self.in_flight.is_empty() && batch.commands.is_empty()) => {
                    self.planner.settle(&request, &planned.plans);
                    self.partial = Some(Call { what: What::Place { request, fingerprint }, deadline, attempts, reply });
                }
                Some(planned) => {
                    let (command, context) = batch::reservation(request, fingerprint, planned);
                    batch.push(command, Waiting { reply, deadline, attempts, context });
                }
                None => {
                    let what = What::Place { request, fingerprint };
                    self.refused(Call { what, deadline, attempts, reply });
                }
            },
            What::CreateVolume { request, fingerprint } => match self.planner.plan_volume(fleet, &request) {
                Some(planned) => {
                    let command = Command::from(CreateVolume::planned(request, fingerprint, planned));
                    batch.push(command, Waiting { reply, deadline, attempts, context: Context::Plain });
                }
                None => {
                    let what = What::CreateVolume { request, fingerprint };
                    self.refused(Call { what, deadline, attempts, reply });
                }
            },
        }
    }

    /// "No capacity" counts plans in flight, so it is only a suspicion until [`refusal::check`] has looked.
    fn refused(&mut self, call: Call) {
        if call.attempts >= ATTEMPTS {
            // Not a "no": other calls hold the room, and none of them is applied yet.
            call.reply.send(Err(CallError::Overloaded));
        } else {
            self.suspects.push(call);
        }
    }

    /// One check at a time; what is refused meanwhile shares the next.
    fn check_refusals(&mut self) {
        if self.checking.is_none() && !self.suspects.is_empty() {
            let suspects = std::mem::take(&mut self.suspects);
            self.checking = Some(tokio::spawn(refusal::check(self.consensus.clone(), suspects)));
        }
    }

    fn propose(&mut self, mut batch: Batch) {
        if batch.commands.is_empty() {
            return;
        }
        self.proposals += 1;
        batch.number = self.proposals;
        let entry = batch.seal(self.clock.stamp(), self.proposer);
        self.in_flight.push_back(self.consensus.propose(entry));
        self.proposed.push_back(batch);
    }

    /// Answers the calls of the oldest proposal.
    fn finish(&mut self, outcome: Result<Applied, ProposeError>) {
        let Some(mut batch) = self.proposed.pop_front() else { return };
        self.queue.append(&mut self.crowded);
        let state = self.state.clone();
        let state = state.read();
        batch.settle(&mut self.planner);
        match outcome {
            Ok(applied) => {
                let results = batch.entry.commands.iter().zip(batch.waiting).zip(applied.outcomes);
                for ((command, waiting), outcome) in results {
                    self.answer(&state.fleet, command, waiting, outcome);
                }
            }
            Err(ProposeError::Unheard) => {
                // Nothing happened, and this node may be heard again in a moment.
                let calls = batch.entry.commands.iter().zip(batch.waiting);
                self.crowded.extend(calls.filter_map(|(command, waiting)| waiting.again(command)));
                self.hold_until = Some(Instant::now() + UNHEARD);
            }
            Err(error) => batch.waiting.into_iter().for_each(|waiting| waiting.reply.send(Err(call_error(&error)))),
        }
    }

    fn answer(&mut self, fleet: &Fleet, command: &Command, waiting: Waiting, outcome: Outcome) {
        match outcome {
            // As many leases as one command may end: more of them may be over.
            Ok(Effect::Expired { leases, .. }) if leases as usize >= limits::EXPIRED_PER_COMMAND => self.expire(),
            Err(Refused::Lost { .. }) if waiting.attempts < ATTEMPTS => {
                if let Some(call) = waiting.again(command) {
                    self.queue.push_front(Call { attempts: call.attempts + 1, ..call });
                }
            }
            outcome => waiting.reply.send(answer::to(fleet, outcome, waiting.context)),
        }
    }

    fn tick(&mut self) {
        // While proposals are stuck nothing is planned: callers still hear when their time is over, and expiry can wait.
        let now = Instant::now();
        let is_late = |call: &Call| call.deadline.is_some_and(|deadline| deadline <= now);
        let mut late = Vec::from_iter(self.partial.take_if(|call| is_late(call)));
        for calls in [&mut self.queue, &mut self.crowded] {
            for _ in 0..calls.len() {
                let Some(call) = calls.pop_front() else { break };
                if is_late(&call) { late.push(call) } else { calls.push_back(call) }
            }
        }
        late.into_iter().for_each(|call| call.reply.send(Err(CallError::Deadline)));
        let stuck = self.in_flight.len() == PROPOSALS_IN_FLIGHT;
        if self.leading_since.is_some() && !stuck {
            let stamp = self.clock.stamp();
            if self.state.read().fleet.expiry_due(stamp) {
                self.expire();
            }
        }
    }

    fn expire(&mut self) {
        let what = What::Command(Command::from(Expire {}));
        self.queue.push_back(Call { what, deadline: None, attempts: 0, reply: Reply::nobody() });
    }
}

/// Does work that may take long while others go on: heartbeats that waited for this thread would be late, and the followers
/// would elect another leader.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The calls to plan again. The callers of a check that died are answered when it drops them.
async fn joined(checking: &mut Option<JoinHandle<Vec<Call>>>) -> Vec<Call> {
    match checking {
        Some(handle) => handle.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

fn call_error(error: &ProposeError) -> CallError {
    match error {
        ProposeError::NotLeader { leader } => CallError::NotLeader(leader.clone()),
        ProposeError::TooLarge { bytes, limit } => CallError::TooLarge { bytes: *bytes as u64, limit: *limit as u64 },
        ProposeError::Busy => CallError::Overloaded,
        ProposeError::Unheard => CallError::NotLeader(None),
        ProposeError::Stopped { .. } => CallError::Stopped,
        ProposeError::Unknown { why } => CallError::Unknown(why.clone()),
    }
}
