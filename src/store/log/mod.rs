//! The durable log: the replication stream on disk, at the same offsets.
//!
//! ```text
//! loop:   append ──one write──> last segment ── full ──one more write──> spare ── is the last segment now
//! thread: sync_request ──fdatasync──> synced()   makes the next spare    readers: read(from) behind the appender
//! ```
//! The appender never waits for the disk: what a change of segments needs is made ahead and durable, and the one that was
//! left is synced behind its back. So a power cut may tear the last two segments, and recovery looks at both.
//!
//! Invariants (tests in `tests.rs` and `../torture.rs`):
//! 1. A record holds whole replication units; the log ends with its last good record (`assert` in [`Log::append`]).
//! 2. A segment's header and name are durable before its first record, and it is made only when all segments but the last
//!    are synced: none is told to be synced before the one that it follows (`assert` in `shared`).
//! 3. Records and headers tell the last synced offset: bad data above the highest told is a torn tail, which ends the log
//!    there, below it a fault.
//! 4. After a failed append the file ends at its last good record before anything else is written.
//! 5. After a failed fsync nothing is ever appended to this generation again.
//! 6. Room for what is to be appended is reserved on the disk ahead of it, by the sync thread; the appender is told when
//!    there is less than the least of it while all that it has executed still fits (`a_disk_that_fills_up_is_told_ahead`).
//!
//! Files in reading order: `record` (bytes), `segment` (one file, and the scan of its records), `shared` (the sync
//! thread's work), this one (the appender), `reader` (PSYNC from disk), `open` (what stands on the disk, and the cut).

mod open;
mod reader;
mod record;
mod segment;
mod shared;
#[cfg(test)]
mod tests;

pub use open::{Cut, Entry, Tail};
pub(super) use open::{OnDisk, look};
pub use reader::LogReader;
pub(super) use segment::Blank;
pub use shared::{SyncCost, Waker};

use super::error::LogError;
use super::history::HistoryChange;
use super::medium::Medium;
use crate::base::limits::{LOG_ROOM_BYTES_MIN as ROOM_LEAST, LOG_ROOM_LOW_BYTES as ROOM_LOW};
use crate::base::{Offset, ReplId};
use record::{Kind, RECORD_HEADER, RecordHeader, SegmentHeader, Start};
use segment::Segment;
use shared::Shared;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// How much is appended between two questions for room.
const ASK_AGAIN_BYTES: u64 = 1024 * 1024;

/// Where a log generation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The replication id there.
    pub replid: ReplId,
    /// The offset.
    pub offset: Offset,
    /// The stream's selected database there.
    pub db: u32,
    /// Whether the keyspace is empty there, so that the log alone tells everything.
    pub genesis: bool,
}

/// The append side of the durable log; owned by the node's loop.
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    active: Arc<Segment>,
    /// Bytes of header and good records in the active segment.
    length: u64,
    /// Bytes of a failed append may stand behind `length`.
    dirty: bool,
    end: Offset,
    db: u32,
    replid: ReplId,
    segment_bytes: u64,
    /// The length from which the active segment is to be closed.
    roll_at: u64,
    /// A spare that could not be begun, and may hold a part of that.
    stillborn: Option<Blank>,
    /// The length at which more room was asked for last.
    asked_at: u64,
}

/// The log's figures for INFO.
#[derive(Clone, Debug)]
pub struct LogInfo {
    /// The generation.
    pub generation: u64,
    /// The first offset on disk.
    pub start: Offset,
    /// The end of the log.
    pub end: Offset,
    /// What is known to be synced.
    pub synced: Offset,
    /// Bytes of the segments on disk, headers included.
    pub bytes: u64,
    /// How many segments.
    pub segments: usize,
    /// The last good fsync.
    pub last_sync: Option<SyncCost>,
    /// How many there were since the start of the process.
    pub syncs: u64,
    /// Since when one is running.
    pub syncing_since: Option<std::time::Instant>,
    /// The fault that ended this generation.
    pub fault: Option<LogError>,
    /// The last failure to make or remove a segment.
    pub trouble: Option<LogError>,
}

