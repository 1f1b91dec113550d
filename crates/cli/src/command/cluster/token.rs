use clap::Args;
use gantry_proto::{Token, token::Identity};
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    failure::Failure,
};

/// Make a token with which a new machine joins: it holds a new node id, the cluster's id and the members' addresses
///
/// On the new machine: `gantry server --config server.toml --join TOKEN`. A token is no secret, and good for one node.
#[derive(Debug, Args)]
pub struct MakeToken {}

impl MakeToken {
    pub async fn run(self, context: Context) -> Outcome {
        let given = context.client.new_id().await?;
        let cluster = u64::from_str_radix(&given.cluster_id, 16)
            .map_err(|_| Failure::internal(format!("the server gave {:?} for a cluster id", given.cluster_id)))?;
        let identity = Some(Identity { node: given.id, cluster });
        let token = Token { identity, addresses: given.client_addrs }.to_string();
        let value = json!({ "token": token, "id": given.id, "cluster_id": given.cluster_id });
        context.output.answer(&value, || token.clone())
    }
}
