use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    arg::shape,
    context::{Context, Outcome},
    failure::Failure,
    json,
    unit::{bytes, gpu, time},
};

/// Show one volume
#[derive(Debug, Args)]
pub struct Show {
    id: u64,
}

impl Show {
    pub async fn run(self, context: Context) -> Outcome {
        let answer = context.client.get_volume(v1::GetVolumeRequest { volume_id: self.id }).await?;
        let volume = answer.volume.ok_or_else(|| Failure::internal("the answer holds no volume"))?;
        context.output.answer(&json!({ "rev": answer.rev, "volume": json::volume(&volume) }), || text(&volume))
    }
}

fn text(volume: &v1::Volume) -> String {
    let used_by = match volume.used_by {
        0 => "used by no machine".to_owned(),
        reservation => format!("used by reservation {reservation}"),
    };
    let fork = match volume.forked_from {
        0 => String::new(),
        source => format!("\nforked from volume {source}"),
    };
    format!(
        "volume {} is {} of app {}: {} on {} in {}, zone {}, created {}\n{used_by}{fork}{}",
        volume.id,
        volume.name,
        volume.app,
        bytes::format(volume.size_bytes),
        volume.host,
        volume.region,
        volume.zone,
        time::ago(volume.created_at_ms),
        volume.hold.as_ref().map(hold).unwrap_or_default(),
    )
}

fn hold(hold: &v1::VolumeHold) -> String {
    let shape = hold.shape.as_ref().map(shape::format).unwrap_or_default();
    let devices = match hold.devices.as_slice() {
        [] => String::new(),
        devices => format!(", gpu {}", gpu::format_devices(devices)),
    };
    let image = if hold.image.is_empty() { String::new() } else { format!(" with {}", hold.image) };
    format!("\nheld for its machine{image}: {shape}{devices}; ends {}", time::until(hold.until_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_shown() {
        let gpu = v1::GpuShape { kinds: vec!["H100".into()], count: 1, milli: 1_000, ..v1::GpuShape::default() };
        let shape = v1::Shape { cpu_milli: 2_000, memory_bytes: 8 << 30, gpu: Some(gpu), ..v1::Shape::default() };
        let devices = vec![v1::DeviceShare { index: 3, milli: 1_000 }];
        let hold = v1::VolumeHold { until_ms: 1, shape: Some(shape), devices, image: "redis:7".into() };
        let volume = v1::Volume { id: 4, hold: Some(hold), forked_from: 2, ..v1::Volume::default() };
        let text = text(&volume);
        assert!(text.contains("forked from volume 2"), "{text}");
        assert!(text.ends_with("held for its machine with redis:7: 2 CPU, 8 GiB, 1 x H100, gpu 3; ends now"), "{text}");
    }
}
