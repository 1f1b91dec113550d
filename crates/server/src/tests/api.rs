//! What is asked and answered, over gRPC.

use std::collections::BTreeSet;

use gantry_proto::v1::{
    self, Scheduling, get_request::Key, place_stream_request::Call, place_stream_response::Result as Told,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::member::{Member, place};

async fn placed(member: &Member, request: v1::PlaceRequest) -> v1::PlaceResponse {
    member.placement().place(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_new_cluster_begins_with_all_that_its_members_know() {
    let member = Member::alone(1).await;
    let own = member.consensus.member();
    let (id, raft_addr, client_addr) = (own.id, own.raft_addr, own.client_addr);
    let members = vec![v1::Member { id, raft_addr, client_addr, voter: true, matched_index: 0 }];
    member.cluster().init(v1::InitRequest { members }).await.unwrap();
    let status = member.cluster().status(v1::StatusRequest { state_hash: false }).await.unwrap().into_inner();
    assert_eq!(status.feature_level, status.feature_level_max);
}

#[tokio::test]
async fn what_stands_is_listed_page_by_page_and_found_by_either_key() {
    let member = Member::start().await;
    let _agents = member.hosts(2).await;
    let answer = placed(&member, place("a", 5)).await;
    placed(&member, v1::PlaceRequest { app: "other".to_owned(), ..place("b", 2) }).await;

    let page = |after_id| v1::ListRequest { app: "app".to_owned(), page_size: 2, after_id, ..Default::default() };
    let (mut ids, mut after) = (Vec::new(), 0);
    loop {
        let listed = member.placement().list(page(after)).await.unwrap().into_inner();
        assert!(listed.rev > answer.rev && listed.reservations.len() <= 2);
        ids.extend(listed.reservations.iter().map(|row| row.id));
        after = listed.next_after_id;
        if after == 0 {
            break;
        }
    }
    assert_eq!(ids, answer.reservations.iter().map(|row| row.id).collect::<Vec<_>>());

    let get = |key| v1::GetRequest { key: Some(key) };
    let found = member.placement().get(get(Key::RequestId("a".to_owned()))).await.unwrap().into_inner();
    assert_eq!(found.reservations, answer.reservations);
    let found = member.placement().get(get(Key::ReservationId(ids[0]))).await.unwrap().into_inner();
    assert_eq!(found.reservations, answer.reservations[..1]);
    let unknown = member.placement().get(get(Key::ReservationId(999))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn an_explanation_ranks_the_hosts_and_counts_the_refused() {
    let member = Member::start().await;
    let _agents = member.hosts(3).await;
    placed(&member, v1::PlaceRequest { constraints: only("host-1"), ..place("a", 8) }).await;
    let request = v1::ExplainRequest { request: Some(place("", 1)), top: 1 };
    let explained = member.placement().explain(request).await.unwrap().into_inner();
    assert_eq!((explained.hosts.len(), explained.feasible), (1, 2));
    assert_eq!(explained.hosts[0].host, placed(&member, place("b", 1)).await.reservations[0].host);
    assert_eq!(explained.rejections.iter().map(|rejection| rejection.hosts).sum::<u64>(), 1);
}

fn only(host: &str) -> Option<v1::Constraints> {
    Some(v1::Constraints { host: host.to_owned(), ..v1::Constraints::default() })
}

#[tokio::test]
async fn a_host_that_is_cordoned_or_drained_keeps_what_it_has_and_gets_nothing_new() {
    let member = Member::start().await;
    let _agents = member.hosts(2).await;
    placed(&member, v1::PlaceRequest { constraints: only("host-0"), ..place("first", 2) }).await;
    for (n, scheduling) in [Scheduling::Cordoned, Scheduling::Draining].into_iter().enumerate() {
        let set = |scheduling: Scheduling| v1::SetSchedulingRequest {
            name: "host-0".to_owned(),
            scheduling: scheduling as i32,
        };
        let answer = member.fleet().set_scheduling(set(scheduling)).await.unwrap().into_inner();
        assert_eq!(answer.reservations, 2, "what is there stays");
        let elsewhere = placed(&member, place(&format!("elsewhere-{n}"), 1)).await;
        assert_eq!(elsewhere.reservations[0].host, "host-1");
        let there = v1::PlaceRequest { constraints: only("host-0"), ..place(&format!("there-{n}"), 1) };
        let refused = member.placement().place(there.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        member.fleet().set_scheduling(set(Scheduling::Open)).await.unwrap();
        let newest = placed(&member, there).await.reservations[0].id;
        let release = v1::ReleaseRequest { request_id: format!("r{n}"), reservation_ids: vec![newest] };
        member.placement().release(release).await.unwrap();
    }
}

#[tokio::test]
async fn what_needs_a_feature_level_is_refused_below_it_and_nothing_is_proposed() {
    let member = Member::start().await;
    let _agents = member.hosts(2).await;
    let spread = |id: &str| {
        let constraints = Some(v1::Constraints { max_per_host: 1, ..v1::Constraints::default() });
        v1::PlaceRequest { constraints, ..place(id, 3) }
    };
    let before = member.consensus.state().read().rev();
    let refused = member.placement().place(spread("a")).await.unwrap_err();
    assert!(refused.message().contains("feature level 2"), "{refused:?}");
    assert_eq!(member.consensus.state().read().rev(), before);
    member.cluster().set_feature_level(v1::SetFeatureLevelRequest { level: 2 }).await.unwrap();
    let placed = placed(&member, spread("a")).await;
    assert_eq!((placed.reservations.len(), placed.missing), (2, 1));
    assert_eq!(placed.rejections[0].constraint, "max_per_host");
}

#[tokio::test]
async fn a_volume_that_a_machine_uses_is_not_deleted() {
    let member = Member::start().await;
    let _agents = member.hosts(2).await;
    let create = v1::CreateVolumeRequest {
        request_id: "v".to_owned(),
        app: "app".to_owned(),
        name: "data".to_owned(),
        size_bytes: 1 << 30,
        ..Default::default()
    };
    let volume = member.volumes().create(create).await.unwrap().into_inner().volume.unwrap();
    let constraints = Some(v1::Constraints { volume_id: volume.id, ..v1::Constraints::default() });
    let row = placed(&member, v1::PlaceRequest { constraints, ..place("a", 1) }).await.reservations.remove(0);
    assert_eq!((&row.host, row.volume_id), (&volume.host, volume.id));
    let listed = member.volumes().list(v1::ListVolumesRequest::default()).await.unwrap().into_inner().volumes;
    assert_eq!(listed.iter().map(|volume| (volume.id, volume.used_by)).collect::<Vec<_>>(), [(volume.id, row.id)]);

    let delete = |request_id: &str| v1::DeleteVolumeRequest { request_id: request_id.to_owned(), volume_id: volume.id };
    assert_eq!(member.volumes().delete(delete("d1")).await.unwrap_err().code(), Code::FailedPrecondition);
    let release = v1::ReleaseRequest { request_id: "r".to_owned(), reservation_ids: vec![row.id] };
    member.placement().release(release).await.unwrap();
    member.volumes().delete(delete("d2")).await.unwrap();
    let gone = member.volumes().get(v1::GetVolumeRequest { volume_id: volume.id }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_stream_places_and_releases_and_ends_when_everything_is_answered() {
    const CALLS: u64 = 10_000;
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let (calls, messages) = mpsc::channel(16);
    let mut answers = member.placement().place_stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
    let machine = |tag: u64| {
        let mut request = place(&format!("p{tag}"), 1);
        request.shape = Some(v1::Shape { cpu_milli: 1, memory_bytes: 1 << 20, ..v1::Shape::default() });
        request
    };
    // More than a window, sent by someone who does not read meanwhile.
    let sending = tokio::spawn(async move {
        for tag in 0..CALLS {
            calls.send(v1::PlaceStreamRequest { tag, call: Some(Call::Place(machine(tag))) }).await.unwrap();
        }
        calls
    });
    let (mut tags, mut ids) = (BTreeSet::new(), Vec::new());
    while (tags.len() as u64) < CALLS {
        let answer = answers.message().await.unwrap().unwrap();
        let Some(Told::Placed(placed)) = answer.result else { panic!("{answer:?}") };
        ids.push(placed.reservations[0].id);
        assert!(tags.insert(answer.tag), "{} is answered twice", answer.tag);
    }
    let calls = sending.await.unwrap();
    let release = v1::ReleaseRequest { request_id: "r".to_owned(), reservation_ids: ids[..1_000].to_vec() };
    calls.send(v1::PlaceStreamRequest { tag: 7, call: Some(Call::Release(release)) }).await.unwrap();
    drop(calls);
    let last = answers.message().await.unwrap().unwrap();
    assert!(matches!((last.tag, &last.result), (7, Some(Told::Released(_)))), "{last:?}");
    assert_eq!(answers.message().await.unwrap(), None, "the stream ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_is_answered_once_however_often_it_is_sent_at_the_same_time() {
    let member = Member::start().await;
    let _agents = member.hosts(2).await;
    let calls = (0..32).map(|_| {
        let mut placement = member.placement();
        tokio::spawn(async move { placement.place(place("same", 2)).await.unwrap().into_inner() })
    });
    let calls: Vec<_> = calls.collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().reservations);
    }
    assert!(answers.iter().all(|rows| *rows == answers[0]), "{answers:?}");
    let listed = member.placement().list(v1::ListRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.reservations, answers[0]);
    let host = v1::ListRequest { host: "host-9".to_owned(), ..v1::ListRequest::default() };
    assert_eq!(member.placement().list(host).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_answer_to_many_of_which_none_is_placed_says_at_which_rev() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let requests = vec![v1::PlaceRequest { app: String::new(), ..place("a", 1) }];
    let answer = member.placement().place_many(v1::PlaceManyRequest { requests }).await.unwrap().into_inner();
    assert_eq!(answer.rev, member.consensus.state().read().rev());
    assert_ne!(answer.rev, 0);
}

#[tokio::test]
async fn a_state_hash_is_that_of_the_state() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let status = member.cluster().status(v1::StatusRequest { state_hash: true }).await.unwrap().into_inner();
    let hash = member.consensus.state().read().state_hash();
    assert_eq!((status.state_hash, status.hosts), (format!("{hash:032x}"), 1));
}

#[tokio::test]
async fn a_member_tells_tools_what_it_serves_and_how_it_is() {
    let member = Member::start().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(member.channel.clone());
    let mut answers = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    let mut health = HealthClient::new(member.channel.clone());
    for service in ["Placement", "Volumes", "Fleet", "Cluster", "Watch"].map(|name| format!("gantry.v1.{name}")) {
        assert!(names.contains(&service), "{service} is not among {names:?}");
        let checked = health.check(HealthCheckRequest { service }).await.unwrap().into_inner();
        assert_eq!(checked.status(), ServingStatus::Serving);
    }
}
