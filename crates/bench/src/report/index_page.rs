//! The page of a run over the layer index.

use super::{
    Page, Tile,
    bars::{self, Bars},
    bytes, grouped,
};
use crate::index::Measured;

pub fn draw(measured: &Measured) -> String {
    let edges = (measured.hosts * measured.layers) as u64;
    let title = format!("{} layers on hosts in {}", grouped(edges), bytes(measured.bytes));
    let lead = format!(
        "The layer index of {} hosts with {} layers each, both ways: which layers lie on a host, and on which hosts a layer lies. \
         Popularity falls with the rank, so the first layers lie on most hosts and most layers on few.",
        grouped(measured.hosts as u64),
        grouped(measured.layers as u64)
    );
    let mut page = Page::new(&title, &lead);
    page.tiles(&[
        Tile::new(
            bytes(measured.bytes),
            "memory",
            format!("{:.1} bytes a layer on a host", measured.bytes as f64 / edges as f64),
        ),
        Tile::new(grouped(measured.changes_per_s.round() as u64), "layer changes a second", "on one thread"),
        Tile::new(
            format!("{:.2} ms", measured.estimate_all_ms),
            "to estimate every host",
            "what each has of an image of 12 layers",
        ),
    ]);
    let intro = "Layers that came or went, in the order of the reports; each bar is an equal number of reports, its height their rate.";
    page.section("rate", "Changes a second", intro, &rate(measured));
    page.finish(&serde_json::json!({}))
}

/// The rate of each slice of the reports.
pub fn rate(measured: &Measured) -> String {
    let counts: Vec<u64> = measured.slices.iter().map(|rate| rate.round() as u64).collect();
    bars::draw(&Bars {
        describes: "Layer changes a second, slice by slice",
        class: "aware",
        bucket_ms: measured.changes as f64 / measured.changes_per_s * 1_000.0 / counts.len().max(1) as f64,
        counts: &counts,
        until_ms: 0.0,
        most: 0,
        marks: &[],
        width: 1_040.0,
        height: 260.0,
        unit: "changes a second",
    })
}
