//! The open store: log and checkpoint together, and the order in which generations follow each other.
//!
//! ```text
//! new_generation: segment of g+1 durable ── appends go there ── checkpoint naming g+1 current ── files of g removed
//!                 └ a crash before the checkpoint is current recovers g, as if g+1 had never been
//! ```

use super::checkpoint::{Checkpoint, CheckpointInfo, Done, Manifest};
use super::error::{LogError, StoreError};
use super::history::History;
use super::lock::DirLock;
use super::log::{Log, LogInfo, Origin};
use super::medium::Medium;
use crate::base::Offset;
use std::collections::BTreeMap;
use std::sync::Arc;

type Wake = Arc<dyn Fn() + Send + Sync>;

/// Whom the store's threads wake. Both are called from other threads and must not block.
#[derive(Clone)]
pub struct Wakers {
    /// A sync has ended or failed, or a segment has been made.
    pub log: Wake,
    /// A checkpoint has ended, or there is room in the queue.
    pub checkpoint: Wake,
}

impl Default for Wakers {
    /// Nobody.
    fn default() -> Self {
        Wakers { log: Arc::new(|| {}), checkpoint: Arc::new(|| {}) }
    }
}

impl Wakers {
    pub(super) fn log(&self) -> super::log::Waker {
        let wake = self.log.clone();
        Box::new(move || wake())
    }

    pub(super) fn checkpoint(&self) -> super::checkpoint::Waker {
        let wake = self.checkpoint.clone();
        Box::new(move || wake())
    }
}

/// What the caller tells with a checkpoint: the state at C that is not in pages.
#[derive(Clone, Debug)]
pub struct State {
    /// The offset C that the pages show: the end of a turn, appended to the log.
    pub offset: Offset,
    /// The stream's selected database at C.
    pub db: u32,
    /// The history at C.
    pub history: History,
    /// What the keyspace needs to read its pages.
    pub keyspace: Vec<u8>,
    /// Functions and whatever else is state.
    pub extra: BTreeMap<String, Vec<u8>>,
}

/// Figures for INFO persistence.
#[derive(Clone, Debug)]
pub struct Info {
    /// The log, where it is on.
    pub log: Option<LogInfo>,
    /// The checkpoint.
    pub checkpoint: CheckpointInfo,
}

/// The open store; owned by the node's loop.
pub struct Store {
    log: Option<Log>,
    checkpoint: Checkpoint,
    medium: Arc<dyn Medium>,
    /// Files of generations that are over once the checkpoint that names the newest is current.
    retired: Vec<String>,
    highest: u64,
    named: Option<Manifest>,
    segment_bytes: u64,
    wakers: Wakers,
    threaded: bool,
    _lock: Option<DirLock>,
}

impl Store {
    #[expect(clippy::too_many_arguments, reason = "made in one place, out of the parts that recovery found")]
    pub(super) fn new(
        log: Option<Log>,
        checkpoint: Checkpoint,
        medium: Arc<dyn Medium>,
        retired: Vec<String>,
        highest: u64,
        named: Option<Manifest>,
        segment_bytes: u64,
        wakers: Wakers,
        threaded: bool,
        lock: Option<DirLock>,
    ) -> Self {
        Store { log, checkpoint, medium, retired, highest, named, segment_bytes, wakers, threaded, _lock: lock }
    }

    /// The log; `None` while it is off.
    pub fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// The log, to append to.
    pub fn log_mut(&mut self) -> Option<&mut Log> {
        self.log.as_mut()
    }

    /// The checkpoint's writer.
    pub fn checkpoint(&mut self) -> &mut Checkpoint {
        &mut self.checkpoint
    }

    /// The manifest of the current checkpoint, as far as [`poll`](Self::poll) has told.
    pub fn current(&self) -> Option<&Manifest> {
        self.named.as_ref()
    }

