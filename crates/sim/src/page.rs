//! The page with the charts. Nothing is fetched from anywhere: styles and charts are in the file.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use anyhow::{Context, Result};
use gantry_sim::{fault::FAULTS, invariant::INVARIANTS, scenario::SCENARIOS};

use crate::Summary;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6875; --line: #d8dee5; --bar: #2f6fb3; --bad: #b3362f; --card: #fff; --back: #f4f6f8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #9aa7b4; --line: #33404d; --bar: #6aa5e0; --bad: #e5746c; --card: #1c242d; --back: #12181f } }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 860px; margin: 0 auto; padding: 24px }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 18px }
.tile b { display: block; font-size: 26px } .tile span { color: var(--soft) } .bad b { color: var(--bad) }
.card { margin-top: 16px } h2 { margin: 0 0 8px; font-size: 17px } p { margin: 0 0 10px; color: var(--soft) }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: 3px 8px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right } svg { width: 100%; height: auto } svg text { fill: var(--ink); font-size: 13px } svg rect { fill: var(--bar) } code { font-size: 13px }
";

const ROW: usize = 24;
const LABELS: usize = 190;
const WIDTH: usize = 800;
const FIGURES: usize = 80;

pub(crate) fn write(path: &Path, summary: &Summary) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    std::fs::write(path, html(summary)).with_context(|| format!("cannot write {}", path.display()))
}

fn html(summary: &Summary) -> String {
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, times) in summary.outcomes.iter().flat_map(|outcome| &outcome.tally) {
        *tally.entry(what).or_default() += times;
    }
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Gantry, simulated</title><style>{STYLE}</style></head><body><main>\n<h1>Gantry, simulated</h1>\n\
         <p>Whole clusters in one process on simulated time, each seed another course of faults.</p>\n{}",
        tiles(summary)
    );
    let faults = FAULTS.iter().map(|fault| (fault.name, tally.remove(fault.name).unwrap_or(0))).collect::<Vec<_>>();
    section(&mut page, "Faults", "How often each kind of fault began.", &bars(&faults));
    let happened: Vec<(&str, u64)> = tally.into_iter().collect();
    section(
        &mut page,
        "What happened",
        "Elections, and what clients did that is more than asking once.",
        &bars(&happened),
    );
    section(&mut page, "Scenarios", "A seed chooses one of them.", &scenarios(summary));
    section(&mut page, "Invariants", "Looked at every few simulated milliseconds.", &invariants(summary));
    page.push_str("</main></body></html>\n");
    page
}

fn tiles(summary: &Summary) -> String {
    let violations = summary.violations();
    let tone = if violations == 0 { "" } else { " bad" };
    format!(
        "<div class=\"tiles\"><div class=\"tile\"><b>{}</b><span>seeds</span></div>\
         <div class=\"tile\"><b>{:.2} h</b><span>simulated</span></div>\
         <div class=\"tile\"><b>{}</b><span>answers</span></div>\
         <div class=\"tile\"><b>{:.0}×</b><span>real time</span></div>\
         <div class=\"tile{tone}\"><b>{violations}</b><span>seeds with violations</span></div></div>\n",
        summary.outcomes.len(),
        summary.simulated_s() / 3_600.0,
        summary.ops(),
        summary.speed(),
    )
}

fn section(page: &mut String, title: &str, intro: &str, body: &str) {
    writeln!(page, "<section class=\"card\"><h2>{title}</h2><p>{intro}</p>{body}</section>")
        .expect("writing to a string cannot fail");
}

/// Horizontal bars, longest as wide as there is room.
fn bars(rows: &[(&str, u64)]) -> String {
    let most = rows.iter().map(|(_, times)| *times).max().unwrap_or(0).max(1);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", rows.len() * ROW);
    for (at, (what, times)) in rows.iter().enumerate() {
        let room = (WIDTH - LABELS - FIGURES) as f64;
        let (top, width) = (at * ROW, room * *times as f64 / most as f64);
        write!(
            svg,
            "<text x=\"0\" y=\"{}\">{what}</text><rect x=\"{LABELS}\" y=\"{}\" width=\"{width:.1}\" height=\"16\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{}\">{times}</text>",
            top + 16,
            top + 3,
            LABELS as f64 + width + 6.0,
            top + 16
        )
        .expect("writing to a string cannot fail");
    }
    svg + "</svg>"
}

fn scenarios(summary: &Summary) -> String {
    let mut table = String::from(
        "<table><tr><th>scenario<th class=\"n\">nodes<th class=\"n\">seeds<th class=\"n\">answers\
         <th class=\"n\">minutes<th class=\"n\">with violations</tr>",
    );
    for scenario in SCENARIOS {
        let of = || summary.outcomes.iter().filter(|outcome| outcome.scenario == scenario.name);
        write!(
            table,
            "<tr><td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{:.1}<td class=\"n\">{}</tr>",
            scenario.name,
            scenario.nodes,
            of().count(),
            of().map(|outcome| outcome.ops).sum::<u64>(),
            of().map(|outcome| outcome.simulated_ms).sum::<u64>() as f64 / 6e4,
            of().filter(|outcome| !outcome.violations.is_empty()).count(),
        )
        .expect("writing to a string cannot fail");
    }
    table + "</table>"
}

fn invariants(summary: &Summary) -> String {
    let mut table = String::from("<table><tr><th>invariant<th>what it says<th>seeds that broke it</tr>");
    let ends = [
        ("starts", "a node starts on whatever a crash left of its disk"),
        ("converges", "once nothing fails any more, the cluster is as one again in time"),
    ];
    for (name, why) in INVARIANTS.iter().map(|invariant| (invariant.name, invariant.why)).chain(ends) {
        let broke =
            summary.outcomes.iter().filter(|outcome| outcome.violations.iter().any(|found| found.invariant == name));
        let seeds: Vec<String> = broke.map(|outcome| outcome.seed.to_string()).collect();
        write!(
            table,
            "<tr><td>{name}<td>{why}<td>{}</tr>",
            if seeds.is_empty() { "none".to_owned() } else { seeds.join(", ") }
        )
        .expect("writing to a string cannot fail");
    }
    table + "</table>"
}
