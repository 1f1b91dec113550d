//! The measured part of a load: rate, latency, CPU time, and evidence of flushes.

use std::{
    cell::RefCell,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use hdrhistogram::Histogram;
use serde_json::json;

use super::{
    Args,
    tally::{Tally, latencies},
};
use crate::{
    audit::Findings,
    proc::{self, fsync},
    report,
};

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The rate's picture has a bar for each of these.
pub const BUCKET: Duration = Duration::from_millis(200);

/// What a load came to.
#[derive(Debug)]
pub struct Measured {
    pub seconds: f64,
    pub setup_s: f64,
    pub placed: u64,
    pub released: u64,
    pub no_capacity: u64,
    pub overloaded: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub standing: u64,
    pub latency: Histogram<u64>,
    /// Acknowledgements by bucket.
    pub rate: Vec<u64>,
    /// CPU time of the servers, by node, and of this process.
    pub servers_cpu_us: Vec<u64>,
    pub load_cpu_us: u64,
    pub servers_peak_rss_bytes: Vec<u64>,
    pub flushes: fsync::Evidence,
    pub file_system: String,
    /// Terms that passed, from before the fleet was registered to the end: nobody asked for one.
    pub elections: u64,
    pub findings: Findings,
}

/// Looks at the processes while the load runs.
#[derive(Debug)]
pub struct Meter {
    pids: Vec<u32>,
    started: Instant,
    next: Instant,
    servers_cpu_us: Vec<u64>,
    load_cpu_us: u64,
    sampler: fsync::Sampler,
    file_system: String,
    /// Acknowledged at the end of each bucket.
    marks: Vec<u64>,
}

impl Meter {
    pub fn start(pids: &[u32], data_dir: &Path) -> Result<Self> {
        let started = Instant::now();
        Ok(Self {
            pids: pids.to_vec(),
            started,
            next: started + LOOK,
            servers_cpu_us: pids.iter().map(|&pid| proc::cpu_us(pid)).collect::<Result<_>>()?,
            load_cpu_us: proc::cpu_us(std::process::id())?,
            sampler: fsync::Sampler::new(pids, data_dir),
            file_system: proc::file_system(data_dir).unwrap_or_default(),
            marks: Vec::new(),
        })
    }

    pub fn until_next(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    pub fn look(&mut self, acknowledged: u64) {
        self.next += LOOK;
        self.sampler.sample();
        let buckets = (self.started.elapsed().as_millis() / BUCKET.as_millis()) as usize;
        if self.marks.len() < buckets {
            self.marks.resize(buckets, acknowledged);
        }
    }

    pub fn stop(self, acknowledged: u64) -> Result<Measured> {
        let used = |pid: u32, before: u64| proc::cpu_us(pid).map(|now| now.saturating_sub(before));
        let cpu = self.pids.iter().zip(&self.servers_cpu_us).map(|(&pid, &before)| used(pid, before));
        let servers_cpu_us = cpu.collect::<Result<Vec<_>>>().context("a server ended while it was measured")?;
        let starts = std::iter::once(0).chain(self.marks.iter().copied());
        Ok(Measured {
            seconds: self.started.elapsed().as_secs_f64(),
            setup_s: 0.0,
            placed: acknowledged,
            released: 0,
            no_capacity: 0,
            overloaded: 0,
            errors: 0,
            first_error: None,
            standing: 0,
            latency: latencies()?,
            rate: starts.zip(&self.marks).map(|(before, &now)| now - before).collect(),
            servers_cpu_us,
            load_cpu_us: used(std::process::id(), self.load_cpu_us)?,
            servers_peak_rss_bytes: self.pids.iter().filter_map(|&pid| proc::peak_rss_bytes(pid)).collect(),
            flushes: self.sampler.evidence(),
            file_system: self.file_system,
            elections: 0,
            findings: Findings::default(),
        })
    }
}

impl Measured {
    /// The counts at the moment at which measuring ends; what is answered later does not count.
    pub fn count(&mut self, tallies: &[Rc<RefCell<Tally>>]) {
        for tally in tallies {
            let tally = tally.borrow();
            self.released += tally.released;
            self.no_capacity += tally.no_capacity;
            self.overloaded += tally.overloaded;
            self.standing += tally.standing.len() as u64;
            // Same bounds everywhere, so adding cannot fail for a value out of range.
            self.latency.add(&tally.latency).expect("all histograms of a run have the same bounds");
        }
    }

    /// Errors count also where they come after the end.
    pub fn take(&mut self, tally: Tally) {
        self.errors = tally.errors;
        self.first_error = tally.first_error;
    }

    /// What makes the figures worthless. That no flush was seen is told and not counted: it is sampled.
    pub fn broken(&self) -> Option<String> {
        if !self.findings.kept() {
            return Some(format!("a promise broke: {}", self.findings));
        }
        if self.errors > 0 {
            return Some(format!("{} calls ended in an error", self.errors));
        }
        (self.placed == 0).then(|| "nothing was placed".to_owned())
    }

    pub fn per_second(&self) -> f64 {
        self.placed as f64 / self.seconds
    }

    pub fn latency_ms(&self, percent: f64) -> f64 {
        self.latency.value_at_quantile(percent / 100.0) as f64 / 1_000.0
    }

    pub fn cpu_us_per_placement(&self) -> f64 {
        (self.servers_cpu_us.iter().sum::<u64>() + self.load_cpu_us) as f64 / self.placed.max(1) as f64
    }

    pub fn load_cpu_us_per_placement(&self) -> f64 {
        self.load_cpu_us as f64 / self.placed.max(1) as f64
    }

    pub fn json(&self, args: &Args) -> serde_json::Value {
        let per_placement = |us: u64| hundredths(us as f64 / self.placed.max(1) as f64);
        json!({
            "mode": args.mode_name(),
            "hosts": args.hosts,
            "seconds": hundredths(self.seconds),
            "connections": args.connections(),
            "in_flight": args.in_flight(),
            "placements_per_s": self.per_second().round(),
            "releases_per_s": (self.released as f64 / self.seconds).round(),
            "p50_ms": self.latency_ms(50.0),
            "p99_ms": self.latency_ms(99.0),
            "p999_ms": self.latency_ms(99.9),
            "max_ms": self.latency.max() as f64 / 1_000.0,
            "cpu_us_per_placement": hundredths(self.cpu_us_per_placement()),
            "cpu_us_per_placement_servers": self.servers_cpu_us.iter().map(|&us| per_placement(us)).collect::<Vec<_>>(),
            "cpu_us_per_placement_load": per_placement(self.load_cpu_us),
            "servers_peak_rss_bytes": self.servers_peak_rss_bytes,
            "standing": self.standing,
            "placed": self.placed,
            "no_capacity": self.no_capacity,
            "overloaded": self.overloaded,
            "errors": self.errors,
            "oversubscribed": self.findings.oversubscribed,
            "lost": self.findings.lost,
            "duplicated": self.findings.duplicated,
            "unasked": self.findings.unasked,
            "state_hashes_equal": self.findings.hashes_equal,
            "fsync": self.flushes.holds(),
            "fsync_evidence": {
                "samples_in_fsync_percent": self.flushes.flushing_percent.iter().map(|&p| hundredths(p)).collect::<Vec<_>>(),
                "disk_flushes_per_s": self.flushes.disk_flushes.map(|flushes| (flushes as f64 / self.seconds).round()),
                "placements_per_flush": self.placements_per_flush().map(hundredths),
                "file_system": self.file_system,
            },
            "elections": self.elections,
            "setup_s": hundredths(self.setup_s),
        })
    }

    /// Of all three disks' flushes together: each placement is flushed by every node.
    pub fn placements_per_flush(&self) -> Option<f64> {
        self.flushes.disk_flushes.map(|flushes| self.placed as f64 / flushes.max(1) as f64)
    }

    pub fn table(&self, args: &Args) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        let mut row = |what: &str, said: String| {
            table.add_row([what.to_owned(), said]);
        };
        row("placements a second", report::grouped(self.per_second() as u64));
        row(
            "mode",
            format!("{}, {} connections, {} in flight", args.mode_name(), args.connections(), args.in_flight()),
        );
        row("latency", format!("p50 {:.2} ms, p99 {:.2} ms", self.latency_ms(50.0), self.latency_ms(99.0)));
        let (cpu, load) = (self.cpu_us_per_placement(), self.load_cpu_us_per_placement());
        row("CPU for a placement", format!("{cpu:.1} µs, of them {load:.1} µs to generate the load"));
        row("standing", format!("{} machines on {} hosts", self.standing, args.hosts));
        let seen: Vec<_> = self.flushes.flushing_percent.iter().map(|p| format!("{p:.0} %")).collect();
        let disk = self.flushes.disk_flushes.map_or("does not count".into(), |flushes| format!("counted {flushes}"));
        row("flushes", format!("servers seen in fsync in {} of the samples; the disk {disk}", seen.join(", ")));
        row(
            "refused",
            format!("{} no capacity, {} overloaded, {} errors", self.no_capacity, self.overloaded, self.errors),
        );
        row("elections", self.elections.to_string());
        row("audit", self.findings.to_string());
        table.to_string()
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
