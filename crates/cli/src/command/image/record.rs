use std::{io::Read, path::PathBuf};

use clap::Args;
use gantry_proto::v1;
use serde::Deserialize;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    failure::Failure,
};

/// Bytes of a file of images.
const FILE_BYTES: u64 = 256 << 20;

/// Record images, so that placements know their layers
///
/// The file holds one JSON object an image: {"reference": "redis:7", "digest": "sha256:...", "platform": "linux/amd64",
/// "layers": [{"digest": "sha256:...", "size_bytes": 123, "diff_id": "sha256:..."}]}, base layer first; platform and
/// diff_id may be left out. The names `ref`, `manifest_digest` and `size` will do too.
#[derive(Debug, Args)]
pub struct Record {
    /// `-` is standard input
    file: PathBuf,
}

/// What is read of a line; further fields are ignored.
#[derive(Debug, Deserialize)]
struct ImageLine {
    #[serde(alias = "ref")]
    reference: String,
    #[serde(alias = "manifest_digest", alias = "config_digest")]
    digest: String,
    #[serde(default)]
    platform: String,
    layers: Vec<LayerLine>,
}

#[derive(Debug, Deserialize)]
struct LayerLine {
    digest: String,
    #[serde(alias = "size")]
    size_bytes: u64,
    #[serde(default)]
    diff_id: String,
}

impl Record {
    pub async fn run(self, context: Context) -> Outcome {
        let shown = self.file.display().to_string();
        let text = self.read().map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
        let images = parse(&text).map_err(|error| Failure::usage(format!("{shown} is no list of images: {error}")))?;
        if images.is_empty() {
            return Err(Failure::usage(format!("{shown} holds no image")));
        }
        let (mut rev, mut references) = (0, Vec::new());
        for image in images {
            references.push(image.reference.clone());
            rev = context.client.record_image(v1::RecordImageRequest { image: Some(image) }).await?.rev;
        }
        let value = json!({ "rev": rev, "images": references });
        context.output.answer(&value, || format!("{} images are recorded", references.len()))
    }

    fn read(&self) -> std::io::Result<String> {
        let mut text = String::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().lock().take(FILE_BYTES).read_to_string(&mut text)?;
        } else {
            std::fs::File::open(&self.file)?.take(FILE_BYTES).read_to_string(&mut text)?;
        }
        Ok(text)
    }
}

/// Objects one after another, whether a line each or spread over lines.
fn parse(text: &str) -> Result<Vec<v1::Image>, serde_json::Error> {
    let lines = serde_json::Deserializer::from_str(text).into_iter::<ImageLine>();
    lines.map(|line| line.map(v1::Image::from)).collect()
}

impl From<ImageLine> for v1::Image {
    fn from(line: ImageLine) -> Self {
        let layer =
            |layer: LayerLine| v1::Layer { digest: layer.digest, size_bytes: layer.size_bytes, diff_id: layer.diff_id };
        Self {
            reference: line.reference,
            digest: line.digest,
            platform: line.platform,
            layers: line.layers.into_iter().map(layer).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_under_both_sets_of_names() {
        let text = r#"{"reference": "a:1", "digest": "sha256:1", "layers": [{"digest": "sha256:2", "size_bytes": 3}]}
            {"ref": "b:1", "kind": "real", "manifest_digest": "sha256:4", "platform": "linux/amd64",
             "layers": [{"digest": "sha256:5", "size": 6, "diff_id": "sha256:7"}]}"#;
        let images = parse(text).unwrap();
        assert_eq!((images[0].reference.as_str(), images[0].layers[0].size_bytes), ("a:1", 3));
        assert_eq!((images[1].digest.as_str(), images[1].layers[0].diff_id.as_str()), ("sha256:4", "sha256:7"));
        assert!(parse("{}").is_err() && parse("[1").is_err());
    }
}
