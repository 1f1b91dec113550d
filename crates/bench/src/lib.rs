//! Gantry measured: the demo, and how many placements a second three servers make.
//!
//! - `demo`: three server processes, a fleet in the shape of a public GPU cluster, a burst, a killed leader, an audit
//! - `packing`: GPUs given out when a fleet is full, by policy, on public traces
//! - `layers`: what layer knowledge is worth, against the policies everyone knows
//! - `decision`: how long the planner takes, in process
//! - `index`: what the layer index weighs and how fast it changes, in process
//! - `throughput`: the rate of acknowledged placements, over streams or one call each
//! - `failover`: how long nobody gets an answer when the leader is lost or hands over
//! - `recovery`: how long a large cluster needs to be whole again, and what snapshots cost meanwhile
//! - `slow_disk`: what a slow disk costs, a follower's or the leader's
//!
//! Shared:
//! - `catalogue`, `fleet`: images and hosts, built in or from files
//! - `cluster`, `connect`, `proc`: server processes and what Linux tells of them
//! - `audit`: the promises, checked from outside
//! - `cache`, `pull`: a host's image cache and the model of its pulls
//! - `report`: HTML and SVG
//!
//! Must not be in here: anything of the servers but their API. They are measured as processes; only the pure crates are
//! measured as code.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod cache;
pub mod catalogue;
pub mod cluster;
pub mod connect;
pub mod decision;
pub mod demo;
pub mod failover;
pub mod fleet;
pub mod index;
pub mod layers;
pub mod packing;
pub mod proc;
pub mod pull;
pub mod recovery;
pub mod report;
pub mod slow_disk;
pub mod throughput;
