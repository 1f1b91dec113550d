//! What lies in a real containerd, and what the cluster hears of it.

use std::{collections::BTreeMap, io::Write, process::Stdio};

use gantry_agent::Config;
use gantry_proto::v1::{LayerState, Phase, Reservation, Shape};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream, task::JoinHandle};

use crate::{
    cluster::Cluster,
    containerd::{Containerd, NAMESPACE, launch},
    image::{Compression, Image, Layer, architecture},
};

const MIB: usize = 1 << 20;

/// An agent, ended with the test.
struct Agent(JoinHandle<()>);

impl Agent {
    fn start(cluster: &Cluster, containerd: &Containerd, more: &str) -> Self {
        let text = format!(
            "cluster = [{:?}]\nhost = \"h\"\nregion = \"ord\"\nzone = \"ord-1\"\n{more}\n[containerd]\nsocket = {:?}\n\
             namespaces = [{NAMESPACE:?}]\n",
            cluster.address,
            containerd.socket()
        );
        let config: Config = toml::from_str(&text).expect("a config");
        Self(tokio::spawn(async { gantry_agent::run(config, std::future::pending()).await.expect("it runs") }))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn layers() -> [Layer; 3] {
    [
        Layer::new(1, 2 * MIB, Compression::Gzip),
        Layer::new(2, MIB, Compression::Zstd),
        Layer::new(3, MIB, Compression::None),
    ]
}

fn states(layers: &[(&Layer, LayerState)]) -> BTreeMap<String, LayerState> {
    layers.iter().map(|(layer, state)| (layer.digest.clone(), *state)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_there_is_told_whole_and_then_what_changes() {
    let Some(containerd) = Containerd::start() else { return };
    let [base, zstd, plain] = layers();
    let first = Image::new("registry.example/base:1", &[&base, &zstd]);
    containerd.import(&first, &[]);
    let cluster = Cluster::start().await;
    let _agent = Agent::start(&cluster, &containerd, "");
    let unpacked = states(&[(&base, LayerState::Unpacked), (&zstd, LayerState::Unpacked)]);
    let heard = cluster.until("a full report", |heard| heard.layers.len() == 2 && heard.images.len() == 1).await;
    assert_eq!(cluster.states(), unpacked);
    assert_eq!(heard.reports, [(true, 2)]);
    for layer in [&base, &zstd] {
        let told = &heard.layers[&layer.digest];
        assert_eq!((told.size_bytes, &told.diff_id), (layer.size(), &layer.diff_id));
    }
    let image = &heard.images["registry.example/base:1"];
    assert_eq!((&image.digest, &image.platform), (&first.manifest, &format!("linux/{}", architecture())));
    assert_eq!(image.layers.iter().map(|layer| &layer.digest).collect::<Vec<_>>(), [&base.digest, &zstd.digest]);

    let second = Image::new("registry.example/app:1", &[&base, &plain]);
    containerd.import(&second, &[]);
    let is_unpacked = |digest: &str, layers: &BTreeMap<String, _>| layers.contains_key(digest);
    let heard = cluster.until("the new layer", |heard| is_unpacked(&plain.digest, &heard.layers)).await;
    assert!(heard.reports[1..].iter().all(|&(full, named)| !full && named == 1), "{:?}", heard.reports);
    cluster.until("unpacked", |heard| heard.layers[&plain.digest].state() == LayerState::Unpacked).await;
    cluster.until("the new image", |heard| heard.images.contains_key("registry.example/app:1")).await;

    containerd.remove("registry.example/app:1");
    cluster.until("collected", |heard| !heard.layers.contains_key(&plain.digest)).await;
    assert_eq!(cluster.states(), unpacked, "the base is still used");
    containerd.remove("registry.example/base:1");
    let heard = cluster.until("all collected", |heard| heard.layers.is_empty()).await;
    assert!(heard.reports[1..].iter().all(|&(full, _)| !full), "{:?}", heard.reports);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_not_unpacked_and_a_write_is_a_pull() {
    let Some(containerd) = Containerd::start() else { return };
    let [base, zstd, plain] = layers();
    let image = Image::new("registry.example/base:1", &[&base, &zstd]);
    let cluster = Cluster::start().await;
    let _agent = Agent::start(&cluster, &containerd, "");
    cluster.until("an empty report", |heard| heard.reports == [(true, 0)]).await;
    containerd.import(&image, &["--no-unpack"]);
    cluster.until("blobs", |heard| heard.layers.len() == 2).await;
    assert_eq!(cluster.states(), states(&[(&base, LayerState::Blob), (&zstd, LayerState::Blob)]));
    containerd.ctr(&["snapshot", "unpack", &image.index]);
    let both = states(&[(&base, LayerState::Unpacked), (&zstd, LayerState::Unpacked)]);
    cluster.until("unpacked", |_| cluster.states() == both).await;

    // A layer that nothing names, written slowly.
    let reference = format!("layer-{}", plain.digest);
    let size = plain.size().to_string();
    let args = ["content", "ingest", "--expected-digest", &plain.digest, "--expected-size", &size, &reference];
    let mut writer = containerd.command(&args).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ctr runs");
    let mut stdin = writer.stdin.take().expect("it was asked for");
    let (half, rest) = plain.blob.split_at(plain.blob.len() / 2);
    stdin.write_all(half).expect("ctr reads");
    let pulling = |layer: &gantry_proto::v1::LayerOnHost| layer.state() == LayerState::Pulling;
    let heard = cluster.until("a pull", |heard| heard.layers.get(&plain.digest).is_some_and(pulling)).await;
    let told = &heard.layers[&plain.digest];
    assert_eq!(told.size_bytes, plain.size());
    assert!(told.fetched_bytes.is_some_and(|fetched| fetched <= half.len() as u64), "{told:?}");
    stdin.write_all(rest).expect("ctr reads");
    drop(stdin);
    assert!(writer.wait().expect("ctr was started above").success());
    // Else it is collected, now or later.
    containerd.ctr(&["content", "label", &plain.digest, "containerd.io/gc.root=test"]);
    let is_blob = |layer: &gantry_proto::v1::LayerOnHost| layer.state() == LayerState::Blob;
    cluster.until("a blob", |heard| heard.layers.get(&plain.digest).is_some_and(is_blob)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_is_right_again_after_containerd_was_killed() {
    let Some(mut containerd) = Containerd::start() else { return };
    let [base, zstd, plain] = layers();
    containerd.import(&Image::new("registry.example/base:1", &[&base, &zstd]), &[]);
    let cluster = Cluster::start().await;
    let _agent = Agent::start(&cluster, &containerd, "");
    cluster.until("a full report", |heard| heard.layers.len() == 2).await;
    containerd.process.kill().expect("it runs");
    containerd.process.wait().expect("it was started by the test");
    containerd.process = launch(containerd.dir.path());
    containerd.wait();
    containerd.import(&Image::new("registry.example/app:1", &[&base, &plain]), &[]);
    containerd.remove("registry.example/base:1");
    let after = states(&[(&base, LayerState::Unpacked), (&plain, LayerState::Unpacked)]);
    let heard = cluster.until("what is there now", |_| cluster.states() == after).await;
    assert!(heard.reports[1..].iter().all(|&(full, _)| !full), "no report was empty: {:?}", heard.reports);
    assert_eq!(heard.connections, 1, "the cluster noticed nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_an_image_took_is_measured_for_the_app_that_waited() {
    let Some(containerd) = Containerd::start() else { return };
    let [base, zstd, plain] = layers();
    containerd.import(&Image::new("registry.example/base:1", &[&base]), &[]);
    let cluster = Cluster::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let _agent = Agent::start(&cluster, &containerd, &format!("metrics_listen = \"{port}\""));
    cluster.until("a full report", |heard| heard.layers.len() == 1).await;
    let row = Reservation {
        id: 7,
        fence: 7,
        app: "shop".to_owned(),
        image: "registry.example/app:1".to_owned(),
        shape: Some(Shape { memory_bytes: 1, ..Shape::default() }),
        phase: Phase::Reserved.into(),
        ..Reservation::default()
    };
    cluster.grant(row);
    cluster.until("confirmed", |heard| heard.confirmed == [7]).await;
    containerd.import(&Image::new("registry.example/app:1", &[&base, &zstd, &plain]), &[]);
    let heard = cluster.until("measured", |heard| !heard.pulled.is_empty()).await;
    assert_eq!(heard.pulled[0].fetched_bytes, 0, "a file on the host says nothing of the link");
    assert_eq!(heard.pulled[0].unpacked_bytes, zstd.size() + plain.size());
    let page = scrape(&port.to_string()).await;
    let labels = "{app=\"shop\",region=\"ord\",image=\"registry.example/app:1\"}";
    for line in [
        format!("gantry_agent_image_prepare_seconds_count{labels} 1"),
        format!("gantry_agent_image_layers_found_total{labels} 1"),
        format!("gantry_agent_image_layers_fetched_total{labels} 2"),
        format!("gantry_agent_image_fetched_bytes_total{labels} {}", zstd.size() + plain.size()),
        "gantry_agent_layers{state=\"unpacked\"} 3".to_owned(),
        "gantry_agent_containerd_up 1".to_owned(),
        "gantry_agent_connected 1".to_owned(),
        "gantry_agent_reservations 1".to_owned(),
    ] {
        assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("registry.example/base:1"), "it lay there before:\n{page}");
}

async fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the page is served");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is read");
    let mut page = String::new();
    stream.read_to_string(&mut page).await.expect("it is answered");
    page
}
