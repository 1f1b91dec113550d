//! Cumulative curves of times in milliseconds.

use super::{axis::Linear, put, px, svg_open};

const WIDTH: f64 = 1_040.0;
const HEIGHT: f64 = 330.0;
const MARGINS: [f64; 4] = [58.0, 16.0, 16.0, 36.0];
const TICKS: usize = 8;
/// Steps of a curve are thinned to about this many.
const STEPS: usize = 400;

/// Sorted times, and the class that colours them.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    pub class: &'a str,
    pub sorted_ms: &'a [f64],
}

/// The part of each curve's times that is over within a time, up to `until_ms`.
pub fn chart(describes: &str, until_ms: f64, curves: &[Curve<'_>]) -> String {
    let [left, right, top, bottom] = MARGINS;
    let x = Linear { max: until_ms.max(1.0), from_px: left, to_px: WIDTH - right };
    let floor = HEIGHT - bottom;
    let y = |part: f64| floor - (floor - top) * part;
    let mut out = svg_open(WIDTH, HEIGHT, "chart", describes);
    for percent in [0, 25, 50, 75, 100] {
        let at = px(y(f64::from(percent) / 100.0));
        put(&mut out, format_args!("<path class=\"grid\" d=\"M{} {at}H{}\"/>", px(left), px(WIDTH - right)));
        let label = px(left - 8.0);
        put(
            &mut out,
            format_args!("<text class=\"tick end\" x=\"{label}\" y=\"{at}\" dy=\".32em\">{percent}%</text>\n"),
        );
    }
    for tick in x.ticks(TICKS) {
        let at = px(x.at(tick));
        put(&mut out, format_args!("<path class=\"grid\" d=\"M{at} {}V{}\"/>", px(top), px(floor)));
        put(
            &mut out,
            format_args!("<text class=\"tick mid\" x=\"{at}\" y=\"{}\">{tick} ms</text>\n", px(floor + 20.0)),
        );
    }
    for Curve { class, sorted_ms } in curves {
        let mut line = format!("M{} {}", px(x.at(0.0)), px(y(0.0)));
        let every = sorted_ms.len().div_ceil(STEPS).max(1);
        for (rank, ms) in sorted_ms.iter().enumerate().filter(|(rank, ms)| rank % every == 0 && **ms <= x.max) {
            put(&mut line, format_args!("H{}V{}", px(x.at(*ms)), px(y((rank + 1) as f64 / sorted_ms.len() as f64))));
        }
        put(&mut out, format_args!("<path class=\"line {class}\" d=\"{line}\"/>\n"));
    }
    out.push_str("</svg>");
    out
}
