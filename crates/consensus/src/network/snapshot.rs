//! Sending and receiving a snapshot file: at a pace that leaves the network and the disks to others, and from where an earlier
//! transfer of the same file was cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, stream};
use gantry_store::{Offered, Receiving, SnapshotFile, Snapshots, StoreError, Workers};
use openraft::{
    errors::{StreamingError, Timeout},
    network::RPCTypes,
    raft::SnapshotResponse,
};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use super::{
    ANSWER_TIMEOUT, Link,
    client::{PeerClient, failed, malformed},
};
use crate::{
    convert::stored_vote,
    raft_types::{Types, Vote},
    wire::{
        self,
        proto::{
            Peer, SnapshotChunk, SnapshotEnd, SnapshotHeader, SnapshotOffer, SnapshotRequest, raft_client::RaftClient,
            snapshot_request::Part,
        },
    },
};

/// Bytes of the file in one message; fewer where that would be more than a second's.
const CHUNK_BYTES: u64 = 1 << 20;
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
    let offset = received(client, &mut rpc, &file).await?;
    if offset > 0 {
        tracing::info!(to = client.target, offset, size = file.size_bytes(), "going on with a snapshot that was cut");
    }
    let header = SnapshotHeader {
        peer: Some(client.peers.introduce(client.target)),
        vote: Some(stored_vote(&vote)),
        size_bytes: file.size_bytes(),
        position: file.position(),
        offset,
    };
    let pace = Pace { begun: Instant::now(), offset, bytes_per_second: client.send_bytes_per_second };
    let call = rpc.install_snapshot(requests(header, file, pace, client.peers.workers(), Arc::clone(&moved)));
    let response = tokio::select! {
        biased;
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

/// How much of the file the peer has. One of an older version has never kept anything.
async fn received(
    client: &PeerClient,
    rpc: &mut RaftClient<Link>,
    file: &SnapshotFile,
) -> Result<u64, StreamingError<Types>> {
    let peer = Some(client.peers.introduce(client.target));
    let offer = SnapshotOffer { peer, position: file.position(), size_bytes: file.size_bytes() };
    let answer = match tokio::time::timeout(ANSWER_TIMEOUT, rpc.offer_snapshot(offer)).await {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) if status.code() == Code::Unimplemented => return Ok(0),
        Ok(Err(status)) => return Err(failed(&status).into()),
        Err(_) => return Err(client.timed_out(RPCTypes::InstallSnapshot, ANSWER_TIMEOUT).into()),
    };
    client.check(answer.peer.as_ref())?;
    Ok(answer.received_bytes.min(file.size_bytes()))
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

/// When which part of the file is due.
#[derive(Clone, Copy)]
struct Pace {
    begun: Instant,
    offset: u64,
    bytes_per_second: u64,
}

impl Pace {
    fn chunk_bytes(&self) -> usize {
        CHUNK_BYTES.min(self.bytes_per_second).max(1) as usize
    }

    /// Waits until all before `offset` may have been sent.
    async fn keep(&self, offset: u64) {
        let sent = u128::from(offset - self.offset);
        let due_us = sent * 1_000_000 / u128::from(self.bytes_per_second.max(1));
        tokio::time::sleep_until(self.begun + Duration::from_micros(due_us as u64)).await;
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
    pace: Pace,
    workers: Workers,
    moved: Arc<AtomicU64>,
) -> impl Stream<Item = SnapshotRequest> + Send + 'static {
    stream::unfold(Next::Header(header), move |next| {
        let (file, moved) = (file.clone(), Arc::clone(&moved));
        async move {
            let (part, next) = match next {
                Next::Header(header) => {
                    let offset = header.offset;
                    (Part::Header(header), Next::Chunk(offset))
                }
                Next::Chunk(offset) if offset < file.size_bytes() => {
                    pace.keep(offset).await;
                    let chunk = read(workers, file, offset, pace.chunk_bytes()).await?;
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
async fn read(workers: Workers, file: SnapshotFile, offset: u64, bytes: usize) -> Option<SnapshotChunk> {
    let read = workers.run(move || file.read_at(offset, bytes)).await;
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
pub(super) struct Announced {
    pub(super) peer: Option<Peer>,
    pub(super) vote: Vote,
    pub(super) offered: Offered,
    offset: u64,
}

pub(super) async fn receive_header(requests: &mut Streaming<SnapshotRequest>) -> Result<Announced, Status> {
    let first = requests.message().await?.and_then(|request| request.part);
    let Some(Part::Header(header)) = first else {
        return Err(Status::invalid_argument("a snapshot transfer begins with its header"));
    };
    let vote = wire::required_vote(header.vote).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let SnapshotHeader { peer, size_bytes, position, offset, .. } = header;
    Ok(Announced { peer, vote, offered: Offered { position, size_bytes }, offset })
}

/// Takes the chunks up to the end mark, each checked. What is left unfinished stays for the next transfer.
pub(super) async fn receive_file(
    mut requests: Streaming<SnapshotRequest>,
    snapshots: &Snapshots,
    announced: &Announced,
) -> Result<SnapshotFile, Status> {
    let size_bytes = announced.offered.size_bytes;
    let mut receiving = snapshots.receive(announced.offered).map_err(broken)?;
    if receiving.written_bytes() != announced.offset {
        let have = receiving.written_bytes();
        return Err(Status::aborted(format!("{have} bytes of the snapshot are here, not {}", announced.offset)));
    }
    loop {
        let request = requests.message().await?.and_then(|request| request.part);
        match request {
            Some(Part::Chunk(chunk)) => receiving = take(snapshots.workers(), receiving, chunk, size_bytes).await?,
            Some(Part::End(_)) if receiving.written_bytes() == size_bytes => {
                // Read from end to end here: what the library is given and cannot install would stop this node.
                let finished = snapshots.workers().run(move || receiving.finish()).await;
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

async fn take(
    workers: Workers,
    mut receiving: Receiving,
    chunk: SnapshotChunk,
    size_bytes: u64,
) -> Result<Receiving, Status> {
    let want = receiving.written_bytes();
    let fits = chunk.data.len() as u64 <= size_bytes.saturating_sub(want);
    if chunk.offset != want || !fits || crc32fast::hash(&chunk.data) != chunk.crc {
        return Err(Status::data_loss(format!(
            "the snapshot's chunk at {} is damaged, or {want} was due",
            chunk.offset
        )));
    }
    let written = workers.run(move || receiving.write(&chunk.data).map(|()| receiving)).await;
    written.map_err(|error| Status::internal(error.to_string()))?.map_err(broken)
}

fn broken(error: StoreError) -> Status {
    match error {
        StoreError::Busy { .. } => Status::aborted(error.to_string()),
        error if error.is_full() => Status::resource_exhausted(error.to_string()),
        error => Status::internal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use gantry_store::{Store, StoreConfig};

    use super::*;

    async fn snapshot(dir: &std::path::Path) -> SnapshotFile {
        let config = StoreConfig { data_dir: dir.to_owned(), cluster: "north".to_owned(), node: 1 };
        let store = Store::open(&config).unwrap();
        store.machine.begin_snapshot().await.unwrap().finish().await.unwrap()
    }

    async fn chunks(file: &SnapshotFile, offset: u64, bytes_per_second: u64) -> Vec<SnapshotChunk> {
        let header = SnapshotHeader { size_bytes: file.size_bytes(), offset, ..SnapshotHeader::default() };
        let pace = Pace { begun: Instant::now(), offset, bytes_per_second };
        let parts =
            requests(header, file.clone(), pace, Workers::Threads, Arc::default()).map(|request| request.part.unwrap());
        let parts: Vec<Part> = parts.collect().await;
        assert!(matches!((&parts[0], &parts[parts.len() - 1]), (Part::Header(_), Part::End(_))));
        let chunk = |part| if let Part::Chunk(chunk) = part { Some(chunk) } else { None };
        parts.into_iter().filter_map(chunk).collect()
    }

    #[tokio::test]
    async fn only_what_is_missing_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = snapshot(dir.path()).await;
        let whole = file.read_at(0, usize::MAX >> 1).unwrap();
        for offset in [0, 1, whole.len() as u64 - 1, whole.len() as u64] {
            let sent: Vec<u8> = chunks(&file, offset, 1 << 30).await.into_iter().flat_map(|chunk| chunk.data).collect();
            assert_eq!(sent, whole[offset as usize..], "from {offset}");
        }
    }

    #[tokio::test]
    async fn no_more_than_the_pace_allows_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = snapshot(dir.path()).await;
        tokio::time::pause();
        let (begun, rate) = (Instant::now(), 16);
        let sent = chunks(&file, 0, rate).await;
        assert!(sent.iter().all(|chunk| chunk.data.len() as u64 <= rate));
        let last = sent.last().unwrap().data.len() as u64;
        let least = Duration::from_secs((file.size_bytes() - last) / rate);
        assert!(begun.elapsed() >= least && least >= Duration::from_secs(1), "{:?} of {least:?}", begun.elapsed());
    }
}
