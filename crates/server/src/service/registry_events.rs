//! Registries tell here what was pushed to them, as the distribution registry's notifications do.

use std::{collections::HashMap, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::StatusCode,
    routing::post,
};
use gantry_oci::Reference;
use gantry_types::{Digest, Refused};
use serde::Deserialize;

use crate::node::Node;

/// `POST` with the registry's envelope.
pub(crate) const PATH: &str = "/v1/registry/events";
/// Far more than a registry sends at once.
const BYTES: usize = 1 << 20;
const EVENTS: usize = 1_000;
/// How long they may be on their way.
const READ_WITHIN: Duration = Duration::from_secs(5);

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
    router.route(PATH, post(take).with_state(node))
}

/// One at a time, so that whoever reaches this port can have little of the memory: a registry sends again what was not taken.
async fn take(State(node): State<Node>, body: Body) -> Result<StatusCode, (StatusCode, String)> {
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "other notifications are being taken: send it again".to_owned());
    let _permit = node.images().may_push().ok_or_else(busy)?;
    let body = tokio::time::timeout(READ_WITHIN, to_bytes(body, BYTES)).await;
    let body = body.map_err(|_| (StatusCode::REQUEST_TIMEOUT, format!("took longer than {READ_WITHIN:?}")))?;
    let body = body.map_err(|error| (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {BYTES} bytes: {error}")))?;
    let pushed = read(&body).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    node.images().pushed(&node, pushed).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The tags that were pushed, and what they stand for now. What cannot be a reference is left out: a registry sends an
/// envelope again until it is taken.
fn read(body: &[u8]) -> Result<HashMap<Reference, Digest>, String> {
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
