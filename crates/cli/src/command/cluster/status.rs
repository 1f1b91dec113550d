use std::time::{Duration, Instant};

use clap::Args;
use gantry_client::{Client, Error, Retry};
use gantry_proto::{
    reason,
    v1::{Member, StatusResponse},
};
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    exit::Exit,
    json,
    table::Table,
};

/// How long one node may take; a hash is a pass over its whole state.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE_WITH_HASH: Duration = Duration::from_secs(60);

/// Show every node as it sees itself
#[derive(Debug, Args)]
pub struct Status {
    /// Compare the nodes' states: equal at equal APPLIED is healthy
    #[arg(long)]
    hash: bool,
}

impl Status {
    pub async fn run(self, context: Context) -> Outcome {
        let deadline = if self.hash { PATIENCE_WITH_HASH } else { PATIENCE };
        let client = context.client.clone().with_retry(Retry { deadline, ..context.client.retry() });
        let asked_until = Instant::now() + PATIENCE;
        let mut nodes = ask_all(&client, &context.endpoints, self.hash).await;
        // A server that was started a moment ago.
        while nodes.iter().all(is_unreachable) && Instant::now() < asked_until {
            tokio::time::sleep(PAUSE).await;
            nodes = ask_all(&client, &context.endpoints, self.hash).await;
        }
        if let (true, Some((_, Err(error)))) = (nodes.iter().all(|(_, status)| status.is_err()), nodes.first()) {
            return Err(error.clone().into());
        }
        let value = json!({
            "nodes": nodes.iter().map(|(endpoint, status)| match status {
                Ok(status) => json!({ "addr": endpoint, "status": json::status(status) }),
                Err(error) => json!({ "addr": endpoint, "error": error.to_string() }),
            }).collect::<Vec<_>>(),
        });
        context.output.answer(&value, || text(&nodes))?;
        Ok(if nodes.iter().all(|(_, status)| status.is_ok()) { Exit::Ok } else { Exit::Unavailable })
    }
}

type Asked = (String, Result<StatusResponse, Error>);

fn is_unreachable((_, status): &Asked) -> bool {
    status.as_ref().is_err_and(|error| error.reason() == reason::UNREACHABLE)
}

/// Asks the nodes that are named, and then the members that these know.
async fn ask_all(client: &Client, endpoints: &[String], hash: bool) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    let mut next: Vec<String> = endpoints.to_vec();
    while !next.is_empty() {
        for endpoint in std::mem::take(&mut next) {
            let status = client.status(&endpoint, hash).await;
            asked.push((endpoint, status));
        }
        let known = asked.iter().filter_map(|(_, status)| status.as_ref().ok()).flat_map(|status| &status.members);
        next = known.filter(|member| is_new(&asked, member)).map(|member| member.client_addr.clone()).collect();
        next.sort();
        next.dedup();
    }
    asked
}

/// A node may be reached under another address than the one it gives itself, so its id counts too.
fn is_new(asked: &[Asked], member: &Member) -> bool {
    asked.iter().all(|(endpoint, status)| {
        *endpoint != member.client_addr && status.as_ref().map_or(true, |status| status.node_id != member.id)
    })
}

fn text(nodes: &[Asked]) -> String {
    let mut table =
        Table::new([">ID", "ROLE", "ADDRESS", ">TERM", ">LAST LOG", ">COMMITTED", ">APPLIED", "VERSION", "STATE HASH"]);
    for (endpoint, status) in nodes {
        let unknown = || std::iter::repeat_n(String::new(), 6);
        match status {
            Ok(status) => table.row([
                status.node_id.to_string(),
                status.role.clone(),
                endpoint.clone(),
                status.term.to_string(),
                status.last_log.to_string(),
                status.committed.to_string(),
                status.applied.to_string(),
                status.version.clone(),
                status.state_hash.clone(),
            ]),
            Err(_) => {
                table.row([String::new(), "unreachable".to_owned(), endpoint.clone()].into_iter().chain(unknown()))
            }
        }
    }
    let Some(status) = nodes.iter().filter_map(|(_, status)| status.as_ref().ok()).max_by_key(|status| status.applied)
    else {
        return table.render();
    };
    if status.cluster_id.is_empty() {
        return format!(
            "{}\nnot part of a cluster yet: see `gantry cluster init` and `gantry cluster join`\n",
            table.render()
        );
    }
    format!(
        "cluster {}, feature level {} of {}: {} hosts, {} reservations, {} volumes, {} images\n\n{}",
        status.cluster_id,
        status.feature_level,
        status.feature_level_max,
        status.hosts,
        status.reservations,
        status.volumes,
        status.images,
        table.render()
    )
}
