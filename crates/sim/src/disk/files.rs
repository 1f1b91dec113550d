//! Files and their names. A file's content is durable once it is synced, a name once its directory is.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use gantry_store::{Disk, DiskFile, OpenError, Opening, Space};

use super::{Held, Room, flip};
use crate::chance::Chance;

/// What a disk writes at once: a torn file is old and new by pieces of this size.
const SECTOR_BYTES: usize = 512;
const WHOLE_BYTES: u64 = 1 << 30;
/// Of which this is free where there is little room.
const LITTLE_BYTES: u64 = 1 << 19;

#[derive(Debug, Default)]
pub(super) struct Files {
    contents: BTreeMap<u64, Content>,
    next: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Content {
    written: Vec<u8>,
    durable: Vec<u8>,
}

impl Content {
    fn is_settled(&self) -> bool {
        !self.durable.is_empty() && self.durable == self.written
    }
}

impl Files {
    /// Everything that was written stays.
    pub(super) fn settle(&mut self) {
        self.contents.values_mut().for_each(|content| content.durable.clone_from(&content.written));
        self.durable_names.clone_from(&self.names);
    }

    /// What was not synced stays, goes, or is torn.
    pub(super) fn power_cut(&mut self, chance: &mut Chance) {
        for content in self.contents.values_mut().filter(|content| content.written != content.durable) {
            if chance.permille(300) {
                content.durable.clone_from(&content.written);
            } else if chance.permille(500) {
                let length = content.written.len().max(content.durable.len());
                content.durable.resize(length, 0);
                for (new, old) in content.written.chunks(SECTOR_BYTES).zip(content.durable.chunks_mut(SECTOR_BYTES)) {
                    if chance.permille(500) {
                        old[..new.len()].copy_from_slice(new);
                    }
                }
            }
            content.written.clone_from(&content.durable);
        }
        if chance.permille(500) {
            self.durable_names.clone_from(&self.names);
        } else {
            self.names.clone_from(&self.durable_names);
        }
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.contents.retain(|content, _| named.contains(content));
    }

    /// Turns one bit of some file round, and says of which.
    pub(super) fn rot(&mut self, chance: &mut Chance) -> Option<String> {
        let Self { contents, names, .. } = self;
        let full: Vec<_> = names.iter().filter(|(_, id)| contents.get(id).is_some_and(Content::is_settled)).collect();
        let (path, id) = *chance.pick(&full)?;
        let content = contents.get_mut(id)?;
        flip(&mut content.durable, chance);
        content.written.clone_from(&content.durable);
        Some(path.display().to_string())
    }

    fn content(&mut self, id: u64) -> io::Result<&mut Content> {
        self.contents.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Held {
    fn claim(&self, _: &Path) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
        Ok(Box::new(()))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner()?.files.dirs.insert(dir.to_owned());
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let files = &mut self.changes()?.files;
        files.durable_names.retain(|name, _| name.parent() != Some(dir));
        let names = files.names.iter().filter(|(name, _)| name.parent() == Some(dir));
        files.durable_names.extend(names.map(|(name, id)| (name.clone(), *id)));
        Ok(())
    }

    fn open(&self, path: &Path, how: Opening) -> io::Result<Box<dyn DiskFile>> {
        let files = &mut self.inner()?.files;
        let id = match files.names.get(path) {
            // An emptied file is a new one here: what was durable of the old one stays until the name is synced.
            Some(id) if how != Opening::Emptied => *id,
            None if how == Opening::Existing => return Err(io::ErrorKind::NotFound.into()),
            _ => {
                files.next += 1;
                files.contents.insert(files.next, Content::default());
                files.names.insert(path.to_owned(), files.next);
                files.next
            }
        };
        Ok(Box::new(SimFile { held: self.clone(), id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let files = &mut self.changes()?.files;
        let id = files.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let gone = self.changes()?.files.names.remove(path);
        gone.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner().is_ok_and(|inner| inner.files.names.contains_key(path) || inner.files.dirs.contains(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let inner = self.inner()?;
        Ok(inner.files.names.keys().filter(|name| name.parent() == Some(dir)).cloned().collect())
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let free_bytes = match self.inner()?.faults.room {
            Room::Enough => WHOLE_BYTES,
            Room::Low => LITTLE_BYTES,
            Room::None => 0,
        };
        Ok(Space { whole_bytes: WHOLE_BYTES, free_bytes })
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.open(path, Opening::Emptied)?.write_all_at(&vec![0; bytes as usize], 0)
    }
}

#[derive(Debug)]
struct SimFile {
    held: Held,
    id: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.held.inner()?;
        let written = &inner.files.content(self.id)?.written;
        let left = written.get(offset as usize..).unwrap_or_default();
        let read = left.len().min(out.len());
        out[..read].copy_from_slice(&left[..read]);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.held.changes()?;
        if inner.faults.room == Room::None {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = &mut inner.files.content(self.id)?.written;
        let end = offset as usize + bytes.len();
        if written.len() < end {
            written.resize(end, 0);
        }
        written[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.held.changes()?;
        let content = inner.files.content(self.id)?;
        content.durable.clone_from(&content.written);
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        let mut inner = self.held.inner()?;
        Ok(inner.files.content(self.id)?.written.len() as u64)
    }
}
