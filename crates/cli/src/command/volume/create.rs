use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use super::ls::volumes_table;
use crate::{
    arg::{
        compute::{ComputeArgs, HoldArgs},
        constraints::ConstraintArgs,
        request_id::RequestIdArg,
    },
    context::{Context, Outcome},
    failure::Failure,
    json,
    unit::bytes,
};

/// Create a volume on a host that also has room for its machine, and hold that room
#[derive(Debug, Args)]
pub struct Create {
    name: String,

    /// 10GiB
    #[arg(long, value_parser = bytes::parse)]
    size: u64,

    /// Whose volume it is
    #[arg(long, default_value = "default")]
    app: String,

    #[command(flatten)]
    constraints: ConstraintArgs,

    /// No two volumes of this app and name on one host
    #[arg(long)]
    unique_zone: bool,

    /// No two volumes of this app on one host, whatever their names
    #[arg(long)]
    unique_zone_app_wide: bool,

    #[command(flatten)]
    compute: ComputeArgs,

    #[command(flatten)]
    hold: HoldArgs,

    #[command(flatten)]
    request_id: RequestIdArg,
}

impl Create {
    pub async fn run(mut self, context: Context) -> Outcome {
        let request_id = self.request_id.or_new();
        let constraints = v1::Constraints {
            unique_zone: self.unique_zone,
            unique_zone_app_wide: self.unique_zone_app_wide,
            ..self.constraints.into()
        };
        let request = v1::CreateVolumeRequest {
            request_id: request_id.clone(),
            app: self.app,
            name: self.name,
            size_bytes: self.size,
            constraints: Some(constraints),
            compute: self.compute.shape(),
            compute_image: self.compute.compute_image.unwrap_or_default(),
            hold_ms: self.hold.hold_ms(),
            no_hold: self.hold.no_hold,
            fork_of: 0,
        };
        create(&context, request).await
    }
}

/// Creates a volume and shows it.
pub(super) async fn create(context: &Context, request: v1::CreateVolumeRequest) -> Outcome {
    let request_id = request.request_id.clone();
    let answer =
        context.client.create_volume(request).await.map_err(|error| Failure::of_request(error, &request_id))?;
    let volume = answer.volume.ok_or_else(|| Failure::internal("the answer holds no volume"))?;
    let value = json!({ "rev": answer.rev, "request_id": request_id, "volume": json::volume(&volume) });
    context.output.answer(&value, || volumes_table(std::slice::from_ref(&volume)))
}
