//! Black-box tests: real server processes, driven over the API and the command line alone.

mod agents;
mod bad_input;
#[path = "../crates/agent/tests/agent/containerd.rs"]
mod containerd;
mod damage;
mod deploy;
mod disaster;
mod disks;
mod failover;
mod full_disk;
#[path = "../crates/oci/tests/resolver/image.rs"]
mod image;
mod joining;
mod members;
mod power;
mod pretender;
mod registries;
#[path = "../crates/oci/tests/resolver/registry.rs"]
mod registry;
mod runbook;
mod shimmed;
mod slow_disk;
mod support;
mod sync_errors;
mod tour;
