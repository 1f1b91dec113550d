//! An agent reports which layers its host has.

use gantry_fleet::{Fleet, LayerReport};
use gantry_types::{Digest, HostId, LayerState, Refused, error, limits};
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
}

impl Apply for ReportLayers {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        let report = self.checked()?;
        fleet.report_layers(self.host, &report)?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}

impl ReportLayers {
    fn checked(&self) -> Result<LayerReport, Refused> {
        let reported = self.present.len() + self.gone.len();
        if reported > limits::LAYERS_PER_REPORT {
            return Err(Refused::over("layers", reported as u64, limits::LAYERS_PER_REPORT as u64));
        }
        if self.full && !self.gone.is_empty() {
            return Err(Refused::invalid("layers.gone", "is given in a full report: what is not present is gone"));
        }
        let present = self.present.iter().map(|layer| {
            let digest = Digest::from_bytes("layers.present.digest", &layer.digest)?;
            error::layer_size("layers.present.size_bytes", layer.size_bytes)?;
            let state = LayerState::try_from(layer.state).map_err(|_| {
                Refused::invalid("layers.present.state", format!("is {}, which is not known", layer.state))
            })?;
            Ok((digest, layer.size_bytes, state))
        });
        let gone = self.gone.iter().map(|digest| Digest::from_bytes("layers.gone", digest));
        Ok(LayerReport {
            full: self.full,
            present: present.collect::<Result<_, Refused>>()?,
            gone: gone.collect::<Result<_, Refused>>()?,
        })
    }
}
