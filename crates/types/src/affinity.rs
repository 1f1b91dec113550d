//! Which machines a machine wants near, and which not.

use std::fmt;

use prost::{Enumeration, Message};

use crate::{
    Refused,
    error::{name, optional_name},
    limits,
};

/// How near is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Scope {
    Host = 0,
    Zone = 1,
}

/// The machines of an app, or of a group that several apps may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party<'a> {
    App(&'a str),
    Group(&'a str),
}

/// Machines of an app or of a group, near or not near.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Affinity {
    /// Either this,
    #[prost(string, tag = "1")]
    pub app: String,
    /// or this.
    #[prost(string, tag = "2")]
    pub group: String,
    #[prost(enumeration = "Scope", tag = "3")]
    pub scope: i32,
}

impl fmt::Display for Party<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(app) => write!(f, "app {app}"),
            Self::Group(group) => write!(f, "group {group}"),
        }
    }
}

impl Affinity {
    pub fn party(&self) -> Party<'_> {
        if self.group.is_empty() { Party::App(&self.app) } else { Party::Group(&self.group) }
    }

    fn validate(&self, field: &'static str) -> Result<(), Refused> {
        match (self.app.is_empty(), self.group.is_empty()) {
            (true, true) => return Err(Refused::invalid(field, "names neither an app nor a group")),
            (false, false) => return Err(Refused::invalid(field, "names an app and a group: use one entry each")),
            _ => {}
        }
        optional_name(field, &self.app)?;
        optional_name(field, &self.group)?;
        if Scope::try_from(self.scope).is_err() {
            return Err(Refused::invalid(field, format!("has scope {}: use host or zone", self.scope)));
        }
        Ok(())
    }
}

/// Checks what a machine of this app and group wants near and not near.
pub(crate) fn validate(app: &str, group: &str, near: &[Affinity], apart: &[Affinity]) -> Result<(), Refused> {
    const NEAR: &str = "constraints.affinity";
    const APART: &str = "constraints.anti_affinity";
    if !group.is_empty() {
        name("constraints.group", group)?;
    }
    for (field, list) in [(NEAR, near), (APART, apart)] {
        if list.len() > limits::AFFINITIES {
            return Err(Refused::over(field, list.len() as u64, limits::AFFINITIES as u64));
        }
        list.iter().try_for_each(|affinity| affinity.validate(field))?;
    }
    for wanted in near {
        let party = wanted.party();
        if party == Party::App(app) || party == Party::Group(group) {
            let why = format!("names the machine's own {party}: the first of them would wait for itself");
            return Err(Refused::invalid(NEAR, why));
        }
        // Near in the zone and yet on another host is a wish that can be met.
        let contradicts = |other: &&Affinity| {
            other.party() == party && (wanted.scope() == Scope::Host || other.scope() == Scope::Zone)
        };
        if apart.iter().any(|other| contradicts(&other)) {
            return Err(Refused::invalid(APART, format!("contradicts {NEAR}: {party} is in both")));
        }
    }
    Ok(())
}
