//! What the load asks for: shapes and images over some twenty applications, prepared once.

use std::fmt::Write;

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use gantry_proto::v1;

use super::wire::Place;
use crate::catalogue::{App, Catalogue};

pub const APPS: usize = 20;
/// Prepared requests; drawn from in turn, so that drawing costs nothing.
const TEMPLATES: usize = 1_024;
/// Longer than any run: the load releases what it placed, and nothing expires meanwhile.
const LEASE_MS: u64 = 3_600_000;
const GIB: u64 = 1 << 30;
/// Request ids are cut from blocks of this size instead of being allocated one by one.
const ID_BLOCK_BYTES: usize = 64 << 10;
const ID_BYTES: usize = 40;

/// The applications of the load: those with the largest images.
pub fn apps(catalogue: &Catalogue) -> Result<Vec<App>> {
    let mut apps = catalogue.apps(1);
    apps.sort_by_key(|app| std::cmp::Reverse(app.newest().size_bytes));
    apps.truncate(APPS);
    ensure!(!apps.is_empty(), "the catalogue has no image");
    Ok(apps)
}

/// Four in ten ask for a whole GPU, the others for a half, a quarter, or for CPU only.
fn shape(rng: &mut Rng) -> v1::Shape {
    let milli = match rng.u32(..10) {
        0..4 => 1_000,
        4..6 => 500,
        6..8 => 250,
        _ => 0,
    };
    let gpu = v1::GpuShape { kinds: Vec::new(), count: 1, milli, ..v1::GpuShape::default() };
    let (cpu_milli, memory_bytes) =
        if milli == 0 { (500, GIB) } else { (u64::from(milli) * 4, u64::from(milli) * GIB / 125) };
    v1::Shape { cpu_kind: v1::CpuKind::Shared.into(), cpu_milli, memory_bytes, gpu: (milli > 0).then_some(gpu) }
}

/// Thousandths of a GPU that a machine of the mix takes on average.
pub const MEAN_GPU_MILLI: u64 = (4 * 1_000 + 2 * 500 + 2 * 250) / 10;

/// An endless supply of requests with fresh ids.
#[derive(Debug)]
pub struct Supply {
    templates: Vec<Place>,
    next: usize,
    prefix: String,
    serial: u64,
    block: BytesMut,
}

impl Supply {
    /// `name` tells the ids of this supply from those of others.
    pub fn new(apps: &[App], name: &str, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let templates = (0..TEMPLATES).map(|_| {
            let app = &apps[rng.usize(..apps.len())];
            let request = v1::PlaceRequest {
                app: app.name.rsplit('/').next().unwrap_or_default().to_owned(),
                image: app.newest().reference.clone(),
                shape: Some(shape(&mut rng)),
                count: 1,
                lease_ms: LEASE_MS,
                ..Default::default()
            };
            Place::template(&request)
        });
        let prefix = format!("{name}-{:x}-", seed & 0xffff_ffff);
        Self { templates: templates.collect(), next: 0, prefix, serial: 0, block: BytesMut::new() }
    }

    pub fn place(&mut self) -> Place {
        let request_id = self.id();
        let template = &self.templates[self.next];
        self.next = (self.next + 1) % self.templates.len();
        template.with_id(request_id)
    }

    pub fn id(&mut self) -> Bytes {
        if self.block.capacity() < ID_BYTES + self.prefix.len() {
            self.block = BytesMut::with_capacity(ID_BLOCK_BYTES);
        }
        self.serial += 1;
        write!(self.block, "{}{:x}", self.prefix, self.serial).expect("a block grows where an id does not fit");
        self.block.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn requests_are_valid_and_their_ids_differ() {
        let catalogue = Catalogue::built_in().unwrap();
        let apps = apps(&catalogue).unwrap();
        assert_eq!(apps.len(), APPS);
        let mut supply = Supply::new(&apps, "s1", 42);
        let mut ids = std::collections::HashSet::new();
        let mut gpu_milli = 0;
        for _ in 0..5_000 {
            let request = v1::PlaceRequest::decode(supply.place().encode_to_vec().as_slice()).unwrap();
            assert!(ids.insert(request.request_id.clone()));
            gpu_milli += u64::from(request.shape.as_ref().unwrap().gpu.as_ref().map_or(0, |gpu| gpu.milli));
            gantry_types::PlaceRequest::try_from(request).unwrap();
        }
        let mean = gpu_milli / 5_000;
        assert!(mean.abs_diff(MEAN_GPU_MILLI) < 40, "{mean} thousandths on average");
    }
}
