//! The agent as a whole: on containerds of Debian's package, which the tests start in directories of their own, and against a
//! cluster that remembers what it was told.

mod cluster;
mod containerd;
mod crooked;
mod docker;
mod dockerd;
mod engine;
mod faults;
mod fetch;
#[path = "../../../oci/tests/resolver/image.rs"]
mod image;
mod layers;
mod others;
#[path = "../../../oci/tests/resolver/registry.rs"]
mod registry;
mod session;
mod stage;
