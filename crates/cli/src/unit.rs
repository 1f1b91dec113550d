//! Amounts as people write and read them, one file a unit.

pub mod bytes;
pub mod cpu;
mod decimal;
pub mod duration;
pub mod gpu;
pub mod label;
pub mod party;
pub mod time;
