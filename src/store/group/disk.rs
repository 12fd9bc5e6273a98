//! The medium on disk: one sled tree, one batch a round, then a real barrier.
//!
//! sled 0.34's `flush` ends in `sync_file_range`, which is no barrier for the drive and does not sync the file's size;
//! fdatasync on a descriptor of our own for the same file is. Its background flusher stays on: it alone collects old
//! segments. The cache is small: records are read once, at open.
//!
//! Records are kept in parts of at most [`PART_BYTES`]: sled writes a leaf of up to 16 rows as one item, and an item above
//! 128 KiB becomes a file of its own that it never syncs (test `large_records_leave_no_file_that_sled_does_not_sync`).
//!
//! The witness: sled takes a bad record for a torn tail and goes on without it and all that follows, silently. A member
//! that forgets a vote or an entry that it answered for breaks the agreement of all. So each batch carries its number, and
//! after it is durable the number goes into a small file beside sled (not synced: it can only be behind, and a process
//! crash loses none of it). A store that opens with less than its witness is refused (test
//! `a_directory_in_use_damaged_or_forbidden_says_so`).

use super::{Change, GroupMedium, GroupStoreError, Records};
use crate::store::unfinished;
use std::collections::BTreeMap;
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
/// Part n of a record that is longer: this, its key, n (big endian). They sort before the records too.
const PART: &[u8] = b"\0p";
/// The longest value of one row.
const PART_BYTES: usize = 7 * 1024;

/// sled under one directory. Dropping it lets the directory go.
pub struct DiskMedium {
    dir: PathBuf,
    db: sled::Db,
    records: sled::Tree,
    barrier: File,
    witness: File,
    round: u64,
    /// The records that are kept in parts, and how many each has.
    parts: BTreeMap<Vec<u8>, u32>,
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
        Ok(DiskMedium { dir: dir.to_owned(), db, records, barrier, witness, round, parts: BTreeMap::new() })
    }
}

impl GroupMedium for DiskMedium {
    fn load(&mut self) -> Result<Records, GroupStoreError> {
        let mut records = Records::new();
        for row in self.records.range(vec![1]..) {
            let (key, value) = row.map_err(|why| explain(&self.dir, why))?;
            records.insert(key.to_vec(), value.to_vec());
        }
        for row in self.records.scan_prefix(PART) {
            let (name, value) = row.map_err(|why| explain(&self.dir, why))?;
            let damaged = || GroupStoreError::Corrupt(self.dir.clone(), "a part of a record is missing".to_owned());
            let (key, number) = name[PART.len()..].split_last_chunk().ok_or_else(damaged)?;
            let count = self.parts.entry(key.to_vec()).or_default();
            if u32::from_be_bytes(*number) != *count {
                return Err(damaged());
            }
            *count += 1;
            records.entry(key.to_vec()).or_default().extend_from_slice(&value);
        }
        Ok(records)
    }

    fn commit(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut batch = sled::Batch::default();
        for change in changes {
            let key = match change {
                Change::Put { key, .. } | Change::Delete { key } => key,
            };
            for number in 0..self.parts.remove(key).unwrap_or(0) {
                batch.remove(part_key(key, number));
            }
            match change {
                Change::Put { value, .. } if value.len() <= PART_BYTES => {
                    batch.insert(key.as_slice(), value.as_slice());
                }
                Change::Put { value, .. } => {
                    batch.remove(key.as_slice());
                    let count = value.len().div_ceil(PART_BYTES) as u32;
                    for (number, part) in (0..count).zip(value.chunks(PART_BYTES)) {
                        batch.insert(part_key(key, number), part);
                    }
                    self.parts.insert(key.clone(), count);
                }
                Change::Delete { .. } => batch.remove(key.as_slice()),
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

fn part_key(key: &[u8], number: u32) -> Vec<u8> {
    [PART, key, &number.to_be_bytes()].concat()
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
        match unfinished::open(&config, dir) {
            Err(sled::Error::Io(why)) if is_lock(&why) => std::thread::sleep(LOCK_WAIT),
            other => return other,
        }
    }
    unfinished::open(&config, dir)
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
