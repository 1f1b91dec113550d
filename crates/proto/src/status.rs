//! Errors on the wire: the one place that knows which gRPC code, reason and details an error has.
//!
//! A [`WireError`] is what all forms have in common. It becomes a [`tonic::Status`] with
//! `google.rpc` details (`ErrorInfo`, `BadRequest` for a bad field) and our `ErrorDetail`, or an in-band
//! [`v1::Failure`] or [`v1::Failed`], and is read back from each of them.

use std::{collections::HashMap, fmt};

use gantry_types::{Certainty, Refused, RejectionGroup, RequestChange, Rev};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::{
    convert::{explain::change, rejection::one, rejections},
    reason, v1,
};

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "gantry";
/// Rejections in an error; those of most hosts stay. HTTP/2 peers take 16 KiB of headers, and a status is one.
pub const REJECTIONS: usize = 12;
/// Changes in an error; `Explain` tells all of them.
pub const CHANGES: usize = 4;
/// Bytes of a rejection's want or have, and of a change's values and its sentence, in an error.
pub const TERM_BYTES: usize = 128;
/// Bytes of an error's message. It travels twice, once percent-encoded.
pub const MESSAGE_BYTES: usize = 1_024;

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const ERROR_DETAIL: &str = "type.googleapis.com/gantry.v1.ErrorDetail";

/// An error in the form that all wire forms share.
#[derive(Clone, Debug, PartialEq)]
pub struct WireError {
    pub code: Code,
    /// What happened, to what, why, and what to do; for people.
    pub message: String,
    /// Boxed, because errors travel in results.
    pub detail: Box<v1::ErrorDetail>,
    /// The request's field that is wrong; empty where the error is about no field. Only statuses carry it.
    pub field: String,
}

impl WireError {
    pub fn new(code: Code, reason: &str, certainty: Certainty, message: impl Into<String>) -> Self {
        let indefinite = certainty == Certainty::Indefinite;
        let detail = v1::ErrorDetail { reason: reason.to_owned(), indefinite, ..v1::ErrorDetail::default() };
        Self { code, message: shorten(message.into(), MESSAGE_BYTES), detail: detail.into(), field: String::new() }
    }

    /// The called node does not lead; `leader` is the client address of the one that does, where there is one.
    /// Nothing was proposed.
    pub fn not_leader(leader: Option<&str>) -> Self {
        let message = match leader {
            Some(leader) => format!("this node does not lead the cluster: call the leader at {leader}"),
            None => {
                "the cluster has no leader now: try again in a moment; it needs a majority of its members up".into()
            }
        };
        let mut error = Self::new(Code::Unavailable, reason::NOT_LEADER, Certainty::Definite, message);
        error.detail.leader = leader.unwrap_or_default().to_owned();
        error
    }

    /// Proposed, and the answer was lost.
    pub fn outcome_unknown(why: impl fmt::Display) -> Self {
        let message = format!("the outcome is not known: {why}: send it again with the same request id");
        Self::new(Code::Unavailable, reason::OUTCOME_UNKNOWN, Certainty::Indefinite, message)
    }

    /// A queue is full. Nothing was proposed.
    pub fn overloaded(queue: &str) -> Self {
        let message = format!("as many {queue} are waiting as may: try again in a moment");
        Self::new(Code::ResourceExhausted, reason::OVERLOADED, Certainty::Definite, message)
    }

    /// Too little room on the disks. Nothing was proposed.
    pub fn disk_full(why: impl fmt::Display) -> Self {
        let message = format!(
            "{why}: nothing is taken on until there is room again, but releases and renewals are: free some space, or move to \
             a larger disk"
        );
        Self::new(Code::ResourceExhausted, reason::DISK_FULL, Certainty::Definite, message)
    }

    pub fn too_large(what: &str, have_bytes: u64, limit_bytes: u64) -> Self {
        let message = format!("{what} has {have_bytes} bytes, at most {limit_bytes} are taken: send it in parts");
        Self::new(Code::InvalidArgument, reason::TOO_LARGE, Certainty::Definite, message)
    }

    /// The call's deadline passed; whether it had an effect depends on how far it was.
    pub fn deadline(certainty: Certainty) -> Self {
        let message = match certainty {
            Certainty::Definite => "the deadline passed before anything was proposed",
            Certainty::Indefinite => {
                "the deadline passed while the outcome was not known: send it again with the same request id"
            }
        };
        Self::new(Code::DeadlineExceeded, reason::DEADLINE, certainty, message)
    }

