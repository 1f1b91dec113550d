//! CPUs: `2`, `2.5`, `500m`.

use super::decimal;

/// In thousandths of a CPU.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let milli = match text.strip_suffix('m') {
        Some(milli) => decimal::times(milli, 1),
        None => decimal::times(text, 1_000),
    };
    milli.ok_or_else(|| "expected CPUs such as 2, 2.5 or 500m; a thousandth is the smallest part".to_owned())
}

pub fn format(milli: u64) -> String {
    format!("{} CPU", decimal::thousandths(milli))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_read_and_shown() {
        for (text, milli, shown) in [
            ("2", 2_000, "2 CPU"),
            ("2.5", 2_500, "2.5 CPU"),
            ("500m", 500, "0.5 CPU"),
            ("1m", 1, "0.001 CPU"),
            ("0", 0, "0 CPU"),
        ] {
            assert_eq!(parse(text), Ok(milli));
            assert_eq!(format(milli), shown);
        }
        for text in ["", "m", "-1", "1.5m", "0.0001", "two", "1 000"] {
            assert!(parse(text).is_err(), "{text:?} was taken for CPUs");
        }
    }
}
