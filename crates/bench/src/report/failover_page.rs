//! The page of a failover run.

use super::{
    Page, Tile, Tone,
    steps::{self, Curve},
    table,
};
use crate::failover::{Fault, Measured, at};

/// What is drawn, in the stronger and the weaker colour.
const SHOWN: [(Fault, &str, &str); 2] = [(Fault::Killed, "aware", "killed"), (Fault::CutOff, "blind", "cut off")];

pub fn draw(measured: &Measured) -> String {
    let (lost, asked) =
        (measured.gaps(&[Fault::Killed, Fault::CutOff]), measured.gaps(&[Fault::Asked, Fault::Stopped]));
    let title = format!("A lost leader costs {:.0} ms", at(&lost, 50.0));
    let lead = format!(
        "Three server processes that flush every decision, and a caller that places one machine after the other. The leader was lost {} \
         times: killed, or cut off from the other two. The time from then to the answer of the first placement called after it.",
        lost.len()
    );
    let mut page = Page::new(&title, &lead);
    let kept = measured.findings.kept();
    let tone = if kept { Tone::Good } else { Tone::Bad };
    page.tiles(&[
        Tile::new(format!("{:.0} ms", at(&lost, 50.0)), "half are over within", ""),
        Tile::new(format!("{:.0} ms", at(&lost, 99.0)), "99 of 100", format!("the longest {:.0} ms", at(&lost, 100.0))),
        Tile::new(
            format!("{:.0} ms", at(&asked, 100.0)),
            "the longest planned handover",
            format!("half of {} within {:.0} ms", asked.len(), at(&asked, 50.0)),
        ),
        Tile::new(
            if kept { "kept" } else { "not kept" },
            "what was acknowledged",
            format!("{} placements", measured.placed),
        )
        .toned(tone),
    ]);
    let intro = "Part of the losses that are over within a time.";
    page.section("gaps", "From the loss to the next answer", intro, &(legend(measured) + &chart(measured)));
    page.section("numbers", "All numbers", "", &numbers(measured));
    page.finish(&serde_json::json!({}))
}

fn legend(measured: &Measured) -> String {
    let entry = |(fault, class, name): (Fault, &str, &str)| {
        let gaps = measured.gaps(&[fault]);
        let (p50, p99) = (at(&gaps, 50.0), at(&gaps, 99.0));
        format!("<span><i class=\"key {class}\"></i>{name} <small>p50 {p50:.0} ms, p99 {p99:.0} ms</small></span>")
    };
    format!("<div class=\"legend\">{}</div>", SHOWN.map(entry).concat())
}

fn chart(measured: &Measured) -> String {
    let longest = at(&measured.gaps(&[Fault::Killed, Fault::CutOff]), 100.0);
    let gaps = SHOWN.map(|(fault, class, _)| (class, measured.gaps(&[fault])));
    let curves: Vec<Curve<'_>> = gaps.iter().map(|(class, sorted_ms)| Curve { class, sorted_ms }).collect();
    steps::chart("Part of the losses of a leader that are over within a time", longest * 1.05, &curves)
}

fn numbers(measured: &Measured) -> String {
    let rows = [
        ("killed (SIGKILL)", Fault::Killed),
        ("cut off from its peers", Fault::CutOff),
        ("told to hand over", Fault::Asked),
        ("stopped (SIGTERM)", Fault::Stopped),
    ];
    let row = |(name, fault): (&str, Fault)| {
        let gaps = measured.gaps(&[fault]);
        let figures =
            [50.0, 90.0, 99.0, 100.0].map(|percent| table::Cell::Number(format!("{:.1}", at(&gaps, percent))));
        let cells = [table::Cell::Text(name.to_owned()), table::Cell::Number(gaps.len().to_string())];
        table::Row { app: None, cells: cells.into_iter().chain(figures).collect() }
    };
    table::draw("trials", &["leader", "times", "p50 ms", "p90 ms", "p99 ms", "max ms"], &rows.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_curve_of_each_fault() {
        let trials = vec![(Fault::Killed, 320.0), (Fault::CutOff, 410.0), (Fault::Asked, 12.0), (Fault::Stopped, 20.0)];
        let page = draw(&Measured { trials, ..Measured::default() });
        assert!(page.contains("line aware") && page.contains("line blind") && page.contains("320.0"), "{page}");
        assert!(draw(&Measured::default()).contains("</svg>"), "no trials are no panic");
    }
}
