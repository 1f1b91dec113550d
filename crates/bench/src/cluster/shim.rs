//! A shim between a server and its disk that delays the syncs of files or fails one, as told while the server runs.
//!
//! It is C, compiled with the machine's compiler when it is needed, and loaded before the C library.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::Cluster;

const SOURCE: &str = include_str!("shim.c");
const PRELOAD: &str = "LD_PRELOAD";
/// Names the file in which it reads what to do.
const CONTROL: &str = "GANTRY_SHIM";

/// What the disk does from now on.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    Work,
    /// Every sync takes so much longer.
    Delay {
        ms: u32,
    },
    /// The `nth` sync (from 1) of a file with `part` in its path fails with an I/O error.
    Fail {
        nth: u32,
        part: &'a str,
    },
}

/// The compiled shim. One serves all servers, each with its own orders.
#[derive(Debug)]
pub struct Shim {
    library: PathBuf,
    dir: PathBuf,
}

impl Shim {
    /// Compiles it into `dir`, which also gets the files with the orders.
    pub fn compile(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("cannot resolve {}", dir.display()))?;
        let library = dir.join("shim.so");
        compile(SOURCE, &library, &["-shared", "-fPIC", "-ldl", "-lpthread"])?;
        Ok(Self { library, dir })
    }

    /// Puts it between a server and its disk, from the server's next start on.
    pub fn attach(&self, cluster: &mut Cluster, id: u64) -> Result<()> {
        self.tell(id, Act::Work)?;
        cluster.set_variable(id, CONTROL, &self.orders(id).display().to_string())?;
        cluster.set_variable(id, PRELOAD, &self.library.display().to_string())
    }

    /// What the disk of a server does from now on.
    pub fn tell(&self, id: u64, act: Act<'_>) -> Result<()> {
        let text = match act {
            Act::Work => String::new(),
            Act::Delay { ms } => format!("delay {ms}\n"),
            Act::Fail { nth, part } => format!("fail {nth} {part}\n"),
        };
        // In one step: it is read all the time.
        let (path, new) = (self.orders(id), self.dir.join("new-orders"));
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    fn orders(&self, id: u64) -> PathBuf {
        self.dir.join(format!("orders-{id}"))
    }
}

/// Compiles a small C program or library.
pub fn compile(source: &str, to: &Path, flags: &[&str]) -> Result<()> {
    let from = to.with_extension("c");
    std::fs::write(&from, source).with_context(|| format!("cannot write {}", from.display()))?;
    let compiled = Command::new("cc").args(["-O1", "-o"]).arg(to).arg(&from).args(flags).output();
    let compiled = compiled.context("cannot run the C compiler: install gcc")?;
    ensure!(compiled.status.success(), "cc failed: {}", String::from_utf8_lossy(&compiled.stderr));
    Ok(())
}
