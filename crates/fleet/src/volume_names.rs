//! Volumes by app and name, and which of them no machine uses. Derived, not replicated.

use std::collections::{BTreeMap, BTreeSet};

use gantry_types::{Volume, VolumeId};

use crate::Fleet;

/// By app and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct VolumeNames(BTreeMap<(String, String), Named>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Named {
    /// Used ones too.
    volumes: usize,
    unattached: BTreeSet<VolumeId>,
}

fn key(volume: &Volume) -> (String, String) {
    (volume.app.clone(), volume.name.clone())
}

impl VolumeNames {
    pub(crate) fn added(&mut self, volume: &Volume) {
        self.0.entry(key(volume)).or_default().volumes += 1;
        self.attached_or_not(volume);
    }

    pub(crate) fn removed(&mut self, volume: &Volume) {
        let Some(named) = self.0.get_mut(&key(volume)) else { return };
        named.volumes -= 1;
        named.unattached.remove(&volume.id);
        if named.volumes == 0 {
            self.0.remove(&key(volume));
        }
    }

    /// A machine uses the volume now, or none does any more.
    pub(crate) fn attached_or_not(&mut self, volume: &Volume) {
        let Some(named) = self.0.get_mut(&key(volume)) else { return };
        if volume.used_by == 0 {
            named.unattached.insert(volume.id);
        } else {
            named.unattached.remove(&volume.id);
        }
    }

    fn find(&self, app: &str, name: &str) -> Option<&Named> {
        self.0.get(&(app.to_owned(), name.to_owned()))
    }
}

impl Fleet {
    /// Volumes of an app and name, whether machines use them or not.
    pub fn volumes_named(&self, app: &str, name: &str) -> usize {
        self.volume_names.find(app, name).map_or(0, |named| named.volumes)
    }

    /// Volumes of an app and name that no machine uses, by number.
    pub fn unattached(&self, app: &str, name: &str) -> impl Iterator<Item = &Volume> {
        let ids = self.volume_names.find(app, name).into_iter().flat_map(|named| &named.unattached);
        ids.filter_map(|id| self.volumes.get(id)).map(|volume| &**volume)
    }

    /// Whether the index says what the volumes say.
    pub(crate) fn check_volume_names(&self) -> Result<(), String> {
        let mut expected = VolumeNames::default();
        self.volumes.values().for_each(|volume| expected.added(volume));
        if expected.0 == self.volume_names.0 {
            return Ok(());
        }
        Err(format!("volumes are listed as {:?}, expected {:?}", self.volume_names, expected))
    }
}
