//! Numbers for names that are in use, so that a host can count them in a few bytes.

use smallvec::SmallVec;

use crate::lookup::Lookup;

/// Names with the number of their uses. A name has a number while it is used. Derived, not replicated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    by_name: Lookup<String, u32>,
    uses: Vec<u64>,
    free: Vec<u32>,
}

impl Names {
    /// Names in use.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn uses(&self, number: u32) -> u64 {
        self.uses[number as usize]
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn added(&mut self, name: &str) -> u32 {
        let number = self.find(name).unwrap_or_else(|| {
            let number = self.free.pop().unwrap_or_else(|| {
                self.uses.push(0);
                self.uses.len() as u32 - 1
            });
            self.by_name.insert(name.to_owned(), number);
            number
        });
        self.uses[number as usize] += 1;
        number
    }

    pub(crate) fn removed(&mut self, name: &str) -> Option<u32> {
        let number = self.find(name)?;
        self.uses[number as usize] -= 1;
        if self.uses[number as usize] == 0 {
            self.by_name.remove(name);
            self.free.push(number);
        }
        Some(number)
    }
}

/// How often each of a few numbers occurs, sorted by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(SmallVec<[(u32, u32); 4]>);

impl Counts {
    pub(crate) fn of(&self, number: u32) -> u32 {
        self.0.binary_search_by_key(&number, |count| count.0).map_or(0, |at| self.0[at].1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn add(&mut self, number: u32) {
        match self.0.binary_search_by_key(&number, |count| count.0) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (number, 1)),
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Ok(at) = self.0.binary_search_by_key(&number, |count| count.0) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.remove(at);
            }
        }
    }
}
