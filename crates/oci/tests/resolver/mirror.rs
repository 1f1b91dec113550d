//! Copies of a registry, and what happens when they have nothing good.

use gantry_oci::{Config, Resolver};
use tokio::net::TcpListener;

use crate::{
    fake::{Content, Fake, Say, one_image, put_image, status},
    reference, resolve,
};

/// The last one is the registry; the others are its mirrors.
fn with_mirrors(mirrors: &[&str], registry: &str) -> Resolver {
    let plain = |host: &&str| format!("[hosts.{:?}]\nplain_http = true\n", host.split('/').next().unwrap_or_default());
    let text = format!(
        "read_ms = 1000\nconnect_ms = 2000\n{}[hosts.{registry:?}]\nplain_http = true\nmirrors = {mirrors:?}",
        mirrors.iter().map(plain).collect::<String>()
    );
    let config: Config = toml::from_str(&text).expect("a config");
    Resolver::new(config).expect("a good config")
}

async fn serving(content: &Content) -> Fake {
    let content = content.clone();
    Fake::start(move |seen| content.say(seen)).await
}

#[tokio::test]
async fn the_first_mirror_that_has_it_is_enough() {
    let (content, digest) = one_image();
    let (first, second, registry) = (serving(&content).await, serving(&content).await, serving(&content).await);
    let mirror = format!("{}/copies/of", first.host);
    let resolver = with_mirrors(&[&mirror, &second.host], &registry.host);
    assert_eq!(resolve(&resolver, &registry.host, "app:1").await.unwrap().digest.to_string(), digest);
    assert_eq!(first.seen()[0].path, "/v2/copies/of/app/manifests/1");
    assert_eq!((second.seen().len(), registry.seen().len()), (0, 0));
}

#[tokio::test]
async fn mirrors_that_are_down_hang_lie_or_know_nothing_are_passed_over() {
    let (content, digest) = one_image();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("it is bound").to_string()
    };
    let hangs = Fake::start(|_| Say::Nothing).await;
    let busy = Fake::start(|_| status(429, &[("retry-after", "0")], "")).await;
    let empty = serving(&Content::default()).await;
    let mut lie = content.clone();
    let other = put_image(&mut lie, "arm64");
    lie.name(&digest, &other);
    let lies = serving(&lie).await;
    let registry = serving(&content).await;
    let mirrors = [closed.as_str(), &hangs.host, &busy.host, &empty.host, &lies.host];
    let resolver = with_mirrors(&mirrors, &registry.host);
    let resolved = resolve(&resolver, &registry.host, &format!("app@{digest}")).await.unwrap();
    assert_eq!(resolved.digest.to_string(), digest);
    let asked = [&hangs, &busy, &empty, &lies].map(|mirror| mirror.seen().len());
    assert_eq!(asked, [1, 1, 1, 1], "each once, in vain");
    assert_eq!(resolver.digest_of(&reference(&registry.host, "app:1")).await.unwrap().to_string(), digest);
}

#[tokio::test]
async fn the_registry_has_the_last_word_on_what_is_not_there() {
    let empty = serving(&Content::default()).await;
    let registry = serving(&Content::default()).await;
    let resolver = with_mirrors(&[&empty.host], &registry.host);
    let error = resolve(&resolver, &registry.host, "app:1").await.unwrap_err();
    assert!(error.to_string().contains(&registry.host), "{error}");
}
