//! Placements over the API.

use futures::future::join_all;
use gantry_proto::v1::{self, agent_message::Message};

use super::member::{Member, place};
use crate::call::{Answered, CallError, Placed, What};

/// The answers to requests that the decider takes as one batch: on this one thread, nothing comes between them.
pub(super) async fn batch(member: &Member, requests: Vec<v1::PlaceRequest>) -> Vec<Result<Placed, CallError>> {
    let node = member.deciding_node();
    let calls = requests.into_iter().map(|request| node.decide(What::place(request.try_into().unwrap()), None));
    let answers = join_all(calls).await.into_iter();
    answers
        .map(|answer| match answer? {
            Answered::Placed(placed) => Ok(placed),
            other => panic!("not the answer to a placement: {other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn machines_are_only_missing_where_nothing_in_flight_could_make_room() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    // Seven of eight GPUs are held by plans, and the second request will be refused: its id is taken by the first.
    let results = batch(&member, vec![place("taken", 1), place("taken", 6), place("other", 4)]).await;
    assert!(results[1].is_err(), "{results:?}");
    let other = results[2].as_ref().unwrap();
    assert_eq!((other.reservations.len(), other.missing), (4, 0), "there was room for all: {other:?}");
}

#[tokio::test]
async fn many_partial_placements_all_come_to_an_end() {
    let member = Member::start().await;
    let _agents = member.hosts(3).await;
    let results = batch(&member, (0..40).map(|n| place(&format!("r{n}"), 5)).collect()).await;
    let machines: usize = results.iter().flatten().map(|placed| placed.reservations.len()).sum();
    assert_eq!(machines, 24, "all of the room is used");
    let (last, rest) = (results[4].as_ref().unwrap(), &results[5..]);
    assert_eq!((last.reservations.len(), last.missing), (4, 1));
    assert_eq!(last.rejections.iter().map(|r| r.hosts).sum::<usize>(), 3, "{last:?}");
    assert!(rest.iter().all(Result::is_err));
}

#[tokio::test]
async fn a_call_waits_for_what_is_in_flight_and_not_for_luck() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    // All of the room is planned for a request that will be refused. What comes after it is looked at again and again.
    let mut requests = vec![place("taken", 1), place("taken", 7)];
    requests.extend((0..7).map(|n| place(&format!("other-{n}"), 1)));
    let results = batch(&member, requests).await;
    assert_eq!(results.iter().flatten().count(), 8, "{results:?}");
}

/// The log positions that calls of a batch took.
async fn revs_taken(member: &Member, requests: Vec<v1::PlaceRequest>) -> (u64, Vec<Result<Placed, CallError>>) {
    let rev = || member.consensus.state().read().rev();
    let before = rev();
    let results = batch(member, requests).await;
    (rev() - before, results)
}

#[tokio::test]
async fn a_burst_is_one_log_entry_and_one_answer_a_machine() {
    let member = Member::start().await;
    let _agents = member.hosts(3).await;
    let burst = |id: &str, count, all_or_nothing| v1::PlaceRequest { all_or_nothing, ..place(id, count) };
    // Many requests share an entry too.
    let (revs, results) = revs_taken(&member, vec![burst("gang", 10, true), burst("burst", 8, false)]).await;
    assert_eq!(revs, 1, "{results:?}");
    for (placed, count) in results.iter().zip([10, 8]) {
        let placed = placed.as_ref().unwrap();
        assert_eq!((placed.reservations.len(), placed.hosts.len(), placed.choices.len()), (count, count, count));
        assert!(placed.reservations.iter().all(|row| row.rev == placed.rev) && placed.missing == 0);
    }

    // Six are left. A gang of seven gets nothing and writes nothing; a burst gets what there is, in one entry.
    let (revs, results) = revs_taken(&member, vec![burst("large", 7, true)]).await;
    assert!(matches!(&results[0], Err(CallError::Refused(gantry_types::Refused::NoCapacity { .. }))), "{results:?}");
    assert_eq!(revs, 0, "a refusal is no log entry");
    let (revs, results) = revs_taken(&member, vec![burst("part", 7, false)]).await;
    let placed = results[0].as_ref().unwrap();
    assert_eq!((revs, placed.reservations.len(), placed.missing), (1, 6, 1));
    assert_eq!(placed.rejections.iter().map(|group| group.hosts).sum::<usize>(), 3);
}

/// Nobody has recorded the image, no registry is asked, and one of the hosts has it.
#[tokio::test]
async fn a_request_that_says_what_its_image_is_goes_where_it_lies() {
    let member = Member::start().await;
    let mut agents = member.hosts(3).await;
    let digest = |letter: char| format!("sha256:{}", letter.to_string().repeat(64));
    let present = v1::LayerOnHost { digest: digest('a'), size_bytes: 5 << 30, ..v1::LayerOnHost::default() };
    let report = v1::LayerReport { full: true, present: vec![present], gone: Vec::new() };
    agents[2].tell(Message::Layers(report)).await.unwrap();
    let layer = v1::Layer { digest: digest('a'), size_bytes: 5 << 30, ..v1::Layer::default() };
    let manifest = v1::Image { digest: digest('f'), layers: vec![layer], ..v1::Image::default() };
    let with = |id: &str, image: &str, manifest: v1::Image| v1::PlaceRequest {
        image: image.to_owned(),
        manifest: Some(manifest),
        ..place(id, 1)
    };
    let placed = member.placement().place(with("a", "private/model:1", manifest.clone())).await.unwrap().into_inner();
    let choice = &placed.choices[0];
    assert_eq!(placed.reservations[0].host, "host-2");
    assert!(choice.image_known && choice.present_bytes == choice.image_bytes && choice.image_bytes == 5 << 30);
    // It is known now to those who do not say it.
    let request = v1::PlaceRequest { image: "private/model:1".to_owned(), ..place("b", 1) };
    assert_eq!(member.placement().place(request).await.unwrap().into_inner().reservations[0].host, "host-2");
    let why = async |request| member.placement().place(request).await.unwrap_err().message().to_owned();
    assert!(why(with("c", "", manifest.clone())).await.contains("manifest"));
    let other = v1::Image { reference: "other:1".to_owned(), ..manifest.clone() };
    assert!(why(with("d", "private/model:1", other)).await.contains("manifest.reference"));
    let no_digest = v1::Image { digest: "md5:1".to_owned(), ..manifest };
    assert!(why(with("e", "private/model:1", no_digest)).await.contains("image.digest"));
    member.stop().await;
}
