//! The process on a host: what the host has, which image layers lie there, and what the cluster reserved on it.
//!
//! - [`run`]: the agent, connected to a cluster
//! - [`Config`]: what `gantry agent --config FILE` reads
//! - [`capacity`]: what the host has to give, found by looking
//! - [`gpu`]: its GPUs, from what NVML says of them
//! - `store`, `layers`, `view`, `prepare`: a runtime's store as a value, and what follows from it; no I/O
//! - `containerd`: reads such a store, and knows when to read it again
//! - `docker`, `sources`: a Docker Engine as another one, and one view of both
//! - `fetch`: brings layers into such a store before a machine needs them
//! - `holds`: what is reserved here, and whether the host has it; no I/O
//! - `session`: the connection to the cluster
//! - `truth`, `metrics`: how long images took, for people and for the cluster
//!
//! Must not be in here: decisions about where anything goes, and state that cannot be rebuilt from the host and the cluster.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod capacity;
mod config;
mod containerd;
mod docker;
mod fetch;
pub mod gpu;
mod holds;
mod layers;
mod metrics;
mod prepare;
mod run;
mod session;
mod sources;
mod store;
mod truth;
mod view;

pub use config::{Config, ConfigError};
pub use run::run;
