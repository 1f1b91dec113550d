//! What users write for an image.

use std::fmt;

use gantry_types::{Digest, Refused, image::validate_reference};

/// Where images without a registry in their name are.
pub(crate) const DOCKER_HUB: &str = "docker.io";

const FIELD: &str = "reference";
/// Bytes of a repository's name, as registries bound it.
const REPOSITORY_BYTES: usize = 255;
const TAG_BYTES: usize = 128;
const DEFAULT_TAG: &str = "latest";

/// A name of an image: registry host, repository, and a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    /// Of a reference with both a tag and a digest only the digest counts.
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// As `redis`, `redis:7`, `me/app@sha256:...`, `registry.example:5000/team/app:1`, by the rules that Docker has for them.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        validate_reference(FIELD, text)?;
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(FIELD, digest)?)),
            None => (text, None),
        };
        // What follows the last colon is a tag, unless it is a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (canonical(first), rest.to_owned()),
            _ => (DOCKER_HUB.to_owned(), name.to_owned()),
        };
        let is_official = host == DOCKER_HUB && !repository.contains('/');
        let repository = if is_official { format!("library/{repository}") } else { repository };
        if repository.len() > REPOSITORY_BYTES || !repository.split('/').all(is_component) {
            return Err(malformed(
                text,
                "a repository is lower-case letters, digits and single separators, between slashes",
            ));
        }
        if !tag.is_none_or(is_tag) {
            return Err(malformed(text, "a tag is up to 128 letters, digits, '_', '.' and '-'"));
        }
        if !is_authority(&host) {
            return Err(malformed(text, "its registry is no host or host:port"));
        }
        let default = digest.is_none().then_some(DEFAULT_TAG);
        Ok(Self { host, repository, tag: tag.or(default).map(str::to_owned), digest })
    }

    /// The registry, with the port where one is said.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Where the reference names content and can never stand for another.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What a registry finds the manifest by.
    pub(crate) fn key(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// One name for each registry: Docker Hub has three.
pub(crate) fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        _ => host,
    }
}

/// Whether the first part of a name is a registry, and not the begin of a repository.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(|c| c.is_ascii_uppercase())
}

/// A host name, an IPv4 address or an IPv6 address in brackets, with or without a port.
pub(crate) fn is_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<http::uri::Authority>() else { return false };
    let host = authority.host();
    let port = &authority.as_str()[host.len()..];
    let is_label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_name = host.split('.').all(is_label);
    let is_v6 = || host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok();
    !text.contains('@')
        && !host.is_empty()
        && (is_name || is_v6())
        && (port.is_empty() || authority.port_u16().is_some())
}

/// Lower-case letters and digits, separated by one dot, one or two underscores, or hyphens.
fn is_component(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(is_inner).filter(|between| !between.is_empty());
    text.starts_with(is_inner)
        && text.ends_with(is_inner)
        && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_BYTES && text.starts_with(is_word) && text.chars().all(|c| is_word(c) || ['.', '-'].contains(&c))
}

fn malformed(text: &str, why: &str) -> Refused {
    Refused::invalid(FIELD, format!("is {text:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, whole) in [
            ("redis", "docker.io/library/redis:latest"),
            ("redis:7", "docker.io/library/redis:7"),
            ("me/app", "docker.io/me/app:latest"),
            ("index.docker.io/redis", "docker.io/library/redis:latest"),
            ("registry-1.docker.io/me/app:1", "docker.io/me/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("registry.example:5000/team/app:1.2-rc_1", "registry.example:5000/team/app:1.2-rc_1"),
            ("Registry.Example/app", "registry.example/app:latest"),
            ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"),
            ("[::1]:5000/app:2", "[::1]:5000/app:2"),
            ("a--b__c/d.e_f", "docker.io/a--b__c/d.e_f:latest"),
        ] {
            assert_eq!(Reference::parse(text).map(|r| r.to_string()), Ok(whole.to_owned()), "{text}");
            assert_eq!(Reference::parse(whole).map(|r| r.to_string()), Ok(whole.to_owned()), "{whole}");
        }
        let pinned = Reference::parse(&format!("redis:7@{digest}")).unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/redis:7@{digest}"));
        assert_eq!(pinned.key(), digest);
        assert_eq!(
            Reference::parse(&format!("redis@{digest}")).unwrap().to_string(),
            format!("docker.io/library/redis@{digest}")
        );
    }

    #[test]
    fn what_no_registry_could_serve_is_refused() {
        let long = format!("a/{}", "b".repeat(254));
        let tag = format!("redis:{}", "t".repeat(129));
        for bad in [
            "",
            "Redis",
            "re dis",
            "redis:",
            "redis:-1",
            ":7",
            "/redis",
            "redis/",
            "a//b",
            "a/../b",
            "-a/b",
            "a_/b",
            "a___b",
            "a..b/c",
            "redis@sha256:12",
            "redis@md5:0",
            "user@host.example/app",
            "host.example:port/app",
            "host.example:99999/app",
            "host.example",
            "host_.example:5/",
            "exa$mple.com/app",
            "http://host.example/app",
            "[::1/app",
            "a/b?c=d",
            "a/b#c",
            "a/%2e%2e/b",
            &long,
            &tag,
        ] {
            let parsed = Reference::parse(bad);
            // A single name with a dot is a repository.
            assert!(parsed.is_err() || bad == "host.example", "{bad:?} was read as {parsed:?}");
        }
    }
}
