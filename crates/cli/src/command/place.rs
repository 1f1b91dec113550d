use clap::Args;
use gantry_proto::{reason, v1};
use serde_json::json;

use super::explain::rejections_table;
use crate::{
    arg::{placement::PlacementArgs, request_id::RequestIdArg},
    context::{Context, Outcome},
    exit::Exit,
    failure::Failure,
    json,
    table::Table,
    unit::{bytes, duration, gpu},
};

/// Place machines: capacity is reserved until it is released or its lease runs out
#[derive(Debug, Args)]
pub struct Place {
    #[command(flatten)]
    placement: PlacementArgs,

    /// Place all of --count or none
    #[arg(long)]
    all_or_nothing: bool,

    /// How long the host may take to confirm [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_ms)]
    lease: Option<u64>,

    #[command(flatten)]
    request_id: RequestIdArg,
}

/// The flags that `gantry explain` does not take change nothing of where a machine fits.
const NO_CAPACITY: &str = "`gantry explain` with the same flags but --lease and --request-id shows which hosts come near, and \
    what would let it fit";

impl Place {
    pub async fn run(self, context: Context) -> Outcome {
        let request_id = self.request_id.or_new();
        let request = v1::PlaceRequest {
            request_id: request_id.clone(),
            all_or_nothing: self.all_or_nothing,
            lease_ms: self.lease.unwrap_or_default(),
            ..v1::PlaceRequest::from(self.placement)
        };
        let answer = context.client.place(request).await.map_err(|error| match error.reason() {
            reason::NO_CAPACITY => Failure::of_request(error, &request_id).hint(NO_CAPACITY),
            _ => Failure::of_request(error, &request_id),
        })?;
        let value = json!({
            "rev": answer.rev,
            "request_id": request_id,
            "placed": answer.reservations.len(),
            "missing": answer.missing,
            "reservations": json::list(&answer.reservations, json::reservation),
            "choices": json::list(&answer.choices, json::choice),
            "rejections": json::rejections(&answer.rejections),
        });
        context.output.answer(&value, || text(&answer))?;
        Ok(if answer.missing == 0 { Exit::Ok } else { Exit::NoCapacity })
    }
}

fn text(answer: &v1::PlaceResponse) -> String {
    let mut table = Table::new([">ID", "HOST", "REGION", "ZONE", "GPU", "IMAGE PRESENT", "LEASE", ">FENCE"]);
    for (at, reservation) in answer.reservations.iter().enumerate() {
        table.row([
            reservation.id.to_string(),
            reservation.host.clone(),
            reservation.region.clone(),
            reservation.zone.clone(),
            gpu::format_devices(&reservation.devices),
            answer.choices.get(at).map(present).unwrap_or_default(),
            duration::format_ms(reservation.lease_ms),
            reservation.fence.to_string(),
        ]);
    }
    let mut text = table.render();
    if answer.missing > 0 {
        text += &format!("\n{} more did not fit:\n{}", answer.missing, rejections_table(&answer.rejections));
    }
    text
}

/// How much of the image was on the host already.
fn present(choice: &v1::Choice) -> String {
    if !choice.image_known || choice.image_bytes == 0 {
        return String::new();
    }
    format!("{} of {}", bytes::format(choice.present_bytes), bytes::format(choice.image_bytes))
}
