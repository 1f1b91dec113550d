//! How long the planner takes for a decision, in this process and on one thread: no server, no disk, no network.

use std::path::PathBuf;

use anyhow::Result;

pub mod kinds;
mod measure;
pub mod world;

pub use self::measure::{Measured, Mix};
use crate::{catalogue::Catalogue, cluster, fleet, report};

/// Hosts of the three fleets of `--scaling`.
const SCALES: [u32; 3] = [1_000, 10_000, 100_000];

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Hosts, of the built-in fleet's kinds in their proportions.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub hosts: u32,
    /// Distinct requests (app, image, shape, constraints) that the stream draws from; one run each.
    #[arg(long, value_delimiter = ',', default_value = "20,300,2000")]
    pub kinds: Vec<usize>,
    /// Decisions measured in each run, after half as many that are not.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub decisions: u32,
    /// Part of the fleet's GPUs that is taken while measuring, in percent.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=90))]
    pub fill: u32,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Also measure fleets of 1,000, 10,000 and 100,000 hosts, and tell how the cost grows between them.
    #[arg(long)]
    pub scaling: bool,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub json: bool,
    /// Where the page goes.
    #[arg(long, default_value_os_t = cluster::default_dir("bench"))]
    pub out: PathBuf,
}

/// A run, and those of other sizes where they were asked for.
#[derive(Clone, Debug)]
pub struct Results {
    pub measured: Measured,
    /// By hosts.
    pub scales: Vec<Measured>,
}

pub fn run(args: &Args) -> Result<()> {
    let say = |what: &str| {
        if !args.json {
            eprintln!("{what}");
        }
    };
    let catalogue = Catalogue::built_in()?;
    let mut scales = Vec::new();
    for hosts in if args.scaling { &SCALES[..] } else { &[] } {
        say(&format!("measuring {} hosts", report::grouped(u64::from(*hosts))));
        scales.push(measure(args, &catalogue, *hosts)?);
    }
    let again = scales.iter().position(|measured| measured.hosts == args.hosts as usize);
    let measured = match again {
        Some(at) => scales[at].clone(),
        None => measure(args, &catalogue, args.hosts)?,
    };
    let results = Results { measured, scales };
    let page = args.out.join("decision.html");
    report::write(&page, &report::decision_page::draw(&results))?;
    say(&format!("{}\nreport: {}", results.table(), page.display()));
    if args.json {
        println!("{}", results.json());
    }
    Ok(())
}

fn measure(args: &Args, catalogue: &Catalogue, hosts: u32) -> Result<Measured> {
    let hosts = fleet::of_size(hosts as usize)?;
    measure::measure(args, catalogue, &hosts)
}

impl Results {
    pub fn json(&self) -> serde_json::Value {
        let Measured { hosts, mixes, burst_1000_ms, burst_spread, refuse_ms } = &self.measured;
        let hardest = self.measured.hardest();
        let mixes: Vec<_> = mixes.iter().map(Mix::json).collect();
        let scales: Vec<_> = self.scales.iter().map(scale_json).collect();
        serde_json::json!({
            "p50_us": hardest.us(50.0),
            "p99_us": hardest.us(99.0),
            "burst_1000_ms": burst_1000_ms,
            "refuse_ms": refuse_ms,
            "burst_1000_hosts": burst_spread,
            "hosts": hosts,
            "kinds": hardest.kinds,
            "mixes": mixes,
            "exponent": self.exponent(Mix::mean_us),
            "exponent_p50": self.exponent(|mix| mix.us(50.0)),
            "exponent_p99": self.exponent(|mix| mix.us(99.0)),
            "exponent_on_core": self.exponent(Mix::mean_on_core_us),
            "scaling": scales,
        })
    }

    /// To which power of the hosts the hardest mix's cost grows: the slope of the logarithms, by least squares.
    pub fn exponent(&self, cost: impl Fn(&Mix) -> f64) -> Option<f64> {
        let points: Vec<(f64, f64)> =
            self.scales.iter().map(|at| ((at.hosts as f64).ln(), cost(at.hardest()).max(1e-3).ln())).collect();
        slope(&points).map(measure::hundredths)
    }

    pub fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header([
            "hosts",
            "kinds",
            "p50 µs",
            "p99 µs",
            "mean µs",
            "p99 on a core",
            "mean on a core",
            "refused",
            "burst of 1,000",
            "refusal",
        ]);
        let others = self.scales.iter().filter(|scale| scale.hosts != self.measured.hosts);
        for measured in others.chain([&self.measured]) {
            for mix in &measured.mixes {
                table.add_row([
                    report::grouped(measured.hosts as u64),
                    report::grouped(mix.kinds as u64),
                    format!("{:.1}", mix.us(50.0)),
                    format!("{:.1}", mix.us(99.0)),
                    format!("{:.1}", mix.mean_us()),
                    format!("{:.1}", mix.on_core_us(99.0)),
                    format!("{:.1}", mix.mean_on_core_us()),
                    format!("{} of {}", mix.refused.len(), mix.refused.len() + mix.latency.len()),
                    format!("{:.2} ms", measured.burst_1000_ms),
                    format!("{:.2} ms", measured.refuse_ms),
                ]);
            }
        }
        let exponent = self.exponent(Mix::mean_us).map(|power| format!("\nmean cost grows with hosts^{power:.2}"));
        format!("{table}{}", exponent.unwrap_or_default())
    }
}

fn scale_json(measured: &Measured) -> serde_json::Value {
    let Measured { hosts, mixes, burst_1000_ms, refuse_ms, .. } = measured;
    let mixes: Vec<_> = mixes.iter().map(Mix::json).collect();
    serde_json::json!({"hosts": hosts, "mixes": mixes, "burst_1000_ms": burst_1000_ms, "refuse_ms": refuse_ms})
}

/// By least squares; none through fewer than two points.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / n, sum.1 + point.1 / n));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (spread > 0.0).then(|| points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_the_power() {
        let points: Vec<(f64, f64)> = [1e3f64, 1e4, 1e5].map(|n| (n.ln(), (7.0 * n.powf(0.3)).ln())).to_vec();
        assert!((slope(&points).unwrap() - 0.3).abs() < 1e-9);
        assert_eq!((slope(&[]), slope(&points[..1])), (None, None));
    }

    #[test]
    fn a_small_run_prints_what_is_promised_and_draws_its_page() {
        let args = Args {
            hosts: 60,
            kinds: vec![5, 40],
            decisions: 100,
            fill: 60,
            seed: 1,
            scaling: false,
            json: true,
            out: "target/bench".into(),
        };
        let measured = measure(&args, &Catalogue::built_in().unwrap(), args.hosts).unwrap();
        let results = Results { scales: vec![measured.clone(), Measured { hosts: 600, ..measured.clone() }], measured };
        let json = results.json();
        for key in ["p50_us", "p99_us", "burst_1000_ms", "refuse_ms", "exponent"] {
            assert!(json[key].is_number(), "{key} of {json}");
        }
        assert_eq!((&json["hosts"], &json["exponent"]), (&60.into(), &0.0.into()));
        assert!(results.table().contains("hosts^"));
        let page = report::decision_page::draw(&results);
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "NaN"] {
            assert!(!page.contains(outside), "the page contains {outside}");
        }
        for id in ["headline", "latency", "growth", "numbers"] {
            assert!(page.contains(&format!("id=\"{id}\"")), "section {id} is missing");
        }
    }
}
