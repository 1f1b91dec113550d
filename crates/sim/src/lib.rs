//! A whole cluster in one process, on simulated time: the production log, state, planner, decider and consensus, over a disk,
//! a network and clocks that a seed controls.
//!
//! - [`run()`]: one seed, from the first election to the proof that the cluster is well again
//! - [`scenario`], [`fault`], [`invariant`]: what happens, what goes wrong, what must hold; each a static list
//! - `disk`, `net`: what the nodes stand on
//! - [`Bug`]: bugs put in on purpose, to see them found
//!
//! One seed gives one course of events, to the byte of its trace. So nothing in here may depend on real time, on threads or
//! on the order of a hash. Must not be in here: rules of the cluster itself; what is judged is what production runs.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bug;
mod chance;
mod disk;
pub mod fault;
mod history;
pub mod invariant;
mod net;
mod panics;
mod run;
pub mod scenario;
mod trace;
mod violation;
mod workload;
mod world;

pub use bug::{BUGS, Bug};
pub use run::{Outcome, run};
pub use violation::Violation;
