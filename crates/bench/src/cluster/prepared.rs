//! A cluster whose servers have configs and empty directories, and are started by whoever puts data there.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::{Context, Result};
use gantry_client::Client;
use gantry_proto::v1;

use super::{
    Cluster, free_ports,
    node::{Addrs, Node},
};

impl Cluster {
    /// Servers with the ids from 1 that are not started, with their data under `base`.
    pub fn prepare(binary: &Path, base: &Path, nodes: u64) -> Result<Self> {
        let addrs = addrs(nodes)?.into_iter();
        let addrs = addrs.map(|(client_addr, raft_addr)| Addrs { client_addr, raft_addr, raft_listen: None });
        Self::prepare_at(binary, base, addrs.collect())
    }

    /// The same, where each has its addresses.
    pub(super) fn prepare_at(binary: &Path, base: &Path, addrs: Vec<Addrs>) -> Result<Self> {
        std::fs::create_dir_all(base).with_context(|| format!("cannot create {}", base.display()))?;
        let dir = tempfile::Builder::new()
            .prefix("cluster-")
            .tempdir_in(base)
            .with_context(|| format!("cannot create a directory in {}", base.display()))?;
        let nodes = (1..).zip(addrs).map(|(id, addrs)| Node::create(binary, id, dir.path(), addrs));
        let nodes = nodes.collect::<Result<Vec<Node>>>()?;
        let client = Client::new(nodes.iter().map(|node| node.client_addr.clone()))?;
        Ok(Self { nodes, client, dir: Some(dir) })
    }

    /// The servers as members.
    pub fn members(&self) -> Vec<v1::Member> {
        self.nodes.iter().map(Node::member).collect()
    }

    /// The data directory of a node.
    pub fn data_of(&self, id: u64) -> Result<PathBuf> {
        Ok(self.nodes[self.position(id)?].data.clone())
    }

    /// Has a node that was not started yet keep its data in another directory, which exists.
    pub fn keep_data_in(&mut self, id: u64, data: &Path) -> Result<()> {
        let at = self.position(id)?;
        self.nodes[at].keep_data_in(data)
    }

    /// Sets a variable of a node's environment, from its next start on.
    pub fn set_variable(&mut self, id: u64, name: &str, value: &str) -> Result<()> {
        let at = self.position(id)?;
        self.nodes[at].set_variable(name, value);
        Ok(())
    }

    /// Starts a node and does not wait for it.
    pub fn launch(&mut self, id: u64) -> Result<()> {
        let at = self.position(id)?;
        self.nodes[at].start()
    }

    /// Waits until a node that was launched answers.
    pub async fn ready(&mut self, id: u64) -> Result<()> {
        let at = self.position(id)?;
        self.wait_ready(at).await
    }

    /// How a node ended, where it did so by itself; it can be started again then.
    pub fn ended(&mut self, id: u64) -> Result<Option<ExitStatus>> {
        let at = self.position(id)?;
        self.nodes[at].ended()
    }

    /// Starts every server that does not run, and waits for a leader.
    pub async fn start_all(&mut self) -> Result<u64> {
        for node in self.nodes.iter_mut().filter(|node| node.pid().is_none()) {
            node.start()?;
        }
        for at in 0..self.nodes.len() {
            self.wait_ready(at).await?;
        }
        self.leader().await
    }

    /// The last lines of a server's log.
    pub fn log_of(&self, id: u64) -> Result<String> {
        Ok(self.nodes[self.position(id)?].log_tail())
    }
}

/// Free addresses for so many servers: for clients, and for peers.
pub(super) fn addrs(nodes: u64) -> Result<Vec<(String, String)>> {
    let ports = free_ports(2 * nodes as usize)?;
    let addr = |port: &u16| format!("127.0.0.1:{port}");
    Ok(ports.chunks_exact(2).map(|pair| (addr(&pair[0]), addr(&pair[1]))).collect())
}
