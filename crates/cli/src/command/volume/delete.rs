use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    arg::request_id::RequestIdArg,
    context::{Context, Outcome},
    failure::Failure,
};

/// Delete a volume that no machine uses
#[derive(Debug, Args)]
pub struct Delete {
    id: u64,

    #[command(flatten)]
    request_id: RequestIdArg,
}

impl Delete {
    pub async fn run(self, context: Context) -> Outcome {
        let request_id = self.request_id.or_new();
        let request = v1::DeleteVolumeRequest { request_id: request_id.clone(), volume_id: self.id };
        let answer =
            context.client.delete_volume(request).await.map_err(|error| Failure::of_request(error, &request_id))?;
        let value = json!({ "rev": answer.rev, "request_id": request_id, "volume_id": self.id });
        context.output.answer(&value, || format!("volume {} is deleted", self.id))
    }
}
