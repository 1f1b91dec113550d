//! The config file of an agent.

mod fetch;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use gantry_types::{Device, Label};
use serde::Deserialize;

pub use self::fetch::Fetch;

/// What `gantry agent --config FILE` reads. Unknown keys are refused: a typing error must not become a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Client addresses of members, `host:port`. One is enough; more are asked where one does not answer.
    pub cluster: Vec<String>,
    /// The host's name in the fleet; by default the kernel's host name.
    pub host: Option<String>,
    pub region: String,
    /// Which failure domain of its region the host is in.
    pub zone: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where to serve `GET /metrics` for Prometheus; nowhere when left out. Nobody is asked who they are there.
    pub metrics_listen: Option<String>,
    #[serde(default)]
    pub capacity: Capacity,
    #[serde(default)]
    pub gpu: Gpu,
    /// Absent where no layers are reported.
    pub containerd: Option<Containerd>,
    /// Absent where no engine's layers are reported.
    pub docker: Option<Docker>,
    #[serde(default)]
    pub fetch: Box<Fetch>,
}

/// What is declared instead of what was found.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    pub cpu_shared_milli: Option<u64>,
    pub cpu_overcommit_percent: u32,
    /// Taken off what is found before the rest is shared.
    pub cpu_performance_milli: u64,
    pub memory_bytes: Option<u64>,
    /// Where volumes lie; without it, and without `volume_bytes`, the host has no room for volumes.
    pub volume_dir: Option<PathBuf>,
    pub volume_bytes: Option<u64>,
    /// Where images lie.
    pub cache_dir: Option<PathBuf>,
    pub cache_bytes: Option<u64>,
}

/// What to make of the GPUs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gpu {
    /// No GPU is offered, whatever is there.
    pub ignore: bool,
    /// Kinds for products, by the name that NVML has for them.
    pub kinds: BTreeMap<String, String>,
    /// Declared instead of what NVML says.
    pub devices: Option<Vec<DeclaredDevice>>,
}

/// A GPU that NVML does not know of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredDevice {
    pub index: u32,
    pub kind: String,
    pub memory_bytes: u64,
    #[serde(default)]
    pub nvlink_group: u32,
}

/// Which containerd holds the host's images.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Containerd {
    pub socket: PathBuf,
    /// All of them where none is named.
    pub namespaces: Vec<String>,
    pub snapshotter: String,
    /// Its directory: where the room for images is.
    pub root: PathBuf,
}

impl Default for Containerd {
    fn default() -> Self {
        let socket = PathBuf::from("/run/containerd/containerd.sock");
        let root = PathBuf::from("/var/lib/containerd");
        Self { socket, namespaces: Vec::new(), snapshotter: "overlayfs".to_owned(), root }
    }
}

/// Which Docker Engine holds images, too.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Docker {
    pub socket: PathBuf,
    /// Its directory; by default what the engine says. Another one where the agent sees that under another name.
    pub root: Option<PathBuf>,
}

impl Default for Docker {
    fn default() -> Self {
        Self { socket: PathBuf::from("/var/run/docker.sock"), root: None }
    }
}

/// Why a config file cannot be used: one line that names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {why}")]
    Syntax { path: PathBuf, line: usize, why: String },
    #[error("{path}: {key} {why}")]
    Value { path: PathBuf, key: &'static str, why: String },
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            ConfigError::Syntax { path: path.to_owned(), line, why: error.message().replace('\n', " ") }
        })?;
        config.check().map_err(|(key, why)| ConfigError::Value { path: path.to_owned(), key, why })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.cluster.is_empty() {
            return Err(("cluster", "is empty: name the client address of at least one member".to_owned()));
        }
        for (key, value) in [("region", &self.region), ("zone", &self.zone)] {
            gantry_types::error::name(key, value).map_err(|refused| (key, without_key(&refused.to_string(), key)))?;
        }
        if let Some(Err(why)) = self.metrics_listen.as_ref().map(|addr| resolve(addr)) {
            return Err(("metrics_listen", why));
        }
        if self.gpu.ignore && self.gpu.devices.is_some() {
            return Err(("gpu.devices", "are declared and ignored: leave one of the two out".to_owned()));
        }
        if self.containerd.as_ref().is_some_and(|containerd| containerd.snapshotter.is_empty()) {
            return Err(("containerd.snapshotter", "is empty".to_owned()));
        }
        self.fetch.check(self.containerd.as_ref())
    }

    pub(crate) fn labels(&self) -> Vec<Label> {
        self.labels.iter().map(|(key, value)| Label { key: key.clone(), value: value.clone() }).collect()
    }
}

