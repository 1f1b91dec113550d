//! Warming an image on hosts, as a stream of how far they are.

use std::sync::Arc;

use gantry_consensus::ProposeError;
use gantry_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Status, metadata::MetadataMap};

use crate::{
    node::{Node, not_read},
    service::{deadline, invalid},
    warming::Warming,
};

/// Messages on their way to the caller.
const WAITING: usize = 64;

pub(super) type Outgoing = std::pin::Pin<Box<dyn futures::Stream<Item = Result<v1::WarmImageResponse, Status>> + Send>>;

pub(super) async fn warm(
    node: &Node,
    metadata: &MetadataMap,
    request: v1::WarmImageRequest,
) -> Result<Outgoing, Status> {
    let constraints = request.check().map_err(invalid)?;
    let Ok(permit) = Arc::clone(node.warmings()).try_acquire_owned() else {
        return Err(not_read(ProposeError::Busy).into());
    };
    node.images().know(node, &request.reference, deadline::of(metadata)).await;
    let agents = node.agents().clone();
    let planned = node.scan(metadata, move |fleet, _| Warming::plan(fleet, &agents, &request, constraints));
    let warming = planned.await?.into_inner().map_err(invalid)?;
    let (out, messages) = mpsc::channel(WAITING);
    let begun = warming.begun();
    let node = node.clone();
    tokio::spawn(async move {
        if out.send(begun).await.is_ok() {
            warming.run(node, out).await;
        }
        drop(permit);
    });
    Ok(Box::pin(ReceiverStream::new(messages).map(Ok)))
}
