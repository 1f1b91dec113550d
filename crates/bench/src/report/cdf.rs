//! The distribution of start times under two policies, as cumulative curves.

use super::{
    axis::{LOG_FROM_MS, LOW_PART, Waits},
    escape, put, px, svg_open,
};

/// Points of a curve are thinned to about this many.
const POINTS: usize = 240;

/// One policy's waits, sorted.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    pub name: &'a str,
    /// A CSS class: its colour.
    pub class: &'a str,
    pub wait_ms: &'a [u64],
}

/// Width and height of the drawing and the margins inside it: left, right, top, bottom.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub width: f64,
    pub height: f64,
    pub margins: [f64; 4],
}

pub const PAGE_FRAME: Frame = Frame { width: 1_040.0, height: 330.0, margins: [46.0, 16.0, 14.0, 34.0] };

pub fn draw(frame: Frame, curves: &[Curve<'_>]) -> String {
    let mut out = svg_open(
        frame.width,
        frame.height,
        "chart cdf",
        "Share of the machines that can start within a time, by policy",
    );
    draw_into(&mut out, frame, curves);
    out.push_str("</svg>");
    out
}

/// The chart's content, for a drawing that is open already.
pub fn draw_into(out: &mut String, frame: Frame, curves: &[Curve<'_>]) {
    let (scale, max_ms) = scale(frame, curves);
    let [left, right, top, bottom] = frame.margins;
    let (floor, roof) = (frame.height - bottom, top);
    let y = |part: f64| floor - (floor - roof) * part;
    for percent in [0, 25, 50, 75, 100] {
        let at = px(y(f64::from(percent) / 100.0));
        put(out, format_args!("<path class=\"grid\" d=\"M{} {at}H{}\"/>", px(left), px(frame.width - right)));
        put(
            out,
            format_args!(
                "<text class=\"tick end\" x=\"{}\" y=\"{at}\" dy=\".32em\">{percent}%</text>\n",
                px(left - 8.0)
            ),
        );
    }
    for (ms, label) in scale.ticks() {
        let at = px(scale.at(ms as f64));
        put(out, format_args!("<path class=\"grid\" d=\"M{at} {}V{}\"/>", px(roof), px(floor)));
        put(out, format_args!("<text class=\"tick mid\" x=\"{at}\" y=\"{}\">{label}</text>\n", px(floor + 20.0)));
    }
    for curve in curves {
        let line = path(curve.wait_ms, max_ms, |ms| scale.at(ms), y);
        let area = format!("{line}V{}H{}Z", px(floor), px(scale.from_px));
        put(out, format_args!("<path class=\"area {}\" d=\"{area}\"/>\n", curve.class));
        put(out, format_args!("<path class=\"line {}\" d=\"{line}\"/>\n", curve.class));
    }
}

fn scale(frame: Frame, curves: &[Curve<'_>]) -> (Waits, u64) {
    let max_ms = curves.iter().filter_map(|curve| curve.wait_ms.last()).max().copied().unwrap_or(0);
    let [left, right, ..] = frame.margins;
    (Waits { max_ms, from_px: left, to_px: frame.width - right }, max_ms)
}

/// A rising step curve that goes on to the right edge.
fn path(waits: &[u64], max_ms: u64, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut line = format!("M{} {}", px(x(0.0)), px(y(0.0)));
    let every = waits.len().div_ceil(POINTS).max(1);
    for (rank, &wait) in waits.iter().enumerate() {
        let last_of_value = waits.get(rank + 1) != Some(&wait);
        let thinned_in = (rank + 1).is_multiple_of(every) || rank + 1 == waits.len() || wait == 0;
        if last_of_value && thinned_in {
            put(&mut line, format_args!("H{}V{}", px(x(wait as f64)), px(y((rank + 1) as f64 / waits.len() as f64))));
        }
    }
    put(&mut line, format_args!("H{}", px(x(max_ms as f64))));
    line
}

/// What the script needs to read values under the pointer.
pub fn data(frame: Frame, curves: &[Curve<'_>]) -> serde_json::Value {
    let (scale, _) = scale(frame, curves);
    let curves: Vec<_> = curves
        .iter()
        .map(|curve| serde_json::json!({"name": curve.name, "class": curve.class, "waits": curve.wait_ms}))
        .collect();
    serde_json::json!({
        "from": scale.from_px, "to": scale.to_px, "top": frame.margins[2], "floor": frame.height - frame.margins[3],
        "max_ms": (scale.max_ms as f64).max(LOG_FROM_MS * 10.0), "log_from_ms": LOG_FROM_MS, "low_part": LOW_PART,
        "curves": curves,
    })
}

/// A line that names the curves.
pub fn legend(curves: &[Curve<'_>], notes: &[String]) -> String {
    let entries = curves.iter().zip(notes).map(|(curve, note)| {
        format!(
            "<span><i class=\"key {}\"></i>{} <small>{}</small></span>",
            curve.class,
            escape(curve.name),
            escape(note)
        )
    });
    format!("<div class=\"legend\">{}</div>", entries.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_at_the_top_and_is_thinned() {
        let waits: Vec<u64> = (0..10_000).map(|n| n * 10).collect();
        let curve = Curve { name: "a", class: "aware", wait_ms: &waits };
        let line = path(&waits, 99_990, |ms| ms / 1_000.0, |part| 100.0 * part);
        assert!(line.matches('V').count() <= POINTS + 2, "{} points", line.matches('V').count());
        assert!(line.ends_with("V100H100"), "{}", &line[line.len() - 40..]);
        assert!(draw(PAGE_FRAME, &[curve]).contains("class=\"line aware\""));
        assert!(draw(PAGE_FRAME, &[Curve { wait_ms: &[], ..curve }]).ends_with("</svg>"), "no waits are no panic");
    }
}
