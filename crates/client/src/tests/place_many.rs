use gantry_proto::{
    Certainty, WireError, reason,
    v1::{self, place_result::Result::Failure},
};
use tonic::Code;

use super::{
    fake::{Fake, Step},
    place_request, quick,
};

#[tokio::test]
async fn only_what_may_be_repeated_is_sent_again() {
    let refused = WireError::new(Code::ResourceExhausted, reason::NO_CAPACITY, Certainty::Definite, "none fits");
    let contended = WireError::new(Code::Aborted, reason::CONTENDED, Certainty::Definite, "lost the race");
    let fake = Fake::start([Step::Answer, Step::Fail(refused), Step::Fail(contended)]).await;
    let mut request = v1::PlaceManyRequest { requests: vec![place_request(); 3] };
    request.requests[1].request_id = "mine".into();

    let answer = quick(&[&fake.address]).place_many(request).await.unwrap();

    let failed: Vec<bool> = answer.results.iter().map(|result| matches!(result.result, Some(Failure(_)))).collect();
    assert_eq!(failed, [false, true, false]);
    let ids = fake.ids();
    assert_eq!(ids.len(), 4, "only the one that lost the race goes again: {ids:?}");
    assert_eq!(ids[1], "mine");
    assert_eq!(ids[2], ids[3]);
}

#[tokio::test]
async fn a_refusal_after_a_try_that_may_have_happened_is_indefinite() {
    let refused = WireError::new(Code::ResourceExhausted, reason::NO_CAPACITY, Certainty::Definite, "none fits");
    let fake = Fake::start([Step::Foreign(Code::Unavailable), Step::Fail(refused)]).await;
    let request = v1::PlaceManyRequest { requests: vec![place_request()] };

    let answer = quick(&[&fake.address]).place_many(request).await.unwrap();

    let Some(Failure(failure)) = &answer.results[0].result else { panic!("{answer:?}") };
    assert!(failure.detail.as_ref().unwrap().indefinite, "the first try may have placed it: {failure:?}");
    assert_eq!(fake.ids().len(), 2, "a refusal is not sent again, whatever was before it");
}

#[tokio::test]
async fn a_repetition_that_broke_leaves_doubt() {
    let contended = WireError::new(Code::Aborted, reason::CONTENDED, Certainty::Definite, "lost the race");
    let steps = [vec![Step::Fail(contended)], vec![Step::Foreign(Code::Unavailable); 6]].concat();
    let fake = Fake::start(steps).await;
    let request = v1::PlaceManyRequest { requests: vec![place_request()] };

    let answer = quick(&[&fake.address]).place_many(request).await.unwrap();

    let Some(Failure(failure)) = &answer.results[0].result else { panic!("{answer:?}") };
    assert!(failure.detail.as_ref().unwrap().indefinite, "the repetition may have placed it: {failure:?}");
}
