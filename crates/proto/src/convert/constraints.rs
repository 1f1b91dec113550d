//! What a host must satisfy beyond having room.

use gantry_types as types;

use crate::{convert::label::labels, v1};

impl From<v1::Constraints> for types::Constraints {
    /// Takes the fields over; the request that holds the constraints validates them.
    fn from(constraints: v1::Constraints) -> Self {
        Self {
            regions: constraints.regions,
            require_labels: labels(constraints.require_labels),
            avoid_labels: labels(constraints.avoid_labels),
            host: constraints.host,
            volume: constraints.volume_id,
            unique_zone: constraints.unique_zone,
        }
    }
}

impl From<types::Constraints> for v1::Constraints {
    fn from(constraints: types::Constraints) -> Self {
        Self {
            regions: constraints.regions,
            require_labels: labels(constraints.require_labels),
            avoid_labels: labels(constraints.avoid_labels),
            host: constraints.host,
            volume_id: constraints.volume,
            unique_zone: constraints.unique_zone,
        }
    }
}
