//! What registries serve, right and wrong.

use gantry_oci::{Platform, ResolveError, Resolver};
use serde_json::{Value, json};

use crate::{
    fake::{Content, Fake, Say, config, hex, layer, manifest, one_image, put_image, status},
    reference, resolve, resolver,
};

async fn serving(content: Content) -> (Fake, Resolver) {
    let fake = Fake::start(move |seen| content.say(seen)).await;
    let resolver = resolver(&[&fake.host], "");
    (fake, resolver)
}

fn index(entries: &[(&str, Option<&str>)]) -> Value {
    let entry = |(digest, platform): &(&str, Option<&str>)| {
        let mut entry = json!({ "digest": digest, "size": 3 });
        if let Some((os, architecture)) = platform.and_then(|platform| platform.split_once('/')) {
            entry["platform"] = json!({ "os": os, "architecture": architecture });
        }
        entry
    };
    json!({ "schemaVersion": 2, "manifests": entries.iter().map(entry).collect::<Vec<_>>() })
}

/// Why something is no image that can be placed.
async fn unusable(content: Content, rest: &str) -> String {
    let (fake, resolver) = serving(content).await;
    match resolve(&resolver, &fake.host, rest).await {
        Err(error @ ResolveError::Unusable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_manifest_is_resolved_to_layers_with_contents_in_order() {
    let (content, digest) = one_image();
    let (fake, resolver) = serving(content).await;
    let resolved = resolve(&resolver, &fake.host, "team/app:1").await.unwrap();
    assert_eq!((resolved.digest.to_string(), resolved.index), (digest.clone(), None));
    let layers =
        resolved.layers.iter().map(|layer| (layer.digest.to_string(), layer.diff_id.to_string(), layer.size_bytes));
    assert_eq!(layers.collect::<Vec<_>>(), [(hex('a'), hex('1'), 7), (hex('b'), hex('2'), 7)]);
    assert_eq!(resolved.image("team/app:1").validate(), Ok(()));
    assert_eq!(fake.seen()[0].path, "/v2/team/app/manifests/1");
    let pinned = resolve(&resolver, &fake.host, &format!("team/app@{digest}")).await.unwrap();
    assert_eq!(pinned.layers, resolved.layers);
}

#[tokio::test]
async fn an_index_gives_the_platforms_manifest_and_attestations_are_not_read() {
    let mut content = Content::default();
    let (amd, arm) = (put_image(&mut content, "amd64"), put_image(&mut content, "arm64"));
    let attestation = hex('e');
    let all =
        [(attestation.as_str(), Some("unknown/unknown")), (&amd, Some("linux/amd64")), (&arm, Some("linux/arm64"))];
    let top = content.put(&index(&all));
    content.name("1", &top);
    let (fake, resolver) = serving(content).await;
    let named = reference(&fake.host, "app:1");
    for (platform, digest) in [("linux/amd64", &amd), ("linux/arm64/v8", &arm)] {
        let platform = Platform::parse("test", platform).unwrap();
        let resolved = resolver.resolve(&named, &platform).await.unwrap();
        assert_eq!(resolved.digest.to_string(), *digest);
        assert_eq!(resolved.named().to_string(), top);
    }
    let none = resolver.resolve(&named, &Platform::parse("test", "linux/s390x").unwrap()).await.unwrap_err();
    assert!(none.to_string().contains("nothing for linux/s390x, but for linux/amd64, linux/arm64"), "{none}");
    assert_eq!(fake.count(&attestation), 0);
}

#[tokio::test]
async fn an_index_that_does_not_say_what_its_manifests_are_for_is_looked_through() {
    let mut content = Content::default();
    let (amd, arm) = (put_image(&mut content, "amd64"), put_image(&mut content, "arm64"));
    let inner = content.put(&index(&[(&arm, None), (&amd, None)]));
    let top = content.put(&index(&[(&inner, None)]));
    content.name("1", &top);
    let (fake, resolver) = serving(content).await;
    let resolved = resolve(&resolver, &fake.host, "app:1").await.unwrap();
    assert_eq!((resolved.digest.to_string(), resolved.named().to_string()), (amd, top));
}

#[tokio::test]
async fn an_index_deeper_than_the_bound_or_wider_is_given_up() {
    let mut content = Content::default();
    let mut digest = put_image(&mut content, "amd64");
    for _ in 0..3 {
        digest = content.put(&index(&[(&digest, None)]));
    }
    content.name("deep", &digest);
    let others: Vec<String> = (0..20).map(|at| put_image(&mut content, &format!("arch{at}"))).collect();
    let wide = content.put(&index(&others.iter().map(|digest| (digest.as_str(), None)).collect::<Vec<_>>()));
    content.name("wide", &wide);
    assert!(unusable(content.clone(), "app:deep").await.contains("more than 2 deep"));
    let (fake, resolver) = serving(content).await;
    assert!(resolve(&resolver, &fake.host, "app:wide").await.is_err());
    assert_eq!(fake.count("/manifests/"), 8);
}

#[tokio::test]
async fn what_is_no_image_of_ours_is_refused_by_what_it_is() {
    let with = |document: Value| {
        let mut content = Content::default();
        let digest = content.put(&document);
        content.name("1", &digest);
        content
    };
    let image = |layers: &[Value], diff_ids: &[String]| {
        let mut content = Content::default();
        let config = content.put(&config("amd64", diff_ids));
        let digest = content.put(&manifest(&config, layers));
        content.name("1", &digest);
        content
    };
    let in_toto = json!({ "mediaType": "application/vnd.in-toto+json", "digest": hex('a'), "size": 3 });
    let mut other_config = Content::default();
    let no_config = other_config.put(&index(&[]));
    let digest = other_config.put(&manifest(&no_config, &[layer('a')]));
    other_config.name("1", &digest);
    let mut arm_only = Content::default();
    let digest = put_image(&mut arm_only, "arm64");
    arm_only.name("1", &digest);
    for (content, why) in [
        (with(json!({ "schemaVersion": 1, "name": "app", "fsLayers": [] })), "schema 1"),
        (with(json!({ "hello": 1 })), "neither an index, nor a manifest"),
        (with(config("amd64", &[])), "it is a config"),
        (with(index(&[])), "but for no platform at all"),
        (image(&[in_toto], &[hex('1')]), "application/vnd.in-toto+json"),
        (image(&[layer('a'), layer('b')], &[hex('1')]), "2 layers, and its config names the contents of 1"),
        (image(&[], &[]), "no layers"),
        (other_config, "names as its config, is none"),
        (arm_only, "nothing for linux/amd64, but for linux/arm64"),
    ] {
        let error = unusable(content, "app:1").await;
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_lie_about_any_digest_is_found() {
    let (mut content, digest) = one_image();
    let other = put_image(&mut content, "arm64");
    let config_digest = content.put(&config("amd64", &[hex('1'), hex('2')]));
    let other_config = content.put(&config("amd64", &[hex('3'), hex('4')]));
    let top = content.put(&index(&[(&digest, Some("linux/amd64"))]));
    content.name("index", &top);
    // What is asked for by digest is swapped: the manifest of a pinned reference, that of an index, an index, a config.
    for (rest, swapped, by) in [
        (format!("app@{digest}"), &digest, &other),
        ("app:index".to_owned(), &digest, &other),
        (format!("app@{top}"), &top, &other),
        ("app:1".to_owned(), &config_digest, &other_config),
    ] {
        let mut lying = content.clone();
        lying.name(swapped, by);
        let (fake, resolver) = serving(lying).await;
        let error = resolve(&resolver, &fake.host, &rest).await.unwrap_err();
        assert!(
            matches!(&error, ResolveError::Broken { why, .. } if why.contains(swapped) && why.contains(by)),
            "{error}"
        );
        assert!(!error.is_temporary());
    }
}

#[tokio::test]
async fn the_digest_that_a_registry_names_is_not_believed() {
    let (content, digest) = one_image();
    let fake = Fake::start(move |seen| {
        let Say::Now(mut response) = content.say(seen) else { panic!("it answers") };
        response.headers_mut().insert("docker-content-digest", hex('f').parse().expect("a header"));
        Say::Now(response)
    })
    .await;
    let resolver = resolver(&[&fake.host], "");
    assert_eq!(resolve(&resolver, &fake.host, "app:1").await.unwrap().digest.to_string(), digest);
}

#[tokio::test]
async fn a_tag_is_checked_by_one_request_without_a_body_where_the_registry_can() {
    let (content, digest) = one_image();
    let moved = hex('f');
    let by_head = Fake::start(move |_| status(200, &[("docker-content-digest", &moved)], "")).await;
    let resolver = resolver(&[&by_head.host], "");
    assert_eq!(resolver.digest_of(&reference(&by_head.host, "app:1")).await.unwrap().to_string(), hex('f'));
    let seen: Vec<_> = by_head.seen().into_iter().map(|seen| (seen.method, seen.path)).collect();
    assert_eq!(seen, [("HEAD".to_owned(), "/v2/app/manifests/1".to_owned())]);

    let pinned = resolver.digest_of(&reference(&by_head.host, &format!("app@{digest}"))).await;
    assert_eq!(pinned.unwrap().to_string(), digest);
    assert_eq!(by_head.seen().len(), 1, "content never moves");

    for code in [200, 404, 405] {
        let content = content.clone();
        let fake =
            Fake::start(move |seen| if seen.method == "HEAD" { status(code, &[], "") } else { content.say(seen) });
        let fake = fake.await;
        let resolver = crate::resolver(&[&fake.host], "");
        let found = resolver.digest_of(&reference(&fake.host, "app:1")).await;
        assert_eq!(found.unwrap().to_string(), digest, "HEAD answers {code}");
    }
}

#[tokio::test]
async fn statuses_say_what_to_do_and_whether_to_try_again() {
    for (code, named, is_temporary) in [
        (404, "does not exist", false),
        (403, "is not shown", false),
        (500, "cannot be had now", true),
        (400, "is not taken", false),
    ] {
        let fake =
            Fake::start(move |_| status(code, &[], "{\"errors\":[{\"code\":\"C\",\"message\":\"m\\u0007sg\"}]}")).await;
        let error = resolve(&resolver(&[&fake.host], ""), &fake.host, "app:1").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(named) && text.contains("/v2/app/manifests/1"), "{text}");
        assert!(code == 404 || text.contains("(C: msg)"), "{text}");
        assert_eq!(error.is_temporary(), is_temporary, "{text}");
    }
}
