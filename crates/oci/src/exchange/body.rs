//! What a host sends, part by part.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::gate::Pass;
use crate::error::ResolveError;

/// The rest of an answer. While it is there the host has one request less for others.
#[derive(Debug)]
pub(crate) struct Body {
    incoming: Incoming,
    at: String,
    /// Longest silence.
    read_time: Duration,
    _pass: Pass,
}

impl Body {
    pub(super) fn new(incoming: Incoming, at: String, read_time: Duration, pass: Pass) -> Self {
        Self { incoming, at, read_time, _pass: pass }
    }

    /// The next part; nothing at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ResolveError> {
        loop {
            let Ok(frame) = timeout(self.read_time, self.incoming.frame()).await else {
                return Err(self.unreachable(format!("it fell silent for {:?} in its answer", self.read_time)));
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| self.unreachable(format!("its answer broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    fn unreachable(&self, why: String) -> ResolveError {
        ResolveError::Unreachable { at: self.at.clone(), why }
    }
}
