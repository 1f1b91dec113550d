//! Records what an image reference stands for now.

use gantry_fleet::Fleet;
use gantry_types::Image;
use prost::Message;

use super::Apply;
use crate::{Admit, Effect, Outcome};

#[derive(Clone, PartialEq, Message)]
pub struct RecordImage {
    #[prost(message, required, tag = "1")]
    pub image: Image,
}

impl Apply for RecordImage {
    fn apply(&self, fleet: &mut Fleet, _: Admit) -> Outcome {
        fleet.record_image(self.image.clone())?;
        Ok(Effect::Done { rev: fleet.rev() })
    }
}
