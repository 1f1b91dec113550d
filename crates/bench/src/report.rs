//! Pictures of a run: one self-contained HTML page, and a small SVG of the same result.
//!
//! Nothing is fetched from anywhere: styles, script and data are in the file. Colours are custom properties with a light
//! and a dark set; charts are drawn here as SVG, and the script only adds what needs a pointer.

use std::{fmt::Write, path::Path};

use anyhow::{Context, Result};

pub mod axis;
pub mod bars;
pub mod cdf;
pub mod decision_page;
pub mod demo_page;
pub mod failover_page;
pub mod fleet_map;
pub mod index_page;
pub mod packing_page;
pub mod recovery_page;
pub mod slow_disk_page;
pub mod steps;
pub mod summary;
pub mod table;
pub mod throughput_page;

const STYLE: &str = include_str!("report/style.css");
/// Around a chart that stands alone.
const MARGIN: f64 = 36.0;
const SCRIPT: &str = include_str!("report/script.js");

/// A figure at the top of a page.
#[derive(Clone, Debug)]
pub struct Tile {
    pub value: String,
    pub label: String,
    pub note: String,
    pub tone: Tone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Bad,
}

impl Tile {
    pub fn new(value: impl Into<String>, label: &str, note: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.to_owned(), note: note.into(), tone: Tone::Plain }
    }

    pub fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// A page under construction.
#[derive(Debug)]
pub struct Page {
    html: String,
}

impl Page {
    pub fn new(title: &str, subtitle: &str) -> Self {
        let (title, subtitle) = (escape(title), escape(subtitle));
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n\
             <header><p class=\"mark\">Gantry</p><h1>{title}</h1><p class=\"lead\">{subtitle}</p></header>\n"
        );
        Self { html }
    }

    pub fn tiles(&mut self, tiles: &[Tile]) {
        self.html.push_str("<section class=\"tiles\" id=\"headline\">\n");
        for tile in tiles {
            let tone = match tile.tone {
                Tone::Plain => "",
                Tone::Good => " good",
                Tone::Bad => " bad",
            };
            let (value, label, note) = (escape(&tile.value), escape(&tile.label), escape(&tile.note));
            self.push(&format!(
                "<div class=\"tile{tone}\"><b>{value}</b><span>{label}</span><small>{note}</small></div>\n"
            ));
        }
        self.html.push_str("</section>\n");
    }

    /// `body` is HTML; `intro` is text.
    pub fn section(&mut self, id: &str, title: &str, intro: &str, body: &str) {
        let (title, intro) = (escape(title), escape(intro));
        self.push(&format!(
            "<section class=\"card\" id=\"{id}\"><h2>{title}</h2><p class=\"intro\">{intro}</p>\n{body}\n</section>\n"
        ));
    }

    /// `data` is what the script reads, as JSON.
    pub fn finish(mut self, data: &serde_json::Value) -> String {
        // Inside a script element only `</` could end it early.
        let data = data.to_string().replace("</", "<\\/");
        self.push(&format!(
            "<div id=\"tip\" role=\"status\"></div></main>\n\
             <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{SCRIPT}</script></body></html>\n"
        ));
        self.html
    }

    fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }
}

/// Writes a page, and its first chart beside it as a picture for documents.
pub fn write(page: &Path, html: &str) -> Result<()> {
    let place = |path: &Path| format!("cannot write {}", path.display());
    if let Some(dir) = page.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    std::fs::write(page, html).with_context(|| place(page))?;
    if let Some(svg) = first_chart(html) {
        let picture = page.with_extension("svg");
        std::fs::write(&picture, svg).with_context(|| place(&picture))?;
    }
    Ok(())
}

/// A page's first chart with all that it needs from the page's style.
fn first_chart(html: &str) -> Option<String> {
    const END: &str = "</svg>";
    let (_, chart) = html.split_once("<svg ")?;
    let chart = &chart[..chart.find(END)? + END.len()];
    let (attributes, body) = chart.split_once('>')?;
    // On a page, labels may stand out beyond a chart; a picture ends where its view box does.
    let (before, view) = attributes.split_once("viewBox=\"0 0 ")?;
    let (size, after) = view.split_once('"')?;
    let (width, height) = size.split_once(' ')?;
    let [width, height] = [width, height].map(|side| side.parse::<f64>().ok().map(|side| px(side + 2.0 * MARGIN)));
    let style = STYLE.replace(":root", "svg");
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" {before}viewBox=\"{from} {from} {} {}\"{after}><style>\
         text {{ fill: var(--ink); }}\nsvg {{ background: var(--card); font: 15px system-ui, sans-serif; }}\n\
         {style}</style>{body}\n",
        width?,
        height?,
        from = px(-MARGIN),
    ))
}

/// Text for HTML and SVG, also inside quoted attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

/// 12,345.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits and a decimal unit.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 { 0 } else { usize::from(value < 9.995) + 1 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A duration as people say it: 0 s, 450 ms, 3.2 s, 2 m 05 s.
pub fn duration_ms(ms: u64) -> String {
    match ms {
        0 => "0 s".into(),
        1..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        10_000..120_000 => format!("{} s", (ms + 500) / 1_000),
        _ => format!("{} m {:02} s", ms / 60_000, ms / 1_000 % 60),
    }
}

/// A number of an SVG attribute: one decimal, none where it is zero.
pub fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The start of a chart: its view box and a description for those who do not see it.
pub fn svg_open(width: f64, height: f64, class: &str, describes: &str) -> String {
    let describes = escape(describes);
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{describes}\">\n",
        px(width),
        px(height)
    )
}

/// Writing to a string cannot fail; this says so once.
pub fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_chart_of_a_page_stands_alone() {
        let mut page = Page::new("title", "lead");
        page.section(
            "one",
            "One",
            "intro",
            &format!("{}<path class=\"grid\"/></svg>", svg_open(10.0, 5.0, "chart", "a")),
        );
        page.section("two", "Two", "intro", &format!("{}</svg>", svg_open(1.0, 1.0, "chart", "b")));
        let svg = first_chart(&page.finish(&serde_json::json!({}))).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("<path class=\"grid\"/></svg>"), "{svg}");
        assert!(svg.contains("viewBox=\"-36 -36 82 77\"") && svg.contains("--ink") && !svg.contains(":root"), "{svg}");
        assert_eq!(first_chart("<p>none</p>"), None);
    }

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let shown = [0, 512, 1_500, 45_600_000, 999_600_000, 3_325_900_000_000].map(bytes);
        assert_eq!(shown, ["0 B", "512 B", "1.50 kB", "45.6 MB", "1.00 GB", "3.33 TB"]);
        let shown = [0, 450, 3_240, 45_600, 125_000].map(duration_ms);
        assert_eq!(shown, ["0 s", "450 ms", "3.2 s", "46 s", "2 m 05 s"]);
        assert_eq!([px(1.0), px(1.26)], ["1", "1.3"]);
    }

    #[test]
    fn text_cannot_break_out() {
        assert_eq!(escape("<a b=\"&\">"), "&lt;a b=&quot;&amp;&quot;&gt;");
        let page = Page::new("t<", "s").finish(&serde_json::json!({"x": "</script>"}));
        assert!(page.contains("t&lt;") && page.contains("<\\/script>\"}"));
    }
}
