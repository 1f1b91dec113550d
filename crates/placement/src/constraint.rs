//! Feasibility: what a host must satisfy. To add a constraint, write its file and add its line to [`CONSTRAINTS`].

mod affinity;
mod cpu;
mod dedicated;
mod fork;
mod gpu;
mod host;
mod image_cache;
mod labels;
mod max_machines;
mod memory;
mod reachable;
mod region;
mod scheduling;
mod unique_zone;
mod unique_zone_app_wide;
mod volume;
mod volume_disk;

use std::{borrow::Cow, fmt};

use gantry_fleet::Fleet;
use gantry_types::{Affinity, HostId, Rejection, Scope};

use crate::{Ask, Room};

/// The level of a constraint that only guides planners: it looks at hints, which must not decide in apply.
pub const ADVICE: u32 = u32::MAX;

/// A named condition that every chosen host satisfies.
#[derive(Debug)]
pub struct Constraint {
    pub name: &'static str,
    /// The replicated feature level from which on apply enforces it, or [`ADVICE`].
    pub since_level: u32,
    /// Whether the answer is the same for all hosts of a zone and depends on nothing but what is in that zone.
    pub of_zone: bool,
    pub check: for<'a> fn(&Ask<'a>, &Room<'a>) -> Result<(), No<'a>>,
}

/// All constraints, cheap and telling ones first: a host is counted under the first that refuses it.
pub static CONSTRAINTS: &[Constraint] = &[
    scheduling::CONSTRAINT,
    reachable::CONSTRAINT,
    host::CONSTRAINT,
    volume::CONSTRAINT,
    fork::CONSTRAINT,
    region::CONSTRAINT,
    labels::REQUIRE,
    labels::AVOID,
    dedicated::CONSTRAINT,
    unique_zone::CONSTRAINT,
    unique_zone_app_wide::CONSTRAINT,
    max_machines::PER_ZONE,
    max_machines::PER_HOST,
    affinity::ZONE,
    affinity::HOST,
    affinity::ANTI_ZONE,
    affinity::ANTI_HOST,
    gpu::CONSTRAINT,
    cpu::CONSTRAINT,
    memory::CONSTRAINT,
    volume_disk::CONSTRAINT,
    image_cache::CONSTRAINT,
];

/// Those that look at nothing of a host but what it offers and what is taken of it, and that refuse no empty host where they
/// admit a fuller one. Where one of them refuses an empty host, it refuses all that offer the same.
pub(crate) static OF_OFFER: &[Constraint] = &[
    region::CONSTRAINT,
    labels::REQUIRE,
    labels::AVOID,
    dedicated::CONSTRAINT,
    gpu::CONSTRAINT,
    cpu::CONSTRAINT,
    memory::CONSTRAINT,
    volume_disk::CONSTRAINT,
];

/// A refusal with its numbers, not yet written out: most refusals are only counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No<'a> {
    pub want: Quantity<'a>,
    pub have: Quantity<'a>,
    /// How far from enough; the largest value where that has no meaning.
    pub shortfall: u64,
}

/// Something wanted or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quantity<'a> {
    Bytes(u64),
    CpuMilli(u64),
    /// So many devices with at least so many thousandths free, of these kinds.
    Devices {
        count: u32,
        milli: u32,
        kinds: &'a [String],
        /// In one NVLink group.
        linked: bool,
    },
    Machines(u32),
    MachinesAtMost(u32),
    /// A machine of these, or none of them.
    Near(&'a Affinity),
    Apart(&'a Affinity),
    Text(Cow<'a, str>),
}

impl<'a> No<'a> {
    pub fn short(want: u64, have: u64, quantity: fn(u64) -> Quantity<'a>) -> Self {
        Self { want: quantity(want), have: quantity(have), shortfall: want.saturating_sub(have) }
    }

    pub fn text(want: impl Into<Cow<'a, str>>, have: impl Into<Cow<'a, str>>) -> Self {
        Self { want: Quantity::Text(want.into()), have: Quantity::Text(have.into()), shortfall: u64::MAX }
    }
}

impl fmt::Display for Quantity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write_bytes(f, *bytes),
            Self::CpuMilli(milli) => write!(f, "{}.{:03} CPU", milli / 1000, milli % 1000),
            Self::Devices { count, milli, kinds, linked } => {
                let noun = if *count == 1 { "GPU" } else { "GPUs" };
                write!(f, "{count} {noun} with {milli}/1000 free")?;
                if !kinds.is_empty() {
                    write!(f, " of kind {}", kinds.join(" or "))?;
                }
                if *linked { f.write_str(" in one NVLink group") } else { Ok(()) }
            }
            Self::Machines(1) => f.write_str("1 machine"),
            Self::Machines(machines) => write!(f, "{machines} machines"),
            Self::MachinesAtMost(machines) => write!(f, "at most {machines} of the app"),
            Self::Near(affinity) => write!(f, "a machine of {} {}", affinity.party(), place(affinity)),
            Self::Apart(affinity) => write!(f, "no machine of {} {}", affinity.party(), place(affinity)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn place(affinity: &Affinity) -> &'static str {
    match affinity.scope() {
        Scope::Host => "on the host",
        Scope::Zone => "in the zone",
    }
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if bytes >= 1 << shift {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return write!(f, "{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    write!(f, "{bytes} B")
}

/// Which of the constraints of zones refuse a host's zone: one bit a constraint.
pub(crate) fn zone_refusals(ask: &Ask<'_>, room: &Room<'_>) -> u64 {
    const { assert!(CONSTRAINTS.len() <= u64::BITS as usize, "a bit a constraint") };
    let refuses = |constraint: &Constraint| constraint.of_zone && (constraint.check)(ask, room).is_err();
    CONSTRAINTS.iter().enumerate().fold(0, |bits, (at, constraint)| bits | u64::from(refuses(constraint)) << at)
}

/// The first constraint that refuses a host, with its numbers.
pub(crate) fn first_refusal<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Option<(usize, No<'a>)> {
    CONSTRAINTS.iter().enumerate().find_map(|(at, constraint)| (constraint.check)(ask, room).err().map(|no| (at, no)))
}

/// Whether the chosen host satisfies every constraint that the replicated feature level has switched on. This is what
/// apply asks: it reads nothing but replicated state.
pub fn admits(fleet: &Fleet, ask: &Ask<'_>, host: HostId) -> Result<(), Rejection> {
    let Some(host) = fleet.host(host) else {
        return Err(Rejection::new("host", host, "no such host"));
    };
    let usage = host.usage_without(fleet.hold_for(ask.app, ask.uses, host.id));
    let room = Room { usage: &usage, ..Room::applied(fleet, host, ask.app) };
    CONSTRAINTS.iter().filter(|c| c.since_level <= fleet.feature_level()).try_for_each(|constraint| {
        (constraint.check)(ask, &room).map_err(|no| Rejection::new(constraint.name, no.want, no.have))
    })
}
