//! The durable records of a sentinel's Raft group: one thread that writes them in rounds, over sled or over memory.
//!
//! What is kept is small (a log of a few thousand entries, one snapshot, a handful of named records), so all of it is
//! read once at open and the medium is written to only. Keys and values are bytes; `consensus/` gives them meaning.
//!
//! ```text
//! submit(changes, ack) --> bounded queue --> the thread: drain, merge into one batch, commit, then every ack in order
//! ```
//!
//! 1. What was submitted first is durable first: one queue, one thread (test `rounds_keep_the_order_of_submission`).
//! 2. A round is atomic: after a crash all of it is there or none (sled applies one batch to one tree).
//! 3. An ack comes after the disk has it: batch, `flush()`, fdatasync (`disk.rs`), never before.
//! 4. After one failed round nothing is written again and every later submission fails with the same words
//!    (test `the_first_fault_latches`).
//! 5. Lazy changes (no ack) ride with the next round, or go out alone after [`LAZY_WAIT`].
//!
//! Why one thread: sled 0.34 stalls for milliseconds, its `flush` is no disk barrier, and batches that are not flushed
//! pile up without bound; a single writer that flushes each batch has none of these troubles, and group commit is free.
//! Why only writes: a read from sled on an async task would stall heartbeats behind a slow disk.
//!
//! Files: `disk.rs` (sled), `memory.rs` (a double that survives its owner and can fail on demand).
//! Tests: `cargo test --lib store::group`.

mod disk;
mod memory;

pub use disk::DiskMedium;
pub use memory::MemoryMedium;

use crate::base::limits::SLED_VALUE_BYTES_MAX;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io, thread};

/// Submissions that may wait for the storage thread; a submitter beyond it waits for room.
const QUEUE_MAX: usize = 4096;
/// Submissions that one round takes at most.
const ROUND_MAX: u64 = 1024;
/// How long a change that nobody waits for may stay in memory, unless a round takes it along.
pub const LAZY_WAIT: Duration = Duration::from_millis(50);
/// Keys of the named small records begin with this byte; all others belong to `consensus/`.
const META: u8 = b'm';

/// One record written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets the record; a value of more than [`SLED_VALUE_BYTES_MAX`] is refused.
    Put { key: Vec<u8>, value: Vec<u8> },
    /// Removes the record, if it is there.
    Delete { key: Vec<u8> },
}

/// All records that a medium held when it was opened, in the order of their keys.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where the records are kept. Owned and called by the storage thread alone, but for [`GroupMedium::load`] before it
/// starts.
pub trait GroupMedium: Send + 'static {
    /// Reads everything.
    fn load(&mut self) -> Result<Records, GroupStoreError>;
    /// Makes these changes (a later one to the same key wins) durable together: on return the disk has all of them; on
    /// an error it may have all or none.
    fn commit(&mut self, changes: &[Change]) -> io::Result<()>;
}

/// Why the records could not be opened. The text names the directory and what to do.
#[derive(Debug)]
pub enum GroupStoreError {
    /// Another process (or another handle of this one) has it open.
    Locked(PathBuf),
    /// The directory cannot be made, read or written.
    Unusable(PathBuf, io::Error),
    /// What is there cannot be trusted: sled says so, or a record does not decode.
    Corrupt(PathBuf, String),
}

impl fmt::Display for GroupStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupStoreError::Locked(dir) => {
                write!(f, "the group store {} is in use by another process", dir.display())
            }
            GroupStoreError::Unusable(dir, why) => {
                write!(f, "the group store {} cannot be opened: {why}", dir.display())
            }
            GroupStoreError::Corrupt(dir, why) => write!(
                f,
                "the group store {} is damaged: {why}; move it away and start again: this sentinel then joins as a new \
                 member",
                dir.display()
            ),
        }
    }
}

impl std::error::Error for GroupStoreError {}

