//! What is wrong is refused with a definite error that names it, and changes nothing.

use std::{process::Command, time::Duration};

use crate::support::{Agent, Fleet, place, start};
use gantry_bench::cluster::Cluster;
use gantry_client::{
    Code, Error, Retry,
    v1::{self, agent_message::Message, placement_client::PlacementClient},
};

/// Makes a good request a bad one.
type Spoil = fn(&mut v1::PlaceRequest);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_and_change_nothing() {
    let cluster = start().await;
    let fleet = Fleet::register(&cluster, 4).await;
    let client = cluster.client().clone().with_retry(Retry::default().never());
    let first = client.place(place("taken", "app", 1_000)).await.expect("a good request is placed");
    let before = hash(&cluster).await;

    let spoiled: [(&str, Spoil); 8] = [
        ("request_id", |r| r.request_id = "x".repeat(200)),
        ("app", |r| r.app.clear()),
        ("count", |r| r.count = 1_000_000_000),
        ("lease_ms", |r| r.lease_ms = u64::MAX),
        ("shape.memory_bytes", |r| r.shape.as_mut().unwrap().memory_bytes = u64::MAX),
        ("shape.gpu.milli", |r| r.shape.as_mut().unwrap().gpu.as_mut().unwrap().milli = 1_001),
        ("image", |r| r.image = "two words".into()),
        ("constraints.volume_name", |r| {
            let (volume_id, volume_name) = (1, "data".into());
            r.constraints = Some(v1::Constraints { volume_id, volume_name, ..Default::default() });
        }),
    ];
    for (field, spoil) in spoiled {
        let mut request = place("bad", "app", 1_000);
        spoil(&mut request);
        let error = client.place(request).await.expect_err(field);
        refused(&error, Code::InvalidArgument);
        assert!(error.message.contains(field), "{field}: {error}");
    }

    let reused = client.place(place("taken", "other", 1_000)).await.expect_err("the id was used");
    refused(&reused, Code::AlreadyExists);
    let again = client.place(place("taken", "app", 1_000)).await.expect("the same request gets its answer");
    assert_eq!(again.reservations, first.reservations, "the same id, the same answer");
    let nothing = client.place(place("bad", "app", 1_000)).await;
    let placed = nothing.expect("an id that was only refused is free").reservations[0].id;
    let release = v1::ReleaseRequest { request_id: "r1".into(), reservation_ids: vec![placed, 999_999] };
    refused(&client.release(release).await.expect_err("one id is unknown"), Code::NotFound);
    let release = v1::ReleaseRequest { request_id: "r2".into(), reservation_ids: vec![placed] };
    client.release(release).await.expect("none was released by the refused call");

    let full = v1::PlaceRequest {
        constraints: Some(v1::Constraints { regions: vec!["nowhere".into()], ..Default::default() }),
        ..place("full", "app", 1_000)
    };
    let error = client.place(full).await.expect_err("no host is there");
    refused(&error, Code::ResourceExhausted);
    assert_eq!(error.reason(), "NO_CAPACITY");
    assert_eq!(error.rejections().iter().map(|r| r.hosts).sum::<u64>(), fleet.hosts.len() as u64, "{error}");

    assert_ne!(hash(&cluster).await, before, "the good calls did change something");
    let quiet = hash(&cluster).await;
    let nameless = PlacementClient::new(channel(&cluster)).place(place("", "app", 1_000)).await;
    let nameless = nameless.expect_err("nothing tells a repetition from a new request");
    assert_eq!(nameless.code(), Code::InvalidArgument, "{nameless}");
    assert!(nameless.message().contains("request_id"), "{nameless}");
    let unknown = unknown_field(&cluster).await;
    assert_eq!(unknown.code(), Code::InvalidArgument, "{unknown}");
    assert!(unknown.message().contains("field 99"), "{unknown}");
    let late = late(&cluster).await;
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
    let huge = v1::PlaceRequest { image: "x".repeat(5 << 20), ..place("huge", "app", 1_000) };
    let error = client.place(huge).await.expect_err("5 MiB is over the limit");
    assert!(error.definite(), "{error}");
    assert_eq!(hash(&cluster).await, quiet, "refused calls change nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_lie_are_refused() {
    let cluster = start().await;
    let fleet = Fleet::register(&cluster, 1).await;
    let client = cluster.client().clone();
    let row = client.place(place("one", "app", 1_000)).await.expect("there is room").reservations.remove(0);
    let mut agent = Agent::connect(&cluster).await;

    let early = agent.tell(Message::Heartbeat(v1::Heartbeat {})).await;
    assert!(early.is_ok(), "a heartbeat says nothing of a host: {early:?}");
    let confirm = v1::ConfirmReservation { reservation_id: row.id, fence: row.fence };
    let failed = agent.tell(Message::Confirm(confirm)).await.expect_err("who speaks?");
    assert!(failed.message.contains("register"), "{failed:?}");

    let spec = fleet.hosts[0].spec();
    let mut shrunk = spec.clone();
    shrunk.devices.clear();
    let failed = agent.tell(Message::Register(shrunk)).await.expect_err("a GPU is promised");
    assert!(failed.message.contains("has promised"), "{failed:?}");
    agent.tell(Message::Register(spec)).await.expect("the whole host is welcome");

    let stale = v1::ConfirmReservation { reservation_id: row.id, fence: row.fence + 7 };
    let failed = agent.tell(Message::Confirm(stale)).await.expect_err("that fence was never given");
    assert_eq!(failed.detail.map(|d| d.reason).as_deref(), Some("FENCED"));
    let layer =
        |digest: &str, size_bytes| v1::LayerOnHost { digest: digest.into(), size_bytes, ..v1::LayerOnHost::default() };
    for bad in [layer("sha256:zz", 1), layer(&format!("sha256:{}", "0a".repeat(32)), u64::MAX)] {
        let report = v1::LayerReport { full: true, present: vec![bad], gone: Vec::new() };
        let failed = agent.tell(Message::Layers(report)).await.expect_err("a malformed layer");
        assert!(failed.message.contains("layers.present"), "{failed:?}");
    }
    agent.tell(Message::Confirm(confirm)).await.expect("the right fence confirms");
    let got = client.get(v1::GetRequest { key: Some(v1::get_request::Key::ReservationId(row.id)) }).await;
    assert_eq!(got.expect("it stands").reservations[0].phase(), v1::Phase::Allocated);
}

#[test]
fn a_server_with_a_bad_config_stops_with_one_line() {
    let dir = std::env::temp_dir().join(format!("gantry-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let config = dir.join("server.toml");
    let good = |data: &str| {
        format!(
            "node_id = 1\ncluster = \"c\"\ndata_dir = \"{data}\"\nclient_addr = \"127.0.0.1:0\"\nraft_addr = \"127.0.0.1:00\"\n"
        )
    };
    let data = dir.join("data").display().to_string();
    let cases = [
        (format!("{}no_such_key = 1\n", good(&data)), "no_such_key"),
        (good("/dev/null/data"), "/dev/null/data"),
        ("node_id = 1\ncluster = \"c\"\n".to_owned(), "data_dir"),
    ];
    for (text, named) in cases {
        std::fs::write(&config, text).expect("a config file");
        let mut server = Command::new(env!("CARGO_BIN_EXE_gantry"));
        let output = server.args(["server", "--config"]).arg(&config).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error")).collect();
        assert!(!output.status.success() && errors.len() == 1 && errors[0].contains(named), "{named}: {said}");
    }
    std::fs::remove_dir_all(&dir).expect("the directory was made above");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_another_clusters_directory_refuses() {
    let mut cluster = start().await;
    cluster.kill(1).expect("a running node can be killed");
    let node = cluster.data_dir().expect("it has one while it runs").join("node-1");
    let config = std::fs::read_to_string(node.join("gantry.toml")).expect("node 1 was started with it");
    for (from, to, named) in
        [("cluster = \"bench\"", "cluster = \"other\"", "bench"), ("node_id = 1", "node_id = 7", "1")]
    {
        assert!(config.contains(from), "{config}");
        let other = node.join("other.toml");
        std::fs::write(&other, config.replace(from, to)).expect("a config file");
        let mut server = Command::new(env!("CARGO_BIN_EXE_gantry"));
        let output = server.args(["server", "--config"]).arg(&other).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error")).collect();
        assert!(!output.status.success() && errors.len() == 1, "{to}: {said}");
        assert!(errors[0].contains(named) && errors[0].contains("data"), "{to}: {said}");
    }
    cluster.restart(1).await.expect("its own server still starts on it");
}

fn refused(error: &Error, code: Code) {
    assert_eq!(error.code, code, "{error}");
    assert!(error.definite(), "{error}");
}

async fn hash(cluster: &Cluster) -> String {
    cluster.settled().await.expect("replicas agree").remove(0).state_hash
}

/// A request with a field that no version of the API has.
async fn unknown_field(cluster: &Cluster) -> tonic::Status {
    use tonic::codegen::http::uri::PathAndQuery;
    #[derive(Clone, PartialEq, prost::Message)]
    struct FromTheFuture {
        #[prost(string, tag = "1")]
        request_id: String,
        #[prost(string, tag = "99")]
        colour: String,
    }
    let mut grpc = tonic::client::Grpc::new(channel(cluster));
    grpc.ready().await.expect("a server listens");
    let request = FromTheFuture { request_id: "f".into(), colour: "red".into() };
    let codec = tonic_prost::ProstCodec::<FromTheFuture, v1::PlaceResponse>::default();
    let path = PathAndQuery::from_static("/gantry.v1.Placement/Place");
    grpc.unary(tonic::Request::new(request), path, codec).await.expect_err("no such field")
}

/// A request whose deadline has passed when it is looked at.
async fn late(cluster: &Cluster) -> tonic::Status {
    let mut request = tonic::Request::new(place("late", "app", 1_000));
    request.set_timeout(Duration::from_nanos(1));
    PlacementClient::new(channel(cluster)).place(request).await.expect_err("it is too late")
}

fn channel(cluster: &Cluster) -> tonic::transport::Channel {
    let addr = format!("http://{}", cluster.addrs()[0]);
    tonic::transport::Endpoint::from_shared(addr).expect("an address").connect_lazy()
}
