//! Decimal numbers, exactly.

/// Most digits before or after the point: far above any amount, far below an overflow.
const DIGITS: usize = 18;

/// `text` times `unit`, where `text` is digits with an optional point. `None` where it is not, where the product is
/// no whole number, or where it is above `u64::MAX`.
pub(super) fn times(text: &str, unit: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let fits = |digits: &str| digits.len() <= DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !fits(whole) || !fits(part) || text.ends_with('.') {
        return None;
    }
    let unit = u128::from(unit);
    let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let part = if part.is_empty() { 0 } else { part.parse::<u128>().ok()? };
    let scaled = (whole.parse::<u128>().ok()? * scale + part).checked_mul(unit)?;
    if scaled % scale != 0 {
        return None;
    }
    u64::try_from(scaled / scale).ok()
}

/// Thousandths as a number with as few digits as it takes: 2500 is `2.5`.
pub(super) fn thousandths(milli: u64) -> String {
    let (whole, part) = (milli / 1_000, milli % 1_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:03}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_exact_or_none() {
        for (text, unit, expected) in [
            ("2", 1_000, Some(2_000)),
            ("2.5", 1_000, Some(2_500)),
            ("0.001", 1_000, Some(1)),
            ("0.0001", 1_000, None),
            ("18446744073709551615", 1, None),
            ("", 1, None),
            (".5", 1_000, None),
            ("5.", 1_000, None),
            ("-1", 1, None),
            ("1e3", 1, None),
            ("１", 1, None),
            ("999999999999999999", 1 << 60, None),
        ] {
            assert_eq!(times(text, unit), expected, "{text} times {unit}");
        }
    }
}