/// What a submitter is told, on the storage thread: it must not block.
pub type Ack = Box<dyn FnOnce(io::Result<()>) + Send>;

struct Submission {
    changes: Vec<Change>,
    ack: Option<Ack>,
}

enum Message {
    Write(Submission),
    Close,
}

/// How the storage thread fares. Two looks some seconds apart with `waiting > 0` and the same `rounds` are a stall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Rounds committed since open.
    pub rounds: u64,
    /// Submissions not yet acknowledged.
    pub waiting: u64,
    /// The fault that ended writing, once there is one.
    pub fault: Option<String>,
}

struct Shared {
    dir: PathBuf,
    submitted: AtomicU64,
    done: AtomicU64,
    rounds: AtomicU64,
    fault: Mutex<Option<String>>,
    meta: Mutex<BTreeMap<String, Vec<u8>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// A handle on the records; clones share the thread. The medium is closed by [`GroupStore::close`], or when the last
/// handle is gone.
#[derive(Clone)]
pub struct GroupStore {
    shared: Arc<Shared>,
    queue: Sender<Message>,
}

impl GroupStore {
    /// Opens (or makes) the records under `dir/name` on sled, and returns them with a handle to change them.
    pub fn open(dir: &Path, name: &str) -> Result<(GroupStore, Records), GroupStoreError> {
        let path = dir.join(name);
        GroupStore::over(DiskMedium::open(&path)?, path)
    }

    /// The same over any medium; `dir` only names it in messages.
    pub fn over<M: GroupMedium>(mut medium: M, dir: PathBuf) -> Result<(GroupStore, Records), GroupStoreError> {
        let mut records = medium.load()?;
        let other = records.split_off(&vec![META + 1]);
        let meta = records.split_off(&vec![META]);
        records.extend(other);
        let meta = meta
            .into_iter()
            .map(|(key, value)| match std::str::from_utf8(&key[1..]) {
                Ok(name) => Ok((name.to_owned(), value)),
                Err(_) => Err(GroupStoreError::Corrupt(dir.clone(), "a record's name is not text".into())),
            })
            .collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared {
            dir: dir.clone(),
            submitted: AtomicU64::new(0),
            done: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
            fault: Mutex::new(None),
            meta: Mutex::new(meta),
            thread: Mutex::new(None),
        });
        let (queue, inbox) = crossbeam_channel::bounded(QUEUE_MAX);
        let worker = Worker { medium, inbox, shared: shared.clone() };
        let thread = thread::Builder::new()
            .name("group-store".into())
            .spawn(move || worker.run())
            .map_err(|why| GroupStoreError::Unusable(dir, why))?;
        *shared.thread.lock() = Some(thread);
        Ok((GroupStore { shared, queue }, records))
    }

    /// The directory, for messages.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Hands changes to the storage thread. With an ack, they are written at once and the ack says how it went; without,
    /// they go with the next round (see [`LAZY_WAIT`]). Blocks only while thousands of submissions wait.
    pub fn submit(&self, changes: Vec<Change>, ack: Option<Ack>) {
        let too_long = changes
            .iter()
            .find_map(|change| match change {
                Change::Put { value, .. } if value.len() > SLED_VALUE_BYTES_MAX => Some(value.len()),
                _ => None,
            })
            .map(|len| io::Error::new(io::ErrorKind::InvalidInput, format!("a record of {len} bytes is too long")));
        if let Some(why) = too_long {
            debug_assert!(false, "{why}");
            return ack.into_iter().for_each(|ack| ack(Err(io::Error::new(why.kind(), why.to_string()))));
        }
        self.shared.submitted.fetch_add(1, Ordering::Relaxed);
        if let Err(refused) = self.queue.send(Message::Write(Submission { changes, ack }))
            && let Message::Write(Submission { ack: Some(ack), .. }) = refused.0
        {
            ack(Err(self.closed()));
        }
    }

