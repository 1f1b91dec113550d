//! The requests of the stream: many kinds, drawn by popularity.

use fastrand::Rng;
use gantry_types::{Constraints, GpuShape, PlaceRequest, Shape, WHOLE_GPU_MILLI};

use crate::catalogue::{App, Catalogue};

/// Popularity falls with the rank to this power.
const ZIPF: f64 = 0.9;
/// Versions of an application that are asked for.
const VERSIONS: usize = 8;
/// An application's machines are of a few kinds: shapes, versions, regions.
const KINDS_PER_APP: usize = 4;
const GIB: u64 = 1 << 30;

/// GPUs, thousandths of each, CPU for one, GiB for one; weights in percent.
const SHAPES: [(u32, u32, u64, u64, u32); 10] = [
    (1, WHOLE_GPU_MILLI, 8_000, 32, 28),
    (1, 500, 4_000, 16, 14),
    (1, 250, 2_000, 8, 14),
    (2, WHOLE_GPU_MILLI, 8_000, 32, 8),
    (4, WHOLE_GPU_MILLI, 8_000, 32, 5),
    (8, WHOLE_GPU_MILLI, 8_000, 32, 3),
    (1, 750, 6_000, 24, 4),
    (1, 100, 1_000, 4, 6),
    (0, 0, 2_000, 4, 10),
    (0, 0, 8_000, 16, 8),
];
const REGIONS: [&[&str]; 6] = [&[], &[], &[], &["iad", "fra"], &["iad"], &["fra", "nrt"]];
const GPU_KINDS: [&[&str]; 6] = [&[], &[], &[], &["G2", "G3"], &["G2", "T4", "A10"], &["V100M16", "V100M32", "G2"]];

/// Draws a rank by popularity.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Of each rank and those before it together.
    up_to: Vec<f64>,
}

impl Zipf {
    pub fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let up_to = (1..=ranks).map(|rank| {
            sum += (rank as f64).powf(-ZIPF);
            sum
        });
        Self { up_to: up_to.collect() }
    }

    pub fn draw(&self, rng: &mut Rng) -> usize {
        let at = rng.f64() * self.up_to.last().copied().unwrap_or_default();
        self.up_to.partition_point(|&up_to| up_to < at).min(self.up_to.len().saturating_sub(1))
    }
}

/// The applications of a catalogue in a drawn order of popularity.
pub fn apps(catalogue: &Catalogue, rng: &mut Rng) -> Vec<App> {
    let mut apps = catalogue.apps(VERSIONS);
    rng.shuffle(&mut apps);
    apps
}

/// So many requests, all distinct in what a planner looks at, the most popular first.
pub fn distinct(kinds: usize, apps: &[App], rng: &mut Rng) -> Vec<PlaceRequest> {
    (0..kinds).map(|kind| request(kind, &apps[kind / KINDS_PER_APP % apps.len()], rng)).collect()
}

fn request(kind: usize, app: &App, rng: &mut Rng) -> PlaceRequest {
    let owned = |set: &[&str]| set.iter().map(|&name| name.to_owned()).collect::<Vec<String>>();
    let pick = rng.u32(..100);
    let mut sum = 0;
    let (count, milli, cpu, gib, _) = SHAPES
        .into_iter()
        .find(|shape| {
            sum += shape.4;
            pick < sum
        })
        .unwrap_or(SHAPES[0]);
    // A little more or less than the next kind, so that no two are equal.
    let (each, own) = (u64::from(count.max(1)), kind as u64 % 64 * 8);
    let kinds = owned(GPU_KINDS[rng.usize(..GPU_KINDS.len())]);
    let image = &app.versions[rng.usize(..app.versions.len())];
    PlaceRequest {
        app: format!("app-{}", kind / KINDS_PER_APP),
        image: image.reference.clone(),
        shape: Shape {
            cpu_milli: cpu * each - own,
            memory_bytes: gib * GIB * each,
            gpu: (count > 0).then_some(GpuShape { kinds, count, milli, ..GpuShape::default() }),
            ..Shape::default()
        },
        constraints: Constraints { regions: owned(REGIONS[rng.usize(..REGIONS.len())]), ..Constraints::default() },
        count: 1,
        ..PlaceRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_distinct_and_the_first_ranks_are_drawn_most() {
        let mut rng = Rng::with_seed(1);
        let apps = apps(&Catalogue::built_in().unwrap(), &mut rng);
        let kinds = distinct(2_000, &apps, &mut rng);
        for (at, kind) in kinds.iter().enumerate() {
            assert!(kinds[..at].iter().rev().take(64).all(|other| other != kind), "{kind:?} twice");
            assert!(at < 64 || kinds[at - 64] != *kind);
        }
        let (zipf, mut drawn) = (Zipf::new(20), [0; 20]);
        (0..10_000).for_each(|_| drawn[zipf.draw(&mut rng)] += 1);
        assert!(drawn[0] > drawn[5] && drawn[5] > drawn[19] && drawn[19] > 0, "{drawn:?}");
    }
}
