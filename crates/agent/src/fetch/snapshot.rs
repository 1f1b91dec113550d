//! Unpacks layers as containerd's own clients do, onto each other in the order of their chain.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use containerd_client::{
    services::v1::{
        ApplyRequest,
        diff_client::DiffClient,
        snapshots::{
            CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
            snapshots_client::SnapshotsClient,
        },
    },
    tonic::{Code, transport::Channel},
    types::{Descriptor, Mount},
};
use gantry_types::Digest;
use tokio::time::sleep;

use super::{
    error::FetchError,
    patience::Patience,
    plan::Step,
    store::{CALL_LIMIT, Labels, Store, call, code, there, within},
};

/// What unpacking one layer may take.
const UNPACK_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
/// By it a client finds out that what it is about to unpack was unpacked meanwhile.
const TARGET: &str = "containerd.io/snapshot.ref";

impl Store {
    fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone())
    }

    pub(super) async fn has_snapshot(&self, chain: &Digest) -> Result<bool, FetchError> {
        let wanted = StatSnapshotRequest { snapshotter: self.snapshotter.clone(), key: chain.to_string() };
        let found = call("a snapshot cannot be looked at", self.snapshots().stat(self.request(wanted))).await;
        Ok(there(found)?.is_some())
    }

    /// Unpacks a layer, through restarts of containerd.
    pub(super) async fn unpack_patiently(&self, step: &Step) -> Result<(), FetchError> {
        let mut patience = Patience::new(1);
        loop {
            let Err(error) = self.unpack(step).await else { return Ok(()) };
            let Some(pause) = patience.after(&error, 0) else { return Err(error) };
            tracing::debug!(%error, layer = %step.layer.digest, "unpacked again");
            sleep(pause).await;
        }
    }

    /// Unpacks a layer onto the stack below it. One that somebody unpacked meanwhile is as good.
    async fn unpack(&self, step: &Step) -> Result<(), FetchError> {
        let key = format!("extract-{} {}", unique(), step.chain);
        let Some(mounts) = self.prepare(step, &key).await? else { return Ok(()) };
        let unpacked = self.apply(step, mounts).await;
        let committed = match unpacked {
            Ok(()) => self.commit(step, &key).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok(()) => Ok(()),
            Err(error) => {
                let wanted = RemoveSnapshotRequest { snapshotter: self.snapshotter.clone(), key };
                let removed = call("a snapshot cannot be removed", self.snapshots().remove(self.request(wanted))).await;
                if let Err(error) = removed {
                    // Garbage collection takes it with the lease.
                    tracing::debug!(%error, layer = %step.layer.digest, "a half unpacked layer is left behind");
                }
                if code(&error) == Some(Code::AlreadyExists) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Nothing where the layer is there.
    async fn prepare(&self, step: &Step, key: &str) -> Result<Option<Vec<Mount>>, FetchError> {
        let wanted = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
            parent: step.below.map_or_else(String::new, |below| below.to_string()),
            labels: labels(step),
        };
        match call("a snapshot cannot be prepared", self.snapshots().prepare(self.request(wanted))).await {
            Ok(prepared) => Ok(Some(prepared.mounts)),
            Err(error) if code(&error) == Some(Code::AlreadyExists) && self.has_snapshot(&step.chain).await? => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn apply(&self, step: &Step, mounts: Vec<Mount>) -> Result<(), FetchError> {
        let layer = &step.layer;
        let media_type = layer.media_type().ok_or(FetchError::Packing(layer.digest))?.to_owned();
        let size = i64::try_from(layer.size_bytes).unwrap_or(i64::MAX);
        let diff = Descriptor { media_type, digest: layer.digest.to_string(), size, ..Descriptor::default() };
        let wanted = ApplyRequest { diff: Some(diff), mounts, ..ApplyRequest::default() };
        let mut client = DiffClient::new(self.channel.clone());
        let applied = within("a layer cannot be unpacked", UNPACK_LIMIT, client.apply(self.request(wanted))).await?;
        let found = applied.into_inner().applied.map_or_else(String::new, |applied| applied.digest);
        if found != step.diff_id.to_string() {
            return Err(FetchError::WrongContent { layer: layer.digest, wanted: step.diff_id, found });
        }
        Ok(())
    }

    async fn commit(&self, step: &Step, key: &str) -> Result<(), FetchError> {
        let wanted = CommitSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            name: step.chain.to_string(),
            key: key.to_owned(),
            labels: labels(step),
        };
        let mut client = self.snapshots();
        // Where a file system is flushed by it, it takes longer than most calls.
        let committing = client.commit(self.request(wanted));
        within("a snapshot cannot be committed", CALL_LIMIT * 10, committing).await.map(drop)
    }
}

fn labels(step: &Step) -> Labels {
    Labels::from([(TARGET.to_owned(), step.chain.to_string())])
}

/// As in the keys of containerd's clients: what else the key has is the chain.
fn unique() -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let symbol = || char::from(SYMBOLS[fastrand::usize(..SYMBOLS.len())]);
    let random: String = std::iter::repeat_with(symbol).take(4).collect();
    format!("{nanos}-{random}")
}
