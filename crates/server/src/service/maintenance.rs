//! Keeping the cluster's data.

use std::sync::Arc;

use gantry_consensus::{BackupFile, ProposeError};
use gantry_proto::{
    WireError,
    v1::{self, maintenance_server::Maintenance},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::cluster::not_changed;
use crate::node::{Node, not_read, unread};

/// Bytes of one message.
const PART_BYTES: usize = 256 << 10;
/// Messages on their way to a receiver.
const PARTS_WAITING: usize = 4;
/// Backups at a time: each is a pass over the whole state, and a file that stays for as long as it is read.
const BACKUPS: usize = 2;

#[derive(Clone, Debug)]
pub(crate) struct MaintenanceService {
    node: Node,
    backups: Arc<Semaphore>,
}

impl MaintenanceService {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, backups: Arc::new(Semaphore::new(BACKUPS)) }
    }
}

type Parts = ReceiverStream<Result<v1::BackupResponse, Status>>;

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    type BackupStream = Parts;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Parts>, Status> {
        let min_rev = request.into_inner().min_rev;
        let Ok(permit) = Arc::clone(&self.backups).try_acquire_owned() else {
            return Err(not_read(ProposeError::Busy).into());
        };
        let file = self.node.consensus().backup(min_rev).await.map_err(not_read)?;
        let (out, parts) = mpsc::channel(PARTS_WAITING);
        tokio::spawn(send(file, out, permit));
        Ok(Response::new(ReceiverStream::new(parts)))
    }

    async fn verify(&self, _: Request<v1::VerifyRequest>) -> Result<Response<v1::VerifyResponse>, Status> {
        let found = self.node.consensus().verify().await.map_err(not_changed)?;
        let hex = |hash: u128| format!("{hash:032x}");
        let members = found.members.iter().map(|member| v1::MemberHash {
            id: member.id,
            voter: member.is_voter,
            hash: member.hash.as_ref().map_or_else(|_| String::new(), |hash| hex(*hash)),
            failed: member.hash.as_ref().err().cloned().unwrap_or_default(),
            differs: found.diverged().any(|diverged| diverged.id == member.id),
        });
        let members = members.collect();
        Ok(Response::new(v1::VerifyResponse {
            rev: found.rev,
            agreed: found.agreed.map_or_else(String::new, hex),
            members,
        }))
    }
}

/// Sends the file, for as long as the receiver takes it. A backup holds its permit until then.
async fn send(file: BackupFile, out: mpsc::Sender<Result<v1::BackupResponse, Status>>, _permit: OwnedSemaphorePermit) {
    let mut offset = 0;
    loop {
        let part = tokio::task::spawn_blocking({
            let file = file.clone();
            move || file.read_at(offset, PART_BYTES)
        });
        let part = match part.await {
            Ok(Ok(data)) if data.is_empty() => return,
            Ok(Ok(data)) => {
                offset += data.len() as u64;
                Ok(v1::BackupResponse { data })
            }
            Ok(Err(error)) => Err(WireError::internal(format!("the snapshot cannot be read: {error}")).into()),
            Err(error) => Err(unread(error).into()),
        };
        let failed = part.is_err();
        if out.send(part).await.is_err() || failed {
            return;
        }
    }
}
