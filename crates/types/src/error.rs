//! Why a call was refused, and whether it may have had an effect.

use std::fmt;

use crate::{HostId, RejectionGroup, RequestChange, ReservationId, Rev, VolumeId, limits};

/// Whether an error says that nothing happened, or only that the caller does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing happened and nothing will.
    Definite,
    /// It may have happened, or may still: send it again with the same request id.
    Indefinite,
}

/// A refusal that is a value of the domain. Every variant is definite: the state is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A field of the request is malformed or out of range.
    Invalid {
        field: &'static str,
        why: String,
    },
    /// This request id was used before with other content.
    RequestReused {
        request_id: String,
    },
    /// As many answers are remembered as may be.
    RequestMemoryFull {
        limit: usize,
    },
    /// No host fits; the groups say which constraint refused how many hosts, with want and have.
    NoCapacity {
        rev: Rev,
        hosts: usize,
        groups: Vec<RejectionGroup>,
        /// What would make it fit, each by itself, as far as that was looked for.
        changes: Vec<RequestChange>,
    },
    /// The chosen host no longer fits: another plan was committed first.
    Lost {
        host: HostId,
        rejection: crate::Rejection,
    },
    UnknownHost {
        host: String,
    },
    /// No answer is remembered under this request id.
    UnknownRequest {
        request_id: String,
    },
    UnknownReservation {
        reservation: ReservationId,
    },
    UnknownVolume {
        volume: VolumeId,
    },
    UnknownImage {
        image: String,
    },
    /// A host may not shrink below what was promised on it.
    LessThanPromised {
        host: String,
        resource: &'static str,
        want: u64,
        have: u64,
    },
    /// A host that still holds reservations or volumes cannot be removed.
    HostInUse {
        host: String,
        reservations: usize,
        volumes: usize,
    },
    /// A volume that a machine uses cannot be deleted, nor used by a second machine.
    VolumeInUse {
        volume: VolumeId,
        reservation: ReservationId,
    },
    /// A machine may use any volume of a name, and each of these is used already, or there are none.
    AllAttached {
        app: String,
        name: String,
        volumes: usize,
    },
    /// The fence is older than the one the reservation was granted under (S10).
    Fenced {
        reservation: ReservationId,
        want: u64,
        have: u64,
    },
    /// The reservation belongs to another host than the one that speaks.
    WrongHost {
        reservation: ReservationId,
        host: HostId,
    },
    /// A bound of `limits` was reached.
    Full {
        what: &'static str,
        limit: usize,
    },
    /// The feature level only grows; and what is asked for may need a higher one than the cluster has.
    FeatureLevel {
        want: u32,
        have: u32,
    },
}

