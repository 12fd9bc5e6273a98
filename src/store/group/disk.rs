//! The medium on disk: one sled tree, one batch a round, then a real barrier.
//!
//! sled 0.34's `flush` ends in `sync_file_range`, which is no barrier for the drive and does not sync the file's size;
//! fdatasync on a descriptor of our own for the same file is. Its background flusher stays on: it alone collects old
//! segments. The cache is small: records are read once, at open.

use super::{Change, GroupMedium, GroupStoreError, Records};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Our own mark of the layout: a directory of a later layout is refused, not guessed at.
const FORMAT: &[u8] = b"regent-group-1";
/// sled lets go of its lock a moment after its last handle: a restart in the same process waits for it this often.
const LOCK_TRIES: u32 = 40;
const LOCK_WAIT: Duration = Duration::from_millis(25);

/// sled under one directory. Dropping it lets the directory go.
pub struct DiskMedium {
    dir: PathBuf,
    db: sled::Db,
    records: sled::Tree,
    barrier: File,
}

impl DiskMedium {
    /// Opens or makes the directory.
    pub fn open(dir: &Path) -> Result<DiskMedium, GroupStoreError> {
        std::fs::create_dir_all(dir).map_err(|why| GroupStoreError::Unusable(dir.to_owned(), why))?;
        let db = open_when_unlocked(dir).map_err(|why| explain(dir, why))?;
        let layout = db.open_tree("layout").map_err(|why| explain(dir, why))?;
        let found = layout.get("format").map_err(|why| explain(dir, why))?;
        match found {
            None => {
                layout.insert("format", FORMAT).map_err(|why| explain(dir, why))?;
                db.flush().map_err(|why| explain(dir, why))?;
            }
            Some(format) if format == FORMAT => {}
            Some(format) => {
                let text = format!("its format is {:?}, this version reads {:?}", format, sled::IVec::from(FORMAT));
                return Err(GroupStoreError::Corrupt(dir.to_owned(), text));
            }
        }
        let records = db.open_tree("records").map_err(|why| explain(dir, why))?;
        let barrier = File::open(dir.join("db")).map_err(|why| GroupStoreError::Unusable(dir.to_owned(), why))?;
        Ok(DiskMedium { dir: dir.to_owned(), db, records, barrier })
    }
}

impl GroupMedium for DiskMedium {
    fn load(&mut self) -> Result<Records, GroupStoreError> {
        self.records
            .iter()
            .map(|record| {
                record.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(|why| explain(&self.dir, why))
            })
            .collect()
    }

    fn commit(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Put { key, value } => batch.insert(key.as_slice(), value.as_slice()),
                Change::Delete { key } => batch.remove(key.as_slice()),
            }
        }
        self.records.apply_batch(batch)?;
        self.db.flush()?;
        self.barrier.sync_data()
    }
}

#[expect(clippy::disallowed_methods, reason = "start-up only, before any task runs; sled offers no wait for its lock")]
fn open_when_unlocked(dir: &Path) -> sled::Result<sled::Db> {
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(250));
    for _ in 1..LOCK_TRIES {
        match config.open() {
            Err(sled::Error::Io(why)) if is_lock(&why) => std::thread::sleep(LOCK_WAIT),
            other => return other,
        }
    }
    config.open()
}

fn is_lock(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::WouldBlock || why.to_string().contains("could not acquire lock")
}

fn explain(dir: &Path, why: sled::Error) -> GroupStoreError {
    match why {
        sled::Error::Io(why) if is_lock(&why) => GroupStoreError::Locked(dir.to_owned()),
        sled::Error::Io(why) => GroupStoreError::Unusable(dir.to_owned(), why),
        other => GroupStoreError::Corrupt(dir.to_owned(), other.to_string()),
    }
}
