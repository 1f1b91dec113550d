//! The page of a layers run.

use super::{
    Args,
    results::{BASELINE, Figures, Results},
};
use crate::report::{
    Page, Tile, Tone, bytes, duration_ms, escape, grouped, put, px, svg_open,
    table::{self, Cell, Row},
};

const WIDTH: f64 = 1_040.0;
const LABEL: f64 = 150.0;
const ROW: f64 = 40.0;

pub fn draw(args: &Args, results: &Results) -> String {
    let ours = results.of("gantry").copied().unwrap_or_default();
    let theirs = results.of(BASELINE).copied().unwrap_or_default();
    let title = format!("A start waits {} instead of {}", ms(ours.mean_start_ms), ms(theirs.mean_start_ms));
    let lead = format!(
        "Machines placed by image layers against Kubernetes' ImageLocality with LeastAllocated. {} hosts of {} slots, {} of cache and \
         {} MB/s each; {} starts in bursts of {}, seeds {} to {}.",
        grouped(u64::from(args.hosts)),
        args.slots,
        bytes(args.cache_gb * super::GB),
        grouped(args.link_mb_per_s),
        grouped(u64::from(args.starts)),
        args.burst,
        args.seeds.first,
        args.seeds.last
    );
    let mut page = Page::new(&title, &lead);
    page.tiles(&tiles(results, &ours, &theirs));
    let intro = "From placement until the last layer is there. The line marks what no choice of hosts can avoid: the wait for bytes \
                 that no host had ever fetched.";
    page.section("start", "Mean start", intro, &chart(results, |figures| figures.mean_start_ms, ms, results.floor_ms));
    let fetched = |mb: f64| bytes((mb * 1e6).round() as u64);
    let intro = "Fetched for one start, on average.";
    page.section("bytes", "Bytes", intro, &chart(results, |figures| figures.bytes_per_start / 1e6, fetched, 0.0));
    page.section("all", "All figures", "Means of the seeds.", &figures(results));
    page.finish(&serde_json::json!({}))
}

fn tiles(results: &Results, ours: &Figures, theirs: &Figures) -> Vec<Tile> {
    let tone = |good: bool| if good { Tone::Good } else { Tone::Bad };
    vec![
        Tile::new(format!("{:.2}", results.ratio(ours)), "of ImageLocality's mean start", ms(ours.mean_start_ms))
            .toned(tone(ours.mean_start_ms < theirs.mean_start_ms)),
        Tile::new(ms(ours.p99), "99 of 100 start within", format!("ImageLocality: {}", ms(theirs.p99))),
        Tile::new(
            bytes(ours.bytes_per_start.round() as u64),
            "fetched for a start",
            format!("ImageLocality: {}", bytes(theirs.bytes_per_start.round() as u64)),
        )
        .toned(tone(ours.bytes_per_start <= theirs.bytes_per_start)),
        Tile::new(ms(results.floor_ms), "cannot be avoided", "bytes that no host had fetched before"),
    ]
}

/// One bar a policy, ours first; `line` is marked where it is above zero.
fn chart(results: &Results, value: impl Fn(&Figures) -> f64, shown: impl Fn(f64) -> String, line: f64) -> String {
    let most = results.policies.iter().map(|(_, figures)| value(figures)).fold(1e-9, f64::max);
    let height = ROW * results.policies.len() as f64 + 8.0;
    let scale = (WIDTH - LABEL - 120.0) / most;
    let mut out = svg_open(WIDTH, height, "chart", "One bar for each policy");
    for (n, (name, figures)) in results.policies.iter().enumerate() {
        let (top, value) = (n as f64 * ROW + 6.0, value(figures));
        let class = if name.starts_with("gantry") { "aware" } else { "blind" };
        let (label, text) = (escape(name), escape(&shown(value)));
        let (middle, wide) = (px(top + 14.0), (value * scale).max(1.0));
        put(
            &mut out,
            format_args!(
                "<text class=\"heading end\" x=\"{}\" y=\"{middle}\" dy=\".32em\">{label}</text>\
                 <rect class=\"bar {class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"28\" rx=\"4\" data-tip=\"{label}: {text}\"/>\
                 <text class=\"heading\" x=\"{}\" y=\"{middle}\" dy=\".32em\">{text}</text>\n",
                px(LABEL - 12.0),
                px(LABEL),
                px(top),
                px(wide),
                px(LABEL + wide + 8.0),
            ),
        );
    }
    if line > 0.0 {
        put(
            &mut out,
            format_args!("<path class=\"mark quiet\" d=\"M{} 0V{}\"/>", px(LABEL + line * scale), px(height)),
        );
    }
    out.push_str("</svg>");
    out
}

fn figures(results: &Results) -> String {
    let most = results.policies.iter().map(|(_, figures)| figures.mean_start_ms).fold(1e-9, f64::max);
    let row = |(name, figures): &(&str, Figures)| {
        let class = if name.starts_with("gantry") { "aware" } else { "blind" };
        let number = |text: String| Cell::Number(text);
        let mean = Cell::Bar(ms(figures.mean_start_ms), figures.mean_start_ms / most, class);
        let cells = vec![
            Cell::Text((*name).to_owned()),
            mean,
            number(format!("{:.3}", results.ratio(figures))),
            number(ms(figures.p50)),
            number(ms(figures.p90)),
            number(ms(figures.p99)),
            number(bytes(figures.bytes_per_start.round() as u64)),
        ];
        Row { app: None, cells }
    };
    let rows: Vec<Row> = results.policies.iter().map(row).collect();
    table::draw("figures", &["policy", "mean start", "ratio", "p50", "p90", "p99", "fetched"], &rows)
}

fn ms(ms: f64) -> String {
    duration_ms(ms.round() as u64)
}
