//! Times decisions, bursts and refusals.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use gantry_types::{Constraints, GpuShape, PlaceRequest, Shape};
use hdrhistogram::Histogram;

use super::{
    Args,
    kinds::{self, Zipf},
    world::{Images, World},
};
use crate::{catalogue::Catalogue, fleet::Host, proc::waiting::Clock};

/// Repetitions of what happens once: their median counts.
const REPEATS: usize = 9;
/// Longest time that can be recorded.
const LONGEST_NS: u64 = 60_000_000_000;

#[derive(Clone, Debug)]
pub struct Measured {
    pub hosts: usize,
    pub mixes: Vec<Mix>,
    /// A request for 1,000 machines of a kind never seen before, the median of several.
    pub burst_1000_ms: f64,
    /// Hosts that the burst's machines went to, and machines of it that were planned.
    pub burst_spread: (usize, usize),
    /// A request of a kind never seen before that fits nowhere, with its reasons, the median of several.
    pub refuse_ms: f64,
}

/// Decisions of a stream with so many kinds of requests.
#[derive(Clone, Debug)]
pub struct Mix {
    pub kinds: usize,
    /// Of decisions that found a host, in nanoseconds by the wall clock.
    pub latency: Histogram<u64>,
    /// The same but for the time in which the thread waited for a core, which is others' work.
    pub on_core: Histogram<u64>,
    /// Of those that found none and looked at every host for the reasons.
    pub refused: Histogram<u64>,
}

pub fn measure(args: &Args, catalogue: &Catalogue, hosts: &[Host]) -> Result<Measured> {
    ensure!(args.kinds.iter().all(|&kinds| kinds > 0) && !args.kinds.is_empty(), "kinds: at least 1");
    let mut rng = Rng::with_seed(args.seed);
    let apps = kinds::apps(catalogue, &mut rng);
    let most = args.kinds.iter().copied().max().unwrap_or(1);
    let all = kinds::distinct(most, &apps, &mut rng);
    let mut world = World::new(hosts, catalogue, &apps, args.seed)?;
    world.fill(&all, args.fill);
    let images = Images::new(catalogue);
    let mut mixes = Vec::new();
    for &kinds in &args.kinds {
        mixes.push(stream(&mut world, &all[..kinds], args.decisions as usize, &images)?);
    }
    let (burst_1000_ms, burst_spread) = bursts(&mut world, &all)?;
    let refuse_ms = refusals(&mut world)?;
    Ok(Measured { hosts: hosts.len(), mixes, burst_1000_ms, burst_spread, refuse_ms })
}

/// The first third warms up.
fn stream(world: &mut World, kinds: &[PlaceRequest], decisions: usize, images: &Images<'_>) -> Result<Mix> {
    let histogram = || Histogram::new_with_bounds(1, LONGEST_NS, 3).context("these bounds are always valid");
    let (latency, on_core, refused) = (histogram()?, histogram()?, histogram()?);
    let mut mix = Mix { kinds: kinds.len(), latency, on_core, refused };
    let (popularity, clock) = (Zipf::new(kinds.len()), Clock::of_this_thread());
    for n in 0..decisions + decisions / 2 {
        let request = &kinds[popularity.draw(&mut world.rng)];
        let started = clock.now();
        let planned = world.decide(request);
        let (wall, ran) = clock.since(started);
        if n >= decisions / 2 && planned.is_some() {
            mix.latency.saturating_record(wall.as_nanos() as u64);
            mix.on_core.saturating_record(ran.as_nanos() as u64);
        } else if n >= decisions / 2 {
            mix.refused.saturating_record(wall.as_nanos() as u64);
        }
        world.go_on(request, planned, images)?;
    }
    Ok(mix)
}

fn bursts(world: &mut World, kinds: &[PlaceRequest]) -> Result<(f64, (usize, usize))> {
    let mut times = Vec::new();
    let mut spread = (0, 0);
    let small = GpuShape { count: 1, milli: 100, ..GpuShape::default() };
    for n in 0..REPEATS {
        let request = PlaceRequest {
            app: format!("burst-{n}"),
            image: kinds[n % kinds.len()].image.clone(),
            shape: Shape { cpu_milli: 500, memory_bytes: 1 << 30, gpu: Some(small.clone()), ..Shape::default() },
            count: 1_000,
            ..PlaceRequest::default()
        };
        let started = Instant::now();
        let planned = world.decide(&request);
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        let planned = planned.context("no machine of the burst fits")?;
        let mut hosts: Vec<u32> = planned.plans.iter().map(|plan| plan.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        spread = (hosts.len(), planned.plans.len());
        world.planner.settle(&request, &planned.plans);
    }
    Ok((median(times), spread))
}

fn refusals(world: &mut World) -> Result<f64> {
    let mut times = Vec::new();
    for n in 0..3 * REPEATS {
        let gpu = |kinds: &[&str], count| {
            Some(GpuShape {
                kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
                count,
                milli: 1_000,
                ..GpuShape::default()
            })
        };
        let regions = if n % 2 == 0 { Vec::new() } else { vec!["iad".to_owned()] };
        let (cpu_milli, gpu) = match n % 3 {
            0 => (1_000_000, None),
            1 => (1_000, gpu(&[], 16)),
            _ => (1_000, gpu(&["G2"], 9)),
        };
        let request = PlaceRequest {
            app: format!("refused-{n}"),
            shape: Shape { cpu_milli, memory_bytes: 1 << 30, gpu, ..Shape::default() },
            constraints: Constraints { regions, ..Constraints::default() },
            count: 1,
            ..PlaceRequest::default()
        };
        let started = Instant::now();
        let planned = world.decide(&request);
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        ensure!(planned.is_none(), "a request that fits nowhere was planned");
    }
    Ok(median(times))
}

/// With two digits after the point.
pub fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    (values[values.len() / 2] * 1_000.0).round() / 1_000.0
}

impl Measured {
    /// The mix of most kinds.
    pub fn hardest(&self) -> &Mix {
        self.mixes.iter().max_by_key(|mix| mix.kinds).expect("at least one mix is measured")
    }
}

impl Mix {
    pub fn us(&self, percent: f64) -> f64 {
        hundredths(self.latency.value_at_quantile(percent / 100.0) as f64 / 1_000.0)
    }

    pub fn on_core_us(&self, percent: f64) -> f64 {
        hundredths(self.on_core.value_at_quantile(percent / 100.0) as f64 / 1_000.0)
    }

    pub fn mean_on_core_us(&self) -> f64 {
        hundredths(self.on_core.mean() / 1_000.0)
    }

    pub fn mean_us(&self) -> f64 {
        hundredths(self.latency.mean() / 1_000.0)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "kinds": self.kinds,
            "p50_us": self.us(50.0),
            "p90_us": self.us(90.0),
            "p99_us": self.us(99.0),
            "max_us": self.us(100.0),
            "mean_us": self.mean_us(),
            "p50_on_core_us": self.on_core_us(50.0),
            "p99_on_core_us": self.on_core_us(99.0),
            "mean_on_core_us": self.mean_on_core_us(),
            "decisions": self.latency.len(),
            "refused": self.refused.len(),
            "refused_p50_us": hundredths(self.refused.value_at_quantile(0.5) as f64 / 1_000.0),
        })
    }
}