impl From<&DeclaredDevice> for Device {
    fn from(device: &DeclaredDevice) -> Self {
        Self {
            index: device.index,
            kind: device.kind.clone(),
            memory_bytes: device.memory_bytes,
            parent: None,
            nvlink_group: device.nvlink_group,
        }
    }
}

fn without_key(refusal: &str, key: &str) -> String {
    refusal.strip_prefix(key).unwrap_or(refusal).trim_start().to_owned()
}

/// The socket address of a `host:port`.
pub(crate) fn resolve(addr: &str) -> Result<SocketAddr, String> {
    let mut found = addr.to_socket_addrs().map_err(|e| format!("is {addr:?}, which is no host:port: {e}"))?;
    found.next().ok_or_else(|| format!("is {addr:?}, which has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "cluster = [\"127.0.0.1:7400\"]\nregion = \"ord\"\nzone = \"ord-1\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("agent.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_sample_is_a_config_that_names_every_key() {
        let sample = include_str!("../../../deploy/agent.toml");
        parse(sample).unwrap();
        // Keys that are commented out are keys, too.
        let whole: String =
            sample.lines().map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n").collect();
        for key in [
            "cluster",
            "host",
            "region",
            "zone",
            "labels",
            "metrics_listen",
            "cpu_shared_milli",
            "cpu_overcommit_percent",
            "cpu_performance_milli",
            "memory_bytes",
            "volume_dir",
            "volume_bytes",
            "cache_dir",
            "cache_bytes",
            "ignore",
            "kinds",
            "devices",
            "socket",
            "namespaces",
            "snapshotter",
            "root",
            "docker",
            "enabled",
            "namespace",
            "bytes_per_s",
            "at_once",
            "reserve_bytes",
            "registries",
        ] {
            let is_there = whole.lines().any(|line| {
                line.starts_with(&format!("{key} ="))
                    || line.trim_matches(['[', ']']).split('.').any(|part| part == key)
            });
            assert!(is_there, "{key} is not in the sample");
        }
    }

    #[test]
    fn a_config_with_an_unknown_key_is_refused_with_one_line_that_names_it() {
        assert!(parse(GOOD).is_ok());
        for (added, named) in [
            ("regoin = \"x\"\n", ":4: unknown field `regoin`"),
            ("[capacity]\nmemory = 3\n", ":5: unknown field `memory`"),
            ("[containerd]\nsockets = \"x\"\n", "unknown field `sockets`"),
            ("[gpu]\nkind = {}\n", "unknown field `kind`"),
            ("[docker]\nhost = \"x\"\n", "unknown field `host`"),
            ("[fetch]\nenable = true\n", "unknown field `enable`"),
            ("[fetch.registries]\nread = 1\n", "unknown field `read`"),
        ] {
            let error = parse(&format!("{GOOD}{added}")).unwrap_err();
            assert!(error.contains(named) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_config_with_a_bad_value_is_refused_by_its_key() {
        for (text, key) in [
            (GOOD.replace("[\"127.0.0.1:7400\"]", "[]"), "cluster is empty"),
            (GOOD.replace("\"ord\"", "\"\""), "region is empty"),
            (format!("{GOOD}metrics_listen = \"here\"\n"), "metrics_listen is \"here\""),
            (format!("{GOOD}[containerd]\nsnapshotter = \"\"\n"), "containerd.snapshotter is empty"),
            (format!("{GOOD}[fetch]\nat_once = 0\n"), "fetch.at_once is 0"),
            (
                format!("{GOOD}[containerd]\nnamespaces = [\"a\"]\n[fetch]\nnamespace = \"b\"\n"),
                "fetch.namespace is \"b\"",
            ),
            (format!("{GOOD}[gpu]\nignore = true\ndevices = []\n"), "gpu.devices are declared and ignored"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(key) && error.lines().count() == 1, "{error}");
        }
    }
}
