//! The database under the checkpoint, behind a small trait: four tables of keys in order, batches, and a barrier.
//!
//! What is assumed of it: after a crash it holds all that was applied before the last `barrier` that returned, and of
//! what was applied later some whole batches, in order, without holes.

use crate::store::error::StoreError;
use crate::store::unfinished;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The `current` record and the mark of unfinished work.
    Meta,
    /// Chunks of manifests.
    Manifest,
    /// Parts of pages.
    Pages,
    /// Parts of blobs.
    Blobs,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Manifest => "manifest",
            Table::Pages => "pages",
            Table::Blobs => "blobs",
        }
    }
}

/// A change of one key.
#[derive(Clone, Debug)]
pub enum Op {
    /// Sets it.
    Put(Vec<u8>, Vec<u8>),
    /// Removes it.
    Remove(Vec<u8>),
}

/// Keys and values in order, or why they could not be read.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + Send + 'a>;

/// The database.
pub trait Pages: Send + Sync {
    /// Applies the changes as a whole, in memory at first.
    fn apply(&self, table: Table, ops: Vec<Op>) -> Result<(), StoreError>;
    /// Returns when all that was applied outlives a power cut.
    fn barrier(&self) -> Result<(), StoreError>;
    /// One value.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// All rows of a table whose keys begin with `prefix`, by key.
    fn scan(&self, table: Table, prefix: &[u8]) -> Rows<'_>;
    /// The highest version that was current, as a file beside the database tells: it can only be behind. The database
    /// takes a bad record for a torn tail and goes on without it and all that follows, silently.
    fn witness(&self) -> Result<u64, StoreError>;
    /// This version is current, for good.
    fn set_witness(&self, version: u64);
    /// Bytes on the disk.
    fn disk_bytes(&self) -> u64;
    /// The directory that messages name.
    fn dir(&self) -> &Path;
}

/// Rounds of collection behind a close. One frees up to eight bags of 64 objects, or lets the epoch go on; a round that
/// finds nothing takes well under a microsecond.
const COLLECTIONS: usize = 10_000;

/// The file that tells the highest version.
const WITNESS: &str = "witness";

/// sled, held to the rules that its measurements dictate: one writing thread, a flush after every batch, the file synced
/// by a descriptor of our own (sled's flush starts the writes and waits for them, but is no barrier), a small cache.
pub struct Sled {
    dir: PathBuf,
    db: sled::Db,
    trees: [sled::Tree; 4],
    file: std::fs::File,
}

impl Sled {
    /// Opens or makes the database. sled may panic on a damaged file: that becomes an error here.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let fault = |doing, cause: String| StoreError::Pages { dir: dir.to_path_buf(), doing, cause };
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(Some(500));
        let db = match catch(|| open_patiently(&config, dir)) {
            Ok(Ok(db)) => db,
            Ok(Err(error)) => return Err(fault("opening it", error.to_string())),
            Err(panic) => return Err(fault("opening it", panic)),
        };
        let tree = |table: Table| db.open_tree(table.name()).map_err(|error| fault("opening it", error.to_string()));
        let trees = [tree(Table::Meta)?, tree(Table::Manifest)?, tree(Table::Pages)?, tree(Table::Blobs)?];
        let file = std::fs::File::open(dir.join("db")).map_err(|cause| StoreError::io(&dir.join("db"), cause))?;
        Ok(Sled { dir: dir.to_path_buf(), db, trees, file })
    }

    fn fault(&self, doing: &'static str, cause: impl ToString) -> StoreError {
        StoreError::Pages { dir: self.dir.clone(), doing, cause: cause.to_string() }
    }

    fn tree(&self, table: Table) -> &sled::Tree {
        &self.trees[table as usize]
    }
}

/// A database that this process closed a moment ago holds its lock until sled's own threads are gone.
fn open_patiently(config: &sled::Config, dir: &Path) -> sled::Result<sled::Db> {
    let mut tries = 0;
    loop {
        match unfinished::open(config, dir) {
            Err(sled::Error::Io(error)) if tries < 100 && error.to_string().contains("lock") => {
                tries += 1;
                pause(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "sled tells nobody when its lock is free; only a reopen waits here")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Frees what closed databases have left: sled hands what it replaces to crossbeam's collector, which works a little
/// each time that a database is used, and after the last use never (60 MB after 4M keys).
pub fn free_closed() {
    for _ in 0..COLLECTIONS {
        crossbeam_epoch::pin().flush();
    }
}

fn witness_of(version: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&version.to_be_bytes());
    bytes[8..].copy_from_slice(&(!version).to_be_bytes());
    bytes
}

/// 0 where a crash left half of it.
fn read_witness(bytes: &[u8]) -> u64 {
    let version = bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    if witness_of(version) == bytes { version } else { 0 }
}

/// Runs what may panic inside sled; the panic's words as an error.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_string());
        words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".into())
    })
}

impl Pages for Sled {
    fn apply(&self, table: Table, ops: Vec<Op>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(key, value),
                Op::Remove(key) => batch.remove(key),
            }
        }
        self.tree(table).apply_batch(batch).map_err(|error| self.fault("writing", error))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| self.fault("flush", error))?;
        self.file.sync_data().map_err(|error| self.fault("fdatasync", error))
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.tree(table).get(key).map_err(|error| self.fault("reading", error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Rows<'_> {
        let rows = self.tree(table).scan_prefix(prefix);
        Box::new(rows.map(|row| match row {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(self.fault("reading", error)),
        }))
    }

    fn witness(&self) -> Result<u64, StoreError> {
        let path = self.dir.join(WITNESS);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(read_witness(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(StoreError::io(&path, error)),
        }
    }

    fn set_witness(&self, version: u64) {
        // One that can't be written stays behind, which is allowed; it is not synced for the same reason.
        let _ = std::fs::write(self.dir.join(WITNESS), witness_of(version));
    }

    fn disk_bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }

    fn dir(&self) -> &Path {
        &self.dir
    }
}
