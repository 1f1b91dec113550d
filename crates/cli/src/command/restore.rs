use std::path::PathBuf;

use clap::Args;
use gantry_proto::v1::Member;
use gantry_store::offline::{
    backup::{Backup, BackupError},
    restore::{NewCluster, RestoreError, restore},
};
use serde_json::json;

use crate::{arg::member, context::Outcome, failure::Failure, output::Output};

/// Make the data directories of a new cluster out of a backup
///
/// Offline. The new cluster has an identity of its own: no member of the old one can speak to it. It may have any number of
/// members. Without --node the directories of all of them are made below --dir, to be copied to their machines; with --node
/// and --cluster-id the one of this machine is made, with the same backup, members and id on each.
#[derive(Debug, Args)]
pub struct Restore {
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The cluster's name, as in the servers' config files; a backup of another cluster is refused
    #[arg(long, value_name = "NAME")]
    cluster: String,

    /// A member of the new cluster; give one for each
    #[arg(long = "member", value_name = "ID=RAFT_ADDR,CLIENT_ADDR", required = true, value_parser = member::parse)]
    members: Vec<Member>,

    /// Where to make `node-ID` for each member, or with --node the data directory itself; what is there must be empty
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Make only this member's directory
    #[arg(long, value_name = "ID", requires = "cluster_id")]
    node: Option<u64>,

    /// The new cluster's identity, 16 hexadecimal digits; without it one is drawn
    #[arg(long, value_name = "HEX", value_parser = cluster_id)]
    cluster_id: Option<u64>,
}

impl Restore {
    pub fn run(self, output: Output) -> Outcome {
        let backup = Backup::open(&self.file).map_err(|error| Failure::usage(error.to_string()))?;
        if backup.cluster != self.cluster {
            let (path, found, want) = (self.file, backup.cluster, self.cluster);
            return Err(Failure::usage(BackupError::OtherCluster { path, found, want }.to_string()));
        }
        let id = self.cluster_id.unwrap_or_else(draw_id);
        if id == backup.cluster_id {
            return Err(Failure::usage("this is the identity of the old cluster: a restored one needs its own"));
        }
        let cluster = new_cluster(backup.cluster.clone(), id, self.members);
        let targets: Vec<(u64, PathBuf)> = match self.node {
            Some(node) => vec![(node, self.dir)],
            None => cluster.members.iter().map(|m| (m.id, self.dir.join(format!("node-{}", m.id)))).collect(),
        };
        let (rev, counts) = (backup.position.index, backup.counts());
        let made = restore(backup, &cluster, &targets).map_err(not_made)?;
        let [hosts, reservations, volumes] = counts;
        let value = json!({
            "cluster": cluster.name,
            "cluster_id": format!("{id:016x}"),
            "backup_rev": rev,
            "rev": made.position.index,
            "state_hash": format!("{:032x}", made.state_hash),
            "hosts": hosts,
            "reservations": reservations,
            "volumes": volumes,
            "directories": targets.iter().map(|(node, dir)| json!({ "node": node, "dir": dir.display().to_string() }))
                .collect::<Vec<_>>(),
        });
        output.answer(&value, || {
            let made: String = targets.iter().map(|(node, dir)| format!("  node {node}: {}\n", dir.display())).collect();
            format!(
                "cluster {} has the new identity {id:016x}: {hosts} hosts, {reservations} reservations, {volumes} volumes\n\
                 as of rev {rev}; what came later is lost. Start a server on each:\n{made}",
                cluster.name,
            )
        })
    }
}

pub fn new_cluster(name: String, id: u64, members: Vec<Member>) -> NewCluster {
    let member = |m: Member| gantry_store::Member { id: m.id, raft_addr: m.raft_addr, client_addr: m.client_addr };
    NewCluster { name, id, members: members.into_iter().map(member).collect() }
}

pub fn not_made(error: RestoreError) -> Failure {
    match error {
        RestoreError::Members { .. } | RestoreError::NotEmpty { .. } => Failure::usage(error.to_string()),
        error => Failure::internal(error.to_string()),
    }
}

/// Unlike every other cluster's, as good as certainly.
pub fn draw_id() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()).max(1)
}

pub fn cluster_id(text: &str) -> Result<u64, String> {
    match u64::from_str_radix(text, 16) {
        Ok(id) if id > 0 && text.len() == 16 => Ok(id),
        _ => Err("expected 16 hexadecimal digits".to_owned()),
    }
}
