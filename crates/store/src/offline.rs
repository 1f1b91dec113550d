//! What is done with a data directory while no server runs on it: look, restore, recover.
//!
//! All of it reads with the code that a server reads with, and none of it changes what it reads from: what is made is made
//! in a directory that was empty.

pub mod backup;
pub mod inspect;
pub mod recover;
pub mod restore;
