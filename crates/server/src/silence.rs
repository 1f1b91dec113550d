//! Hosts whose agents are silent for too long: nothing new goes there, and they keep what they hold until they are heard of
//! again. The leader says so, as the only one that agents speak to.

use std::time::Duration;

use futures::future::join_all;
use gantry_machine::SetReachable;
use gantry_proto::WireError;
use gantry_types::HostId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{call::What, node::Node};

/// How often it is looked: in so many parts of the time that an agent may be silent.
const LOOKS: u32 = 10;
/// Hosts that are given up with one look. Where more are silent they follow with the next ones.
const AT_ONCE: usize = 1_024;
/// Older members know no hosts that are unreachable.
const FEATURE_LEVEL: u32 = 2;

/// Gives hosts up, whenever this node leads, until it ends.
pub(crate) async fn watch(node: Node, after: Duration) {
    let role = node.consensus().role();
    let mut ticks = interval(after / LOOKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leads_since = None;
    loop {
        ticks.tick().await;
        if !role.borrow().is_leader {
            leads_since = None;
            continue;
        }
        // Agents need time to find out who leads now.
        let since: Instant = *leads_since.get_or_insert_with(Instant::now);
        if since.elapsed() < after {
            continue;
        }
        let (silent, more) = silent(&node, after);
        if !silent.is_empty() {
            give_up(&node, &silent, more).await;
        }
    }
}

/// Hosts that count as reachable and were not heard of, with their names, and how many there are beyond those.
fn silent(node: &Node, after: Duration) -> (Vec<(HostId, String)>, usize) {
    let state = node.state();
    let state = state.read();
    if state.fleet.feature_level() < FEATURE_LEVEL {
        return (Vec::new(), 0);
    }
    let heard = node.agents().heard_within(after);
    let mut silent = state.fleet.hosts().filter(|host| !host.unreachable && !heard.contains(&host.id));
    let first = silent.by_ref().take(AT_ONCE).map(|host| (host.id, host.spec.name.clone())).collect();
    (first, silent.count())
}

async fn give_up(node: &Node, silent: &[(HostId, String)], more: usize) {
    let proposals = silent.iter().map(async |(host, name)| {
        match node.decide(What::Command(SetReachable { host: *host, reachable: false }.into()), None).await {
            Ok(_) => tracing::warn!(host = name, "unreachable: its agent is silent; nothing new goes there"),
            Err(error) => tracing::debug!(host = name, error = %WireError::from(error), "not given up"),
        }
    });
    join_all(proposals).await;
    if more > 0 {
        tracing::warn!(more, "more hosts are silent");
    }
}
