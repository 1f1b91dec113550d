//! Real agents on real containerds: machines go where their image lies, and elsewhere once it is gone.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gantry_bench::cluster::Cluster;
use gantry_client::v1;

use crate::{
    containerd::{Containerd, NAMESPACE},
    image::{Compression, Image, Layer},
    support::{gantry, start},
};

/// Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const MIB: usize = 1 << 20;

/// A host: its containerd and its agent, which end with the test.
pub struct Host {
    pub containerd: Containerd,
    agent: Child,
    /// Of its metrics.
    page: SocketAddr,
}

impl Drop for Host {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to end.
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

impl Host {
    pub fn start(cluster: &Cluster, name: &str) -> Option<Self> {
        let containerd = Containerd::start()?;
        let config = containerd.dir.path().join("agent.toml");
        let page = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let text = format!(
            "cluster = {:?}\nhost = {name:?}\nregion = \"ord\"\nzone = \"zone-of-{name}\"\n\
             metrics_listen = \"{page}\"\n[capacity]\n\
             cpu_shared_milli = 8000\nmemory_bytes = 8589934592\ncache_bytes = 107374182400\n[gpu]\nignore = true\n\
             [containerd]\nsocket = {:?}\nnamespaces = [{NAMESPACE:?}]\n",
            cluster.addrs(),
            containerd.socket()
        );
        std::fs::write(&config, text).expect("a temporary directory can be written");
        let mut agent = Command::new(gantry());
        agent.args(["agent", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { containerd, agent: agent.spawn().expect("the binary runs"), page })
    }
}

impl Host {
    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.page).expect("the page is served");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.page);
        stream.write_all(request.as_bytes()).expect("it is read");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("it is answered");
        page
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_go_where_their_image_lies_and_elsewhere_once_it_is_gone() {
    let cluster = start().await;
    let (Some(some), Some(all)) = (Host::start(&cluster, "some"), Host::start(&cluster, "all")) else { return };
    let base = Layer::new(1, 8 * MIB, Compression::Gzip);
    let top = Layer::new(2, 8 * MIB, Compression::Zstd);
    let bare = Image::new("registry.example/base:1", &[&base]);
    let app = Image::new("registry.example/app:1", &[&base, &top]);
    some.containerd.import(&bare, &[]);
    all.containerd.import(&app, &[]);
    assert!(all.containerd.ctr(&["image", "ls"]).contains(&app.index), "it lies there as its builder made it");
    layers(&cluster, "some", base.size()).await;
    layers(&cluster, "all", base.size() + top.size()).await;
    image(&cluster, "registry.example/app:1", &app.manifest).await;

    let first = place(&cluster, "first", "registry.example/app:1").await;
    assert_eq!(first.host, "all");
    // Nobody has pulled this one, which is made from the other.
    let own = Layer::new(3, MIB, Compression::None);
    let made = recorded("registry.example/made:1", &[&base, &top, &own]);
    cluster.client().record_image(v1::RecordImageRequest { image: Some(made) }).await.expect("a good image");
    let second = place(&cluster, "second", "registry.example/made:1").await;
    assert_eq!(second.host, "all");

    // As long as they stand, what they need is taken to be on its way.
    let ended = v1::ReleaseRequest { request_id: "ended".to_owned(), reservation_ids: vec![first.id, second.id] };
    cluster.client().release(ended).await.expect("they stand");
    all.containerd.remove("registry.example/app:1");
    layers(&cluster, "all", 0).await;
    assert_eq!(place(&cluster, "third", "registry.example/app:1").await.host, "some");

    // Its image comes, and what that took stands beside what the cluster expected.
    some.containerd.import(&app, &[]);
    let labels = "{app=\"third\",region=\"ord\",image=\"registry.example/app:1\"}";
    until("both are counted", async || {
        let page = some.scrape();
        ["prepare_seconds", "prepare_expected_seconds", "prepare_error_ratio"]
            .iter()
            .all(|name| page.contains(&format!("gantry_agent_image_{name}_count{labels} 1\n")))
    })
    .await;
}

/// Waits until the layers of a host are so many bytes.
pub async fn layers(cluster: &Cluster, host: &str, bytes: u64) {
    let name = host.to_owned();
    until(&format!("{host} has {bytes} bytes of layers"), async || {
        let found = cluster.client().get_host(v1::GetHostRequest { name: name.clone() }).await;
        found.is_ok_and(|found| found.host.is_some_and(|host| host.layer_bytes == bytes))
    })
    .await;
}

pub async fn image(cluster: &Cluster, reference: &str, digest: &str) {
    until(&format!("{reference} is known"), async || {
        let listed = cluster.client().list_images(v1::ListImagesRequest::default()).await;
        let is_it = |image: &v1::ImageSummary| image.reference == reference && image.digest == digest;
        listed.is_ok_and(|listed| listed.images.iter().any(is_it))
    })
    .await;
}

/// For a machine of an app of its own.
fn request(app: &str, image: &str) -> v1::PlaceRequest {
    let shape = v1::Shape { cpu_milli: 100, memory_bytes: 1 << 20, ..v1::Shape::default() };
    v1::PlaceRequest {
        request_id: app.to_owned(),
        app: app.to_owned(),
        image: image.to_owned(),
        shape: Some(shape),
        count: 1,
        lease_ms: 600_000,
        ..v1::PlaceRequest::default()
    }
}

/// Places a machine, and waits until the agent has confirmed it.
pub async fn place(cluster: &Cluster, app: &str, image: &str) -> v1::Reservation {
    let placed = cluster.client().place(request(app, image)).await.expect("there is room");
    assert!(placed.choices[0].image_known, "{placed:?}");
    let id = placed.reservations[0].id;
    until(&format!("{app} is confirmed"), async || {
        let got = cluster.client().get(v1::GetRequest { key: Some(v1::get_request::Key::ReservationId(id)) }).await;
        got.is_ok_and(|got| got.reservations.iter().any(|row| row.phase() == v1::Phase::Allocated))
    })
    .await;
    placed.reservations[0].clone()
}

fn recorded(reference: &str, layers: &[&Layer]) -> v1::Image {
    let layer = |layer: &&Layer| v1::Layer {
        digest: layer.digest.clone(),
        size_bytes: layer.size(),
        diff_id: layer.diff_id.clone(),
    };
    v1::Image {
        reference: reference.to_owned(),
        digest: format!("sha256:{}", "7a".repeat(32)),
        platform: "linux/amd64".to_owned(),
        layers: layers.iter().map(layer).collect(),
    }
}

pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: never so");
        tokio::time::sleep(PAUSE).await;
    }
}
