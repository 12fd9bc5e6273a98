//! openraft's own storage suite over our log and state machine, and what a restart finds.

use super::cluster::Journal;
use super::log::Log;
use super::state::State;
use super::types::TypeConfig;
use crate::store::group::{DiskMedium, GroupMedium, GroupStore, MemoryMedium};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

fn open(medium: impl GroupMedium) -> (GroupStore, Log, State) {
    let (store, records) = GroupStore::over(medium, "test".into()).unwrap();
    let log = Log::load(store.clone(), &records).unwrap();
    let machine = Arc::new(Mutex::new(Box::new(Journal::default()) as Box<dyn super::Machine>));
    let state = State::load(store.clone(), &records, machine, watch::Sender::new(None)).unwrap();
    (store, log, state)
}

struct InMemory;

impl StoreBuilder<TypeConfig, Log, State, GroupStore> for InMemory {
    async fn build(&self) -> Result<(GroupStore, Log, State), StorageError<TypeConfig>> {
        Ok(open(MemoryMedium::default()))
    }
}

#[tokio::test]
async fn the_storage_suite_passes_in_memory() {
    Suite::test_all(InMemory).await.unwrap();
}

struct OnDisk;

impl StoreBuilder<TypeConfig, Log, State, (GroupStore, tempfile::TempDir)> for OnDisk {
    async fn build(&self) -> Result<((GroupStore, tempfile::TempDir), Log, State), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let (store, log, state) = open(DiskMedium::open(dir.path()).unwrap());
        Ok(((store, dir), log, state))
    }
}

#[tokio::test]
async fn the_storage_suite_passes_on_disk() {
    Suite::test_all(OnDisk).await.unwrap();
}
