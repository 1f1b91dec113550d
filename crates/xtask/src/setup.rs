//! What the machine must have before the workspace builds, and how it gets there.
//!
//! Only files are looked at, so a machine that has everything loses no time here.

mod apt;
mod libclang;
mod program;

use anyhow::{Result, ensure};

pub(crate) use self::program::in_path as has_program;

/// Something that a build needs and Debian has a package for.
struct Need {
    what: &'static str,
    for_what: &'static str,
    package: &'static str,
    present: fn() -> bool,
}

/// One line each; a bigger check gets a file in `setup/`.
static NEEDS: &[Need] = &[
    Need {
        what: "c++",
        for_what: "compiles RocksDB",
        package: "g++",
        present: || program::in_path(&std::env::var("GANTRY_CXX").unwrap_or_else(|_| "c++".to_owned())),
    },
    Need {
        what: "ccache",
        for_what: "keeps RocksDB's objects between clones and profiles",
        package: "ccache",
        present: || program::in_path("ccache"),
    },
    Need {
        what: "libclang with its headers",
        for_what: "generates RocksDB's bindings",
        package: "libclang-dev",
        present: libclang::present,
    },
    Need {
        what: "protoc",
        for_what: "compiles containerd's API, whose crate wants this very compiler",
        package: "protobuf-compiler",
        present: || program::in_path("protoc"),
    },
    Need {
        what: "containerd with ctr",
        for_what: "is started by the agent's tests",
        package: "containerd",
        present: || program::in_path("containerd") && program::in_path("ctr"),
    },
    Need {
        what: "docker-registry",
        for_what: "is asked by the resolver's tests",
        package: "docker-registry",
        present: || program::in_path("docker-registry"),
    },
    Need { what: "skopeo", for_what: "pushes images there", package: "skopeo", present: || program::in_path("skopeo") },
    Need {
        what: "git",
        for_what: "lists the files that tidy checks",
        package: "git",
        present: || program::in_path("git"),
    },
];

/// Installs what is missing, or says which line to run.
pub(crate) fn run() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("missing: {} ({}): Debian package {}", need.what, need.for_what, need.package);
    }
    apt::install(&missing.iter().map(|need| need.package).collect::<Vec<_>>())?;
    let still: Vec<&str> = missing.iter().filter(|need| !(need.present)()).map(|need| need.what).collect();
    ensure!(
        still.is_empty(),
        "still missing after the packages were installed: {}; put them where the build finds them (PATH, LIBCLANG_PATH)",
        still.join(", ")
    );
    Ok(())
}
