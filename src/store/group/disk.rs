//! The medium on disk: one sled tree, one batch a round, then a real barrier.
//!
//! sled 0.34's `flush` ends in `sync_file_range`, which is no barrier for the drive and does not sync the file's size;
//! fdatasync on a descriptor of our own for the same file is. Its background flusher stays on: it alone collects old
//! segments. The cache is small: records are read once, at open.
//!
//! The witness: sled takes a bad record for a torn tail and goes on without it and all that follows, silently. A member
//! that forgets a vote or an entry that it answered for breaks the agreement of all. So each batch carries its number, and
//! after it is durable the number goes into a small file beside sled (not synced: it can only be behind, and a process
//! crash loses none of it). A store that opens with less than its witness is refused (test
//! `a_directory_in_use_damaged_or_forbidden_says_so`).

use super::{Change, GroupMedium, GroupStoreError, Records};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Our own mark of the layout: a directory of a later layout is refused, not guessed at.
const FORMAT: &[u8] = b"regent-group-1";
/// sled lets go of its lock a moment after its last handle: a restart in the same process waits for it this often.
const LOCK_TRIES: u32 = 40;
const LOCK_WAIT: Duration = Duration::from_millis(25);
/// The key of the batch number; sorts before all records, and is none.
const ROUND: &[u8] = b"\0round";

/// sled under one directory. Dropping it lets the directory go.
pub struct DiskMedium {
    dir: PathBuf,
    db: sled::Db,
    records: sled::Tree,
    barrier: File,
    witness: File,
    round: u64,
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
        let round = records.get(ROUND).map_err(|why| explain(dir, why))?;
        let round = round.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0);
        let witness = File::options().read(true).write(true).create(true).truncate(false).open(dir.join("witness"));
        let witness = witness.map_err(|why| GroupStoreError::Unusable(dir.to_owned(), why))?;
        let seen = read_witness(&witness).map_err(|why| GroupStoreError::Unusable(dir.to_owned(), why))?;
        if seen > round {
            let text = format!("it goes up to batch {round}, and {seen} were written");
            return Err(GroupStoreError::Corrupt(dir.to_owned(), text));
        }
        Ok(DiskMedium { dir: dir.to_owned(), db, records, barrier, witness, round })
    }
}

impl GroupMedium for DiskMedium {
    fn load(&mut self) -> Result<Records, GroupStoreError> {
        self.records
            .range(vec![1]..)
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
        self.round += 1;
        batch.insert(ROUND, &self.round.to_be_bytes());
        self.records.apply_batch(batch)?;
        self.db.flush()?;
        self.barrier.sync_data()?;
        self.witness.write_all_at(&witness_of(self.round), 0)
    }
}

fn witness_of(round: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&round.to_be_bytes());
    bytes[8..].copy_from_slice(&(!round).to_be_bytes());
    bytes
}

/// The batch number of the witness; 0 where there is none, or a power cut left half of it.
fn read_witness(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 16];
    match file.read_exact_at(&mut bytes, 0) {
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
        other => other?,
    }
    let round = u64::from_be_bytes(*bytes.first_chunk().expect("16 bytes have 8"));
    Ok(if witness_of(round) == bytes { round } else { 0 })
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