    /// The node shuts down. Nothing was proposed.
    pub fn stopped() -> Self {
        let message = "this node is shutting down: call another one";
        Self::new(Code::Unavailable, reason::STOPPED, Certainty::Definite, message)
    }

    /// The events after the rev that was asked for are gone; those after `oldest` are not.
    pub fn compacted(oldest: Rev) -> Self {
        let message =
            format!("events up to rev {oldest} are no longer held: list, then watch from the rev of the list");
        Self::new(Code::OutOfRange, reason::COMPACTED, Certainty::Definite, message).at(oldest)
    }

    /// Something is broken on the server, and it is not known what the call did.
    pub fn internal(why: impl fmt::Display) -> Self {
        let message = format!("internal error: {why}: see the server's log");
        Self::new(Code::Internal, reason::INTERNAL, Certainty::Indefinite, message)
    }

    /// The rev at which the error is true.
    pub fn at(mut self, rev: Rev) -> Self {
        self.detail.rev = rev;
        self
    }

    pub fn certainty(&self) -> Certainty {
        if self.detail.indefinite { Certainty::Indefinite } else { Certainty::Definite }
    }

    /// The in-band form inside batches and streams of placements.
    pub fn into_failure(self) -> v1::Failure {
        v1::Failure { code: self.code as u32, message: self.message, detail: Some(*self.detail) }
    }

    /// The in-band form on an agent's stream, for its message `seq`.
    pub fn into_failed(self, seq: u64) -> v1::Failed {
        v1::Failed { seq, code: self.code as u32, message: self.message, detail: Some(*self.detail) }
    }

    fn in_band(code: u32, message: String, detail: Option<v1::ErrorDetail>) -> Self {
        let code = i32::try_from(code).map_or(Code::Unknown, Code::from_i32);
        let detail = detail.unwrap_or_else(|| foreign_detail(code));
        Self { code, message, detail: detail.into(), field: String::new() }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WireError {}

/// The gRPC code of a refusal. Refusals are definite, all of them.
pub fn code(refused: &Refused) -> Code {
    match refused {
        Refused::Invalid { .. } => Code::InvalidArgument,
        Refused::RequestReused { .. } => Code::AlreadyExists,
        Refused::RequestMemoryFull { .. } | Refused::NoCapacity { .. } | Refused::Full { .. } => {
            Code::ResourceExhausted
        }
        Refused::Lost { .. } => Code::Aborted,
        Refused::UnknownHost { .. }
        | Refused::UnknownRequest { .. }
        | Refused::UnknownReservation { .. }
        | Refused::UnknownVolume { .. }
        | Refused::UnknownImage { .. } => Code::NotFound,
        Refused::LessThanPromised { .. }
        | Refused::HostInUse { .. }
        | Refused::VolumeInUse { .. }
        | Refused::AllAttached { .. }
        | Refused::Fenced { .. }
        | Refused::WrongHost { .. }
        | Refused::FeatureLevel { .. } => Code::FailedPrecondition,
    }
}

impl From<&Refused> for WireError {
    fn from(refused: &Refused) -> Self {
        let mut error = Self::new(code(refused), refused.reason(), Certainty::Definite, refused.to_string());
        match refused {
            Refused::Invalid { field, .. } => error.field = (*field).to_owned(),
            Refused::AllAttached { .. } => error.field = "constraints.volume_name".to_owned(),
            Refused::NoCapacity { rev, groups, changes, .. } => {
                error.detail.rev = *rev;
                error.field = refused_field(groups).to_owned();
                error.detail.rejections = bounded(rejections(groups));
                error.detail.changes = changes.iter().take(CHANGES).map(short_change).collect();
            }
            Refused::Lost { rejection, .. } => error.detail.rejections = bounded(vec![one(1, rejection)]),
            Refused::LessThanPromised { resource, want, have, .. } => {
                error.detail.rejections = vec![numbers(resource, want, have)];
            }
            Refused::Fenced { want, have, .. } => error.detail.rejections = vec![numbers("fence", want, have)],
            Refused::FeatureLevel { want, have } => {
                error.detail.rejections = vec![numbers("feature_level", want, have)];
            }
            _ => {}
        }
        error
    }
}

impl From<Refused> for WireError {
    fn from(refused: Refused) -> Self {
        Self::from(&refused)
    }
}

/// The field that is wrong where a request names regions and every host is in another one.
fn refused_field(groups: &[RejectionGroup]) -> &'static str {
    match groups {
        [all] if all.example.constraint == "region" => "constraints.regions",
        _ => "",
    }
}

fn numbers(constraint: &str, want: impl fmt::Display, have: impl fmt::Display) -> v1::Rejection {
    v1::Rejection { constraint: constraint.to_owned(), hosts: 1, want: want.to_string(), have: have.to_string() }
}

/// Keeps the rejections of the most hosts, and their texts short.
fn bounded(mut rejections: Vec<v1::Rejection>) -> Vec<v1::Rejection> {
    if rejections.len() > REJECTIONS {
        rejections.sort_by_key(|rejection| std::cmp::Reverse(rejection.hosts));
        rejections.truncate(REJECTIONS);
    }
    for rejection in &mut rejections {
        rejection.want = shorten(std::mem::take(&mut rejection.want), TERM_BYTES);
        rejection.have = shorten(std::mem::take(&mut rejection.have), TERM_BYTES);
    }
    rejections
}

/// A change with short texts.
fn short_change(told: &RequestChange) -> v1::Change {
    let v1::Change { field, from, to, hosts, text } = change(told);
    let short = |text| shorten(text, TERM_BYTES);
    v1::Change { field, from: short(from), to: short(to), hosts, text: short(text) }
}

/// At most `limit` bytes, the last of them an ellipsis where something was cut.
fn shorten(mut text: String, limit: usize) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
}

