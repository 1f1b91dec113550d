//! The page of a throughput run.

use super::{
    Page, Tile, Tone,
    bars::{self, Bars},
    escape, grouped,
    table::{self, Cell, Row},
};
use crate::throughput::{Args, Measured};

/// Bars of the latency histogram; each is so many times as wide as the one before.
const LATENCY_BARS: usize = 60;

pub fn draw(args: &Args, measured: &Measured) -> String {
    let mode = match args.mode_name() {
        "stream" => "over bidirectional streams",
        _ => "one call each",
    };
    let title = format!("{} placements a second, {mode}", grouped(measured.per_second().round() as u64));
    let lead = format!(
        "Three server processes and the load on one machine; {} hosts of eight GPUs, {} machines standing; as many released as placed. \
         {} connections, {} placements in flight, measured for {:.0} s.",
        grouped(u64::from(args.hosts)),
        grouped(measured.standing),
        args.connections(),
        grouped(args.in_flight() as u64),
        measured.seconds
    );
    let mut page = Page::new(&title, &lead);
    page.tiles(&tiles(measured));
    page.section("rate", "Rate over time", "Acknowledged placements in each fifth of a second.", &rate(measured));
    let intro = "From sending a request to reading its answer, on a logarithmic scale. With a full window this is mostly the queue that the \
                 load itself makes.";
    page.section("latency", "Latency", intro, &latency(measured));
    page.section("cpu", "Where the time goes", "CPU time for one placement, in microseconds.", &cpu(measured));
    page.section("promises", "Promises and flushes", "", &checks(measured));
    page.finish(&serde_json::json!({}))
}

fn tiles(measured: &Measured) -> Vec<Tile> {
    let findings = &measured.findings;
    let broken = findings.oversubscribed + findings.lost + findings.duplicated + findings.unasked;
    vec![
        Tile::new(grouped(measured.per_second().round() as u64), "placements a second", "acknowledged by a quorum")
            .toned(Tone::Good),
        Tile::new(
            format!("{:.1} ms", measured.latency_ms(50.0)),
            "half are answered within",
            format!("p99 {:.1} ms", measured.latency_ms(99.0)),
        ),
        Tile::new(
            format!("{:.1} µs", measured.cpu_us_per_placement()),
            "CPU for a placement",
            format!("of them {:.1} µs to generate the load", measured.load_cpu_us_per_placement()),
        ),
        Tile::new(broken.to_string(), "promises broken", findings.to_string()).toned(if findings.kept() {
            Tone::Good
        } else {
            Tone::Bad
        }),
    ]
}

fn rate(measured: &Measured) -> String {
    bars::draw(&Bars {
        describes: "Acknowledged placements in each 200 ms",
        class: "aware",
        bucket_ms: 200.0,
        counts: &measured.rate,
        until_ms: 0.0,
        most: 0,
        marks: &[],
        width: 1_040.0,
        height: 240.0,
        unit: "placements",
    })
}

