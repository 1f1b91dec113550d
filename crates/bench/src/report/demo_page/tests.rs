use gantry_proto::v1;

use super::*;
use crate::{
    audit::{Findings, Replica},
    cache::Cache,
    catalogue::Catalogue,
    demo::{
        Policy,
        sample::{answer, burst},
        workload,
    },
    fleet,
};

/// A small model of the demo: no servers, hosts chosen by rules of thumb.
fn sample() -> Results {
    let catalogue = Catalogue::built_in().unwrap();
    let hosts = fleet::built_in().unwrap();
    let tenants = workload::tenants(&catalogue, &hosts, 3_000, 3).unwrap();
    let asks = workload::burst(&tenants, 2_000, 3).unwrap();
    let mut caches: Vec<Cache> = hosts.iter().map(|host| Cache::new(host.cache_bytes())).collect();
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..3_000 {
        let tenant = &tenants[(rng.f64() * rng.f64() * tenants.len() as f64) as usize];
        caches[rng.usize(..hosts.len())].use_image(tenant.app.newest(), &catalogue.layers);
    }
    let caches: Vec<Vec<_>> = caches.iter().map(|cache| cache.layers().collect()).collect();
    let mut free: Vec<u32> = hosts.iter().map(|host| host.gpus * 1_000).collect();
    let mut standing = Vec::new();
    let mut place = |aware: bool, name: &str| {
        let mut answers = Vec::new();
        for (at, ask) in asks.iter().enumerate() {
            let milli = ask.request.shape.as_ref().unwrap().gpu.as_ref().map_or(0, |gpu| gpu.milli);
            let has = |&host: &usize| aware && ask.image.layers.iter().all(|layer| caches[host].contains(layer));
            let mut tries = (0..60).map(|_| rng.usize(..hosts.len())).filter(|&host| free[host] >= milli);
            let first = tries.next().unwrap();
            let host = std::iter::once(first).chain(tries).find(has).unwrap_or(first);
            if aware {
                free[host] -= milli;
            }
            let index = free[host] / 1_000;
            let reservation = v1::Reservation {
                id: at as u64 + 1,
                host: hosts[host].name.clone(),
                request_id: format!("{name}-{at:05}"),
                devices: vec![v1::DeviceShare { index, milli }],
                ..Default::default()
            };
            standing.push(reservation.clone());
            let after_ms = at as u64 * 180 / asks.len() as u64 + if name == "killed" && at > 1_000 { 740 } else { 12 };
            answers.push(answer(after_ms, reservation));
        }
        burst(name, answers)
    };
    let (blind, aware, killed) = (place(false, "blind"), place(true, "aware"), place(true, "killed"));
    standing.retain(|reservation| reservation.request_id.starts_with("killed"));
    let replica = |node| Replica { node, rev: 41_000, state_hash: "9c41427ee1e7b1b9".into(), reservations: vec![] };
    Results {
        hosts,
        images: 117,
        layers: catalogue.layers,
        nodes: 3,
        seed: 3,
        tenants,
        asks,
        policy: Policy::Blind,
        history: Default::default(),
        cached_bytes: 41_000_000_000_000,
        caches,
        aware,
        blind,
        last: killed,
        killed: Some(Killed { node: 2, after_ms: 102.0, failover_ms: Some(731.0), new_leader: 3, back_ms: 2_210.0 }),
        confirmed: 2_000,
        agents: Default::default(),
        findings: Findings { hashes_equal: true, ..Default::default() },
        replicas: vec![replica(1), replica(2), replica(3)],
        standing,
        elapsed_s: 21.0,
    }
}

#[test]
fn the_page_has_every_section_and_fetches_nothing() {
    let results = sample();
    let page = draw(&results);
    for id in ["headline", "starts", "timeline", "fleet", "apps", "promises", "method"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "section {id} is missing");
    }
    assert!(page.contains("SIGKILL to node 2") && page.contains("prefers-color-scheme: dark"));
    assert_eq!(page.matches("<tr data-app=").count(), workload::BURST_APPS);
    for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "the page refers to something outside by {outside}");
    }
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
}

#[test]
fn the_small_picture_is_small_and_fetches_nothing() {
    let picture = crate::report::summary::draw(&sample());
    assert!(picture.len() < 60_000, "{} bytes", picture.len());
    assert_eq!(picture.matches("http").count(), 1, "only the namespace names an address");
    assert!(picture.contains("prefers-color-scheme:dark") && picture.contains("NaN").eq(&false));
}

#[test]
fn figures_agree_between_the_table_and_the_object() {
    let results = sample();
    let json = results.json();
    for key in [
        "nodes",
        "hosts",
        "gpus",
        "requests",
        "placed",
        "refused",
        "oversubscribed",
        "lost",
        "duplicated",
        "leader_killed",
        "failover_ms",
        "state_hashes_equal",
        "bytes_pulled",
        "bytes_pulled_image_blind",
        "burst_seconds",
        "burst_with_kill_seconds",
        "elapsed_s",
    ] {
        assert!(!json[key].is_null(), "{key} is missing");
    }
    assert_eq!((json["hosts"].as_u64(), json["gpus"].as_u64()), (Some(1_213), Some(6_212)));
    assert_eq!(json["failover_ms"], 731.0);
    assert!(json["bytes_pulled"].as_u64() < json["bytes_pulled_image_blind"].as_u64());
    let by_app: u64 = results.apps().iter().map(|app| app.blind.pulled_bytes).sum();
    assert_eq!(json["bytes_pulled_image_blind"].as_u64(), Some(by_app));
    assert!(results.broken().is_empty() && results.table().contains("731 ms"));
    let lost = Results { findings: Findings { lost: 2, ..Default::default() }, ..results };
    assert_eq!(lost.broken(), ["2 acknowledged placements lost", "state hashes differ"]);
}
