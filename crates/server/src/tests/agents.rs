//! What agents hear.

use std::time::Duration;

use gantry_machine::SetReachable;
use gantry_proto::v1::{self, agent_event::Event, agent_message::Message};
use gantry_types::{Refused, limits};
use tonic::Code;

use super::member::{Agent, Member, PATIENCE, host, place};
use crate::call::CallError;

async fn granted(agent: &mut Agent) -> v1::Reservation {
    match agent.next().await.unwrap().unwrap() {
        Event::Granted(row) => row,
        other => panic!("not a grant: {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_hears_of_grants_and_of_their_ends() {
    let member = Member::start().await;
    let mut agent = member.hosts(1).await.remove(0);
    let placed = member.placement().place(place("a", 1)).await.unwrap().into_inner().reservations.remove(0);
    let row = granted(&mut agent).await;
    assert_eq!((row.id, row.fence, &row.devices), (placed.id, placed.fence, &placed.devices));
    let confirm = v1::ConfirmReservation { reservation_id: row.id, fence: row.fence };
    agent.tell(Message::Confirm(confirm)).await.unwrap();
    let request = v1::ReleaseRequest { request_id: "r".to_owned(), reservation_ids: vec![row.id] };
    let released = member.placement().release(request).await.unwrap().into_inner();
    let ended = v1::ReservationEnded { reservation_id: row.id, fence: row.fence, rev: released.rev };
    assert_eq!(agent.next().await.unwrap(), Some(Event::Ended(ended)));
}

#[tokio::test]
async fn an_agent_that_comes_back_hears_of_what_stands_once_and_the_one_before_is_closed() {
    let member = Member::start().await;
    let mut before = member.hosts(1).await.remove(0);
    let placed = member.placement().place(place("a", 3)).await.unwrap().into_inner();
    for _ in 0..3 {
        granted(&mut before).await;
    }
    let mut agent = Agent::connect(&member).await;
    agent.tell(Message::Register(host("host-0"))).await.unwrap();
    let mut heard = vec![granted(&mut agent).await.id, granted(&mut agent).await.id, granted(&mut agent).await.id];
    heard.sort_unstable();
    assert_eq!(heard, placed.reservations.iter().map(|row| row.id).collect::<Vec<_>>());
    let next = member.placement().place(place("b", 1)).await.unwrap().into_inner();
    assert_eq!(granted(&mut agent).await.id, next.reservations[0].id);
    assert_eq!(before.next().await.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn a_host_that_was_given_up_is_back_with_a_heartbeat() {
    let member = Member::start().await;
    let mut agent = member.hosts(1).await.remove(0);
    let (node, given_up) = (member.deciding_node(), SetReachable { host: 1, reachable: false });
    let early = node.command(given_up, None).await;
    assert!(matches!(early, Err(CallError::Refused(Refused::FeatureLevel { want: 2, have: 1 }))), "{early:?}");
    member.cluster().set_feature_level(v1::SetFeatureLevelRequest { level: 2 }).await.unwrap();
    node.command(given_up, None).await.unwrap();
    let refused = member.placement().place(place("a", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let shown = member.fleet().get_host(v1::GetHostRequest { name: "host-0".to_owned() }).await.unwrap().into_inner();
    assert!(shown.host.unwrap().unreachable);
    agent.tell(Message::Heartbeat(v1::Heartbeat {})).await.unwrap();
    member.placement().place(place("b", 1)).await.unwrap();
}

/// Grants and ends come thick while an agent registers again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_never_hears_of_an_end_before_its_grant() {
    let member = Member::start().await;
    let _first = member.hosts(1).await;
    let mut placement = member.placement();
    let busy = tokio::spawn(async move {
        for n in 0..300 {
            let placed = placement.place(place(&format!("p{n}"), 1)).await.unwrap().into_inner();
            let reservation_ids = vec![placed.reservations[0].id];
            placement.release(v1::ReleaseRequest { request_id: format!("r{n}"), reservation_ids }).await.unwrap();
        }
    });
    while !busy.is_finished() {
        let mut agent = Agent::connect(&member).await;
        agent.send(Message::Register(host("host-0"))).await;
        let mut ended = Vec::new();
        for _ in 0..4 {
            let event = tokio::time::timeout(std::time::Duration::from_millis(20), agent.events.message()).await;
            match event.ok().and_then(|event| event.unwrap()).and_then(|event| event.event) {
                Some(Event::Ended(end)) => ended.push(end.reservation_id),
                Some(Event::Granted(row)) => assert!(!ended.contains(&row.id), "{} was granted after its end", row.id),
                _ => {}
            }
        }
    }
    busy.await.unwrap();
}

fn layer(number: usize) -> v1::LayerOnHost {
    v1::LayerOnHost {
        digest: format!("sha256:{number:064x}"),
        size_bytes: limits::LAYER_BYTES,
        state: v1::LayerState::Unpacked as i32,
        ..v1::LayerOnHost::default()
    }
}

#[tokio::test]
async fn a_large_report_of_layers_takes_effect_at_one_position() {
    let member = Member::start().await;
    let mut agent = member.hosts(1).await.remove(0);
    let present: Vec<_> = (0..limits::LAYERS_PER_REPORT).map(layer).collect();
    let before = member.consensus.state().read().rev();
    let report = v1::LayerReport { full: true, present, gone: Vec::new() };
    let done = agent.tell(Message::Layers(report)).await.unwrap();
    assert_eq!(done.rev, before + 1, "in between, the host looks as if it had lost layers");
    let request = v1::GetHostRequest { name: "host-0".to_owned() };
    let host = member.fleet().get_host(request).await.unwrap().into_inner().host.unwrap();
    assert_eq!(host.layers as usize, limits::LAYERS_PER_REPORT);
}

#[tokio::test]
async fn a_report_with_one_bad_layer_changes_nothing() {
    let member = Member::start().await;
    let mut agent = member.hosts(1).await.remove(0);
    let mut present: Vec<_> = (0..5_000).map(layer).collect();
    present[4_999].size_bytes = limits::LAYER_BYTES + 1;
    let report = v1::LayerReport { full: true, present, gone: Vec::new() };
    let failed = agent.tell(Message::Layers(report)).await.unwrap_err();
    assert_eq!(failed.code, Code::InvalidArgument as u32);
    let request = v1::GetHostRequest { name: "host-0".to_owned() };
    assert_eq!(member.fleet().get_host(request).await.unwrap().into_inner().host.unwrap().layers, 0);
}

/// Below the level that brings them, hints are left out of a report and the report counts.
#[tokio::test]
async fn agents_say_how_far_pulls_are_and_how_fast_they_were() {
    let member = Member::start().await;
    let mut agent = member.hosts(1).await.remove(0);
    let hinted = || {
        let (state, fetched_bytes) = (v1::LayerState::Pulling as i32, Some(77));
        let diff_id = format!("sha256:{:064x}", 9);
        let layer = v1::LayerOnHost { state, fetched_bytes, diff_id, ..layer(1) };
        Message::Layers(v1::LayerReport { full: true, present: vec![layer], gone: Vec::new() })
    };
    let progress = || {
        let state = member.consensus.state();
        let state = state.read();
        state
            .fleet
            .host(1)
            .unwrap()
            .pulls()
            .iter()
            .map(|pull| pull.progress.map(|p| p.fetched_bytes))
            .collect::<Vec<_>>()
    };
    let pulled = v1::Pulled {
        fetched_bytes: 840_000_000,
        fetch_ms: 10_000,
        streams: 1,
        unpacked_bytes: 840_000_000,
        unpack_ms: 10_000,
    };
    agent.tell(hinted()).await.unwrap();
    assert_eq!(progress(), [None]);
    assert_eq!(agent.tell(Message::Pulled(pulled)).await.unwrap_err().code, Code::FailedPrecondition as u32);
    member.cluster().set_feature_level(v1::SetFeatureLevelRequest { level: 2 }).await.unwrap();
    agent.tell(hinted()).await.unwrap();
    assert_eq!(progress(), [Some(77)]);
    agent.tell(Message::Pulled(pulled)).await.unwrap();
    let absurd = v1::Pulled { fetched_bytes: u64::MAX, ..pulled };
    let failed = agent.tell(Message::Pulled(absurd)).await.unwrap_err();
    assert!(failed.message.starts_with("pulled.fetched_bytes"), "{}", failed.message);
    let request = v1::GetHostRequest { name: "host-0".to_owned() };
    let rates = member.fleet().get_host(request).await.unwrap().into_inner().host.unwrap().rates.unwrap();
    // Half way from what was published to what was seen.
    let expected = v1::HostRates {
        stream_bytes_per_s: 79_000_000,
        link_bytes_per_s: 247_000_000,
        unpack_bytes_per_s: 78_500_000,
        stream_measured: true,
        link_measured: false,
        unpack_measured: true,
    };
    assert_eq!(rates, expected);
}

#[tokio::test]
async fn a_silent_host_gets_nothing_new_and_keeps_what_it_holds() {
    let member = Member::start_watching(Duration::from_secs(1)).await;
    member.cluster().set_feature_level(v1::SetFeatureLevelRequest { level: 2 }).await.unwrap();
    let mut agents = member.hosts(2).await;
    let on = |host: &str, id: &str| {
        let constraints = v1::Constraints { host: host.to_owned(), ..v1::Constraints::default() };
        v1::PlaceRequest { constraints: Some(constraints), ..place(id, 1) }
    };
    member.placement().place(on("host-1", "a")).await.unwrap();
    let is_given_up = async |name: &str| {
        let name = name.to_owned();
        member.fleet().get_host(v1::GetHostRequest { name }).await.unwrap().into_inner().host.unwrap().unreachable
    };
    // One of the two goes on beating.
    let given_up = async {
        while !is_given_up("host-1").await {
            agents[0].tell(Message::Heartbeat(v1::Heartbeat {})).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.expect("a silent host is given up");
    assert!(!is_given_up("host-0").await);
    let refused = member.placement().place(on("host-1", "b")).await.unwrap_err();
    assert!(refused.message().contains("reachable"), "{refused:?}");
    let on_it = v1::ListRequest { host: "host-1".to_owned(), ..v1::ListRequest::default() };
    assert_eq!(
        member.placement().list(on_it).await.unwrap().into_inner().reservations.len(),
        1,
        "it keeps what it holds"
    );
    agents[1].tell(Message::Heartbeat(v1::Heartbeat {})).await.unwrap();
    member.placement().place(on("host-1", "c")).await.unwrap();
    member.stop().await;
}
