//! Watching, and going on where a watch ended.

use gantry_proto::v1::{self, event::Event};
use tonic::Streaming;

use super::member::{Member, PATIENCE, place};

async fn watch(member: &Member, after_rev: Option<u64>, app: &str) -> Streaming<v1::WatchResponse> {
    let request = v1::WatchRequest { after_rev, app: app.to_owned(), host: String::new() };
    member.watcher().watch(request).await.unwrap().into_inner()
}

async fn next(watch: &mut Streaming<v1::WatchResponse>) -> v1::WatchResponse {
    tokio::time::timeout(PATIENCE, watch.message()).await.expect("the watch is silent").unwrap().unwrap()
}

fn reserved(response: &v1::WatchResponse) -> Vec<&str> {
    let events = response.events.iter();
    events
        .filter_map(|event| match &event.event {
            Some(Event::Reserved(row)) => Some(row.request_id.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_watch_says_at_once_where_it_is() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let response = next(&mut watch(&member, None, "").await).await;
    let rev = member.consensus.state().read().rev();
    assert_eq!((response.rev, response.events.len()), (rev, 0));
}

#[tokio::test]
async fn a_watcher_of_a_quiet_app_hears_how_far_the_others_are() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let mut quiet = watch(&member, None, "quiet").await;
    let first = next(&mut quiet).await.rev;
    let placed = member.placement().place(place("loud", 1)).await.unwrap().into_inner();
    let response = next(&mut quiet).await;
    assert!(first < placed.rev && response.rev >= placed.rev, "{first}, {}, {}", placed.rev, response.rev);
    assert_eq!(response.events.len(), 0);
}

#[tokio::test]
async fn a_watch_goes_on_where_the_last_one_ended() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let mut first = watch(&member, None, "").await;
    next(&mut first).await;
    member.placement().place(place("one", 1)).await.unwrap();
    let response = next(&mut first).await;
    assert_eq!(reserved(&response), ["one"]);
    drop(first);
    member.placement().place(place("two", 1)).await.unwrap();
    let again = next(&mut watch(&member, Some(response.rev), "").await).await;
    assert_eq!(reserved(&again), ["two"], "neither again nor left out");
}
