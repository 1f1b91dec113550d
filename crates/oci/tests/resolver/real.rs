//! A registry that is no test's invention, and images pushed there as builders do.

use gantry_oci::{Config, Platform, ResolveError, Resolved, Resolver, document::Compression};

use crate::{
    image::{self, Image, architecture},
    reference,
    registry::{Registry, Wanted},
};

const MIB: usize = 1 << 20;

fn resolver(registry: &Registry, credentials: &str) -> Resolver {
    let text = format!("[hosts.{:?}]\nplain_http = true\n{credentials}", registry.host);
    let config: Config = toml::from_str(&text).expect("a config");
    Resolver::new(config).expect("a good config")
}

async fn resolve(registry: &Registry, resolver: &Resolver, name: &str) -> Result<Resolved, ResolveError> {
    let platform = Platform::parse("test", &format!("linux/{}", architecture())).expect("a platform");
    resolver.resolve(&reference(&registry.host, name), &platform).await
}

/// Once as an index with what is attested, and once with Docker's own documents.
async fn both_kinds_are_resolved(registry: &Registry, credentials: &str) {
    let base = image::Layer::new(1, MIB, image::Compression::Gzip);
    let top = image::Layer::new(2, MIB, image::Compression::Zstd);
    let plain = image::Layer::new(3, MIB, image::Compression::None);
    let built = Image::new("app", &[&base, &top]);
    let docker = Image::new("docker", &[&base, &plain]);
    let file = registry.dir.path().join("image.tar");
    built.write(&file);
    registry.push(&file, "team/app:1", &["--all", "--preserve-digests"]);
    docker.write(&file);
    registry.push(&file, "team/docker:1", &["--format", "v2s2"]);

    let resolver = resolver(registry, credentials);
    let resolved = resolve(registry, &resolver, "team/app:1").await.expect("an index");
    assert_eq!(resolved.digest.to_string(), built.manifest);
    assert_eq!(resolved.named().to_string(), built.index);
    assert_eq!(resolver.digest_of(&reference(&registry.host, "team/app:1")).await, Ok(resolved.named()));
    let seen = |resolved: &Resolved| {
        let layers = resolved.layers.iter();
        layers.map(|layer| (layer.digest.to_string(), layer.diff_id.to_string(), layer.size_bytes)).collect::<Vec<_>>()
    };
    let expected = |layers: &[&image::Layer]| {
        layers.iter().map(|layer| (layer.digest.clone(), layer.diff_id.clone(), layer.size())).collect::<Vec<_>>()
    };
    assert_eq!(seen(&resolved), expected(&[&base, &top]));
    assert_eq!(resolved.layers[1].compression, Compression::Zstd);
    assert_eq!(resolved.image("team/app:1").validate(), Ok(()));

    let resolved = resolve(registry, &resolver, "team/docker:1").await.expect("a manifest of Docker");
    assert_eq!(resolved.index, None);
    assert_eq!(seen(&resolved)[0], expected(&[&base])[0]);
    // The plain one was compressed on its way.
    assert_eq!((resolved.layers.len(), resolved.layers[1].diff_id.to_string()), (2, plain.diff_id));
    assert_eq!(resolved.layers[1].compression, Compression::Gzip);
    assert_eq!(resolver.digest_of(&reference(&registry.host, "team/docker:1")).await, Ok(resolved.digest));

    let missing = resolve(registry, &resolver, "team/app:2").await;
    assert!(matches!(missing, Err(ResolveError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_real_registry_is_asked_by_nobody_in_particular() {
    let Some(registry) = Registry::start(Wanted::default()) else { return };
    both_kinds_are_resolved(&registry, "").await;
}

#[tokio::test]
async fn a_real_registry_is_shown_a_password() {
    let Some(registry) = Registry::start(Wanted { is_guarded: true, ..Wanted::default() }) else { return };
    both_kinds_are_resolved(&registry, "user = \"me\"\npassword = \"hush\"\n").await;
    let wrong = resolver(&registry, "user = \"me\"\npassword = \"shout\"\n");
    let denied = resolve(&registry, &wrong, "team/app:1").await;
    assert!(matches!(denied, Err(ResolveError::Denied { .. })), "{denied:?}");
    let anonymous = resolve(&registry, &resolver(&registry, ""), "team/app:1").await;
    assert!(matches!(anonymous, Err(ResolveError::Denied { .. })), "{anonymous:?}");
}
