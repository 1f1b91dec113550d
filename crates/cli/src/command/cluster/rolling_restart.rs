use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use clap::Args;
use gantry_client::{Client, Retry};
use gantry_proto::v1::{Member, StatusResponse, TransferLeaderRequest};
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    exit::Exit,
    failure::Failure,
    unit::duration,
};

/// How long one question to one node may take.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Log entries that a node may lack and still count as caught up.
const BEHIND: u64 = 1_000;

/// Restart all nodes, one at a time, each only while all others are well, the leader last
///
/// Processes on other machines are out of reach: give the --command that restarts one, or none, and restart each node
/// yourself when told to. Before each step every node must answer and have caught up; the leader hands over before its own.
#[derive(Debug, Args)]
pub struct RollingRestart {
    /// Run by `sh -c` for each node: {id}, {host}, {client_addr} and {raft_addr} are filled in
    ///
    /// Such as 'ssh {host} systemctl restart gantry'.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,

    /// Only show the order
    #[arg(long)]
    dry_run: bool,

    /// How long each node may take to be back and well
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    within: Duration,
}

impl RollingRestart {
    pub async fn run(self, context: Context) -> Outcome {
        let walk = Walk { client: context.client.clone(), within: self.within };
        let (leader, members) = walk.well().await?;
        let order = order(&members, leader);
        let ids: Vec<u64> = order.iter().map(|member| member.id).collect();
        let voters = members.iter().filter(|member| member.voter).count();
        if voters < 3 {
            eprintln!("note: with {voters} voters nothing is decided while one of them restarts");
        }
        if self.dry_run {
            let rows: Vec<String> =
                order.iter().map(|member| format!("node {} at {}", member.id, host(member))).collect();
            return context.output.answer(&json!({ "order": ids }), || rows.join("\n"));
        }
        let mut done = Vec::new();
        for member in &order {
            let restarted = walk.restart(member, self.command.as_deref()).await;
            restarted.map_err(|failure| failure.after(&format!("restarted nodes {done:?}")))?;
            eprintln!("node {} is back and well", member.id);
            done.push(member.id);
        }
        let value = json!({ "restarted": done });
        context.output.answer(&value, || format!("restarted {} nodes", done.len()))
    }
}

/// Learners, then followers, then the leader: leadership moves once.
fn order(members: &[Member], leader: u64) -> Vec<Member> {
    let mut order = members.to_vec();
    order.sort_by_key(|member| (member.id == leader, member.voter, member.id));
    order
}

fn host(member: &Member) -> &str {
    member.client_addr.rsplit_once(':').map_or(member.client_addr.as_str(), |(host, _)| host)
}

/// One walk through the cluster.
struct Walk {
    client: Client,
    within: Duration,
}

impl Walk {
    async fn ask(&self, addr: &str) -> Result<StatusResponse, Failure> {
        let client = self.client.clone().with_retry(Retry { deadline: PATIENCE, ..self.client.retry() });
        Ok(client.status(addr, false).await?)
    }

    /// The leader and all members, where every one of them answers, agrees on the leader, and has caught up.
    async fn look(&self) -> Result<(u64, Vec<Member>), String> {
        let seen = self.ask(&self.client.endpoint()).await.map_err(|failure| failure.to_string())?;
        if seen.leader_id == 0 {
            return Err("there is no leader".to_owned());
        }
        let leader = self.ask(&seen.leader_addr).await.map_err(|failure| format!("the leader: {failure}"))?;
        if leader.role != "leader" {
            return Err(format!("node {} does not lead yet", leader.node_id));
        }
        for member in &leader.members {
            let status =
                self.ask(&member.client_addr).await.map_err(|failure| format!("node {}: {failure}", member.id))?;
            if status.node_id != member.id || status.cluster_id != leader.cluster_id {
                return Err(format!("{} is not node {} of this cluster", member.client_addr, member.id));
            }
            if status.leader_id != leader.node_id {
                return Err(format!("node {} does not follow node {}", member.id, leader.node_id));
            }
            if status.applied + BEHIND < leader.committed {
                return Err(format!("node {} has applied {} of {}", member.id, status.applied, leader.committed));
            }
        }
        Ok((leader.node_id, leader.members))
    }

    /// Waits until all is well.
    async fn well(&self) -> Result<(u64, Vec<Member>), Failure> {
        let deadline = Instant::now() + self.within;
        let mut told = String::new();
        loop {
            match self.look().await {
                Ok(seen) => return Ok(seen),
                Err(why) if Instant::now() >= deadline => {
                    let failure = Failure::new(Exit::Unavailable, format!("the cluster is not well: {why}"));
                    return Err(failure.hint("nothing was restarted while it is not: see `gantry cluster status`"));
                }
                Err(why) if why != told => {
                    eprintln!("waiting: {why}");
                    told = why;
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn restart(&self, member: &Member, command: Option<&str>) -> Result<(), Failure> {
        let (leader, members) = self.well().await?;
        if leader == member.id && members.iter().filter(|member| member.voter).count() > 1 {
            let led = self.client.transfer_leader(TransferLeaderRequest { to: 0 }).await?;
            eprintln!("node {} has handed over to node {}", member.id, led.leader);
            self.well().await?;
        }
        let before = self.ask(&member.client_addr).await?.started_unix_ms;
        match command {
            Some(command) => run(&filled(command, member)).await?,
            None => {
                eprintln!("restart node {} at {} now, such as by `systemctl restart gantry`", member.id, host(member))
            }
        }
        let deadline = Instant::now() + self.within;
        while self.ask(&member.client_addr).await.map_or(true, |status| status.started_unix_ms == before) {
            if Instant::now() >= deadline {
                let why = format!("node {} was not seen restarted in time", member.id);
                return Err(Failure::new(Exit::Unavailable, why).hint("restart it, and give this command again"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.well().await.map(drop)
    }
}

fn filled(command: &str, member: &Member) -> String {
    let fill = [
        ("{id}", member.id.to_string()),
        ("{host}", host(member).to_owned()),
        ("{client_addr}", member.client_addr.clone()),
        ("{raft_addr}", member.raft_addr.clone()),
    ];
    fill.iter().fold(command.to_owned(), |command, (name, value)| command.replace(name, value))
}

async fn run(command: &str) -> Result<(), Failure> {
    let ran = tokio::process::Command::new("sh").args(["-c", command]).stdin(Stdio::null()).status().await;
    match ran {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::internal(format!("`{command}` ended with {status}"))),
        Err(error) => Err(Failure::internal(format!("`{command}` could not be run: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, voter: bool) -> Member {
        let (raft_addr, client_addr) = (format!("10.0.0.{id}:7401"), format!("10.0.0.{id}:7400"));
        Member { id, raft_addr, client_addr, voter, matched_index: 0 }
    }

    #[test]
    fn the_leader_is_last_and_learners_come_first() {
        let members = [member(1, true), member(2, true), member(3, true), member(4, false)];
        let ids: Vec<u64> = order(&members, 2).iter().map(|member| member.id).collect();
        assert_eq!(ids, [4, 1, 3, 2]);
    }

    #[test]
    fn a_command_is_filled_in() {
        let command = filled("ssh {host} restart {id} {client_addr} {raft_addr}", &member(7, true));
        assert_eq!(command, "ssh 10.0.0.7 restart 7 10.0.0.7:7400 10.0.0.7:7401");
    }
}
