//! Reservations. Key: number, 8 bytes big-endian. Value: `Reservation`.

use std::sync::Arc;

use gantry_fleet::Row;
use gantry_types::{Reservation, ReservationId};
use prost::Message;

use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "reservation",
    tag: 7,
    decode: |bytes| Reservation::decode(bytes).map(|reservation| Row::Reservation(Arc::new(reservation))),
};

pub(super) fn key(reservation: ReservationId) -> [u8; 8] {
    reservation.to_be_bytes()
}
