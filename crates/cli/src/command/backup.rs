use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use gantry_proto::{WireError, v1};
use gantry_store::offline::backup;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    failure::Failure,
};

/// Write a backup of the cluster to a file, while it runs
///
/// From the node at --addr, which may be any member. The backup includes everything that was acknowledged before the command
/// began. It is read back and checked from end to end before it has its name.
#[derive(Debug, Args)]
pub struct Backup {
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Take what the node has, also without a leader; the backup's rev says what that is
    #[arg(long)]
    local: bool,
}

impl Backup {
    pub async fn run(self, context: Context) -> Outcome {
        if self.file.exists() {
            return Err(Failure::usage(format!("{} exists: choose a new name", self.file.display())));
        }
        let min_rev = if self.local {
            0
        } else {
            // Any read that the leader confirms says how far the backup must reach.
            let read = context.client.list(v1::ListRequest { page_size: 1, ..v1::ListRequest::default() }).await;
            read.map_err(|error| Failure::from(error).hint("--local takes what one node has"))?.rev
        };
        let partial = PathBuf::from(format!("{}.partial", self.file.display()));
        let written = write(&context, min_rev, &partial).await;
        let taken = written.and_then(|()| finish(&partial, &self.file));
        if taken.is_err() {
            // Whether it was ever made or not.
            drop(std::fs::remove_file(&partial));
        }
        let taken = taken?;
        let [hosts, reservations, volumes] = taken.counts();
        let value = json!({
            "file": self.file.display().to_string(),
            "bytes": taken.bytes,
            "cluster": taken.cluster,
            "cluster_id": format!("{:016x}", taken.cluster_id),
            "node": taken.node,
            "rev": taken.position.index,
            "state_hash": format!("{:032x}", taken.state_hash),
            "hosts": hosts,
            "reservations": reservations,
            "volumes": volumes,
        });
        context.output.answer(&value, || {
            format!(
                "cluster {} at rev {}, from node {}: {hosts} hosts, {reservations} reservations, {volumes} volumes in {}",
                taken.cluster,
                taken.position.index,
                taken.node,
                self.file.display()
            )
        })
    }
}

async fn write(context: &Context, min_rev: u64, to: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::internal(format!("{} cannot be written: {error}", to.display()));
    let mut parts = context.client.backup(context.node()?, v1::BackupRequest { min_rev }).await?;
    let mut file = File::create(to).map_err(failed)?;
    loop {
        match parts.message().await {
            Ok(Some(part)) => file.write_all(&part.data).map_err(failed)?,
            Ok(None) => break,
            Err(status) => return Err(gantry_client::Error::from(WireError::from(&status)).into()),
        }
    }
    file.sync_all().map_err(failed)
}

/// Checks what was written and gives it its name.
fn finish(partial: &Path, file: &Path) -> Result<backup::Backup, Failure> {
    let taken = backup::Backup::open(partial).map_err(|error| Failure::internal(error.to_string()))?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = std::fs::rename(partial, file).and_then(|()| File::open(dir)?.sync_all());
    named.map_err(|error| Failure::internal(format!("{} cannot be written: {error}", file.display())))?;
    Ok(taken)
}
