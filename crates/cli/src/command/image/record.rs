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
/// diff_id may be left out. The names `ref`, `manifest_digest` (or `config_digest`) and `size` will do too.
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
    digest: Option<String>,
    manifest_digest: Option<String>,
    config_digest: Option<String>,
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
        let (mut rev, mut references) = (0, Vec::<String>::new());
        for image in images {
            let reference = image.reference.clone();
            let answer = context.client.record_image(v1::RecordImageRequest { image: Some(image) }).await;
            let done =
                || if references.is_empty() { String::new() } else { format!("{} recorded", references.join(", ")) };
            rev = answer.map_err(|error| Failure::from(error).after(&done()))?.rev;
            references.push(reference);
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
    lines.map(|line| v1::Image::try_from(line?)).collect()
}

impl TryFrom<ImageLine> for v1::Image {
    type Error = serde_json::Error;

    fn try_from(line: ImageLine) -> Result<Self, Self::Error> {
        let layer =
            |layer: LayerLine| v1::Layer { digest: layer.digest, size_bytes: layer.size_bytes, diff_id: layer.diff_id };
        let digest = line.digest.or(line.manifest_digest).or(line.config_digest);
        let digest = digest.ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{} has neither digest, manifest_digest nor config_digest",
                line.reference
            ))
        })?;
        Ok(Self {
            reference: line.reference,
            digest,
            platform: line.platform,
            layers: line.layers.into_iter().map(layer).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_under_both_sets_of_names() {
        let text = r#"{"reference": "a:1", "digest": "sha256:1", "layers": [{"digest": "sha256:2", "size_bytes": 3}]}
            {"ref": "b:1", "kind": "real", "manifest_digest": "sha256:4", "platform": "linux/amd64",
             "layers": [{"digest": "sha256:5", "size": 6, "diff_id": "sha256:7"}]}
            {"ref": "c:1", "manifest_digest": "sha256:8", "config_digest": "sha256:9", "layers": []}
            {"ref": "d:1", "manifest_digest": null, "config_digest": "sha256:a", "layers": []}"#;
        let images = parse(text).unwrap();
        assert_eq!((images[0].reference.as_str(), images[0].layers[0].size_bytes), ("a:1", 3));
        assert_eq!((images[1].digest.as_str(), images[1].layers[0].diff_id.as_str()), ("sha256:4", "sha256:7"));
        assert_eq!((images[2].digest.as_str(), images[3].digest.as_str()), ("sha256:8", "sha256:a"));
        let nameless = parse(r#"{"ref": "e:1", "layers": []}"#).unwrap_err().to_string();
        assert!(nameless.contains("e:1 has neither digest"), "{nameless}");
        assert!(parse("{}").is_err() && parse("[1").is_err());
    }
}
