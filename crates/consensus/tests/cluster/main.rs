//! Three nodes in one process, with real directories and real connections over loopback.

#![allow(clippy::unwrap_used)]

mod busy;
mod failover;
mod members;
mod node;
mod recovery;
mod stuck;
mod verify;
