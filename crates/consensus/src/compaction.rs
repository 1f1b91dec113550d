//! When a snapshot is taken, and when the log behind it is purged.

use gantry_store::{Log, Snapshots};
use tokio::time::Instant;

use crate::{config::SnapshotRules, raft_types::Raft};

/// Looks at the log now and then, for as long as the node runs.
pub(crate) async fn run(raft: Raft, log: Log, snapshots: Snapshots, rules: SnapshotRules) {
    let mut last = Instant::now();
    let mut seen = covered(&snapshots);
    let mut timer = tokio::time::interval(rules.look_every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let now = covered(&snapshots);
        if now != seen {
            (seen, last) = (now, Instant::now());
        }
        let asked = if is_due(&log, seen, last, &rules) {
            last = Instant::now();
            raft.trigger().snapshot().await
        } else {
            Ok(())
        };
        let purged = match purge_point(&log, seen, &rules) {
            Some(upto) => raft.trigger().purge_log(upto).await,
            None => Ok(()),
        };
        if asked.and(purged).is_err() {
            return;
        }
    }
}

/// The last entry that the newest snapshot includes.
fn covered(snapshots: &Snapshots) -> Option<u64> {
    snapshots.current().and_then(|snapshot| snapshot.position()).map(|position| position.index)
}

fn is_due(log: &Log, covered: Option<u64>, last: Instant, rules: &SnapshotRules) -> bool {
    let (entries, bytes) = covered.map_or_else(|| log.size(), |index| log.size_after(index));
    entries >= rules.after_entries || bytes >= rules.after_bytes || (entries > 0 && last.elapsed() >= rules.after_time)
}

/// How far to purge: never past the snapshot, and a good part at once, since each purge leaves a tombstone in the log.
fn purge_point(log: &Log, covered: Option<u64>, rules: &SnapshotRules) -> Option<u64> {
    let covered = covered?;
    let (entries, bytes) = log.size();
    if entries <= rules.keep_entries + rules.keep_entries / 4 && bytes <= rules.keep_bytes + rules.keep_bytes / 4 {
        return None;
    }
    let upto = log.purge_point(rules.keep_entries, rules.keep_bytes).min(covered);
    let purged = log.purged().map_or(0, |purged| purged.index);
    (upto > purged).then_some(upto)
}
