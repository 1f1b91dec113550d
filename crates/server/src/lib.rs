//! The service: gRPC in front, the leader's decider in the middle, consensus below.
//!
//! - [`Config`]: the config file
//! - [`run`]: one member of a cluster
//! - [`dev`]: one node with a simulated fleet, for trying the API
//! - `decider`: the leader's one task that plans, proposes and answers
//! - `forward`: passes calls on to the leader
//! - `service`: one gRPC service a file
//!
//! Must not be in here: RocksDB, openraft, placement rules.

mod agents;
mod answer;
mod call;
mod config;
mod decider;
pub mod dev;
mod feature_level;
mod forward;
mod healing;
mod joining;
mod node;
mod refusal;
mod run;
mod service;
#[cfg(test)]
mod tests;
mod unreadable;

pub use config::{Config, ConfigError};
pub use run::{Joining, run};
