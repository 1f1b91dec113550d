//! A leader that has lost its followers: nothing is committed any more.

use std::time::Duration;

use gantry_proto::{Certainty, WireError, reason, v1};
use tonic::{Code, Request, Status};

use super::member::{Member, place};

/// Two members; the one that does not lead is stopped.
async fn stalled() -> Member {
    let (one, two) = (Member::alone(1).await, Member::alone(2).await);
    one.init(vec![one.consensus.member(), two.consensus.member()]).await;
    let mut role = one.consensus.role();
    role.wait_for(|role| role.leader.is_some()).await.unwrap();
    let leads = role.borrow().leader.as_ref().is_some_and(|leader| leader.id == 1);
    let (leader, follower) = if leads { (one, two) } else { (two, one) };
    leader.leads().await;
    leader.hosts(1).await;
    follower.stop().await;
    leader
}

async fn placed(member: &Member, id: String, timeout: Duration) -> Result<v1::PlaceResponse, Status> {
    let mut request = Request::new(place(&id, 1));
    request.set_timeout(timeout);
    member.placement().place(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_time_is_over_before_it_was_proposed_hears_that_nothing_happened() {
    let leader = stalled().await;
    // As many as may be in flight, one after the other; what comes after them waits.
    for n in 0..8 {
        let (mut placement, request) = (leader.placement(), place(&format!("fill-{n}"), 1));
        tokio::spawn(async move { placement.place(request).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = placed(&leader, "late".to_owned(), Duration::from_millis(1_000)).await.unwrap_err();
    let error = WireError::from(&status);
    // It hears of its deadline, or of the leader that has stepped off by then because nobody follows it.
    let told = (error.code, error.detail.reason.as_str());
    let honest = [(Code::DeadlineExceeded, reason::DEADLINE), (Code::Unavailable, reason::NOT_LEADER)];
    assert!(honest.contains(&told), "{status:?}");
    assert_eq!(error.certainty(), Certainty::Definite, "{status:?}");
}
