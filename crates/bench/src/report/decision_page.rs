//! The page of a decision run.

use super::{
    Page, Tile, grouped, put, px, svg_open,
    table::{self, Cell, Row},
};
use crate::decision::{Measured, Mix, Results};

const WIDTH: f64 = 1_040.0;
const HEIGHT: f64 = 340.0;
const MARGINS: [f64; 4] = [64.0, 20.0, 16.0, 40.0];
/// Of the curves: the hardest mix is drawn in the stronger colour.
const CLASSES: [&str; 2] = ["blind", "aware"];

pub fn draw(results: &Results) -> String {
    let Measured { hosts, burst_1000_ms, burst_spread, refuse_ms, .. } = &results.measured;
    let hardest = results.measured.hardest();
    let title = format!("A placement decided in {:.1} µs", hardest.us(50.0));
    let lead = format!(
        "From a request to its plan with every reason, over {} hosts that are in use, on one thread. Requests of {} kinds, drawn by \
         popularity, between applied plans, ended machines and layer reports.",
        grouped(*hosts as u64),
        grouped(hardest.kinds as u64)
    );
    let mut page = Page::new(&title, &lead);
    page.tiles(&[
        Tile::new(format!("{:.1} µs", hardest.us(50.0)), "half are decided within", ""),
        Tile::new(format!("{:.0} µs", hardest.us(99.0)), "99 of 100 are decided within", ""),
        Tile::new(
            format!("{burst_1000_ms:.2} ms"),
            "a burst of 1,000",
            format!("{} planned, on {} hosts", grouped(burst_spread.1 as u64), grouped(burst_spread.0 as u64)),
        ),
        Tile::new(format!("{refuse_ms:.2} ms"), "a refusal", "every host's reason counted"),
    ]);
    let intro =
        "Part of the decisions that take no longer than a time, on a logarithmic scale, for each number of kinds.";
    page.section("latency", "Decision time", intro, &(legend(&results.measured) + &distribution(&results.measured)));
    let intro = match results.exponent(Mix::mean_us) {
        Some(power) => {
            format!("Mean and p99 of the stream with most kinds; the mean grows with hosts to the power of {power:.2}.")
        }
        None => "Not measured: run with --scaling.".to_owned(),
    };
    page.section("growth", "Growth with the fleet", &intro, &growth(&results.scales));
    page.section("numbers", "All numbers", "", &numbers(results));
    page.finish(&serde_json::json!({}))
}

fn legend(measured: &Measured) -> String {
    let entry = |mix: &Mix| {
        let class = CLASSES[usize::from(mix.kinds == measured.hardest().kinds)];
        let (kinds, p50, p99) = (grouped(mix.kinds as u64), mix.us(50.0), mix.us(99.0));
        format!(
            "<span><i class=\"key {class}\"></i>{kinds} kinds <small>p50 {p50:.1} µs, p99 {p99:.0} µs</small></span>"
        )
    };
    format!("<div class=\"legend\">{}</div>", measured.mixes.iter().map(entry).collect::<String>())
}

/// A logarithmic axis of microseconds from `low` to `high`.
struct Log {
    low: f64,
    high: f64,
    from_px: f64,
    to_px: f64,
}

impl Log {
    fn at(&self, value: f64) -> f64 {
        let part = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.from_px + (self.to_px - self.from_px) * part.clamp(0.0, 1.0)
    }

    /// Powers of ten.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low, self.high);
        (-3..9).map(|power| 10f64.powi(power)).filter(move |&tick| tick >= low * 0.999 && tick <= high * 1.001)
    }
}

fn time_label(us: f64) -> String {
    match us {
        us if us >= 1_000.0 => format!("{} ms", grouped((us / 1_000.0).round() as u64)),
        us if us >= 1.0 => format!("{us:.0} µs"),
        us => format!("{us} µs"),
    }
}

