//! A client of the placement service that follows the leader and repeats what is safe to repeat.
//!
//! - [`Client`]: every call; the retry rules are in its `call` module
//! - [`Retry`]: the bounds of repeating
//! - [`PlaceStream`]: one stream to the leader, at full rate
//! - [`ResilientStream`]: the same, which survives the loss of the leader
//! - [`Error`]: what went wrong, and whether it may have happened
//! - [`new_request_id`]
//!
//! Must not be in here: anything about how the server decides.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod call;
mod client;
mod error;
mod node;
mod nodes;
mod request_id;
mod resilient;
mod retry;
mod rpc;
mod stream;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use error::Error;
pub use gantry_proto::v1;
pub use request_id::new_request_id;
pub use resilient::{ResilientReceiver, ResilientSender, ResilientStream};
pub use retry::Retry;
pub use stream::{PlaceReceiver, PlaceSender, PlaceStream};
pub use tonic::Code;
