//! What an order means for an image: which blobs, and which stacks of them.

use std::collections::BTreeSet;

use gantry_oci::document::{Config, Layer, Manifest, chains};
use gantry_types::Digest;

use super::{error::FetchError, order::Order};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub config: Digest,
    /// In the order asked for; base layer first where they are to be unpacked.
    pub steps: Vec<Step>,
    /// Every layer of the image, whether or not it was asked for.
    pub all: Vec<Digest>,
    /// Nothing of the image was left out.
    pub is_whole: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub layer: Layer,
    /// Of its content.
    pub diff_id: Digest,
    /// Of the stack up to it.
    pub chain: Digest,
    /// Of the stack below it.
    pub below: Option<Digest>,
}

impl Plan {
    pub(super) fn of(order: &Order, manifest: &Manifest, config: &Config) -> Result<Self, FetchError> {
        let (blobs, contents) = (manifest.layers.len(), config.diff_ids.len());
        if blobs != contents {
            let why = format!("{} has {blobs} layers, and its config names the contents of {contents}", order.digest);
            return Err(FetchError::Order(why));
        }
        let chains = chains(&config.diff_ids);
        let step = |at: usize| Step {
            layer: manifest.layers[at].clone(),
            diff_id: config.diff_ids[at],
            chain: chains[at],
            below: at.checked_sub(1).map(|below| chains[below]),
        };
        let mut steps = Vec::with_capacity(order.layers.len());
        for (place, (digest, _)) in order.layers.iter().enumerate() {
            let is_it = |at: &usize| manifest.layers[*at].digest == *digest;
            let at =
                if order.unpack { Some(place).filter(|at| *at < blobs && is_it(at)) } else { (0..blobs).find(is_it) };
            let Some(at) = at else {
                let rule = if order.unpack { "layers to unpack are named from the base on, without gaps" } else { "" };
                return Err(FetchError::Order(format!("{} has no layer {digest} there: {rule}", order.digest)));
            };
            steps.push(step(at));
        }
        let named: BTreeSet<Digest> = steps.iter().map(|step| step.layer.digest).collect();
        let all: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
        let is_whole = all.iter().all(|digest| named.contains(digest)) && (!order.unpack || steps.len() == blobs);
        Ok(Self { config: manifest.config, steps, all, is_whole })
    }

    /// Counts each blob once.
    pub(super) fn blobs(&self) -> Vec<&Layer> {
        let mut seen = BTreeSet::new();
        self.steps.iter().map(|step| &step.layer).filter(|layer| seen.insert(layer.digest)).collect()
    }

    /// The stack of all that is asked for; nothing where layers are only fetched.
    pub(super) fn top(&self) -> Option<Digest> {
        self.steps.last().map(|step| step.chain)
    }
}

#[cfg(test)]
mod tests {
    use gantry_oci::document::Compression;

    use super::{super::order::tests::message, *};

    fn image(layers: &[u8]) -> (Manifest, Config) {
        let layer = |number: &u8| Layer {
            digest: Digest([*number; 32]),
            size_bytes: 10,
            compression: Compression::Gzip,
            is_foreign: false,
        };
        let manifest = Manifest { config: Digest([88; 32]), layers: layers.iter().map(layer).collect() };
        let diff_ids = layers.iter().map(|number| Digest([100 + number; 32])).collect();
        (manifest, Config { platform: None, diff_ids })
    }

    fn plan(asked: &[u8], unpack: bool, of: &[u8]) -> Result<Plan, String> {
        let order = Order { unpack, ..Order::parse(&message(asked)).unwrap() };
        let (manifest, config) = image(of);
        Plan::of(&order, &manifest, &config).map_err(|error| error.to_string())
    }

    #[test]
    fn base_layers_are_a_stack_of_their_own_and_the_whole_image_is_known_as_such() {
        let base = plan(&[1, 2], true, &[1, 2, 3]).unwrap();
        assert!(!base.is_whole);
        assert_eq!(base.steps[0].below, None);
        assert_eq!(base.steps[1].below, Some(base.steps[0].chain));
        assert_eq!(base.top(), Some(chains(&[Digest([101; 32]), Digest([102; 32])])[1]));
        assert!(plan(&[1, 2, 3], true, &[1, 2, 3]).unwrap().is_whole);
        assert!(plan(&[3, 1, 2], false, &[1, 2, 3]).unwrap().is_whole);
    }

    #[test]
    fn a_blob_that_is_two_layers_is_fetched_once() {
        let plan = plan(&[1, 2, 1], true, &[1, 2, 1]).unwrap();
        assert!(plan.is_whole);
        assert_eq!((plan.steps.len(), plan.blobs().len()), (3, 2));
        assert_ne!(plan.steps[0].chain, plan.steps[2].chain);
    }

    #[test]
    fn layers_that_the_image_does_not_have_there_are_refused() {
        for (asked, unpack) in [(&[1, 3][..], true), (&[2], true), (&[1, 2, 3, 3], true), (&[7], false)] {
            let why = plan(asked, unpack, &[1, 2, 3]).unwrap_err();
            assert!(why.contains("has no layer sha256:"), "{why}");
        }
        assert!(plan(&[3], false, &[1, 2, 3]).is_ok());
    }
}