/// Cumulative curves, thinned by the histogram itself.
pub fn distribution(measured: &Measured) -> String {
    let [left, right, top, bottom] = MARGINS;
    let slowest = measured.mixes.iter().map(|mix| mix.us(99.9)).fold(10.0, f64::max);
    let x = Log { low: 0.1, high: slowest.max(1_000.0), from_px: left, to_px: WIDTH - right };
    let y = |part: f64| HEIGHT - bottom - (HEIGHT - bottom - top) * part;
    let mut out = svg_open(WIDTH, HEIGHT, "chart", "Part of the decisions that take no longer than a time");
    for percent in [0, 25, 50, 75, 100] {
        let at = px(y(f64::from(percent) / 100.0));
        put(&mut out, format_args!("<path class=\"grid\" d=\"M{} {at}H{}\"/>", px(left), px(WIDTH - right)));
        let label = px(left - 8.0);
        put(
            &mut out,
            format_args!("<text class=\"tick end\" x=\"{label}\" y=\"{at}\" dy=\".32em\">{percent}%</text>\n"),
        );
    }
    for tick in x.ticks() {
        let (at, label) = (px(x.at(tick)), time_label(tick));
        put(&mut out, format_args!("<path class=\"grid\" d=\"M{at} {}V{}\"/>", px(top), px(HEIGHT - bottom)));
        put(
            &mut out,
            format_args!("<text class=\"tick mid\" x=\"{at}\" y=\"{}\">{label}</text>\n", px(HEIGHT - bottom + 20.0)),
        );
    }
    for mix in &measured.mixes {
        let class = CLASSES[usize::from(mix.kinds == measured.hardest().kinds)];
        let mut line = String::new();
        for per_mille in (0..=999).step_by(5).chain([999]) {
            let command = if line.is_empty() { 'M' } else { 'L' };
            let part = f64::from(per_mille) / 1_000.0;
            let us = mix.latency.value_at_quantile(part) as f64 / 1_000.0;
            put(&mut line, format_args!("{command}{} {}", px(x.at(us)), px(y(part))));
        }
        put(&mut out, format_args!("<path class=\"line {class}\" d=\"{line}\"/>\n"));
    }
    out.push_str("</svg>");
    out
}

/// Mean and p99 by the number of hosts, both axes logarithmic.
pub fn growth(scales: &[Measured]) -> String {
    let (Some(first), Some(last)) = (scales.first(), scales.last()) else { return String::new() };
    let [left, right, top, bottom] = MARGINS;
    let x =
        Log { low: first.hosts as f64, high: last.hosts as f64 * 1.001, from_px: left, to_px: WIDTH - right - 60.0 };
    let slowest = scales.iter().map(|at| at.hardest().us(99.0)).fold(100.0, f64::max);
    let y = Log { low: 1.0, high: 10f64.powf(slowest.log10().ceil()), from_px: HEIGHT - bottom, to_px: top };
    let mut out = svg_open(WIDTH, HEIGHT, "chart", "Decision time by the number of hosts");
    for tick in y.ticks() {
        let (at, label) = (px(y.at(tick)), time_label(tick));
        put(&mut out, format_args!("<path class=\"grid\" d=\"M{} {at}H{}\"/>", px(left), px(WIDTH - right)));
        put(
            &mut out,
            format_args!("<text class=\"tick end\" x=\"{}\" y=\"{at}\" dy=\".32em\">{label}</text>\n", px(left - 8.0)),
        );
    }
    for scale in scales {
        let (at, label) = (px(x.at(scale.hosts as f64)), grouped(scale.hosts as u64));
        put(
            &mut out,
            format_args!(
                "<text class=\"tick mid\" x=\"{at}\" y=\"{}\">{label} hosts</text>\n",
                px(HEIGHT - bottom + 20.0)
            ),
        );
    }
    type Curve = (&'static str, &'static str, fn(&Mix) -> f64);
    let curves: [Curve; 2] = [("p99", "blind", |mix| mix.us(99.0)), ("mean", "aware", Mix::mean_us)];
    for (name, class, cost) in curves {
        let points: Vec<(f64, f64)> =
            scales.iter().map(|at| (x.at(at.hosts as f64), y.at(cost(at.hardest())))).collect();
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{} {}", px(*x), px(*y))).collect();
        put(&mut out, format_args!("<path class=\"line {class}\" d=\"M{}\"/>", line.join("L")));
        if let Some((x, y)) = points.last() {
            put(
                &mut out,
                format_args!(
                    "<text class=\"heading\" x=\"{}\" y=\"{}\" dy=\".32em\">{name}</text>\n",
                    px(x + 10.0),
                    px(*y)
                ),
            );
        }
    }
    out.push_str("</svg>");
    out
}

fn numbers(results: &Results) -> String {
    let others = results.scales.iter().filter(|scale| scale.hosts != results.measured.hosts);
    let rows = others.chain([&results.measured]).flat_map(|measured| {
        measured.mixes.iter().map(|mix| {
            let time = |us: f64| Cell::Number(format!("{us:.1}"));
            Row {
                app: None,
                cells: vec![
                    Cell::Number(grouped(measured.hosts as u64)),
                    Cell::Number(grouped(mix.kinds as u64)),
                    time(mix.us(50.0)),
                    time(mix.us(99.0)),
                    time(mix.mean_us()),
                    Cell::Number(format!("{:.2}", measured.burst_1000_ms)),
                    Cell::Number(format!("{:.2}", measured.refuse_ms)),
                ],
            }
        })
    });
    let head = ["hosts", "kinds", "p50 µs", "p99 µs", "mean µs", "burst of 1,000, ms", "refusal, ms"];
    table::draw("numbers-table", &head, &rows.collect::<Vec<_>>())
}
