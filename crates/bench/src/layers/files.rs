//! The files of the experiment: images as lists of layers, and the moves of tags from image to image.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// An image number in `Files`.
pub type ImageNo = u32;
/// A layer's number in `Files`.
pub type LayerNo = u32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Base layer first, each once.
    pub layers: Vec<LayerNo>,
    pub bytes: u64,
}

/// A tag that points to another image from a moment on, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub at: u64,
    pub image: ImageNo,
}

/// What the files hold of the platform that most of their images are of.
#[derive(Debug, Default)]
pub struct Files {
    pub images: Vec<Image>,
    /// Compressed sizes.
    pub layer_bytes: Vec<u64>,
    /// Images of one repository in the order of the files.
    pub repositories: BTreeMap<String, Vec<ImageNo>>,
    /// Moves of one reference in the order of time; empty without an events file.
    pub moves: BTreeMap<String, Vec<Move>>,
}

#[derive(Deserialize)]
struct Line {
    id: Option<u64>,
    #[serde(rename = "ref")]
    reference: String,
    platform: String,
    layers: Vec<LineLayer>,
}

#[derive(Deserialize)]
struct LineLayer {
    digest: String,
    size: u64,
}

pub fn read(images: &[PathBuf], events: Option<&Path>) -> Result<Files> {
    let mut lines = Vec::new();
    for path in images {
        for (at, text) in open(path)?.lines().enumerate() {
            let place = || format!("{}, line {}", path.display(), at + 1);
            let text = text.with_context(place)?;
            if !text.trim().is_empty() {
                lines.push(serde_json::from_str::<Line>(&text).with_context(place)?);
            }
        }
    }
    let platform = most_frequent(&lines).context("the image files have no line")?;
    lines.retain(|line| line.platform == platform);
    let mut files = Files::default();
    let by_id = files.add(lines)?;
    if let Some(path) = events {
        files.moves = read_moves(path, &platform, &by_id)?;
    }
    Ok(files)
}

/// Decompressed where the name ends in `.zst`.
fn open(path: &Path) -> Result<impl BufRead> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let plain: Box<dyn Read> = if path.extension().is_some_and(|ext| ext == "zst") {
        Box::new(zstd::Decoder::new(file).with_context(|| format!("{} is not zstd", path.display()))?)
    } else {
        Box::new(file)
    };
    Ok(BufReader::new(plain))
}

fn most_frequent(lines: &[Line]) -> Option<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for line in lines {
        *counts.entry(&line.platform).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map(|(platform, _)| platform.to_owned())
}

impl Files {
    fn add(&mut self, lines: Vec<Line>) -> Result<HashMap<u64, ImageNo>> {
        let (mut by_id, mut by_digest) = (HashMap::new(), HashMap::<String, LayerNo>::new());
        for line in lines {
            let mut image = Image { layers: Vec::with_capacity(line.layers.len()), bytes: 0 };
            for layer in line.layers {
                let next = LayerNo::try_from(self.layer_bytes.len()).context("more layers than can be numbered")?;
                let no = *by_digest.entry(layer.digest).or_insert(next);
                if no == next {
                    self.layer_bytes.push(layer.size);
                }
                if !image.layers.contains(&no) {
                    image.layers.push(no);
                    image.bytes += self.layer_bytes[no as usize];
                }
            }
            ensure!(!image.layers.is_empty(), "{} has no layers", line.reference);
            let no = ImageNo::try_from(self.images.len()).context("more images than can be numbered")?;
            if let Some(id) = line.id {
                by_id.insert(id, no);
            }
            self.repositories.entry(repository(&line.reference).to_owned()).or_default().push(no);
            self.images.push(image);
        }
        Ok(by_id)
    }
}

/// Rows of other platforms, of images that are not in the files, and those that only remove a tag are passed over.
fn read_moves(path: &Path, platform: &str, by_id: &HashMap<u64, ImageNo>) -> Result<BTreeMap<String, Vec<Move>>> {
    let mut moves = BTreeMap::<String, Vec<Move>>::new();
    for (at, row) in open(path)?.lines().enumerate().skip(1) {
        let place = || format!("{}, line {}", path.display(), at + 1);
        let row = row.with_context(place)?;
        let fields: Vec<&str> = row.split(',').collect();
        let [t, reference, row_platform, id] = fields[..] else {
            ensure!(row.is_empty(), "{} does not have four fields", place());
            continue;
        };
        if row_platform != platform || id.is_empty() {
            continue;
        }
        let t = t.parse().with_context(place)?;
        if let Some(&image) = by_id.get(&id.parse().with_context(place)?) {
            moves.entry(reference.to_owned()).or_default().push(Move { at: t, image });
        }
    }
    moves.values_mut().for_each(|moves| moves.sort_by_key(|to| to.at));
    Ok(moves)
}

/// A reference without its tag and digest. A colon before the last slash belongs to the registry's port.
fn repository(reference: &str) -> &str {
    let reference = reference.split_once('@').map_or(reference, |(name, _)| name);
    let path = reference.rfind('/').map_or(0, |slash| slash + 1);
    reference[path..].find(':').map_or(reference, |colon| &reference[..path + colon])
}
