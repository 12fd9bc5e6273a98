//! What the appender, the sync thread and the readers of a log share, and the sync thread's work.
//!
//! The appender never waits here: it publishes its end in an atomic, asks for a sync by a flag, and reads the answer from
//! an atomic. The mutex is held for a few instructions by each side, never across a system call.

use super::record::SegmentHeader;
use super::segment::{Blank, Segment};
use crate::base::Offset;
use crate::base::limits::{LOG_ROOM_AHEAD_BYTES as ROOM_AHEAD, LOG_ROOM_BYTES_MIN as ROOM_LEAST};
use crate::store::error::LogError;
use crate::store::medium::Medium;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Called from the sync thread when a sync has ended or failed, or the room for appends has changed.
pub type Waker = Box<dyn Fn() + Send + Sync>;

pub struct Shared {
    pub medium: Arc<dyn Medium>,
    pub end: AtomicU64,
    pub synced: AtomicU64,
    pub faulty: AtomicBool,
    /// `State::short` is there.
    pub short: AtomicBool,
    pub state: Mutex<State>,
    wanted: Condvar,
    done: Condvar,
    waker: Waker,
}

pub struct State {
    pub generation: u64,
    /// The segments of this generation, by offset; the last is appended to.
    pub segments: Vec<Arc<Segment>>,
    /// The one before the last, from the moment that it is left until it is synced.
    pub closing: Option<Arc<Segment>>,
    /// The next segment's file, durable and with room.
    pub spare: Option<Blank>,
    pub spare_wanted: bool,
    pub sync_wanted: bool,
    pub room_wanted: bool,
    /// Why there is less room reserved than there must be.
    pub short: Option<LogError>,
    /// Files to be removed.
    pub remove: Vec<String>,
    /// Files that could not be removed: they go before any other.
    pub stuck: Vec<String>,
    pub fault: Option<LogError>,
    pub stop: bool,
    pub syncing_since: Option<Instant>,
    pub last_sync: Option<SyncCost>,
    pub syncs: u64,
    /// The last failure to make or remove a file, for people to see.
    pub trouble: Option<LogError>,
}

/// When the last good sync ended, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct SyncCost {
    pub ended: Instant,
    pub took: Duration,
}

impl Shared {
    pub fn new(medium: Arc<dyn Medium>, generation: u64, segments: Vec<Arc<Segment>>, waker: Waker) -> Self {
        let end = segments.last().map_or(Offset(0), |last| last.end());
        // Here and not behind the loop's back: the first append counts on it already.
        let short = segments.last().and_then(|last| last.make_room().err());
        Shared {
            medium,
            end: AtomicU64::new(end.0),
            synced: AtomicU64::new(end.0),
            faulty: AtomicBool::new(false),
            short: AtomicBool::new(short.is_some()),
            state: Mutex::new(State {
                generation,
                segments,
                closing: None,
                spare: None,
                spare_wanted: true,
                sync_wanted: false,
                room_wanted: false,
                short,
                remove: Vec::new(),
                stuck: Vec::new(),
                fault: None,
                stop: false,
                syncing_since: None,
                last_sync: None,
                syncs: 0,
                trouble: None,
            }),
            wanted: Condvar::new(),
            done: Condvar::new(),
            waker,
        }
    }

    pub fn synced(&self) -> Offset {
        Offset(self.synced.load(Ordering::Acquire))
    }

    pub fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Changes what is wanted and wakes the thread.
    pub fn want(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.wanted.notify_one();
    }

    /// Waits until this generation is synced up to `offset`.
    pub fn wait_synced(&self, generation: u64, offset: Offset) -> Result<(), LogError> {
        let mut state = self.state.lock();
        loop {
            if state.generation != generation || (state.stop && self.synced() < offset) {
                return Err(LogError::Superseded { generation });
            }
            if let Some(fault) = &state.fault {
                return Err(fault.clone());
            }
            if self.synced() >= offset {
                return Ok(());
            }
            state.sync_wanted = true;
            self.wanted.notify_one();
            self.done.wait(&mut state);
        }
    }

    /// The sync thread: works until the log is dropped.
    pub fn serve(&self) {
        let mut state = self.state.lock();
        while !state.stop {
            state = match self.work(state) {
                (state, true) => state,
                (mut state, false) => {
                    self.wanted.wait(&mut state);
                    state
                }
            };
        }
        while let (state_after, true) = self.work(state) {
            state = state_after;
        }
        self.done.notify_all();
    }

