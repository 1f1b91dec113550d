//! Whose certificates count.

use std::{collections::HashMap, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::config::{Config, ConfigError};

/// The system's authorities, and for some hosts more.
#[derive(Debug)]
pub(super) struct Trust {
    system: Arc<ClientConfig>,
    own: HashMap<String, Arc<ClientConfig>>,
}

impl Trust {
    /// Reads all certificates once.
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificate authorities of the system cannot be read");
        }
        let mut system = RootCertStore::empty();
        system.add_parsable_certificates(found.certs);
        let mut own = HashMap::new();
        for (name, host) in config.hosts.iter().filter(|(_, host)| !host.ca_files.is_empty()) {
            let mut roots = system.clone();
            for path in &host.ca_files {
                add(&mut roots, &format!("hosts.{name:?}.ca_files"), path)?;
            }
            own.insert(name.clone(), client(roots));
        }
        Ok(Self { system: client(system), own })
    }

    pub(super) fn of(&self, host: &str) -> Arc<ClientConfig> {
        Arc::clone(self.own.get(host).unwrap_or(&self.system))
    }
}

fn client(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of TLS 1.2 and 1.3");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, key: &str, path: &Path) -> Result<(), ConfigError> {
    let read = std::fs::read(path);
    let pem = read.map_err(|source| ConfigError::Read { key: key.to_owned(), path: path.to_owned(), source })?;
    let refused =
        |why: String| ConfigError::Value { key: key.to_owned(), why: format!("names {}, {why}", path.display()) };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(format!("which is no PEM: {error}")))?;
        roots.add(certificate).map_err(|error| refused(format!("whose certificate cannot be used: {error}")))?;
    }
    if roots.len() == before { Err(refused("which has no certificate in PEM".to_owned())) } else { Ok(()) }
}
