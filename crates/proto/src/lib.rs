//! The gRPC API: messages, clients and servers generated from `proto/gantry/v1/`, and how they map to the domain.
//!
//! - [`v1`]: the generated types
//! - [`convert`]: generated messages to and from `gantry_types`, one file a noun
//! - [`codec`]: refuses requests with fields that are not known
//! - [`status`]: errors to and from gRPC statuses and in-band failures
//! - [`header`]: metadata keys
//! - [`reason`]: the words that programs branch on
//! - [`Token`]: what a new machine needs to join
//!
//! Must not be in here: decisions, I/O. What a valid request is, `gantry_types` says; here is only what a message
//! can get wrong that a domain type cannot (an unknown enum value, a digest that is not one, a field left out).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod codec;
pub mod convert;
pub mod header;
pub mod reason;
pub mod status;
pub mod token;

/// The package `gantry.v1`, as generated.
#[allow(clippy::all, clippy::pedantic, missing_debug_implementations)]
pub mod v1 {
    tonic::include_proto!("gantry.v1");
}

pub use gantry_types::Certainty;
pub use status::WireError;
pub use token::Token;

/// The compiled protos with their imports, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gantry_descriptor.bin"));
