use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    arg::request_id::RequestIdArg,
    context::{Context, Outcome},
    failure::Failure,
};

/// Free what reservations hold, all of them or none
#[derive(Debug, Args)]
pub struct Release {
    /// Reservations, by id
    #[arg(required = true, value_name = "ID")]
    ids: Vec<u64>,

    #[command(flatten)]
    request_id: RequestIdArg,
}

impl Release {
    pub async fn run(self, context: Context) -> Outcome {
        let request_id = self.request_id.or_new();
        let request = v1::ReleaseRequest { request_id: request_id.clone(), reservation_ids: self.ids.clone() };
        let answer = context.client.release(request).await.map_err(|error| Failure::of_request(error, &request_id))?;
        let value = json!({ "rev": answer.rev, "request_id": request_id, "released": self.ids });
        context.output.answer(&value, || match self.ids.as_slice() {
            [one] => format!("reservation {one} released"),
            all => format!("{} reservations released", all.len()),
        })
    }
}
