//! The demo's result as one small picture, for a README: it follows the reader's light or dark setting by itself.

use super::{
    bars::{self, Bars},
    cdf::{self, Frame},
    demo_page, duration_ms, escape,
    fleet_map::{self, Sizes},
    grouped, put, px,
};
use crate::demo::results::Results;

const WIDTH: f64 = 1_200.0;
const PAD: f64 = 36.0;
const MAP: Sizes = Sizes {
    width: 560.0,
    label: 62.0,
    label_height: 13.0,
    cell: 3.0,
    gap: 1.0,
    host_gap: 2.5,
    row_gap: 2.5,
    heading: 21.0,
};
const CURVES: Frame = Frame { width: 530.0, height: 270.0, margins: [44.0, 10.0, 10.0, 30.0] };
const TOP: f64 = 214.0;
const TIMELINE_HEIGHT: f64 = 190.0;

const STYLE: &str = "
svg{--ground:#fff;--ink:#14181f;--soft:#5b6472;--faint:#8b94a3;--line:#e4e7ec;--aware:#0f8f83;--blind:#d9822b;--bad:#c92a2a;--kill:#d6336c;
--fill0:#e3e6eb;--fill1:#a9ddd2;--fill2:#5cbfae;--fill3:#1f9485;--fill4:#0b5f57}
@media (prefers-color-scheme:dark){svg{--ground:#0e1116;--ink:#e8ebf0;--soft:#a0a9b8;--faint:#7b8696;--line:#272e38;--aware:#35c9b6;
--blind:#f0a04b;--bad:#ff7b72;--kill:#ff6b9d;--fill0:#262d37;--fill1:#1d5a55;--fill2:#23897d;--fill3:#35b8a6;--fill4:#8ff0df}}
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;fill:var(--ink)}
.grid{stroke:var(--line);fill:none}.tick{fill:var(--faint);font-size:11.5px}.mid{text-anchor:middle}.end{text-anchor:end}
.heading{font-size:12px;font-weight:600}.title{font-size:26px;font-weight:700;letter-spacing:-.4px}.soft{fill:var(--soft);font-size:14px}
.value{font-size:27px;font-weight:700;letter-spacing:-.5px}.good{fill:var(--aware)}.bad{fill:var(--bad)}.label{font-size:14px;font-weight:600}
.small{font-size:12px;fill:var(--soft)}.h{font-size:15px;font-weight:600}.line{fill:none;stroke-width:2.5;stroke-linejoin:round}
.line.aware{stroke:var(--aware)}.line.blind{stroke:var(--blind)}.area{opacity:.1}.area.aware{fill:var(--aware)}.area.blind{fill:var(--blind)}
.bar.aware{fill:var(--aware)}.mark{fill:none;stroke-width:1.5;stroke-dasharray:4 3}.mark.kill{stroke:var(--kill)}.mark.after{stroke:var(--aware)}
.note{font-size:12px;font-weight:600}.note.kill{fill:var(--kill)}.note.after{fill:var(--aware)}.aware.t{fill:var(--aware)}.blind.t{fill:var(--blind)}
";

pub fn draw(results: &Results) -> String {
    let cells = demo_page::cells(results, &results.apps());
    let (layout, strokes) = fleet_map::strokes(&cells, MAP);
    let left = CURVES.height + 60.0 + if results.killed.is_some() { TIMELINE_HEIGHT + 26.0 } else { 0.0 };
    let height = (TOP + 34.0 + layout.height.max(left) + PAD / 2.0).ceil();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"Result of the demo\"><style>{STYLE}</style>\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"14\" fill=\"var(--ground)\"/>\n"
    );
    head(&mut out, results);
    curves(&mut out, results);
    timeline(&mut out, results);
    put(&mut out, format_args!("<g transform=\"translate({} {TOP})\">", WIDTH - PAD - MAP.width));
    put(
        &mut out,
        format_args!(
            "<text class=\"h\" y=\"6\">The fleet's GPUs, shaded by what is promised</text><g transform=\"translate(0 18)\">"
        ),
    );
    for (x, y, text, heading) in &layout.labels {
        let class = if *heading { "heading" } else { "tick" };
        put(
            &mut out,
            format_args!("<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>\n", px(*x), px(*y), escape(text)),
        );
    }
    put(
        &mut out,
        format_args!("<g fill=\"none\" stroke-width=\"{}\" stroke-dasharray=\"{} {}\">", MAP.cell, MAP.cell, MAP.gap),
    );
    for (level, path) in strokes.iter().enumerate() {
        put(&mut out, format_args!("<path stroke=\"var(--fill{level})\" d=\"{path}\"/>\n"));
    }
    out.push_str("</g></g></g></svg>\n");
    out
}

fn head(out: &mut String, results: &Results) {
    let (aware, blind) = (results.starts(&results.aware), results.starts(&results.blind));
    put(
        out,
        format_args!(
            "<text class=\"title\" x=\"{PAD}\" y=\"52\">{} GPU machines, placed next to their image layers</text>\
             <text class=\"soft\" x=\"{PAD}\" y=\"77\">{} server processes · {} hosts · {} GPUs · {} applications{}</text>\n",
            grouped(results.asks.len() as u64),
            results.nodes,
            grouped(results.hosts.len() as u64),
            grouped(results.gpus()),
            results.apps().len(),
            if results.killed.is_some() { " · leader killed half way through a second burst" } else { "" }
        ),
    );
    let tiles = demo_page::tiles(results, &aware, &blind);
    let step = (WIDTH - 2.0 * PAD) / tiles.len() as f64;
    for (n, tile) in tiles.iter().enumerate() {
        let x = px(PAD + n as f64 * step);
        let tone = match tile.tone {
            super::Tone::Plain => "",
            super::Tone::Good => " good",
            super::Tone::Bad => " bad",
        };
        let (value, label) = (escape(&tile.value), escape(&tile.label));
        put(out, format_args!("<text class=\"value{tone}\" x=\"{x}\" y=\"128\">{value}</text>"));
        put(out, format_args!("<text class=\"label\" x=\"{x}\" y=\"150\">{label}</text>"));
        put(out, format_args!("<text class=\"small\" x=\"{x}\" y=\"168\">{}</text>\n", escape(&tile.note)));
    }
    put(out, format_args!("<path class=\"grid\" d=\"M{PAD} 188H{}\"/>", WIDTH - PAD));
}

fn curves(out: &mut String, results: &Results) {
    let (aware, blind) = (results.starts(&results.aware), results.starts(&results.blind));
    put(
        out,
        format_args!(
            "<g transform=\"translate({PAD} {TOP})\"><text class=\"h\" y=\"6\">Machines that can start within a time</text>"
        ),
    );
    let note = |starts: &crate::pull::Starts| {
        format!("p50 {}, p99 {}", duration_ms(starts.percentile_ms(50)), duration_ms(starts.percentile_ms(99)))
    };
    for (n, (name, class, starts)) in
        [("layer-aware", "aware", &aware), ("image-blind", "blind", &blind)].iter().enumerate()
    {
        let y = 30.0 + 19.0 * n as f64;
        put(
            out,
            format_args!(
                "<text class=\"label {class} t\" x=\"0\" y=\"{y}\">{name}</text><text class=\"small\" x=\"104\" y=\"{y}\">{}</text>",
                note(starts)
            ),
        );
    }
    out.push_str("<g transform=\"translate(0 62)\">\n");
    cdf::draw_into(out, CURVES, &demo_page::curves(&aware, &blind));
    out.push_str("</g></g>\n");
}

/// The burst that lost its leader, under the curves.
fn timeline(out: &mut String, results: &Results) {
    let Some(killed) = &results.killed else { return };
    let y = TOP + CURVES.height + 92.0;
    put(
        out,
        format_args!(
            "<g transform=\"translate({PAD} {y})\"><text class=\"h\" y=\"6\">Acknowledgements in each 50 ms</text>"
        ),
    );
    out.push_str("<g transform=\"translate(-14 14)\">\n");
    bars::draw_into(
        out,
        &Bars {
            describes: "",
            class: "aware",
            bucket_ms: demo_page::BUCKET.as_secs_f64() * 1_000.0,
            counts: &results.last.timeline(demo_page::BUCKET),
            until_ms: 0.0,
            most: 0,
            marks: &demo_page::marks(killed),
            width: CURVES.width + 20.0,
            height: TIMELINE_HEIGHT,
            unit: "placements",
        },
    );
    out.push_str("</g></g>\n");
}
