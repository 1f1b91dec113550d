//! OCI images as registries and hosts know them.
//!
//! - [`Resolver`]: from a [`Reference`] to a [`Resolved`] image, asking registries; [`ResolveError`] where that fails
//! - [`Blob`]: a layer on its way from a registry, as much of it at a time as comes
//! - [`Config`]: which registries there are, and how far they are trusted
//! - [`document`]: indexes, manifests and configs, in the media types of OCI and of Docker; no I/O
//! - [`Flights`]: one piece of work for all who want the same
//! - [`Platform`]: what an image runs on
//! - `registry`: the distribution API with its challenges and tokens
//! - `exchange`: requests over HTTP, with every bound; `exchange/connect.rs` is the one way out
//!
//! Must not be in here: what a container runtime's store looks like, what was resolved before, and decisions about where
//! anything goes.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod addresses;
mod blob;
mod challenge;
mod config;
mod credentials;
pub mod document;
mod error;
mod exchange;
mod flights;
mod platform;
mod reference;
mod registry;
mod resolved;
mod resolver;

pub use blob::Blob;
pub use config::{Config, ConfigError, Host};
pub use credentials::Secret;
pub use error::ResolveError;
pub use flights::{Flights, NoFlight};
pub use platform::Platform;
pub use reference::Reference;
pub use resolved::{Layer, Resolved};
pub use resolver::Resolver;
