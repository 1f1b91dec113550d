//! Bounds on what a registry may say, how slowly, and how often it may send away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use gantry_oci::ResolveError;
use http::Response;
use parking_lot::Mutex;

use crate::{
    fake::{Answer, Content, Fake, Say, hex, layer, one_image, put_image, redirect, status},
    resolve, resolver,
};

const SHORT: &str = "read_ms = 100\nconnect_ms = 100";

#[tokio::test]
async fn a_registry_that_says_nothing_is_cut() {
    let fake = Fake::start(|_| Say::Nothing).await;
    let error = resolve(&resolver(&[&fake.host], SHORT), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Unreachable { why, .. } if why.contains("has not answered")), "{error}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_registry_that_falls_silent_in_its_answer_is_cut() {
    let fake = Fake::start(|_| Say::Now(Response::new(Answer::Silent))).await;
    let error = resolve(&resolver(&[&fake.host], SHORT), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Unreachable { why, .. } if why.contains("fell silent")), "{error}");
}

#[tokio::test]
async fn a_resolve_ends_at_its_own_bound_whatever_keeps_it() {
    let fake = Fake::start(|_| Say::Nothing).await;
    let error = resolve(&resolver(&[&fake.host], "total_ms = 100"), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::TimedOut { .. }), "{error}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_manifest_without_end_is_read_up_to_the_bound_only() {
    let sent = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&sent);
    let fake = Fake::start(move |_| {
        let chunk = Bytes::from(vec![b' '; 1 << 16]);
        Say::Now(Response::new(Answer::Endless { chunk, sent: Arc::clone(&counted) }))
    })
    .await;
    let error = resolve(&resolver(&[&fake.host], ""), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Broken { why, .. } if why.contains("larger than 4194304 bytes")), "{error}");
    // What lies in the buffers of two sockets comes on top.
    let sent = *sent.lock();
    assert!(sent > 4 << 20 && sent < 32 << 20, "{sent} bytes");
}

#[tokio::test]
async fn a_manifest_that_announces_a_hundred_megabytes_is_not_read() {
    let sent = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&sent);
    let fake = Fake::start(move |_| {
        let chunk = Bytes::from(vec![b' '; 1 << 16]);
        let body = Answer::Endless { chunk, sent: Arc::clone(&counted) };
        Say::Now(Response::builder().header("content-length", 100 << 20).body(body).expect("good headers"))
    })
    .await;
    let error = resolve(&resolver(&[&fake.host], ""), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Broken { why, .. } if why.contains("larger than")), "{error}");
    assert!(*sent.lock() < 100 << 20);
}

#[tokio::test]
async fn a_million_layers_are_refused_by_size_and_fewer_by_number() {
    for (count, why) in [(1_000_000, "larger than 4194304 bytes"), (20_000, "it has 20000 layers: at most 1024 count")]
    {
        let layers = format!("{},", layer('a')).repeat(count - 1);
        let text = format!("{{\"config\":{{\"digest\":\"{}\"}},\"layers\":[{layers}{}]}}", hex('c'), layer('a'));
        let fake = Fake::start(move |_| status(200, &[], &text)).await;
        let error = resolve(&resolver(&[&fake.host], ""), &fake.host, "app:1").await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(fake.count("/blobs/"), 0);
    }
}

#[tokio::test]
async fn a_config_larger_than_its_bound_is_refused() {
    let (content, _) = one_image();
    let fake = Fake::start(move |seen| {
        if seen.path.contains("/blobs/") { status(200, &[], &" ".repeat((8 << 20) + 1)) } else { content.say(seen) }
    })
    .await;
    let error = resolve(&resolver(&[&fake.host], ""), &fake.host, "app:1").await.unwrap_err();
    assert!(error.to_string().contains("larger than 8388608 bytes"), "{error}");
}

#[tokio::test]
async fn redirects_in_circles_end() {
    let fake = Fake::start(|seen| redirect(if seen.path.ends_with('a') { "/b" } else { "/a" })).await;
    let error = resolve(&resolver(&[&fake.host], ""), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Broken { why, .. } if why.contains("redirects again")), "{error}");
    assert_eq!(fake.seen().len(), 6);
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_after_the_pause_that_it_wants() {
    for code in [429, 503] {
        let (content, digest) = one_image();
        let asked = AtomicUsize::new(0);
        let fake = Fake::start(move |seen| {
            let is_busy = asked.fetch_add(1, Ordering::Relaxed) < 2;
            if is_busy { status(code, &[("retry-after", "0")], "") } else { content.say(seen) }
        })
        .await;
        let resolved = resolve(&resolver(&[&fake.host], ""), &fake.host, "app:1").await.unwrap();
        assert_eq!((resolved.digest.to_string(), fake.count("/manifests/")), (digest, 3));
    }
}

#[tokio::test]
async fn a_registry_that_stays_busy_is_asked_so_often_only() {
    let fake = Fake::start(|_| status(429, &[("retry-after", "0")], "")).await;
    let error = resolve(&resolver(&[&fake.host], "tries = 3"), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::Busy { .. }) && error.is_temporary(), "{error}");
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn a_registry_that_wants_a_long_pause_gets_it_from_everyone() {
    let fake = Fake::start(|_| status(429, &[("retry-after", "3600")], "")).await;
    let resolver = resolver(&[&fake.host], "");
    let error = resolve(&resolver, &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::Busy { pause, .. } if pause == Duration::from_secs(3_600)), "{error}");
    assert!(matches!(resolve(&resolver, &fake.host, "other:1").await, Err(ResolveError::Busy { .. })));
    assert_eq!(fake.seen().len(), 1, "it was left alone");
}

#[tokio::test]
async fn answers_that_break_off_are_no_documents() {
    let mut content = Content::default();
    let digest = put_image(&mut content, "amd64");
    content.name("1", &digest);
    let fake = Fake::start(move |seen| {
        let Say::Now(mut response) = content.say(seen) else { return Say::Nothing };
        response.headers_mut().insert("content-length", "100000".parse().expect("a header"));
        Say::Now(response)
    })
    .await;
    let error = resolve(&resolver(&[&fake.host], SHORT), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::Unreachable { .. }), "{error}");
}
