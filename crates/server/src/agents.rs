//! The agents connected to this node, by host: who hears of grants, and who fetches ahead.

mod fetching;

use std::{sync::Arc, time::Duration};

use gantry_consensus::{Consensus, SharedState};
use gantry_fleet::{Event, EventKind, Fleet};
use gantry_proto::{
    WireError, convert,
    v1::{self, agent_event},
};
use gantry_types::{HostId, Rev};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};
use tonic::Status;

use self::fetching::Fetches;
pub(crate) use self::fetching::{Fetching, NotAsked, is_over};
use crate::call::Answer;

/// Events read from the ring at once.
const EVENTS_AT_ONCE: usize = 4_096;

/// News that one agent has not read yet. A slower agent is cut off: it connects again and hears of what stands.
const NEWS_WAITING: usize = 4_096;

/// What an agent hears unasked.
#[derive(Debug)]
pub(crate) enum News {
    /// All that stands on its host when it registers.
    Standing(Vec<v1::Reservation>),
    Event(Box<agent_event::Event>),
}

/// The writing half of an agent's stream.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    news: mpsc::Sender<News>,
    close: mpsc::Sender<Status>,
}

/// What [`Line`] carries, at the stream.
#[derive(Debug)]
pub(crate) struct Heard {
    pub news: mpsc::Receiver<News>,
    /// The stream's end, with the reason, before whatever else waits.
    pub close: mpsc::Receiver<Status>,
}

pub(crate) fn line() -> (Line, Heard) {
    let (told, news) = mpsc::channel(NEWS_WAITING);
    let (closed, close) = mpsc::channel(1);
    (Line { news: told, close: closed }, Heard { news, close })
}

impl Line {
    fn close(&self, status: Status) {
        // Where it is full the stream ends already, for an earlier reason.
        let _ = self.close.try_send(status);
    }

    /// False where the agent is too slow, or gone.
    fn tell(&self, news: News) -> bool {
        self.news.try_send(news).is_ok()
    }
}

#[derive(Debug)]
struct Session {
    /// Which connection: a newer one takes the host over.
    id: u64,
    line: Line,
    /// What stood at this position was told at once; only later events are news.
    since: Rev,
    fetches: Fetches,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Agents(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    sessions: HashMap<HostId, Session>,
    /// When each host's agent was last heard of, as long as that matters.
    heard: HashMap<HostId, Instant>,
    next: u64,
}

impl Agents {
    /// A host's agent is connected: it hears of what stands on the host, and of everything that happens after. An earlier
    /// connection of the same host is closed.
    pub(crate) fn connected(&self, state: &SharedState, host: HostId, line: Line) -> u64 {
        // One step under the locks that `deliver` takes: nothing is told twice, left out, or after its own end.
        let state = state.read();
        let mut registry = self.0.lock();
        registry.next += 1;
        let id = registry.next;
        if !line.tell(News::Standing(standing(&state.fleet, host))) {
            line.close(too_slow());
        }
        let session = Session { id, line, since: state.rev(), fetches: Fetches::default() };
        registry.heard.insert(host, Instant::now());
        if let Some(old) = registry.sessions.insert(host, session) {
            let why = "another agent registered the same host: run one agent per host";
            old.line.close(Status::aborted(why));
        }
        id
    }

    /// A host's agent has said something.
    pub(crate) fn heard_of(&self, host: HostId) {
        self.0.lock().heard.insert(host, Instant::now());
    }

    /// Hosts whose agents said something in that time; of others nothing is remembered any more.
    pub(crate) fn heard_within(&self, time: Duration) -> HashSet<HostId> {
        let heard = &mut self.0.lock().heard;
        heard.retain(|_, at| at.elapsed() < time);
        heard.keys().copied().collect()
    }

    pub(crate) fn disconnected(&self, host: HostId, id: u64) {
        let mut registry = self.0.lock();
        if registry.sessions.get(&host).is_some_and(|session| session.id == id) {
            registry.sessions.remove(&host);
        }
    }

    /// Agents must connect again, here or at the node that serves them now.
    pub(crate) fn close_all(&self, why: &WireError) {
        for (_, session) in self.0.lock().sessions.drain() {
            session.line.close(why.clone().into());
        }
    }

    fn tell(&self, host: HostId, event: agent_event::Event) {
        let mut registry = self.0.lock();
        let Some(session) = registry.sessions.get(&host) else { return };
        if !session.line.tell(News::Event(Box::new(event))) {
            session.line.close(too_slow());
            registry.sessions.remove(&host);
        }
    }

