//! The demo's page.

use std::{collections::HashMap, time::Duration};

use super::{
    Page, Tile, Tone,
    bars::{self, Bars, Mark},
    bytes,
    cdf::{self, Curve, PAGE_FRAME},
    duration_ms, escape,
    fleet_map::{self, Gpu, HostCells, PAGE_SIZES},
    grouped,
    table::{self, Cell, Row},
};
use crate::{
    demo::results::{AppFigures, Killed, Results},
    pull::Starts,
};

pub const BUCKET: Duration = Duration::from_millis(50);

pub fn draw(results: &Results) -> String {
    let (aware, blind) = (results.starts(&results.aware), results.starts(&results.blind));
    let apps = results.apps();
    let title = "A burst of GPU machines, placed next to their image layers";
    let mut page = Page::new(title, &lead(results));
    page.tiles(&tiles(results, &aware, &blind));
    starts(&mut page, &aware, &blind);
    timeline(&mut page, results);
    let cells = cells(results, &apps);
    map(&mut page, results, &cells);
    page.section(
        "apps",
        "Applications",
        "Point at a row to light up its machines in the map above.",
        &app_table(results, &apps),
    );
    promises(&mut page, results);
    method(&mut page, results);
    let names: Vec<String> = apps.iter().map(|app| name(results, app)).collect();
    page.finish(&serde_json::json!({
        "cdf": cdf::data(PAGE_FRAME, &curves(&aware, &blind)),
        "map": fleet_map::data(&cells, PAGE_SIZES),
        "apps": names,
    }))
}

fn lead(results: &Results) -> String {
    let (hosts, gpus) = (grouped(results.hosts.len() as u64), grouped(results.gpus()));
    let requests = grouped(results.asks.len() as u64);
    let killed = match &results.killed {
        Some(killed) => format!(
            " Then {} requests, {requests} of them unanswered at any time, with node {} killed while it led.",
            grouped(results.last.answers.len() as u64),
            killed.node
        ),
        None => String::new(),
    };
    format!(
        "{} server processes, {hosts} hosts, {gpus} GPUs. {requests} runners of {} applications asked for whole and shared GPUs \
         at the same moment, once with knowledge of the layers on every host and once without.{killed}",
        results.nodes,
        results.apps().len()
    )
}

fn times(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.1}×") } else { format!("{}×", grouped(ratio.round() as u64)) }
}

/// The figures at the top, also of the small picture.
pub fn tiles(results: &Results, aware: &Starts, blind: &Starts) -> Vec<Tile> {
    let seconds = results.aware.took.as_secs_f64();
    let placed = results.aware.placed().count() as u64;
    let ratio = blind.pulled_bytes as f64 / aware.pulled_bytes.max(1) as f64;
    let fewer = if aware.pulled_bytes == 0 { "∞".to_owned() } else { times(ratio) };
    let mut tiles = vec![
        Tile::new(format!("{seconds:.2} s"), "for the whole burst", format!("{} on a quorum's disks", grouped(placed))),
        Tile::new(
            fewer,
            "fewer bytes to pull",
            format!("{} instead of {}", bytes(aware.pulled_bytes), bytes(blind.pulled_bytes)),
        )
        .toned(Tone::Good),
        Tile::new(
            duration_ms(aware.percentile_ms(90)),
            "for nine in ten starts",
            format!("{} when image-blind", duration_ms(blind.percentile_ms(90))),
        )
        .toned(Tone::Good),
    ];
    if let Some(killed) = &results.killed {
        let failover = killed.failover_ms.map_or("none".to_owned(), |ms| duration_ms(ms.round() as u64));
        tiles.push(Tile::new(failover, "from kill to placement", "by the next leader"));
    }
    let broken = results.broken();
    tiles.push(if broken.is_empty() {
        Tile::new("0", "promises broken", "nothing lost or given twice").toned(Tone::Good)
    } else {
        Tile::new(broken.len().to_string(), "promises broken", broken.join(", ")).toned(Tone::Bad)
    });
    tiles
}

pub fn curves<'a>(aware: &'a Starts, blind: &'a Starts) -> [Curve<'a>; 2] {
    [
        Curve { name: "image-blind", class: "blind", wait_ms: &blind.wait_ms },
        Curve { name: "layer-aware", class: "aware", wait_ms: &aware.wait_ms },
    ]
}

fn starts(page: &mut Page, aware: &Starts, blind: &Starts) {
    let note = |starts: &Starts| {
        format!(
            "{} of {} at once · p50 {} · p90 {} · p99 {} · {} to pull",
            grouped(starts.warm() as u64),
            grouped(starts.wait_ms.len() as u64),
            duration_ms(starts.percentile_ms(50)),
            duration_ms(starts.percentile_ms(90)),
            duration_ms(starts.percentile_ms(99)),
            bytes(starts.pulled_bytes)
        )
    };
    let curves = curves(aware, blind);
    let body = cdf::legend(&curves, &[note(blind), note(aware)]) + &cdf::draw(PAGE_FRAME, &curves);
    let intro = "Share of the machines whose image is ready within a time, after the burst. The same requests on the same \
                 caches; only the choice of the host differs. Left of 1 s the scale is linear, right of it logarithmic.";
    page.section("starts", "How soon machines can start", intro, &body);
}

