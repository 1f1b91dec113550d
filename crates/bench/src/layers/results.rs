//! The figures of all policies, means of the seeds.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde_json::json;

use super::{
    Args,
    simulate::Outcome,
    workload::{Scenario, Workload},
};
use crate::report;

/// What all others are compared with.
pub const BASELINE: &str = "image_locality";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub bytes_per_start: f64,
    pub mean_start_ms: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub refused: f64,
}

#[derive(Debug, Default)]
pub struct Results {
    pub policies: Vec<(&'static str, Figures)>,
    /// The mean wait for bytes that no host had ever fetched: no choice of hosts avoids it.
    pub floor_ms: f64,
}

impl Results {
    pub fn new(scenario: &Scenario, workloads: &[Workload], link_mb_per_s: u64) -> Self {
        let floors = workloads.iter().map(|workload| floor_ms(scenario, workload, link_mb_per_s));
        Self { policies: Vec::new(), floor_ms: floors.sum::<f64>() / workloads.len().max(1) as f64 }
    }

    pub fn add(&mut self, name: &'static str, seeds: &[Outcome]) {
        let mut sum = Figures::default();
        let part = 1.0 / seeds.len().max(1) as f64;
        for outcome in seeds {
            let mut waits = outcome.waits_us.clone();
            waits.sort_unstable();
            let starts = waits.len().max(1) as f64;
            let at = |percent: usize| waits.get(waits.len() * percent / 100).map_or(0.0, |&us| us as f64 / 1e3);
            sum.bytes_per_start += part * outcome.fetched_bytes as f64 / starts;
            sum.mean_start_ms += part * waits.iter().map(|&us| us as f64).sum::<f64>() / starts / 1e3;
            sum.p50 += part * at(50);
            sum.p90 += part * at(90);
            sum.p99 += part * at(99);
            sum.refused += part * outcome.refused as f64;
        }
        self.policies.push((name, sum));
    }

    pub fn of(&self, name: &str) -> Option<&Figures> {
        self.policies.iter().find(|(known, _)| *known == name).map(|(_, figures)| figures)
    }

    /// A mean start as a part of the baseline's.
    pub fn ratio(&self, figures: &Figures) -> f64 {
        let baseline = self.of(BASELINE).map_or(0.0, |baseline| baseline.mean_start_ms);
        if baseline > 0.0 { figures.mean_start_ms / baseline } else { 1.0 }
    }

    pub fn json(&self, args: &Args) -> serde_json::Value {
        let policy = |figures: &Figures| {
            json!({
                "bytes_per_start": figures.bytes_per_start.round(),
                "mean_start_ms": tenths(figures.mean_start_ms),
                "p50": tenths(figures.p50),
                "p90": tenths(figures.p90),
                "p99": tenths(figures.p99),
                "ratio": (self.ratio(figures) * 1e3).round() / 1e3,
                "refused": tenths(figures.refused),
            })
        };
        let policies: serde_json::Map<_, _> =
            self.policies.iter().map(|(name, figures)| ((*name).to_owned(), policy(figures))).collect();
        json!({
            "hosts": args.hosts,
            "slots": args.slots,
            "cache_gb": args.cache_gb,
            "link_mb_per_s": args.link_mb_per_s,
            "burst": args.burst,
            "starts": args.starts,
            "seeds": [args.seeds.first, args.seeds.last],
            "floor_ms": tenths(self.floor_ms),
            "policies": policies,
        })
    }

    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.add_row(["policy", "mean start", "of image_locality", "p50", "p90", "p99", "fetched for a start"]);
        for (name, figures) in &self.policies {
            let ms = |ms: f64| format!("{} ms", report::grouped(ms.round() as u64));
            table.add_row([
                (*name).to_owned(),
                ms(figures.mean_start_ms),
                format!("{:.3}", self.ratio(figures)),
                ms(figures.p50),
                ms(figures.p90),
                ms(figures.p99),
                report::bytes(figures.bytes_per_start.round() as u64),
            ]);
        }
        let floor = report::grouped(self.floor_ms.round() as u64);
        format!("{table}\nbytes that no host had fetched before: {floor} ms of the mean, for every policy")
    }
}

fn floor_ms(scenario: &Scenario, workload: &Workload, link_mb_per_s: u64) -> f64 {
    let mut fetched = vec![false; scenario.layer_bytes.len()];
    let (uncounted, mut started, mut counted) = (workload.lives_us.len() / 5, 0, 0);
    let mut sum_us = 0.0;
    for arrival in &workload.arrivals {
        let layers = &scenario.images[arrival.image as usize].layers;
        let new = layers.iter().filter(|&&layer| !std::mem::replace(&mut fetched[layer as usize], true));
        let wait_us = new.map(|&layer| scenario.layer_bytes[layer as usize]).sum::<u64>() / link_mb_per_s;
        let machines = if started >= uncounted { arrival.machines } else { 0 };
        started += arrival.machines as usize;
        counted += machines;
        // One at a time, the second machine finds what the first one fetched; in a burst all wait together.
        sum_us += wait_us as f64 * f64::from(machines);
    }
    sum_us / f64::from(counted.max(1)) / 1e3
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
