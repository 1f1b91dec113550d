//! The config file of a server.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use gantry_consensus::{RoomRules, SnapshotRules};
use serde::Deserialize;

const MIB: u64 = 1 << 20;
/// A shorter silence than this, in seconds, is nothing: two beats of an agent, or a change of the leader.
const SILENCE_AT_LEAST: u64 = 10;
/// A year.
const SILENCE_AT_MOST: u64 = 31_536_000;
/// Callers would have gone.
const BUDGET_MS_AT_MOST: u64 = 10_000;
/// Far above any disk.
const MIB_AT_MOST: u64 = 1 << 32;

/// What `gantry server --config FILE` reads. Unknown keys are refused: a typing error must not become a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unique in the cluster for ever; not 0. May be left out on a new machine that joins a cluster: then the cluster gives
    /// it one, which its data directory remembers.
    pub node_id: Option<u64>,
    /// The cluster's name. A data directory of a cluster with another name is refused, so it has no default: two clusters
    /// that nobody named would be one to each other's directories.
    pub cluster: String,
    /// Log, state and snapshots. Made if absent.
    pub data_dir: PathBuf,
    /// `host:port` at which clients and other members reach this node's API.
    pub client_addr: String,
    /// `host:port` at which other members reach this node's Raft.
    pub raft_addr: String,
    /// Where to listen for clients, when that is not `client_addr`.
    pub client_listen: Option<String>,
    /// Where to listen for other members, when that is not `raft_addr`.
    pub raft_listen: Option<String>,
    /// Where to serve `GET /metrics` for Prometheus; nowhere when left out. Nobody is asked who they are there.
    pub metrics_listen: Option<String>,
    /// Each choice, with what every score term said, and each refusal is a line of the log. Thousands a second under load.
    #[serde(default)]
    pub log_choices: bool,
    /// A host whose agent is silent for so long is unreachable: nothing new goes there, and it keeps what it holds. 0 is never.
    #[serde(default = "unreachable_after_seconds")]
    pub unreachable_after_seconds: u64,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub snapshots: Snapshots,
    #[serde(default)]
    pub disk: Disk,
    /// Looks up images that nobody has recorded in their registries. Left out: no registry is asked, and images are what agents
    /// and operators record.
    pub images: Option<Box<Images>>,
}

/// Agents beat every five seconds.
fn unreachable_after_seconds() -> u64 {
    30
}

/// How images are looked up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    /// What the fleet runs, as `linux/amd64`: which one of an index is taken.
    pub platform: String,
    /// How long a call waits for an image that nobody knows. Then it is decided without that, and the look-up goes on.
    pub budget_ms: u64,
    /// Age of what a tag stands for, from which on it is looked up again when it is used.
    pub check_after_seconds: u64,
    pub registries: gantry_oci::Config,
}

impl Default for Images {
    fn default() -> Self {
        let platform = gantry_oci::Platform::default().to_string();
        Self { platform, budget_ms: 150, check_after_seconds: 300, registries: gantry_oci::Config::default() }
    }
}

/// When the disk counts as full. On a small file system an eighth of it, and a sixteenth, are enough.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disk {
    /// Free MiB below which nothing is taken on that makes the state larger.
    pub refuse_below_mib: u64,
    /// MiB that a file takes up, to be given up when the rest is nearly gone.
    pub reserve_mib: u64,
}

impl Default for Disk {
    fn default() -> Self {
        let RoomRules { refuse_below_bytes, reserve_bytes } = RoomRules::default();
        Self { refuse_below_mib: refuse_below_bytes / MIB, reserve_mib: reserve_bytes / MIB }
    }
}

impl Disk {
    pub(crate) fn rules(self) -> RoomRules {
        RoomRules { refuse_below_bytes: self.refuse_below_mib * MIB, reserve_bytes: self.reserve_mib * MIB }
    }
}

/// Bounds of what may wait in this process.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls that wait for the decider; more are refused at once.
    pub waiting_calls: usize,
    /// Calls of one `PlaceStream` that are not yet answered; more are not read.
    pub stream_window: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting_calls: 65_536, stream_window: 4_096 }
    }
}

/// When the state is written down whole, how much log is kept behind it, and how fast it is sent to a member that needs it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Snapshots {
    /// A snapshot is taken when so much was logged since the last one,
    pub after_bytes: u64,
    /// or so many entries,
    pub after_entries: u64,
    /// or when anything was logged and the last one is so old.
    pub after_seconds: u64,
    /// Log kept behind a snapshot, for members that were away: at most so many bytes,
    pub keep_bytes: u64,
    /// and so many entries.
    pub keep_entries: u64,
    /// What one snapshot takes of the network and of both disks while it is sent.
    pub send_bytes_per_second: u64,
}

impl Default for Snapshots {
    fn default() -> Self {
        let rules = SnapshotRules::default();
        Self {
            after_bytes: rules.after_bytes,
            after_entries: rules.after_entries,
            after_seconds: rules.after_time.as_secs(),
            keep_bytes: rules.keep_bytes,
            keep_entries: rules.keep_entries,
            send_bytes_per_second: rules.send_bytes_per_second,
        }
    }
}

