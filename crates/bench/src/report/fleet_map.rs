//! Every GPU of the fleet as a cell, grouped by region, model and host; the shade is how much of it is promised.

use std::collections::BTreeMap;

use gantry_types::WHOLE_GPU_MILLI;

use super::{escape, grouped, put, px, svg_open};

/// A host with what is promised of its GPUs.
#[derive(Clone, Debug, Default)]
pub struct HostCells {
    pub name: String,
    pub region: String,
    pub zone: String,
    pub model: String,
    pub gpus: Vec<Gpu>,
}

#[derive(Clone, Debug, Default)]
pub struct Gpu {
    pub used_milli: u32,
    /// Numbers of the applications on it, in the page's table.
    pub apps: Vec<usize>,
}

/// Shades from free to whole.
pub const LEVELS: usize = 5;
pub const LEVEL_NAMES: [&str; LEVELS] = ["free", "up to a quarter", "up to a half", "above a half", "all of it"];

fn level(used_milli: u32) -> usize {
    match used_milli {
        0 => 0,
        1..=250 => 1,
        251..=500 => 2,
        _ if used_milli < WHOLE_GPU_MILLI => 3,
        _ => 4,
    }
}

/// Sizes in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub width: f64,
    pub label: f64,
    pub label_height: f64,
    pub cell: f64,
    pub gap: f64,
    pub host_gap: f64,
    pub row_gap: f64,
    pub heading: f64,
}

pub const PAGE_SIZES: Sizes = Sizes {
    width: 1_040.0,
    label: 84.0,
    label_height: 15.0,
    cell: 5.0,
    gap: 1.0,
    host_gap: 4.0,
    row_gap: 5.0,
    heading: 26.0,
};

/// Where a host's cells are: its corner and its columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub x: f64,
    pub y: f64,
    pub columns: usize,
}

#[derive(Debug, Default)]
pub struct Layout {
    /// By host, in the order given.
    pub places: Vec<Place>,
    /// (x, y, text, is a region's heading).
    pub labels: Vec<(f64, f64, String, bool)>,
    pub height: f64,
}

impl Layout {
    pub fn of(hosts: &[HostCells], sizes: Sizes) -> Self {
        let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for (at, host) in hosts.iter().enumerate() {
            groups.entry(&host.region).or_default().entry(&host.model).or_default().push(at);
        }
        let mut regions: Vec<_> = groups.into_iter().collect();
        regions.sort_by_key(|(_, models)| std::cmp::Reverse(models.values().map(Vec::len).sum::<usize>()));
        let mut layout = Self { places: vec![Place { x: 0.0, y: 0.0, columns: 1 }; hosts.len()], ..Self::default() };
        let mut y = 0.0;
        for (region, models) in regions {
            let all = || models.values().flatten().map(|&at| &hosts[at]);
            let gpus: usize = all().map(|host| host.gpus.len()).sum();
            let used: u64 = all().flat_map(|host| &host.gpus).map(|gpu| u64::from(gpu.used_milli)).sum();
            let percent = used / 10 / (gpus as u64).max(1);
            let heading = format!("{region} · {} GPUs, {percent} % promised", grouped(gpus as u64));
            layout.labels.push((0.0, y + sizes.heading - 10.0, heading, true));
            y += sizes.heading;
            for (model, members) in models {
                layout.labels.push((0.0, y + sizes.cell * 1.6, model.to_owned(), false));
                y = layout.flow(hosts, &members, sizes, y);
            }
            y += sizes.row_gap;
        }
        layout.height = y;
        layout
    }

    /// Puts hosts side by side, in lines; answers where the next group starts.
    fn flow(&mut self, hosts: &[HostCells], members: &[usize], sizes: Sizes, mut y: f64) -> f64 {
        let step = sizes.cell + sizes.gap;
        let rows = if members.iter().any(|&at| hosts[at].gpus.len() > 1) { 2.0 } else { 1.0 };
        let mut x = sizes.label;
        for &at in members {
            let columns = hosts[at].gpus.len().div_ceil(2).max(1);
            let width = columns as f64 * step - sizes.gap;
            if x + width > sizes.width {
                x = sizes.label;
                y += rows * step + sizes.row_gap;
            }
            self.places[at] = Place { x, y, columns };
            x += width + sizes.host_gap;
        }
        // A group of one line is at least as tall as its label.
        y + (rows * step + sizes.row_gap * 1.6).max(sizes.label_height)
    }
}

