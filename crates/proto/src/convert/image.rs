//! Images: digests are text in messages and 32 bytes in the domain.

use gantry_types::{
    self as types, Digest, Refused,
    error::{name, size},
    image::validate_reference,
    limits,
};

use super::explain::top;
use crate::v1;

impl v1::ShowImageRequest {
    /// Returns how many hosts to name.
    pub fn check(&self) -> Result<usize, Refused> {
        validate_reference("reference", &self.reference)?;
        top(self.top)
    }
}

impl v1::WarmImageRequest {
    /// Returns the regions as a request's constraints have them.
    pub fn check(&self) -> Result<types::Constraints, Refused> {
        validate_reference("reference", &self.reference)?;
        if self.regions.len() > limits::REGIONS_PER_REQUEST {
            return Err(Refused::over("regions", self.regions.len() as u64, limits::REGIONS_PER_REQUEST as u64));
        }
        self.regions.iter().try_for_each(|region| name("regions", region))?;
        if !(1..=limits::HOSTS_PER_WARMING).contains(&self.hosts) {
            let why = format!("is {}; 1 to {} hosts can be warmed at a time", self.hosts, limits::HOSTS_PER_WARMING);
            return Err(Refused::invalid("hosts", why));
        }
        let most = limits::LAYERS_PER_IMAGE;
        if self.base_layers as usize > most {
            return Err(Refused::over("base_layers", self.base_layers.into(), most as u64));
        }
        if self.keep_ms > limits::KEEP_MS {
            return Err(Refused::over("keep_ms", self.keep_ms, limits::KEEP_MS));
        }
        if self.bytes_per_s > limits::BYTES_PER_S {
            return Err(Refused::over("bytes_per_s", self.bytes_per_s, limits::BYTES_PER_S));
        }
        Ok(types::Constraints { regions: self.regions.clone(), ..types::Constraints::default() })
    }
}

impl v1::FetchProgress {
    pub fn check(&self) -> Result<(), Refused> {
        size("fetch_progress.present_bytes", self.present_bytes)?;
        size("fetch_progress.total_bytes", self.total_bytes)?;
        if self.reason.len() > limits::REASON_BYTES {
            return Err(Refused::over("fetch_progress.reason", self.reason.len() as u64, limits::REASON_BYTES as u64));
        }
        Ok(())
    }
}

impl TryFrom<v1::Image> for types::Image {
    type Error = Refused;

    fn try_from(message: v1::Image) -> Result<Self, Refused> {
        if message.layers.len() > limits::LAYERS_PER_IMAGE {
            return Err(Refused::over("image.layers", message.layers.len() as u64, limits::LAYERS_PER_IMAGE as u64));
        }
        let image = Self {
            reference: message.reference,
            digest: digest("image.digest", &message.digest)?,
            platform: message.platform,
            layers: message.layers.iter().map(layer).collect::<Result<_, _>>()?,
        };
        image.validate()?;
        Ok(image)
    }
}

fn layer(message: &v1::Layer) -> Result<types::Layer, Refused> {
    Ok(types::Layer {
        digest: digest("image.layers.digest", &message.digest)?,
        size_bytes: message.size_bytes,
        diff_id: match message.diff_id.as_str() {
            "" => Vec::new(),
            text => digest("image.layers.diff_id", text)?,
        },
    })
}

fn digest(field: &'static str, text: &str) -> Result<Vec<u8>, Refused> {
    Digest::parse(field, text).map(|digest| digest.0.to_vec())
}

impl From<&types::Image> for v1::Image {
    fn from(image: &types::Image) -> Self {
        Self {
            reference: image.reference.clone(),
            digest: text(&image.digest),
            platform: image.platform.clone(),
            layers: image.layers.iter().map(Into::into).collect(),
        }
    }
}

impl From<&types::Layer> for v1::Layer {
    fn from(layer: &types::Layer) -> Self {
        Self { digest: text(&layer.digest), size_bytes: layer.size_bytes, diff_id: text(&layer.diff_id) }
    }
}

/// `sha256:...`; empty where the bytes are no digest, which only an absent diff id is.
pub fn text(digest: &[u8]) -> String {
    Digest::from_bytes("digest", digest).map(|digest| digest.to_string()).unwrap_or_default()
}

impl v1::RecordImageRequest {
    /// The image, checked.
    pub fn into_image(self) -> Result<types::Image, Refused> {
        self.image.ok_or_else(|| Refused::invalid("image", "is missing"))?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::convert::arbitrary;

    proptest! {
        #[test]
        fn round_trips(image in arbitrary::image()) {
            prop_assert_eq!(types::Image::try_from(v1::Image::from(&image)), Ok(image));
        }
    }

    fn good() -> v1::Image {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let layer = v1::Layer { digest: digest.clone(), size_bytes: 1, diff_id: String::new() };
        v1::Image { reference: "redis:7".into(), digest, platform: "linux/amd64".into(), layers: vec![layer] }
    }

    #[test]
    fn bad_input_names_the_field() {
        type Spoil = fn(&mut v1::Image);
        let cases: &[(&str, Spoil)] = &[
            ("image.reference", |i| i.reference.clear()),
            ("image.digest", |i| i.digest.clear()),
            ("image.digest", |i| i.digest = i.digest.to_uppercase()),
            ("image.digest", |i| i.digest.truncate(20)),
            ("image.digest", |i| i.digest = "sha256:".to_owned() + &"é".repeat(32)),
            ("image.layers", |i| i.layers.clear()),
            ("image.layers", |i| i.layers = vec![i.layers[0].clone(); limits::LAYERS_PER_IMAGE + 1]),
            ("image.layers.digest", |i| i.layers[0].digest = "md5:00".into()),
            ("image.layers.diff_id", |i| i.layers[0].diff_id = "sha256:xyz".into()),
            ("image.layers.size_bytes", |i| i.layers[0].size_bytes = limits::LAYER_BYTES + 1),
        ];
        for (expected, spoil) in cases {
            let mut message = good();
            spoil(&mut message);
            let refused = types::Image::try_from(message).expect_err("a bad image was accepted");
            assert!(
                matches!(&refused, Refused::Invalid { field, .. } if field == expected),
                "{refused:?} instead of an error about {expected}"
            );
        }
    }
}
