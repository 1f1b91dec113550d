//! Sizes: `16GiB`, `512 MiB`, `1.5TiB`, `500GB`, or plain bytes.

use super::decimal;

const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
];

pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let factor = match unit {
        "" => 1,
        "K" | "M" | "G" | "T" | "P" | "k" | "m" | "g" | "t" | "p" => {
            let unit = unit.to_uppercase();
            return Err(format!("say {number}{unit}iB (powers of 1024) or {number}{unit}B (powers of 1000)"));
        }
        _ => {
            let found = UNITS.iter().find(|(name, _)| *name == unit);
            found.ok_or_else(|| format!("{unit:?} is no unit of size: use B, KiB, MiB, GiB, TiB, MB, GB, ..."))?.1
        }
    };
    decimal::times(number, factor)
        .ok_or_else(|| "expected a number of bytes such as 16GiB, 1.5TiB or 1073741824".to_owned())
}

/// With the largest unit that leaves a number above 1, and at most one digit after the point.
pub fn format(bytes: u64) -> String {
    const NAMES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (bytes.max(1).ilog2() / 10) as usize;
    let unit = 1_u128 << (10 * power);
    let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
    match tenths % 10 {
        0 => format!("{} {}", tenths / 10, NAMES[power]),
        part => format!("{}.{part} {}", tenths / 10, NAMES[power]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1_024),
            ("16GiB", 16 << 30),
            ("16 GiB", 16 << 30),
            ("16Gi", 16 << 30),
            ("1.5TiB", 3 << 39),
            ("500GB", 500_000_000_000),
            ("512MiB", 512 << 20),
            (" 7B ", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text:?}");
        }
        for text in ["", "GiB", "16G", "16m", "-1GiB", "1.2.3GiB", "1e9", "0.3B", "16 GiBB", "99999999PiB", "GiB16"] {
            assert!(parse(text).is_err(), "{text:?} was taken for a size");
        }
        assert!(parse("16G").unwrap_err().contains("16GiB"), "the error says what to write");
    }

    #[test]
    fn sizes_are_shown_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (16 << 30, "16 GiB"),
            (3 << 39, "1.5 TiB"),
            (29_533_419, "28.2 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(format(bytes), text);
        }
    }
}