/// The kill and what came of it.
pub fn marks(killed: &Killed) -> Vec<Mark> {
    let label = format!("SIGKILL to node {}, the leader", killed.node);
    let mut marks = vec![Mark { at_ms: killed.after_ms, label, class: "kill" }];
    if let Some(failover) = killed.failover_ms {
        let label = format!("node {} places, {failover:.0} ms later", killed.new_leader);
        marks.push(Mark { at_ms: killed.after_ms + failover, label, class: "after" });
    }
    marks
}

fn timeline(page: &mut Page, results: &Results) {
    let plain = results.aware.timeline(BUCKET);
    let killed = results.killed.as_ref().map(|killed| (killed, results.last.timeline(BUCKET)));
    let longest = plain.len().max(killed.as_ref().map_or(0, |(_, counts)| counts.len()));
    let until_ms = longest as f64 * BUCKET.as_secs_f64() * 1_000.0;
    let base = Bars {
        describes: "Acknowledged placements in each 50 ms of the burst",
        class: "aware",
        bucket_ms: BUCKET.as_secs_f64() * 1_000.0,
        counts: &plain,
        until_ms,
        most: 0,
        marks: &[],
        width: 1_040.0,
        height: 170.0,
        unit: "placements",
    };
    let mut body = format!("<h3>Undisturbed: {:.2} s</h3>{}", results.aware.took.as_secs_f64(), bars::draw(&base));
    if let Some((killed, counts)) = &killed {
        let marks = marks(killed);
        let bars = Bars {
            describes: "Acknowledged placements in each 50 ms while the leader was killed",
            counts,
            marks: &marks,
            height: 200.0,
            ..base
        };
        let (took, back) = (results.last.took.as_secs_f64(), killed.back_ms / 1_000.0);
        body += &format!(
            "<h3>Leader killed half way: {took:.2} s; the killed node had caught up {back:.1} s after it died</h3>{}",
            bars::draw(&bars)
        );
    }
    let intro = "Acknowledged placements in each 50 ms. An acknowledgement means that the placement is on the disks of at \
                 least two of the three nodes. Clients repeat what was not answered with the same request id.";
    page.section("timeline", "Acknowledgements over time", intro, &body);
}

/// The fleet as the replicas list it at the end.
pub fn cells(results: &Results, apps: &[AppFigures]) -> Vec<HostCells> {
    let row_of: HashMap<usize, usize> = apps.iter().enumerate().map(|(row, app)| (app.tenant, row)).collect();
    let burst = &results.last;
    let asked: HashMap<String, usize> =
        (0..burst.answers.len()).map(|at| (burst.request_id(at), results.ask_of_last(at).tenant)).collect();
    let mut hosts: Vec<HostCells> = results
        .hosts
        .iter()
        .map(|host| HostCells {
            name: host.name.clone(),
            region: host.region.to_owned(),
            zone: host.zone.clone(),
            model: host.model.clone(),
            gpus: vec![Gpu::default(); host.gpus as usize],
        })
        .collect();
    let numbers: HashMap<&str, usize> =
        results.hosts.iter().enumerate().map(|(at, host)| (host.name.as_str(), at)).collect();
    for reservation in &results.standing {
        let Some(&host) = numbers.get(reservation.host.as_str()) else { continue };
        let row = asked.get(&reservation.request_id).and_then(|tenant| row_of.get(tenant));
        for share in &reservation.devices {
            if let Some(gpu) = hosts[host].gpus.get_mut(share.index as usize) {
                gpu.used_milli += share.milli;
                gpu.apps.extend(row);
            }
        }
    }
    hosts
}

fn map(page: &mut Page, results: &Results, cells: &[HostCells]) {
    let used = cells.iter().filter(|host| host.gpus.iter().any(|gpu| gpu.used_milli > 0)).count();
    let intro = format!(
        "Every cell is a GPU, every block a host. {} machines stand on {} of {} hosts: shares are packed onto few GPUs, and \
         applications gather where their layers lie.",
        grouped(results.standing.len() as u64),
        grouped(used as u64),
        grouped(cells.len() as u64)
    );
    let body = fleet_map::legend() + &fleet_map::draw(cells, PAGE_SIZES);
    page.section("fleet", "The fleet's GPUs after the burst", &intro, &body);
}

fn name(results: &Results, app: &AppFigures) -> String {
    let full = &results.tenants[app.tenant].app.name;
    full.rsplit('/').next().unwrap_or(full).to_owned()
}