    /// Ends the checkpoint under way: once it, and the log up to its offset, are on disk, it becomes current, and
    /// [`poll`](Self::poll) tells. An error if the log does not reach the offset.
    pub fn commit(&mut self, state: State) -> Result<(), StoreError> {
        let sync = match &self.log {
            Some(log) if state.offset < log.start() || state.offset > log.end() => {
                self.checkpoint.abort();
                let (start, end) = (log.start(), log.end());
                return Err(LogError::OutOfRange { asked: state.offset, start, end }.into());
            }
            Some(log) => Some(log.sync_handle()),
            None => None,
        };
        let State { offset, db, history, keyspace, extra } = state;
        let generation = self.log.as_ref().map_or(self.highest, Log::generation);
        let manifest = Manifest { generation, log: sync.is_some(), offset, db, history, keyspace, extra };
        self.checkpoint.commit(manifest, sync);
        Ok(())
    }

    /// The next checkpoint that has ended, if any. If it named the newest generation, the files of former ones go.
    pub fn poll(&mut self) -> Option<Done> {
        let done = self.checkpoint.poll()?;
        self.take(&done);
        Some(done)
    }

    /// Waits for the next checkpoint that ends (SAVE, a clean shutdown).
    pub fn wait(&mut self) -> Done {
        let done = self.checkpoint.wait();
        self.take(&done);
        done
    }

    fn take(&mut self, done: &Done) {
        let Ok(finished) = &done.result else { return };
        self.named = Some(finished.manifest.clone());
        if !self.newest_is_named() {
            return;
        }
        let names = std::mem::take(&mut self.retired);
        match &self.log {
            Some(log) => log.remove(names),
            // No thread to do it: a few unlinks, once in the life of a log. What stays is removed at the next start.
            None => names.iter().for_each(|name| drop(self.medium.remove(name))),
        }
    }

    /// Whether the current checkpoint names the log that is being written (or says that there is none).
    fn newest_is_named(&self) -> bool {
        self.named.as_ref().is_some_and(|named| match &self.log {
            Some(log) => named.log && named.generation == log.generation(),
            None => !named.log,
        })
    }

    /// Whether what is appended now will be recovered: false from [`new_generation`](Self::new_generation) until the
    /// checkpoint that names it is current. While it is false, nothing appended may be promised to anyone.
    pub fn log_is_trusted(&self) -> bool {
        self.log.as_ref().is_some_and(|log| self.newest_is_named() || log.is_genesis())
    }

    /// Goes on in a new log generation that begins at `origin`: after a full copy, after a failed fsync, and when the log
    /// is turned on. Its first segment is durable when this returns; it counts once a checkpoint at or beyond
    /// `origin.offset` is current, and a crash before that recovers what was before. Any checkpoint under way is given up.
    pub fn new_generation(&mut self, origin: Origin) -> Result<u64, StoreError> {
        self.checkpoint.abort();
        let generation = self.highest + 1;
        let first = Log::begin(&*self.medium, generation, Origin { genesis: false, ..origin })?;
        self.highest = generation;
        match &mut self.log {
            Some(log) => {
                self.retired.extend(log.names());
                log.switch(first);
            }
            None => {
                let waker = self.wakers.log();
                let medium = self.medium.clone();
                let (db, replid) = (origin.db, origin.replid);
                self.log =
                    Some(Log::resume(medium, vec![first], db, replid, self.segment_bytes, waker, self.threaded)?);
            }
        }
        Ok(generation)
    }

    /// Turns the log off. The checkpoint that the caller takes next says so; until it is current, a crash recovers what
    /// the log last held.
    pub fn log_off(&mut self) {
        if let Some(log) = self.log.take() {
            self.checkpoint.abort();
            self.retired.extend(log.names());
        }
    }

    /// Removes log segments that neither recovery nor the durable backlog needs; `keep_from`: the first offset that the
    /// backlog is to keep.
    pub fn trim(&mut self, keep_from: Offset) {
        if !self.newest_is_named() {
            return;
        }
        if let (Some(log), Some(named)) = (&mut self.log, &self.named) {
            log.trim(named.offset.min(keep_from));
        }
    }

    /// The figures for INFO.
    pub fn info(&self) -> Info {
        Info { log: self.log.as_ref().map(Log::info), checkpoint: self.checkpoint.info() }
    }
}