impl From<Snapshots> for SnapshotRules {
    fn from(from: Snapshots) -> Self {
        Self {
            after_bytes: from.after_bytes,
            after_entries: from.after_entries,
            after_time: Duration::from_secs(from.after_seconds),
            keep_bytes: from.keep_bytes,
            keep_entries: from.keep_entries,
            send_bytes_per_second: from.send_bytes_per_second,
            ..Self::default()
        }
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
        let config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            ConfigError::Syntax { path: path.to_owned(), line, why: error.message().replace('\n', " ") }
        })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let bad = |key, why: String| Err(ConfigError::Value { path: path.to_owned(), key, why });
        if self.node_id == Some(0) {
            return bad("node_id", "is 0: number the members from 1".to_owned());
        }
        for (key, addr) in [
            ("client_addr", Some(&self.client_addr)),
            ("raft_addr", Some(&self.raft_addr)),
            ("client_listen", self.client_listen.as_ref()),
            ("raft_listen", self.raft_listen.as_ref()),
            ("metrics_listen", self.metrics_listen.as_ref()),
        ] {
            if let Some(Err(why)) = addr.map(|addr| resolve(addr)) {
                return bad(key, why);
            }
        }
        if let Err(refused) = gantry_types::error::name("cluster", &self.cluster) {
            return bad("cluster", refused.to_string().trim_start_matches("cluster ").to_owned());
        }
        if self.client_addr == self.raft_addr {
            return bad("raft_addr", "is the same as client_addr: they are two listeners".to_owned());
        }
        if self.limits.waiting_calls == 0 || self.limits.stream_window == 0 {
            return bad("limits", "has a 0: nothing could ever be answered".to_owned());
        }
        let silence = self.unreachable_after_seconds;
        if silence != 0 && !(SILENCE_AT_LEAST..=SILENCE_AT_MOST).contains(&silence) {
            return bad(
                "unreachable_after_seconds",
                format!("is {silence}: {SILENCE_AT_LEAST} or more, or 0 for never"),
            );
        }
        let Snapshots { after_bytes, after_entries, after_seconds, send_bytes_per_second, .. } = self.snapshots;
        if [after_bytes, after_entries, after_seconds, send_bytes_per_second].contains(&0) {
            return bad("snapshots", "has a 0: only keep_bytes and keep_entries may be 0".to_owned());
        }
        if let Some(images) = &self.images
            && (images.budget_ms > BUDGET_MS_AT_MOST || images.check_after_seconds == 0)
        {
            let why =
                format!("needs a budget_ms of at most {BUDGET_MS_AT_MOST}, and a check_after_seconds that is not 0");
            return bad("images", why);
        }
        let Disk { refuse_below_mib, reserve_mib } = self.disk;
        if reserve_mib == 0 || refuse_below_mib < reserve_mib || refuse_below_mib > MIB_AT_MOST {
            return bad(
                "disk",
                "needs a reserve_mib of at least 1, and a refuse_below_mib that is no smaller".to_owned(),
            );
        }
        Ok(())
    }

    /// How long an agent may be silent, if not for ever.
    pub(crate) fn silence(&self) -> Option<Duration> {
        (self.unreachable_after_seconds > 0).then(|| Duration::from_secs(self.unreachable_after_seconds))
    }

    pub(crate) fn client_listen(&self) -> &str {
        self.client_listen.as_deref().unwrap_or(&self.client_addr)
    }

    pub(crate) fn raft_listen(&self) -> &str {
        self.raft_listen.as_deref().unwrap_or(&self.raft_addr)
    }
}

/// The socket address of a `host:port`.
pub(crate) fn resolve(addr: &str) -> Result<SocketAddr, String> {
    let mut found = addr.to_socket_addrs().map_err(|e| format!("is {addr:?}, which is no host:port: {e}"))?;
    found.next().ok_or_else(|| format!("is {addr:?}, which has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let file = std::env::temp_dir().join(format!("gantry-config-{}-{:p}.toml", std::process::id(), text));
        std::fs::write(&file, text).unwrap();
        let loaded = Config::load(&file).map_err(|e| e.to_string());
        std::fs::remove_file(&file).unwrap();
        loaded
    }

    const GOOD: &str = "node_id = 1\ncluster = \"north\"\ndata_dir = \"d\"\nclient_addr = \"127.0.0.1:7400\"\n\
                        raft_addr = \"127.0.0.1:7401\"\n";

    #[test]
    fn a_config_with_an_unknown_key_is_refused_with_one_line_that_names_it() {
        assert!(load(GOOD).is_ok());
        let error = load(&format!("{GOOD}clinet_listen = \"x\"\n")).unwrap_err();
        assert!(error.contains(":6: unknown field `clinet_listen`"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let error = load(&format!("{GOOD}[limits]\nwaiting = 3\n")).unwrap_err();
        assert!(error.contains("unknown field `waiting`") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn a_config_with_a_bad_value_is_refused_by_its_key() {
        for (from, to, key) in [
            ("node_id = 1", "node_id = 0", "node_id"),
            ("node_id = 1", "node_id = \"one\"", "invalid type"),
            ("cluster = \"north\"\n", "", "missing field `cluster`"),
            ("127.0.0.1:7400", "127.0.0.1", "client_addr"),
            ("127.0.0.1:7401", "127.0.0.1:7400", "raft_addr"),
            ("7401\"\n", "7401\"\nunreachable_after_seconds = 9\n", "unreachable_after_seconds"),
            ("7401\"\n", "7401\"\n[disk]\nreserve_mib = 0\n", "disk"),
            ("7401\"\n", "7401\"\n[disk]\nrefuse_below_mib = 9\n", "disk"),
        ] {
            let error = load(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(key) && error.lines().count() == 1, "{error}");
        }
    }
}