    /// Does one piece of work, if any is wanted; says whether there was one. Tests without a thread call it directly.
    pub fn work<'a>(&'a self, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, bool) {
        if state.room_wanted {
            state.room_wanted = false;
            return (self.make_room(state), true);
        }
        // A spare says that all segments but the last are on the disk.
        if state.spare_wanted && state.closing.is_none() && !state.stop {
            state.spare_wanted = false;
            if state.spare.is_none() && state.fault.is_none() {
                return (self.make_spare(state), true);
            }
        }
        if state.sync_wanted {
            state.sync_wanted = false;
            return (self.sync(state), true);
        }
        if !state.remove.is_empty() {
            return (self.remove(state), true);
        }
        (state, false)
    }

    /// Wakes those who wait for a sync, to look again.
    pub fn wake_waiters(&self) {
        self.done.notify_all();
    }

    fn wake(&self) {
        self.done.notify_all();
        (self.waker)();
    }

    /// Brings the segment that was left to the disk, and then the one that is appended to.
    fn sync<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.fault.is_some() {
            return state;
        }
        let generation = state.generation;
        let closing = state.closing.clone();
        let segments: Vec<_> = closing.iter().chain(state.segments.last()).cloned().collect();
        let began = now();
        state.syncing_since = Some(began);
        drop(state);
        let (mut reached, mut fault) = (None, None);
        for segment in segments {
            let target = segment.end();
            match segment.file.sync_data() {
                Ok(()) => reached = Some(target),
                Err(cause) => {
                    fault = Some((segment, cause));
                    break;
                }
            }
        }
        let closed = closing.filter(|_| reached.is_some());
        if let Some(closed) = &closed {
            closed.close();
        }
        let mut state = self.state.lock();
        state.syncing_since = None;
        if state.generation == generation {
            if let Some(reached) = reached {
                self.synced.fetch_max(reached.0, Ordering::Release);
            }
            if closed.is_some() {
                state.closing = None;
            }
            match fault {
                None => {
                    let ended = now();
                    state.last_sync = Some(SyncCost { ended, took: ended - began });
                    state.syncs += 1;
                }
                Some((segment, cause)) => self.fail(&mut state, &segment, cause),
            }
        }
        MutexGuard::unlocked(&mut state, || self.wake());
        state
    }

    /// Reserves space for what is to be appended next, and tells whether there is enough of it.
    fn make_room<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(segment) = state.segments.last().cloned() else { return state };
        drop(state);
        let result = segment.make_room();
        let mut state = self.state.lock();
        if state.segments.last().is_some_and(|last| Arc::ptr_eq(last, &segment)) {
            let changed = state.short.is_some() != result.is_err();
            state.short = result.err();
            self.short.store(state.short.is_some(), Ordering::Release);
            if changed {
                MutexGuard::unlocked(&mut state, || self.wake());
            }
        }
        state
    }

    /// The same, from the thread that appends.
    pub fn make_room_now(&self) {
        drop(self.make_room(self.state.lock()));
    }

    fn fail(&self, state: &mut State, segment: &Segment, cause: std::io::Error) {
        if state.fault.is_some() {
            return;
        }
        let fault = LogError::Sync { file: segment.path.clone(), offset: self.synced(), cause: Arc::new(cause) };
        state.fault = Some(fault);
        self.faulty.store(true, Ordering::Release);
    }

    /// Makes the next segment's file, durable and with room: without it the old one grows on.
    fn make_spare<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(last) = state.segments.last().cloned() else { return state };
        assert!(state.closing.is_none(), "a segment that was left is synced before a third one is made");
        let generation = state.generation;
        let header = SegmentHeader {
            generation,
            number: last.header.number + 1,
            synced: self.synced(),
            replid: last.start.replid,
        };
        drop(state);
        let name = header.file_name();
        let made = self.spare(header);
        let mut state = self.state.lock();
        match made {
            Ok(spare) if state.generation == generation => state.spare = Some(spare),
            Ok(_) => state.remove.push(name),
            // What is left of it holds nothing, and goes when it is tried again: removed later, it might take that with it.
            Err(error) => state.trouble = Some(error),
        }
        state
    }

    fn spare(&self, header: SegmentHeader) -> Result<Blank, LogError> {
        let name = header.file_name();
        // What is left of one that could not be made.
        self.unmake(&name).map_err(|cause| LogError::files(self.medium.path(&name), cause))?;
        let blank = Blank::create(&*self.medium, header, &[ROOM_AHEAD, ROOM_LEAST])?;
        blank.settle(&*self.medium)?;
        Ok(blank)
    }

    fn unmake(&self, name: &str) -> std::io::Result<()> {
        match self.medium.remove(name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.medium.sync_dir(),
        }
    }

    fn remove<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut names = std::mem::take(&mut state.stuck);
        names.append(&mut state.remove);
        drop(state);
        let mut trouble = None;
        let mut gone = 0;
        // One after the other, oldest first, each durable before the next: what a power cut leaves has no gap.
        for name in &names {
            if let Err(cause) = self.unmake(name) {
                trouble = Some(LogError::files(self.medium.path(name), cause));
                break;
            }
            gone += 1;
        }
        let mut state = self.state.lock();
        state.stuck = names.split_off(gone);
        if trouble.is_some() {
            state.trouble = trouble;
        }
        state
    }
}

/// The clock of fsync's cost and age, which only this thread can take.
#[expect(clippy::disallowed_methods, reason = "the sync thread belongs to the store and measures its own fsync")]
fn now() -> Instant {
    Instant::now()
}
