//! Who the resolver says it is, and to whom it does not.

use gantry_oci::{Config, ResolveError, Resolver};

use crate::{
    fake::{Fake, Say, Seen, one_image, redirect, status},
    resolve, resolver,
};

/// `me:hush`
const BASIC: &str = "Basic bWU6aHVzaA==";

fn with_password(hosts: &[&str], with: &str) -> Resolver {
    let host = |host: &&str| {
        let user = if *host == with { "user = \"me\"\npassword = \"hush\"\n" } else { "" };
        format!("[hosts.{host:?}]\nplain_http = true\n{user}")
    };
    let config: Config = toml::from_str(&hosts.iter().map(host).collect::<String>()).expect("a config");
    Resolver::new(config).expect("a good config")
}

/// Asks for `wanted`, with this challenge.
fn guarded(challenge: String, wanted: &'static str) -> impl Fn(&Seen) -> Say + Send + Sync + 'static {
    let (content, _) = one_image();
    move |seen| {
        if seen.authorization.as_deref() == Some(wanted) {
            content.say(seen)
        } else {
            status(401, &[("www-authenticate", &challenge)], "")
        }
    }
}

fn bearer(token_host: &str) -> String {
    format!("Bearer realm=\"http://{token_host}/token\",service=\"the registry\",scope=\"repository:app:pull\"")
}

async fn token_service(expires_in: u32) -> Fake {
    Fake::start(move |_| status(200, &[], &format!("{{\"token\":\"T\",\"expires_in\":{expires_in}}}"))).await
}

#[tokio::test]
async fn a_password_is_shown_when_it_is_asked_for_and_remembered() {
    let fake = Fake::start(guarded("Basic realm=\"here\"".to_owned(), BASIC)).await;
    let resolver = with_password(&[&fake.host], &fake.host);
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    let shown: Vec<_> = fake.seen().into_iter().map(|seen| seen.authorization).collect();
    assert_eq!(shown, [None, Some(BASIC.to_owned()), Some(BASIC.to_owned())]);
    let anonymous = crate::resolver(&[&fake.host], "");
    let error = resolve(&anonymous, &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Denied { why, .. } if why.contains(&fake.host)), "{error}");
}

#[tokio::test]
async fn a_password_that_is_wrong_is_shown_once() {
    let fake = Fake::start(guarded("Basic realm=\"here\"".to_owned(), "Basic other")).await;
    let error = resolve(&with_password(&[&fake.host], &fake.host), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::Denied { .. }), "{error}");
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_token_is_fetched_from_another_host_with_the_password_of_the_registry_and_used_again() {
    let tokens = token_service(3_600).await;
    let fake = Fake::start(guarded(bearer(&tokens.host), "Bearer T")).await;
    let resolver = with_password(&[&fake.host, &tokens.host], &fake.host);
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    let asked = tokens.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].query, "scope=repository%3Aapp%3Apull&service=the%20registry&account=me");
    assert_eq!(asked[0].authorization.as_deref(), Some(BASIC));
    assert!(fake.seen().iter().all(|seen| seen.authorization.as_deref() != Some(BASIC)), "only the token goes there");
}

#[tokio::test]
async fn a_token_is_had_without_credentials_where_none_are_configured() {
    let tokens = token_service(3_600).await;
    let fake = Fake::start(guarded(bearer(&tokens.host), "Bearer T")).await;
    resolve(&resolver(&[&fake.host, &tokens.host], ""), &fake.host, "app:1").await.unwrap();
    assert_eq!(tokens.seen()[0].authorization, None);
}

#[tokio::test]
async fn a_token_that_has_run_out_is_fetched_anew() {
    let tokens = token_service(0).await;
    let fake = Fake::start(guarded(bearer(&tokens.host), "Bearer T")).await;
    let resolver = resolver(&[&fake.host, &tokens.host], "");
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    assert_eq!(tokens.seen().len(), 2, "for the manifest and for the config");
}

