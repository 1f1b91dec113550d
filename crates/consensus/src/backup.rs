//! A backup of this node's state, as it is to be sent.

use std::time::Duration;

use gantry_store::{SnapshotFile, Snapshots, StoreError, offline::backup};
use gantry_types::Rev;

use crate::{Consensus, error::ProposeError};

/// How long the state may take to reach the rev, and a snapshot of it to be written.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a snapshot that was asked for is looked for, ...
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// ... and after how many looks it is asked for again: one that was under way then may be too old.
const LOOKS: u32 = 50;

/// The bytes of a backup file: a prelude in memory, then a snapshot on disk.
#[derive(Clone, Debug)]
pub struct BackupFile {
    prelude: Vec<u8>,
    snapshot: SnapshotFile,
}

impl BackupFile {
    /// Reads up to `max_bytes` bytes at `offset`; none at the end.
    pub fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StoreError> {
        let start = self.prelude.len() as u64;
        match offset.checked_sub(start) {
            Some(offset) => self.snapshot.read_at(offset, max_bytes),
            None => Ok(self.prelude[offset as usize..].iter().copied().take(max_bytes).collect()),
        }
    }
}

impl Consensus {
    /// A backup that includes everything up to `min_rev`, and what was applied here when the call began.
    pub async fn backup(&self, min_rev: Rev) -> Result<BackupFile, ProposeError> {
        let (snapshots, owner) = self.for_backup();
        let unknown = |why: String| ProposeError::Unknown { why };
        let taken = tokio::time::timeout(PATIENCE, async {
            let mut applied = self.applied();
            let reached = applied.wait_for(|applied| *applied >= min_rev).await.map(|rev| *rev);
            let wanted = reached.map_err(|_| unknown("this node is shutting down".to_owned()))?;
            loop {
                self.snapshot().await?;
                for _ in 0..LOOKS {
                    if let Some(snapshot) = newest(&snapshots, wanted) {
                        return Ok(snapshot);
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        });
        let snapshot = match taken.await {
            Ok(snapshot) => snapshot?,
            Err(_) => return Err(unknown(format!("no snapshot of rev {min_rev} after {} s", PATIENCE.as_secs()))),
        };
        Ok(BackupFile { prelude: backup::prelude(&owner, &snapshot), snapshot })
    }
}

fn newest(snapshots: &Snapshots, wanted: Rev) -> Option<SnapshotFile> {
    snapshots.current().filter(|snapshot| snapshot.position().is_some_and(|position| position.index >= wanted))
}
