//! A cluster of server processes on loopback: started, initialized, killed and restarted.
//!
//! Only processes that were started here are ever killed, each through its own handle, and all of them when the
//! cluster is dropped.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use gantry_client::Client;
use gantry_proto::v1;

pub mod binary;
pub mod links;
mod node;
mod prepared;
pub mod shim;

use self::{
    links::Links,
    node::{Addrs, Node},
};

const NODES: u64 = 3;
const POLL: Duration = Duration::from_millis(20);
/// A server that opens an empty directory, or replays the log of a run.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A server that is asked to end hands over, finishes its calls, and goes.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const LEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Until all replicas have applied the same rev once nothing is written any more.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Ports that servers get.
const PORTS_FROM: u16 = 10_000;
const PORTS_TRIED: u32 = 1_000;
/// The first port of outgoing connections where the kernel does not tell.
const EPHEMERAL_FROM: u16 = 32_768;

#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    client: Client,
    /// Removed with everything in it, unless something failed.
    dir: Option<tempfile::TempDir>,
}

impl Cluster {
    /// Starts three servers with their data under `base`, makes them one cluster and waits for its leader.
    pub async fn start(binary: &Path, base: &Path) -> Result<Self> {
        Self::prepare(binary, base, NODES)?.formed().await
    }

    /// As [`Self::start`], with more in the servers' configuration.
    pub async fn start_configured(binary: &Path, base: &Path, config: &str) -> Result<Self> {
        let mut cluster = Self::prepare(binary, base, NODES)?;
        cluster.nodes.iter_mut().try_for_each(|node| node.configure(config))?;
        cluster.formed().await
    }

    /// As [`Self::start`], with connections between the servers that can be cut.
    pub async fn start_linked(binary: &Path, base: &Path, links: &Links) -> Result<Self> {
        let mut addrs = Vec::new();
        for (id, (client_addr, own)) in (1..).zip(prepared::addrs(NODES)?) {
            let raft_addr = links.lead_to(id, own.clone()).await?;
            addrs.push(Addrs { client_addr, raft_addr, raft_listen: Some(own) });
        }
        Self::prepare_at(binary, base, addrs)?.formed().await
    }

    /// Starts the prepared servers, makes them one cluster and waits for its leader.
    pub async fn formed(self) -> Result<Self> {
        let mut cluster = self;
        let made = cluster.make().await;
        cluster.keep_if_failed(made)?;
        Ok(cluster)
    }

