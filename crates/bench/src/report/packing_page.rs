//! The page of a packing run: what each policy gives out as more and more arrives.

use super::{
    Page, Tile, Tone, escape, put, px, svg_open,
    table::{self, Cell, Row},
};
use crate::packing::{Outcome, Results};

const WIDTH: f64 = 1_040.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 36.0;
/// Where curves begin to part.
const FROM_ARRIVED: usize = 75;
const TO_ARRIVED: usize = 130;

pub fn draw(results: &Results) -> String {
    let ours = results.outcomes.iter().find(|outcome| outcome.name == "gantry");
    let best = results
        .outcomes
        .iter()
        .filter(|outcome| outcome.name != "gantry")
        .max_by(|a, b| a.at(TO_ARRIVED).total_cmp(&b.at(TO_ARRIVED)));
    let title = ours.map_or_else(
        || "GPUs given out, by policy".to_owned(),
        |ours| format!("{:.2} % of the GPUs given out when the fleet is full", ours.at(TO_ARRIVED)),
    );
    let lead = format!(
        "{} nodes, {} GPUs; machines of {} arrive in a random order and stay, until 130 % of the GPUs were asked for. Means of seeds {} \
         to {}. The experiment is that of Beware of Fragmentation (USENIX ATC '23), as are the other policies.",
        super::grouped(results.nodes as u64),
        super::grouped(results.gpus),
        results.pods,
        results.seeds.start(),
        results.seeds.end()
    );
    let mut page = Page::new(&title, &lead);
    if let (Some(ours), Some(best)) = (ours, best) {
        page.tiles(&tiles(results, ours, best));
    }
    let intro =
        "Percent of the GPUs given out against percent that arrived. The dotted line is everything that arrived.";
    page.section("curves", "Given out as more arrives", intro, &curves(results));
    page.section("table", "At saturation", "Mean and standard deviation over the seeds.", &figures(results));
    page.finish(&serde_json::json!({}))
}

fn tiles(results: &Results, ours: &Outcome, best: &Outcome) -> Vec<Tile> {
    let idle = |outcome: &Outcome| (100.0 - outcome.at(TO_ARRIVED)) / 100.0 * results.gpus as f64;
    let tone = if idle(ours) < idle(best) { Tone::Good } else { Tone::Bad };
    vec![
        Tile::new(format!("{:.0}", idle(ours)), "GPUs idle", format!("{:.0} under {}", idle(best), best.name))
            .toned(tone),
        Tile::new(
            format!("{:.2} %", ours.at(100)),
            "given out at 100 % arrived",
            format!("{:.2} % under {}", best.at(100), best.name),
        ),
        Tile::new(
            format!("{:.2} %", ours.at(TO_ARRIVED)),
            "given out at 130 % arrived",
            format!("{:.2} % under {}", best.at(TO_ARRIVED), best.name),
        ),
    ]
}

fn curves(results: &Results) -> String {
    let low =
        results.outcomes.iter().map(|o| o.at(FROM_ARRIVED)).fold(f64::from(FROM_ARRIVED as u32), f64::min).floor();
    let x = |arrived: f64| {
        LEFT + (arrived - FROM_ARRIVED as f64) / (TO_ARRIVED - FROM_ARRIVED) as f64 * (WIDTH - LEFT - RIGHT)
    };
    let y = |allocated: f64| HEIGHT - BOTTOM - (allocated - low) / (100.0 - low) * (HEIGHT - TOP - BOTTOM);
    let mut out = svg_open(WIDTH, HEIGHT, "chart packing", "GPUs given out as more arrives, by policy");
    for percent in (0..=100).step_by(5).map(f64::from).filter(|&percent| percent >= low) {
        let at = px(y(percent));
        put(&mut out, format_args!("<path class=\"grid\" d=\"M{} {at}H{}\"/>", px(LEFT), px(WIDTH - RIGHT)));
        let label = format_args!(
            "<text class=\"tick end\" x=\"{}\" y=\"{at}\" dy=\".32em\">{percent}%</text>\n",
            px(LEFT - 8.0)
        );
        put(&mut out, label);
    }
    for percent in (FROM_ARRIVED..=TO_ARRIVED).filter(|percent| percent % 10 == 0) {
        let (at, floor) = (px(x(percent as f64)), px(HEIGHT - BOTTOM + 20.0));
        put(&mut out, format_args!("<text class=\"tick mid\" x=\"{at}\" y=\"{floor}\">{percent}% arrived</text>\n"));
    }
    let ideal = [(FROM_ARRIVED as f64, low.max(FROM_ARRIVED as f64)), (100.0, 100.0), (TO_ARRIVED as f64, 100.0)];
    let points: Vec<String> = ideal.iter().map(|&(a, b)| format!("{} {}", px(x(a)), px(y(b)))).collect();
    put(
        &mut out,
        format_args!("<path class=\"grid\" stroke-dasharray=\"2 4\" fill=\"none\" d=\"M{}\"/>\n", points.join("L")),
    );
    let mut labels: Vec<(f64, &Outcome)> = results.outcomes.iter().map(|o| (y(o.at(TO_ARRIVED)), o)).collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = f64::MIN;
    for (at, outcome) in labels {
        let class = if outcome.name == "gantry" { "aware" } else { "blind" };
        let points: Vec<String> = (FROM_ARRIVED..=TO_ARRIVED)
            .map(|arrived| format!("{} {}", px(x(arrived as f64)), px(y(outcome.at(arrived).max(low)))))
            .collect();
        put(&mut out, format_args!("<path class=\"line {class}\" fill=\"none\" d=\"M{}\"/>\n", points.join("L")));
        free = at.max(free + 15.0);
        put(
            &mut out,
            format_args!(
                "<text class=\"tick\" x=\"{}\" y=\"{}\" dy=\".32em\">{} {:.2}</text>\n",
                px(WIDTH - RIGHT + 8.0),
                px(free),
                escape(outcome.name),
                outcome.at(TO_ARRIVED)
            ),
        );
    }
    out.push_str("</svg>");
    out
}

fn figures(results: &Results) -> String {
    let rows: Vec<Row> = results
        .outcomes
        .iter()
        .map(|outcome| {
            let figure = |arrived| Cell::Number(format!("{:.2} ± {:.2}", outcome.at(arrived), outcome.spread(arrived)));
            let idle = (100.0 - outcome.at(TO_ARRIVED)) / 100.0 * results.gpus as f64;
            Row {
                app: None,
                cells: vec![
                    Cell::Text(outcome.name.to_owned()),
                    figure(80),
                    figure(100),
                    figure(TO_ARRIVED),
                    Cell::Number(format!("{idle:.0}")),
                ],
            }
        })
        .collect();
    table::draw("packing-table", &["policy", "80 % arrived", "100 %", "130 %", "idle GPUs"], &rows)
}
