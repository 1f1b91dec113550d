//! The page of a run with a slow disk.

use super::{
    Page, Tile, Tone,
    steps::{self, Curve},
    table,
};
use crate::{failover::at, slow_disk::Measured};

/// The chart ends where nearly all are over; the table has the rest.
const SHOWN_PERCENT: f64 = 99.7;

pub fn draw(measured: &Measured) -> String {
    let percent = (measured.ratio() - 1.0) * 100.0;
    let delay = measured.delay_ms;
    let title = format!("A follower with a slow disk costs {percent:.0} % of the p99");
    let lead = format!(
        "Three server processes that flush every decision, and eight callers that place one machine after the other. Each sync of one \
         server's disk takes {delay} ms longer: of a follower's for a while, and of the leader's until another server leads."
    );
    let mut page = Page::new(&title, &lead);
    let kept = measured.findings.kept();
    let p99 = |times: &[f64]| format!("{:.1} ms", at(times, 99.0));
    page.tiles(&[
        Tile::new(p99(&measured.all_work), "p99 of a placement", "all disks work"),
        Tile::new(p99(&measured.follower_slow), "p99 of a placement", format!("a follower syncs {delay} ms longer")),
        Tile::new(
            format!("{:.0} ms", at(&measured.moves, 100.0)),
            "the longest until another leads",
            format!("half of {} within {:.0} ms", measured.moves.len(), at(&measured.moves, 50.0)),
        ),
        Tile::new(
            if kept { "kept" } else { "not kept" },
            "what was acknowledged",
            format!("{} placements", measured.placed),
        )
        .toned(if kept { Tone::Good } else { Tone::Bad }),
    ]);
    page.section("times", "What a placement takes", "Part of the placements that are answered within a time.", &{
        legend(measured) + &chart(measured)
    });
    page.section("numbers", "All numbers", "", &numbers(measured));
    page.finish(&serde_json::json!({}))
}

fn legend(measured: &Measured) -> String {
    let entry = |class: &str, name: &str, times: &[f64]| {
        let (p50, p99) = (at(times, 50.0), at(times, 99.0));
        format!("<span><i class=\"key {class}\"></i>{name} <small>p50 {p50:.1} ms, p99 {p99:.1} ms</small></span>")
    };
    let (all, one) = (&measured.all_work, &measured.follower_slow);
    format!(
        "<div class=\"legend\">{}{}</div>",
        entry("blind", "all disks work", all),
        entry("aware", "a follower's is slow", one)
    )
}

fn chart(measured: &Measured) -> String {
    let (all, one) = (&measured.all_work, &measured.follower_slow);
    let until_ms = at(all, SHOWN_PERCENT).max(at(one, SHOWN_PERCENT));
    let curves = [Curve { class: "blind", sorted_ms: all }, Curve { class: "aware", sorted_ms: one }];
    steps::chart("Part of the placements that are answered within a time", until_ms, &curves)
}

fn numbers(measured: &Measured) -> String {
    let rows = [
        ("a placement, all disks work", &measured.all_work),
        ("a placement, a follower's disk is slow", &measured.follower_slow),
        ("a placement, from when the leader's disk is slow", &measured.leader_slow),
        ("until another server leads", &measured.moves),
    ];
    let row = |(name, times): (&str, &Vec<f64>)| {
        let figures =
            [50.0, 90.0, 99.0, 100.0].map(|percent| table::Cell::Number(format!("{:.1}", at(times, percent))));
        let cells = [table::Cell::Text(name.to_owned()), table::Cell::Number(times.len().to_string())];
        table::Row { app: None, cells: cells.into_iter().chain(figures).collect() }
    };
    table::draw("times", &["what", "times", "p50 ms", "p90 ms", "p99 ms", "max ms"], &rows.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_both_curves_and_all_numbers() {
        let times = |from: u32| (from..from + 100).map(f64::from).collect::<Vec<_>>();
        let measured =
            Measured { all_work: times(5), follower_slow: times(6), moves: vec![812.0], ..Measured::default() };
        let page = draw(&measured);
        assert!(page.contains("line aware") && page.contains("line blind") && page.contains("812.0"), "{page}");
        assert!(draw(&Measured::default()).contains("</svg>"), "no times are no panic");
    }
}
