//! What the rest of the agent sees of a container runtime's store.

use std::collections::BTreeMap;

use gantry_types::{Image, Layer};

use crate::{
    layers::{Layers, layers},
    store::{Contents, Manifest},
};

/// A store at one moment, as the cluster wants to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub layers: Layers,
    /// By reference. Of an index, the manifest for this host's platform.
    pub images: BTreeMap<String, Image>,
}

impl View {
    pub(crate) fn of(contents: &Contents, platform: &str) -> Self {
        let mut images = BTreeMap::new();
        for namespace in contents.values() {
            for (reference, target) in &namespace.images {
                let Some((digest, manifest)) = namespace.manifest_of(target, platform) else { continue };
                let image = image(reference, &digest.0, manifest);
                // A kubelet's second name for an image is its config's digest: nobody asks for machines with that.
                if image.validate().is_ok() && !manifest.platform.is_empty() && !reference.starts_with("sha256:") {
                    images.insert(reference.clone(), image);
                }
            }
        }
        Self { layers: layers(contents), images }
    }
}

fn image(reference: &str, digest: &[u8], manifest: &Manifest) -> Image {
    let layer = |layer: &crate::store::Layer| Layer {
        digest: layer.digest.0.to_vec(),
        size_bytes: layer.size_bytes,
        diff_id: layer.content.map_or_else(Vec::new, |content| content.diff_id.0.to_vec()),
    };
    Image {
        reference: reference.to_owned(),
        digest: digest.to_vec(),
        platform: manifest.platform.clone(),
        layers: manifest.layers.iter().map(layer).collect(),
    }
}

/// This host's, as images name it.
pub(crate) fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gantry_types::Digest;

    use super::*;
    use crate::store::{Content, Namespace};

    fn manifest(platform: &str, layer: u8) -> Arc<Manifest> {
        let digest = Digest([layer; 32]);
        let content = Some(Content { diff_id: digest, chain: digest });
        let layers = vec![crate::store::Layer { digest, size_bytes: 5, content }];
        Arc::new(Manifest { platform: platform.to_owned(), layers })
    }

    #[test]
    fn of_an_index_the_manifest_for_the_hosts_platform_counts() {
        let (index, amd, arm) = (Digest([1; 32]), Digest([2; 32]), Digest([3; 32]));
        let mut namespace = Namespace::default();
        namespace.indexes.insert(index, vec![(arm, "linux/arm64/v8".to_owned()), (amd, "linux/amd64".to_owned())]);
        namespace.manifests.extend([(arm, manifest("linux/arm64", 30)), (amd, manifest("linux/amd64", 20))]);
        for (name, target) in [("many:1", index), ("plain:1", arm), ("sha256:abc", amd), ("gone:1", Digest([9; 32]))] {
            namespace.images.insert(name.to_owned(), target);
        }
        let contents = Contents::from([("default".to_owned(), namespace)]);
        let known = |platform: &str| {
            let view = View::of(&contents, platform);
            view.images.into_values().map(|image| (image.reference, image.digest[0])).collect::<Vec<_>>()
        };
        assert_eq!(known("linux/amd64"), [("many:1".to_owned(), 2), ("plain:1".to_owned(), 3)]);
        assert_eq!(known("linux/arm64"), [("many:1".to_owned(), 3), ("plain:1".to_owned(), 3)]);
        assert_eq!(known("linux/riscv64"), [("plain:1".to_owned(), 3)]);
    }
}
