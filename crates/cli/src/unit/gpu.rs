//! GPUs: `1`, `8`, or a part of one, `0.25` or `250m`.

use gantry_proto::v1;

use super::decimal;

/// How many GPUs, and how many thousandths of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpus {
    pub count: u32,
    pub milli: u32,
}

const WHOLE: u32 = 1_000;

pub fn parse(text: &str) -> Result<Gpus, String> {
    let text = text.trim();
    let milli = match text.strip_suffix('m') {
        Some(milli) => decimal::times(milli, 1),
        None => decimal::times(text, u64::from(WHOLE)),
    };
    let milli = milli
        .and_then(|milli| u32::try_from(milli).ok())
        .ok_or_else(|| "expected GPUs such as 1 or 8, or a part of one such as 0.25 or 250m".to_owned())?;
    match (milli / WHOLE, milli % WHOLE) {
        (0, 0) => Err("0 GPUs: leave --gpu out to ask for none".to_owned()),
        (count, 0) => Ok(Gpus { count, milli: WHOLE }),
        (0, milli) => Ok(Gpus { count: 1, milli }),
        _ => Err("a part is of one GPU only: ask for a whole number, or for less than 1".to_owned()),
    }
}

/// The indices of GPUs on a host, each with its part where it is not the whole: `0,1` or `3 (0.25)`.
pub fn format_devices(devices: &[v1::DeviceShare]) -> String {
    let one = |share: &v1::DeviceShare| match share.milli {
        WHOLE => share.index.to_string(),
        milli => format!("{} ({})", share.index, decimal::thousandths(milli.into())),
    };
    devices.iter().map(one).collect::<Vec<_>>().join(",")
}

/// What is asked for: `2 x H100`, `0.25 x any`.
pub fn format_shape(gpu: &v1::GpuShape) -> String {
    let amount = decimal::thousandths(u64::from(gpu.count) * u64::from(gpu.milli));
    let kinds = if gpu.kinds.is_empty() { "any".to_owned() } else { gpu.kinds.join("|") };
    format!("{amount} x {kinds}")
}

/// Thousandths over several GPUs: `7.25`.
pub fn format_milli(milli: u64) -> String {
    decimal::thousandths(milli)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_read() {
        for (text, count, milli) in
            [("1", 1, 1_000), ("8", 8, 1_000), ("0.25", 1, 250), ("250m", 1, 250), ("1.0", 1, 1_000)]
        {
            assert_eq!(parse(text), Ok(Gpus { count, milli }), "{text:?}");
        }
        for text in ["", "0", "1.5", "2500m", "-1", "0.0001", "H100", "99999999"] {
            assert!(parse(text).is_err(), "{text:?} was taken for GPUs");
        }
    }

    #[test]
    fn gpus_are_shown() {
        let devices = [v1::DeviceShare { index: 0, milli: 1_000 }, v1::DeviceShare { index: 3, milli: 250 }];
        assert_eq!(format_devices(&devices), "0,3 (0.25)");
        let shape = v1::GpuShape {
            kinds: vec!["H100".into(), "A100".into()],
            count: 2,
            milli: 1_000,
            ..v1::GpuShape::default()
        };
        assert_eq!(format_shape(&shape), "2 x H100|A100");
    }
}
