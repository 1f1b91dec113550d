//! Sending and receiving a snapshot file.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, stream};
use gantry_store::{Receiving, SnapshotFile, Snapshots, StoreError};
use openraft::{
    errors::{StreamingError, Timeout},
    network::RPCTypes,
    raft::SnapshotResponse,
};
use tonic::{Status, Streaming};

use super::client::{PeerClient, failed, malformed};
use crate::{
    convert::stored_vote,
    raft_types::{Types, Vote},
    wire::{
        self,
        proto::{Peer, SnapshotChunk, SnapshotEnd, SnapshotHeader, SnapshotRequest, snapshot_request::Part},
    },
};

/// Bytes of the file in one message.
const CHUNK_BYTES: usize = 1 << 20;
/// A transfer that does not move for so long is given up. The receiver installs before it answers, which for a large state
/// takes its time.
const STALLED: Duration = Duration::from_secs(120);

/// Sends the file and waits until it is installed.
pub(super) async fn send(
    client: &PeerClient,
    vote: Vote,
    file: SnapshotFile,
) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
    let mut rpc = client.connect()?;
    let moved = Arc::new(AtomicU64::new(0));
    let peer = client.peers.introduce(client.target);
    let header = SnapshotHeader { peer: Some(peer), vote: Some(stored_vote(&vote)), size_bytes: file.size_bytes() };
    let call = rpc.install_snapshot(requests(header, file, Arc::clone(&moved)));
    let response = tokio::select! {
        response = call => response.map_err(|status| StreamingError::from(failed(&status)))?.into_inner(),
        () = stalled(&moved) => {
            let (action, id) = (RPCTypes::InstallSnapshot, client.peers.introduce(client.target).from);
            return Err(StreamingError::Timeout(Timeout { action, id, target: client.target, timeout: STALLED }));
        }
    };
    client.check(response.peer.as_ref())?;
    let vote = wire::required_vote(response.vote).map_err(malformed)?;
    Ok(SnapshotResponse { vote })
}

/// Ends when nothing has moved for too long.
async fn stalled(moved: &AtomicU64) {
    let mut seen = None;
    loop {
        let now = Some(moved.load(Ordering::Relaxed));
        if seen == now {
            return;
        }
        seen = now;
        tokio::time::sleep(STALLED).await;
    }
}

/// Where the sender is in the file.
enum Next {
    Header(SnapshotHeader),
    Chunk(u64),
    Done,
}

fn requests(
    header: SnapshotHeader,
    file: SnapshotFile,
    moved: Arc<AtomicU64>,
) -> impl Stream<Item = SnapshotRequest> + Send + 'static {
    stream::unfold(Next::Header(header), move |next| {
        let (file, moved) = (file.clone(), Arc::clone(&moved));
        async move {
            let (part, next) = match next {
                Next::Header(header) => (Part::Header(header), Next::Chunk(0)),
                Next::Chunk(offset) if offset < file.size_bytes() => {
                    let chunk = read(file, offset).await?;
                    let end = offset + chunk.data.len() as u64;
                    moved.store(end, Ordering::Relaxed);
                    (Part::Chunk(chunk), Next::Chunk(end))
                }
                Next::Chunk(_) => (Part::End(SnapshotEnd {}), Next::Done),
                Next::Done => return None,
            };
            Some((SnapshotRequest { part: Some(part) }, next))
        }
    })
}

/// The next chunk. Where the file cannot be read the stream ends without its end mark, which the receiver notices.
async fn read(file: SnapshotFile, offset: u64) -> Option<SnapshotChunk> {
    let read = tokio::task::spawn_blocking(move || file.read_at(offset, CHUNK_BYTES)).await;
    match read {
        Ok(Ok(data)) if !data.is_empty() => {
            Some(SnapshotChunk { offset, crc: crc32fast::hash(&data), data: Bytes::from(data) })
        }
        Ok(Ok(_)) => None,
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot read the snapshot to send");
            None
        }
        Err(error) => {
            tracing::error!(%error, "cannot read the snapshot to send");
            None
        }
    }
}

/// What a sender says first.
pub(super) async fn receive_header(
    requests: &mut Streaming<SnapshotRequest>,
) -> Result<(Option<Peer>, Vote, u64), Status> {
    let first = requests.message().await?.and_then(|request| request.part);
    let Some(Part::Header(header)) = first else {
        return Err(Status::invalid_argument("a snapshot transfer begins with its header"));
    };
    let vote = wire::required_vote(header.vote).map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok((header.peer, vote, header.size_bytes))
}

/// Takes the chunks up to the end mark, each checked. What is left unfinished is removed.
pub(super) async fn receive_file(
    mut requests: Streaming<SnapshotRequest>,
    snapshots: &Snapshots,
    size_bytes: u64,
) -> Result<SnapshotFile, Status> {
    let mut receiving = snapshots.receive().map_err(broken)?;
    loop {
        let request = requests.message().await?.and_then(|request| request.part);
        match request {
            Some(Part::Chunk(chunk)) => receiving = take(receiving, chunk).await?,
            Some(Part::End(_)) if receiving.written_bytes() == size_bytes => {
                // Read from end to end here: what the library is given and cannot install would stop this node.
                let finished = tokio::task::spawn_blocking(move || {
                    receiving.finish().and_then(|file| file.verify().map(|_| file))
                });
                let finished = finished.await;
                return finished.map_err(|error| Status::internal(error.to_string()))?.map_err(broken);
            }
            Some(Part::End(_)) => {
                let have = receiving.written_bytes();
                return Err(Status::data_loss(format!("the snapshot ends at {have} of {size_bytes} bytes")));
            }
            Some(Part::Header(_)) => return Err(Status::invalid_argument("a snapshot transfer has one header")),
            None => return Err(Status::cancelled("the snapshot transfer stopped before its end")),
        }
    }
}

async fn take(mut receiving: Receiving, chunk: SnapshotChunk) -> Result<Receiving, Status> {
    let want = receiving.written_bytes();
    if chunk.offset != want || crc32fast::hash(&chunk.data) != chunk.crc {
        return Err(Status::data_loss(format!(
            "the snapshot's chunk at {} is damaged, or {want} was due",
            chunk.offset
        )));
    }
    let written = tokio::task::spawn_blocking(move || receiving.write(&chunk.data).map(|()| receiving)).await;
    written.map_err(|error| Status::internal(error.to_string()))?.map_err(broken)
}

fn broken(error: StoreError) -> Status {
    Status::internal(error.to_string())
}
