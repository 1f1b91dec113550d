//! What would let a request fit that does not.

use std::fmt;

/// One field of a request, and a value with which hosts would take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestChange {
    pub field: &'static str,
    /// As it was asked for; `none` for an empty list.
    pub from: String,
    pub to: String,
    /// Hosts that would take a machine then.
    pub hosts: usize,
}

impl fmt::Display for RequestChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, from, to, hosts } = self;
        let (noun, verb) = if *hosts == 1 { ("host", "takes") } else { ("hosts", "take") };
        write!(f, "{hosts} {noun} {verb} it with {field} {to} instead of {from}")
    }
}
