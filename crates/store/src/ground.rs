//! What a store stands on: a database, a disk, and threads. The defaults are the real ones.

use std::{io, sync::Arc, time::Duration};

use crate::{
    disk::{Disk, RealDisk},
    engine::RocksDb,
    kv::Engines,
};

/// Everything of the machine that a store uses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ground {
    pub engines: Arc<dyn Engines>,
    pub disk: Arc<dyn Disk>,
    pub workers: Workers,
}

impl Default for Ground {
    fn default() -> Self {
        Self { engines: Arc::new(RocksDb), disk: Arc::new(RealDisk), workers: Workers::Threads }
    }
}

/// Who does work that blocks or takes long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    #[default]
    Threads,
    /// Tasks of the one thread that everything runs on, as a simulation wants it: nothing blocks there, and the order is the
    /// same each time.
    Tasks,
}

/// What takes long does so in a simulation too: others go on before it, not after it.
const TASK_TAKES: Duration = Duration::from_millis(3);

impl Workers {
    /// Begins `work` beside everything else.
    pub(crate) fn begin(self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        match self {
            Self::Threads => drop(std::thread::Builder::new().name(name.to_owned()).spawn(work)?),
            Self::Tasks => drop(tokio::spawn(async move {
                tokio::time::sleep(TASK_TAKES).await;
                work();
            })),
        }
        Ok(())
    }

    /// Does both, beside each other where there are threads.
    pub(crate) fn both<A, B: Send>(self, one: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> (A, B) {
        match self {
            Self::Threads => std::thread::scope(|scope| {
                let other = scope.spawn(other);
                let one = one();
                (one, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            }),
            Self::Tasks => (one(), other()),
        }
    }

    /// Does `work`, and waits for it without blocking others. Fails only where the work panicked.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
            Self::Tasks => {
                tokio::time::sleep(TASK_TAKES).await;
                Ok(work())
            }
        }
    }
}
