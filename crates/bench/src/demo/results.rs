//! What the demo found: figures, a table for people, a JSON object for programs.

use std::collections::{BTreeMap, HashMap, HashSet};

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use gantry_types::WHOLE_GPU_MILLI;
use serde_json::json;

use super::{
    agents,
    burst::Burst,
    history,
    workload::{Ask, Tenant},
};
use crate::{
    audit::{Findings, Replica},
    catalogue::{Layer, LayerNo},
    fleet::Host,
    pull::Starts,
    report,
};

/// Room of the fleet, in what the largest burst asks for, from which on nothing may be refused.
const ROOM: u64 = 2;

/// The leader that was killed while the last burst ran.
#[derive(Debug)]
pub struct Killed {
    pub node: u64,
    /// From the burst's start.
    pub after_ms: f64,
    /// From the kill to the first acknowledgement of a placement that the new leader granted.
    pub failover_ms: Option<f64>,
    pub new_leader: u64,
    /// From the kill until the killed node had caught up again.
    pub back_ms: f64,
}

#[derive(Debug)]
pub struct Results {
    pub hosts: Vec<Host>,
    pub images: usize,
    pub layers: Vec<Layer>,
    pub nodes: usize,
    pub seed: u64,
    pub tenants: Vec<Tenant>,
    pub asks: Vec<Ask>,
    pub policy: history::Policy,
    pub history: history::Totals,
    pub cached_bytes: u64,
    pub caches: Vec<Vec<LayerNo>>,
    pub aware: Burst,
    pub blind: Burst,
    /// The burst whose machines stand at the end; the one that lost its leader, where one was killed.
    pub last: Burst,
    pub killed: Option<Killed>,
    pub confirmed: u64,
    pub agents: agents::Totals,
    pub findings: Findings,
    /// Without their reservations.
    pub replicas: Vec<Replica>,
    /// Reservations at the end, as the first replica lists them.
    pub standing: Vec<gantry_proto::v1::Reservation>,
    pub elapsed_s: f64,
}

/// One application's part of the burst.
#[derive(Clone, Debug, Default)]
pub struct AppFigures {
    pub tenant: usize,
    pub requests: usize,
    pub aware: Starts,
    pub blind: Starts,
    pub hosts_aware: usize,
    pub hosts_blind: usize,
}

