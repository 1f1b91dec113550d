//! Images as lists of layers.

use std::fmt;

use prost::{Enumeration, Message};

use crate::{
    Refused,
    error::{layer_size, optional_name},
    limits,
};

/// A sha256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// From the 32 bytes that messages carry.
    pub fn from_bytes(field: &'static str, bytes: &[u8]) -> Result<Self, Refused> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| Refused::invalid(field, format!("is {} bytes long: a sha256 digest has 32", bytes.len())))
    }

    /// From `sha256:` and 64 lower-case hexadecimal digits.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Refused> {
        let malformed = || {
            let shown: String = text.chars().take(80).collect();
            Refused::invalid(field, format!("is {shown:?}: expected sha256: and 64 hexadecimal digits"))
        };
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64).ok_or_else(malformed)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (high, low) = (nibble(pair[0]).ok_or_else(malformed)?, nibble(pair[1]).ok_or_else(malformed)?);
            *byte = high << 4 | low;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A reference with the manifest it stands for now.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Image {
    /// As users write it: `docker.io/library/redis:7`. The key of the catalogue.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The manifest's digest, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub digest: Vec<u8>,
    /// `linux/amd64`.
    #[prost(string, tag = "3")]
    pub platform: String,
    /// Base layer first. A layer may occur twice, as in real manifests.
    #[prost(message, repeated, tag = "4")]
    pub layers: Vec<Layer>,
}

/// One layer as a registry serves it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Layer {
    /// The compressed blob's digest, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub digest: Vec<u8>,
    /// Compressed.
    #[prost(uint64, tag = "2")]
    pub size_bytes: u64,
    /// The content's digest, 32 bytes; empty where unknown.
    #[prost(bytes = "vec", tag = "3")]
    pub diff_id: Vec<u8>,
}

/// How far a layer is on a host. A larger state is nearer to ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum LayerState {
    /// Being downloaded.
    Pulling = 0,
    /// Downloaded, not unpacked.
    Blob = 1,
    /// Unpacked: nothing left to do.
    Unpacked = 2,
}

impl Image {
    pub fn validate(&self) -> Result<(), Refused> {
        validate_reference("image.reference", &self.reference)?;
        optional_name("image.platform", &self.platform)?;
        Digest::from_bytes("image.digest", &self.digest)?;
        if self.layers.is_empty() {
            return Err(Refused::invalid("image.layers", "is empty: an image has at least one layer"));
        }
        if self.layers.len() > limits::LAYERS_PER_IMAGE {
            return Err(Refused::over("image.layers", self.layers.len() as u64, limits::LAYERS_PER_IMAGE as u64));
        }
        for layer in &self.layers {
            Digest::from_bytes("image.layers.digest", &layer.digest)?;
            if !layer.diff_id.is_empty() {
                Digest::from_bytes("image.layers.diff_id", &layer.diff_id)?;
            }
            layer_size("image.layers.size_bytes", layer.size_bytes)?;
        }
        Ok(())
    }
}

/// Checks what is said to be there of a layer on a host.
pub fn validate_fetched(fetched_bytes: Option<u64>, size_bytes: u64, state: LayerState) -> Result<(), Refused> {
    const FIELD: &str = "layers.present.fetched_bytes";
    match fetched_bytes {
        Some(_) if state != LayerState::Pulling => {
            Err(Refused::invalid(FIELD, "is given of a layer that is not being pulled: leave it out"))
        }
        Some(fetched_bytes) if fetched_bytes > size_bytes => Err(Refused::over(FIELD, fetched_bytes, size_bytes)),
        _ => Ok(()),
    }
}

/// Checks an image reference that must be there.
pub fn validate_reference(field: &'static str, reference: &str) -> Result<(), Refused> {
    if reference.is_empty() {
        return Err(Refused::invalid(field, "is empty"));
    }
    if reference.len() > limits::REFERENCE_BYTES {
        return Err(Refused::over(field, reference.len() as u64, limits::REFERENCE_BYTES as u64));
    }
    if reference.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Refused::invalid(field, "contains white space or a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_text_round_trips_and_refuses_what_is_not_one() {
        let text = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(Digest::parse("d", &text).map(|d| d.to_string()), Ok(text.clone()));
        for bad in [
            "",
            "sha256:",
            &text[..70],
            &text.to_uppercase(),
            &text.replace('0', "g"),
            &text.replace("sha256", "sha512"),
        ] {
            assert!(Digest::parse("d", bad).is_err(), "{bad:?} was taken for a digest");
        }
    }
}
