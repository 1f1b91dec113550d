//! What the cluster asks for.

use std::{collections::BTreeMap, time::Duration};

use gantry_client::v1;
use gantry_oci::{Reference, document::digest_of};
use gantry_types::{Digest, error::layer_size, limits};

/// Longest time that layers are kept: a year. What is to stay longer is asked for again.
const KEEP: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A request that makes sense by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub reference: Reference,
    /// Of the manifest.
    pub digest: Digest,
    /// Base layer first, with their sizes.
    pub layers: Vec<(Digest, u64)>,
    pub unpack: bool,
    pub keep: Duration,
    /// 0 is what the config allows.
    pub bytes_per_s: u64,
}

/// What two orders have in common that are the same work. Also which layers are kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub Digest);

impl Order {
    /// The order in a message; what is wrong with it where there is none.
    pub(super) fn parse(fetch: &v1::Fetch) -> Result<Self, String> {
        let refused = |refused: gantry_types::Refused| refused.to_string();
        let reference = Reference::parse(&fetch.reference).map_err(refused)?;
        let digest = Digest::parse("fetch.digest", &fetch.digest).map_err(refused)?;
        let layer = |layer: &v1::Layer| {
            layer_size("fetch.layers.size_bytes", layer.size_bytes)?;
            Ok((Digest::parse("fetch.layers.digest", &layer.digest)?, layer.size_bytes))
        };
        if fetch.layers.is_empty() || fetch.layers.len() > limits::LAYERS_PER_IMAGE {
            return Err(format!("{} layers are named: 1 to {} can be", fetch.layers.len(), limits::LAYERS_PER_IMAGE));
        }
        let layers = fetch.layers.iter().map(layer).collect::<Result<Vec<_>, _>>().map_err(refused)?;
        let keep = Duration::from_millis(fetch.keep_ms).min(KEEP);
        Ok(Self { reference, digest, layers, unpack: fetch.unpack, keep, bytes_per_s: fetch.bytes_per_s })
    }

    pub(super) fn key(&self) -> Key {
        let layers: String = self.layers.iter().map(|(digest, _)| format!(" {digest}")).collect();
        Key(digest_of(format!("{} {} {}{layers}", self.reference, self.digest, self.unpack).as_bytes()))
    }

    /// Each layer once, with its size and how often the order names it.
    pub(super) fn distinct(&self) -> BTreeMap<Digest, (u64, u64)> {
        let mut distinct = BTreeMap::new();
        for (digest, size_bytes) in &self.layers {
            distinct.entry(*digest).or_insert((*size_bytes, 0)).1 += 1;
        }
        distinct
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::fetch) fn message(layers: &[u8]) -> v1::Fetch {
        let text = |number: u8| Digest([number; 32]).to_string();
        let layer = |number: &u8| v1::Layer { digest: text(*number), size_bytes: 10, diff_id: String::new() };
        v1::Fetch {
            id: 1,
            reference: "registry.example/app:1".to_owned(),
            digest: text(99),
            layers: layers.iter().map(layer).collect(),
            ..v1::Fetch::default()
        }
    }

    #[test]
    fn the_same_layers_of_the_same_image_are_the_same_work() {
        let key = |message: &v1::Fetch| Order::parse(message).unwrap().key();
        let base = message(&[1, 2]);
        let kept = v1::Fetch { id: 2, keep_ms: 5, bytes_per_s: 7, ..base.clone() };
        assert_eq!(key(&base), key(&kept));
        for other in [message(&[1]), message(&[2, 1]), v1::Fetch { unpack: true, ..base.clone() }] {
            assert_ne!(key(&base), key(&other));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        let base = message(&[1]);
        for (message, named) in [
            (v1::Fetch { reference: "Not a name".to_owned(), ..base.clone() }, "reference"),
            (v1::Fetch { digest: "sha256:1".to_owned(), ..base.clone() }, "fetch.digest"),
            (message(&[]), "0 layers are named"),
        ] {
            let why = Order::parse(&message).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
    }
}
