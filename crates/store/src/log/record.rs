//! One log entry, in memory and on disk.
//!
//! On disk: the protobuf of [`Record`], then the CRC-32 of it, 4 bytes little-endian. A record holds the CRC of the record
//! before it, so the CRCs are a chain: a record that is old, misplaced or changed does not fit between its neighbours.

use std::sync::Arc;

use bytes::Bytes;
use gantry_machine::Entry;
use prost::Message;

use crate::{LogPos, Membership, error::StoreError};

const FORMAT: u32 = 1;
const CRC_BYTES: usize = 4;

/// A log entry. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    pub pos: LogPos,
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Blank,
    Commands(Commands),
    Membership(Arc<Membership>),
}

/// The commands of an entry: as bytes, and decoded where somebody on this node has them already.
#[derive(Clone, Debug)]
pub struct Commands {
    pub bytes: Bytes,
    pub decoded: Option<Arc<Entry>>,
}

impl PartialEq for Commands {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl std::fmt::Display for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of commands", self.bytes.len())
    }
}

impl Commands {
    /// Commands as they came from a disk or a peer. They are decoded when they are applied, and by then they are committed:
    /// what a node proposes itself comes from an [`Entry`].
    pub fn undecoded(bytes: Bytes) -> Self {
        Self { bytes, decoded: None }
    }
}

impl From<Entry> for Commands {
    fn from(entry: Entry) -> Self {
        Self { bytes: entry.encode_to_vec().into(), decoded: Some(Arc::new(entry)) }
    }
}

impl LogEntry {
    /// What the entry costs in memory and on disk, near enough to bound both.
    pub fn size_bytes(&self) -> usize {
        const OVERHEAD_BYTES: usize = 64;
        let payload = match &self.payload {
            Payload::Blank => 0,
            Payload::Commands(commands) => commands.bytes.len(),
            Payload::Membership(membership) => membership.encoded_len(),
        };
        payload + OVERHEAD_BYTES
    }
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(uint64, tag = "3")]
    term: u64,
    #[prost(uint64, tag = "4")]
    node: u64,
    /// CRC of the record at the index before.
    #[prost(fixed32, tag = "5")]
    previous: u32,
    #[prost(oneof = "Body", tags = "6, 7")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(bytes = "bytes", tag = "6")]
    Commands(Bytes),
    #[prost(message, tag = "7")]
    Membership(Membership),
}

/// The key of a log entry: order of keys is order of entries.
pub(crate) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// Encodes `entry` into `out`, in place of what was there, and returns its CRC.
pub(crate) fn encode(entry: &LogEntry, previous: u32, out: &mut Vec<u8>) -> u32 {
    let body = match &entry.payload {
        Payload::Blank => None,
        Payload::Commands(commands) => Some(Body::Commands(commands.bytes.clone())),
        Payload::Membership(membership) => Some(Body::Membership(Membership::clone(membership))),
    };
    let LogPos { term, node, index } = entry.pos;
    let record = Record { format: FORMAT, index, term, node, previous, body };
    out.clear();
    record.encode(out).expect("a vector grows as needed");
    let crc = crc32fast::hash(out);
    out.extend_from_slice(&crc.to_le_bytes());
    crc
}

/// An entry as it was read, with the two ends of its chain.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) entry: LogEntry,
    pub(crate) previous: u32,
    pub(crate) crc: u32,
}

/// Reads the record at `index`, checking its CRC, its format and that it is the one asked for.
pub(crate) fn decode(index: u64, bytes: Bytes) -> Result<Read, StoreError> {
    let damaged = |why: String| StoreError::damaged(format!("log entry {index}"), why);
    let end = bytes.len().checked_sub(CRC_BYTES).ok_or_else(|| damaged("it is too short".to_owned()))?;
    let crc = stored_crc(&bytes).unwrap_or_default();
    let actual = crc32fast::hash(&bytes[..end]);
    if crc != actual {
        return Err(damaged(format!("its checksum is {actual:08x}, not {crc:08x}")));
    }
    let record = Record::decode(bytes.slice(..end)).map_err(|error| damaged(error.to_string()))?;
    if record.format != FORMAT {
        return Err(StoreError::Version { what: format!("log entry {index}"), found: record.format, known: FORMAT });
    }
    if record.index != index {
        return Err(damaged(format!("it says it is entry {}", record.index)));
    }
    let payload = match record.body {
        None => Payload::Blank,
        Some(Body::Commands(bytes)) => Payload::Commands(Commands::undecoded(bytes)),
        Some(Body::Membership(membership)) => Payload::Membership(Arc::new(membership)),
    };
    let pos = LogPos::new(record.term, record.node, record.index);
    Ok(Read { entry: LogEntry { pos, payload }, previous: record.previous, crc })
}

/// The entry in the record at `index`, for those who look at a database from outside.
pub fn entry_of_record(index: u64, record: Bytes) -> Result<LogEntry, StoreError> {
    decode(index, record).map(|read| read.entry)
}

/// The CRC at the end of a record.
pub(crate) fn stored_crc(record: &[u8]) -> Option<u32> {
    record.last_chunk::<CRC_BYTES>().map(|crc| u32::from_le_bytes(*crc))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn commands(term: u64, index: u64, bytes: &'static [u8]) -> LogEntry {
        LogEntry {
            pos: LogPos::new(term, 1, index),
            payload: Payload::Commands(Commands::undecoded(Bytes::from_static(bytes))),
        }
    }

    #[test]
    fn every_payload_makes_the_round_trip() {
        let membership = Membership { retired: vec![4], ..Membership::default() };
        let payloads = [
            Payload::Blank,
            Payload::Commands(Commands::undecoded(Bytes::new())),
            Payload::Membership(Arc::new(membership)),
        ];
        for payload in payloads {
            let entry = LogEntry { pos: LogPos::new(2, 3, 9), payload };
            let mut out = Vec::new();
            let crc = encode(&entry, 77, &mut out);
            let read = decode(9, out.into()).unwrap();
            assert_eq!((read.entry, read.previous, read.crc), (entry, 77, crc));
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut out = Vec::new();
        encode(&commands(1, 5, b"payload"), 7, &mut out);
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(5, flipped.into()), Err(StoreError::Damaged { .. })), "bit {bit}");
        }
        assert!(decode(6, out.into()).is_err(), "a record under another index is refused");
    }
}
