//! Whose certificates are believed.

use std::sync::Arc;

use gantry_oci::{Config, ConfigError, ResolveError, Resolver};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    fake::{Fake, one_image},
    resolve,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A server's side with a certificate for a name.
fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a key and its certificate");
    TlsAcceptor::from(Arc::new(config))
}

fn trusting(host: &str, pem: &str) -> Result<Resolver, ConfigError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, pem).expect("a temporary directory can be written");
    let config: Config = toml::from_str(&format!("[hosts.{host:?}]\nca_files = [{file:?}]")).expect("a config");
    Resolver::new(config)
}

#[tokio::test]
async fn a_private_authority_is_believed_for_the_host_that_it_is_configured_for_and_no_other_one_is() {
    let (ours, theirs) = (authority(), authority());
    let (content, digest) = one_image();
    let fake = Fake::start_at("127.0.0.1", Some(acceptor(&ours, "127.0.0.1")), move |seen| content.say(seen)).await;
    let right = trusting(&fake.host, &ours.pem()).unwrap();
    assert_eq!(resolve(&right, &fake.host, "app:1").await.unwrap().digest.to_string(), digest);
    let both = trusting(&fake.host, &format!("{}{}", theirs.pem(), ours.pem())).unwrap();
    assert!(resolve(&both, &fake.host, "app:1").await.is_ok());
    let seen = fake.seen().len();
    for resolver in [
        trusting(&fake.host, &theirs.pem()).unwrap(),
        trusting("other.example", &ours.pem()).unwrap(),
        Resolver::new(Config::default()).unwrap(),
    ] {
        let error = resolve(&resolver, &fake.host, "app:1").await.unwrap_err();
        assert!(matches!(error, ResolveError::Untrusted { .. }), "{error}");
        assert!(error.to_string().contains("ca_files") && !error.is_temporary(), "{error}");
    }
    assert_eq!(fake.seen().len(), seen);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let ours = authority();
    let (content, _) = one_image();
    let fake = Fake::start_at("127.0.0.1", Some(acceptor(&ours, "other.example")), move |seen| content.say(seen)).await;
    let error = resolve(&trusting(&fake.host, &ours.pem()).unwrap(), &fake.host, "app:1").await.unwrap_err();
    assert!(matches!(error, ResolveError::Untrusted { .. }), "{error}");
}

#[test]
fn a_file_without_certificates_is_refused_when_the_config_is_read() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = trusting("a.example", pem).unwrap_err().to_string();
        assert!(error.contains("hosts.\"a.example\".ca_files") && error.contains("ca.pem"), "{error}");
    }
}
