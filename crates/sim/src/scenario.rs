//! Which faults come together, on how many nodes. One file each; the list is [`SCENARIOS`], from which a seed chooses.

mod crashes;
mod disks;
mod everything;
mod losses;
mod network;

/// A kind of run.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub nodes: u64,
    /// Names in [`crate::fault::FAULTS`]; one that stands twice comes twice as often.
    pub faults: &'static [&'static str],
    /// Between the beginnings of two faults, in milliseconds.
    pub every_ms: (u64, u64),
    /// How long faults and clients go on, in seconds.
    pub seconds: u64,
}

pub static SCENARIOS: &[Scenario] = &[
    crashes::SCENARIO,
    network::SCENARIO,
    disks::SCENARIO,
    everything::OF_THREE,
    everything::OF_FIVE,
    losses::SCENARIO,
];

/// The scenario of a seed.
pub fn of(seed: u64) -> &'static Scenario {
    &SCENARIOS[(seed % SCENARIOS.len() as u64) as usize]
}
