//! Reads every replica from its own applied state, once all have applied the same rev.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gantry_client::Client;
use gantry_proto::v1;

use super::Replica;
use crate::cluster::Cluster;

/// Reservations on a page: about 3 MB.
const PAGE: u32 = 5_000;
/// Something still wrote while the replicas were read; then they are read again. After a long run that goes on for as long as
/// answers are remembered, two minutes, and until all are forgotten, bit by bit: two more.
const TRIES_FOR: Duration = Duration::from_secs(360);

/// All replicas at one rev.
pub async fn read(cluster: &Cluster) -> Result<Vec<Replica>> {
    let deadline = Instant::now() + TRIES_FOR;
    loop {
        let before = cluster.settled().await?;
        let mut replicas = Vec::new();
        for (status, addr) in before.iter().zip(cluster.addrs()) {
            let node = cluster.client().on(&addr)?;
            let reservations = list(&node).await.with_context(|| format!("cannot list node {}", status.node_id))?;
            replicas.push(Replica {
                node: status.node_id,
                rev: status.applied,
                state_hash: status.state_hash.clone(),
                reservations,
            });
        }
        let after = cluster.settled().await?;
        let still = after.iter().zip(&before).all(|(a, b)| a.applied == b.applied || a.state_hash == b.state_hash);
        if still {
            return Ok(replicas);
        }
        if Instant::now() > deadline {
            bail!("the cluster does not come to rest: something writes all the time");
        }
    }
}

/// Every reservation, from the node's own applied state.
async fn list(node: &Client) -> Result<Vec<v1::Reservation>> {
    let mut all = Vec::new();
    let mut after_id = 0;
    loop {
        let page = node.list(v1::ListRequest { page_size: PAGE, after_id, ..Default::default() }).await?;
        all.extend(page.reservations);
        after_id = page.next_after_id;
        if after_id == 0 {
            return Ok(all);
        }
    }
}
