//! The page of a recovery run.

use super::{
    Page, Tile, Tone,
    bars::{self, Bars, Mark},
    bytes, grouped, table,
};
use crate::{
    failover::at,
    recovery::{Beside, Measured},
};

const SHOWN: [(Beside, &str); 4] = [
    (Beside::Nothing, "nothing"),
    (Beside::Taking, "a snapshot is written"),
    (Beside::Comparing, "states are compared"),
    (Beside::Sending, "a snapshot is sent, and installed by a new server"),
];

pub fn draw(measured: &Measured) -> String {
    let title = format!("{:.1} s to serve {} reservations again", measured.restart_s, grouped(measured.reservations));
    let lead = format!(
        "Three server processes that flush every decision hold {} machines on {} hosts. Then one is killed and started again, one is \
         lost with its disk and replaced by a new one, and all are killed at once.",
        grouped(measured.reservations),
        grouped(measured.hosts)
    );
    let mut page = Page::new(&title, &lead);
    let seconds = |value: f64, goal: f64, label: &str, note: &str| {
        let tone = if value <= goal { Tone::Good } else { Tone::Bad };
        Tile::new(format!("{value:.1} s"), label, note).toned(tone)
    };
    page.tiles(&[
        seconds(measured.restart_s, 5.0, "a killed server serves again", "it answers, and has what was committed"),
        seconds(measured.rejoin_s, 60.0, "a new server votes", "in the place of one that lost its disk"),
        seconds(measured.all_restart_s, 5.0, "all killed: the first answer", "from the start of the processes"),
        Tile::new(
            format!("{:.1}×", measured.ratio(Beside::Taking)),
            "p99 beside a snapshot",
            format!("of {}", bytes((measured.snapshot_mb * 1e6) as u64)),
        ),
    ]);
    let intro = "The longest wait of the placements of each second. Marked: when something began beside them.";
    page.section("waits", "Waits over time", intro, &chart(measured));
    page.section("numbers", "All numbers", "", &numbers(measured));
    page.finish(&serde_json::json!({}))
}

/// The longest wait of each second.
pub fn chart(measured: &Measured) -> String {
    let first = measured.samples.first().map_or(measured.begun, |sample| sample.called);
    let since = |moment: std::time::Instant| moment.saturating_duration_since(first);
    let seconds = measured.samples.last().map_or(0, |sample| since(sample.called).as_secs() as usize + 1);
    let mut longest = vec![0_u64; seconds];
    for sample in &measured.samples {
        let second = &mut longest[since(sample.called).as_secs() as usize];
        *second = (*second).max(sample.wait_ms().ceil() as u64);
    }
    let mark = |(label, beside, class): (&str, Beside, &'static str)| {
        let spans = measured.spans.iter().filter(move |span| span.beside == beside);
        let label = label.to_owned();
        spans.map(move |span| Mark { at_ms: since(span.from).as_secs_f64() * 1_000.0, label: label.clone(), class })
    };
    let marked = [
        ("snapshot", Beside::Taking, "after"),
        ("compared", Beside::Comparing, "after"),
        ("a new server", Beside::Sending, "kill"),
    ];
    bars::draw(&Bars {
        describes: "The longest wait of the placements of each second",
        class: "aware",
        bucket_ms: 1_000.0,
        counts: &longest,
        until_ms: 0.0,
        most: 0,
        marks: &marked.into_iter().flat_map(mark).collect::<Vec<_>>(),
        width: 1_040.0,
        height: 280.0,
        unit: "ms",
    })
}

fn numbers(measured: &Measured) -> String {
    let row = |(beside, name): (Beside, &str)| {
        let waits = measured.waits(beside);
        let figures =
            [50.0, 90.0, 99.0, 100.0].map(|percent| table::Cell::Number(format!("{:.2}", at(&waits, percent))));
        let ratio = table::Cell::Number(format!("{:.2}", measured.ratio(beside)));
        let cells = [table::Cell::Text(name.to_owned()), table::Cell::Number(grouped(waits.len() as u64))];
        table::Row { app: None, cells: cells.into_iter().chain(figures).chain([ratio]).collect() }
    };
    let head = ["beside the placements", "placements", "p50 ms", "p90 ms", "p99 ms", "max ms", "p99 ratio"];
    table::draw("waits-table", &head, &SHOWN.map(row))
}
