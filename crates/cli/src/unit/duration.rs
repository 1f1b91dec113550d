//! Lengths of time: `500ms`, `30s`, `5m`, `1h`.

use std::time::Duration;

use super::decimal;

const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    factor
        .and_then(|factor| decimal::times(number, factor))
        .map(Duration::from_millis)
        .ok_or_else(|| "expected a time with its unit, such as 500ms, 30s, 5m or 1h".to_owned())
}

/// The same in milliseconds, as messages have it.
pub fn parse_ms(text: &str) -> Result<u64, String> {
    parse(text).map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// With the two largest units: `1h 5m`, `30s`, `1.2s`, `80ms`.
pub fn format_ms(ms: u64) -> String {
    let (days, hours, minutes, seconds) = (ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1_000 % 60);
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    };
    match ms {
        86_400_000.. => two(days, "d", hours, "h"),
        3_600_000.. => two(hours, "h", minutes, "m"),
        60_000.. => two(minutes, "m", seconds, "s"),
        1_000.. => format!("{}s", decimal::thousandths(ms / 100 * 100)),
        _ => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        for (text, ms, shown) in [
            ("500ms", 500, "500ms"),
            ("30s", 30_000, "30s"),
            ("1.25s", 1_250, "1.2s"),
            ("5m", 300_000, "5m"),
            ("1.5h", 5_400_000, "1h 30m"),
            ("2d", 172_800_000, "2d"),
            ("61s", 61_000, "1m 1s"),
        ] {
            assert_eq!(parse_ms(text), Ok(ms), "{text:?}");
            assert_eq!(format_ms(ms), shown);
        }
        for text in ["", "5", "s", "5 minutes", "-1s", "0.5ms"] {
            assert!(parse(text).is_err(), "{text:?} was taken for a time");
        }
    }
}
