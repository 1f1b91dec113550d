//! Images that hosts fetch ahead of need.

use gantry_proto::v1::{self, FetchState, agent_event::Event, agent_message::Message};
use tonic::Streaming;

use super::member::{Agent, Member, PATIENCE, host};

const BASE: u64 = 700;
const TOP: u64 = 300;

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn layer(letter: char, size_bytes: u64) -> v1::Layer {
    v1::Layer { digest: digest(letter), size_bytes, ..v1::Layer::default() }
}

fn image() -> v1::Image {
    v1::Image {
        reference: "registry.example/model:1".to_owned(),
        digest: digest('f'),
        platform: "linux/amd64".to_owned(),
        layers: vec![layer('a', BASE), layer('b', TOP)],
    }
}

fn warm(hosts: u32) -> v1::WarmImageRequest {
    v1::WarmImageRequest { reference: image().reference, hosts, keep_ms: 60_000, ..v1::WarmImageRequest::default() }
}

/// A member that knows the image, with so many agents.
async fn ready(hosts: usize) -> (Member, Vec<Agent>) {
    let member = Member::start().await;
    let agents = member.hosts(hosts).await;
    member.fleet().record_image(v1::RecordImageRequest { image: Some(image()) }).await.unwrap();
    (member, agents)
}

async fn has(agent: &mut Agent, letter: char, size_bytes: u64) {
    let present = v1::LayerOnHost { digest: digest(letter), size_bytes, ..v1::LayerOnHost::default() };
    let report = v1::LayerReport { full: true, present: vec![present], gone: Vec::new() };
    agent.tell(Message::Layers(report)).await.unwrap();
}

/// What an agent is asked for next; passes over what is granted and answered.
async fn asked(agent: &mut Agent) -> v1::Fetch {
    loop {
        match agent.next().await.unwrap().unwrap() {
            Event::Fetch(fetch) => return fetch,
            Event::CancelFetch(cancelled) => panic!("{cancelled:?} comes before a fetch"),
            _ => {}
        }
    }
}

async fn says(agent: &mut Agent, id: u64, state: FetchState, present_bytes: u64, reason: &str) {
    let reason = reason.to_owned();
    let progress = v1::FetchProgress { id, state: state as i32, present_bytes, total_bytes: BASE + TOP, reason };
    agent.tell(Message::FetchProgress(progress)).await.unwrap();
}

async fn news(stream: &mut Streaming<v1::WarmImageResponse>) -> Option<Vec<v1::HostFetch>> {
    let next = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap();
    next.map(|response| response.hosts)
}

#[tokio::test]
async fn the_host_that_has_most_of_it_fetches_the_rest_and_tells_how_far_it_is() {
    let (member, mut agents) = ready(3).await;
    has(&mut agents[1], 'a', BASE).await;
    let mut stream = member.fleet().warm_image(warm(1)).await.unwrap().into_inner();
    let begun = news(&mut stream).await.unwrap();
    assert_eq!((begun.len(), begun[0].host.as_str()), (1, "host-1"));
    assert_eq!((begun[0].present_bytes, begun[0].total_bytes), (BASE, BASE + TOP));
    let fetch = asked(&mut agents[1]).await;
    assert_eq!((fetch.reference, fetch.digest, fetch.layers), (image().reference, image().digest, image().layers));
    assert!(fetch.unpack && fetch.keep_ms == 60_000);
    says(&mut agents[1], fetch.id, FetchState::Fetching, BASE + 100, "").await;
    let fetching = news(&mut stream).await.unwrap().remove(0);
    assert_eq!((fetching.state(), fetching.present_bytes), (FetchState::Fetching, BASE + 100));
    says(&mut agents[1], fetch.id, FetchState::Ready, BASE + TOP, "").await;
    let ready = news(&mut stream).await.unwrap().remove(0);
    assert_eq!((ready.state(), ready.present_bytes), (FetchState::Ready, BASE + TOP));
    assert_eq!(news(&mut stream).await, None, "the call ends once the layers are there");
    member.stop().await;
}

#[tokio::test]
async fn only_base_layers_are_fetched_where_only_they_are_wanted_and_a_failure_is_told() {
    let (member, mut agents) = ready(1).await;
    let wanted = v1::WarmImageRequest { base_layers: 1, only_fetch: true, ..warm(1) };
    let mut stream = member.fleet().warm_image(wanted).await.unwrap().into_inner();
    assert_eq!(news(&mut stream).await.unwrap()[0].total_bytes, BASE);
    let fetch = asked(&mut agents[0]).await;
    assert_eq!((fetch.layers.len(), fetch.unpack), (1, false));
    says(&mut agents[0], fetch.id, FetchState::Failed, 0, "no room on /var/lib/containerd").await;
    let failed = news(&mut stream).await.unwrap().remove(0);
    assert_eq!((failed.state(), failed.reason.as_str()), (FetchState::Failed, "no room on /var/lib/containerd"));
    assert_eq!(news(&mut stream).await, None);
    member.stop().await;
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_cancelled() {
    let (member, mut agents) = ready(1).await;
    let mut stream = member.fleet().warm_image(warm(1)).await.unwrap().into_inner();
    news(&mut stream).await.unwrap();
    let fetch = asked(&mut agents[0]).await;
    drop(stream);
    loop {
        match agents[0].next().await.unwrap().unwrap() {
            Event::CancelFetch(cancelled) => break assert_eq!(cancelled.id, fetch.id),
            other => assert!(!matches!(other, Event::Fetch(_)), "{other:?}"),
        }
    }
    // What the agent says of it now is of no interest, and no mistake.
    says(&mut agents[0], fetch.id, FetchState::Cancelled, 0, "").await;
    member.stop().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_is_asked_again() {
    let (member, mut agents) = ready(1).await;
    let mut stream = member.fleet().warm_image(warm(1)).await.unwrap().into_inner();
    news(&mut stream).await.unwrap();
    asked(&mut agents[0]).await;
    agents.clear();
    let mut again = Agent::connect(&member).await;
    again.tell(Message::Register(host("host-0"))).await.unwrap();
    let fetch = asked(&mut again).await;
    says(&mut again, fetch.id, FetchState::Ready, BASE + TOP, "").await;
    assert_eq!(news(&mut stream).await.unwrap()[0].state(), FetchState::Ready);
    assert_eq!(news(&mut stream).await, None);
    member.stop().await;
}

#[tokio::test]
async fn what_cannot_be_warmed_is_refused_by_name() {
    let (member, _agents) = ready(2).await;
    let why = async |request: v1::WarmImageRequest| {
        member.fleet().warm_image(request).await.map(drop).unwrap_err().message().to_owned()
    };
    let unknown = v1::WarmImageRequest { reference: "registry.example/other:1".to_owned(), ..warm(1) };
    assert!(why(unknown).await.contains("registry.example/other:1"));
    assert!(why(warm(0)).await.contains("hosts"));
    assert!(why(warm(3)).await.contains("2 have an agent connected"));
    let nowhere = v1::WarmImageRequest { regions: vec!["mars".to_owned()], ..warm(1) };
    assert!(why(nowhere).await.contains("0 have an agent connected"));
    let for_ever = v1::WarmImageRequest { keep_ms: u64::MAX, ..warm(1) };
    assert!(why(for_ever).await.contains("keep_ms"));
    member.stop().await;
}
