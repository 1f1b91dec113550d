use std::path::PathBuf;

use clap::Args;
use gantry_store::{
    LogPos, Vote,
    offline::inspect::{Inspection, SnapshotReport, inspect},
};
use serde_json::{Value, json};

use crate::{context::Outcome, exit::Exit, failure::Failure, output::Output, table::Table, unit::bytes};

/// Read a data directory and say what is in it, and what is wrong with it
///
/// Nothing in the directory is changed. While a server runs on it, what is read is of no one moment. Exits with 5 where
/// something is wrong.
#[derive(Debug, Args)]
pub struct Inspect {
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Inspect {
    pub fn run(self, output: Output) -> Outcome {
        let found = inspect(&self.dir).map_err(|error| Failure::usage(error.to_string()))?;
        output.answer(&value(&found), || text(&found))?;
        Ok(if found.problems.is_empty() { Exit::Ok } else { Exit::Refused })
    }
}

pub fn position(pos: Option<LogPos>) -> Value {
    pos.map_or(Value::Null, |pos| json!({ "index": pos.index, "term": pos.term, "leader": pos.node }))
}

fn vote(vote: Option<Vote>) -> Value {
    vote.map_or(Value::Null, |vote| json!({ "term": vote.term, "node": vote.node, "committed": vote.committed }))
}

pub fn value(found: &Inspection) -> Value {
    let identity = found.identity.as_ref().map(|identity| {
        json!({
            "node": identity.node,
            "cluster": identity.cluster,
            "cluster_id": format!("{:016x}", identity.cluster_id),
        })
    });
    let log = found.log.map(|log| {
        json!({
            "purged": position(log.purged),
            "first": position(log.first),
            "last": position(log.last),
            "entries": log.entries,
            "bytes": log.bytes,
            "vote": vote(log.vote),
            "committed": position(log.committed),
        })
    });
    let state = found.state.as_ref().map(|state| {
        let members =
            state.membership.members.iter().map(
                |member| json!({ "id": member.id, "raft_addr": member.raft_addr, "client_addr": member.client_addr }),
            );
        let voters = state.membership.configs.iter().map(|voters| voters.ids.clone());
        json!({
            "applied": position(state.applied),
            "members": members.collect::<Vec<_>>(),
            "voters": voters.collect::<Vec<_>>(),
            "retired": state.membership.retired,
            "rows": state.rows,
            "hash": format!("{:032x}", state.hash),
        })
    });
    let problems = found.problems.iter().map(|problem| json!({ "part": problem.part, "why": problem.why }));
    json!({
        "dir": found.dir.display().to_string(),
        "in_use": found.in_use,
        "identity": identity,
        "mark": { "last": position(found.mark.last), "vote": vote(found.mark.vote) },
        "log": log,
        "state": state,
        "snapshots": found.snapshots.iter().map(snapshot).collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn snapshot(snapshot: &SnapshotReport) -> Value {
    let content = snapshot.content;
    json!({
        "path": snapshot.path.display().to_string(),
        "bytes": snapshot.bytes,
        "position": position(content.and_then(|content| content.position)),
        "rows": content.map(|content| content.rows),
        "hash": content.map(|content| format!("{:032x}", content.hash)),
    })
}

fn show(pos: Option<LogPos>) -> String {
    pos.map_or_else(|| "nothing".to_owned(), |pos| pos.to_string())
}

fn show_vote(vote: Option<Vote>) -> String {
    vote.map_or_else(
        || "none".to_owned(),
        |vote| {
            format!("for node {} in term {}{}", vote.node, vote.term, if vote.committed { ", who leads" } else { "" })
        },
    )
}

pub fn text(found: &Inspection) -> String {
    let mut table = Table::new(["PART", "WHAT", "FOUND"]);
    let mut row = |part: &str, what: &str, found: String| table.row([part.to_owned(), what.to_owned(), found]);
    if let Some(identity) = &found.identity {
        row("identity", "node", identity.node.to_string());
        row("identity", "cluster", format!("{} ({:016x})", identity.cluster, identity.cluster_id));
    }
    row("mark", "log reached", show(found.mark.last));
    row("mark", "vote", show_vote(found.mark.vote));
    if let Some(log) = found.log {
        row("log", "entries", format!("{}, {}", log.entries, bytes::format(log.bytes)));
        row("log", "purged", show(log.purged));
        row("log", "last", show(log.last));
        row("log", "committed", format!("{}, at least", show(log.committed)));
        row("log", "vote", show_vote(log.vote));
    }
    if let Some(state) = &found.state {
        row("state", "applied", show(state.applied));
        row("state", "hash", format!("{:032x}", state.hash));
        for (family, rows) in &state.rows {
            row("state", &format!("rows of {family}"), rows.to_string());
        }
        for member in &state.membership.members {
            row("members", &format!("node {}", member.id), format!("{}, {}", member.raft_addr, member.client_addr));
        }
    }
    for snapshot in &found.snapshots {
        let name = snapshot.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = snapshot.content.map_or_else(
            || "damaged".to_owned(),
            |content| format!("{} rows to {}, hash {:032x}", content.rows, show(content.position), content.hash),
        );
        row("snapshot", &name, format!("{}: {content}", bytes::format(snapshot.bytes)));
    }
    let mut text = table.render();
    if found.in_use {
        text += "\na server has this directory open: what is shown is of no one moment\n";
    }
    text += "\n";
    if found.problems.is_empty() {
        text += "no problem was found\n";
    }
    for problem in &found.problems {
        text += &format!("problem: {}: {}\n", problem.part, problem.why);
    }
    text
}
