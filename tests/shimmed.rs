//! A cluster of processes whose disks do as they are told.

use std::path::Path;

use gantry_bench::cluster::{Cluster, shim::Shim};
use tempfile::TempDir;

use crate::support::{Fleet, gantry};

pub const NODES: u64 = 3;

pub struct Rig {
    pub cluster: Cluster,
    pub shim: Shim,
    pub fleet: Fleet,
    _dir: TempDir,
}

impl Rig {
    pub async fn start() -> Self {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = tempfile::Builder::new().prefix("shim-").tempdir_in(base).expect("a directory can be made");
        let shim = Shim::compile(dir.path()).expect("the shim compiles");
        let mut cluster = Cluster::prepare(gantry(), base, NODES).expect("servers can be prepared");
        for id in 1..=NODES {
            shim.attach(&mut cluster, id).expect("the server is not started yet");
        }
        let cluster = cluster.formed().await.expect("three servers form a cluster");
        let fleet = Fleet::register(&cluster, 144).await;
        Self { cluster, shim, fleet, _dir: dir }
    }

    pub async fn leader(&self) -> u64 {
        self.cluster.leader().await.expect("there is a leader")
    }

    pub async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        (1..=NODES).find(|id| *id != leader).expect("there are others")
    }
}
