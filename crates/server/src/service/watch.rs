//! What happens, in order, from any position that is still held.

use std::time::Duration;

use gantry_consensus::Consensus;
use gantry_fleet::{EndReason, Event, EventKind, Fleet, HostChange};
use gantry_proto::{
    WireError, convert,
    v1::{self, watch_server::Watch},
};
use gantry_types::{Reservation, Rev, Volume};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::invalid;
use crate::node::Node;

/// Events of one message.
const EVENTS_PER_MESSAGE: usize = 1_024;
/// Messages on their way to a watcher. A slower one is not waited for: it reads the ring when it is ready.
const MESSAGES_WAITING: usize = 8;
/// A watcher that wants nothing of what happens hears at least this often how far that has come, ...
const PROGRESS: Duration = Duration::from_secs(1);
/// ... and after this many events, so that it can resume before they are no longer held.
const PASSED_OVER: usize = 8_192;

#[derive(Clone, Debug)]
pub(crate) struct WatchService(pub Node);

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = ReceiverStream<Result<v1::WatchResponse, Status>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        let consensus = self.0.consensus().clone();
        let after = match message.after_rev {
            Some(rev) => rev,
            None => consensus.state().read().rev(),
        };
        let (out, messages) = mpsc::channel(MESSAGES_WAITING);
        tokio::spawn(feed(consensus, message, after, out));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

async fn feed(
    consensus: Consensus,
    wanted: v1::WatchRequest,
    after: Rev,
    out: mpsc::Sender<Result<v1::WatchResponse, Status>>,
) {
    let mut applied = consensus.applied();
    let mut progress = Progress { rev: after, told: None, told_at: Instant::now(), passed_over: 0 };
    loop {
        applied.borrow_and_update();
        loop {
            let (response, looked_at) = match read(&consensus, &wanted, progress.rev) {
                Ok(read) => read,
                Err(error) => {
                    drop(out.send(Err(error.into())).await);
                    return;
                }
            };
            if progress.tells(&response, looked_at) && out.send(Ok(response)).await.is_err() {
                return;
            }
            if looked_at < EVENTS_PER_MESSAGE {
                break;
            }
        }
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(progress.told_at + PROGRESS), if progress.told < Some(progress.rev) => {}
            () = out.closed() => return,
        }
    }
}

/// How far a watcher has come, and how far it was told.
struct Progress {
    rev: Rev,
    /// `None` before the first response, which says where the watch begins.
    told: Option<Rev>,
    told_at: Instant,
    /// Events that it did not want, since it was told.
    passed_over: usize,
}

impl Progress {
    /// Whether a response goes out: the first always, one with events always, one without when the watcher's rev grows old.
    fn tells(&mut self, response: &v1::WatchResponse, looked_at: usize) -> bool {
        self.rev = response.rev;
        self.passed_over += looked_at;
        let old = self.told_at.elapsed() >= PROGRESS || self.passed_over >= PASSED_OVER;
        let tells = !response.events.is_empty() || self.told.is_none() || (old && self.told < Some(self.rev));
        if tells {
            (self.told, self.told_at, self.passed_over) = (Some(self.rev), Instant::now(), 0);
        }
        tells
    }
}

/// The wanted events after `after`, and how many were looked at.
fn read(consensus: &Consensus, wanted: &v1::WatchRequest, after: Rev) -> Result<(v1::WatchResponse, usize), WireError> {
    let state = consensus.state();
    let state = state.read();
    let events = state.events.after(after, EVENTS_PER_MESSAGE).map_err(|gone| WireError::compacted(gone.oldest))?;
    let looked_at = events.len();
    // Events of one rev are never split: the ring returns all of the last one.
    let last = events.last().map_or(after, |event| event.rev);
    let rev = if looked_at >= EVENTS_PER_MESSAGE { last } else { state.rev().max(after) };
    let events = events.iter().filter(|event| is_wanted(&state.fleet, wanted, event));
    let events = events.map(|event| shown(&state.fleet, event)).collect();
    Ok((v1::WatchResponse { rev, events }, looked_at))
}

fn is_wanted(fleet: &Fleet, wanted: &v1::WatchRequest, event: &Event) -> bool {
    let host_is = |id| wanted.host.is_empty() || fleet.host_spec(id).is_some_and(|spec| spec.name == wanted.host);
    let app_is = |app: &str| wanted.app.is_empty() || wanted.app == app;
    let everything = wanted.app.is_empty() && wanted.host.is_empty();
    match &event.kind {
        EventKind::Reserved(row) | EventKind::Confirmed(row) | EventKind::Renewed(row) => {
            app_is(&row.app) && host_is(row.plan.host)
        }
        EventKind::Ended { reservation, .. } => app_is(&reservation.app) && host_is(reservation.plan.host),
        EventKind::VolumeCreated(volume) | EventKind::VolumeDeleted(volume) | EventKind::HoldExpired(volume) => {
            app_is(&volume.app) && host_is(volume.host)
        }
        EventKind::Host { name, .. } => wanted.app.is_empty() && (wanted.host.is_empty() || **name == *wanted.host),
        EventKind::ImageRecorded(_) | EventKind::FeatureLevel(_) => everything,
    }
}

fn shown(fleet: &Fleet, event: &Event) -> v1::Event {
    use v1::event::Event as Kind;
    let reservation = |row: &Reservation| {
        let spec = fleet.host_spec(row.plan.host).cloned().unwrap_or_default();
        convert::reservation(row, &spec)
    };
    let volume = |row: &Volume| convert::volume(row, &fleet.host_spec(row.host).cloned().unwrap_or_default());
    let kind = match &event.kind {
        EventKind::Reserved(row) => Kind::Reserved(reservation(row)),
        EventKind::Confirmed(row) => Kind::Confirmed(reservation(row)),
        EventKind::Renewed(row) => Kind::Renewed(reservation(row)),
        EventKind::Ended { reservation: row, reason } => Kind::Ended(ended(reservation(row), reason)),
        EventKind::VolumeCreated(row) => Kind::VolumeCreated(volume(row)),
        EventKind::VolumeDeleted(row) => Kind::VolumeDeleted(volume(row)),
        EventKind::HoldExpired(row) => Kind::VolumeHoldExpired(volume(row)),
        EventKind::Host { id, name, change } => {
            Kind::Host(v1::HostEvent { id: *id, name: name.to_string(), what: word(*change).to_owned() })
        }
        EventKind::ImageRecorded(reference) => Kind::ImageRecorded(reference.to_string()),
        EventKind::FeatureLevel(level) => Kind::FeatureLevel(*level),
    };
    v1::Event { rev: event.rev, stamp_ms: event.stamp, event: Some(kind) }
}

fn ended(reservation: v1::Reservation, reason: &EndReason) -> v1::Ended {
    let (reason, detail) = match reason {
        EndReason::Released => (v1::EndReason::Released, String::new()),
        EndReason::Expired => (v1::EndReason::Expired, String::new()),
        EndReason::Refused(why) => (v1::EndReason::Refused, why.clone()),
        EndReason::Ended => (v1::EndReason::Ended, String::new()),
    };
    v1::Ended { reservation: Some(reservation), reason: reason as i32, detail }
}

fn word(change: HostChange) -> &'static str {
    match change {
        HostChange::Registered => "registered",
        HostChange::Updated => "updated",
        HostChange::Opened => "opened",
        HostChange::Cordoned => "cordoned",
        HostChange::Draining => "draining",
        HostChange::Unreachable => "unreachable",
        HostChange::Reachable => "reachable",
        HostChange::Removed => "removed",
    }
}
