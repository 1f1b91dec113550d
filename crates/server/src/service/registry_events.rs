//! Registries tell here what was pushed to them, as the distribution registry's notifications do.

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use bytes::Bytes;
use gantry_oci::Reference;
use gantry_types::{Digest, Refused};
use serde::Deserialize;

use crate::node::Node;

/// `POST` with the registry's envelope.
pub(crate) const PATH: &str = "/v1/registry/events";
/// Far more than a registry sends at once.
const BYTES: usize = 1 << 20;
const EVENTS: usize = 1_000;

#[derive(Deserialize)]
struct Envelope {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    action: String,
    #[serde(default)]
    target: Target,
    #[serde(default)]
    request: Asked,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    repository: String,
    /// Absent where no tag has moved.
    tag: String,
    digest: String,
}

/// The request by which it was pushed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    /// The registry as its client named it.
    host: String,
}

pub(crate) fn serve_on(router: Router, node: Node) -> Router {
    let events = post(take).layer(DefaultBodyLimit::max(BYTES)).with_state(node);
    router.route(PATH, events)
}

async fn take(State(node): State<Node>, body: Bytes) -> Result<StatusCode, (StatusCode, String)> {
    let pushed = read(&body).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    for (reference, digest) in &pushed {
        node.images().pushed(&node, reference, *digest);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The tags that were pushed, and what they stand for now. What cannot be a reference is left out: a registry sends an envelope again until it is taken.
fn read(body: &[u8]) -> Result<Vec<(Reference, Digest)>, String> {
    let envelope: Envelope =
        serde_json::from_slice(body).map_err(|error| format!("no notification of a registry: {error}"))?;
    if envelope.events.len() > EVENTS {
        return Err(format!("{} events: at most {EVENTS} are taken at once", envelope.events.len()));
    }
    let pushes = envelope.events.iter().filter(|event| event.action == "push" && !event.target.tag.is_empty());
    let names = pushes.map(|Event { target, request, .. }| {
        let reference = Reference::parse(&format!("{}/{}:{}", request.host, target.repository, target.tag))?;
        Ok((reference, Digest::parse("digest", &target.digest)?))
    });
    Ok(names.filter_map(Result::<_, Refused>::ok).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_of_tags_are_taken_and_all_else_is_passed_over() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let body = r#"{"events": [
            {"id": "1", "action": "push",
             "target": {"mediaType": "m", "repository": "team/app", "tag": "2", "digest": "DIGEST", "size": 7},
             "request": {"host": "registry.example:5000", "method": "PUT"}},
            {"action": "push", "target": {"repository": "team/app", "tag": "3", "digest": "md5:7"}, "request": {"host": "registry.example:5000"}},
            {"action": "push", "target": {"repository": "team/app", "digest": "sha256:00"}, "request": {"host": "registry.example:5000"}},
            {"action": "pull", "target": {"repository": "team/app", "tag": "1"}, "request": {"host": "registry.example:5000"}},
            {"action": "push", "target": {"repository": "Not A Name", "tag": "1"}, "request": {"host": "registry.example"}},
            {"action": "delete"}
        ]}"#;
        let pushed = read(body.replace("DIGEST", &digest).as_bytes()).unwrap();
        let names: Vec<String> = pushed.iter().map(|(name, digest)| format!("{name} {digest}")).collect();
        assert_eq!(names, [format!("registry.example:5000/team/app:2 {digest}")]);
        assert!(read(b"{}").unwrap_err().contains("no notification"));
        assert!(read(b"").is_err());
        let many = format!("{{\"events\": [{}]}}", vec!["{\"action\": \"pull\"}"; EVENTS + 1].join(","));
        assert!(read(many.as_bytes()).unwrap_err().contains("1001 events"));
    }
}
