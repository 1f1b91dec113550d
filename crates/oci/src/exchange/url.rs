//! Where a redirect leads, and what of a URL may be shown.

use http::{Uri, uri::Scheme};

const SHOWN_CHARS: usize = 200;

/// The URL that `location` means in an answer from `base`; nothing where it is none of HTTP, or has a user in it.
pub(super) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().filter(|location| !location.is_empty())?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let whole = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else if location.contains("://") {
        location.to_owned()
    } else {
        let (folder, _) = base.path().rsplit_once('/')?;
        format!("{scheme}://{authority}{folder}/{location}")
    };
    parse(&whole)
}

/// A whole URL of HTTP, without a user in it.
pub(crate) fn parse(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_http = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    let has_host =
        uri.authority().is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    (is_http && has_host).then_some(uri)
}

/// Whether what is secret between us and the host of one may be told to that of the other.
pub(crate) fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let host = uri.host().map(str::to_ascii_lowercase);
        (uri.scheme().cloned(), host, uri.port_u16().unwrap_or(default))
    };
    origin(one) == origin(other)
}

/// A URL for people. Queries are left out: storage services sign theirs.
pub(crate) fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let whole = format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path());
    whole.chars().take(SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_every_form_are_followed_and_others_are_not() {
        let base: Uri = "https://a.example:5000/v2/app/blobs/x?y=1".parse().unwrap();
        for (location, expected) in [
            ("https://b.example/z?sign=a%20b", "https://b.example/z?sign=a%20b"),
            ("//b.example/z", "https://b.example/z"),
            ("/z?q", "https://a.example:5000/z?q"),
            ("?q", "https://a.example:5000/v2/app/blobs/x?q"),
            ("z#part", "https://a.example:5000/v2/app/blobs/z"),
            ("http://b.example", "http://b.example/"),
        ] {
            assert_eq!(join(&base, location).map(|uri| uri.to_string()).as_deref(), Some(expected), "{location}");
        }
        for location in
            ["", "#x", "ftp://b.example/z", "file:///etc/passwd", "https://u:p@b.example/", "https://", "http://[::1/"]
        {
            assert_eq!(join(&base, location), None, "{location}");
        }
    }

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        let is_same = |one: &str, other: &str| is_same_origin(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(is_same("https://a.example/x", "https://A.example:443/y"));
        for other in ["http://a.example/x", "https://b.example/x", "https://a.example:444/x", "https://a.example.b/x"] {
            assert!(!is_same("https://a.example/x", other), "{other}");
        }
    }

    #[test]
    fn signed_queries_are_not_shown() {
        assert_eq!(shown(&"https://a.example/x?signature=s".parse().unwrap()), "https://a.example/x");
    }
}