#[tokio::test]
async fn a_token_service_that_refuses_or_makes_no_sense_is_an_error_that_says_so() {
    for (code, body, why) in [
        (401, "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"wrong password\"}]}", "wrong password"),
        (503, "", "busy"),
        (500, "", "answers 500"),
        (200, "{}", "has no token"),
        (200, "{\"token\":\"a\\nb\"}", "cannot be sent"),
        (200, "<html>", "no JSON"),
    ] {
        let tokens = Fake::start(move |_| status(code, &[("retry-after", "100")], body)).await;
        let fake = Fake::start(guarded(bearer(&tokens.host), "Bearer T")).await;
        let resolver = with_password(&[&fake.host, &tokens.host], &fake.host);
        let error = resolve(&resolver, &fake.host, "app:1").await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    let large = " ".repeat((1 << 20) + 1);
    let tokens = Fake::start(move |_| status(200, &[], &large)).await;
    let fake = Fake::start(guarded(bearer(&tokens.host), "Bearer T")).await;
    let error = resolve(&resolver(&[&fake.host, &tokens.host], ""), &fake.host, "app:1").await.unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a_password_is_not_sent_to_a_token_service_without_tls_unless_that_is_configured() {
    let tokens = token_service(60).await;
    let fake = Fake::start(guarded(bearer(&tokens.host), "Bearer T")).await;
    let error = resolve(&with_password(&[&fake.host], &fake.host), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::Forbidden { .. }), "{error}");
    assert_eq!(tokens.seen().len(), 0);
}

#[tokio::test]
async fn another_host_that_blobs_are_redirected_to_sees_no_credentials() {
    let (content, _) = one_image();
    let storage = Fake::start(move |seen| content.say(seen)).await;
    let guarded = guarded("Basic realm=\"here\"".to_owned(), BASIC);
    let to = storage.host.clone();
    let fake = Fake::start(move |seen| {
        let is_blob = seen.path.contains("/blobs/") && seen.authorization.is_some();
        if is_blob { redirect(&format!("http://{to}{}?signed=1", seen.path)) } else { guarded(seen) }
    })
    .await;
    resolve(&with_password(&[&fake.host, &storage.host], &fake.host), &fake.host, "app:1").await.unwrap();
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].query.as_str(), &seen[0].authorization), ("signed=1", &None));
}

#[tokio::test]
async fn a_challenge_of_a_host_that_was_redirected_to_is_not_met() {
    let thief = Fake::start(guarded("Basic realm=\"mine\"".to_owned(), BASIC)).await;
    let to = format!("http://{}/x", thief.host);
    let fake = Fake::start(move |_| redirect(&to)).await;
    let error = resolve(&with_password(&[&fake.host, &thief.host], &fake.host), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Denied { why, .. } if why.contains("not passed on")), "{error}");
    assert!(thief.seen().iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn what_docker_login_wrote_is_used_as_password_or_identity_and_read_anew() {
    let tokens = token_service(0).await;
    let fake = Fake::start(guarded(bearer(&tokens.host), "Bearer T")).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("config.json");
    let write = |auth: &str| {
        let text = format!("{{\"auths\":{{\"http://{}\":{auth}}}}}", fake.host);
        std::fs::write(&file, text).expect("a temporary directory can be written");
    };
    let resolver = resolver(&[&fake.host, &tokens.host], &format!("docker_config = {file:?}"));
    let last = || tokens.seen().pop().expect("it was asked");
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    assert_eq!(last().authorization, None, "nobody logged in yet");
    write("{\"auth\":\"bWU6aHVzaA==\"}");
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    assert_eq!(last().authorization.as_deref(), Some(BASIC));
    write("{\"identitytoken\":\"id&1\"}");
    resolve(&resolver, &fake.host, "app:1").await.unwrap();
    let posted = last();
    assert_eq!((posted.method.as_str(), &posted.authorization), ("POST", &None));
    let form = "scope=repository%3Aapp%3Apull&service=the%20registry&grant_type=refresh_token&client_id=gantry&refresh_token=id%261";
    assert_eq!(posted.body, form);
    write("{");
    let error = resolve(&resolver, &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Denied { why, .. } if why.contains("config.json")), "{error}");
}
