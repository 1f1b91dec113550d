//! What of an engine's answers counts.

use gantry_oci::document::chains;
use gantry_types::{Digest, limits};
use serde::Deserialize;

use super::DockerError;

/// What an engine says that keeps its images in containerd.
const DRIVER_TYPE: &str = "driver-type";
const IN_CONTAINERD: &str = "io.containerd.snapshotter.v1";

/// Of `/info`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Info {
    #[serde(default)]
    pub driver: String,
    #[serde(default)]
    driver_status: Option<Vec<Vec<String>>>,
    #[serde(default)]
    pub docker_root_dir: String,
}

/// Of `/images/json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub id: String,
}

/// Of `/images/{id}/json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    #[serde(default)]
    size: u64,
    #[serde(rename = "RootFS")]
    rootfs: Option<RootFs>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    layers: Option<Vec<String>>,
}

/// A layer of an image, which lies unpacked on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub diff_id: Digest,
    /// This layer and all below it.
    pub chain: Digest,
    /// Unpacked, where nothing better is known: the image's size, shared out among its layers.
    pub about_bytes: u64,
}

impl Info {
    /// Whether its images are its own to tell of.
    pub(super) fn check(&self) -> Result<(), DockerError> {
        let status = self.driver_status.as_deref().unwrap_or_default();
        let is_it =
            |pair: &Vec<String>| matches!(&pair[..], [key, value] if key == DRIVER_TYPE && value == IN_CONTAINERD);
        if status.iter().any(is_it) {
            return Err(DockerError::InContainerd { snapshotter: self.driver.clone() });
        }
        Ok(())
    }
}

impl Listed {
    /// Its id, where that is one: it becomes a part of a URL.
    pub(super) fn id(&self) -> Option<Digest> {
        Digest::parse("image", &self.id).ok()
    }
}

impl Inspected {
    /// Base layer first; none of an image that is nothing like those that registries have.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let named = self.rootfs.as_ref().and_then(|rootfs| rootfs.layers.as_deref()).unwrap_or_default();
        if named.len() > limits::LAYERS_PER_IMAGE {
            return Vec::new();
        }
        let parsed: Option<Vec<Digest>> = named.iter().map(|text| Digest::parse("layer", text).ok()).collect();
        let diff_ids = parsed.unwrap_or_default();
        let about_bytes = self.size.min(limits::LAYER_BYTES) / diff_ids.len().max(1) as u64;
        let layer = |(diff_id, chain)| Layer { diff_id, chain, about_bytes };
        diff_ids.iter().copied().zip(chains(&diff_ids)).map(layer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn inspected(text: &str) -> Vec<Layer> {
        serde_json::from_str::<Inspected>(&text.replace('\'', "\"").replace("A", A)).unwrap().layers()
    }

    #[test]
    fn layers_are_those_of_the_root_file_system() {
        let layers = inspected("{'Id':'x','Size':10,'RootFS':{'Type':'layers','Layers':['A','A']}}");
        assert_eq!(layers.iter().map(|layer| layer.about_bytes).collect::<Vec<_>>(), [5, 5]);
        assert_eq!(layers[0].diff_id, layers[1].diff_id);
        assert_ne!(layers[0].chain, layers[1].chain);
        for none in [
            "{'RootFS':{'Type':'layers'}}",
            "{}",
            "{'RootFS':{'Layers':null}}",
            "{'RootFS':{'Layers':['A','sha512:x']}}",
        ] {
            assert_eq!(inspected(none), [], "{none}");
        }
    }

    #[test]
    fn an_engine_whose_images_are_containerds_says_what_to_configure() {
        let info = |text: &str| serde_json::from_str::<Info>(text).unwrap().check();
        let own = r#"{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]],"DockerRootDir":"/var/lib/docker"}"#;
        assert!(info(own).is_ok() && info("{}").is_ok() && info(r#"{"DriverStatus":null}"#).is_ok());
        let theirs = r#"{"Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}"#;
        let why = info(theirs).unwrap_err().to_string();
        assert!(why.contains("\"moby\"") && why.contains("\"overlayfs\"") && why.contains("[containerd]"), "{why}");
    }
}
