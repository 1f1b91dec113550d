//! The service: gRPC in front, the leader's decider in the middle, consensus below.
//!
//! - [`Config`]: the config file
//! - [`run`]: one member of a cluster
//! - [`Serving`]: what serves the calls of one member, without listeners in front of it
//! - [`dev`]: one node with a simulated fleet, for trying the API
//! - `decider`: the leader's one task that plans, proposes and answers
//! - `images`: asks registries what images are that nobody has recorded
//! - `metrics`: what is counted and measured, for Prometheus
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
mod images;
mod joining;
mod metrics;
mod node;
mod refusal;
mod run;
mod service;
mod serving;
mod shortage;
mod silence;
#[cfg(test)]
mod tests;
mod unreadable;
mod warming;

pub use config::{Config, ConfigError};
pub use decider::WallClock;
pub use run::{Joining, run};
pub use serving::Serving;
