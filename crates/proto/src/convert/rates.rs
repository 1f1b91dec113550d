//! How fast hosts fetch and unpack.

use gantry_types::{PullObservation, Refused};

use crate::v1;

impl TryFrom<v1::Pulled> for PullObservation {
    type Error = Refused;

    fn try_from(message: v1::Pulled) -> Result<Self, Refused> {
        let v1::Pulled { fetched_bytes, fetch_ms, streams, unpacked_bytes, unpack_ms } = message;
        let observed = Self { fetched_bytes, fetch_ms, streams, unpacked_bytes, unpack_ms };
        observed.validate()?;
        Ok(observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_read_field_by_field_and_refused_by_name() {
        let message = v1::Pulled { fetched_bytes: 1, fetch_ms: 2, streams: 3, unpacked_bytes: 4, unpack_ms: 5 };
        let observed = PullObservation { fetched_bytes: 1, fetch_ms: 2, streams: 3, unpacked_bytes: 4, unpack_ms: 5 };
        assert_eq!(PullObservation::try_from(message), Ok(observed));
        let refused = PullObservation::try_from(v1::Pulled { unpack_ms: u64::MAX, ..message });
        assert!(matches!(refused, Err(Refused::Invalid { field: "pulled.unpack_ms", .. })), "{refused:?}");
    }
}
