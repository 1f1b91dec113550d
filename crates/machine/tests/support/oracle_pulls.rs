//! What agents say of pulls.

use gantry_machine::{LayerPresent, ObservePull};
use gantry_types::limits;

use super::{Check, INVALID, Oracle};

impl Oracle {
    pub fn observe(&mut self, command: &ObservePull) -> Check {
        let seen = &command.observed;
        let too_fast = |bytes: u64, ms: u64| ms >= 20 && u128::from(bytes) * 1_000 / u128::from(ms) > 1 << 40;
        if [seen.fetched_bytes, seen.unpacked_bytes].iter().any(|bytes| *bytes > limits::SIZE_BYTES)
            || [seen.fetch_ms, seen.unpack_ms].iter().any(|ms| *ms > 86_400_000)
            || too_fast(seen.fetched_bytes, seen.fetch_ms)
            || too_fast(seen.unpacked_bytes, seen.unpack_ms)
            || seen.streams > 1_024
        {
            return Err(INVALID);
        }
        let host = self.hosts.iter_mut().find(|host| host.id == command.host).ok_or("UNKNOWN_HOST")?;
        host.observed.push(*seen);
        Ok(())
    }
}

/// Whether what is said of a layer beyond its place makes sense.
pub fn hints_are_sane(layer: &LayerPresent) -> bool {
    let progress = layer.fetched_bytes.is_none_or(|bytes| layer.state == 0 && bytes <= layer.size_bytes);
    progress && (layer.diff_id.is_empty() || layer.diff_id.len() == 32)
}
