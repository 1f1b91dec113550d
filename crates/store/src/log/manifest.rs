//! How long RocksDB's list of its files must be.
//!
//! The list (`db/MANIFEST-..`) only grows while it is in use, and RocksDB takes one that was cut between two records for whole:
//! what the lost records had moved from the write-ahead log into table files would be gone, and nobody told. So its length is
//! noted in the mark, as a lower bound.

use std::{fs, path::Path};

use prost::Message;

use crate::{engine, error::StoreError};

/// One list, and its length.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Manifest {
    /// In its file's name. A larger one is a newer list.
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    bytes: u64,
}

/// The list in use; nothing where there is none, which RocksDB then says better.
pub(crate) fn current(data_dir: &Path) -> Option<Manifest> {
    let database = data_dir.join(engine::DIR);
    let name = fs::read_to_string(database.join("CURRENT")).ok()?;
    let name = name.trim_end();
    let number = name.strip_prefix("MANIFEST-")?.parse().ok()?;
    let bytes = fs::metadata(database.join(name)).ok()?.len();
    Some(Manifest { number, bytes })
}

/// Holds the list against what was noted. To be called before RocksDB opens it and begins a new one.
pub(crate) fn check(found: Option<Manifest>, noted: Option<Manifest>) -> Result<(), StoreError> {
    let (Some(noted), Some(found)) = (noted, found) else { return Ok(()) };
    let short = found.number < noted.number || (found.number == noted.number && found.bytes < noted.bytes);
    if !short {
        return Ok(());
    }
    let why = format!(
        "list {} has {} bytes, but list {} had reached {}",
        found.number, found.bytes, noted.number, noted.bytes
    );
    Err(StoreError::damaged("the database's list of files", why))
}
