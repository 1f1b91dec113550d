//! Layers that hosts are fetching, with what their agents say of how far they are.

use gantry_types::{HostId, LayerId, LayerState, Stamp};
use prost::Message;

use crate::{Fleet, Host, LayerReport};

/// A layer that a host is fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    pub layer: LayerId,
    /// Nothing where the agent does not say.
    pub progress: Option<Progress>,
}

/// How far a layer was, and when that was reported, by stamped time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Compressed.
    pub fetched_bytes: u64,
    pub at: Stamp,
}

/// A [`Pull`] whose progress is known.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct PullRow {
    #[prost(uint32, tag = "1")]
    pub layer: LayerId,
    #[prost(uint64, tag = "2")]
    pub fetched_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub at: Stamp,
}

impl Host {
    /// The layers that it is fetching, sorted.
    pub fn pulls(&self) -> &[Pull] {
        &self.pulls
    }

    fn pull_mut(&mut self, layer: LayerId) -> Option<&mut Pull> {
        let at = self.pulls.binary_search_by_key(&layer, |pull| pull.layer).ok()?;
        Some(&mut self.pulls[at])
    }

    /// Brings its pulls in step with its layers. What is known of those that go on stays.
    fn follow_layers(&mut self) {
        let before = std::mem::take(&mut self.pulls);
        let progress = |layer: LayerId| {
            let at = before.binary_search_by_key(&layer, |pull| pull.layer).ok()?;
            before[at].progress
        };
        let pulling = self.layers.iter().filter(|held| held.state == LayerState::Pulling);
        self.pulls = pulling.map(|held| Pull { layer: held.layer, progress: progress(held.layer) }).collect();
    }

    pub(crate) fn pull_rows(&self) -> Vec<PullRow> {
        let row = |pull: &Pull| {
            let Progress { fetched_bytes, at } = pull.progress?;
            Some(PullRow { layer: pull.layer, fetched_bytes, at })
        };
        self.pulls.iter().filter_map(row).collect()
    }
}

impl Fleet {
    /// Follows a report that has changed what the host holds.
    pub(crate) fn follow_pulls(&mut self, host: HostId, report: &LayerReport) {
        let at = self.now();
        let Self { hosts, layers, .. } = self;
        let Some(host) = hosts.get_mut(host) else { return };
        if host.pulls.is_empty() && report.present.iter().all(|(.., state)| *state != LayerState::Pulling) {
            return;
        }
        host.follow_layers();
        for &(ref digest, fetched_bytes) in &report.fetched {
            if let Some(pull) = layers.find(digest).and_then(|layer| host.pull_mut(layer)) {
                pull.progress = Some(Progress { fetched_bytes, at });
            }
        }
    }

    /// Puts the pulls of a host back, once its layers are.
    pub(crate) fn load_pulls(&mut self, host: HostId, rows: &[PullRow]) -> Result<(), String> {
        let host = self.host_mut(host);
        host.follow_layers();
        rows.iter().try_for_each(|&PullRow { layer, fetched_bytes, at }| {
            let no_pull = format!("layer {layer} is being fetched by host {}, which does not hold it so", host.id);
            host.pull_mut(layer).ok_or(no_pull)?.progress = Some(Progress { fetched_bytes, at });
            Ok(())
        })
    }

    /// Compares with the layers that hosts hold.
    pub(crate) fn check_pulls(&self) -> Result<(), String> {
        self.hosts.iter().try_for_each(|host| {
            let pulling = host.layers.iter().filter(|held| held.state == LayerState::Pulling);
            if pulling.map(|held| held.layer).eq(host.pulls.iter().map(|pull| pull.layer)) {
                return Ok(());
            }
            Err(format!("host {} fetches {:?}, holds {:?}", host.name, host.pulls, host.layers))
        })
    }
}