    /// Whether the host's agent has yet to hear of what happened at `rev`.
    fn listens(&self, host: HostId, rev: Rev) -> bool {
        self.0.lock().sessions.get(&host).is_some_and(|session| session.since < rev)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().sessions.is_empty()
    }
}

fn too_slow() -> Status {
    WireError::overloaded("events of this host").into()
}

fn standing(fleet: &Fleet, host: HostId) -> Vec<v1::Reservation> {
    let Some(host) = fleet.host(host) else { return Vec::new() };
    let rows = host.reservations().iter().filter_map(|&id| fleet.reservation(id));
    rows.map(|row| convert::reservation(row, &host.spec)).collect()
}

/// Tells agents what is granted and ended on their hosts, until consensus stops.
pub(crate) async fn dispatch(consensus: Consensus, agents: Agents) {
    let state = consensus.state();
    let mut applied = consensus.applied();
    let mut role = consensus.role();
    let mut seen = state.read().rev();
    loop {
        tokio::select! {
            biased;
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
        let events = match state.events.after(seen, EVENTS_AT_ONCE) {
            Ok(events) => events,
            Err(gone) => {
                agents.close_all(&WireError::compacted(gone.oldest));
                return state.rev();
            }
        };
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

fn for_agent(fleet: &Fleet, agents: &Agents, event: &Event) -> Option<(HostId, agent_event::Event)> {
    match &event.kind {
        EventKind::Reserved(row) if agents.listens(row.plan.host, event.rev) => {
            let spec = fleet.host_spec(row.plan.host)?;
            Some((row.plan.host, agent_event::Event::Granted(convert::reservation(row, spec))))
        }
        EventKind::Ended { reservation, .. } if agents.listens(reservation.plan.host, event.rev) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::member::{Member, place};

    /// The ids granted and ended, as an agent hears of them.
    fn heard(heard: &mut Heard) -> Vec<(&'static str, u64)> {
        let mut told = Vec::new();
        while let Ok(news) = heard.news.try_recv() {
            match news {
                News::Standing(rows) => told.extend(rows.iter().map(|row| ("stands", row.id))),
                News::Event(event) => told.push(match *event {
                    agent_event::Event::Granted(row) => ("granted", row.id),
                    agent_event::Event::Ended(end) => ("ended", end.reservation_id),
                    other => panic!("no news: {other:?}"),
                }),
            }
        }
        told
    }

    #[tokio::test]
    async fn what_stood_at_registration_is_told_once_even_where_events_come_late() {
        let member = Member::start().await;
        let _streams = member.hosts(1).await;
        let mut placement = member.placement();
        let first = placement.place(place("a", 1)).await.unwrap().into_inner().reservations[0].id;
        let release = |id: u64| v1::ReleaseRequest { request_id: format!("r{id}"), reservation_ids: vec![id] };
        placement.release(release(first)).await.unwrap();
        let second = placement.place(place("b", 1)).await.unwrap().into_inner().reservations.remove(0);
        let (agents, (line, mut news)) = (Agents::default(), super::line());
        agents.connected(&member.consensus.state(), second.host_id, line);
        // The task that tells of events is behind: it begins long before the registration.
        let seen = deliver(&member.consensus, &agents, 0);
        assert_eq!(heard(&mut news), [("stands", second.id)]);
        placement.release(release(second.id)).await.unwrap();
        deliver(&member.consensus, &agents, seen);
        assert_eq!(heard(&mut news), [("ended", second.id)]);
    }

    #[tokio::test]
    async fn an_agent_that_does_not_read_is_cut_off() {
        let member = Member::start().await;
        let (agents, (line, mut heard)) = (Agents::default(), super::line());
        agents.connected(&member.consensus.state(), 1, line);
        let ended = || agent_event::Event::Ended(v1::ReservationEnded::default());
        (1..NEWS_WAITING).for_each(|_| agents.tell(1, ended()));
        assert!(agents.listens(1, Rev::MAX), "what stands and these events fit");
        agents.tell(1, ended());
        assert!(agents.is_empty(), "events pile up without limit");
        let why = WireError::from(&heard.close.try_recv().expect("the stream is ended"));
        assert_eq!(why.detail.reason, gantry_proto::reason::OVERLOADED);
    }
}
