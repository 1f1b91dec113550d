//! Flags for the machine that a volume is meant for.

use clap::Args;
use gantry_proto::v1;

use crate::unit::{
    bytes, cpu, duration,
    gpu::{self, Gpus},
};

#[derive(Clone, Debug, Args)]
pub struct ComputeArgs {
    /// CPUs of the machine that will use it
    #[arg(long, value_name = "CPUS", value_parser = cpu::parse)]
    compute_cpu: Option<u64>,

    /// Memory of the machine that will use it
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    compute_memory: Option<u64>,

    /// GPUs of the machine that will use it
    #[arg(long, value_name = "GPUS", value_parser = gpu::parse)]
    compute_gpu: Option<Gpus>,

    /// Kinds of GPU that will do for it
    #[arg(long, value_name = "KIND", value_delimiter = ',', requires = "compute_gpu")]
    compute_gpu_kind: Vec<String>,

    /// Image of the machine that will use it
    #[arg(long, value_name = "REFERENCE")]
    pub compute_image: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct HoldArgs {
    /// How long to hold that machine's room for it [default: 1m, where its shape is known]
    #[arg(long = "hold", value_name = "TIME", value_parser = duration::parse_ms, conflicts_with = "no_hold")]
    hold_ms: Option<u64>,

    /// Hold nothing
    #[arg(long)]
    pub no_hold: bool,
}

impl HoldArgs {
    pub fn hold_ms(&self) -> u64 {
        self.hold_ms.unwrap_or_default()
    }
}

impl ComputeArgs {
    /// The machine's shape, where any of it is given.
    pub fn shape(&mut self) -> Option<v1::Shape> {
        let kinds = std::mem::take(&mut self.compute_gpu_kind);
        let gpu = self.compute_gpu.map(|gpu| v1::GpuShape {
            kinds,
            count: gpu.count,
            milli: gpu.milli,
            ..v1::GpuShape::default()
        });
        let given = self.compute_cpu.is_some() || self.compute_memory.is_some() || gpu.is_some();
        given.then(|| v1::Shape {
            cpu_milli: self.compute_cpu.unwrap_or_default(),
            memory_bytes: self.compute_memory.unwrap_or_default(),
            gpu,
            ..v1::Shape::default()
        })
    }
}