    /// Writes and waits for the disk. For start-up and tools; a task uses [`GroupStore::submit`].
    pub fn write(&self, changes: Vec<Change>) -> io::Result<()> {
        let (tell, told) = crossbeam_channel::bounded(1);
        let ack = move |how| {
            let _ = tell.send(how);
        };
        self.submit(changes, Some(Box::new(ack)));
        told.recv().unwrap_or_else(|_| Err(self.closed()))
    }

    /// The small record of this name, as last submitted.
    pub fn meta(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.meta.lock().get(name).cloned()
    }

    /// Sets (or with `None` removes) a small record, with these changes in the same round; the ack says when the disk has
    /// all of it.
    pub fn put_meta(&self, name: &str, value: Option<Vec<u8>>, mut along: Vec<Change>, ack: Option<Ack>) {
        let mut key = vec![META];
        key.extend_from_slice(name.as_bytes());
        // Held while submitting: the map and the queue see two writers of one name in the same order.
        let mut meta = self.shared.meta.lock();
        let change = match value {
            Some(value) => {
                meta.insert(name.to_owned(), value.clone());
                Change::Put { key, value }
            }
            None => {
                meta.remove(name);
                Change::Delete { key }
            }
        };
        along.push(change);
        self.submit(along, ack);
    }

    /// How the thread fares.
    pub fn progress(&self) -> Progress {
        let done = self.shared.done.load(Ordering::Acquire);
        Progress {
            rounds: self.shared.rounds.load(Ordering::Acquire),
            waiting: self.shared.submitted.load(Ordering::Acquire).saturating_sub(done),
            fault: self.shared.fault.lock().clone(),
        }
    }

    /// Writes what is queued, closes the medium and waits for it: afterwards the directory can be opened again. Later
    /// submissions fail.
    pub fn close(&self) {
        let _ = self.queue.send(Message::Close);
        let thread = self.shared.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn closed(&self) -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, format!("the group store {} is closed", self.shared.dir.display()))
    }
}

struct Worker<M> {
    medium: M,
    inbox: Receiver<Message>,
    shared: Arc<Shared>,
}

impl<M: GroupMedium> Worker<M> {
    fn run(mut self) {
        let mut changes = Vec::new();
        let mut acks = Vec::new();
        let mut taken = 0u64;
        let mut open = true;
        while open {
            let first = if taken == 0 {
                self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.inbox.recv_timeout(LAZY_WAIT)
            };
            let mut next = match first {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    open = false;
                    None
                }
            };
            let waited = next.is_none();
            while let Some(message) = next {
                match message {
                    Message::Write(submission) => {
                        changes.extend(submission.changes);
                        acks.extend(submission.ack);
                        taken += 1;
                    }
                    Message::Close => open = false,
                }
                next = if open && taken < ROUND_MAX { self.inbox.try_recv().ok() } else { None };
            }
            if !acks.is_empty() || waited || !open || taken >= ROUND_MAX {
                self.round(&changes, &mut acks, taken);
                changes.clear();
                taken = 0;
            }
        }
    }

    fn round(&mut self, changes: &[Change], acks: &mut Vec<Ack>, taken: u64) {
        let fault = self.shared.fault.lock().clone();
        let how = match fault {
            Some(text) => Err(text),
            None if changes.is_empty() => Ok(()),
            None => self.medium.commit(changes).map_err(|why| {
                let text = format!("the group store {} failed: {why}", self.shared.dir.display());
                tracing::error!("{text}; nothing more is written to it");
                *self.shared.fault.lock() = Some(text.clone());
                text
            }),
        };
        if how.is_ok() && !changes.is_empty() {
            self.shared.rounds.fetch_add(1, Ordering::Release);
        }
        self.shared.done.fetch_add(taken, Ordering::Release);
        for ack in acks.drain(..) {
            ack(how.as_ref().map(|_| ()).map_err(|text| io::Error::other(text.clone())));
        }
    }
}

#[cfg(test)]
mod tests;
