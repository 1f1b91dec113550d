//! A fleet of one host, and commands that are applied to it one at a time.

use gantry_fleet::{Fleet, Row};
use gantry_machine::{Command, Entry, Outcome, RegisterHost, apply};
use gantry_types::{Device, HostSpec, Refused};

pub struct World {
    pub fleet: Fleet,
    rev: u64,
}

impl World {
    /// One host with two GPUs; its number is 1.
    pub fn new() -> Self {
        let mut world = Self { fleet: Fleet::default(), rev: 0 };
        world.apply(RegisterHost { spec: spec() }).unwrap();
        world
    }

    pub fn apply(&mut self, command: impl Into<Command>) -> Outcome {
        self.apply_at(1_000, command)
    }

    pub fn apply_at(&mut self, stamp: u64, command: impl Into<Command>) -> Outcome {
        self.rev += 1;
        let commands = vec![command.into()];
        let entry = Entry::new(stamp, 1, self.rev, commands);
        let outcome = apply(&mut self.fleet, self.rev, &entry).pop().unwrap();
        self.fleet.check().unwrap();
        outcome
    }

    /// The refusal of a command. Nothing but the log position may have come of it.
    pub fn refused(&mut self, command: impl Into<Command>) -> Refused {
        let rows = |fleet: &Fleet| -> Vec<Row> { fleet.rows().filter(|row| !matches!(row, Row::Meta(_))).collect() };
        let before = rows(&self.fleet);
        self.fleet.take_events();
        let refused = self.apply(command).expect_err("bad input was accepted");
        assert_eq!(rows(&self.fleet), before, "a refused command changed the state: {refused}");
        assert!(self.fleet.take_events().is_empty(), "a refused command is an event: {refused}");
        refused
    }
}

pub fn spec() -> HostSpec {
    let device = |index| Device { index, kind: "a".into(), memory_bytes: 1, ..Device::default() };
    HostSpec {
        name: "h".into(),
        region: "region".into(),
        zone: "zone".into(),
        cpu_shared_milli: 64_000,
        memory_bytes: 1 << 40,
        volume_bytes: 1 << 40,
        devices: vec![device(0), device(1)],
        ..HostSpec::default()
    }
}
