//! containerd, as a fetch sees it: its content, in one namespace and under one lease.

use std::{collections::HashMap, path::Path, time::Duration};

use containerd_client::{
    services::v1::{
        AbortRequest, Info, InfoRequest, ReadContentRequest, StatusRequest, UpdateRequest,
        content_client::ContentClient,
    },
    tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel},
};
use gantry_types::Digest;
use prost_types::FieldMask;
use tokio::time::timeout;

use super::error::FetchError;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// What a call may take that only changes a few words. containerd answers none while it collects garbage.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(60);

pub(super) type Labels = HashMap<String, String>;

#[derive(Clone, Debug)]
pub(super) struct Store {
    pub channel: Channel,
    pub namespace: String,
    pub snapshotter: String,
    /// Holds what is written; none before there is one.
    pub lease: Option<String>,
}

impl Store {
    pub(super) async fn connect(socket: &Path, namespace: &str, snapshotter: &str) -> Result<Self, FetchError> {
        let failed = |why: String| FetchError::Connect { socket: socket.display().to_string(), why };
        let connected = timeout(CONNECT_LIMIT, containerd_client::connect(socket)).await;
        let connected = connected.map_err(|_| failed(format!("no answer within {} s", CONNECT_LIMIT.as_secs())))?;
        let channel = connected.map_err(|error| failed(source(&error)))?;
        Ok(Self { channel, namespace: namespace.to_owned(), snapshotter: snapshotter.to_owned(), lease: None })
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let headers = [("containerd-namespace", Some(&self.namespace)), ("containerd-lease", self.lease.as_ref())];
        for (name, value) in headers {
            // A namespace that is no header is none of containerd's, either: it says so.
            if let Some(value) = value.and_then(|value| MetadataValue::try_from(value.as_str()).ok()) {
                request.metadata_mut().insert(name, value);
            }
        }
        request
    }

    fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.channel.clone())
    }

    /// The labels of a blob; nothing where it is not there.
    pub(super) async fn info(&self, digest: &Digest) -> Result<Option<Info>, FetchError> {
        let wanted = InfoRequest { digest: digest.to_string() };
        let found = call("a blob cannot be looked at", self.content().info(self.request(wanted))).await;
        Ok(there(found)?.and_then(|found| found.info))
    }

    /// Sets labels of a blob and leaves the others as they are.
    pub(super) async fn label(&self, digest: &Digest, labels: Labels) -> Result<(), FetchError> {
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = Info { digest: digest.to_string(), labels, ..Info::default() };
        let wanted = UpdateRequest { info: Some(info), update_mask: Some(FieldMask { paths }) };
        call("a blob cannot be labelled", self.content().update(self.request(wanted))).await.map(drop)
    }

    /// A small blob; nothing where it is not there.
    pub(super) async fn read(&self, digest: &Digest, limit: usize) -> Result<Option<Vec<u8>>, FetchError> {
        const WHAT: &str = "a document cannot be read";
        let wanted = ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 };
        let Some(mut parts) = there(call(WHAT, self.content().read(self.request(wanted))).await)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        while let Some(part) = there(within(WHAT, CALL_LIMIT, parts.message()).await)?.flatten() {
            bytes.extend_from_slice(&part.data);
            if bytes.len() > limit {
                return Err(FetchError::Order(format!("{digest} has more than {limit} bytes: it is no document")));
            }
        }
        Ok(Some(bytes))
    }

    /// How much of a blob another client has written; nothing where nobody writes it.
    pub(super) async fn written(&self, reference: &str) -> Result<Option<u64>, FetchError> {
        let wanted = StatusRequest { r#ref: reference.to_owned() };
        let found = call("a write cannot be looked at", self.content().status(self.request(wanted))).await;
        let status = there(found)?.and_then(|found| found.status);
        Ok(status.map(|status| u64::try_from(status.offset).unwrap_or(0)))
    }

    /// Takes back what was written and not committed.
    pub(super) async fn abort(&self, reference: &str) -> Result<(), FetchError> {
        let wanted = AbortRequest { r#ref: reference.to_owned() };
        there(call("a write cannot be taken back", self.content().abort(self.request(wanted))).await).map(drop)
    }
}

/// An answer, in time.
pub(super) async fn call<T>(
    what: &'static str,
    answer: impl Future<Output = Result<containerd_client::tonic::Response<T>, Status>>,
) -> Result<T, FetchError> {
    within(what, CALL_LIMIT, answer).await.map(containerd_client::tonic::Response::into_inner)
}

pub(super) async fn within<T>(
    what: &'static str,
    limit: Duration,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, FetchError> {
    let answered = timeout(limit, answer).await.map_err(|_| FetchError::Slow { what, limit })?;
    answered.map_err(|status| FetchError::Containerd { what, status: Box::new(status) })
}

/// Nothing, where the answer is that it is not there.
pub(super) fn there<T>(answer: Result<T, FetchError>) -> Result<Option<T>, FetchError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if code(&error) == Some(Code::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn code(error: &FetchError) -> Option<Code> {
    match error {
        FetchError::Containerd { status, .. } => Some(status.code()),
        _ => None,
    }
}

/// tonic's own words for it are only "transport error".
fn source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), source)
}
