use clap::Args;
use gantry_proto::v1::{self, get_request::Key};
use serde_json::json;

use super::ls::reservations_table;
use crate::{
    arg::shape,
    context::{Context, Outcome},
    exit::Exit,
    failure::Failure,
    json,
};

/// Show a reservation, or what a request was answered with
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Get {
    /// The reservation
    id: Option<u64>,

    /// The request, while its answer is remembered
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl Get {
    pub async fn run(self, context: Context) -> Outcome {
        let key = self.id.map(Key::ReservationId).or(self.request_id.map(Key::RequestId));
        let answer = context.client.get(v1::GetRequest { key }).await?;
        if answer.reservations.is_empty() {
            return Err(Failure::new(Exit::NotFound, "none of its reservations stands any more"));
        }
        let value = json!({ "rev": answer.rev, "reservations": json::list(&answer.reservations, json::reservation) });
        context.output.answer(&value, || {
            let mut text = reservations_table(&answer.reservations);
            if let [reservation] = answer.reservations.as_slice() {
                let shape = reservation.shape.as_ref().map(shape::format).unwrap_or_default();
                let request = &reservation.request_id;
                text += &format!("\nshape {shape}; granted at rev {} to request {request}\n", reservation.rev);
            }
            text
        })
    }
}