/// Equal steps of the logarithm between the smallest and the largest latency.
fn latency(measured: &Measured) -> String {
    let histogram = &measured.latency;
    let (low, high) = (histogram.min().max(1) as f64, histogram.max().max(2) as f64);
    let ratio = (high / low).max(1.000_1).powf(1.0 / LATENCY_BARS as f64);
    let mut counts = vec![0_u64; LATENCY_BARS];
    for value in histogram.iter_recorded() {
        let at = ((value.value_iterated_to() as f64 / low).ln() / ratio.ln()).floor().max(0.0) as usize;
        counts[at.min(LATENCY_BARS - 1)] += value.count_since_last_iteration();
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let (width, height, floor) = (1_040.0, 220.0, 190.0);
    let step = width / LATENCY_BARS as f64;
    let mut out = super::svg_open(width, height, "chart", "Latencies of placements");
    for (n, &count) in counts.iter().enumerate() {
        let from_ms = low * ratio.powi(n as i32) / 1_000.0;
        let x = n as f64 * step;
        if count > 0 {
            let tall = ((floor - 14.0) * count as f64 / most as f64).max(1.0);
            let tip = format!("{} placements took {from_ms:.2} to {:.2} ms", grouped(count), from_ms * ratio);
            super::put(
                &mut out,
                format_args!(
                    "<rect class=\"bar aware\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"1.5\" data-tip=\"{}\"/>\n",
                    super::px(x),
                    super::px(floor - tall),
                    super::px(step - 1.5),
                    super::px(tall),
                    escape(&tip)
                ),
            );
        }
        if n % 10 == 0 {
            let label = format!("{from_ms:.1} ms");
            super::put(
                &mut out,
                format_args!("<text class=\"tick\" x=\"{}\" y=\"{}\">{label}</text>\n", super::px(x), floor + 20.0),
            );
        }
    }
    super::put(&mut out, format_args!("<path class=\"grid\" d=\"M0 {floor}H{width}\"/></svg>"));
    out
}

fn cpu(measured: &Measured) -> String {
    let placed = measured.placed.max(1) as f64;
    let each =
        measured.servers_cpu_us.iter().enumerate().map(|(n, &us)| (format!("server {}", n + 1), us as f64 / placed));
    let all: Vec<(String, f64)> = each.chain([("load".to_owned(), measured.load_cpu_us_per_placement())]).collect();
    let most = all.iter().map(|(_, us)| *us).fold(0.1, f64::max);
    let rows: Vec<Row> = all
        .into_iter()
        .map(|(name, us)| {
            let class = if name == "load" { "blind" } else { "aware" };
            Row { app: None, cells: vec![Cell::Text(name), Cell::Bar(format!("{us:.2} µs"), us / most, class)] }
        })
        .collect();
    table::draw("cpu-table", &["process", "CPU for a placement"], &rows)
}

fn checks(measured: &Measured) -> String {
    let findings = &measured.findings;
    let seen: Vec<String> = measured.flushes.flushing_percent.iter().map(|p| format!("{p:.0} %")).collect();
    let disk = match (measured.flushes.disk_flushes, measured.placements_per_flush()) {
        (Some(flushes), Some(each)) => {
            format!(
                "; the disk ({}) completed {} flushes, {each:.1} placements each",
                measured.file_system,
                grouped(flushes)
            )
        }
        _ => String::new(),
    };
    let checks = [
        (
            measured.flushes.holds(),
            "Servers flush",
            format!("seen in fsync or fdatasync in {} of the samples{disk}", seen.join(", ")),
        ),
        (
            findings.oversubscribed == 0,
            "Nothing promised twice",
            "each GPU, CPU and memory of every host on every replica".into(),
        ),
        (findings.lost == 0, "Everything acknowledged stands", "on all replicas, under the same fence".into()),
        (
            findings.duplicated + findings.unasked == 0,
            "Nothing else stands",
            "no request holds two machines, nothing released came back".into(),
        ),
        (findings.hashes_equal, "Equal state on all replicas", "at the same rev".into()),
    ];
    let items = checks.iter().map(|(kept, what, how)| {
        let class = if *kept { "" } else { " class=\"broken\"" };
        format!("<li{class}>{}<small>{}</small></li>", escape(what), escape(how))
    });
    format!("<ul class=\"checks\">{}</ul>", items.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::Findings, proc::fsync::Evidence, throughput::Mode};

    fn sample() -> (Args, Measured) {
        let args = Args {
            mode: Mode::Stream,
            hosts: 10_000,
            seconds: 20,
            json: true,
            connections: None,
            in_flight: None,
            fill: 50,
            out: "target/bench".into(),
        };
        let mut latency = crate::throughput::latencies().unwrap();
        for n in 0..20_000_u64 {
            latency.record(4_000 + n * n % 23_000 + n % 7 * 900).unwrap();
        }
        let measured = Measured {
            seconds: 20.0,
            setup_s: 3.1,
            placed: 612_000,
            released: 611_904,
            no_capacity: 0,
            overloaded: 0,
            errors: 0,
            first_error: None,
            standing: 72_700,
            latency,
            rate: (0..100).map(|n| 6_120 + n * 37 % 400).collect(),
            servers_cpu_us: vec![18_200_000, 7_700_000, 7_900_000],
            load_cpu_us: 3_300_000,
            servers_peak_rss_bytes: vec![1 << 29; 3],
            flushes: Evidence { flushing_percent: vec![31.0, 28.0, 27.5], disk_flushes: Some(41_000) },
            file_system: "ext4".into(),
            elections: 0,
            findings: Findings { hashes_equal: true, ..Findings::default() },
        };
        (args, measured)
    }

    #[test]
    fn the_page_has_every_section_and_fetches_nothing() {
        let (args, measured) = sample();
        let page = draw(&args, &measured);
        for id in ["headline", "rate", "latency", "cpu", "promises"] {
            assert!(page.contains(&format!("id=\"{id}\"")), "section {id} is missing");
        }
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "NaN"] {
            assert!(!page.contains(outside), "the page contains {outside}");
        }
    }

    #[test]
    fn the_object_has_what_is_promised() {
        let (args, measured) = sample();
        let json = measured.json(&args);
        assert_eq!(json["placements_per_s"], 30_600.0);
        assert_eq!(json["cpu_us_per_placement"], 60.62);
        assert_eq!((&json["oversubscribed"], &json["fsync"]), (&0.into(), &true.into()));
        assert!(json["p50_ms"].as_f64() < json["p99_ms"].as_f64());
        let unseen =
            Measured { flushes: Evidence { flushing_percent: vec![1.0, 0.0, 1.0], disk_flushes: None }, ..measured };
        assert_eq!(unseen.json(&args)["fsync"], false, "no claim without evidence");
        assert!(unseen.table(&args).contains("30,600"));
    }
}
