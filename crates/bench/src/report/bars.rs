//! Bars over time: counts per interval, with moments marked.

use super::{axis::Linear, escape, grouped, put, px, svg_open};

/// A moment to mark.
#[derive(Clone, Debug)]
pub struct Mark {
    pub at_ms: f64,
    pub label: String,
    pub class: &'static str,
}

#[derive(Clone, Debug)]
pub struct Bars<'a> {
    pub describes: &'a str,
    pub class: &'a str,
    pub bucket_ms: f64,
    pub counts: &'a [u64],
    /// The scale's ends: those of the bars where smaller.
    pub until_ms: f64,
    pub most: u64,
    pub marks: &'a [Mark],
    pub width: f64,
    pub height: f64,
    /// What is counted, for tooltips: `12 {unit} from 50 to 100 ms`.
    pub unit: &'a str,
}

const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 30.0;

pub fn draw(bars: &Bars<'_>) -> String {
    let mut out = svg_open(bars.width, bars.height, "chart", bars.describes);
    draw_into(&mut out, bars);
    out.push_str("</svg>");
    out
}

/// The chart's content, for a drawing that is open already.
pub fn draw_into(out: &mut String, bars: &Bars<'_>) {
    let until_ms = bars.until_ms.max(bars.bucket_ms * bars.counts.len() as f64).max(bars.bucket_ms);
    let most = bars.counts.iter().copied().max().unwrap_or(0).max(bars.most).max(1);
    let floor = bars.height - BOTTOM;
    let x = Linear { max: until_ms, from_px: LEFT, to_px: bars.width - RIGHT };
    let y = Linear { max: most as f64, from_px: floor, to_px: TOP };
    for tick in y.ticks(4) {
        let at = px(y.at(tick));
        put(out, format_args!("<path class=\"grid\" d=\"M{} {at}H{}\"/>", px(LEFT), px(bars.width - RIGHT)));
        let label = grouped(tick.round() as u64);
        put(
            out,
            format_args!("<text class=\"tick end\" x=\"{}\" y=\"{at}\" dy=\".32em\">{label}</text>\n", px(LEFT - 8.0)),
        );
    }
    for tick in x.ticks((bars.width / 100.0) as usize) {
        let label = if until_ms >= 5_000.0 { format!("{} s", tick / 1_000.0) } else { format!("{tick} ms") };
        put(
            out,
            format_args!(
                "<text class=\"tick mid\" x=\"{}\" y=\"{}\">{label}</text>\n",
                px(x.at(tick)),
                px(floor + 20.0)
            ),
        );
    }
    let width = (x.at(bars.bucket_ms) - x.at(0.0) - 1.0).max(0.8);
    for (n, &count) in bars.counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
        let from = n as f64 * bars.bucket_ms;
        let (left, top) = (x.at(from), y.at(count as f64));
        let tip = format!("{} {} from {from:.0} to {:.0} ms", grouped(count), bars.unit, from + bars.bucket_ms);
        put(
            out,
            format_args!(
                "<rect class=\"bar {}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"1.5\" data-tip=\"{}\"/>\n",
                bars.class,
                px(left),
                px(top),
                px(width),
                px((floor - top).max(1.0)),
                escape(&tip)
            ),
        );
    }
    for (n, mark) in bars.marks.iter().enumerate() {
        draw_mark(out, mark, (x.at(mark.at_ms), bars.width), floor, n);
    }
}

/// Labels stand on alternating heights, at the side of their line where there is room.
fn draw_mark(out: &mut String, mark: &Mark, (at, width): (f64, f64), floor: f64, n: usize) {
    let side = if at > width * 0.6 { ("end", -6.0) } else { ("start", 6.0) };
    let height = 12.0 + 15.0 * (n % 2) as f64;
    put(out, format_args!("<path class=\"mark {}\" d=\"M{} 4V{}\"/>", mark.class, px(at), px(floor)));
    put(
        out,
        format_args!(
            "<text class=\"note {} {}\" x=\"{}\" y=\"{}\">{}</text>\n",
            side.0,
            mark.class,
            px(at + side.1),
            px(height),
            escape(&mark.label)
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_marks_are_drawn_and_nothing_divides_by_zero() {
        let marks = [Mark { at_ms: 60.0, label: "killed <1>".into(), class: "kill" }];
        let bars = Bars {
            describes: "d",
            class: "aware",
            bucket_ms: 50.0,
            counts: &[5, 0, 12],
            until_ms: 0.0,
            most: 0,
            marks: &marks,
            width: 1_040.0,
            height: 180.0,
            unit: "placements",
        };
        let svg = draw(&bars);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("12 placements from 100 to 150 ms") && svg.contains("killed &lt;1&gt;"));
        assert!(!draw(&Bars { counts: &[], ..bars }).contains("NaN"));
    }
}