impl Log {
    /// A log over the segments found, which end at good records; `db` is the stream's database at the end. With
    /// `threaded` false no thread is started and `work` does the syncs.
    pub(super) fn resume(
        medium: Arc<dyn Medium>,
        segments: Vec<Arc<Segment>>,
        db: u32,
        replid: ReplId,
        segment_bytes: u64,
        waker: Waker,
        threaded: bool,
    ) -> Result<Log, LogError> {
        let active = segments.last().cloned().expect("a log has a segment");
        let shared = Arc::new(Shared::new(medium, active.header.generation, segments, waker));
        let thread = if threaded { Some(spawn(shared.clone())?) } else { None };
        Ok(Log {
            thread,
            length: active.length(),
            dirty: false,
            end: active.end(),
            db,
            replid,
            segment_bytes,
            roll_at: segment_bytes,
            stillborn: None,
            asked_at: 0,
            active,
            shared,
        })
    }

    /// Makes the first segment of a generation, durable when this returns.
    pub(super) fn begin(medium: &dyn Medium, generation: u64, origin: Origin) -> Result<Arc<Segment>, LogError> {
        let header = SegmentHeader { generation, number: 1, synced: origin.offset, replid: origin.replid };
        let name = header.file_name();
        // A file of that name is the rest of a generation that no checkpoint ever named.
        let fault = |cause| LogError::files(medium.path(&name), cause);
        if medium.list().map_err(fault)?.contains(&name) {
            medium.remove(&name).and_then(|()| medium.sync_dir()).map_err(fault)?;
        }
        let Origin { offset, replid, db, genesis } = origin;
        let blank = Blank::create(medium, header, &[])?;
        let segment = blank.begin(Start { offset, synced: offset, replid, db, genesis }).map_err(fault)?;
        blank.settle(medium)?;
        Ok(Arc::new(segment))
    }

