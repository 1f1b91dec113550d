//! A constraint's "no", with its numbers.

use std::fmt;

/// One constraint refused one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rejection {
    /// The constraint's name, from its registry.
    pub constraint: &'static str,
    pub want: String,
    pub have: String,
}

impl Rejection {
    pub fn new(constraint: &'static str, want: impl fmt::Display, have: impl fmt::Display) -> Self {
        Self { constraint, want: want.to_string(), have: have.to_string() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wants {}, has {}", self.constraint, self.want, self.have)
    }
}

/// All hosts that one constraint refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionGroup {
    pub hosts: usize,
    /// The refusal of the host that came nearest, or of the first one where there is no nearness.
    pub example: Rejection,
}

impl fmt::Display for RejectionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hosts, verb) = if self.hosts == 1 { ("host", "refuses") } else { ("hosts", "refuse") };
        write!(
            f,
            "{} {hosts} {verb} by {} (wants {}, has {})",
            self.hosts, self.example.constraint, self.example.want, self.example.have
        )
    }
}