fn app_table(results: &Results, apps: &[AppFigures]) -> String {
    let most =
        apps.iter().map(|app| app.aware.pulled_bytes.max(app.blind.pulled_bytes)).max().unwrap_or(1).max(1) as f64;
    let rows = apps.iter().enumerate().map(|(at, app)| {
        let tenant = &results.tenants[app.tenant];
        let image = tenant.app.newest();
        let limits = [tenant.kinds.join(" "), tenant.regions.join(" ")].into_iter().filter(|part| !part.is_empty());
        let limits = limits.collect::<Vec<_>>().join(", ");
        let bar =
            |starts: &Starts, class| Cell::Bar(bytes(starts.pulled_bytes), starts.pulled_bytes as f64 / most, class);
        let wait = |starts: &Starts| Cell::Number(duration_ms(starts.percentile_ms(90)));
        Row {
            app: Some(at),
            cells: vec![
                Cell::Text(name(results, app)),
                Cell::Text(if limits.is_empty() { "any".into() } else { limits }),
                Cell::Number(bytes(image.size_bytes)),
                Cell::Number(grouped(app.requests as u64)),
                Cell::Number(grouped(app.hosts_aware as u64)),
                Cell::Number(grouped(app.hosts_blind as u64)),
                bar(&app.aware, "aware"),
                bar(&app.blind, "blind"),
                wait(&app.aware),
                wait(&app.blind),
            ],
        }
    });
    let head = [
        "application",
        "limited to",
        "image",
        "machines",
        "hosts",
        "hosts, blind",
        "to pull",
        "to pull, blind",
        "p90",
        "p90, blind",
    ];
    table::draw("app-table", &head, &rows.collect::<Vec<_>>())
}

fn promises(page: &mut Page, results: &Results) {
    let findings = &results.findings;
    let bursts =
        if results.killed.is_some() { "three bursts, one of them without its leader half way" } else { "three bursts" };
    let checks = [
        (
            findings.oversubscribed == 0,
            "No GPU, CPU or memory promised twice",
            "every host of every replica, summed from its reservations",
        ),
        (findings.lost == 0, "Every acknowledged placement is on all replicas", "same host, same GPUs, same fence"),
        (
            findings.duplicated == 0,
            "One answer and one machine a request",
            "also for those that were sent again after the kill",
        ),
        (
            findings.unasked == 0,
            "Nothing stands that nobody asked for",
            "each reservation belongs to a request of this run",
        ),
        (findings.hashes_equal, "Equal state on all replicas", "hashes over everything, at the same rev"),
    ];
    let items = checks.iter().map(|(kept, what, how)| {
        let class = if *kept { "" } else { " class=\"broken\"" };
        format!("<li{class}>{}<small>{}</small></li>", escape(what), escape(how))
    });
    let rows: Vec<Row> = results
        .replicas
        .iter()
        .map(|replica| Row {
            app: None,
            cells: vec![
                Cell::Text(format!("node {}", replica.node)),
                Cell::Number(grouped(replica.rev)),
                Cell::Number(replica.state_hash.clone()),
            ],
        })
        .collect();
    let body = format!(
        "<ul class=\"checks\">{}</ul><h3>Replicas at the end</h3>{}",
        items.collect::<String>(),
        table::draw("replicas", &["replica", "rev", "state hash"], &rows)
    );
    let intro = format!(
        "Checked from outside after each of the {bursts}: what callers were told against what each replica lists."
    );
    page.section("promises", "Promises, audited", &intro, &body);
}

fn method(page: &mut Page, results: &Results) {
    let modelled = results.tenants.iter().filter(|tenant| tenant.app.newest().modelled).count();
    let history = match results.policy {
        crate::demo::Policy::Blind => "placed without image knowledge, so that the caches owe nothing to it",
        crate::demo::Policy::Gantry => "placed next to their layers, as the burst is",
    };
    let paragraphs = [
        format!(
            "Before the burst a history of {} machines over ten rounds of deployments ({} tag moves) was {history}; their hosts pulled \
             what was missing into least-recently-used caches, which held {} in the end. All machines were then released.",
            grouped(results.history.placed),
            grouped(results.history.tag_moves),
            bytes(results.cached_bytes)
        ),
        "Waits are modelled, placements are real. A host downloads missing layers one after another at 250 MB/s and unpacks them at \
         73 MB/s of compressed bytes while the next one downloads; a layer that an earlier machine of the burst waits for is not pulled \
         twice. The rates are published observations (prism-science/sampleworks PR 342; build output of nvidia/cuda 12.4.1 images)."
            .to_owned(),
        format!(
            "The fleet has the shape of the public openb GPU cluster (Beware of Fragmentation, ATC '23); regions and cache disks are ours. \
             Layer digests and sizes of {} of the {} applications are modelled after public statements, the others were observed in registries. \
             Seed {}.",
            modelled,
            results.tenants.len(),
            results.seed
        ),
    ];
    let body: String = paragraphs.iter().map(|text| format!("<p>{}</p>", escape(text))).collect();
    page.section("method", "How this was made", "", &format!("<div class=\"method\">{body}</div>"));
}

#[cfg(test)]
mod tests;
