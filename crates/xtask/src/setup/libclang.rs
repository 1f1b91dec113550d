//! Finds libclang where RocksDB's binding generator (clang-sys under bindgen) looks for it.
//!
//! The library alone is not enough: without the compiler's own headers beside it, bindgen stops at `stddef.h`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// clang-sys's search patterns for Linux; `*` stands for a part of one path component.
const LIBRARY_FOLDERS: &[&str] = &[
    "/usr/local/llvm*/lib*",
    "/usr/local/lib*/*/*",
    "/usr/local/lib*/*",
    "/usr/local/lib*",
    "/usr/lib*/*/*",
    "/usr/lib*/*",
    "/usr/lib*",
];

/// Where Debian's and LLVM's packages put the compiler's own headers.
const HEADER_FOLDERS: &[&str] = &[
    "/usr/lib*/llvm*/lib*/clang/*/include",
    "/usr/lib*/clang/*/include",
    "/usr/local/lib*/clang/*/include",
    "/usr/local/llvm*/lib*/clang/*/include",
];

pub(super) fn present() -> bool {
    if let Some(chosen) = env::var_os("LIBCLANG_PATH") {
        let chosen = PathBuf::from(chosen);
        return chosen.is_file() || has_library(&chosen);
    }
    let root = Path::new("/");
    let library = ["LD_LIBRARY_PATH", "LIBRARY_PATH"]
        .into_iter()
        .filter_map(env::var_os)
        .any(|path| env::split_paths(&path).any(|folder| has_library(&folder)));
    (library || library_under(root)) && headers_under(root)
}

fn library_under(root: &Path) -> bool {
    LIBRARY_FOLDERS.iter().any(|pattern| matching(root, pattern).iter().any(|folder| has_library(folder)))
}

fn headers_under(root: &Path) -> bool {
    HEADER_FOLDERS.iter().any(|pattern| matching(root, pattern).iter().any(|f| f.join("stddef.h").is_file()))
}

fn has_library(folder: &Path) -> bool {
    names(folder).iter().any(|name| is_libclang(name))
}

/// `libclang.so`, `libclang-14.so`, `libclang.so.1`, `libclang-14.so.14.0.6`; not `libclang-cpp.so.14`.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    let Some((version, suffix)) = rest.split_once(".so") else { return false };
    (version.is_empty() || version.starts_with('-'))
        && version != "-cpp"
        && (suffix.is_empty() || suffix.starts_with('.'))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The existing folders that `pattern` (absolute) means, looked up below `root`.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    for component in pattern.trim_start_matches('/').split('/') {
        found = match component.split_once('*') {
            None => found.into_iter().map(|folder| folder.join(component)).collect(),
            Some((prefix, suffix)) => found.iter().flat_map(|folder| starting(folder, prefix, suffix)).collect(),
        };
        found.retain(|folder| folder.is_dir());
    }
    found
}

fn starting(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let fits =
        |name: &String| name.len() >= prefix.len() + suffix.len() && name.starts_with(prefix) && name.ends_with(suffix);
    names(folder).iter().filter(|name| fits(name)).map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        root
    }

    #[test]
    fn debian_places_are_found() {
        let debian =
            machine(&["usr/lib/llvm-14/lib/libclang.so.1", "usr/lib/llvm-14/lib/clang/14.0.6/include/stddef.h"]);
        assert!(library_under(debian.path()) && headers_under(debian.path()));
        let split = machine(&["usr/lib/x86_64-linux-gnu/libclang-19.so.1", "usr/lib/clang/19/include/stddef.h"]);
        assert!(library_under(split.path()) && headers_under(split.path()));
    }

    #[test]
    fn the_cpp_library_or_a_library_without_headers_is_not_enough() {
        let cpp = machine(&["usr/lib/x86_64-linux-gnu/libclang-cpp.so.14", "usr/lib/libclangBasic.a"]);
        assert!(!library_under(cpp.path()));
        let bare = machine(&["usr/lib/libclang.so"]);
        assert!(library_under(bare.path()) && !headers_under(bare.path()));
    }
}
