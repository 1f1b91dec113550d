//! Which registries there are, and how far they are trusted.

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    addresses::forbidden_by_default,
    credentials::Secret,
    reference::{canonical, is_authority},
};

/// An hour. Nobody waits longer for a hint.
const LONGEST_MS: u64 = 60 * 60 * 1_000;

/// How references are resolved. Everything may be left out: then any registry is asked without credentials, over TLS only.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What one resolve may take, with all its requests and pauses. 30,000 by default.
    pub total_ms: u64,
    /// For finding and reaching a host. 3,000 by default.
    pub connect_ms: u64,
    /// Longest silence of a host from which an answer is due. 10,000 by default.
    pub read_ms: u64,
    /// How often a registry is asked that says it is busy. 4 by default.
    pub tries: u32,
    /// Longest pause that a busy registry is granted; one that wants more is given up. 5,000 by default.
    pub pause_ms: u64,
    /// Requests to one host at a time; more wait. 8 by default.
    pub requests_per_host: usize,
    /// References being resolved at a time; more are refused. 1,024 by default.
    pub resolves: usize,
    /// Networks from which nothing is fetched. By default those that are link-local, and the addresses at which clouds serve a
    /// machine's credentials; a list here stands instead of these.
    pub forbidden_networks: Vec<IpNet>,
    /// A file as `docker login` writes it, with credentials or the names of helpers that have them. Read at each use.
    pub docker_config: Option<PathBuf>,
    /// What a credential helper may take. 5,000 by default.
    pub helper_ms: u64,
    /// By `host` or `host:port`, as in references; Docker Hub is `docker.io`.
    pub hosts: BTreeMap<String, Host>,
}

/// What is special about one registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Talk to it without TLS. Its credentials and its answers can be read and changed on the way.
    pub plain_http: bool,
    /// Certificate authorities in PEM files, trusted for this host beside the system's.
    pub ca_files: Vec<PathBuf>,
    /// With it stands a password, or a file that has it. These go before what the Docker config says.
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// Hosts that have copies, as `host[:port][/prefix]`: asked in this order, before the registry itself. What they serve is
    /// checked as the registry's is, but which manifest a tag stands for is believed.
    pub mirrors: Vec<String>,
}

/// Why a config cannot be used: the key and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{key} {why}")]
    Value { key: String, why: String },
    #[error("{key} names {path}, which cannot be read: {source}")]
    Read { key: String, path: PathBuf, source: std::io::Error },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            total_ms: 30_000,
            connect_ms: 3_000,
            read_ms: 10_000,
            tries: 4,
            pause_ms: 5_000,
            requests_per_host: 8,
            resolves: 1_024,
            forbidden_networks: forbidden_by_default(),
            docker_config: None,
            helper_ms: 5_000,
            hosts: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Checks values that types do not.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let times = [
            ("total_ms", self.total_ms),
            ("connect_ms", self.connect_ms),
            ("read_ms", self.read_ms),
            ("helper_ms", self.helper_ms),
        ];
        let counts = [
            ("tries", self.tries.into()),
            ("requests_per_host", self.requests_per_host as u64),
            ("resolves", self.resolves as u64),
        ];
        if let Some((key, _)) = times.iter().chain(&counts).find(|(_, number)| *number == 0) {
            return Err(refused(*key, "is 0: nothing could be resolved"));
        }
        if let Some((key, _)) = times.iter().chain([&("pause_ms", self.pause_ms)]).find(|(_, ms)| *ms > LONGEST_MS) {
            return Err(refused(*key, format!("is too long: at most {LONGEST_MS}")));
        }
        self.hosts.iter().try_for_each(|(name, host)| host.check(name))
    }
}

impl Host {
    fn check(&self, name: &str) -> Result<(), ConfigError> {
        let key = |field: &str| format!("hosts.{name:?}.{field}");
        if !is_authority(name) || canonical(name) != name {
            let why = format!("is no registry: expected {:?}, a host or host:port in lower case", canonical(name));
            return Err(refused(format!("hosts.{name:?}"), why));
        }
        let passwords = usize::from(self.password.is_some()) + usize::from(self.password_file.is_some());
        if passwords != usize::from(self.user.is_some()) {
            return Err(refused(key("user"), "needs either a password or a password_file, and these need a user"));
        }
        if self.user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err(refused(key("user"), "has a colon, which would end it"));
        }
        if self.plain_http && !self.ca_files.is_empty() {
            return Err(refused(key("ca_files"), "are given for a host without TLS: leave one of the two out"));
        }
        let malformed = self.mirrors.iter().find(|mirror| !is_mirror(mirror));
        malformed.map_or(Ok(()), |mirror| {
            Err(refused(
                key("mirrors"),
                format!("has {mirror:?}: expected host, host:port or host/prefix, without a scheme"),
            ))
        })
    }
}

fn is_mirror(text: &str) -> bool {
    let (host, prefix) = text.split_once('/').unwrap_or((text, "a"));
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ['.', '_', '-', '/'].contains(&c);
    is_authority(host) && !prefix.is_empty() && prefix.chars().all(is_plain) && !prefix.contains("..")
}

fn refused(key: impl Into<String>, why: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let config: Config = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn everything_may_be_left_out_and_everything_can_be_said() {
        assert_eq!(check(""), Ok(()));
        let whole = "total_ms = 1\nconnect_ms = 1\nread_ms = 1\ntries = 1\npause_ms = 0\nrequests_per_host = 1\nresolves = 1\n\
            forbidden_networks = [\"10.0.0.0/8\"]\ndocker_config = \"config.json\"\nhelper_ms = 1\n\
            [hosts.\"registry.example:5000\"]\nplain_http = false\nca_files = [\"ca.pem\"]\nuser = \"u\"\npassword = \"p\"\n\
            mirrors = [\"mirror.example:5000/copies\", \"other.example\"]\n\
            [hosts.\"docker.io\"]\nuser = \"u\"\npassword_file = \"p\"\n";
        assert_eq!(check(whole), Ok(()));
    }

    #[test]
    fn a_config_that_cannot_be_meant_is_refused_by_its_key() {
        for (text, named) in [
            ("total = 1", "unknown field `total`"),
            ("[hosts.\"a.example\"]\ninsecure = true", "unknown field `insecure`"),
            ("tries = 0", "tries is 0"),
            ("pause_ms = 3600001", "pause_ms is too long"),
            ("forbidden_networks = [\"10.0.0.0/33\"]", "invalid"),
            ("[hosts.\"http://a.example\"]", "hosts.\"http://a.example\" is no registry"),
            ("[hosts.\"registry-1.docker.io\"]", "expected \"docker.io\""),
            ("[hosts.\"A.example\"]", "expected \"a.example\""),
            ("[hosts.\"a.example\"]\nuser = \"u\"", "user needs either"),
            ("[hosts.\"a.example\"]\npassword = \"p\"", "user needs either"),
            ("[hosts.\"a.example\"]\nuser = \"u\"\npassword = \"p\"\npassword_file = \"f\"", "user needs either"),
            ("[hosts.\"a.example\"]\nuser = \"u:v\"\npassword = \"p\"", "user has a colon"),
            ("[hosts.\"a.example\"]\nplain_http = true\nca_files = [\"x\"]", "ca_files are given"),
            ("[hosts.\"a.example\"]\nmirrors = [\"https://b.example\"]", "mirrors has \"https://b.example\""),
            ("[hosts.\"a.example\"]\nmirrors = [\"b.example/../c\"]", "mirrors has"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let config: Config = toml::from_str("[hosts.\"a.example\"]\nuser = \"u\"\npassword = \"hush\"").unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
