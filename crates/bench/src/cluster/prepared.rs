//! A cluster whose servers have configs and empty directories, and are started by whoever puts data there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gantry_client::Client;
use gantry_proto::v1;

use super::{Cluster, Node, free_ports};

impl Cluster {
    /// Servers with the ids from 1 that are not started, with their data under `base`.
    pub fn prepare(binary: &Path, base: &Path, nodes: u64) -> Result<Self> {
        std::fs::create_dir_all(base).with_context(|| format!("cannot create {}", base.display()))?;
        let dir = tempfile::Builder::new()
            .prefix("cluster-")
            .tempdir_in(base)
            .with_context(|| format!("cannot create a directory in {}", base.display()))?;
        let mut ports = free_ports(2 * nodes as usize)?.into_iter();
        let mut prepared = Vec::new();
        for id in 1..=nodes {
            let mut addr = || ports.next().map(|port| format!("127.0.0.1:{port}")).context("too few ports");
            prepared.push(Node::create(binary, id, dir.path(), addr()?, addr()?)?);
        }
        let client = Client::new(prepared.iter().map(|node| node.client_addr.clone()))?;
        Ok(Self { nodes: prepared, client, dir: Some(dir) })
    }

    /// The servers as members.
    pub fn members(&self) -> Vec<v1::Member> {
        self.nodes.iter().map(Node::member).collect()
    }

    /// The data directory of a node.
    pub fn data_of(&self, id: u64) -> Result<PathBuf> {
        let dir = self.data_dir().context("the cluster has a directory while it runs")?;
        Ok(dir.join(format!("node-{}", self.nodes[self.position(id)?].id)).join("data"))
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