impl From<WireError> for Status {
    fn from(error: WireError) -> Self {
        let mut metadata = HashMap::from([("indefinite".to_owned(), error.detail.indefinite.to_string())]);
        for (key, value) in [("leader", &error.detail.leader), ("field", &error.field)] {
            if !value.is_empty() {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
        let info = pb::ErrorInfo { reason: error.detail.reason.clone(), domain: DOMAIN.to_owned(), metadata };
        let mut details = vec![any(ERROR_INFO, &info)];
        if !error.field.is_empty() {
            let violation = pb::bad_request::FieldViolation {
                field: error.field,
                description: error.message.clone(),
                ..Default::default()
            };
            details.push(any(BAD_REQUEST, &pb::BadRequest { field_violations: vec![violation] }));
        }
        details.push(any(ERROR_DETAIL, &*error.detail));
        let status = pb::Status { code: error.code as i32, message: error.message.clone(), details };
        Status::with_details(error.code, error.message, status.encode_to_vec().into())
    }
}

fn any(type_url: &str, message: &impl Message) -> Any {
    Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}

impl From<&Status> for WireError {
    /// Reads our details. A status without them comes from something between us and the server (a proxy, a
    /// connection that broke); its code alone says then what is known of the outcome.
    fn from(status: &Status) -> Self {
        let details = pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
        let find = |url: &str| details.iter().find(|any| any.type_url == url).map(|any| any.value.as_slice());
        let detail = find(ERROR_DETAIL).and_then(|value| v1::ErrorDetail::decode(value).ok());
        let field = find(BAD_REQUEST)
            .and_then(|value| pb::BadRequest::decode(value).ok())
            .and_then(|bad| bad.field_violations.into_iter().next())
            .map(|violation| violation.field);
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            detail: detail.unwrap_or_else(|| foreign_detail(status.code())).into(),
            field: field.unwrap_or_default(),
        }
    }
}

impl From<v1::Failure> for WireError {
    fn from(failure: v1::Failure) -> Self {
        Self::in_band(failure.code, failure.message, failure.detail)
    }
}

impl From<v1::Failed> for WireError {
    fn from(failed: v1::Failed) -> Self {
        Self::in_band(failed.code, failed.message, failed.detail)
    }
}

/// What is known of an error that carries no detail of ours: definite only for the codes that a server or proxy gives
/// before it does anything.
fn foreign_detail(code: Code) -> v1::ErrorDetail {
    let definite = matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
    );
    v1::ErrorDetail { indefinite: !definite, ..v1::ErrorDetail::default() }
}

#[cfg(test)]
mod tests;
