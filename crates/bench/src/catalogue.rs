//! Images as lists of layers: the built-in catalogue and files of the same schema.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use gantry_types::{Digest, limits};
use serde::Deserialize;

const BUILT_IN: &str = include_str!("../data/catalogue.jsonl");
/// Only images of one platform are read: a reference has one manifest on it, and the fleet is of one kind.
const PLATFORMS: [&str; 2] = ["linux/amd64", "windows/amd64"];

/// A layer's number in a `Catalogue`.
pub type LayerNo = u32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:...`, as the API writes it.
    pub digest: String,
    /// Compressed.
    pub size_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub reference: String,
    pub digest: String,
    pub platform: String,
    /// Made from a size model and not observed in a registry.
    pub modelled: bool,
    /// Base layer first. A layer may occur twice, as in real manifests.
    pub layers: Vec<LayerNo>,
    pub size_bytes: u64,
}

/// A repository: an application whose image changes over time, oldest first.
#[derive(Clone, Debug)]
pub struct App {
    pub name: String,
    pub versions: Vec<Arc<Image>>,
}

impl App {
    pub fn newest(&self) -> &Arc<Image> {
        self.versions.last().expect("an app is made from at least one image")
    }
}

#[derive(Debug, Default)]
pub struct Catalogue {
    pub images: Vec<Arc<Image>>,
    pub layers: Vec<Layer>,
    numbers: HashMap<Digest, LayerNo>,
}

/// The fields of a line that are used; all others are ignored.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "ref")]
    reference: String,
    platform: String,
    kind: Option<String>,
    manifest_digest: Option<String>,
    config_digest: Option<String>,
    layers: Vec<LineLayer>,
}

#[derive(Deserialize)]
struct LineLayer {
    digest: String,
    size: u64,
}

impl Catalogue {
    pub fn built_in() -> Result<Self> {
        let mut catalogue = Self::default();
        catalogue.add(BUILT_IN.as_bytes(), "built-in catalogue")?;
        Ok(catalogue)
    }

    /// Reads files of one JSON object a line; those that end in `.zst` are decompressed.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut catalogue = Self::default();
        for path in paths {
            let file = File::open(path).with_context(|| format!("cannot open the images file {}", path.display()))?;
            let lines: Box<dyn Read> = if path.extension().is_some_and(|ext| ext == "zst") {
                Box::new(zstd::Decoder::new(file).with_context(|| format!("{} is not zstd", path.display()))?)
            } else {
                Box::new(file)
            };
            catalogue.add(lines, &path.display().to_string())?;
        }
        ensure!(!catalogue.images.is_empty(), "no image of {} in {}", PLATFORMS.join(" or "), shown(paths));
        Ok(catalogue)
    }

    fn add(&mut self, lines: impl Read, source: &str) -> Result<()> {
        for (at, line) in BufReader::new(lines).lines().enumerate() {
            let place = || format!("{source}, line {}", at + 1);
            let line = line.with_context(place)?;
            if line.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&line).with_context(place)?;
            if PLATFORMS.contains(&line.platform.as_str()) {
                let image = self.image(line).with_context(place)?;
                self.images.push(Arc::new(image));
            }
        }
        Ok(())
    }

    fn image(&mut self, line: Line) -> Result<Image> {
        let Some(digest) = line.manifest_digest.or(line.config_digest) else {
            bail!("{} has neither a manifest_digest nor a config_digest", line.reference)
        };
        Digest::parse("manifest_digest", &digest)?;
        ensure!(!line.reference.is_empty(), "the ref is empty");
        ensure!(!line.layers.is_empty(), "{} has no layers", line.reference);
        let most = limits::LAYERS_PER_IMAGE;
        ensure!(line.layers.len() <= most, "{} has {} layers: at most {most}", line.reference, line.layers.len());
        let layers = line.layers.into_iter().map(|layer| self.layer(layer)).collect::<Result<Vec<_>>>()?;
        let size_bytes = layers.iter().map(|&no| self.layers[no as usize].size_bytes).sum();
        let modelled = line.kind.as_deref() == Some("modelled");
        Ok(Image { reference: line.reference, digest, platform: line.platform, modelled, layers, size_bytes })
    }

    fn layer(&mut self, layer: LineLayer) -> Result<LayerNo> {
        let digest = Digest::parse("layers.digest", &layer.digest)?;
        ensure!(layer.size <= limits::SIZE_BYTES, "layer {digest} is {} bytes long, which is absurd", layer.size);
        let next = LayerNo::try_from(self.layers.len()).context("more layers than can be numbered")?;
        let no = *self.numbers.entry(digest).or_insert(next);
        if no == next {
            self.layers.push(Layer { digest: layer.digest, size_bytes: layer.size });
        }
        let known = self.layers[no as usize].size_bytes;
        ensure!(known == layer.size, "layer {digest} is {} bytes long here and {known} before", layer.size);
        Ok(no)
    }

    /// The repositories in the order of their names, each with at most its `newest` last versions.
    pub fn apps(&self, newest: usize) -> Vec<App> {
        let mut apps: BTreeMap<&str, Vec<Arc<Image>>> = BTreeMap::new();
        for image in &self.images {
            apps.entry(repository(&image.reference)).or_default().push(Arc::clone(image));
        }
        apps.into_iter()
            .map(|(name, mut versions)| {
                versions.drain(..versions.len().saturating_sub(newest));
                App { name: name.to_owned(), versions }
            })
            .collect()
    }
}

/// A reference without its tag and digest. A colon before the last slash belongs to the registry's port.
fn repository(reference: &str) -> &str {
    let reference = reference.split_once('@').map_or(reference, |(name, _)| name);
    let path = reference.rfind('/').map_or(0, |slash| slash + 1);
    reference[path..].find(':').map_or(reference, |colon| &reference[..path + colon])
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path: &PathBuf| Path::display(path).to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(reference: &str, layers: &[(u8, u64)]) -> String {
        let layers: Vec<_> = layers
            .iter()
            .map(|(byte, size)| serde_json::json!({"digest": format!("sha256:{:064x}", byte), "size": size, "by": "RUN"}))
            .collect();
        let digest = format!("sha256:{:064x}", 255);
        serde_json::json!({"ref": reference, "platform": "linux/amd64", "manifest_digest": digest, "layers": layers})
            .to_string()
    }

    fn parse(text: &str) -> Result<Catalogue> {
        let mut catalogue = Catalogue::default();
        catalogue.add(text.as_bytes(), "test.jsonl")?;
        Ok(catalogue)
    }

    #[test]
    fn the_built_in_catalogue_is_what_the_demo_promises() {
        let catalogue = Catalogue::built_in().unwrap();
        assert!(catalogue.images.len() >= 40, "{} images", catalogue.images.len());
        assert!(catalogue.images.iter().filter(|i| !i.modelled).count() >= 20);
        let apps = catalogue.apps(8);
        assert!(apps.iter().filter(|app| app.versions.len() > 1).count() >= 20, "tag moves need versions");
        let shared = catalogue.images.iter().map(|i| i.size_bytes).sum::<u64>();
        let unique = catalogue.layers.iter().map(|l| l.size_bytes).sum::<u64>();
        assert!(unique * 2 < shared, "images share bases: {unique} of {shared} bytes are distinct");
        let cuda = "docker.io/nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04";
        let cuda = catalogue.images.iter().find(|i| i.reference == cuda).unwrap();
        assert_eq!((cuda.layers.len(), cuda.size_bytes), (10, 2_136_224_442));
    }

    #[test]
    fn layers_are_shared_between_lines_and_versions_keep_their_order() {
        let text =
            [line("r.io:5000/a:v1", &[(1, 10), (2, 20)]), line("r.io:5000/a:v2", &[(1, 10), (3, 5)])].join("\n\n");
        let catalogue = parse(&text).unwrap();
        assert_eq!(catalogue.layers.len(), 3);
        let apps = catalogue.apps(8);
        assert_eq!((apps.len(), apps[0].name.as_str()), (1, "r.io:5000/a"));
        assert_eq!(apps[0].newest().reference, "r.io:5000/a:v2");
        assert_eq!(apps[0].newest().size_bytes, 15);
        assert_eq!(catalogue.apps(1)[0].versions.len(), 1);
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_its_fault() {
        let good = line("r.io/a:v1", &[(1, 10)]);
        let faults = [
            ("{\"ref\": ", "line 2"),
            (&*line("r.io/b:v1", &[]), "no layers"),
            (&*line("r.io/b:v1", &[(1, 11)]), "10 before"),
            (&*line("r.io/b:v1", &[(1, u64::MAX)]), "absurd"),
            (&*good.replace("sha256:", "sha512:"), "expected sha256:"),
            (&*good.replace("manifest_digest", "manifest"), "neither"),
        ];
        for (bad, fault) in faults {
            let text = format!("{good}\n{bad}\n");
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains("test.jsonl, line 2") && error.contains(fault), "{error:?} should name {fault:?}");
        }
    }

    #[test]
    fn other_platforms_are_left_out_and_compressed_files_are_read() {
        let text = format!("{}\n{}", line("a:1", &[(1, 1)]), line("a:1", &[(2, 1)]).replace("amd64", "arm64"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images.jsonl.zst");
        File::create(&path).unwrap().write_all(&zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
        assert_eq!(Catalogue::read(&[path]).unwrap().images.len(), 1);
    }

    #[test]
    fn a_repository_ends_before_the_tag() {
        for (reference, name) in [("a:1", "a"), ("r:5000/a/b", "r:5000/a/b"), ("r:5000/a:1@sha256:0", "r:5000/a")] {
            assert_eq!(repository(reference), name);
        }
    }
}
