//! Labels: `key=value`, or `key` alone.

use gantry_proto::v1::Label;

pub fn parse(text: &str) -> Result<Label, String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() {
        return Err("expected key=value, or a key alone".to_owned());
    }
    Ok(Label { key: key.trim().to_owned(), value: value.trim().to_owned() })
}

pub fn format(labels: &[Label]) -> String {
    let one = |label: &Label| match label.value.as_str() {
        "" => label.key.clone(),
        value => format!("{}={value}", label.key),
    };
    labels.iter().map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_shown() {
        for (text, key, value, shown) in [
            ("disk=ssd", "disk", "ssd", "disk=ssd"),
            ("spot", "spot", "", "spot"),
            ("a=b=c", "a", "b=c", "a=b=c"),
            (" a = b ", "a", "b", "a=b"),
        ] {
            let label = parse(text).unwrap();
            assert_eq!((label.key.as_str(), label.value.as_str()), (key, value));
            assert_eq!(format(&[label]), shown);
        }
        assert!(parse("").is_err() && parse("=x").is_err());
    }
}
