//! How layers are fetched ahead.

use serde::Deserialize;

use super::Containerd;

/// Two of three streams each leave a registry's usual bound on connections alone.
const AT_ONCE: usize = 2;
const AT_ONCE_AT_MOST: usize = 16;
const RESERVE_BYTES: u64 = 10 << 30;

/// Layers that the cluster wants here before a machine needs them. Only with a containerd.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    pub enabled: bool,
    /// Into which of containerd's namespaces; by default the first that is named there, or else `default`.
    pub namespace: Option<String>,
    /// Of all fetches together; 0 is no limit.
    pub bytes_per_s: u64,
    /// Fetches under way at a time; more wait.
    pub at_once: usize,
    /// Room that is left on containerd's file system: what would take of it is refused.
    pub reserve_bytes: u64,
    /// Which registries there are, and how far they are trusted.
    pub registries: gantry_oci::Config,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            enabled: true,
            namespace: None,
            bytes_per_s: 0,
            at_once: AT_ONCE,
            reserve_bytes: RESERVE_BYTES,
            registries: gantry_oci::Config::default(),
        }
    }
}

impl Fetch {
    pub(super) fn check(&self, containerd: Option<&Containerd>) -> Result<(), (&'static str, String)> {
        if self.at_once == 0 || self.at_once > AT_ONCE_AT_MOST {
            let why = format!(
                "is {}: 1 to {AT_ONCE_AT_MOST} fetches can be under way; enabled = false is none",
                self.at_once
            );
            return Err(("fetch.at_once", why));
        }
        let Some(namespace) = &self.namespace else { return Ok(()) };
        let is_seen =
            |containerd: &Containerd| containerd.namespaces.is_empty() || containerd.namespaces.contains(namespace);
        if namespace.is_empty() || !containerd.is_none_or(is_seen) {
            let why =
                format!("is {namespace:?}, which is not in containerd.namespaces: what lies there is not reported");
            return Err(("fetch.namespace", why));
        }
        Ok(())
    }

    pub(crate) fn namespace(&self, containerd: &Containerd) -> String {
        let named = self.namespace.as_ref().or(containerd.namespaces.first());
        named.map_or_else(|| "default".to_owned(), Clone::clone)
    }
}