pub fn draw(hosts: &[HostCells], sizes: Sizes) -> String {
    let layout = Layout::of(hosts, sizes);
    let mut out =
        svg_open(sizes.width, layout.height, "chart map", "Every GPU of the fleet, shaded by what is promised");
    for (x, y, text, heading) in &layout.labels {
        let class = if *heading { "heading" } else { "tick" };
        put(
            &mut out,
            format_args!("<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>\n", px(*x), px(*y), escape(text)),
        );
    }
    let step = sizes.cell + sizes.gap;
    let mut paths: [String; LEVELS] = Default::default();
    let cell = px(sizes.cell);
    for (host, place) in hosts.iter().zip(&layout.places) {
        for (n, gpu) in host.gpus.iter().enumerate() {
            let x = place.x + (n % place.columns) as f64 * step;
            let y = place.y + (n / place.columns) as f64 * step;
            put(&mut paths[level(gpu.used_milli)], format_args!("M{} {}h{cell}v{cell}h-{cell}z", px(x), px(y)));
        }
    }
    for (level, path) in paths.iter().enumerate() {
        put(&mut out, format_args!("<path class=\"fill{level}\" d=\"{path}\"/>\n"));
    }
    out.push_str("<path id=\"lit\" d=\"\"/></svg>");
    out
}

/// The same map in few bytes: each run of equal cells in a row of a host is one dashed stroke. The caller sets
/// `stroke-width` to the cell and `stroke-dasharray` to cell and gap.
pub fn strokes(hosts: &[HostCells], sizes: Sizes) -> (Layout, [String; LEVELS]) {
    let layout = Layout::of(hosts, sizes);
    let step = sizes.cell + sizes.gap;
    let mut paths: [String; LEVELS] = Default::default();
    for (host, place) in hosts.iter().zip(&layout.places) {
        for (row, cells) in host.gpus.chunks(place.columns).enumerate() {
            let mut column = 0;
            for run in cells.chunk_by(|a, b| level(a.used_milli) == level(b.used_milli)) {
                let x = place.x + column as f64 * step;
                let y = place.y + row as f64 * step + sizes.cell / 2.0;
                let length = run.len() as f64 * step - sizes.gap;
                put(&mut paths[level(run[0].used_milli)], format_args!("M{} {}h{}", px(x), px(y), px(length)));
                column += run.len();
            }
        }
    }
    (layout, paths)
}

/// What the script needs for tooltips and for lighting up an application.
pub fn data(hosts: &[HostCells], sizes: Sizes) -> serde_json::Value {
    let layout = Layout::of(hosts, sizes);
    let hosts: Vec<_> = hosts
        .iter()
        .zip(&layout.places)
        .map(|(host, place)| {
            let used: Vec<u32> = host.gpus.iter().map(|gpu| gpu.used_milli).collect();
            let apps: Vec<&[usize]> = host.gpus.iter().map(|gpu| gpu.apps.as_slice()).collect();
            serde_json::json!([host.name, host.model, host.zone, place.x, place.y, place.columns, used, apps])
        })
        .collect();
    serde_json::json!({"cell": sizes.cell, "gap": sizes.gap, "hosts": hosts})
}

pub fn legend() -> String {
    let entries = LEVEL_NAMES
        .iter()
        .enumerate()
        .map(|(level, name)| format!("<span><i class=\"key cell fill{level}\"></i>{name}</span>"));
    format!("<div class=\"legend\">{}</div>", entries.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Vec<HostCells> {
        let hosts = crate::fleet::built_in().unwrap();
        let cells = |at: usize, gpus: u32| {
            (0..gpus)
                .map(move |n| Gpu { used_milli: [0, 250, 500, 750, 1_000][(at + n as usize / 4) % 5], apps: vec![] })
        };
        let hosts = hosts.into_iter().enumerate().map(|(at, host)| HostCells {
            gpus: cells(at, host.gpus).collect(),
            name: host.name,
            region: host.region.to_owned(),
            zone: host.zone,
            model: host.model,
        });
        hosts.collect()
    }

    #[test]
    fn every_gpu_has_a_cell_inside_the_picture_and_none_lie_on_each_other() {
        let hosts = fleet();
        let svg = draw(&hosts, PAGE_SIZES);
        assert_eq!(svg.matches('z').count(), 6_212);
        let layout = Layout::of(&hosts, PAGE_SIZES);
        let mut cells = std::collections::HashSet::new();
        for (host, place) in hosts.iter().zip(&layout.places) {
            for n in 0..host.gpus.len() {
                let x = place.x + (n % place.columns) as f64 * 6.0;
                let y = place.y + (n / place.columns) as f64 * 6.0;
                assert!(x + 5.0 <= PAGE_SIZES.width && y + 5.0 <= layout.height);
                assert!(cells.insert((px(x), px(y))), "{} lies on another host", host.name);
            }
        }
    }

    #[test]
    fn the_dashed_form_is_small_enough_to_be_committed() {
        let (_, paths) = strokes(&fleet(), PAGE_SIZES);
        let bytes: usize = paths.iter().map(String::len).sum();
        assert!(bytes < 45_000, "{bytes} bytes");
    }

    #[test]
    fn levels_follow_the_thousandths() {
        assert_eq!([0, 1, 250, 251, 500, 501, 999, 1_000].map(level), [0, 1, 1, 2, 2, 3, 3, 4]);
    }
}
