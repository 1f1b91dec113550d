use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    json,
    table::Table,
    unit::{bytes, time},
};

/// List volumes
#[derive(Debug, Args)]
pub struct Ls {
    /// Only of this app
    #[arg(long, default_value = "")]
    app: String,
}

impl Ls {
    pub async fn run(self, context: Context) -> Outcome {
        let mut request = v1::ListVolumesRequest { app: self.app, ..v1::ListVolumesRequest::default() };
        let mut volumes = Vec::new();
        let rev = loop {
            let page = context.client.list_volumes(request.clone()).await?;
            volumes.extend(page.volumes);
            request.after_id = page.next_after_id;
            if request.after_id == 0 {
                break page.rev;
            }
        };
        let value = json!({ "rev": rev, "volumes": json::list(&volumes, json::volume) });
        context.output.answer(&value, || volumes_table(&volumes))
    }
}

pub(super) fn volumes_table(volumes: &[v1::Volume]) -> String {
    let mut table = Table::new([">ID", "APP", "NAME", ">SIZE", "HOST", "REGION", "ZONE", "USED BY", "HELD", "CREATED"]);
    for volume in volumes {
        table.row([
            volume.id.to_string(),
            volume.app.clone(),
            volume.name.clone(),
            bytes::format(volume.size_bytes),
            volume.host.clone(),
            volume.region.clone(),
            volume.zone.clone(),
            if volume.used_by == 0 { String::new() } else { volume.used_by.to_string() },
            volume.hold.as_ref().map(|hold| time::until(hold.until_ms)).unwrap_or_default(),
            time::ago(volume.created_at_ms),
        ]);
    }
    table.render()
}
