//! Which shapes were asked for, and how often.

use std::{collections::BTreeMap, hash::BuildHasher};

use gantry_fleet::Fleet;
use gantry_types::Shape;

/// Shapes that are told apart; later ones are not counted until some are forgotten.
const SHAPES: usize = 4_096;
/// Machines from which on all counts are halved: what was asked for long ago counts less.
const MACHINES: u64 = 1 << 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// By the hash of the shape; of two shapes with one hash the first one counts.
    shapes: BTreeMap<u64, (Shape, u64)>,
    machines: u64,
    hasher: hashbrown::DefaultHashBuilder,
    /// Machines since [`Seen::learnt`], and how many were known then.
    new: u64,
    known: u64,
}

impl Seen {
    pub(super) fn add(&mut self, shape: &Shape, machines: u64) {
        let hash = self.hasher.hash_one(shape);
        if self.shapes.len() >= SHAPES && !self.shapes.contains_key(&hash) {
            return;
        }
        self.shapes.entry(hash).or_insert_with(|| (shape.clone(), 0)).1 += machines;
        self.machines += machines;
        self.new += machines;
        if self.machines > MACHINES {
            self.shapes.retain(|_, (_, count)| {
                *count /= 2;
                *count > 0
            });
            self.machines = self.shapes.values().map(|(_, count)| count).sum();
        }
    }

    /// Counts the machines that stand.
    pub(super) fn add_standing(&mut self, fleet: &Fleet) {
        fleet.reservations_after(0).for_each(|reservation| self.add(&reservation.shape, 1));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.machines == 0
    }

    /// Whether as much was seen since it was learnt as was known before.
    pub(super) fn is_news(&self) -> bool {
        self.new > self.known.min(MACHINES / 2)
    }

    pub(super) fn learnt(&mut self) {
        (self.new, self.known) = (0, self.machines);
    }

    pub(super) fn shapes(&self) -> impl Iterator<Item = (&Shape, u64)> {
        self.shapes.values().map(|(shape, count)| (shape, *count))
    }
}
