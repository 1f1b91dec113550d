//! What a machine needs.

use gantry_types::{self as types, Refused};

use crate::v1;

/// Without a call to `validate()`: the request that holds the shape does that once.
pub(crate) fn shape(shape: v1::Shape) -> Result<types::Shape, Refused> {
    let kind = match v1::CpuKind::try_from(shape.cpu_kind) {
        Ok(v1::CpuKind::Unspecified | v1::CpuKind::Shared) => types::CpuKind::Shared,
        Ok(v1::CpuKind::Performance) => types::CpuKind::Performance,
        Err(_) => {
            return Err(Refused::invalid(
                "shape.cpu_kind",
                format!("is {}: not a known CPU kind, use shared (1) or performance (2)", shape.cpu_kind),
            ));
        }
    };
    Ok(types::Shape {
        cpu_kind: kind as i32,
        cpu_milli: shape.cpu_milli,
        memory_bytes: shape.memory_bytes,
        gpu: shape.gpu.map(|gpu| types::GpuShape {
            kinds: gpu.kinds,
            count: gpu.count,
            milli: gpu.milli,
            same_nvlink_group: gpu.same_nvlink_group,
        }),
    })
}

impl TryFrom<v1::Shape> for types::Shape {
    type Error = Refused;

    fn try_from(message: v1::Shape) -> Result<Self, Refused> {
        let shape = shape(message)?;
        shape.validate()?;
        Ok(shape)
    }
}

impl From<types::Shape> for v1::Shape {
    fn from(shape: types::Shape) -> Self {
        let kind = match shape.cpu_kind() {
            types::CpuKind::Shared => v1::CpuKind::Shared,
            types::CpuKind::Performance => v1::CpuKind::Performance,
        };
        Self {
            cpu_kind: kind as i32,
            cpu_milli: shape.cpu_milli,
            memory_bytes: shape.memory_bytes,
            gpu: shape.gpu.map(|gpu| v1::GpuShape {
                kinds: gpu.kinds,
                count: gpu.count,
                milli: gpu.milli,
                same_nvlink_group: gpu.same_nvlink_group,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::convert::arbitrary;

    proptest! {
        #[test]
        fn round_trips(shape in arbitrary::shape()) {
            prop_assert_eq!(types::Shape::try_from(v1::Shape::from(shape.clone())), Ok(shape));
        }
    }

    #[test]
    fn a_cpu_kind_that_is_not_named_is_shared() {
        let message = v1::Shape { cpu_milli: 100, ..v1::Shape::default() };
        assert_eq!(types::Shape::try_from(message).unwrap().cpu_kind(), types::CpuKind::Shared);
    }

    #[test]
    fn bad_input_names_the_field() {
        let good = v1::Shape { cpu_milli: 100, ..v1::Shape::default() };
        let gpu = |count, milli, kinds: &[&str]| v1::Shape {
            gpu: Some(v1::GpuShape {
                kinds: kinds.iter().map(|k| (*k).to_owned()).collect(),
                count,
                milli,
                ..v1::GpuShape::default()
            }),
            ..good.clone()
        };
        for (message, expected) in [
            (v1::Shape { cpu_kind: 7, ..good.clone() }, "shape.cpu_kind"),
            (v1::Shape { cpu_kind: -1, ..good.clone() }, "shape.cpu_kind"),
            (v1::Shape { cpu_milli: u64::MAX, ..good.clone() }, "shape.cpu_milli"),
            (v1::Shape { memory_bytes: u64::MAX, ..good.clone() }, "shape.memory_bytes"),
            (v1::Shape::default(), "shape"),
            (gpu(0, 1000, &[]), "shape.gpu.count"),
            (gpu(1, 0, &[]), "shape.gpu.milli"),
            (gpu(1, 1001, &[]), "shape.gpu.milli"),
            (gpu(2, 500, &[]), "shape.gpu"),
            (gpu(1, 1000, &[""]), "shape.gpu.kinds"),
        ] {
            let refused = types::Shape::try_from(message.clone()).expect_err("a bad shape was accepted");
            assert!(
                matches!(&refused, Refused::Invalid { field, .. } if *field == expected),
                "{message:?}: {refused:?} instead of an error about {expected}"
            );
        }
    }
}
