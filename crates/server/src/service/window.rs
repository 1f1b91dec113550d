//! What one stream is owed: a bounded number of answers, in the order in which they come.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use tokio::sync::{Semaphore, mpsc};
use tonic::Status;

use crate::call::{Answer, Reply};

/// The reading half's side. Once it and all replies are gone, [`Owed`] ends.
#[derive(Debug)]
pub(super) struct Window {
    replies: mpsc::UnboundedSender<(u64, Answer)>,
    room: Arc<Semaphore>,
    end: Arc<OnceLock<Status>>,
}

/// The writing half's side.
#[derive(Debug)]
pub(super) struct Owed {
    answers: mpsc::UnboundedReceiver<(u64, Answer)>,
    room: Arc<Semaphore>,
    end: Arc<OnceLock<Status>>,
}

/// At most `calls` are unanswered at a time.
pub(super) fn window(calls: usize) -> (Window, Owed) {
    let (replies, answers) = mpsc::unbounded_channel();
    let (room, end) = (Arc::new(Semaphore::new(calls)), Arc::default());
    (Window { replies, room: Arc::clone(&room), end: Arc::clone(&end) }, Owed { answers, room, end })
}

impl Window {
    /// Waits until one more answer may be owed. `None` when nobody listens any more.
    pub(super) async fn reply(&self, tag: u64) -> Option<Reply> {
        self.room.acquire().await.ok()?.forget();
        Some(Reply::tagged(tag, self.replies.clone()))
    }

    /// Ends the stream with an error, after all answers.
    pub(super) fn fail(self, status: Status) {
        // The only call: it consumes the only half that sets it.
        let _ = self.end.set(status);
    }
}

impl Owed {
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(u64, Answer), Status>>> {
        Poll::Ready(match ready!(self.answers.poll_recv(context)) {
            Some(answer) => {
                self.room.add_permits(1);
                Some(Ok(answer))
            }
            None => self.end.get().cloned().map(Err),
        })
    }
}

impl Drop for Owed {
    /// The caller is gone: nothing more is read from it.
    fn drop(&mut self) {
        self.room.close();
    }
}
