//! Files and directories, each operation durable when it returns.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::error::StoreError;

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync directory", dir))
}

/// Creates a directory, and makes its name durable.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::io("create directory", dir))?;
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

/// Puts `content` in place of the file at `path`: after a crash either all of the old or all of the new is there.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension("tmp");
    let written = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    written().map_err(StoreError::io("write", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}
