//! Blobs that are too large to be held.

use std::time::Duration;

use gantry_oci::{ResolveError, Resolver, document::digest_of};

use crate::{
    fake::{Answer, Fake, Say, redirect, status},
    reference, resolver,
};

const BLOB: &str = "0123456789";

async fn read(resolver: &Resolver, host: &str, from: u64, tried: usize) -> Result<String, ResolveError> {
    let digest = digest_of(BLOB.as_bytes());
    let mut blob = resolver.blob(&reference(host, "app:1"), digest, from, tried).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn a_blob_comes_from_where_it_was_asked_for_on_whatever_the_registry_can_do() {
    let whole = Fake::start(|_| status(200, &[], BLOB)).await;
    let part = Fake::start(|_| status(206, &[("content-range", "bytes 4-9/10")], &BLOB[4..])).await;
    let resolver = resolver(&[&whole.host, &part.host], "");
    for (host, from, expected) in [(&whole.host, 0, BLOB), (&whole.host, 4, "456789"), (&part.host, 4, "456789")] {
        assert_eq!(read(&resolver, host, from, 0).await.as_deref(), Ok(expected));
    }
    // One that begins too late has something else in mind.
    let error = read(&resolver, &part.host, 3, 0).await.unwrap_err();
    assert!(error.to_string().contains("it was asked for from byte 3 on"), "{error}");
}

#[tokio::test]
async fn a_storage_that_a_registry_sends_to_is_followed_without_credentials() {
    let storage = Fake::start(|_| status(200, &[], BLOB)).await;
    let to = format!("http://{}/signed?by=them", storage.host);
    let registry = Fake::start(move |seen| match seen.authorization.is_some() {
        false => status(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
        true => redirect(&to),
    })
    .await;
    let text = format!(
        "[hosts.{:?}]\nplain_http = true\n[hosts.{:?}]\nplain_http = true\nuser = \"me\"\npassword = \"hush\"",
        storage.host, registry.host
    );
    let resolver = Resolver::new(toml::from_str(&text).expect("a config")).expect("a good config");
    assert_eq!(read(&resolver, &registry.host, 0, 0).await.as_deref(), Ok(BLOB));
    assert_eq!(storage.seen()[0].authorization, None);
}

#[tokio::test]
async fn a_busy_registry_is_waited_for_and_a_silent_one_is_not() {
    let busy = Fake::start({
        let asked = std::sync::atomic::AtomicU32::new(0);
        move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => status(429, &[("retry-after", "0")], ""),
            _ => status(200, &[], BLOB),
        }
    })
    .await;
    let silent = Fake::start(|_| Say::Now(http::Response::new(Answer::Silent))).await;
    let missing = Fake::start(|_| status(404, &[], "")).await;
    let resolver = resolver(&[&busy.host, &silent.host, &missing.host], "read_ms = 200");
    assert_eq!(read(&resolver, &busy.host, 0, 0).await.as_deref(), Ok(BLOB));
    assert_eq!(busy.seen().len(), 2);
    let reading = read(&resolver, &silent.host, 0, 0);
    let error = tokio::time::timeout(Duration::from_secs(5), reading).await.expect("in time").unwrap_err();
    assert!(matches!(&error, ResolveError::Unreachable { why, .. } if why.contains("fell silent")), "{error}");
    let error = read(&resolver, &missing.host, 0, 0).await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn each_try_asks_another_place_and_the_registry_has_the_last_word() {
    let (mirror, registry) =
        (Fake::start(|_| status(200, &[], "a lie")).await, Fake::start(|_| status(200, &[], BLOB)).await);
    let text = format!(
        "[hosts.{:?}]\nplain_http = true\n[hosts.{:?}]\nplain_http = true\nmirrors = [{:?}]",
        mirror.host, registry.host, mirror.host
    );
    let resolver = Resolver::new(toml::from_str(&text).expect("a config")).expect("a good config");
    assert_eq!(resolver.places(&reference(&registry.host, "app:1")), 2);
    for (tried, expected) in [(0, "a lie"), (1, BLOB), (7, BLOB)] {
        assert_eq!(read(&resolver, &registry.host, 0, tried).await.as_deref(), Ok(expected));
    }
}
