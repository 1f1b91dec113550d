//! Images that nobody has recorded, and a registry that has them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::join_all;
use gantry_proto::v1;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::member::{Member, PATIENCE, place};
use crate::{config, images::Images};

/// A registry with one repository, `app`.
#[derive(Clone, Default)]
struct Registry {
    addr: String,
    tags: Arc<Mutex<HashMap<String, String>>>,
    blobs: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// Answered requests for manifests.
    manifests: Arc<AtomicUsize>,
    answers_after: Duration,
}

impl Registry {
    async fn start(answers_after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let registry = Self { addr, answers_after, ..Self::default() };
        let router = Router::new()
            .route("/v2/app/manifests/{name}", get(manifest))
            .route("/v2/app/blobs/{digest}", get(blob))
            .with_state(registry.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        registry
    }

    fn put(&self, blob: Vec<u8>) -> (String, usize) {
        let digest = format!("sha256:{:x}", Sha256::digest(&blob));
        let size = blob.len();
        self.blobs.lock().insert(digest.clone(), blob);
        (digest, size)
    }

    /// An image of one layer, under a tag.
    fn push(&self, tag: &str, layer: u8) {
        let of = |what: u8| format!("sha256:{}", format!("{what:02x}").repeat(32));
        let (config, size) = self.put(
            format!(
                r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
                of(layer + 100)
            )
            .into_bytes(),
        );
        let kind = "application/vnd.oci.image";
        let (digest, _) = self.put(
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json",
                "config":{{"mediaType":"{kind}.config.v1+json","digest":"{config}","size":{size}}},
                "layers":[{{"mediaType":"{kind}.layer.v1.tar+gzip","digest":"{}","size":1000}}]}}"#,
                of(layer)
            )
            .into_bytes(),
        );
        self.tags.lock().insert(tag.to_owned(), digest);
    }

    fn image(&self, tag: &str) -> String {
        format!("{}/app:{tag}", self.addr)
    }

    fn asked_with(&self, more: &str) -> Images {
        let addr = &self.addr;
        let text = format!("{more}\n[registries.hosts.\"{addr}\"]\nplain_http = true\n");
        Images::new(toml::from_str::<config::Images>(&text).unwrap()).unwrap()
    }
}

async fn manifest(State(registry): State<Registry>, Path(name): Path<String>) -> Response {
    tokio::time::sleep(registry.answers_after).await;
    registry.manifests.fetch_add(1, Relaxed);
    let digest = registry.tags.lock().get(&name).cloned().unwrap_or(name);
    let Some(body) = registry.blobs.lock().get(&digest).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let kind = (header::CONTENT_TYPE, "application/vnd.oci.image.manifest.v1+json".to_owned());
    ([kind, ("docker-content-digest".parse().unwrap(), digest)], body).into_response()
}