impl Results {
    /// Every request was answered, and every promise kept.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut count = |what: &str, number: u64| {
            if number > 0 {
                broken.push(format!("{number} {what}"));
            }
        };
        count("resources oversubscribed", self.findings.oversubscribed);
        count("acknowledged placements lost", self.findings.lost);
        count("requests answered or placed twice", self.findings.duplicated);
        count("reservations that nobody asked for", self.findings.unasked);
        let bursts = self.bursts();
        count("requests without an answer", bursts.iter().map(|burst| burst.unknown() as u64).sum());
        if self.has_room_for_all() {
            count("requests refused by a fleet with room", bursts.iter().map(|burst| burst.refused() as u64).sum());
        }
        count("placements that no host confirmed", (self.last.placed().count() as u64).saturating_sub(self.confirmed));
        if !self.findings.hashes_equal {
            broken.push("state hashes differ".into());
        }
        if self.killed.as_ref().is_some_and(|killed| killed.failover_ms.is_none()) {
            broken.push("no placement after the leader was killed".into());
        }
        broken
    }

    pub fn bursts(&self) -> [&Burst; 3] {
        [&self.aware, &self.blind, &self.last]
    }

    /// Whether the fleet has so much more than the largest burst asks for that no refusal can be honest.
    fn has_room_for_all(&self) -> bool {
        let milli = |ask: &Ask| {
            let gpu = ask.request.shape.as_ref().and_then(|shape| shape.gpu.as_ref());
            gpu.map_or(0, |gpu| u64::from(gpu.milli) * u64::from(gpu.count))
        };
        let asked: u64 = (0..self.last.answers.len()).map(|at| milli(self.ask_of_last(at))).sum();
        asked * ROOM <= self.gpus() * u64::from(WHOLE_GPU_MILLI)
    }

    /// What a request of the last burst asked for: it may be the burst several times over.
    pub fn ask_of_last(&self, at: usize) -> &Ask {
        &self.asks[at % self.asks.len()]
    }

    /// The starts of those requests that were placed with and without knowledge of layers: only they can be compared.
    pub fn starts(&self, burst: &Burst) -> Starts {
        let rows = self.grants(burst);
        Starts::of(rows.iter().map(|&(_, host, ask)| (host, &*self.asks[ask].image)), &self.caches, &self.layers)
    }

    /// (reservation, host, request) in the order in which they were granted, of the requests that are compared.
    fn grants(&self, burst: &Burst) -> Vec<(u64, usize, usize)> {
        let numbers: HashMap<&str, usize> =
            self.hosts.iter().enumerate().map(|(at, h)| (h.name.as_str(), at)).collect();
        let aware: HashSet<usize> = self.aware.placed().map(|(ask, ..)| ask).collect();
        let both: HashSet<usize> = self.blind.placed().map(|(ask, ..)| ask).filter(|ask| aware.contains(ask)).collect();
        let compared = burst.placed().filter(|(ask, ..)| both.contains(ask));
        let placed = compared.filter_map(|(ask, _, r)| Some((r.id, *numbers.get(r.host.as_str())?, ask)));
        let mut rows: Vec<_> = placed.collect();
        rows.sort_unstable();
        rows
    }

    /// By requests, most first.
    pub fn apps(&self) -> Vec<AppFigures> {
        let mut apps: BTreeMap<usize, AppFigures> = BTreeMap::new();
        for ask in &self.asks {
            let figures = apps.entry(ask.tenant).or_default();
            figures.tenant = ask.tenant;
            figures.requests += 1;
        }
        for (burst, aware) in [(&self.aware, true), (&self.blind, false)] {
            // The waits are those in the whole burst: machines of other applications queue on the same links.
            let mut links: HashMap<usize, crate::pull::Host> = HashMap::new();
            let mut hosts: BTreeMap<usize, HashSet<usize>> = BTreeMap::new();
            for (_, host, ask) in self.grants(burst) {
                let ask = &self.asks[ask];
                let link =
                    links.entry(host).or_insert_with(|| crate::pull::Host::holding(self.caches[host].iter().copied()));
                let start = link.start(&ask.image, &self.layers);
                hosts.entry(ask.tenant).or_default().insert(host);
                if let Some(figures) = apps.get_mut(&ask.tenant) {
                    let starts = if aware { &mut figures.aware } else { &mut figures.blind };
                    starts.pulled_bytes += start.pulled_bytes;
                    starts.wait_ms.push(start.wait_ms);
                }
            }
            for figures in apps.values_mut() {
                let count = hosts.get(&figures.tenant).map_or(0, HashSet::len);
                *(if aware { &mut figures.hosts_aware } else { &mut figures.hosts_blind }) = count;
                figures.aware.wait_ms.sort_unstable();
                figures.blind.wait_ms.sort_unstable();
            }
        }
        let mut apps: Vec<_> = apps.into_values().collect();
        apps.sort_by_key(|app| std::cmp::Reverse(app.requests));
        apps
    }

    pub fn gpus(&self) -> u64 {
        self.hosts.iter().map(|host| u64::from(host.gpus)).sum()
    }

    pub fn json(&self) -> serde_json::Value {
        let (aware, blind) = (self.starts(&self.aware), self.starts(&self.blind));
        let start = |starts: &Starts| {
            json!({
                "p50": starts.percentile_ms(50), "p90": starts.percentile_ms(90), "p99": starts.percentile_ms(99),
                "mean": starts.mean_ms(), "at_once": starts.warm(),
            })
        };
        let killed = self.killed.as_ref();
        json!({
            "nodes": self.nodes,
            "hosts": self.hosts.len(),
            "gpus": self.gpus(),
            "images": self.images,
            "seed": self.seed,
            "apps": self.asks.iter().map(|ask| ask.tenant).collect::<HashSet<_>>().len(),
            "requests": self.last.answers.len(),
            "gpu_requests": (0..self.last.answers.len()).filter(|&at| asks_for_gpu(self.ask_of_last(at))).count(),
            "at_once": self.asks.len(),
            "placed": self.last.placed().count(),
            "refused": self.last.refused(),
            "placed_layer_aware": self.aware.placed().count(),
            "placed_image_blind": self.blind.placed().count(),
            "compared": aware.wait_ms.len(),
            "confirmed": self.confirmed,
            "oversubscribed": self.findings.oversubscribed,
            "lost": self.findings.lost,
            "duplicated": self.findings.duplicated,
            "leader_killed": killed.is_some(),
            "failover_ms": killed.and_then(|killed| killed.failover_ms).map(f64::round),
            "state_hashes_equal": self.findings.hashes_equal,
            "state_hash": self.replicas.first().map(|replica| replica.state_hash.as_str()),
            "rev": self.replicas.first().map(|replica| replica.rev),
            "bytes_pulled": aware.pulled_bytes,
            "bytes_pulled_image_blind": blind.pulled_bytes,
            "start_ms": start(&aware),
            "start_ms_image_blind": start(&blind),
            "burst_seconds": thousandths(self.aware.took.as_secs_f64()),
            "burst_image_blind_seconds": thousandths(self.blind.took.as_secs_f64()),
            "burst_with_kill_seconds": killed.map(|_| thousandths(self.last.took.as_secs_f64())),
            "agent_reconnects": self.agents.reconnects,
            "agent_messages_refused": self.agents.refused,
            "history": if self.policy == history::Policy::Gantry { "gantry" } else { "blind" },
            "history_placed": self.history.placed,
            "history_missing": self.history.missing,
            "elapsed_s": thousandths(self.elapsed_s),
        })
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let (aware, blind) = (self.starts(&self.aware), self.starts(&self.blind));
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        let rate = |burst: &Burst| {
            let seconds = burst.took.as_secs_f64();
            format!(
                "{} placed in {seconds:.2} s, {} refused",
                report::grouped(burst.placed().count() as u64),
                burst.refused()
            )
        };
        let start = |starts: &Starts| {
            let [p50, p90, p99] = [50, 90, 99].map(|percent| report::duration_ms(starts.percentile_ms(percent)));
            format!("p50 {p50}, p90 {p90}, p99 {p99}; {} at once", starts.warm())
        };
        let mut row = |what: &str, said: String| {
            table.add_row([what.to_owned(), said]);
        };
        let (hosts, gpus) = (report::grouped(self.hosts.len() as u64), report::grouped(self.gpus()));
        row("cluster", format!("{} server processes, {hosts} hosts, {gpus} GPUs, {} images", self.nodes, self.images));
        row("burst", rate(&self.aware));
        row("start times", start(&aware));
        row("bytes to pull", report::bytes(aware.pulled_bytes));
        row("the same, image-blind", start(&blind));
        row("bytes to pull, image-blind", report::bytes(blind.pulled_bytes));
        if let Some(killed) = &self.killed {
            row("burst, leader killed half way", rate(&self.last));
            let failover = killed.failover_ms.map_or("nothing was placed".into(), |ms| format!("{ms:.0} ms"));
            row("from the kill to a new placement", failover);
        }
        row("audit", self.findings.to_string());
        if let Some(replica) = self.replicas.first() {
            let agrees =
                if self.findings.hashes_equal { "the same on all replicas" } else { "not the same everywhere" };
            row("state", format!("{} at rev {}, {agrees}", replica.state_hash, replica.rev));
        }
        row("elapsed", format!("{:.1} s", self.elapsed_s));
        table.to_string()
    }
}

fn asks_for_gpu(ask: &Ask) -> bool {
    ask.request.shape.as_ref().is_some_and(|shape| shape.gpu.is_some())
}

fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
