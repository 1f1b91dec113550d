use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    json,
    table::Table,
};

/// List regions with their hosts, and the names that stand for several
#[derive(Debug, Args)]
pub struct Ls {}

impl Ls {
    pub async fn run(self, context: Context) -> Outcome {
        let mut request = v1::ListRegionsRequest::default();
        let mut regions = Vec::new();
        let rev = loop {
            let page = context.client.list_regions(request.clone()).await?;
            regions.extend(page.regions);
            request.after_name = page.next_after_name;
            if request.after_name.is_empty() {
                break page.rev;
            }
        };
        let value = json!({ "rev": rev, "regions": json::list(&regions, json::region) });
        context.output.answer(&value, || text(&regions))
    }
}

fn text(regions: &[v1::Region]) -> String {
    let mut table = Table::new(["NAME", "STANDS FOR", ">HOSTS", ">OPEN"]);
    for region in regions {
        table.row([
            region.name.clone(),
            region.stands_for.join(", "),
            region.hosts.to_string(),
            region.open_hosts.to_string(),
        ]);
    }
    table.render()
}
