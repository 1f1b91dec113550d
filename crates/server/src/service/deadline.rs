//! The caller's deadline, so that nothing is proposed for someone who has given up.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::decider::TICK;

/// What an answer takes after the decider has looked at the deadline.
const ANSWERING: Duration = Duration::from_millis(50);

/// When the caller's time is over for the decider, by the `grpc-timeout` it sent: up to eight digits and a unit. That is
/// before the caller stops waiting, and before the transport gives up for it: it must still hear that nothing happened.
pub(super) fn of(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    Instant::now().checked_add(patience(parse(text)?))
}

fn patience(timeout: Duration) -> Duration {
    timeout - (TICK + ANSWERING).min(timeout / 2)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_every_unit_are_read_and_nonsense_is_not() {
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("0u"), Some(Duration::ZERO));
        for bad in ["", "m", "12", "1x", "123456789m", "-1S", "1\u{b5}"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
