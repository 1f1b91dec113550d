//! What agents are asked to fetch ahead, and how far they are.

use std::collections::BTreeMap;

use gantry_proto::v1::{self, FetchState, agent_event};
use gantry_types::HostId;
use tokio::sync::watch;

use super::Agents;

/// Fetches of one host that are under way; it is not asked for more.
const UNDER_WAY: usize = 64;

/// Those of one agent's connection.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    next: u64,
    under_way: BTreeMap<u64, watch::Sender<v1::FetchProgress>>,
}

/// A fetch that an agent was asked for. Whoever drops it does not want it any more.
#[derive(Debug)]
pub(crate) struct Fetching {
    agents: Agents,
    host: HostId,
    session: u64,
    id: u64,
    progress: watch::Receiver<v1::FetchProgress>,
}

/// Why an agent is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    NotConnected,
    Busy,
}

impl Agents {
    pub(crate) fn is_connected(&self, host: HostId) -> bool {
        self.0.lock().sessions.contains_key(&host)
    }

    /// Asks a host's agent to fetch something. The fetch's id is given here.
    pub(crate) fn fetch(&self, host: HostId, fetch: v1::Fetch) -> Result<Fetching, NotAsked> {
        let mut registry = self.0.lock();
        let session = registry.sessions.get_mut(&host).ok_or(NotAsked::NotConnected)?;
        let fetches = &mut session.fetches;
        if fetches.under_way.len() >= UNDER_WAY {
            return Err(NotAsked::Busy);
        }
        fetches.next += 1;
        let id = fetches.next;
        let (told, progress) = watch::channel(v1::FetchProgress { id, ..v1::FetchProgress::default() });
        fetches.under_way.insert(id, told);
        let session = session.id;
        drop(registry);
        self.tell(host, agent_event::Event::Fetch(v1::Fetch { id, ..fetch }));
        Ok(Fetching { agents: self.clone(), host, session, id, progress })
    }

    /// An agent tells how far it is. What is unknown here was cancelled, or asked for by nobody.
    pub(crate) fn progressed(&self, host: HostId, session: u64, progress: v1::FetchProgress) {
        let mut registry = self.0.lock();
        let session = registry.sessions.get_mut(&host).filter(|known| known.id == session);
        let Some(session) = session else { return };
        let id = progress.id;
        let is_over = is_over(progress.state());
        if let Some(told) = session.fetches.under_way.get(&id) {
            told.send_replace(progress);
        }
        if is_over {
            session.fetches.under_way.remove(&id);
        }
    }
}

impl Fetching {
    /// The newest word of the agent, once there is one that was not given yet; nothing where its connection has ended.
    pub(crate) async fn next(&mut self) -> Option<v1::FetchProgress> {
        self.progress.changed().await.ok()?;
        Some(self.progress.borrow_and_update().clone())
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut registry = self.agents.0.lock();
        let session = registry.sessions.get_mut(&self.host).filter(|known| known.id == self.session);
        let was_under_way = session.is_some_and(|session| session.fetches.under_way.remove(&self.id).is_some());
        drop(registry);
        if was_under_way {
            self.agents.tell(self.host, agent_event::Event::CancelFetch(v1::CancelFetch { id: self.id }));
        }
    }
}

/// Whether nothing follows.
pub(crate) fn is_over(state: FetchState) -> bool {
    matches!(state, FetchState::Ready | FetchState::Failed | FetchState::Cancelled)
}
