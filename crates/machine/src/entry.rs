//! A log entry: many commands that are committed together, with the time they were stamped with.

use std::fmt;

use gantry_fleet::FEATURE_LEVEL_MAX;
use gantry_types::Stamp;
use prost::Message;

use crate::{Command, Kind};

/// The newest layout of entries that this code writes and reads.
///
/// It grows with every field that a command gains: one that an old binary passed over would let replicas differ. An
/// entry has the version that its commands need, which is the highest feature level among them: members of an older kind
/// read on until the level is raised.
pub const ENTRY_VERSION: u32 = 2;

/// What one log index holds.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Wall clock of the leader that proposed it. The state's time never goes back, whatever this says.
    #[prost(uint64, tag = "2")]
    pub stamp: Stamp,
    /// Which run of which process proposed it, and its how manieth entry it is: lets the proposer see what is applied.
    #[prost(fixed64, tag = "3")]
    pub proposer: u64,
    #[prost(uint64, tag = "4")]
    pub proposal: u64,
    #[prost(message, repeated, tag = "5")]
    pub commands: Vec<Command>,
}

/// An entry that this code cannot apply. Skipping it would let replicas differ, so a node that meets one stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryError {
    Malformed(String),
    Version(u32),
    UnknownCommand {
        position: usize,
    },
    /// A command switches on behaviour that this code does not have.
    FeatureLevel {
        position: usize,
        level: u32,
    },
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "the log entry cannot be decoded: {why}"),
            Self::Version(version) => {
                write!(f, "the log entry has version {version}, this binary reads up to {ENTRY_VERSION}: upgrade it")
            }
            Self::UnknownCommand { position } => {
                write!(f, "command {position} of the log entry is not known to this binary: upgrade it")
            }
            Self::FeatureLevel { position, level } => {
                write!(
                    f,
                    "command {position} of the log entry sets feature level {level}, this binary knows up to \
                     {FEATURE_LEVEL_MAX}: upgrade it"
                )
            }
        }
    }
}

impl std::error::Error for EntryError {}

impl Entry {
    /// An entry of the oldest version that can say this.
    pub fn new(stamp: Stamp, proposer: u64, proposal: u64, commands: Vec<Command>) -> Self {
        let levels = commands.iter().filter_map(|command| command.kind.as_ref()).map(Kind::feature_level);
        Self { version: levels.max().unwrap_or(1), stamp, proposer, proposal, commands }
    }

    /// Reads an entry, and refuses one that holds anything this code does not know.
    pub fn read(bytes: &[u8]) -> Result<Self, EntryError> {
        let entry = Self::decode(bytes).map_err(|e| EntryError::Malformed(e.to_string()))?;
        entry.check()?;
        Ok(entry)
    }

    /// Whether this code can apply the entry. Asked of every entry before it is applied, also of one that was never
    /// encoded.
    pub fn check(&self) -> Result<(), EntryError> {
        if self.version == 0 || self.version > ENTRY_VERSION {
            return Err(EntryError::Version(self.version));
        }
        self.commands.iter().enumerate().try_for_each(|(position, command)| match &command.kind {
            None => Err(EntryError::UnknownCommand { position }),
            Some(Kind::SetFeatureLevel(set)) if set.level > FEATURE_LEVEL_MAX => {
                Err(EntryError::FeatureLevel { position, level: set.level })
            }
            Some(_) => Ok(()),
        })
    }
}

/// A request that a client names with an id. Each kind is carried by one command.
pub trait Request: Message {
    /// The tag of that command.
    const KIND: u32;
}

/// Tells requests with different content or of different kinds apart. Sixty-four bits of FNV-1a over the kind and the
/// encoded request: a caller who finds a collision with a request of its own gains the answer to that request.
pub fn fingerprint<R: Request>(request: &R) -> u64 {
    let bytes = R::KIND.to_be_bytes().into_iter().chain(request.encode_to_vec());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
