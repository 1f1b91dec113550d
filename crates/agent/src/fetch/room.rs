//! Room on the disk: what is fetched ahead must not take what running machines need.

use std::path::Path;

use rustix::fs::statvfs;

use super::error::FetchError;

/// Unpacked, a layer takes about so many times what it takes compressed.
const UNPACKED: u64 = 3;

/// What a layer will take.
pub(super) fn needed(size_bytes: u64, fetch: bool, unpack: bool) -> u64 {
    let fetched = if fetch { size_bytes } else { 0 };
    let unpacked = if unpack { size_bytes.saturating_mul(UNPACKED) } else { 0 };
    fetched.saturating_add(unpacked)
}

/// Whether so much can be written below `root` with the reserve left over.
pub(super) fn check(root: &Path, wanted: u64, reserve: u64) -> Result<(), FetchError> {
    let found = statvfs(root).map_err(|errno| FetchError::NoRoot { root: root.to_owned(), source: errno.into() })?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if wanted > 0 && wanted.saturating_add(reserve) > free {
        return Err(FetchError::Room { root: root.to_owned(), free, wanted, reserve });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_beside_the_reserve_is_refused_and_nothing_fits_always() {
        let root = std::env::temp_dir();
        check(&root, 1, 0).unwrap();
        check(&root, 0, u64::MAX).unwrap();
        let error = check(&root, 7, u64::MAX - 1).unwrap_err().to_string();
        assert!(error.contains("7 are needed") && error.contains("fetch.reserve_bytes"), "{error}");
        let error = check(Path::new("/nowhere/at/all"), 1, 0).unwrap_err().to_string();
        assert!(error.contains("containerd.root"), "{error}");
    }
}
