//! The file that `docker login` writes.

use std::{collections::HashMap, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::{Credentials, CredentialsError, Secret};
use crate::reference::{DOCKER_HUB, canonical};

const FILE_BYTES: u64 = 1 << 20;
/// Docker's own name for its Hub, in this file and towards helpers.
const HUB_SERVER: &str = "https://index.docker.io/v1/";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DockerConfig {
    auths: HashMap<String, Auth>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

/// Where the credentials for a registry are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Nothing,
    Here(Credentials),
    /// The program `docker-credential-NAME` has them.
    Helper(String),
}

/// A file that is not there has no credentials: nobody logged in yet.
pub(super) async fn read(path: &Path) -> Result<DockerConfig, CredentialsError> {
    let failed = |why: String| CredentialsError::Docker { path: path.to_owned(), why };
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(DockerConfig::default()),
        Err(error) => return Err(failed(format!("cannot be read: {error}"))),
    };
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| failed(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(failed(format!("has more than {FILE_BYTES} bytes")));
    }
    // Serde's own words may show what stands there.
    serde_json::from_slice(&bytes).map_err(|error| {
        failed(format!("is not as Docker writes it, at line {} column {}", error.line(), error.column()))
    })
}

/// What a helper knows a registry by.
pub(super) fn server(host: &str) -> &str {
    if host == DOCKER_HUB { HUB_SERVER } else { host }
}

impl DockerConfig {
    /// In Docker's order: a helper for this registry, then the store of all, then the file.
    pub(super) fn source(&self, host: &str) -> Source {
        let helper = self.cred_helpers.iter().find(|(server, _)| host_of(server) == host).map(|(_, name)| name);
        if let Some(name) = helper.or(self.creds_store.as_ref()).filter(|name| !name.is_empty()) {
            return Source::Helper(name.clone());
        }
        // The very name goes before an older form of it.
        let exact = self.auths.get(server(host));
        let auth =
            exact.or_else(|| self.auths.iter().find(|(server, _)| host_of(server) == host).map(|(_, auth)| auth));
        auth.and_then(Auth::credentials).map_or(Source::Nothing, Source::Here)
    }
}

impl Auth {
    fn credentials(&self) -> Option<Credentials> {
        let full = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.reveal().is_empty());
        if let Some(token) = full(&self.registrytoken) {
            return Some(Credentials::Token(token));
        }
        if let Some(token) = full(&self.identitytoken) {
            return Some(Credentials::Identity(token));
        }
        if let Some(auth) = full(&self.auth) {
            let text = String::from_utf8(STANDARD.decode(auth.reveal().trim()).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            let password = Secret::new(password.trim_end_matches('\0').to_owned());
            return Some(Credentials::Password { user: user.to_owned(), password });
        }
        let user = self.username.clone().filter(|user| !user.is_empty())?;
        Some(Credentials::Password { user, password: self.password.clone()? })
    }
}

/// The registry in a name as `https://index.docker.io/v1/`.
fn host_of(server: &str) -> String {
    let without_scheme = server.split_once("://").map_or(server, |(_, rest)| rest);
    canonical(without_scheme.split('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, host: &str) -> Source {
        serde_json::from_str::<DockerConfig>(&text.replace('\'', "\"")).unwrap().source(host)
    }

    fn password(user: &str, password: &str) -> Source {
        Source::Here(Credentials::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }

    #[test]
    fn passwords_and_tokens_are_found_by_any_name_of_the_registry() {
        // me:p:w
        let auth = "{'auth':'bWU6cDp3'}";
        for (server, host) in [
            ("registry.example:5000", "registry.example:5000"),
            ("https://registry.example/v1/", "registry.example"),
            ("http://registry.example", "registry.example"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
        ] {
            assert_eq!(source(&format!("{{'auths':{{'{server}':{auth}}}}}"), host), password("me", "p:w"), "{server}");
        }
        assert_eq!(
            source(&format!("{{'auths':{{'registry.example':{auth}}}}}"), "registry.example:5000"),
            Source::Nothing
        );
        assert_eq!(source("{'auths':{'a.example':{'username':'u','password':'p'}}}", "a.example"), password("u", "p"));
        let identity = source("{'auths':{'a.example':{'auth':'bWU6cDp3','identitytoken':'t'}}}", "a.example");
        assert_eq!(identity, Source::Here(Credentials::Identity(Secret::new("t".to_owned()))));
        let token = source("{'auths':{'a.example':{'registrytoken':'t'}}}", "a.example");
        assert_eq!(token, Source::Here(Credentials::Token(Secret::new("t".to_owned()))));
    }

    #[test]
    fn a_helper_of_the_registry_goes_before_the_store_and_both_before_the_file() {
        let text = "{'auths':{'a.example':{'auth':'bWU6cDp3'},'b.example':{}},'credHelpers':{'a.example':'ours'},\
            'credsStore':'desktop','detachKeys':'ctrl-e'}";
        assert_eq!(source(text, "a.example"), Source::Helper("ours".to_owned()));
        assert_eq!(source(text, "b.example"), Source::Helper("desktop".to_owned()));
    }

    #[test]
    fn what_is_no_password_is_nothing() {
        for auth in ["{}", "{'auth':''}", "{'auth':'???'}", "{'auth':'bm9jb2xvbg=='}", "{'username':'u'}"] {
            assert_eq!(source(&format!("{{'auths':{{'a.example':{auth}}}}}"), "a.example"), Source::Nothing, "{auth}");
        }
    }
}
