//! What Docker's own directory says of its layers, and the API does not: which blobs they came from, and how large they are.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use gantry_types::{Digest, limits};
use serde::Deserialize;

use super::answer::Layer;

/// Of one file. An engine keeps up to fifty sources of a layer, of about 200 bytes each.
const FILE_BYTES: u64 = 64 << 10;

/// One source of a layer, as in `distribution/v2metadata-by-diffid`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Source {
    digest: String,
}

#[derive(Clone, Debug)]
pub(super) struct Directory {
    image: PathBuf,
    sources: PathBuf,
    layers: PathBuf,
}

/// What is known of a layer beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Of the blob that it was pulled or pushed as last.
    pub blob: Option<Digest>,
    /// Unpacked.
    pub unpacked_bytes: Option<u64>,
}

impl Directory {
    pub(super) fn new(root: &Path, driver: &str) -> Self {
        let image = root.join("image").join(driver);
        let sources = image.join("distribution/v2metadata-by-diffid/sha256");
        Self { sources, layers: image.join("layerdb/sha256"), image }
    }

    /// Whether it can be read at all. An engine that has pulled nothing yet has no sources.
    pub(super) fn check(&self) -> Result<(), (PathBuf, io::Error)> {
        std::fs::read_dir(&self.image).map(drop).map_err(|error| (self.image.clone(), error))
    }

    /// Of a layer that nothing is known of, nothing.
    pub(super) fn look(&self, layer: &Layer) -> Known {
        let hex = |digest: &Digest| digest.to_string().trim_start_matches("sha256:").to_owned();
        let sources = read(&self.sources.join(hex(&layer.diff_id)));
        let size = read(&self.layers.join(hex(&layer.chain)).join("size"));
        Known { blob: sources.as_deref().and_then(newest), unpacked_bytes: size.as_deref().and_then(bytes) }
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

/// The engine adds at the end.
fn newest(sources: &[u8]) -> Option<Digest> {
    let sources: Vec<Source> = serde_json::from_slice(sources).ok()?;
    sources.iter().rev().find_map(|source| Digest::parse("blob", &source.digest).ok())
}

fn bytes(size: &[u8]) -> Option<u64> {
    let bytes: u64 = std::str::from_utf8(size).ok()?.trim().parse().ok()?;
    (bytes <= limits::LAYER_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_source_counts_and_nonsense_is_nothing() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        // As an engine of version 20.10 wrote it after a push and a pull.
        let written = format!(
            "[{{\"Digest\":\"{}\",\"SourceRepository\":\"127.0.0.1:5977/team/app\",\"HMAC\":\"d450\"}},\
             {{\"Digest\":\"{}\",\"SourceRepository\":\"127.0.0.1:5977/team/app\",\"HMAC\":\"\"}}]",
            digest("a"),
            digest("b")
        );
        assert_eq!(newest(written.as_bytes()).map(|blob| blob.to_string()), Some(digest("b")));
        for nonsense in ["", "[]", "{}", "[{\"Digest\":\"md5:1\"}]", "[{\"Digest\":7}]"] {
            assert_eq!(newest(nonsense.as_bytes()), None, "{nonsense}");
        }
        assert_eq!((bytes(b"300000"), bytes(b"-1"), bytes(b"99999999999999999")), (Some(300_000), None, None));
    }

    #[test]
    fn a_layer_is_found_by_its_content_and_by_its_stack() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path(), "overlay2");
        assert!(directory.check().unwrap_err().0.ends_with("image/overlay2"));
        let layer = Layer { diff_id: Digest([1; 32]), chain: Digest([2; 32]), about_bytes: 0 };
        let hex = |number: &str| number.repeat(32);
        let sources = root.path().join("image/overlay2/distribution/v2metadata-by-diffid/sha256");
        let stack = root.path().join("image/overlay2/layerdb/sha256").join(hex("02"));
        std::fs::create_dir_all(&sources).unwrap();
        std::fs::create_dir_all(&stack).unwrap();
        assert!(directory.check().is_ok());
        assert_eq!(directory.look(&layer), Known::default());
        std::fs::write(sources.join(hex("01")), format!("[{{\"Digest\":\"{}\"}}]", Digest([3; 32]))).unwrap();
        std::fs::write(stack.join("size"), "7").unwrap();
        assert_eq!(directory.look(&layer), Known { blob: Some(Digest([3; 32])), unpacked_bytes: Some(7) });
    }
}
