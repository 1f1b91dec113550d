//! An agent reports which layers its host has.

use gantry_fleet::{Fleet, LayerReport};
use gantry_types::{Digest, HostId, LayerState, Refused, error, image::validate_fetched, limits};
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct ReportLayers {
    #[prost(uint32, tag = "1")]
    pub host: HostId,
    /// Replaces everything known of the host; otherwise a delta.
    #[prost(bool, tag = "2")]
    pub full: bool,
    #[prost(message, repeated, tag = "3")]
    pub present: Vec<LayerPresent>,
    /// Digests of 32 bytes; only in a delta.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub gone: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LayerPresent {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub digest: Vec<u8>,
    /// Compressed.
    #[prost(uint64, tag = "2")]
    pub size_bytes: u64,
    #[prost(enumeration = "LayerState", tag = "3")]
    pub state: i32,
    /// Compressed, of a layer that is being pulled; absent where that is not known.
    #[prost(uint64, optional, tag = "4")]
    pub fetched_bytes: Option<u64>,
    /// Of the content, 32 bytes; empty where unknown.
    #[prost(bytes = "vec", tag = "5")]
    pub diff_id: Vec<u8>,
}

impl Apply for ReportLayers {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let report = self.checked()?;
        fleet.report_layers(self.host, &report)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}

impl ReportLayers {
    /// The feature level that a cluster must have to know all of it.
    pub(super) fn feature_level(&self) -> u32 {
        let newer = self.present.iter().any(|layer| layer.fetched_bytes.is_some() || !layer.diff_id.is_empty());
        if newer { 2 } else { 1 }
    }

    fn checked(&self) -> Result<LayerReport, Refused> {
        let reported = self.present.len() + self.gone.len();
        if reported > limits::LAYERS_PER_REPORT {
            return Err(Refused::over("layers", reported as u64, limits::LAYERS_PER_REPORT as u64));
        }
        if self.full && !self.gone.is_empty() {
            return Err(Refused::invalid("layers.gone", "is given in a full report: what is not present is gone"));
        }
        let mut report = LayerReport { full: self.full, ..LayerReport::default() };
        for layer in &self.present {
            let digest = Digest::from_bytes("layers.present.digest", &layer.digest)?;
            error::layer_size("layers.present.size_bytes", layer.size_bytes)?;
            let state = LayerState::try_from(layer.state).map_err(|_| {
                Refused::invalid("layers.present.state", format!("is {}, which is not known", layer.state))
            })?;
            validate_fetched(layer.fetched_bytes, layer.size_bytes, state)?;
            report.present.push((digest, layer.size_bytes, state));
            report.fetched.extend(layer.fetched_bytes.map(|fetched_bytes| (digest, fetched_bytes)));
            if !layer.diff_id.is_empty() {
                report.diff_ids.push((digest, Digest::from_bytes("layers.present.diff_id", &layer.diff_id)?));
            }
        }
        for digest in &self.gone {
            report.gone.push(Digest::from_bytes("layers.gone", digest)?);
        }
        Ok(report)
    }
}
