use std::{collections::HashSet, time::Duration};

use gantry_proto::{Certainty, WireError, reason, v1};
use tonic::Code;

use super::{
    fake::{Fake, Step, nowhere},
    place_request, quick,
};
use crate::Retry;

fn no_capacity() -> WireError {
    WireError::new(Code::ResourceExhausted, reason::NO_CAPACITY, Certainty::Definite, "none fits")
}

#[tokio::test]
async fn a_call_finds_the_leader_with_one_request_id() {
    let leader = Fake::start([Step::Fail(WireError::outcome_unknown("a new leader was elected")), Step::Answer]).await;
    let follower = Fake::start([Step::Fail(WireError::not_leader(Some(&leader.address)))]).await;
    let client = quick(&[&follower.address]);

    let answer = client.place(place_request()).await.unwrap();

    assert_eq!(answer.rev, 7);
    assert_eq!((follower.seen().len(), leader.seen().len()), (2, 1), "not leader, outcome unknown, passed on");
    let ids: HashSet<String> = follower.ids().into_iter().chain(leader.ids()).collect();
    assert_eq!(ids.len(), 1, "every try has the same request id: {ids:?}");
    assert!(!ids.contains(""));
}

#[tokio::test]
async fn the_leader_is_remembered() {
    let leader = Fake::start([]).await;
    let follower = Fake::naming(Some(leader.address.clone()), []).await;
    let client = quick(&[&follower.address]);
    for _ in 0..3 {
        client.place(place_request()).await.unwrap();
    }
    assert_eq!((follower.seen().len(), leader.seen().len()), (1, 2), "an answer that was passed on names the leader");
    assert_eq!(client.endpoint(), leader.address);
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_not_insisted_on() {
    let follower = Fake::naming(Some(nowhere().await), []).await;
    let client = quick(&[&follower.address]);
    for _ in 0..3 {
        client.place(place_request()).await.unwrap();
    }
    assert_eq!(follower.seen().len(), 3);
}

#[tokio::test]
async fn a_leader_that_let_the_time_of_one_try_pass_is_left_for_another() {
    let next = Fake::start([]).await;
    let stuck = Fake::start(vec![Step::Fail(WireError::deadline(Certainty::Definite)); 10]).await;
    let answer = quick(&[&stuck.address, &next.address]).place(place_request()).await.unwrap();
    assert_eq!(answer.rev, 7);
    assert_eq!((stuck.seen().len(), next.seen().len()), (1, 1));
}

#[tokio::test]
async fn repeating_stops_at_the_bound() {
    let always = || vec![Step::Foreign(Code::Unavailable); 100];
    let (a, b) = (Fake::start(always()).await, Fake::start(always()).await);
    let error = quick(&[&a.address, &b.address]).place(place_request()).await.unwrap_err();
    assert_eq!(error.attempts, 6);
    assert!(error.indefinite());
    assert_eq!((a.seen().len(), b.seen().len()), (3, 3), "the tries go round");
    let ids: HashSet<String> = a.ids().into_iter().chain(b.ids()).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_definite_error_is_the_answer() {
    let fake = Fake::start([Step::Fail(no_capacity())]).await;
    let error = quick(&[&fake.address]).place(place_request()).await.unwrap_err();
    assert_eq!((error.reason(), error.code), (reason::NO_CAPACITY, Code::ResourceExhausted));
    assert!(error.definite());
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn overloaded_is_tried_again_at_the_same_node() {
    let busy = Fake::start(vec![Step::Fail(WireError::overloaded("placements")); 2]).await;
    let other = Fake::start([]).await;
    quick(&[&busy.address, &other.address]).place(place_request()).await.unwrap();
    assert_eq!((busy.seen().len(), other.seen().len()), (3, 0));
}

#[tokio::test]
async fn a_no_after_a_doubt_stays_in_doubt() {
    let fake = Fake::start([Step::Foreign(Code::Unavailable), Step::Fail(no_capacity())]).await;
    let error = quick(&[&fake.address]).place(place_request()).await.unwrap_err();
    assert_eq!(error.reason(), reason::NO_CAPACITY);
    assert!(error.indefinite(), "the first try may still arrive and place something");
}

#[tokio::test]
async fn a_node_that_hangs_is_left_for_another() {
    let (hung, other) = (Fake::start([Step::Hang]).await, Fake::start([]).await);
    quick(&[&hung.address, &other.address]).place(place_request()).await.unwrap();
    assert_eq!(hung.ids(), other.ids());
    assert!(hung.seen()[0].has_deadline, "the server must know when the caller stops waiting");

    let hung = Fake::start([Step::Hang]).await;
    let retry = Retry { deadline: Duration::from_millis(50), ..quick(&[&hung.address]).retry() };
    let error = quick(&[&hung.address]).with_retry(retry).place(place_request()).await.unwrap_err();
    assert_eq!((error.code, error.reason(), error.indefinite()), (Code::DeadlineExceeded, reason::DEADLINE, true));
    assert!(error.to_string().contains(&hung.address), "{error}");
}

#[tokio::test]
async fn an_unreachable_node_is_definite_and_left_for_another() {
    let (nowhere, other) = (nowhere().await, Fake::start([]).await);
    quick(&[&nowhere, &other.address]).place(place_request()).await.unwrap();

    let error = quick(&[&nowhere]).place(place_request()).await.unwrap_err();
    assert_eq!(error.reason(), reason::UNREACHABLE, "{error}");
    assert!(error.definite(), "nothing was ever sent");
    assert!(error.to_string().contains(&nowhere), "{error}");
}

#[tokio::test]
async fn a_pinned_client_asks_its_node_once_and_reads_what_that_has() {
    let leader = Fake::start([]).await;
    let node = Fake::start([Step::Answer, Step::Fail(WireError::not_leader(Some(&leader.address)))]).await;
    let pinned = quick(&[&leader.address]).on(&node.address).unwrap();
    pinned.get(v1::GetRequest::default()).await.unwrap();
    assert!(node.seen()[0].local_read);
    let error = pinned.get(v1::GetRequest::default()).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts), (reason::NOT_LEADER, 1));
    assert_eq!(leader.seen(), []);
}
