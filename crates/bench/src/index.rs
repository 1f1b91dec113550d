//! The layer index: what it weighs, how fast it changes, and how fast a whole fleet is estimated.

use std::{hint::black_box, path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use gantry_fleet::{Fleet, LayerReport};
use gantry_placement::bytes_by_host;
use gantry_types::{Digest, HostId, HostSpec, Image, Layer, LayerState};

use crate::{cluster, decision::kinds::Zipf, proc, report};

/// Distinct layers for each layer of a host: 20,000 where a host has 200.
const POOL: usize = 100;
/// Layers that come, and layers that go, in one report.
const REPORTED: usize = 4;
/// Layers of an estimated image, from those on nearly every host to those on few.
const IMAGE_LAYERS: usize = 12;
/// Repetitions of an estimate: their median counts.
const REPEATS: usize = 51;
/// Slices of the measured reports, for the picture.
const SLICES: usize = 40;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub hosts: u32,
    /// Layers on each host.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(8..=10_000))]
    pub layers: u32,
    /// Layer changes measured: no more than a report a host in each of 40 slices.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    pub changes: u64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
    /// Where the page goes.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    pub out: PathBuf,
    /// The page's file, in place of index.html there.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Measured {
    pub hosts: usize,
    pub layers: usize,
    /// What the process grew by while the layers were reported.
    pub bytes: u64,
    pub changes: u64,
    pub changes_per_s: f64,
    /// The same in slices of equal length.
    pub slices: Vec<f64>,
    /// Of an image with layers on nearly every host, the median of several.
    pub estimate_all_ms: f64,
}

pub fn run(args: &Args) -> Result<()> {
    let measured = measure(args)?;
    let page = args.html.clone().unwrap_or_else(|| args.out.join("index.html"));
    report::write(&page, &report::index_page::draw(&measured))?;
    if args.json {
        println!("{}", measured.json());
    } else {
        eprintln!("{}\nreport: {}", measured.table(), page.display());
    }
    Ok(())
}

impl Measured {
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "bytes": self.bytes,
            "changes_per_s": self.changes_per_s.round(),
            "estimate_all_ms": self.estimate_all_ms,
            "hosts": self.hosts,
            "layers": self.layers,
            "changes": self.changes,
        })
    }

    fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        let edges = (self.hosts * self.layers) as u64;
        let rows = [
            ("hosts x layers", format!("{} x {}", report::grouped(self.hosts as u64), self.layers)),
            (
                "memory",
                format!(
                    "{}, {:.1} bytes a layer on a host",
                    report::bytes(self.bytes),
                    self.bytes as f64 / edges as f64
                ),
            ),
            ("layer changes a second", report::grouped(self.changes_per_s.round() as u64)),
            ("an image on all hosts", format!("{:.3} ms", self.estimate_all_ms)),
        ];
        rows.into_iter().for_each(|(what, said)| {
            table.add_row([what.to_owned(), said]);
        });
        table.to_string()
    }
}

/// Layers by popularity: the first lie on most hosts.
struct Pool {
    layers: Vec<(Digest, u64)>,
    popularity: Zipf,
}

impl Pool {
    fn new(layers: usize) -> Self {
        let digest = |n: usize| {
            // Digests are evenly spread, as real ones are.
            let mut rng = Rng::with_seed(n as u64);
            Digest(std::array::from_fn(|_| rng.u8(..)))
        };
        Self {
            layers: (0..layers).map(|n| (digest(n), 1_000_000 + n as u64 * 1_000)).collect(),
            popularity: Zipf::new(layers),
        }
    }

    fn draw(&self, rng: &mut Rng) -> (Digest, u64, LayerState) {
        let (digest, size) = self.layers[self.popularity.draw(rng)];
        (digest, size, LayerState::Unpacked)
    }

    /// A report of layers that the host does not have and of others that it has, so that every one is a change.
    fn delta(&self, fleet: &Fleet, id: HostId, rng: &mut Rng) -> LayerReport {
        let held = fleet.host(id).map_or(&[][..], |host| host.layers());
        let first = rng.usize(..held.len());
        let gone = (0..REPORTED).map(|n| held[(first + n * held.len() / REPORTED) % held.len()].layer);
        let mut present: Vec<(Digest, u64, LayerState)> = Vec::with_capacity(REPORTED);
        while present.len() < REPORTED {
            let drawn = self.draw(rng);
            let is_held = held.iter().any(|held| fleet.layer_digest(held.layer) == drawn.0);
            if !is_held && present.iter().all(|layer| layer.0 != drawn.0) {
                present.push(drawn);
            }
        }
        let gone = gone.map(|layer| fleet.layer_digest(layer)).collect();
        LayerReport { present, gone, ..LayerReport::default() }
    }
}

pub fn measure(args: &Args) -> Result<Measured> {
    let (hosts, layers) = (args.hosts as usize, args.layers as usize);
    let mut rng = Rng::with_seed(args.seed);
    let pool = Pool::new(layers * POOL);
    let mut fleet = Fleet::default();
    let ids = (0..hosts).map(|n| register(&mut fleet, n)).collect::<Result<Vec<HostId>>>()?;
    drop((fleet.take_changes(), fleet.take_events()));
    let before = resident_bytes()?;
    for &id in &ids {
        fill(&mut fleet, id, layers, &pool, &mut rng)?;
        drop(fleet.take_changes());
    }
    let bytes = resident_bytes()?.saturating_sub(before);
    let slices = change(&mut fleet, ids, args.changes, &pool, &mut rng)?;
    let estimate_all_ms = estimate(&mut fleet, &pool)?;
    let (changes, seconds) = slices.iter().fold((0, 0.0), |sum, slice| (sum.0 + slice.0, sum.1 + slice.1));
    Ok(Measured {
        hosts,
        layers,
        bytes,
        changes,
        changes_per_s: changes as f64 / seconds,
        slices: slices.into_iter().map(|(changes, seconds)| changes as f64 / seconds).collect(),
        estimate_all_ms,
    })
}

