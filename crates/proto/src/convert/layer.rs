//! What a host says of the layers it holds.

use gantry_types::{Digest, LayerState, Refused, error::layer_size, image::validate_fetched, limits};

use crate::v1;

/// A report of layers, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerReport {
    /// Replaces everything known of the host; otherwise a delta.
    pub full: bool,
    pub present: Vec<PresentLayer>,
    /// Only in a delta.
    pub gone: Vec<Digest>,
}

/// A layer that lies on a host, or is on its way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentLayer {
    pub digest: Digest,
    pub size_bytes: u64,
    pub state: LayerState,
    /// Only of a layer that is being pulled.
    pub fetched_bytes: Option<u64>,
    pub diff_id: Option<Digest>,
}

impl TryFrom<v1::LayerReport> for LayerReport {
    type Error = Refused;

    fn try_from(message: v1::LayerReport) -> Result<Self, Refused> {
        let (have, limit) = (message.present.len() + message.gone.len(), limits::LAYERS_PER_REPORT);
        if have > limit {
            return Err(Refused::over("layers", have as u64, limit as u64));
        }
        if message.full && !message.gone.is_empty() {
            return Err(Refused::invalid("layers.gone", "is given in a full report: what is not present is gone"));
        }
        Ok(Self {
            full: message.full,
            present: message.present.iter().map(PresentLayer::try_from).collect::<Result<_, _>>()?,
            gone: message.gone.iter().map(|digest| Digest::parse("layers.gone", digest)).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<&v1::LayerOnHost> for PresentLayer {
    type Error = Refused;

    fn try_from(message: &v1::LayerOnHost) -> Result<Self, Refused> {
        layer_size("layers.present.size_bytes", message.size_bytes)?;
        let state = match v1::LayerState::try_from(message.state) {
            Ok(v1::LayerState::Unspecified | v1::LayerState::Unpacked) => LayerState::Unpacked,
            Ok(v1::LayerState::Blob) => LayerState::Blob,
            Ok(v1::LayerState::Pulling) => LayerState::Pulling,
            Err(_) => {
                return Err(Refused::invalid(
                    "layers.present.state",
                    format!("is {}: not a known state, use pulling (1), blob (2) or unpacked (3)", message.state),
                ));
            }
        };
        validate_fetched(message.fetched_bytes, message.size_bytes, state)?;
        let diff_id = Some(message.diff_id.as_str()).filter(|diff_id| !diff_id.is_empty());
        Ok(Self {
            digest: Digest::parse("layers.present.digest", &message.digest)?,
            size_bytes: message.size_bytes,
            state,
            fetched_bytes: message.fetched_bytes,
            diff_id: diff_id.map(|diff_id| Digest::parse("layers.present.diff_id", diff_id)).transpose()?,
        })
    }
}

impl From<PresentLayer> for v1::LayerOnHost {
    fn from(layer: PresentLayer) -> Self {
        let state = match layer.state {
            LayerState::Pulling => v1::LayerState::Pulling,
            LayerState::Blob => v1::LayerState::Blob,
            LayerState::Unpacked => v1::LayerState::Unpacked,
        };
        Self {
            digest: layer.digest.to_string(),
            size_bytes: layer.size_bytes,
            state: state as i32,
            fetched_bytes: layer.fetched_bytes,
            diff_id: layer.diff_id.map_or_else(String::new, |diff_id| diff_id.to_string()),
        }
    }
}

impl From<LayerReport> for v1::LayerReport {
    fn from(report: LayerReport) -> Self {
        Self {
            full: report.full,
            present: report.present.into_iter().map(Into::into).collect(),
            gone: report.gone.iter().map(Digest::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::convert::arbitrary;

    proptest! {
        #[test]
        fn round_trips(report in arbitrary::layer_report()) {
            prop_assert_eq!(LayerReport::try_from(v1::LayerReport::from(report.clone())), Ok(report));
        }
    }

    #[test]
    fn bad_input_names_the_field() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let present = |digest: &str, size_bytes, state| v1::LayerReport {
            present: vec![v1::LayerOnHost { digest: digest.into(), size_bytes, state, ..v1::LayerOnHost::default() }],
            ..v1::LayerReport::default()
        };
        let hinted = |state, fetched_bytes, diff_id: &str| {
            let digest = digest.clone();
            let layer = v1::LayerOnHost { digest, size_bytes: 10, state, fetched_bytes, diff_id: diff_id.into() };
            v1::LayerReport { present: vec![layer], ..v1::LayerReport::default() }
        };
        for (message, expected) in [
            (present(&digest, 1, 9), "layers.present.state"),
            (present(&digest, limits::LAYER_BYTES + 1, 1), "layers.present.size_bytes"),
            (present("sha256:", 1, 1), "layers.present.digest"),
            (hinted(1, Some(11), ""), "layers.present.fetched_bytes"),
            (hinted(2, Some(1), ""), "layers.present.fetched_bytes"),
            (hinted(1, Some(1), "sha256:"), "layers.present.diff_id"),
            (v1::LayerReport { gone: vec!["x".into()], ..Default::default() }, "layers.gone"),
            (v1::LayerReport { full: true, gone: vec![digest.clone()], ..Default::default() }, "layers.gone"),
            (
                v1::LayerReport { gone: vec![digest.clone(); limits::LAYERS_PER_REPORT + 1], ..Default::default() },
                "layers",
            ),
        ] {
            let refused = LayerReport::try_from(message).expect_err("a bad report was accepted");
            assert!(
                matches!(&refused, Refused::Invalid { field, .. } if *field == expected),
                "{refused:?} instead of an error about {expected}"
            );
        }
    }
}
