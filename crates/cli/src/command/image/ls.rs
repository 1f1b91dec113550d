use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    json,
    table::Table,
    unit::bytes,
};

/// Characters of a digest in a table: `sha256:` and 12 digits, as docker shows it.
pub(super) const DIGEST: usize = 19;

/// List images and how many hosts hold them
#[derive(Debug, Args)]
pub struct Ls {}

impl Ls {
    pub async fn run(self, context: Context) -> Outcome {
        let mut request = v1::ListImagesRequest::default();
        let mut images = Vec::new();
        let rev = loop {
            let page = context.client.list_images(request.clone()).await?;
            images.extend(page.images);
            request.after_reference = page.next_after_reference;
            if request.after_reference.is_empty() {
                break page.rev;
            }
        };
        let value = json!({ "rev": rev, "images": json::list(&images, json::image_summary) });
        context.output.answer(&value, || text(&images))
    }
}

fn text(images: &[v1::ImageSummary]) -> String {
    let mut table = Table::new(["REFERENCE", "PLATFORM", "DIGEST", ">LAYERS", ">SIZE", ">COMPLETE ON", ">PARTLY ON"]);
    for image in images {
        table.row([
            image.reference.clone(),
            image.platform.clone(),
            image.digest.chars().take(DIGEST).collect(),
            image.layers.to_string(),
            bytes::format(image.size_bytes),
            image.hosts_complete.to_string(),
            image.hosts_partial.to_string(),
        ]);
    }
    table.render()
}
