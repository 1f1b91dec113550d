//! The store as consensus uses it, on a real RocksDB in a temporary directory.

#![allow(clippy::unwrap_used)]

mod corruption;
mod formats;
mod log;
mod offline;
mod state;
mod support;
mod verify;
