//! Hosts by number. Numbers are dense and never used again, so a vector finds a host in one step.

use gantry_types::HostId;

use crate::Host;

#[derive(Clone, Debug, Default)]
pub(crate) struct HostTable {
    slots: Vec<Option<Box<Host>>>,
    len: usize,
}

impl HostTable {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, id: HostId) -> Option<&Host> {
        self.slots.get(id as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: HostId) -> Option<&mut Host> {
        self.slots.get_mut(id as usize)?.as_deref_mut()
    }

    pub(crate) fn insert(&mut self, host: Host) {
        let at = host.id as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        if self.slots[at].replace(Box::new(host)).is_none() {
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, id: HostId) -> Option<Host> {
        let host = self.slots.get_mut(id as usize)?.take()?;
        self.len -= 1;
        Some(*host)
    }

    /// Without looking at the hosts.
    pub(crate) fn ids(&self) -> impl Iterator<Item = HostId> {
        (0..).zip(&self.slots).filter(|(_, slot)| slot.is_some()).map(|(id, _)| id)
    }

    /// By number.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Host> {
        self.slots.iter().filter_map(|slot| slot.as_deref())
    }

    /// By number, after the given one.
    pub(crate) fn after(&self, id: HostId) -> impl Iterator<Item = &Host> {
        let start = (id as usize + 1).min(self.slots.len());
        self.slots[start..].iter().filter_map(|slot| slot.as_deref())
    }
}
