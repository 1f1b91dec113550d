//! Where nothing is fetched from.

use gantry_oci::ResolveError;

use crate::{
    fake::{Fake, one_image, redirect},
    resolve, resolver,
};

fn is_forbidden(error: &ResolveError, why: &str) -> bool {
    matches!(error, ResolveError::Forbidden { why: said, .. } if said.contains(why))
}

#[tokio::test]
async fn an_address_that_the_config_forbids_is_not_connected_to_by_number_by_name_or_by_redirect() {
    let (content, _) = one_image();
    let hidden = Fake::start_at("127.0.0.2", None, move |seen| content.say(seen)).await;
    let port = hidden.host.rsplit(':').next().expect("a port").to_owned();
    let to = format!("http://{}/secret", hidden.host);
    let open = Fake::start(move |_| redirect(&to)).await;
    let mapped = format!("[::ffff:127.0.0.2]:{port}");
    let plain = [hidden.host.as_str(), &mapped, &open.host];
    let careful = resolver(&plain, "forbidden_networks = [\"127.0.0.2/32\"]");
    for host in plain {
        let error = resolve(&careful, host, "app:1").await.unwrap_err();
        assert!(is_forbidden(&error, "127.0.0.2 is in forbidden_networks"), "{error}");
        assert!(!error.is_temporary());
    }
    assert_eq!(hidden.seen().len(), 0);
    // The same is reached by who may.
    assert!(resolve(&resolver(&[&hidden.host], ""), &hidden.host, "app:1").await.is_ok());

    let named = format!("localhost:{port}");
    let no_loopback = resolver(&[&named], "forbidden_networks = [\"127.0.0.0/8\", \"::1/128\"]");
    let error = resolve(&no_loopback, &named, "app:1").await.unwrap_err();
    assert!(is_forbidden(&error, "is in forbidden_networks"), "{error}");
}

#[tokio::test]
async fn metadata_services_are_forbidden_by_default() {
    let open = Fake::start(|_| redirect("https://169.254.169.254/latest/meta-data")).await;
    let error = resolve(&resolver(&[&open.host], ""), &open.host, "app:1").await.unwrap_err();
    assert!(is_forbidden(&error, "169.254.169.254 is in forbidden_networks"), "{error}");
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_is_configured_and_no_redirect_changes_that() {
    let (content, _) = one_image();
    let plain = Fake::start(move |seen| content.say(seen)).await;
    let to = format!("http://{}/v2/app/manifests/1", plain.host);
    let open = Fake::start(move |_| redirect(&to)).await;
    let error = resolve(&resolver(&[&open.host], ""), &open.host, "app:1").await.unwrap_err();
    assert!(is_forbidden(&error, "plain_http"), "{error}");
    // Without the setting it is taken for one with TLS.
    let error = resolve(&resolver(&[], ""), &plain.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::Unreachable { .. }), "{error}");
    assert_eq!(plain.seen().len(), 0);
}
