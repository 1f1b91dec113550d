//! Remembered requests: the same id gets the same answer, and the same id with other content is refused (S3).
//!
//! Rows are kept in the order they were answered in, which is the order of their stamps, so expiry takes from the front.

use gantry_types::{DeviceShare, Fence, HostId, ReservationId, Rev, Stamp, Volume, VolumeId, limits};
use prost::{Message, Oneof};

use crate::{Change, Fleet, RequestRow};

/// What a request was answered with.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Answer {
    #[prost(message, tag = "10")]
    Placed(Placed),
    /// Boxed, because rows of the other kinds are many and small.
    #[prost(message, tag = "11")]
    VolumeCreated(Box<Volume>),
    #[prost(uint64, tag = "12")]
    RenewedUntil(Stamp),
    /// It was done, and there is nothing more to say.
    #[prost(bool, tag = "13")]
    Done(bool),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Placed {
    #[prost(message, repeated, tag = "1")]
    pub granted: Vec<Granted>,
    /// Machines of the request that did not fit.
    #[prost(uint32, tag = "2")]
    pub missing: u32,
}

/// The part of a reservation that the request does not already say.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Granted {
    #[prost(uint64, tag = "1")]
    pub id: ReservationId,
    #[prost(uint64, tag = "2")]
    pub fence: Fence,
    #[prost(uint32, tag = "3")]
    pub host: HostId,
    #[prost(message, repeated, tag = "4")]
    pub devices: Vec<DeviceShare>,
    /// Where it was chosen among those that the request names; 0 otherwise.
    #[prost(uint64, tag = "5")]
    pub volume: VolumeId,
}

/// What is remembered of a request id.
#[derive(Debug)]
pub enum Recalled<'a> {
    /// Nothing.
    New,
    /// This answer, to the same content.
    Answered(&'a RequestRow),
    /// Another request had this id.
    Reused,
}

impl Fleet {
    /// What is remembered of `request_id`, given the fingerprint of the request that carries it now.
    pub fn recall(&self, request_id: &str, fingerprint: u64) -> Recalled<'_> {
        match self.requests.find(request_id) {
            None => Recalled::New,
            Some(row) if row.fingerprint == fingerprint => Recalled::Answered(row),
            Some(_) => Recalled::Reused,
        }
    }

    /// What is remembered of `request_id`, whatever its content was.
    pub fn remembered(&self, request_id: &str) -> Option<&RequestRow> {
        self.requests.find(request_id)
    }

    /// Remembers the answer to a request that [`Fleet::recall`] called new.
    pub fn remember(&mut self, request_id: &str, fingerprint: u64, answer: Answer) -> Rev {
        let seq = self.requests.next();
        let rev = self.meta.rev;
        self.requests.push(RequestRow {
            seq,
            request_id: request_id.to_owned(),
            fingerprint,
            stamp: self.meta.now,
            rev,
            answer: Some(answer),
        });
        self.changes.push(Change::Request(seq));
        rev
    }

    /// Forgets answers older than the memory's horizon, at most so many.
    pub fn forget_requests(&mut self, at_most: usize) {
        let horizon = self.meta.now.saturating_sub(limits::REQUEST_MEMORY_MS);
        for _ in 0..at_most {
            if self.requests.oldest().is_none_or(|row| row.stamp >= horizon) {
                break;
            }
            if let Some(row) = self.requests.pop() {
                self.changes.push(Change::Request(row.seq));
            }
        }
    }

    /// Whether a lease, a remembered answer or a removed host has run out by `now`.
    pub fn expiry_due(&self, now: Stamp) -> bool {
        let horizon = now.saturating_sub(limits::REQUEST_MEMORY_MS);
        self.next_lease_end().is_some_and(|at| at <= now)
            || self.requests.oldest().is_some_and(|row| row.stamp < horizon)
            || self.removed_hosts.values().any(|row| row.removed_at.is_some_and(|at| at < horizon))
    }

    pub(crate) fn load_request(&mut self, row: RequestRow) -> Result<(), String> {
        if self.requests.len() > 0 && row.seq != self.requests.next() {
            return Err(format!("request row {} follows row {}", row.seq, self.requests.next() - 1));
        }
        self.requests.push(row);
        Ok(())
    }
}
