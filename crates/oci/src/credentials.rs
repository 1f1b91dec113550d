//! Who Gantry says it is to a registry.

mod docker;
mod helper;
mod secret;

use std::{collections::HashMap, path::PathBuf, time::Duration};

pub use self::secret::Secret;
use crate::config::{Config, ConfigError};

/// What proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Password {
        user: String,
        password: Secret,
    },
    /// Is changed for a token at the registry's token endpoint.
    Identity(Secret),
    /// Is a token itself.
    Token(Secret),
}

/// Why credentials that somebody configured could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("the Docker config {path} {why}")]
    Docker { path: PathBuf, why: String },
    #[error("docker-credential-{name} {why}")]
    Helper { name: String, why: String },
}

#[derive(Debug)]
pub(crate) struct Keyring {
    own: HashMap<String, Credentials>,
    docker_config: Option<PathBuf>,
    helper_time: Duration,
}

impl Keyring {
    /// Reads the files that have passwords.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut own = HashMap::new();
        for (name, host) in &config.hosts {
            let Some(user) = &host.user else { continue };
            let password = match (&host.password, &host.password_file) {
                (Some(password), _) => password.clone(),
                (None, Some(path)) => {
                    let read = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                        key: format!("hosts.{name:?}.password_file"),
                        path: path.clone(),
                        source,
                    })?;
                    Secret::new(read.trim_end_matches(['\r', '\n']).to_owned())
                }
                (None, None) => continue,
            };
            own.insert(name.clone(), Credentials::Password { user: user.clone(), password });
        }
        let helper_time = Duration::from_millis(config.helper_ms);
        Ok(Self { own, docker_config: config.docker_config.clone(), helper_time })
    }

    /// Those for a registry; none where it is to be asked without.
    pub(crate) async fn get(&self, host: &str) -> Result<Option<Credentials>, CredentialsError> {
        if let Some(own) = self.own.get(host) {
            return Ok(Some(own.clone()));
        }
        let Some(path) = &self.docker_config else { return Ok(None) };
        match docker::read(path).await?.source(host) {
            docker::Source::Nothing => Ok(None),
            docker::Source::Here(credentials) => Ok(Some(credentials)),
            docker::Source::Helper(name) => helper::ask(&name, docker::server(host), self.helper_time).await,
        }
    }
}
