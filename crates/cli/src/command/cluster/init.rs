use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    arg::member,
    context::{Context, Outcome},
};

/// Make a new cluster; called once, on one of its members
///
/// All members must be running, and new. `gantry --addr 10.0.0.1:7400 cluster init --member 1=10.0.0.1:7401,10.0.0.1:7400
/// --member 2=10.0.0.2:7401,10.0.0.2:7400 --member 3=10.0.0.3:7401,10.0.0.3:7400`
#[derive(Debug, Args)]
pub struct Init {
    /// A member
    #[arg(long = "member", required = true, value_name = "ID=RAFT_ADDR,CLIENT_ADDR", value_parser = member::parse)]
    members: Vec<v1::Member>,
}

impl Init {
    pub async fn run(self, context: Context) -> Outcome {
        let count = self.members.len();
        let answer = context.client.init(context.node()?, v1::InitRequest { members: self.members }).await?;
        let value = json!({ "cluster_id": answer.cluster_id, "members": count });
        context.output.answer(&value, || format!("cluster {} has {count} members", answer.cluster_id))
    }
}
