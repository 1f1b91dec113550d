//! Images that only a registry has named: machines go where their layers lie all the same.

use std::path::Path;

use gantry_bench::cluster::{Cluster, free_ports};
use gantry_client::v1;
use serde_json::json;

use crate::{
    agents::{Host, image, layers, place, until},
    image::{Compression, Image, Layer},
    registry::{Registry, Wanted},
    support::{done, gantry, run},
};

const MIB: usize = 1 << 20;

/// Three servers that ask one registry, which tells `of` them what is pushed.
async fn start(of: usize) -> Option<(Cluster, Registry)> {
    let port = free_ports(1).expect("a free port")[0];
    // As long as it takes: what is tried here is not how fast a loaded machine is.
    let config =
        format!("[images]\nbudget_ms = 10000\n[images.registries.hosts.\"127.0.0.1:{port}\"]\nplain_http = true\n");
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let cluster = Cluster::start_configured(gantry(), base, &config).await.expect("three servers form a cluster");
    let told = format!("http://{}/v1/registry/events", cluster.addrs()[of]);
    let registry = Registry::start(Wanted { tells: Some(&told), port, ..Wanted::default() })?;
    Some((cluster, registry))
}

fn push(registry: &Registry, image: &Image, name: &str, flags: &[&str]) {
    let file = registry.dir.path().join("image.tar");
    image.write(&file);
    registry.push(&file, name, flags);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_go_where_the_layers_lie_of_an_image_that_only_its_registry_has_named() {
    let Some((cluster, registry)) = start(0).await else { return };
    let (Some(some), Some(all)) = (Host::start(&cluster, "some"), Host::start(&cluster, "all")) else { return };
    let base = Layer::new(1, 8 * MIB, Compression::Gzip);
    let (top, other) = (Layer::new(2, 8 * MIB, Compression::Zstd), Layer::new(3, MIB, Compression::Gzip));
    let built = Image::new("built", &[&base, &top]);
    push(&registry, &built, "team/built:1", &["--all", "--preserve-digests"]);
    push(&registry, &Image::new("docker", &[&base, &other]), "team/docker:1", &["--format", "v2s2"]);
    all.containerd.import(&Image::new("registry.example/mine:1", &[&base, &top, &other]), &[]);
    some.containerd.import(&Image::new("registry.example/base:1", &[&base]), &[]);
    layers(&cluster, "all", base.size() + top.size() + other.size()).await;
    layers(&cluster, "some", base.size()).await;

    let reference = |name: &str| format!("{}/team/{name}:1", registry.host);
    until("all of it is unpacked where it was imported", async || {
        let shown = done(&cluster.addrs()[1], &["image", "show", &reference("built")]);
        let layer = |at: usize| (shown["layers"][at]["digest"].clone(), shown["layers"][at]["unpacked"].clone());
        let is_so = layer(0) == (json!(base.digest), json!(2)) && layer(1) == (json!(top.digest), json!(1));
        is_so && shown["ready"][0]["host"] == "all"
    })
    .await;
    let first = place(&cluster, "first", &reference("built")).await;
    assert_eq!(first.host, "all");
    image(&cluster, &reference("built"), &built.manifest).await;
    let (code, said) = run(&cluster.addrs()[1], &["image", "show", &reference("none")]);
    assert!(code == Some(4) && said.contains("UNKNOWN_IMAGE"), "{code:?} {said}");
    let second = place(&cluster, "second", &reference("docker")).await;
    assert_eq!(second.host, "all");

    let ended = v1::ReleaseRequest { request_id: "ended".to_owned(), reservation_ids: vec![first.id, second.id] };
    cluster.client().release(ended).await.expect("they stand");
    all.containerd.remove("registry.example/mine:1");
    layers(&cluster, "all", 0).await;
    assert_eq!(place(&cluster, "third", &reference("docker")).await.host, "some");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_tells_any_member_that_a_tag_has_moved() {
    for of in 0..3 {
        let Some((cluster, registry)) = start(of).await else { return };
        let Some(_host) = Host::start(&cluster, "host") else { return };
        layers(&cluster, "host", 0).await;
        let layer = |seed| Layer::new(seed, MIB / 8, Compression::Gzip);
        let (before, after) = (Image::new("app", &[&layer(1)]), Image::new("app", &[&layer(1), &layer(2)]));
        let reference = format!("{}/team/app:1", registry.host);
        push(&registry, &before, "team/app:1", &["--all", "--preserve-digests"]);
        place(&cluster, "first", &reference).await;
        image(&cluster, &reference, &before.manifest).await;
        push(&registry, &after, "team/app:1", &["--all", "--preserve-digests"]);
        image(&cluster, &reference, &after.manifest).await;
    }
}
