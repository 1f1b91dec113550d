//! The backup file: a prelude that says what it is of, then a snapshot file as a node keeps it.
//!
//! The prelude is `MAGIC`, the length of a `Header` (4 bytes little-endian), its CRC-32 (4 bytes little-endian), and the
//! header. The header says how long the snapshot is; the snapshot has its own checksums and the hash of its state. So a file
//! that was cut, changed or put together from two is noticed before anything is made of it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use gantry_fleet::Fleet;
use prost::Message;

use crate::{
    Identity, LogPos, Membership, SnapshotFile,
    disk::RealDisk,
    error::StoreError,
    snapshot::{Content, read_at},
};

const MAGIC: &[u8; 8] = b"GANTRYBK";
const FORMAT: u32 = 1;
/// Checked before memory is taken for a header.
const HEADER_LIMIT_BYTES: usize = 1 << 20;

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint32, tag = "1")]
    format: u32,
    /// The operator's name for the cluster.
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(fixed64, tag = "3")]
    cluster_id: u64,
    /// The member it was taken from.
    #[prost(uint64, tag = "4")]
    node: u64,
    #[prost(message, optional, tag = "5")]
    position: Option<LogPos>,
    #[prost(uint64, tag = "6")]
    snapshot_bytes: u64,
}

/// What comes before the bytes of `snapshot` in a backup file.
pub fn prelude(owner: &Identity, snapshot: &SnapshotFile) -> Vec<u8> {
    let header = Header {
        format: FORMAT,
        cluster: owner.cluster.clone(),
        cluster_id: owner.cluster_id,
        node: owner.node,
        position: snapshot.position(),
        snapshot_bytes: snapshot.size_bytes(),
    };
    let header = header.encode_to_vec();
    let length = u32::try_from(header.len()).expect("a header is a name and a few numbers");
    [&MAGIC[..], &length.to_le_bytes(), &crc32fast::hash(&header).to_le_bytes(), &header].concat()
}

/// Why a file cannot be used as a backup. Nothing was made of it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} is no backup of gantry: choose a file that `gantry backup` made", path.display())]
    Foreign { path: PathBuf },
    #[error("{} is damaged: {why}: use another backup", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} has format version {found}, this program knows {known}: use the newer version of gantry", path.display())]
    Version { path: PathBuf, found: u32, known: u32 },
    #[error("{} is a backup of cluster {found:?}, not of {want:?}", path.display())]
    OtherCluster { path: PathBuf, found: String, want: String },
}

/// A backup, read to its end and found whole.
#[derive(Debug)]
pub struct Backup {
    pub cluster: String,
    pub cluster_id: u64,
    /// The member it was taken from.
    pub node: u64,
    pub position: LogPos,
    pub membership: Membership,
    pub bytes: u64,
    pub state_hash: u128,
    pub(crate) fleet: Fleet,
}

impl Backup {
    /// Reads and checks all of the file.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let io = |source| BackupError::Io { path: path.to_owned(), source };
        let damaged = |why: String| BackupError::Damaged { path: path.to_owned(), why };
        let mut file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let (header, prelude_bytes) = read_header(&mut file, path)?;
        let whole = prelude_bytes + header.snapshot_bytes;
        if bytes != whole {
            return Err(damaged(format!("it has {bytes} bytes, not {whole}")));
        }
        let read = read_at(&RealDisk, path, prelude_bytes).map_err(|error| match error {
            StoreError::Version { found, known, .. } => BackupError::Version { path: path.to_owned(), found, known },
            error => damaged(error.to_string()),
        })?;
        let Content { fleet, position, membership } = read.0;
        if position != header.position {
            return Err(damaged("its two halves are of different positions".to_owned()));
        }
        fleet.check().map_err(damaged)?;
        let position = position.ok_or_else(|| damaged("it is of a cluster that was never formed".to_owned()))?;
        let Header { cluster, cluster_id, node, .. } = header;
        Ok(Self { cluster, cluster_id, node, position, membership, bytes, state_hash: read.1, fleet })
    }

    /// Hosts, reservations and volumes.
    pub fn counts(&self) -> [u64; 3] {
        [self.fleet.host_count(), self.fleet.reservation_count(), self.fleet.volume_count()].map(|count| count as u64)
    }
}

/// The header, and the length of all that comes before the snapshot.
fn read_header(file: &mut File, path: &Path) -> Result<(Header, u64), BackupError> {
    let foreign = || BackupError::Foreign { path: path.to_owned() };
    let damaged = |why: &str| BackupError::Damaged { path: path.to_owned(), why: why.to_owned() };
    let mut head = [0_u8; 16];
    file.read_exact(&mut head).map_err(|_| foreign())?;
    let [magic @ .., a, b, c, d, e, f, g, h] = head;
    if magic != *MAGIC {
        return Err(foreign());
    }
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > HEADER_LIMIT_BYTES {
        return Err(damaged("the length of its header is wrong"));
    }
    let mut header = vec![0; length];
    file.read_exact(&mut header).map_err(|_| damaged("it ends in its header"))?;
    if crc32fast::hash(&header) != u32::from_le_bytes([e, f, g, h]) {
        return Err(damaged("the checksum of its header is wrong"));
    }
    let header = Header::decode(&*header).map_err(|error| damaged(&error.to_string()))?;
    if header.format != FORMAT {
        return Err(BackupError::Version { path: path.to_owned(), found: header.format, known: FORMAT });
    }
    Ok((header, (head.len() + length) as u64))
}
