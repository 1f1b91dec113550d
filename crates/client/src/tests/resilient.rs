use std::{collections::BTreeSet, time::Duration};

use gantry_proto::{
    Certainty, WireError, reason,
    v1::{
        PlaceStreamRequest, PlaceStreamResponse, place_stream_request::Call, place_stream_response::Result as Answer,
    },
};
use tonic::Code;

use super::{
    fake::{Fake, Step, nowhere},
    place_request, quick,
};
use crate::{Client, ResilientStream, Retry};

fn call(tag: u64) -> PlaceStreamRequest {
    PlaceStreamRequest { tag, call: Some(Call::Place(place_request())) }
}

/// Sends calls with the tags from 0, and collects their answers.
async fn all(stream: ResilientStream, count: u64) -> Vec<PlaceStreamResponse> {
    let (sender, mut receiver) = stream.split();
    tokio::spawn(async move {
        for tag in 0..count {
            sender.send(call(tag)).await.unwrap();
        }
    });
    let mut answers = Vec::new();
    while let Some(answer) = receiver.recv().await {
        answers.push(answer);
    }
    answers
}

fn failures(answers: &[PlaceStreamResponse]) -> Vec<WireError> {
    let failure = |answer: &PlaceStreamResponse| match &answer.result {
        Some(Answer::Failure(failure)) => Some(WireError::from(failure.clone())),
        _ => None,
    };
    answers.iter().filter_map(failure).collect()
}

fn tags(answers: &[PlaceStreamResponse]) -> Vec<u64> {
    let mut tags: Vec<u64> = answers.iter().map(|answer| answer.tag).collect();
    tags.sort_unstable();
    tags
}

#[tokio::test]
async fn the_loss_of_the_leader_is_only_a_pause() {
    let next = Fake::start([]).await;
    let mut steps = vec![Step::Answer, Step::Hang, Step::Answer, Step::Hang];
    steps.push(Step::Fail(WireError::not_leader(Some(&next.address))));
    let old = Fake::start(steps).await;

    let answers = all(quick(&[&old.address]).resilient_stream(64), 20).await;

    assert_eq!(tags(&answers), (0..20).collect::<Vec<_>>(), "each call is answered once, under its own tag");
    assert_eq!(failures(&answers), []);
    let (before, after) = (old.ids(), next.ids());
    assert!(after.contains(&before[1]) && after.contains(&before[3]), "what was unanswered keeps its request id");
    assert!(!after.contains(&before[0]), "what was answered is not sent again");
    let distinct: BTreeSet<&String> = before.iter().chain(&after).collect();
    assert_eq!(distinct.len(), 20);
}

#[tokio::test]
async fn a_broken_connection_is_only_a_pause() {
    let next = Fake::start([]).await;
    let old = Fake::start([Step::Answer, Step::Foreign(Code::Unavailable)]).await;
    let answers = all(quick(&[&old.address, &next.address]).resilient_stream(4), 20).await;
    assert_eq!(tags(&answers), (0..20).collect::<Vec<_>>());
    assert_eq!(failures(&answers), []);
}

#[tokio::test]
async fn a_node_that_goes_silent_is_left_for_another() {
    let next = Fake::start([]).await;
    let silent = Fake::start(vec![Step::Hang; 100]).await;
    let answers = all(quick(&[&silent.address, &next.address]).resilient_stream(64), 5).await;
    assert_eq!(failures(&answers), []);
    assert_eq!(silent.ids(), next.ids(), "sent again in the old order");
}

#[tokio::test]
async fn a_lost_race_is_run_again_on_the_same_stream_and_a_refusal_is_not() {
    let contended = WireError::new(Code::Aborted, reason::CONTENDED, Certainty::Definite, "lost the race");
    let refused = WireError::new(Code::ResourceExhausted, reason::NO_CAPACITY, Certainty::Definite, "none fits");
    let fake = Fake::start([Step::Fail(contended), Step::Fail(refused.clone())]).await;
    let answers = all(quick(&[&fake.address]).resilient_stream(64), 2).await;
    assert_eq!(failures(&answers), [refused]);
    let ids = fake.ids();
    assert_eq!((ids.len(), &ids[0]), (3, &ids[2]));
}

#[tokio::test]
async fn a_call_that_cannot_be_read_fails_and_is_not_sent_again() {
    let unreadable = WireError::too_large("the message", 5, 4);
    let fake = Fake::start([Step::Answer, Step::Hang, Step::End(unreadable.clone())]).await;
    let answers = all(quick(&[&fake.address]).resilient_stream(3), 3).await;
    assert_eq!(tags(&answers), [0, 1, 2]);
    let failures = failures(&answers);
    assert_eq!(failures.len(), 2, "{failures:?}");
    for error in &failures {
        assert_eq!((error.code, error.detail.reason.as_str()), (unreadable.code, reason::TOO_LARGE));
        assert_eq!(error.certainty(), Certainty::Indefinite, "it was sent, and the stream's end does not say which");
    }
    assert_eq!(fake.ids().len(), 3, "none is sent again");
}

#[tokio::test]
async fn repeating_stops_at_the_bound() {
    let contended = WireError::new(Code::Aborted, reason::CONTENDED, Certainty::Definite, "lost the race");
    let fake = Fake::start(vec![Step::Fail(contended.clone()); 100]).await;
    let answers = all(quick(&[&fake.address]).resilient_stream(64), 1).await;
    assert_eq!(failures(&answers), [contended]);
    assert_eq!(fake.ids().len(), 6);
}

#[tokio::test]
async fn without_any_node_every_call_fails_at_its_deadline() {
    let retry = Retry { deadline: Duration::from_millis(100), ..quick(&["a:1"]).retry() };
    let client = Client::new([nowhere().await]).unwrap().with_retry(retry);
    let answers = all(client.resilient_stream(64), 3).await;
    assert_eq!(tags(&answers), [0, 1, 2]);
    let failures = failures(&answers);
    assert_eq!(failures.len(), 3);
    assert!(failures.iter().all(|error| error.certainty() == Certainty::Definite), "nothing was ever sent");
    assert!(failures.iter().all(|error| error.detail.reason == reason::UNREACHABLE));
}

#[tokio::test]
async fn a_stream_goes_straight_to_the_leader_that_a_follower_names() {
    let leader = Fake::start([]).await;
    let follower = Fake::naming(Some(leader.address.clone()), []).await;
    let stream = quick(&[&follower.address]).place_stream().await.unwrap();
    assert_eq!(stream.endpoint(), leader.address);

    let follower = Fake::naming(Some(nowhere().await), []).await;
    let stream = quick(&[&follower.address]).place_stream().await.unwrap();
    assert_eq!(stream.endpoint(), follower.address, "a leader out of reach is reached by way of the follower");
}
