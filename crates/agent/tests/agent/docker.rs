//! Layers of a Docker Engine: of one that the test makes up, in the shapes that version 20.10 writes, and of a real one.

use std::{collections::BTreeMap, path::Path, time::Duration};

use gantry_agent::Config;
use gantry_proto::v1::LayerState;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    cluster::Cluster,
    containerd::{Containerd, NAMESPACE},
    dockerd::Dockerd,
    engine::{Engine, Reply},
    image::{Compression, Image, Layer},
    registry::{Registry, Wanted},
};

const MIB: usize = 1 << 20;

struct Agent {
    task: JoinHandle<()>,
    metrics: String,
}

impl Agent {
    fn start(cluster: &Cluster, socket: &Path, more: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let metrics = port.expect("a port that is free again").to_string();
        let text = format!(
            "cluster = [{:?}]\nhost = \"h\"\nregion = \"ord\"\nzone = \"ord-1\"\nmetrics_listen = {metrics:?}\n\
             [docker]\nsocket = {socket:?}\n{more}",
            cluster.address
        );
        let config: Config = toml::from_str(&text).expect("a config");
        let running = async { gantry_agent::run(config, std::future::pending()).await.expect("it runs") };
        Self { task: tokio::spawn(running), metrics }
    }

    /// Waits until the page has a line.
    async fn until(&self, line: &str) {
        let waiting = async {
            while !scrape(&self.metrics).await.unwrap_or_default().lines().any(|have| have == line) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {line}"));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn scrape(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}

/// The digest of many of one hexadecimal digit.
fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// An engine with images, each of layers.
fn having(images: &[(char, &[String])]) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let images: BTreeMap<String, Vec<String>> =
        images.iter().map(|(id, layers)| (digest(*id), layers.to_vec())).collect();
    move |path| {
        let image = |id: &str| images.get(id).map(|layers| (id.to_owned(), layers));
        match path.split('?').next().unwrap_or_default() {
            "/info" => Reply::Json(
                json!({ "Driver": "overlay2", "DockerRootDir": "/nowhere", "DriverStatus": [["a", "b"]] }).to_string(),
            ),
            "/events" => Reply::Events,
            "/images/json" => {
                let list = images.keys().map(|id| json!({ "Id": id, "RepoTags": null, "Size": 30, "Containers": -1 }));
                Reply::Json(json!(list.collect::<Vec<_>>()).to_string())
            }
            other => match other.strip_prefix("/images/").and_then(|rest| image(rest.trim_end_matches("/json"))) {
                Some((id, layers)) => {
                    let rootfs = json!({ "Type": "layers", "Layers": layers });
                    Reply::Json(json!({ "Id": id, "Size": 30, "RootFS": rootfs, "Os": "linux" }).to_string())
                }
                None => Reply::Status(404, "{\"message\":\"No such image\"}"),
            },
        }
    }
}

fn told(cluster: &Cluster) -> Vec<(String, LayerState, u64)> {
    let heard = cluster.heard();
    heard.layers.values().map(|layer| (layer.digest.clone(), layer.state(), layer.size_bytes)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engines_layers_are_told_and_what_it_says_wrong_changes_nothing() {
    let cluster = Cluster::start().await;
    let engine = Engine::start(having(&[('1', &[digest('a'), digest('b')]), ('2', &[digest('a')])]));
    let agent = Agent::start(&cluster, &engine.socket(), "");
    cluster.until("both layers", |heard| heard.layers.len() == 2).await;
    // Nobody knows the blobs: each is the plain archive of its content.
    let both = [(digest('a'), LayerState::Unpacked, 15), (digest('b'), LayerState::Unpacked, 15)];
    let sizes = told(&cluster);
    assert_eq!(
        sizes.iter().map(|(digest, state, _)| (digest, state)).collect::<Vec<_>>(),
        both.iter().map(|(digest, state, _)| (digest, state)).collect::<Vec<_>>()
    );
    assert!(cluster.heard().layers.values().all(|layer| layer.diff_id == layer.digest));
    agent.until("gantry_agent_docker_layers_without_blob 2").await;
    agent.until("gantry_agent_docker_up 1").await;

    // An event is enough, and images that are known are not asked for again.
    engine.says(having(&[('1', &[digest('a'), digest('b')]), ('3', &[digest('c')])]));
    engine.happens();
    cluster.until("a new layer", |heard| heard.layers.contains_key(&digest('c'))).await;
    assert_eq!(engine.count(&format!("/images/{}", digest('1'))), 1);

    for wrong in [
        Reply::Json("[{\"Id\": 7}]".to_owned()),
        Reply::Json("not even that".to_owned()),
        Reply::Status(500, "{\"message\":\"layer does not exist\"}"),
        Reply::Endless,
        Reply::Break,
    ] {
        let before = engine.count("/images/json");
        engine.says(move |path| match path {
            "/images/json" => wrong.clone(),
            path => having(&[])(path),
        });
        engine.happens();
        while engine.count("/images/json") == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        agent.until("gantry_agent_docker_up 0").await;
        assert_eq!(told(&cluster).len(), 3, "what was known stands");
    }
    engine.says(having(&[('3', &[digest('c')])]));
    cluster.until("back", |heard| heard.layers.len() == 1).await;
    agent.until("gantry_agent_docker_up 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_hangs_is_noticed_and_one_with_containerds_images_is_left_alone() {
    let cluster = Cluster::start().await;
    let engine = Engine::start(having(&[('1', &[digest('a')])]));
    let agent = Agent::start(&cluster, &engine.socket(), "");
    cluster.until("a layer", |heard| heard.layers.len() == 1).await;
    agent.until("gantry_agent_docker_up 1").await;
    engine.says(|path| if path == "/images/json" { Reply::Hang } else { having(&[])(path) });
    engine.happens();
    agent.until("gantry_agent_docker_up 0").await;
    let theirs = json!({ "Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]] });
    engine.says(move |path| if path == "/info" { Reply::Json(theirs.to_string()) } else { having(&[])(path) });
    let before = engine.count("/info");
    while engine.count("/info") < before + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(told(&cluster).len(), 1, "what was known stands");
    engine.says(having(&[('1', &[digest('b')])]));
    agent.until("gantry_agent_docker_up 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_both_has_each_layer_as_far_as_one_of_them() {
    let Some(containerd) = Containerd::start() else { return };
    let base = Layer::new(1, MIB, Compression::Gzip);
    let (top, other) = (Layer::new(2, MIB, Compression::Gzip), Layer::new(3, MIB, Compression::Gzip));
    containerd.import(&Image::new("registry.example/app:1", &[&base, &top]), &["--no-unpack"]);
    let engine = Engine::start(having(&[('1', &[base.diff_id.clone(), other.diff_id.clone()])]));
    // Where the engine's directory says which blob a layer came from.
    let root = tempfile::tempdir().expect("a temporary directory");
    let sources = root.path().join("image/overlay2/distribution/v2metadata-by-diffid/sha256");
    std::fs::create_dir_all(&sources).expect("a temporary directory can be written");
    let source = json!([{ "Digest": other.digest, "SourceRepository": "registry.example/app", "HMAC": "" }]);
    std::fs::write(sources.join(other.diff_id.trim_start_matches("sha256:")), source.to_string())
        .expect("it can be written");
    let cluster = Cluster::start().await;
    let more = format!(
        "root = {:?}\n[containerd]\nsocket = {:?}\nnamespaces = [{NAMESPACE:?}]\n",
        root.path(),
        containerd.socket()
    );
    let agent = Agent::start(&cluster, &engine.socket(), &more);
    let heard = cluster.until("all three", |heard| heard.layers.len() == 3).await;
    let state = |layer: &Layer| heard.layers[&layer.digest].state();
    assert_eq!(
        [state(&base), state(&top), state(&other)],
        [LayerState::Unpacked, LayerState::Blob, LayerState::Unpacked]
    );
    assert_eq!(heard.layers[&base.digest].size_bytes, base.size(), "containerd knows it compressed");
    assert_eq!(heard.reports[0], (true, 3), "both were waited for");
    agent.until("gantry_agent_docker_layers_without_blob 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_real_engine_pulled_is_told_by_its_blobs() {
    let (Some(mut dockerd), Some(registry)) = (Dockerd::start().await, Registry::start(Wanted::default())) else {
        return;
    };
    let (base, top) = (Layer::new(1, MIB, Compression::Gzip), Layer::new(2, MIB, Compression::None));
    let file = registry.dir.path().join("image.tar");
    Image::new("app", &[&base, &top]).write(&file);
    registry.push(&file, "team/app:1", &["--all", "--preserve-digests"]);
    let cluster = Cluster::start().await;
    let agent = Agent::start(&cluster, &dockerd.dir.path().join("docker.sock"), "");
    cluster.until("an empty report", |heard| heard.reports == [(true, 0)]).await;
    let name = format!("{}/team/app", registry.host);
    let pulled = dockerd.call("POST", &format!("/images/create?fromImage={name}&tag=1")).await.expect("it answers");
    assert!(pulled.contains("Downloaded newer image"), "{pulled}");
    cluster.until("both layers", |heard| heard.layers.len() == 2).await;
    for layer in [&base, &top] {
        let told = &cluster.heard().layers[&layer.digest];
        assert_eq!((told.state(), &told.diff_id), (LayerState::Unpacked, &layer.diff_id));
        assert!(told.size_bytes.abs_diff(MIB as u64) < 4_096, "{told:?}");
    }
    agent.until("gantry_agent_docker_layers_without_blob 0").await;

    dockerd.end();
    agent.until("gantry_agent_docker_up 0").await;
    assert_eq!(told(&cluster).len(), 2, "what was known stands");
    dockerd.again().await;
    agent.until("gantry_agent_docker_up 1").await;
    assert_eq!(told(&cluster).len(), 2);
    let deleted = dockerd.call("DELETE", &format!("/images/{name}:1")).await.expect("it answers");
    assert!(deleted.contains("Deleted"), "{deleted}");
    cluster.until("deleted", |heard| heard.layers.is_empty()).await;
}