    async fn make(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.start()?;
        }
        for at in 0..self.nodes.len() {
            self.wait_ready(at).await?;
        }
        let members = self.nodes.iter().map(Node::member).collect();
        let init = self.client.init(&self.nodes[0].client_addr, v1::InitRequest { members }).await;
        init.context("the first node refused to make a cluster of the three")?;
        self.leader().await.map(drop)
    }

    /// Starts one more server, which is no member yet. Returns its id.
    pub async fn add_server(&mut self) -> Result<u64> {
        let dir = self.data_dir().context("the cluster has a directory while it runs")?.to_owned();
        let last = self.nodes.last().context("a cluster has nodes")?;
        let (binary, id) = (last.binary.clone(), last.id + 1);
        self.nodes.push(Node::create(&binary, id, &dir, Addrs::free()?)?);
        self.restart(id).await?;
        Ok(id)
    }

    /// Starts one more server, which joins the cluster by a token, in the place of `replaces` where that is given. Returns
    /// its id once it is a voter.
    pub async fn join_server(&mut self, replaces: Option<u64>) -> Result<u64> {
        self.join_server_at(Addrs::free()?, replaces).await
    }

    /// Starts a new server in the place of one that does not run and has lost its disk: under its addresses, with an id of its
    /// own. Returns that once it is a voter.
    pub async fn replace_disk(&mut self, lost: u64) -> Result<u64> {
        let addrs = self.nodes[self.position(lost)?].addrs();
        self.forget(lost)?;
        self.join_server_at(addrs, Some(lost)).await
    }

    async fn join_server_at(&mut self, addrs: Addrs, replaces: Option<u64>) -> Result<u64> {
        let dir = self.data_dir().context("the cluster has a directory while it runs")?.to_owned();
        let given = self.client.new_id().await.context("no id was given")?;
        let token = format!("{}-{}@{}", given.id, given.cluster_id, given.client_addrs.join(","));
        let binary = self.nodes.first().context("a cluster has nodes")?.binary.clone();
        let node = Node::create(&binary, given.id, &dir, addrs)?;
        self.nodes.push(node.joins(&token, replaces)?);
        self.restart(given.id).await?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let status = self.status(given.id, false).await?;
            if status.members.iter().any(|member| member.id == given.id && member.voter) {
                return Ok(given.id);
            }
            ensure!(Instant::now() < deadline, "node {} does not become a voter{}", given.id, self.logs());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends a server that is no member any more, and forgets it.
    pub fn forget(&mut self, id: u64) -> Result<()> {
        let at = self.position(id)?;
        self.nodes.remove(at);
        Ok(())
    }

    /// Ids of all nodes.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// Client addresses, by node.
    pub fn addrs(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client_addr.clone()).collect()
    }

    /// Follows the leader.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Ids of the running processes, by node.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Node::pid).collect()
    }

    pub fn data_dir(&self) -> Option<&Path> {
        self.dir.as_ref().map(tempfile::TempDir::path)
    }

    /// The node that leads, once there is one that says so of itself.
    pub async fn leader(&self) -> Result<u64> {
        let deadline = Instant::now() + LEADER_TIMEOUT;
        while Instant::now() < deadline {
            for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
                if let Ok(status) = self.status(node.id, false).await
                    && status.role == "leader"
                {
                    return Ok(node.id);
                }
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("no leader after {} s{}", LEADER_TIMEOUT.as_secs(), self.logs())
    }

    pub async fn status(&self, id: u64, state_hash: bool) -> Result<v1::StatusResponse> {
        let at = self.position(id)?;
        let status = self.client.status(&self.nodes[at].client_addr, state_hash).await;
        status.with_context(|| format!("node {id} does not tell its status"))
    }

    /// The address of one node for clients.
    pub fn addr(&self, id: u64) -> Result<String> {
        Ok(self.nodes[self.position(id)?].client_addr.clone())
    }

    /// Waits until all nodes have applied the same.
    pub async fn level(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let calls = self.nodes.iter().map(|node| self.status(node.id, false));
            let statuses = futures::future::try_join_all(calls).await;
            let applied = statuses.map(|all| all.iter().map(|status| status.applied).collect::<Vec<_>>());
            match applied {
                Ok(all) if all.windows(2).all(|two| two[0] == two[1]) => return Ok(()),
                applied if Instant::now() > deadline => bail!("the nodes do not reach the same rev: {applied:?}"),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Statuses with state hashes of all nodes at one applied rev.
    pub async fn settled(&self) -> Result<Vec<v1::StatusResponse>> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let calls = self.nodes.iter().map(|node| self.status(node.id, true));
            let statuses = futures::future::try_join_all(calls).await;
            match statuses {
                Ok(all) if all.windows(2).all(|two| two[0].applied == two[1].applied) => return Ok(all),
                Ok(all) if Instant::now() > deadline => {
                    let applied: Vec<_> = all.iter().map(|status| status.applied).collect();
                    bail!("the nodes do not reach the same rev: {applied:?}{}", self.logs())
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Ends a node with SIGKILL: no handler runs, nothing is flushed.
    pub fn kill(&mut self, id: u64) -> Result<()> {
        let at = self.position(id)?;
        self.nodes[at].kill()
    }

    /// Asks a node to end, and waits until it has.
    pub async fn terminate(&mut self, id: u64) -> Result<()> {
        let at = self.position(id)?;
        self.nodes[at].terminate(STOP_TIMEOUT).await
    }

    pub fn pid(&self, id: u64) -> Result<u32> {
        let at = self.position(id)?;
        self.nodes[at].pid().with_context(|| format!("node {id} does not run"))
    }

    /// Starts a node again on its directory and waits until it answers.
    pub async fn restart(&mut self, id: u64) -> Result<()> {
        let at = self.position(id)?;
        self.nodes[at].start()?;
        self.wait_ready(at).await
    }

    /// Passes a result on; the directory with data and logs of a run that failed stays.
    pub fn keep_if_failed<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match self.dir.take() {
            Some(dir) => error.context(format!("the servers' data and logs stay in {}", dir.keep().display())),
            None => error,
        })
    }

    /// Ends the servers. Their directory goes with them, unless it is to be kept: then it is told where it stays.
    pub fn stop(mut self, keep: bool) -> Option<PathBuf> {
        self.nodes.clear();
        keep.then(|| self.dir.take().map(tempfile::TempDir::keep)).flatten()
    }

    fn position(&self, id: u64) -> Result<usize> {
        self.nodes.iter().position(|node| node.id == id).with_context(|| format!("there is no node {id}"))
    }

    async fn wait_ready(&mut self, at: usize) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(exit) = self.nodes[at].exited()? {
                bail!("node {} ended at its start with {exit}{}", self.nodes[at].id, self.logs());
            }
            match self.client.status(&self.nodes[at].client_addr, false).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error)
                        .with_context(|| format!("node {} is not ready{}", self.nodes[at].id, self.logs()));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// The last lines of each server's log, for an error's message.
    fn logs(&self) -> String {
        self.nodes.iter().map(Node::log_tail).collect()
    }
}

impl Drop for Cluster {
    /// A test that fails unwinds through here: what explains it stays.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            eprintln!("the servers' data and logs stay in {}", dir.keep().display());
        }
    }
}

/// Ports that were free a moment ago; all are held at once so that none comes twice. They are below those that the kernel
/// gives to outgoing connections: a killed node finds its port free again.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let below = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|&first| first > 2 * PORTS_FROM)
        .unwrap_or(EPHEMERAL_FROM);
    let mut listeners: Vec<TcpListener> = Vec::new();
    for _ in 0..PORTS_TRIED {
        if listeners.len() == count {
            break;
        }
        listeners.extend(TcpListener::bind(("127.0.0.1", fastrand::u16(PORTS_FROM..below))));
    }
    ensure!(listeners.len() == count, "{count} free ports between {PORTS_FROM} and {below} were not found");
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// What a run leaves behind goes here unless told otherwise.
pub fn default_dir(name: &str) -> PathBuf {
    Path::new("target").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_distinct() {
        let ports = free_ports(6).unwrap();
        assert_eq!(ports.iter().collect::<std::collections::BTreeSet<_>>().len(), 6);
    }

    #[tokio::test]
    async fn a_server_that_ends_at_its_start_is_reported_with_its_log() {
        let base = tempfile::tempdir().unwrap();
        let error = Cluster::start(Path::new("/bin/false"), base.path()).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("node 1 ended at its start") && error.contains("logs stay in"), "{error}");
    }
}
