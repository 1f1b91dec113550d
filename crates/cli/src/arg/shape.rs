//! Flags for the resources of a machine.

use clap::{Args, ValueEnum};
use gantry_proto::v1;

use crate::unit::{
    bytes, cpu,
    gpu::{self, Gpus},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CpuKind {
    /// From the pool that a host may promise more than once over
    Shared,
    /// CPUs of its own
    Performance,
}

#[derive(Clone, Debug, Args)]
pub struct ShapeArgs {
    /// CPUs: 2, 2.5 or 500m
    #[arg(long, value_name = "CPUS", default_value = "1", value_parser = cpu::parse)]
    cpu: u64,

    #[arg(long, value_name = "KIND", default_value = "shared")]
    cpu_kind: CpuKind,

    /// Memory: 16GiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = bytes::parse)]
    memory: u64,

    /// GPUs: 1, 8, or a part of one, 0.25
    #[arg(long, value_name = "GPUS", value_parser = gpu::parse)]
    gpu: Option<Gpus>,

    /// Kinds of GPU that will do, in no order; without it any
    #[arg(long, value_name = "KIND", value_delimiter = ',', requires = "gpu")]
    gpu_kind: Vec<String>,

    /// All GPUs in one NVLink group; without it that is only preferred
    #[arg(long, requires = "gpu")]
    gpu_linked: bool,
}

impl From<ShapeArgs> for v1::Shape {
    fn from(args: ShapeArgs) -> Self {
        let kind = match args.cpu_kind {
            CpuKind::Shared => v1::CpuKind::Shared,
            CpuKind::Performance => v1::CpuKind::Performance,
        };
        Self {
            cpu_kind: kind as i32,
            cpu_milli: args.cpu,
            memory_bytes: args.memory,
            gpu: args.gpu.map(|gpu| v1::GpuShape {
                kinds: args.gpu_kind,
                count: gpu.count,
                milli: gpu.milli,
                same_nvlink_group: args.gpu_linked,
            }),
        }
    }
}

/// A shape in one line: `2 CPU, 16 GiB, 1 x H100`.
pub fn format(shape: &v1::Shape) -> String {
    let mut parts = vec![cpu::format(shape.cpu_milli), bytes::format(shape.memory_bytes)];
    parts.extend(shape.gpu.as_ref().map(gpu::format_shape));
    parts.join(", ")
}
