//! Calls at the same time.

use futures::future::join_all;
use gantry_oci::ResolveError;

use crate::{
    fake::{Fake, Say, one_image},
    reference, resolve, resolver,
};

#[tokio::test]
async fn a_hundred_calls_for_one_reference_are_one_fetch() {
    let (content, digest) = one_image();
    let fake = Fake::start(move |seen| content.say(seen)).await;
    let resolver = resolver(&[&fake.host], "");
    let all = join_all((0..100).map(|_| resolve(&resolver, &fake.host, "app:1"))).await;
    assert!(all.iter().all(|one| one.as_ref().is_ok_and(|resolved| resolved.digest.to_string() == digest)));
    assert_eq!(fake.count("/manifests/"), 1);
    let reference = reference(&fake.host, "app:1");
    join_all((0..100).map(|_| resolver.digest_of(&reference))).await;
    assert_eq!(fake.seen().iter().filter(|seen| seen.method == "HEAD").count(), 1);
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    assert_eq!(fake.seen().iter().filter(|seen| seen.method == "GET" && seen.path.contains("/manifests/")).count(), 3);
}

#[tokio::test]
async fn more_references_than_may_be_resolved_at_a_time_are_refused_at_once() {
    let fake = Fake::start(|_| Say::Nothing).await;
    let resolver = resolver(&[&fake.host], "resolves = 3\nread_ms = 200");
    let names = ["a:1", "b:1", "c:1", "d:1", "a:1"];
    let all = join_all(names.map(|name| resolve(&resolver, &fake.host, name))).await;
    let is_full: Vec<bool> = all.iter().map(|one| matches!(one, Err(ResolveError::Full { limit: 3 }))).collect();
    assert_eq!(is_full, [false, false, false, true, false]);
}
