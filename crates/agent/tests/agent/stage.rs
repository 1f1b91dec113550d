//! A cluster, an agent on a containerd, and a registry, for layers that are wanted ahead of need.

use std::collections::BTreeMap;

use gantry_agent::Config;
use gantry_proto::v1::{self, Fetch, FetchState, LayerState, agent_event::Event};
use tokio::task::JoinHandle;

use crate::{
    cluster::{Cluster, Heard},
    containerd::{Containerd, NAMESPACE},
    image::{Compression, Image, Layer},
    registry::{Registry, Wanted},
};

pub const MIB: usize = 1 << 20;

/// A cluster, an agent on a containerd, and a registry that it may ask.
pub struct Stage {
    pub cluster: Cluster,
    pub containerd: Containerd,
    pub registry: Registry,
    pub agent: Option<JoinHandle<()>>,
    /// Asked before the real registry is.
    pub mirrors: Vec<String>,
}

impl Stage {
    /// None where the machine lacks something.
    pub async fn start() -> Option<Self> {
        let (containerd, registry) = (Containerd::start()?, Registry::start(Wanted::default())?);
        Some(Self { cluster: Cluster::start().await, containerd, registry, agent: None, mirrors: Vec::new() })
    }

    /// An agent that may ask these registries beside the real one.
    pub async fn agent(&mut self, hosts: &[&str], fetch: &str, registries: &str) {
        let plain = |host: &&str| format!("[fetch.registries.hosts.{host:?}]\nplain_http = true\n");
        let hosts: String = hosts.iter().chain([&self.registry.host.as_str()]).map(plain).collect();
        let (mirrors, fetch) = (&self.mirrors, if fetch.is_empty() { "reserve_bytes = 1" } else { fetch });
        let text = format!(
            "cluster = [{:?}]\nhost = \"h\"\nregion = \"ord\"\nzone = \"ord-1\"\n[containerd]\nsocket = {:?}\n\
             namespaces = [{NAMESPACE:?}]\nroot = {:?}\n[fetch]\n{fetch}\n[fetch.registries]\n{registries}\n{hosts}mirrors = {mirrors:?}\n",
            self.cluster.address,
            self.containerd.socket(),
            self.containerd.dir.path().join("root"),
        );
        let config: Config = toml::from_str(&text).expect("a config");
        let running = async { gantry_agent::run(config, std::future::pending()).await.expect("it runs") };
        self.agent = Some(tokio::spawn(running));
        self.cluster.until("a report", |heard| !heard.reports.is_empty()).await;
    }

    pub fn push(&self, image: &Image) {
        let file = self.registry.dir.path().join("image.tar");
        image.write(&file);
        self.registry.push(&file, "team/app:1", &["--all", "--preserve-digests"]);
    }

    pub fn ask(&self, fetch: Fetch) {
        self.cluster.say(Event::Fetch(fetch));
    }

    pub async fn ends(&self, id: u64) -> v1::FetchProgress {
        let heard = self.cluster.until("an end", |heard| end(heard, id).is_some()).await;
        end(&heard, id).expect("it was waited for")
    }

    /// Collects garbage.
    pub fn collect(&self) {
        self.containerd.ctr(&["leases", "create", "--id", "for-garbage"]);
        self.containerd.ctr(&["leases", "delete", "--sync", "for-garbage"]);
    }

    pub fn has(&self, digest: &str) -> bool {
        self.containerd.ctr(&["content", "ls", "-q"]).lines().any(|line| line == digest)
    }

    pub fn writes(&self) -> String {
        self.containerd.ctr(&["content", "active"]).lines().skip(1).collect()
    }

    pub fn leases(&self) -> Vec<String> {
        self.containerd.ctr(&["leases", "ls", "-q"]).lines().map(str::to_owned).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(agent) = &self.agent {
            agent.abort();
        }
    }
}

/// The last that is told of a fetch.
pub fn end(heard: &Heard, id: u64) -> Option<v1::FetchProgress> {
    let is_end = |told: &&v1::FetchProgress| {
        let under_way = [FetchState::Waiting, FetchState::Fetching, FetchState::Unpacking];
        told.id == id && !under_way.contains(&told.state())
    };
    heard.fetched.iter().find(is_end).cloned()
}

pub fn layers() -> [Layer; 3] {
    [
        Layer::new(1, 3 * MIB, Compression::Gzip),
        Layer::new(2, MIB, Compression::Zstd),
        Layer::new(3, MIB, Compression::None),
    ]
}

pub fn order(id: u64, host: &str, image: &Image, layers: &[&Layer]) -> Fetch {
    let layer = |layer: &&Layer| v1::Layer {
        digest: layer.digest.clone(),
        size_bytes: layer.size(),
        diff_id: layer.diff_id.clone(),
    };
    Fetch {
        id,
        reference: format!("{host}/team/app:1"),
        digest: image.manifest.clone(),
        layers: layers.iter().map(layer).collect(),
        unpack: true,
        ..Fetch::default()
    }
}

pub fn states(layers: &[&Layer], state: LayerState) -> BTreeMap<String, LayerState> {
    layers.iter().map(|layer| (layer.digest.clone(), state)).collect()
}