fn register(fleet: &mut Fleet, n: usize) -> Result<HostId> {
    let spec = HostSpec {
        name: format!("host-{n:06}"),
        region: "region".into(),
        zone: "zone".into(),
        memory_bytes: 1 << 38,
        cpu_shared_milli: 64_000,
        ..HostSpec::default()
    };
    fleet.register_host(spec).context("a host is refused")
}

/// Until the host has so many distinct layers.
fn fill(fleet: &mut Fleet, id: HostId, layers: usize, pool: &Pool, rng: &mut Rng) -> Result<()> {
    loop {
        let have = fleet.host(id).map_or(layers, |host| host.layers().len());
        if have >= layers {
            return Ok(());
        }
        let present = (have..layers).map(|_| pool.draw(rng)).collect();
        let report = LayerReport { present, ..LayerReport::default() };
        fleet.report_layers(id, &report).context("a report is refused")?;
    }
}

/// Deltas of hosts in no order, a slice at a time: its changes and seconds. Only the index is timed, not the making of
/// reports.
fn change(
    fleet: &mut Fleet,
    mut ids: Vec<HostId>,
    changes: u64,
    pool: &Pool,
    rng: &mut Rng,
) -> Result<Vec<(u64, f64)>> {
    let mut slices = Vec::new();
    let in_slice = (changes as usize / SLICES / (2 * REPORTED)).clamp(1, ids.len());
    for _ in 0..SLICES {
        // A host twice in a slice would report what it no longer has.
        rng.shuffle(&mut ids);
        let reports: Vec<(HostId, LayerReport)> =
            ids[..in_slice].iter().map(|&id| (id, pool.delta(fleet, id, rng))).collect();
        let started = Instant::now();
        for (id, report) in &reports {
            fleet.report_layers(*id, report).context("a report is refused")?;
        }
        slices.push(((in_slice * 2 * REPORTED) as u64, started.elapsed().as_secs_f64()));
        drop(fleet.take_changes());
    }
    Ok(slices)
}

/// An image whose layers are of all popularities.
fn estimate(fleet: &mut Fleet, pool: &Pool) -> Result<f64> {
    let ranks = (0..IMAGE_LAYERS).map(|n| ((1_usize << n) - 1).min(pool.layers.len() - 1));
    let layers = ranks.map(|rank| Layer {
        digest: pool.layers[rank].0.0.to_vec(),
        size_bytes: pool.layers[rank].1,
        diff_id: Vec::new(),
    });
    let image = Image {
        reference: "bench/image:1".into(),
        digest: vec![7; 32],
        platform: "linux/amd64".into(),
        layers: layers.collect(),
    };
    fleet.record_image(image).context("the image is refused")?;
    let (mut bytes, mut times) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let started = Instant::now();
        bytes_by_host(fleet, fleet.image("bench/image:1"), &mut bytes);
        black_box(&bytes);
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    ensure!(bytes.iter().any(|&bytes| bytes > 0), "no host has anything of the image");
    times.sort_unstable_by(f64::total_cmp);
    Ok((times[REPEATS / 2] * 1_000.0).round() / 1_000.0)
}

fn resident_bytes() -> Result<u64> {
    proc::rss_bytes(std::process::id()).context("cannot read this process's memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_of_a_delta_is_a_change() {
        let (mut fleet, mut rng, pool) = (Fleet::default(), Rng::with_seed(1), Pool::new(100));
        let id = register(&mut fleet, 0).unwrap();
        fill(&mut fleet, id, 14, &pool, &mut rng).unwrap();
        let held = |fleet: &Fleet| -> Vec<Digest> {
            let layers = fleet.host(id).unwrap().layers();
            layers.iter().map(|held| fleet.layer_digest(held.layer)).collect()
        };
        for _ in 0..50 {
            let before = held(&fleet);
            fleet.report_layers(id, &pool.delta(&fleet, id, &mut rng)).unwrap();
            let after = held(&fleet);
            assert_eq!(after.len(), before.len());
            assert_eq!(after.iter().filter(|digest| !before.contains(digest)).count(), REPORTED);
        }
    }

    #[test]
    fn a_small_run_prints_what_is_promised_and_draws_its_page() {
        let out = "target/bench".into();
        let args = Args { hosts: 300, layers: 20, changes: 2_000, seed: 1, json: true, out, html: None };
        let measured = measure(&args).unwrap();
        let json = measured.json();
        for key in ["bytes", "changes_per_s", "estimate_all_ms"] {
            assert!(json[key].is_number(), "{key} of {json}");
        }
        assert!(measured.changes >= 1_900 && measured.slices.len() == SLICES);
        assert!(measured.table().contains("300 x 20"));
        let page = report::index_page::draw(&measured);
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "NaN"] {
            assert!(!page.contains(outside), "the page contains {outside}");
        }
        for id in ["headline", "rate"] {
            assert!(page.contains(&format!("id=\"{id}\"")), "section {id} is missing");
        }
    }
}
