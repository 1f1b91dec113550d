//! Commands and what they do: the state machine that every replica runs over the same log.
//!
//! [`apply`] is a pure function of the fleet and the entry: time comes with the entry, choices were made by whoever
//! proposed it, and constraints are checked again for the chosen host only. To add a command, write its file under
//! `command/` and add its line to the list in `command.rs`.
//!
//! Must not be in here: I/O, clocks, randomness, floats, scores, anything whose order depends on a hash.

mod apply;
mod command;
mod entry;
mod outcome;

pub use apply::{ADMIT, Admit, apply, apply_with};
// The commands: their list is in `command.rs`, and nowhere else.
pub use command::*;
pub use entry::{ENTRY_VERSION, Entry, EntryError, Request, fingerprint};
pub use outcome::{Effect, Outcome};
