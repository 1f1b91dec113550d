//! Files and directories beside the database: whose directory it is, the mark of the log, snapshots.
//!
//! [`RealDisk`] is the file system; the simulator has one that forgets what was not synced.

use std::{
    any::Any,
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, statvfs};

use crate::{
    dir_lock::DirLock,
    error::{OpenError, StoreError},
    evidence,
};

/// What zeros are written in where a file system cannot allocate.
const CHUNK: usize = 1 << 20;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To be read; it must be there.
    Existing,
    /// To be read and written; created where it is missing.
    Kept,
    /// As [`Opening::Kept`], and emptied.
    Emptied,
}

/// A place for files. Errors are those of a file system: above all, what is not there is [`io::ErrorKind::NotFound`].
pub trait Disk: Debug + Send + Sync {
    /// Takes a data directory for this process, for as long as the result lives, and finishes what a crash interrupted.
    fn claim(&self, data_dir: &Path) -> Result<Box<dyn Any + Send + Sync>, OpenError>;

    /// Creates a directory where it is missing, and makes its name durable.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    fn open(&self, path: &Path, how: Opening) -> io::Result<Box<dyn DiskFile>>;

    /// Replaces what is at `to`, which after a crash is all of the old or all of the new file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    fn exists(&self, path: &Path) -> bool;

    /// The paths of what is in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// How large the file system of a directory is.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// Makes a file that takes up space for nothing.
    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()>;
}

/// Of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub whole_bytes: u64,
    pub free_bytes: u64,
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads up to `out.len()` bytes at `offset`; none only at the end.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file durable.
    fn sync(&self) -> io::Result<()>;

    /// Makes what was written into the file durable, which may cost less.
    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    /// These bytes will not be read soon: they may go to the disk now, so that the sync at the end has little left to do. A
    /// hint.
    fn passed(&self, _bytes: Range<u64>) {}

    fn size_bytes(&self) -> io::Result<u64>;
}

/// The file system.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn claim(&self, data_dir: &Path) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
        let lock = DirLock::take(data_dir)?;
        let finished = evidence::finish_set_aside(data_dir);
        finished.map_err(|error| OpenError::Unusable { dir: data_dir.to_owned(), why: error.to_string() })?;
        Ok(Box::new(lock))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), |parent| self.sync_dir(parent))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir).and_then(|dir| dir.sync_all())
    }

    fn open(&self, path: &Path, how: Opening) -> io::Result<Box<dyn DiskFile>> {
        let writes = how != Opening::Existing;
        let mut options = OpenOptions::new();
        options.read(true).write(writes).create(writes).truncate(how == Opening::Emptied);
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let seen = statvfs(dir)?;
        Ok(Space { whole_bytes: seen.f_blocks * seen.f_frsize, free_bytes: seen.f_bavail * seen.f_frsize })
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut file = File::create(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let zeros = vec![0; CHUNK];
                for _ in 0..bytes.div_ceil(CHUNK as u64) {
                    file.write_all(&zeros)?;
                }
                File::sync_data(&file)
            }
            allocated => Ok(allocated?),
        }
    }
}

impl DiskFile for File {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, out, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn passed(&self, bytes: Range<u64>) {
        // Begins to write them, and drops those that are written.
        let length = NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
        let _ = fadvise(self, bytes.start, length, Advice::DontNeed);
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// A file that is read or written from one place on.
#[derive(Debug)]
pub(crate) struct Sequential {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) at: u64,
}

impl Read for Sequential {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for Sequential {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills `out` from `offset` on.
pub(crate) fn read_exact_at(file: &dyn DiskFile, out: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < out.len() {
        match file.read_at(&mut out[filled..], offset + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(())
}

/// As [`Disk::create_dir`].
pub(crate) fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    disk.create_dir(dir).map_err(StoreError::io("create directory", dir))
}

/// As [`Disk::sync_dir`].
pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    disk.sync_dir(dir).map_err(StoreError::io("sync directory", dir))
}

/// All of the file at `path`.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    Sequential { file: disk.open(path, Opening::Existing)?, at: 0 }.read_to_end(&mut content)?;
    Ok(content)
}

/// All of the text file at `path`.
pub(crate) fn read_text(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    String::from_utf8(read(disk, path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Puts `content` in place of the file at `path`: after a crash either all of the old or all of the new is there.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension("tmp");
    let written = || -> io::Result<()> {
        let file = disk.open(&temporary, Opening::Emptied)?;
        file.write_all_at(content, 0)?;
        file.sync()?;
        disk.rename(&temporary, path)
    };
    written().map_err(StoreError::io("write", path))?;
    path.parent().map_or(Ok(()), |dir| sync_dir(disk, dir))
}