async fn blob(State(registry): State<Registry>, Path(digest): Path<String>) -> Response {
    registry
        .blobs
        .lock()
        .get(&digest)
        .cloned()
        .map_or(StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

fn machine(request_id: &str, image: &str) -> v1::PlaceRequest {
    v1::PlaceRequest { image: image.to_owned(), ..place(request_id, 1) }
}

/// The layers of an image that the cluster knows.
fn known(member: &Member, image: &str) -> Option<Vec<u8>> {
    let state = member.consensus.state();
    let state = state.read();
    state.fleet.image(image).map(|entry| entry.image.layers[0].digest.clone())
}

async fn until_known(member: &Member, image: &str, layer: u8) {
    let wait = async {
        while known(member, image).is_none_or(|digest| digest[0] != layer) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it is looked up");
}

#[tokio::test]
async fn an_image_that_nobody_recorded_is_looked_up_once_and_counts_for_all_who_name_it() {
    let registry = Registry::start(Duration::from_millis(50)).await;
    registry.push("1", 7);
    let member = Member::start_asking(registry.asked_with("budget_ms = 10000")).await;
    let _agents = member.hosts(3).await;
    let image = registry.image("1");
    let calls = (0..20).map(|n| {
        let (mut client, request) = (member.placement(), machine(&format!("r{n}"), &image));
        async move { client.place(request).await.unwrap().into_inner() }
    });
    for placed in join_all(calls).await {
        assert!(placed.choices[0].image_known, "{placed:?}");
        assert_eq!(placed.choices[0].image_bytes, 1_000);
    }
    assert_eq!(registry.manifests.load(Relaxed), 1, "one fetch for all");
    member.placement().place(machine("later", &image)).await.unwrap();
    assert_eq!(registry.manifests.load(Relaxed), 1, "it is known now");
    member.stop().await;
}

#[tokio::test]
async fn a_slow_registry_delays_a_call_by_the_budget_and_is_heard_all_the_same() {
    let registry = Registry::start(Duration::from_millis(1_500)).await;
    registry.push("1", 7);
    let member = Member::start_asking(registry.asked_with("budget_ms = 20")).await;
    let _agents = member.hosts(1).await;
    let image = registry.image("1");
    let placed = member.placement().place(machine("r", &image)).await.unwrap().into_inner();
    assert!(!placed.choices[0].image_known, "nobody can know it yet");
    assert_eq!(registry.manifests.load(Relaxed), 0, "it waited for the registry");
    until_known(&member, &image, 7).await;
    let placed = member.placement().place(machine("again", &image)).await.unwrap().into_inner();
    assert!(placed.choices[0].image_known);
    member.stop().await;
}

#[tokio::test]
async fn an_image_that_is_nowhere_delays_nobody_twice() {
    let registry = Registry::start(Duration::from_millis(100)).await;
    let member = Member::start_asking(registry.asked_with("budget_ms = 10000")).await;
    let _agents = member.hosts(1).await;
    for (n, image) in [registry.image("none"), registry.image("none"), "NOT:A:NAME".to_owned()].iter().enumerate() {
        let placed = member.placement().place(machine(&format!("r{n}"), image)).await.unwrap().into_inner();
        assert!(!placed.choices[0].image_known);
    }
    assert_eq!(registry.manifests.load(Relaxed), 1);
    member.stop().await;
}

#[tokio::test]
async fn a_tag_that_moved_is_found_out_when_it_is_used_and_when_the_registry_says_so() {
    let registry = Registry::start(Duration::ZERO).await;
    registry.push("1", 7);
    let member = Member::start_asking(registry.asked_with("budget_ms = 10000\ncheck_after_seconds = 1")).await;
    let _agents = member.hosts(1).await;
    let image = registry.image("1");
    member.placement().place(machine("first", &image)).await.unwrap();
    until_known(&member, &image, 7).await;
    registry.push("1", 8);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(known(&member, &image).unwrap()[0], 7, "nobody used it");
    member.placement().place(machine("second", &image)).await.unwrap();
    until_known(&member, &image, 8).await;

    registry.push("2", 9);
    let digest = registry.tags.lock()["2"].clone();
    let event = format!(
        r#"{{"events":[{{"action":"push","target":{{"repository":"app","tag":"1","digest":"{digest}"}},"request":{{"host":"{}"}}}}]}}"#,
        registry.addr
    );
    let said = post(&member.client_addr, "/v1/registry/events", &event).await;
    assert!(said.starts_with("HTTP/1.1 204"), "{said}");
    // A real one tells before it has moved the tag.
    tokio::time::sleep(Duration::from_millis(100)).await;
    registry.push("1", 9);
    until_known(&member, &image, 9).await;
    let said = post(&member.client_addr, "/v1/registry/events", "{}").await;
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("no notification of a registry"), "{said}");
    member.stop().await;
}

#[tokio::test]
async fn a_caller_in_a_hurry_is_not_refused_for_a_slow_registry() {
    let registry = Registry::start(Duration::from_secs(3)).await;
    let member = Member::start_asking(registry.asked_with("budget_ms = 10000")).await;
    let _agents = member.hosts(1).await;
    let mut request = tonic::Request::new(machine("r", &registry.image("1")));
    request.set_timeout(Duration::from_millis(600));
    let placed = member.placement().place(request).await.unwrap().into_inner();
    assert!(!placed.choices[0].image_known);
    member.stop().await;
}

#[tokio::test]
async fn what_a_host_recorded_in_between_does_not_stand_for_ever() {
    let registry = Registry::start(Duration::ZERO).await;
    registry.push("1", 7);
    let member = Member::start_asking(registry.asked_with("budget_ms = 10000\ncheck_after_seconds = 1")).await;
    let _agents = member.hosts(1).await;
    let image = registry.image("1");
    member.placement().place(machine("first", &image)).await.unwrap();
    until_known(&member, &image, 7).await;
    // A host that still has what the tag stood for long ago.
    let layer = v1::Layer { digest: format!("sha256:{}", "33".repeat(32)), size_bytes: 5, ..v1::Layer::default() };
    let digest = format!("sha256:{}", "44".repeat(32));
    let old = v1::Image { reference: image.clone(), digest, platform: String::new(), layers: vec![layer] };
    member.fleet().record_image(v1::RecordImageRequest { image: Some(old) }).await.unwrap();
    assert_eq!(known(&member, &image).unwrap()[0], 0x33);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    member.placement().place(machine("second", &image)).await.unwrap();
    until_known(&member, &image, 7).await;
    member.stop().await;
}

#[tokio::test]
async fn an_image_that_was_asked_for_before_its_push_is_known_after_it() {
    let registry = Registry::start(Duration::ZERO).await;
    let member = Member::start_asking(registry.asked_with("budget_ms = 10000")).await;
    let _agents = member.hosts(1).await;
    let image = registry.image("2");
    let placed = member.placement().place(machine("early", &image)).await.unwrap().into_inner();
    assert!(!placed.choices[0].image_known);
    registry.push("2", 9);
    let digest = registry.tags.lock()["2"].clone();
    let event = format!(
        r#"{{"action":"push","target":{{"repository":"app","tag":"2","digest":"{digest}"}},"request":{{"host":"{}"}}}}"#,
        registry.addr
    );
    let said = post(&member.client_addr, "/v1/registry/events", &format!("{{\"events\":[{event},{event}]}}")).await;
    assert!(said.starts_with("HTTP/1.1 204"), "{said}");
    until_known(&member, &image, 9).await;
    member.stop().await;
}

/// While a tag is checked, calls that name it go on, and ask nothing.
#[tokio::test]
async fn a_tag_that_is_being_checked_is_checked_once() {
    let registry = Registry::start(Duration::ZERO).await;
    registry.push("1", 7);
    let images = registry.asked_with("budget_ms = 10000\ncheck_after_seconds = 1");
    let member = Member::start_asking(images.clone()).await;
    let _agents = member.hosts(1).await;
    let image = registry.image("1");
    member.placement().place(machine("first", &image)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(images.needs_check(&member.deciding_node(), &image), [true, false, false]);
    member.stop().await;
}

#[tokio::test]
async fn whoever_sends_a_notification_slowly_or_beside_another_is_turned_away() {
    let member = Member::start_asking(Registry::start(Duration::ZERO).await.asked_with("")).await;
    let mut slow = TcpStream::connect(&member.client_addr).await.unwrap();
    let head = "POST /v1/registry/events HTTP/1.1\r\nhost: member\r\ncontent-length: 100000\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let refused = async {
        loop {
            let said = post(&member.client_addr, "/v1/registry/events", "{\"events\":[]}").await;
            if said.starts_with("HTTP/1.1 503") {
                break assert!(said.contains("send it again"), "{said}");
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    let mut said = vec![0; 12];
    tokio::time::timeout(PATIENCE, slow.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "HTTP/1.1 408");
    let said = post(&member.client_addr, "/v1/registry/events", "{\"events\":[]}").await;
    assert!(said.starts_with("HTTP/1.1 204"), "{said}");
    member.stop().await;
}

async fn post(addr: &str, path: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let ask =
        format!("POST {path} HTTP/1.1\r\nhost: member\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    connection.write_all(ask.as_bytes()).await.unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).await.unwrap();
    said
}
