//! What a manifest's content runs on.

use std::fmt;

use gantry_types::Refused;

/// Bytes of each part; a whole platform stays within what an image may say of its own.
const PART_BYTES: usize = 40;

/// An operating system on an architecture, as `linux/arm64/v8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Default for Platform {
    /// `linux/amd64`
    fn default() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
    }
}

impl Platform {
    /// From `os/architecture` or `os/architecture/variant`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Refused> {
        let parts: Vec<&str> = text.split('/').collect();
        let platform = match parts[..] {
            [os, architecture] => Self::of(os, architecture, ""),
            [os, architecture, variant] if !variant.is_empty() => Self::of(os, architecture, variant),
            _ => None,
        };
        platform.ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Refused::invalid(
                field,
                format!("is {shown:?}: expected os/architecture, as linux/amd64, or with a variant"),
            )
        })
    }

    /// Nothing where one of the parts is no name. `variant` may be empty.
    pub(crate) fn of(os: &str, architecture: &str, variant: &str) -> Option<Self> {
        // What kernels call them, for those who write that.
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let variant = (!variant.is_empty()).then_some(variant);
        let is_platform = [Some(os), Some(architecture), variant].into_iter().flatten().all(is_part);
        is_platform.then(|| Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }

    /// Builders put what they attest beside an image, as manifests of this platform.
    pub fn is_attestation(&self) -> bool {
        self.os == "unknown"
    }

    /// How far below what is wanted `offered` is; nothing where it does not run there. A processor runs what was built for
    /// older ones of its line: `v8` runs `v7`.
    pub(crate) fn distance(&self, offered: &Self) -> Option<u32> {
        if (&self.os, &self.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        let (wanted, offered) = (self.line(), offered.line());
        match (generation(wanted), generation(offered)) {
            (Some(wanted), Some(offered)) => wanted.checked_sub(offered),
            _ => (wanted == offered).then_some(0),
        }
    }

    /// The variant, where none is said the one that is meant.
    fn line(&self) -> &str {
        let meant = match self.architecture.as_str() {
            "amd64" => "v1",
            "arm" => "v7",
            "arm64" => "v8",
            _ => "",
        };
        self.variant.as_deref().unwrap_or(meant)
    }
}

/// The number in `v8`.
fn generation(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok()
}

fn is_part(part: &str) -> bool {
    let is_in_names = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    !part.is_empty() && part.len() <= PART_BYTES && part.chars().all(is_in_names)
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        Platform::parse("test", text).unwrap()
    }

    #[test]
    fn text_round_trips_and_what_is_no_platform_is_refused() {
        for text in ["linux/amd64", "linux/arm64/v8", "windows/amd64", "linux/riscv64"] {
            assert_eq!(platform(text).to_string(), text);
        }
        assert_eq!(platform("linux/x86_64"), Platform::default());
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/", "a/b/c/d", "linux/am d64", "linux/\n"] {
            assert!(Platform::parse("test", bad).is_err(), "{bad:?} was taken for a platform");
        }
        assert!(Platform::parse("test", &format!("linux/{}", "a".repeat(41))).is_err());
    }

    #[test]
    fn a_processor_runs_what_was_built_for_it_and_for_older_ones() {
        for (wanted, offered, distance) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64/v8", "linux/arm64", Some(0)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm", "linux/arm/v5", Some(2)),
            ("linux/mips/soft", "linux/mips/soft", Some(0)),
            ("linux/mips/soft", "linux/mips/hard", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/amd64", "linux/arm64", None),
        ] {
            assert_eq!(platform(wanted).distance(&platform(offered)), distance, "{offered} on {wanted}");
        }
    }
}
