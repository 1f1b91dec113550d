//! Heartbeats: one request, one answer, on a stream that stays open between them.

use futures::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend,
    errors::RPCError,
    network::{RPCOption, RPCTypes},
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::client::{AppendStream, PeerClient, failed, malformed};
use crate::{
    raft_types::Types,
    wire::{
        self,
        proto::{AppendRequest, AppendResponse},
    },
};

/// An open stream on which nothing is under way.
#[derive(Debug)]
pub(super) struct HeartbeatStream {
    requests: mpsc::Sender<AppendRequest>,
    answers: Streaming<AppendResponse>,
    /// The peer has not yet said who it is.
    unchecked: bool,
}

/// Heartbeats in a row that a peer has not answered. Said once when it is clear, and once when it is over: the library has a
/// warning for each.
#[derive(Debug, Default)]
pub(super) struct Silence(u32);

/// About half a second.
const SILENT: u32 = 10;

impl Silence {
    /// Counts a call, and says whether something is to be told now: that a member is silent, or that it is not any more.
    fn count(&mut self, answered: bool) -> bool {
        if answered {
            return std::mem::take(&mut self.0) >= SILENT;
        }
        self.0 = self.0.saturating_add(1);
        self.0 == SILENT
    }

    fn note(&mut self, node: u64, failed: Option<&RPCError<Types>>) {
        match (self.count(failed.is_none()), failed) {
            (true, Some(why)) => tracing::warn!(node, %why, "a member does not answer"),
            (true, None) => tracing::info!(node, "a member answers again"),
            (false, _) => {}
        }
    }
}

impl PeerClient {
    /// Answers `input` one by one, and ends after an error.
    pub(super) fn heartbeats<S>(&mut self, input: S, option: RPCOption) -> AppendStream<'_>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(stream::unfold(Some((self, input)), move |state| {
            let option = option.clone();
            async move {
                let (client, mut input) = state?;
                let request = input.next().await?;
                let timeout = option.soft_ttl();
                let answer = match tokio::time::timeout(timeout, client.exchange(request)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(client.timed_out(RPCTypes::AppendEntries, timeout)),
                };
                client.silence.note(client.target, answer.as_ref().err());
                let rest = matches!(answer, Ok(Ok(_))).then_some((client, input));
                Some((answer, rest))
            }
        }))
    }

    /// Takes the open stream, or opens one. It is put back only after its answer came, so that an answer that came too late
    /// is never taken for a later one's.
    async fn exchange(
        &mut self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<StreamAppendResult<Types>, RPCError<Types>> {
        let request = wire::append_to_wire(request, None);
        let kept = self.heartbeat.take().filter(|kept| kept.requests.try_send(request.clone()).is_ok());
        let mut stream = match kept {
            Some(stream) => stream,
            None => {
                let peer = Some(self.peers.introduce(self.target));
                self.open_heartbeat(AppendRequest { peer, ..request }).await?
            }
        };
        let answer = stream.answers.message().await.map_err(|status| failed(&status))?;
        let answer =
            answer.ok_or_else(|| failed(&tonic::Status::unavailable("the peer ended the heartbeat stream")))?;
        if std::mem::take(&mut stream.unchecked) {
            self.check(answer.peer.as_ref())?;
        }
        self.peers.disks().note(self.target, answer.disk);
        let result = wire::appended_from_wire(answer).map_err(malformed)?;
        if result.is_ok() {
            self.heartbeat = Some(stream);
        }
        Ok(result)
    }

    async fn open_heartbeat(&self, first: AppendRequest) -> Result<HeartbeatStream, RPCError<Types>> {
        let (requests, queue) = mpsc::channel(1);
        let sent = requests.try_send(first);
        debug_assert!(sent.is_ok(), "a new queue has room for one");
        let opened = self.connect()?.append(ReceiverStream::new(queue)).await.map_err(|status| failed(&status))?;
        Ok(HeartbeatStream { requests, answers: opened.into_inner(), unchecked: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_and_its_end_are_told_once() {
        let mut silence = Silence::default();
        let told: Vec<usize> = (1..100).filter(|_| silence.count(false)).collect();
        assert_eq!(told, [SILENT as usize]);
        assert!(silence.count(true) && !silence.count(true));
        assert!((1..SILENT).all(|_| !silence.count(false)) && !silence.count(true), "a short one is not worth a line");
    }
}
