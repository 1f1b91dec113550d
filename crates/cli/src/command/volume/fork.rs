use clap::Args;
use gantry_proto::v1;

use super::create::create;
use crate::{
    arg::{
        compute::{ComputeArgs, HoldArgs},
        constraints::ConstraintArgs,
        request_id::RequestIdArg,
    },
    context::{Context, Outcome},
    failure::Failure,
    unit::bytes,
};

/// Create a volume with the content of another, on another host
///
/// It is of the same app, and in the same region unless regions are named. What is not said of its machine is what the
/// source's machine has.
#[derive(Debug, Args)]
pub struct Fork {
    id: u64,

    /// Its name, without it the source's
    #[arg(long)]
    name: Option<String>,

    /// 10GiB, without it the source's size
    #[arg(long, value_parser = bytes::parse)]
    size: Option<u64>,

    #[command(flatten)]
    constraints: ConstraintArgs,

    #[command(flatten)]
    compute: ComputeArgs,

    #[command(flatten)]
    hold: HoldArgs,

    #[command(flatten)]
    request_id: RequestIdArg,
}

impl Fork {
    pub async fn run(mut self, context: Context) -> Outcome {
        let answer = context.client.get_volume(v1::GetVolumeRequest { volume_id: self.id }).await?;
        let source = answer.volume.ok_or_else(|| Failure::internal("the answer holds no volume"))?;
        let request = v1::CreateVolumeRequest {
            request_id: self.request_id.or_new(),
            app: source.app,
            name: self.name.unwrap_or(source.name),
            size_bytes: self.size.unwrap_or_default(),
            constraints: Some(self.constraints.into()),
            compute: self.compute.shape(),
            compute_image: self.compute.compute_image.unwrap_or_default(),
            hold_ms: self.hold.hold_ms(),
            no_hold: self.hold.no_hold,
            fork_of: self.id,
        };
        create(&context, request).await
    }
}
