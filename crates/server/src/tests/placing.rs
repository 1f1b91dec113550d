//! Placements over the API.

use gantry_proto::v1::{self, place_result::Result};

use super::member::{Member, place};

/// The answers to requests that the decider takes as one batch: on this one thread, nothing comes between them.
async fn batch(member: &Member, requests: Vec<v1::PlaceRequest>) -> Vec<Result> {
    let answer = member.placement().place_many(v1::PlaceManyRequest { requests }).await.unwrap().into_inner();
    answer.results.into_iter().map(|result| result.result.unwrap()).collect()
}

fn placed(result: &Result) -> &v1::PlaceResponse {
    match result {
        Result::Placed(placed) => placed,
        Result::Failure(failure) => panic!("not placed: {failure:?}"),
    }
}

#[tokio::test]
async fn machines_are_only_missing_where_nothing_in_flight_could_make_room() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    // Seven of eight GPUs are held by plans, and the second request will be refused: its id is taken by the first.
    let results = batch(&member, vec![place("taken", 1), place("taken", 6), place("other", 4)]).await;
    assert!(matches!(&results[1], Result::Failure(_)), "{results:?}");
    let other = placed(&results[2]);
    assert_eq!((other.reservations.len(), other.missing), (4, 0), "there was room for all: {other:?}");
}

#[tokio::test]
async fn many_partial_placements_all_come_to_an_end() {
    let member = Member::start().await;
    let _agents = member.hosts(3).await;
    let results = batch(&member, (0..40).map(|n| place(&format!("r{n}"), 5)).collect()).await;
    let machines: usize = results
        .iter()
        .map(|result| match result {
            Result::Placed(placed) => placed.reservations.len(),
            Result::Failure(_) => 0,
        })
        .sum();
    assert_eq!(machines, 24, "all of the room is used");
    let (last, rest) = (placed(&results[4]), &results[5..]);
    assert_eq!((last.reservations.len(), last.missing), (4, 1));
    assert_eq!(last.rejections.iter().map(|r| r.hosts).sum::<u64>(), 3, "{last:?}");
    assert!(rest.iter().all(|result| matches!(result, Result::Failure(_))));
}

#[tokio::test]
async fn a_call_waits_for_what_is_in_flight_and_not_for_luck() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    // All of the room is planned for a request that will be refused. What comes after it is looked at again and again.
    let mut requests = vec![place("taken", 1), place("taken", 7)];
    requests.extend((0..7).map(|n| place(&format!("other-{n}"), 1)));
    let results = batch(&member, requests).await;
    let fit = results.iter().filter(|result| matches!(result, Result::Placed(_))).count();
    assert_eq!(fit, 8, "{results:?}");
}
