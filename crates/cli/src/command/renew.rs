use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    arg::request_id::RequestIdArg,
    context::{Context, Outcome},
    failure::Failure,
    unit::{duration, time},
};

/// Let a reservation's lease run anew
#[derive(Debug, Args)]
pub struct Renew {
    /// The reservation
    id: u64,

    /// The new length of the lease [default: as it is]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_ms)]
    lease: Option<u64>,

    #[command(flatten)]
    request_id: RequestIdArg,
}

impl Renew {
    pub async fn run(self, context: Context) -> Outcome {
        let request_id = self.request_id.or_new();
        let request = v1::RenewRequest {
            request_id: request_id.clone(),
            reservation_id: self.id,
            lease_ms: self.lease.unwrap_or_default(),
        };
        let answer = context.client.renew(request).await.map_err(|error| Failure::of_request(error, &request_id))?;
        let value = json!({ "rev": answer.rev, "request_id": request_id, "expires_at_ms": answer.expires_at_ms });
        context.output.answer(&value, || match answer.expires_at_ms {
            0 => format!("reservation {} is confirmed: no lease runs", self.id),
            at => format!("the lease of reservation {} ends {}", self.id, time::until(at)),
        })
    }
}
