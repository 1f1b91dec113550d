//! The load of one connection with one call for each placement, many in flight.

use std::{rc::Rc, time::Instant};

use anyhow::Result;
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use gantry_proto::WireError;
use http::uri::PathAndQuery;
use tonic::{Request, Status, client::Grpc, transport::Channel};

use super::{
    load::{AFTER_REFUSAL, DRAIN, Lane, codec},
    wire::{Place, Placed, Release, Released},
};

const PLACE: &str = "/gantry.v1.Placement/Place";
const RELEASE: &str = "/gantry.v1.Placement/Release";

enum Ended {
    Place(Instant, Result<Placed, Status>),
    Release(Vec<u64>, Result<Released, Status>),
}

/// Runs until the load is stopped and everything is answered.
pub async fn run(mut lane: Lane) -> Result<()> {
    let grpc = lane.grpc();
    let control = Rc::clone(&lane.control);
    let mut calls: FuturesUnordered<LocalBoxFuture<'static, Ended>> = FuturesUnordered::new();
    let mut placing = 0;
    while !control.stop.get() {
        while placing < lane.window {
            calls.push(place(grpc.clone(), lane.supply.place()).boxed_local());
            placing += 1;
        }
        while let Some((request_id, ids)) = lane.release() {
            calls.push(release(grpc.clone(), Release { request_id, reservation_ids: ids }).boxed_local());
        }
        if let Some(ended) = calls.next().await {
            placing -= usize::from(matches!(ended, Ended::Place(..)));
            take(&lane, ended);
        }
    }
    let drained = tokio::time::timeout(DRAIN, async {
        while let Some(ended) = calls.next().await {
            take(&lane, ended);
        }
    });
    if drained.await.is_err() {
        lane.tally.borrow_mut().error(|| "calls were not answered in time".into());
    }
    Ok(())
}

async fn place(mut grpc: Grpc<Channel>, place: Place) -> Ended {
    let sent = Instant::now();
    let placed = unary(&mut grpc, PLACE, place).await;
    if placed.is_err() {
        tokio::time::sleep(AFTER_REFUSAL).await;
    }
    Ended::Place(sent, placed)
}

async fn release(mut grpc: Grpc<Channel>, release: Release) -> Ended {
    let ids = release.reservation_ids.clone();
    Ended::Release(ids, unary(&mut grpc, RELEASE, release).await)
}

async fn unary<Out, In>(grpc: &mut Grpc<Channel>, path: &'static str, message: Out) -> Result<In, Status>
where
    Out: prost::Message + Send + Sync + 'static,
    In: prost::Message + Default + Send + Sync + 'static,
{
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let answer = grpc.unary(Request::new(message), PathAndQuery::from_static(path), codec::<Out, In>()).await?;
    Ok(answer.into_inner())
}

fn take(lane: &Lane, ended: Ended) {
    match ended {
        Ended::Place(sent, Ok(placed)) => lane.placed(&placed.reservations, sent),
        Ended::Place(_, Err(status)) => failed(lane, &status),
        Ended::Release(ids, Ok(_)) => lane.tally.borrow_mut().released += ids.len() as u64,
        Ended::Release(ids, Err(status)) => {
            lane.tally.borrow_mut().in_doubt.extend(ids);
            failed(lane, &status);
        }
    }
}

fn failed(lane: &Lane, status: &Status) {
    let error = WireError::from(status);
    lane.tally.borrow_mut().failed(&error.detail, &error.message);
}
