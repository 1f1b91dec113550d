//! The consensus library's own storage suite, on the real store.

use gantry_store::watch;
use gantry_store::{Store, StoreConfig};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use crate::{checkpoints::Checkpoints, log_store::LogStore, machine::Machine, raft_types::Types};

struct Stores;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for Stores {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let config = StoreConfig { data_dir: dir.path().join("data"), cluster: "suite".to_owned(), node: 1 };
        let Store { log, machine, .. } = Store::open(&config).expect("an empty directory can be opened");
        let machine = Machine::new(machine, log.clone(), watch::Sender::new(0), Checkpoints::new(0));
        Ok((dir, LogStore::new(log), machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_librarys_storage_suite() {
    Suite::test_all(Stores).await.unwrap();
}
