//! Values of enums as words, the same in tables and in JSON.

use gantry_proto::v1;

pub fn phase(reservation: &v1::Reservation) -> &'static str {
    match reservation.phase() {
        v1::Phase::Reserved => "reserved",
        v1::Phase::Allocated => "allocated",
        v1::Phase::Unspecified => "unknown",
    }
}

pub fn scheduling(host: &v1::Host) -> &'static str {
    match host.scheduling() {
        v1::Scheduling::Open => "open",
        v1::Scheduling::Cordoned => "cordoned",
        v1::Scheduling::Draining => "draining",
        v1::Scheduling::Unspecified => "unknown",
    }
}

/// Whether new machines go to a host, as people read it: `cordoned`, `unreachable`, `draining, unreachable`.
pub fn host_state(host: &v1::Host) -> String {
    match (host.scheduling(), host.unreachable) {
        (_, false) => scheduling(host).to_owned(),
        (v1::Scheduling::Open, true) => "unreachable".to_owned(),
        (_, true) => format!("{}, unreachable", scheduling(host)),
    }
}

pub fn end_reason(ended: &v1::Ended) -> &'static str {
    match ended.reason() {
        v1::EndReason::Released => "released",
        v1::EndReason::Expired => "expired",
        v1::EndReason::Refused => "refused",
        v1::EndReason::Ended => "ended",
        v1::EndReason::Unspecified => "unknown",
    }
}
