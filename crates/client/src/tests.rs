//! The client against scripted servers in this process.

mod fake;
mod place_many;
mod resilient;
mod unary;

use std::time::Duration;

use gantry_proto::v1;

use crate::{Client, Retry};

/// Short bounds, so that tests of them end soon.
fn quick(endpoints: &[&str]) -> Client {
    Client::new(endpoints.iter().copied()).unwrap().with_retry(Retry {
        attempts: 6,
        base: Duration::from_millis(1),
        cap: Duration::from_millis(4),
        attempt: Duration::from_millis(300),
        deadline: Duration::from_secs(5),
    })
}

fn place_request() -> v1::PlaceRequest {
    v1::PlaceRequest { app: "web".into(), ..v1::PlaceRequest::default() }
}
