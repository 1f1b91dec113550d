//! One blob being written into containerd's store, which checks its size and its digest before it has it.

use containerd_client::{
    services::v1::{WriteAction, WriteContentRequest, WriteContentResponse, content_client::ContentClient},
    tonic::{Code, Streaming},
};
use gantry_types::Digest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    error::FetchError,
    store::{CALL_LIMIT, Labels, Store, code, within},
};

const WHAT: &str = "a blob cannot be written";

/// What is to be written, and under which name: the same as other clients give it, so that nothing is fetched twice at a time.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub digest: Digest,
    pub size_bytes: u64,
    /// As `layer-sha256:...`.
    pub reference: String,
}

pub(super) enum Opened {
    /// The blob is there, and held by the lease.
    There,
    /// Somebody writes it.
    Locked,
    Write(Box<Write>),
}

/// Nobody else writes it meanwhile. Dropped, what was written waits for the next one.
pub(super) struct Write {
    requests: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
    target: Target,
    /// Bytes that are there.
    pub offset: u64,
}

impl Target {
    pub(super) fn of(kind: &str, digest: Digest, size_bytes: u64) -> Self {
        Self { digest, size_bytes, reference: format!("{kind}-{digest}") }
    }
}

impl Write {
    pub(super) async fn open(store: &Store, target: &Target) -> Result<Opened, FetchError> {
        match Self::begin(store, target).await {
            Ok(write) => Ok(Opened::Write(Box::new(write))),
            Err(error) if code(&error) == Some(Code::AlreadyExists) => Ok(Opened::There),
            Err(FetchError::Containerd { status, .. }) if is_lock(&status) => Ok(Opened::Locked),
            Err(error) => Err(error),
        }
    }

    async fn begin(store: &Store, target: &Target) -> Result<Self, FetchError> {
        let (requests, stream) = mpsc::channel(1);
        let stat = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: target.reference.clone(),
            total: length(target.size_bytes),
            expected: target.digest.to_string(),
            ..WriteContentRequest::default()
        };
        // It has room for one, and what reads it is at hand.
        let _ = requests.try_send(stat);
        let mut client = ContentClient::new(store.channel.clone());
        let stream = store.request(ReceiverStream::new(stream));
        let answers = within(WHAT, CALL_LIMIT, client.write(stream)).await?.into_inner();
        let mut write = Self { requests, answers, target: target.clone(), offset: 0 };
        write.answered().await?;
        Ok(write)
    }

    /// The next bytes.
    pub(super) async fn put(&mut self, data: Vec<u8>) -> Result<(), FetchError> {
        if data.is_empty() {
            return Ok(());
        }
        let request = WriteContentRequest { data, ..self.next(WriteAction::Write) };
        self.send(request).await
    }

    /// All bytes are there: the blob has its name when this is done.
    pub(super) async fn commit(mut self: Box<Self>, labels: Labels) -> Result<(), FetchError> {
        let target = &self.target;
        let (total, expected) = (length(target.size_bytes), target.digest.to_string());
        let request = WriteContentRequest { total, expected, labels, ..self.next(WriteAction::Commit) };
        match self.send(request).await {
            Err(error) if code(&error) == Some(Code::AlreadyExists) => Ok(()),
            answered => answered,
        }
    }

    fn next(&self, action: WriteAction) -> WriteContentRequest {
        let (action, offset) = (action.into(), length(self.offset));
        WriteContentRequest { action, offset, r#ref: self.target.reference.clone(), ..WriteContentRequest::default() }
    }

    async fn send(&mut self, request: WriteContentRequest) -> Result<(), FetchError> {
        // Where nobody takes it, the answers have ended and say why.
        let _ = self.requests.send(request).await;
        self.answered().await
    }

    async fn answered(&mut self) -> Result<(), FetchError> {
        let answer = within(WHAT, CALL_LIMIT, self.answers.message()).await?;
        let Some(answer) = answer else {
            let status = containerd_client::tonic::Status::unavailable("it ended the write");
            return Err(FetchError::Containerd { what: WHAT, status: Box::new(status) });
        };
        self.offset = u64::try_from(answer.offset).unwrap_or(0);
        Ok(())
    }
}

/// containerd has no code of its own for it.
fn is_lock(status: &containerd_client::tonic::Status) -> bool {
    status.code() == Code::Unavailable && status.message().contains("locked")
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
