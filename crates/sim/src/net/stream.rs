//! The body of a call or an answer on its way.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tonic::{Status, body::Body, codegen::Service};

use super::{BREAKS_AFTER, Net, Way};

type Piece = (Instant, Result<Frame<Bytes>, Status>);

/// Pieces of a stream that its second copy has: enough to be an old message, few enough not to be the whole.
const COPIED: usize = 3;

/// What a second copy of a call is made of.
pub(super) struct Recorded(mpsc::UnboundedSender<Bytes>);

impl Recorded {
    /// Sends the copy to `to` a while `after`, whoever listens there by then. Nobody hears the answer.
    pub(super) fn begin(net: &Net, to: u64, after: Duration, parts: request::Parts) -> Self {
        let (sender, mut pieces) = mpsc::unbounded_channel();
        let net = net.clone();
        tokio::spawn(async move {
            sleep(after).await;
            let mut copied: Vec<Bytes> = Vec::new();
            while let Ok(piece) = pieces.try_recv() {
                copied.push(piece);
            }
            let Some(mut there) = net.endpoint(to) else { return };
            let pieces = copied.into_iter().take(COPIED).map(|piece| Ok::<_, Status>(Frame::data(piece)));
            let body = Body::new(StreamBody::new(stream::iter(pieces)));
            let Ok(answer) = there.routes.call(http::Request::from_parts(parts, body)).await;
            // Read to its end: what answers a stream does its work while it is read.
            drop(answer.into_body().collect().await);
        });
        Self(sender)
    }

    fn note(&self, piece: &Result<Frame<Bytes>, Status>) {
        if let Ok(frame) = piece
            && let Some(data) = frame.data_ref()
        {
            // Where the copy is sent already, it lacks the rest.
            let _ = self.0.send(data.clone());
        }
    }
}

impl Net {
    /// What comes out at the other end of `way` when `body` goes in. It breaks when one of `lives` has ended.
    pub(super) fn stream(&self, way: Way, lives: [(u64, u64); 2], mut body: Body, recorded: Option<Recorded>) -> Body {
        let (sender, pieces) = mpsc::unbounded_channel::<Piece>();
        let net = self.clone();
        tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                let piece = tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    piece = body.frame() => piece,
                };
                let Some(piece) = piece else { return };
                if let Some(recorded) = &recorded {
                    recorded.note(&piece);
                }
                last = last.max(Instant::now() + net.delay());
                if sender.send((last, piece)).is_err() {
                    return;
                }
            }
        });
        let arriving = (self.clone(), pieces, false);
        Body::new(StreamBody::new(stream::unfold(arriving, move |(net, mut pieces, broken)| async move {
            if broken {
                return None;
            }
            let (due, piece) = pieces.recv().await?;
            sleep_until(due).await;
            let whole = net.is_whole_within(way, BREAKS_AFTER).await;
            let alive = lives.iter().all(|(node, life)| net.life(*node) == Some(*life));
            let piece = if whole && alive { piece } else { Err(Status::unavailable("the connection broke")) };
            let broken = piece.is_err();
            Some((piece, (net, pieces, broken)))
        })))
    }
}
