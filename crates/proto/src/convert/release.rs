//! Calls on reservations that stand: release, renew, get, list.

use gantry_types::{
    Refused,
    error::{name, optional_name},
    limits,
};

use crate::{convert::page, v1};

/// Reservations in one release.
pub const RESERVATIONS_PER_RELEASE: usize = limits::MACHINES_PER_REQUEST as usize;

impl v1::ReleaseRequest {
    pub fn check(&self) -> Result<(), Refused> {
        name("request_id", &self.request_id)?;
        let have = self.reservation_ids.len();
        if have == 0 {
            return Err(Refused::invalid("reservation_ids", "is empty: name at least one reservation"));
        }
        if have > RESERVATIONS_PER_RELEASE {
            return Err(Refused::over("reservation_ids", have as u64, RESERVATIONS_PER_RELEASE as u64));
        }
        self.reservation_ids.iter().try_for_each(|id| present("reservation_ids", *id))
    }
}

impl v1::RenewRequest {
    pub fn check(&self) -> Result<(), Refused> {
        name("request_id", &self.request_id)?;
        present("reservation_id", self.reservation_id)?;
        if self.lease_ms > limits::LEASE_MS {
            return Err(Refused::over("lease_ms", self.lease_ms, limits::LEASE_MS));
        }
        Ok(())
    }
}

impl v1::GetRequest {
    /// What to look for.
    pub fn into_key(self) -> Result<v1::get_request::Key, Refused> {
        let key = self.key.ok_or_else(|| Refused::invalid("key", "is missing: give reservation_id or request_id"))?;
        match &key {
            v1::get_request::Key::ReservationId(id) => present("reservation_id", *id)?,
            v1::get_request::Key::RequestId(id) => name("request_id", id)?,
        }
        Ok(key)
    }
}

impl v1::ListRequest {
    /// The number of items on the page.
    pub fn check(&self) -> Result<usize, Refused> {
        optional_name("app", &self.app)?;
        optional_name("host", &self.host)?;
        page(self.page_size)
    }
}

/// Ids start at 1; a 0 is a field that was left out.
pub(crate) fn present(field: &'static str, id: u64) -> Result<(), Refused> {
    if id == 0 { Err(Refused::invalid(field, "is missing or 0")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(result: Result<(), Refused>) -> &'static str {
        match result {
            Err(Refused::Invalid { field, .. }) => field,
            other => panic!("{other:?} is no refusal of a field"),
        }
    }

    #[test]
    fn release_names_what_is_wrong() {
        let release = |request_id: &str, ids: &[u64]| {
            v1::ReleaseRequest { request_id: request_id.into(), reservation_ids: ids.to_vec() }.check()
        };
        assert_eq!(release("r", &[1, 2]), Ok(()));
        assert_eq!(field(release("", &[1])), "request_id");
        assert_eq!(field(release("r", &[])), "reservation_ids");
        assert_eq!(field(release("r", &[1, 0])), "reservation_ids");
        assert_eq!(field(release("r", &[1; RESERVATIONS_PER_RELEASE + 1])), "reservation_ids");
    }

    #[test]
    fn renew_names_what_is_wrong() {
        let renew = |request_id: &str, reservation_id, lease_ms| {
            v1::RenewRequest { request_id: request_id.into(), reservation_id, lease_ms }.check()
        };
        assert_eq!(renew("r", 1, 0), Ok(()));
        assert_eq!(field(renew("", 1, 0)), "request_id");
        assert_eq!(field(renew("r", 0, 0)), "reservation_id");
        assert_eq!(field(renew("r", 1, u64::MAX)), "lease_ms");
    }

    #[test]
    fn get_and_list_name_what_is_wrong() {
        use v1::get_request::Key;
        let get = |key| v1::GetRequest { key }.into_key().map(drop);
        assert_eq!(get(Some(Key::ReservationId(1))), Ok(()));
        assert_eq!(field(get(None)), "key");
        assert_eq!(field(get(Some(Key::ReservationId(0)))), "reservation_id");
        assert_eq!(field(get(Some(Key::RequestId(String::new())))), "request_id");
        let list = v1::ListRequest { page_size: u32::MAX, ..v1::ListRequest::default() };
        assert_eq!(field(list.check().map(drop)), "page_size");
    }
}
