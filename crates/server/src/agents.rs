//! The agents connected to this node, by host: who hears of grants, and when each was last heard.

use std::sync::Arc;

use gantry_consensus::Consensus;
use gantry_fleet::{Event, EventKind};
use gantry_proto::{
    WireError, convert,
    v1::{self, agent_event},
};
use gantry_types::HostId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};

use crate::call::Answer;

/// Events read from the ring at once.
const EVENTS_AT_ONCE: usize = 4_096;

/// What goes out on an agent's stream.
#[derive(Debug)]
pub(crate) enum ToAgent {
    Event(Box<agent_event::Event>),
    /// The stream's end, with the reason.
    Close(tonic::Status),
}

#[derive(Debug)]
struct Session {
    /// Which connection: a newer one takes the host over.
    id: u64,
    events: mpsc::UnboundedSender<ToAgent>,
    heard: Instant,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Agents(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    sessions: HashMap<HostId, Session>,
    next: u64,
}

impl Agents {
    /// A host's agent is connected. An earlier connection of the same host is closed.
    pub(crate) fn connected(&self, host: HostId, events: mpsc::UnboundedSender<ToAgent>) -> u64 {
        let mut registry = self.0.lock();
        registry.next += 1;
        let id = registry.next;
        let session = Session { id, events, heard: Instant::now() };
        if let Some(old) = registry.sessions.insert(host, session) {
            let why = "another agent registered the same host: run one agent per host";
            drop(old.events.send(ToAgent::Close(tonic::Status::aborted(why))));
        }
        id
    }

    pub(crate) fn disconnected(&self, host: HostId, id: u64) {
        let mut registry = self.0.lock();
        if registry.sessions.get(&host).is_some_and(|session| session.id == id) {
            registry.sessions.remove(&host);
        }
    }

    pub(crate) fn heard(&self, host: HostId, id: u64) {
        if let Some(session) = self.0.lock().sessions.get_mut(&host).filter(|session| session.id == id) {
            session.heard = Instant::now();
        }
    }

    /// This node no longer serves agents: they must find the node that does.
    pub(crate) fn close_all(&self, why: &WireError) {
        for (_, session) in self.0.lock().sessions.drain() {
            drop(session.events.send(ToAgent::Close(why.clone().into())));
        }
    }

    fn tell(&self, host: HostId, event: agent_event::Event) {
        if let Some(session) = self.0.lock().sessions.get(&host) {
            drop(session.events.send(ToAgent::Event(Box::new(event))));
        }
    }

    fn is_connected(&self, host: HostId) -> bool {
        self.0.lock().sessions.contains_key(&host)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().sessions.is_empty()
    }
}

/// Tells agents what is granted and ended on their hosts, until consensus stops.
pub(crate) async fn dispatch(consensus: Consensus, agents: Agents) {
    let state = consensus.state();
    let mut applied = consensus.applied();
    let mut role = consensus.role();
    let mut seen = state.read().rev();
    loop {
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            changed = role.changed() => if changed.is_err() { return },
        }
        let now = role.borrow_and_update().clone();
        if !now.is_leader {
            agents.close_all(&WireError::not_leader(now.leader.as_ref().map(|leader| leader.client_addr.as_str())));
        }
        seen = deliver(&consensus, &agents, seen);
    }
}

/// Sends the events after `seen`; returns how far that was.
fn deliver(consensus: &Consensus, agents: &Agents, mut seen: u64) -> u64 {
    let state = consensus.state();
    loop {
        let state = state.read();
        if agents.is_empty() {
            return state.rev();
        }
        // An agent that missed events hears of what stands when it registers again.
        let Ok(events) = state.events.after(seen, EVENTS_AT_ONCE) else { return state.rev() };
        let full = events.len() >= EVENTS_AT_ONCE;
        for event in &events {
            if let Some((host, event)) = for_agent(&state.fleet, agents, event) {
                agents.tell(host, event);
            }
        }
        match events.last() {
            Some(last) if full => seen = last.rev,
            _ => return state.rev(),
        }
    }
}

fn for_agent(fleet: &gantry_fleet::Fleet, agents: &Agents, event: &Event) -> Option<(HostId, agent_event::Event)> {
    match &event.kind {
        EventKind::Reserved(row) if agents.is_connected(row.plan.host) => {
            let spec = fleet.host_spec(row.plan.host)?;
            Some((row.plan.host, agent_event::Event::Granted(convert::reservation(row, spec))))
        }
        EventKind::Ended { reservation, .. } => {
            let ended =
                v1::ReservationEnded { reservation_id: reservation.id, fence: reservation.fence, rev: event.rev };
            Some((reservation.plan.host, agent_event::Event::Ended(ended)))
        }
        _ => None,
    }
}

/// The answer to an agent's message `seq`.
pub(crate) fn done(seq: u64, answer: Answer) -> agent_event::Event {
    use crate::call::Answered;
    match answer {
        Ok(Answered::Did(gantry_machine::Effect::HostRegistered { rev, host })) => {
            agent_event::Event::Done(v1::Done { seq, rev, host_id: host })
        }
        answer => match crate::answer::rev(answer) {
            Ok(rev) => agent_event::Event::Done(v1::Done { seq, rev, host_id: 0 }),
            Err(error) => agent_event::Event::Failed(WireError::from(error).into_failed(seq)),
        },
    }
}
