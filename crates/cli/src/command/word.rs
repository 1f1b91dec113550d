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

pub fn end_reason(ended: &v1::Ended) -> &'static str {
    match ended.reason() {
        v1::EndReason::Released => "released",
        v1::EndReason::Expired => "expired",
        v1::EndReason::Refused => "refused",
        v1::EndReason::Ended => "ended",
        v1::EndReason::Unspecified => "unknown",
    }
}