    /// Appends a turn's bytes, whole replication units that leave the stream in database `db_after`, with one write.
    /// On an error nothing of them is in the log; [`LogError::may_retry`] says whether the same bytes may come again.
    pub fn append(&mut self, bytes: &[u8], db_after: u32) -> Result<(), LogError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.write(Kind::Stream, bytes, db_after)
    }

    /// Appends a change of history. Written (not synced) when this returns; ask for a sync before showing the new id
    /// where a power cut must not forget it.
    pub fn append_history(&mut self, change: &HistoryChange) -> Result<(), LogError> {
        self.write(Kind::History, &change.encode(), self.db)?;
        self.replid = change.history.replid;
        Ok(())
    }

    fn write(&mut self, kind: Kind, bytes: &[u8], db_after: u32) -> Result<(), LogError> {
        self.ready()?;
        let length = u32::try_from(bytes.len()).map_err(|_| LogError::TooLong { bytes: bytes.len() as u64 })?;
        let record = RecordHeader { kind, length, db: db_after, offset: self.end, synced: self.synced().min(self.end) };
        let head = record.encode(self.active.seed, bytes);
        if let Err(cause) = self.active.file.append(&head, bytes) {
            self.dirty = true;
            let error = self.write_error(cause);
            // If the cut fails as well, the next append tries it first.
            let _ = self.cut();
            return Err(error);
        }
        self.length += RECORD_HEADER as u64 + u64::from(length);
        self.end = record.end();
        self.db = db_after;
        self.active.extend(self.length, self.end);
        self.shared.end.store(self.end.0, Ordering::Release);
        if self.active.room() < ROOM_LOW && self.length >= self.asked_at + ASK_AGAIN_BYTES {
            self.asked_at = self.length;
            self.ask_room();
        }
        if self.active.room() < ROOM_LEAST && !self.shared.short.load(Ordering::Acquire) {
            self.shared.make_room_now(); // the thread is late, and nobody was told
        }
        Ok(())
    }

    /// Why the disk gives the log no more room, as far as is known: what is appended still fits what is reserved, but
    /// soon nothing will. Nothing new should be executed until it has gone.
    pub fn short(&self) -> Option<LogError> {
        if !self.shared.short.load(Ordering::Acquire) {
            return None;
        }
        self.shared.state.lock().short.clone()
    }

    /// Asks the sync thread for room to append to; the waker calls when the answer differs from what [`short`](Self::short)
    /// said.
    pub fn ask_room(&self) {
        self.shared.want(|state| state.room_wanted = true);
    }

    fn write_error(&self, cause: std::io::Error) -> LogError {
        LogError::Write { file: self.active.path.clone(), offset: self.end, cause: Arc::new(cause) }
    }

    fn cut(&mut self) -> Result<(), LogError> {
        self.active.cut().map_err(|cause| self.write_error(cause))?;
        self.dirty = false;
        Ok(())
    }

    /// Whether a segment can take a record now; goes on in the next one where the last is full.
    fn ready(&mut self) -> Result<(), LogError> {
        if self.shared.faulty.load(Ordering::Acquire)
            && let Some(fault) = self.fault()
        {
            return Err(fault);
        }
        if self.dirty {
            self.cut()?;
        }
        if self.length >= self.roll_at && self.end > self.active.start.offset {
            self.roll();
        }
        if let Some(stillborn) = &mut self.stillborn {
            // It may claim the offset at which the old segment is to grow on.
            stillborn.cut().map_err(|cause| self.write_error(cause))?;
            self.stillborn = None;
            self.shared.want(|state| state.spare_wanted = true);
        }
        Ok(())
    }

    /// Begins the spare, if there is one; if not, or if that fails, the old segment grows on for a while.
    fn roll(&mut self) {
        let spare = self.shared.state.lock().spare.take();
        self.roll_at = self.length + self.segment_bytes / 4;
        let Some(spare) = spare else { return self.shared.want(|state| state.spare_wanted = true) };
        let Log { end: offset, replid, db, .. } = *self;
        match spare.begin(Start { offset, synced: self.synced().min(offset), replid, db, genesis: false }) {
            Ok(next) => {
                let (next, left) = (Arc::new(next), self.active.clone());
                self.shared.want(|state| {
                    state.segments.push(next.clone());
                    state.closing = Some(left);
                    (state.sync_wanted, state.spare_wanted) = (true, true);
                });
                self.length = next.length();
                self.active = next;
                self.roll_at = self.segment_bytes;
                self.asked_at = 0;
            }
            Err(cause) => {
                let trouble = LogError::files(&spare.path, cause);
                self.shared.want(|state| state.trouble = Some(trouble));
                self.stillborn = Some(spare);
            }
        }
    }

    /// Asks the sync thread for an fdatasync of all that is appended; returns at once. The waker calls when it ended.
    pub fn sync_request(&self) {
        self.shared.want(|state| state.sync_wanted = true);
    }

    /// What is known to be on the disk.
    pub fn synced(&self) -> Offset {
        self.shared.synced()
    }

    /// Waits until everything appended is on the disk (shutdown, tests).
    pub fn sync_wait(&self) -> Result<(), LogError> {
        self.sync_handle().wait(self.end)
    }

    /// A handle with which another thread waits for syncs of this generation.
    pub fn sync_handle(&self) -> SyncHandle {
        SyncHandle { shared: self.shared.clone(), generation: self.generation() }
    }

    /// A handle that reads the log from any thread.
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.shared.clone())
    }

    /// The offset behind the last record.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The first offset on disk.
    pub fn start(&self) -> Offset {
        self.shared.state.lock().segments.first().map_or(self.end, |first| first.start.offset)
    }

    /// Whether the log alone tells everything, from an empty keyspace on.
    pub(super) fn is_genesis(&self) -> bool {
        self.shared.state.lock().segments.first().is_some_and(|first| first.start.genesis)
    }

    /// The stream's selected database at the end.
    pub fn db(&self) -> u32 {
        self.db
    }

    /// The generation.
    pub fn generation(&self) -> u64 {
        self.active.header.generation
    }

    /// Bytes of the segments on disk.
    pub fn bytes(&self) -> u64 {
        self.shared.state.lock().segments.iter().map(|segment| segment.length()).sum()
    }

    /// The fault that ended this generation, if one did.
    pub fn fault(&self) -> Option<LogError> {
        self.shared.state.lock().fault.clone()
    }

    /// Whether there is such a fault; costs nothing.
    pub fn is_faulty(&self) -> bool {
        self.shared.faulty.load(Ordering::Acquire)
    }

    /// Bounds a segment's length from the next one on.
    pub fn set_segment_bytes(&mut self, bytes: u64) {
        self.segment_bytes = bytes;
        self.roll_at = self.roll_at.min(bytes);
    }

    /// Removes whole segments that end at or below `below`; the caller passes the lower of the checkpoint's offset and
    /// what the durable backlog keeps.
    pub fn trim(&mut self, below: Offset) {
        self.shared.want(|state| {
            let keep = state.segments.len().saturating_sub(1);
            let gone = state.segments[..keep].iter().take_while(|segment| segment.end() <= below).count();
            let names = state.segments.drain(..gone).map(|segment| segment.name.clone());
            state.remove.extend(names);
        });
    }

    /// Removes these files on the sync thread.
    pub(super) fn remove(&self, names: Vec<String>) {
        self.shared.want(|state| state.remove.extend(names));
    }

    /// The names of this generation's files.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        let segments = state.segments.iter().map(|segment| &segment.name);
        let blanks = state.spare.iter().chain(&self.stillborn).map(|blank| &blank.name);
        segments.chain(blanks).cloned().collect()
    }

    /// Goes on in a new generation that begins with this segment (made by [`begin`](Self::begin)). The old one's files
    /// stay until the checkpoint that names the new one is current.
    pub(super) fn switch(&mut self, first: Arc<Segment>) {
        let start = first.start;
        self.shared.want(|state| {
            state.generation = first.header.generation;
            state.segments = vec![first.clone()];
            (state.closing, state.spare) = (None, None);
            state.sync_wanted = false;
            (state.room_wanted, state.spare_wanted) = (true, true);
            state.fault = None;
            self.shared.end.store(start.offset.0, Ordering::Release);
            self.shared.synced.store(start.offset.0, Ordering::Release);
            self.shared.faulty.store(false, Ordering::Release);
        });
        self.shared.wake_waiters();
        self.length = first.length();
        self.end = start.offset;
        self.db = start.db;
        self.replid = start.replid;
        self.dirty = false;
        self.stillborn = None;
        self.roll_at = self.segment_bytes;
        self.asked_at = 0;
        self.active = first;
    }

    /// The figures for INFO.
    pub fn info(&self) -> LogInfo {
        let state = self.shared.state.lock();
        LogInfo {
            generation: state.generation,
            start: state.segments.first().map_or(self.end, |first| first.start.offset),
            end: self.end,
            synced: self.synced(),
            bytes: state.segments.iter().map(|segment| segment.length()).sum(),
            segments: state.segments.len(),
            last_sync: state.last_sync,
            syncs: state.syncs,
            syncing_since: state.syncing_since,
            fault: state.fault.clone(),
            trouble: state.trouble.clone(),
        }
    }

    /// Does all that is wanted of the sync thread, where there is none.
    #[cfg(test)]
    pub(super) fn work(&self) {
        let mut state = self.shared.state.lock();
        loop {
            match self.shared.work(state) {
                (after, true) => state = after,
                (_, false) => return,
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.want(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for syncs from another thread: how the checkpoint is held until the log is on disk up to its offset.
#[derive(Clone)]
pub struct SyncHandle {
    shared: Arc<Shared>,
    generation: u64,
}

impl SyncHandle {
    /// Waits until the log is synced up to `offset`. An error if its fsync fails, the generation is superseded, or the
    /// offset lies beyond the end.
    pub fn wait(&self, offset: Offset) -> Result<(), LogError> {
        let end = self.shared.end();
        if offset > end {
            return Err(LogError::OutOfRange { asked: offset, start: Offset(0), end });
        }
        self.shared.wait_synced(self.generation, offset)
    }

    /// The generation it belongs to.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, LogError> {
    let path = shared.medium.path("");
    std::thread::Builder::new()
        .name("regent-log-sync".into())
        .spawn(move || shared.serve())
        .map_err(|cause| LogError::files(path, cause))
}
