//! Where a repository is: at its registry, or at a mirror.

use http::Uri;

use super::Thing;
use crate::{
    config::Config,
    error::ResolveError,
    reference::{DOCKER_HUB, Reference, canonical},
};

/// Docker Hub serves from another name than it is known by.
const HUB_SERVER: &str = "registry-1.docker.io";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// As the config names it.
    pub host: String,
    pub repository: String,
    scheme: &'static str,
}

impl Place {
    /// All places of a reference in the order to ask them: the mirrors, then the registry itself.
    pub(crate) fn all(config: &Config, reference: &Reference) -> Vec<Self> {
        let place = |host: String, repository: String| {
            let is_plain = config.hosts.get(&host).is_some_and(|host| host.plain_http);
            Self { host, repository, scheme: if is_plain { "http" } else { "https" } }
        };
        let mirrors = config.hosts.get(reference.host()).into_iter().flat_map(|host| &host.mirrors);
        let mirrors = mirrors.map(|mirror| match mirror.trim_end_matches('/').split_once('/') {
            Some((host, prefix)) => place(canonical(host), format!("{prefix}/{}", reference.repository())),
            None => place(canonical(mirror.trim_end_matches('/')), reference.repository().to_owned()),
        });
        mirrors.chain([place(reference.host().to_owned(), reference.repository().to_owned())]).collect()
    }

    pub(super) fn uri(&self, thing: Thing<'_>) -> Result<Uri, ResolveError> {
        let server = if self.host == DOCKER_HUB { HUB_SERVER } else { &self.host };
        let (kind, key) = match thing {
            Thing::Manifest(key) => ("manifests", key),
            Thing::Blob(digest) => ("blobs", digest),
        };
        let text = format!("{}://{server}/v2/{}/{kind}/{key}", self.scheme, self.repository);
        text.parse().map_err(|error| ResolveError::Broken { at: text, why: format!("it is no URL: {error}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_go_first_and_docker_hub_has_a_server() {
        let config: Config = toml::from_str(
            "[hosts.\"docker.io\"]\nmirrors = [\"a.example:5000/hub/\", \"b.example\"]\n[hosts.\"b.example\"]\nplain_http = true",
        )
        .unwrap();
        let uris = |text: &str| {
            let places = Place::all(&config, &Reference::parse(text).unwrap());
            places.iter().map(|place| place.uri(Thing::Manifest("7")).unwrap().to_string()).collect::<Vec<_>>()
        };
        let expected = [
            "https://a.example:5000/v2/hub/library/redis/manifests/7",
            "http://b.example/v2/library/redis/manifests/7",
            "https://registry-1.docker.io/v2/library/redis/manifests/7",
        ];
        assert_eq!(uris("redis:7"), expected);
        assert_eq!(uris("b.example/app"), ["http://b.example/v2/app/manifests/7"]);
    }
}
