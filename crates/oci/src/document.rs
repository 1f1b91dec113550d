//! The documents that make an image: indexes, manifests and configs, in the media types of OCI and of Docker.

mod listed;

use gantry_types::{Digest, Refused, error::layer_size, limits};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use self::listed::Listed;
use crate::Platform;

/// Manifests in one index.
pub const INDEX_ENTRIES: usize = 1_024;

/// What registries may answer a request for a manifest with. The last one is for registries that would hide schema 1 behind a
/// refusal: its name is the better answer.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, \
     */*;q=0.1";

const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Index(Vec<Entry>),
    Manifest(Manifest),
    Config(Config),
}

/// One manifest of an index, or an index in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub digest: Digest,
    /// Absent where the index does not say.
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub config: Digest,
    /// Base layer first.
    pub layers: Vec<Layer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub digest: Digest,
    /// As it is served.
    pub size_bytes: u64,
    pub compression: Compression,
    /// Only who made it may serve it, so registries need not have it.
    pub is_foreign: bool,
}

impl Layer {
    /// OCI's name for what it is; nothing for one that is packed in another way.
    pub fn media_type(&self) -> Option<&'static str> {
        match self.compression {
            Compression::None => Some("application/vnd.oci.image.layer.v1.tar"),
            Compression::Gzip => Some("application/vnd.oci.image.layer.v1.tar+gzip"),
            Compression::Zstd => Some("application/vnd.oci.image.layer.v1.tar+zstd"),
            Compression::Other => None,
        }
    }
}

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    /// In a way that this version does not know.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Absent where the config does not say.
    pub platform: Option<Platform>,
    /// Base layer first.
    pub diff_ids: Vec<Digest>,
}

/// Why bytes are no document that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it is no JSON of an index, a manifest or a config: {0}")]
    Json(String),
    #[error("it is JSON, but neither an index, nor a manifest, nor a config")]
    Unknown,
    #[error("it can be read as an index and as a manifest: nobody can say which is meant")]
    Ambiguous,
    #[error("it is a manifest of schema 1, which names no config: the image must be pushed again by a newer builder")]
    Schema1,
    #[error("it has {count} {what}: at most {limit} count")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("a part of it is of type {0:?}, which is no layer of a file system")]
    NoImage(String),
    #[error("{0}")]
    Field(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    schema_version: Option<u64>,
    media_type: Option<String>,
    #[serde(borrow)]
    fs_layers: Option<&'a RawValue>,
    manifests: Option<Listed<RawDescriptor, INDEX_ENTRIES>>,
    /// In a manifest a descriptor, in a config anything.
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    layers: Option<Listed<RawDescriptor, { limits::LAYERS_PER_IMAGE }>>,
    rootfs: Option<RawRootfs>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Listed<String, { limits::LAYERS_PER_IMAGE }>>,
}

impl Document {
    /// What it is shows in its fields: media types are optional in OCI, and a config has none inside.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(json)?;
        if raw.schema_version == Some(1) || raw.fs_layers.is_some() {
            return Err(Malformed::Schema1);
        }
        let says = |types: &[&str]| raw.media_type.as_deref().is_some_and(|own| types.contains(&own));
        let is_ambiguous = match (&raw.manifests, &raw.layers) {
            (Some(_), Some(_)) => true,
            (Some(_), None) => says(&MANIFEST_TYPES),
            (None, Some(_)) => says(&INDEX_TYPES),
            (None, None) => false,
        };
        if is_ambiguous {
            return Err(Malformed::Ambiguous);
        }
        if let Some(manifests) = raw.manifests {
            let entries = all("manifests", manifests)?;
            return entries.into_iter().map(entry).collect::<Result<_, _>>().map(Self::Index);
        }
        if let Some(layers) = raw.layers {
            let config = raw.config.ok_or(Malformed::Unknown)?;
            let config: RawDescriptor = serde_json::from_str(config.get()).map_err(json)?;
            return manifest(&config, &all("layers", layers)?).map(Self::Manifest);
        }
        let diff_ids = raw.rootfs.ok_or(Malformed::Unknown)?.diff_ids;
        let diff_ids = diff_ids.map_or_else(|| Ok(Vec::new()), |listed| all("diff ids", listed))?;
        let diff_ids = diff_ids.iter().map(|id| digest("rootfs.diff_ids", id)).collect::<Result<_, _>>()?;
        Ok(Self::Config(Config { platform: platform(raw.os, raw.architecture, raw.variant)?, diff_ids }))
    }
}

impl Entry {
    pub fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(Platform::is_attestation)
    }
}

impl Config {
    pub fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(Platform::is_attestation)
    }
}

/// The stacks of layers, from each diff id and those below: the names that a snapshotter has for them.
pub fn chains(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => *diff_id,
            Some(below) => digest_of(format!("{below} {diff_id}").as_bytes()),
        };
        chains.push(chain);
    }
    chains
}

/// What a descriptor says that an index or a manifest is: its own word, or else OCI's name for it.
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    let types = match Document::parse(bytes).ok()? {
        Document::Index(_) => INDEX_TYPES,
        Document::Manifest(_) => MANIFEST_TYPES,
        Document::Config(_) => return None,
    };
    let raw: Raw = serde_json::from_slice(bytes).ok()?;
    types.into_iter().find(|known| raw.media_type.as_deref() == Some(known)).or(Some(types[0]))
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// The entries to look at for a platform, the best first. One that says that it fits is the only one; with none such, those
/// that do not say what they are for may turn out to fit.
pub(crate) fn candidates(entries: &[Entry], wanted: &Platform) -> Vec<Digest> {
    let distance = |entry: &Entry| wanted.distance(entry.platform.as_ref()?);
    let best = entries.iter().filter_map(|entry| Some((distance(entry)?, entry.digest))).min_by_key(|(far, _)| *far);
    match best {
        Some((_, digest)) => vec![digest],
        None => entries.iter().filter(|entry| entry.platform.is_none()).map(|entry| entry.digest).collect(),
    }
}

fn all<T, const LIMIT: usize>(what: &'static str, listed: Listed<T, LIMIT>) -> Result<Vec<T>, Malformed> {
    listed.all().map_err(|count| Malformed::TooMany { what, count, limit: LIMIT })
}

fn entry(raw: RawDescriptor) -> Result<Entry, Malformed> {
    let platform = raw.platform.map_or(Ok(None), |raw| platform(raw.os, raw.architecture, raw.variant))?;
    Ok(Entry { digest: digest("manifests.digest", &raw.digest)?, platform })
}

fn manifest(config: &RawDescriptor, layers: &[RawDescriptor]) -> Result<Manifest, Malformed> {
    let config = digest("config.digest", &config.digest)?;
    Ok(Manifest { config, layers: layers.iter().map(layer).collect::<Result<_, _>>()? })
}

fn layer(raw: &RawDescriptor) -> Result<Layer, Malformed> {
    let (compression, is_foreign) =
        packing(&raw.media_type).ok_or_else(|| Malformed::NoImage(raw.media_type.chars().take(80).collect()))?;
    layer_size("layers.size", raw.size).map_err(field)?;
    Ok(Layer { digest: digest("layers.digest", &raw.digest)?, size_bytes: raw.size, compression, is_foreign })
}

/// What the media type of a layer says; nothing where it is none of a layer.
fn packing(media_type: &str) -> Option<(Compression, bool)> {
    let oci = media_type.strip_prefix("application/vnd.oci.image.layer.");
    let rest = oci.or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs."))?;
    let is_foreign = rest.starts_with("nondistributable.") || rest.starts_with("foreign.");
    let compression = match rest.split_once("tar").map(|(_, packed)| packed) {
        Some("") => Compression::None,
        Some("+gzip" | ".gzip") => Compression::Gzip,
        Some("+zstd" | ".zstd") => Compression::Zstd,
        _ => Compression::Other,
    };
    Some((compression, is_foreign))
}

/// Nothing where not both of operating system and architecture are said.
fn platform(
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
) -> Result<Option<Platform>, Malformed> {
    let (os, architecture) = (os.unwrap_or_default(), architecture.unwrap_or_default());
    if os.is_empty() || architecture.is_empty() {
        return Ok(None);
    }
    let malformed = || Malformed::Field("platform is not one of names, as linux/amd64".to_owned());
    Platform::of(&os, &architecture, variant.as_deref().unwrap_or("")).map(Some).ok_or_else(malformed)
}

fn digest(name: &'static str, text: &str) -> Result<Digest, Malformed> {
    Digest::parse(name, text).map_err(field)
}

fn field(refused: Refused) -> Malformed {
    Malformed::Field(refused.to_string())
}

fn json(error: serde_json::Error) -> Malformed {
    Malformed::Json(error.to_string().chars().take(200).collect())
}

#[cfg(test)]
mod tests;