impl Refused {
    pub fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }

    pub fn over(field: &'static str, have: u64, limit: u64) -> Self {
        Self::Invalid { field, why: format!("is {have}: at most {limit}") }
    }

    /// A stable upper-case word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INVALID_ARGUMENT",
            Self::RequestReused { .. } => "REQUEST_ID_REUSED",
            Self::RequestMemoryFull { .. } => "REQUEST_MEMORY_FULL",
            Self::NoCapacity { .. } => "NO_CAPACITY",
            Self::Lost { .. } => "CONTENDED",
            Self::UnknownHost { .. } => "UNKNOWN_HOST",
            Self::UnknownRequest { .. } => "UNKNOWN_REQUEST",
            Self::UnknownReservation { .. } => "UNKNOWN_RESERVATION",
            Self::UnknownVolume { .. } => "UNKNOWN_VOLUME",
            Self::UnknownImage { .. } => "UNKNOWN_IMAGE",
            Self::LessThanPromised { .. } => "LESS_THAN_PROMISED",
            Self::HostInUse { .. } => "HOST_IN_USE",
            Self::VolumeInUse { .. } => "VOLUME_IN_USE",
            Self::AllAttached { .. } => "VOLUMES_ATTACHED",
            Self::Fenced { .. } => "FENCED",
            Self::WrongHost { .. } => "WRONG_HOST",
            Self::Full { .. } => "LIMIT_REACHED",
            Self::FeatureLevel { .. } => "FEATURE_LEVEL",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { field, why } => write!(f, "{field} {why}"),
            Self::RequestReused { request_id } => {
                write!(
                    f,
                    "request id {request_id:?} was used before with other content: use a new id for a new request"
                )
            }
            Self::RequestMemoryFull { limit } => {
                write!(f, "{limit} request answers are being remembered, which is the limit: try again in a minute")
            }
            Self::NoCapacity { hosts, groups, changes, .. } => no_capacity(f, *hosts, groups, changes),
            Self::Lost { host, rejection } => write!(f, "host {host} no longer fits: {rejection}: try again"),
            Self::UnknownHost { host } => {
                write!(f, "host {host:?} is not registered: its agent must register it first (see `gantry host ls`)")
            }
            Self::UnknownRequest { request_id } => {
                write!(
                    f,
                    "no placement is remembered under request id {request_id:?}: answers are kept for two minutes"
                )
            }
            Self::UnknownReservation { reservation } => {
                write!(f, "reservation {reservation} does not exist: it was released, expired, or never was")
            }
            Self::UnknownVolume { volume } => write!(f, "volume {volume} does not exist (see `gantry volume ls`)"),
            Self::UnknownImage { image } => write!(f, "image {image:?} is not recorded (see `gantry image ls`)"),
            Self::LessThanPromised { host, resource, want, have } => write!(
                f,
                "host {host:?} registers {have} of {resource} but has promised {want}: release or drain first"
            ),
            Self::HostInUse { host, reservations, volumes } => {
                write!(f, "host {host:?} still holds {reservations} reservations and {volumes} volumes: drain it first")
            }
            Self::VolumeInUse { volume, reservation } => {
                write!(f, "volume {volume} is used by reservation {reservation}: release that first")
            }
            Self::AllAttached { app, name, volumes: 0 } => {
                write!(f, "constraints.volume_name: app {app:?} has no volume named {name:?}: create one first")
            }
            Self::AllAttached { app, name, volumes } => write!(
                f,
                "constraints.volume_name: app {app:?} has {volumes} named {name:?}, and all are attached to machines: \
                 create another or release one"
            ),
            Self::Fenced { reservation, want, have } => {
                write!(
                    f,
                    "fence {have} of reservation {reservation} is not the current one, {want}: it was granted again"
                )
            }
            Self::WrongHost { reservation, host } => {
                write!(f, "reservation {reservation} is on host {host}, not on the host that speaks")
            }
            Self::Full { what, limit } => write!(f, "there are {limit} {what}, which is the limit"),
            Self::FeatureLevel { want, have } if want > have => {
                write!(
                    f,
                    "this needs feature level {want}, the cluster is at {have}: once every member is upgraded, \
                     `gantry cluster feature-level {want}`"
                )
            }
            Self::FeatureLevel { want, have } => {
                write!(f, "feature level {want} is below the current {have}: it only grows")
            }
        }
    }
}

/// Changes told in the sentence; all are beside it.
const CHANGES_TOLD: usize = 3;

fn no_capacity(
    f: &mut fmt::Formatter<'_>,
    hosts: usize,
    groups: &[RejectionGroup],
    changes: &[RequestChange],
) -> fmt::Result {
    if hosts == 0 {
        return f.write_str("no host is registered: start an agent, or `gantry dev` for a simulated fleet");
    }
    write!(f, "none of {hosts} hosts fits")?;
    for (i, group) in groups.iter().enumerate() {
        write!(f, "{} {group}", if i == 0 { ":" } else { ";" })?;
    }
    for (i, change) in changes.iter().take(CHANGES_TOLD).enumerate() {
        write!(f, "; {} {change}", if i == 0 { "but" } else { "or" })?;
    }
    Ok(())
}

impl std::error::Error for Refused {}

/// Checks a name that must be there.
pub fn name(field: &'static str, value: &str) -> Result<(), Refused> {
    if value.is_empty() {
        return Err(Refused::invalid(field, "is empty"));
    }
    optional_name(field, value)
}

/// Checks a name that may be absent.
pub fn optional_name(field: &'static str, value: &str) -> Result<(), Refused> {
    if value.len() > limits::NAME_BYTES {
        return Err(Refused::over(field, value.len() as u64, limits::NAME_BYTES as u64));
    }
    if value.chars().any(char::is_control) {
        return Err(Refused::invalid(field, "contains a control character"));
    }
    Ok(())
}

/// Checks a size in bytes against the limit that keeps sums from overflowing.
pub fn size(field: &'static str, bytes: u64) -> Result<(), Refused> {
    if bytes > limits::SIZE_BYTES {
        return Err(Refused::over(field, bytes, limits::SIZE_BYTES));
    }
    Ok(())
}

/// Checks a layer's size against the limit that keeps the sum over a full host from overflowing.
pub fn layer_size(field: &'static str, bytes: u64) -> Result<(), Refused> {
    if bytes > limits::LAYER_BYTES {
        return Err(Refused::over(field, bytes, limits::LAYER_BYTES));
    }
    Ok(())
}
