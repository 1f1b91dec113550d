use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use super::phase;
use crate::{
    context::{Context, Outcome},
    json,
    table::Table,
    unit::{gpu, time},
};

/// List reservations
#[derive(Debug, Args)]
pub struct Ls {
    /// Only of this app
    #[arg(long, default_value = "")]
    app: String,

    /// Only on this host
    #[arg(long, default_value = "")]
    host: String,
}

impl Ls {
    pub async fn run(self, context: Context) -> Outcome {
        let mut request = v1::ListRequest { app: self.app, host: self.host, ..v1::ListRequest::default() };
        let mut reservations = Vec::new();
        let rev = loop {
            let page = context.client.list(request.clone()).await?;
            reservations.extend(page.reservations);
            request.after_id = page.next_after_id;
            if request.after_id == 0 {
                break page.rev;
            }
        };
        let value = json!({ "rev": rev, "reservations": json::list(&reservations, json::reservation) });
        context.output.answer(&value, || reservations_table(&reservations))
    }
}

pub(super) fn reservations_table(reservations: &[v1::Reservation]) -> String {
    let mut table =
        Table::new([">ID", "APP", "HOST", "REGION", "ZONE", "GPU", "PHASE", "LEASE ENDS", "CREATED", "IMAGE"]);
    for reservation in reservations {
        table.row([
            reservation.id.to_string(),
            reservation.app.clone(),
            reservation.host.clone(),
            reservation.region.clone(),
            reservation.zone.clone(),
            gpu::format_devices(&reservation.devices),
            phase(reservation).to_owned(),
            time::until(reservation.expires_at_ms),
            time::ago(reservation.created_at_ms),
            reservation.image.clone(),
        ]);
    }
    table.render()
}
