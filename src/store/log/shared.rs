//! What the appender, the sync thread and the readers of a log share, and the sync thread's work.
//!
//! The appender never waits here: it publishes its end in an atomic, asks for a sync by a flag, and reads the answer from
//! an atomic. The mutex is held for a few instructions by each side, never across a system call.

use super::record::SegmentHeader;
use super::segment::Segment;
use crate::base::Offset;
use crate::base::limits::{LOG_ROOM_AHEAD_BYTES as ROOM_AHEAD, LOG_ROOM_BYTES_MIN as ROOM_LEAST};
use crate::store::error::LogError;
use crate::store::medium::Medium;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Called from the sync thread when a sync has ended or failed, or a segment has been made.
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
    pub sync_wanted: bool,
    pub room_wanted: bool,
    /// Why there is less room reserved than there must be.
    pub short: Option<LogError>,
    pub roll: Roll,
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

/// The change to the next segment.
pub enum Roll {
    No,
    /// The appender holds still; the next segment is to begin with this header.
    Wanted(SegmentHeader),
    /// In the sync thread's hands.
    Running,
    Done(Arc<Segment>),
    Failed,
}

impl Shared {
    pub fn new(medium: Arc<dyn Medium>, generation: u64, segments: Vec<Arc<Segment>>, waker: Waker) -> Self {
        let end = segments.last().map_or(Offset(0), |last| last.end());
        Shared {
            medium,
            end: AtomicU64::new(end.0),
            synced: AtomicU64::new(end.0),
            faulty: AtomicBool::new(false),
            short: AtomicBool::new(false),
            state: Mutex::new(State {
                generation,
                segments,
                sync_wanted: false,
                room_wanted: true,
                short: None,
                roll: Roll::No,
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
        if let Roll::Wanted(header) = state.roll {
            state.roll = Roll::Running;
            return (self.roll(state, header), true);
        }
        if state.room_wanted {
            state.room_wanted = false;
            return (self.make_room(state), true);
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

    fn sync<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(segment) = state.segments.last().cloned() else { return state };
        if state.fault.is_some() {
            return state;
        }
        let generation = state.generation;
        let target = segment.end();
        let began = now();
        state.syncing_since = Some(began);
        drop(state);
        let result = segment.file.sync_data();
        let mut state = self.state.lock();
        state.syncing_since = None;
        if state.generation == generation {
            match result {
                Ok(()) => {
                    self.synced.fetch_max(target.0, Ordering::Release);
                    let ended = now();
                    state.last_sync = Some(SyncCost { ended, took: ended - began });
                    state.syncs += 1;
                }
                Err(cause) => self.fail(&mut state, &segment, cause),
            }
        }
        MutexGuard::unlocked(&mut state, || self.wake());
        state
    }

    /// Reserves space for what is to be appended next, and tells whether there is enough of it.
    fn make_room<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(segment) = state.segments.last().cloned() else { return state };
        drop(state);
        let result = segment.reserve(ROOM_AHEAD).or_else(|_| segment.reserve(ROOM_LEAST));
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

    fn fail(&self, state: &mut State, segment: &Segment, cause: std::io::Error) {
        if state.fault.is_some() {
            return;
        }
        let fault = LogError::Sync { file: segment.path.clone(), offset: self.synced(), cause: Arc::new(cause) };
        state.fault = Some(fault);
        self.faulty.store(true, Ordering::Release);
    }

    /// Closes the last segment and makes the next: sync, create, sync, sync the directory.
    fn roll<'a>(&'a self, state: MutexGuard<'a, State>, header: SegmentHeader) -> MutexGuard<'a, State> {
        let generation = state.generation;
        let last = state.segments.last().cloned();
        let faulty = state.fault.is_some();
        drop(state);
        let closed = match &last {
            Some(last) if !faulty => last.file.sync_data(),
            // A sync failed since the roll was wanted: one that succeeds now would say nothing.
            Some(_) => Err(std::io::Error::other("an fsync before it failed")),
            None => Ok(()),
        };
        let made = match &closed {
            Ok(()) => self.successor(header),
            Err(_) => Err(LogError::Busy),
        };
        // A half-made successor must be gone for good before the old segment grows on: its name claims the offset.
        let cleaned = match (&closed, &made) {
            (Ok(()), Err(_)) => self.unmake(&header.file_name()),
            _ => Ok(()),
        };
        if let (Ok(_), Some(last)) = (&made, &last) {
            last.close();
        }
        let mut state = self.state.lock();
        if state.generation == generation {
            match (closed, made, cleaned) {
                (Ok(()), Ok(next), _) => {
                    self.synced.fetch_max(header.start.0, Ordering::Release);
                    let next = Arc::new(next);
                    state.segments.push(next.clone());
                    state.roll = Roll::Done(next);
                }
                (Ok(()), Err(error), Ok(())) => {
                    self.synced.fetch_max(header.start.0, Ordering::Release);
                    state.trouble = Some(error);
                    state.roll = Roll::Failed;
                }
                (Err(cause), _, _) | (Ok(()), Err(_), Err(cause)) => {
                    let last = last.expect("a log that rolls has a segment");
                    self.fail(&mut state, &last, cause);
                    state.roll = Roll::Failed;
                }
            }
        }
        MutexGuard::unlocked(&mut state, || self.wake());
        state
    }

    /// The next segment, durable, with room for what comes: without it the old one, which has some left, grows on.
    fn successor(&self, header: SegmentHeader) -> Result<Segment, LogError> {
        let next = Segment::create(&*self.medium, header)?;
        next.reserve(ROOM_AHEAD).or_else(|_| next.reserve(ROOM_LEAST))?;
        next.settle(&*self.medium)?;
        Ok(next)
    }

    fn unmake(&self, name: &str) -> std::io::Result<()> {
        match self.medium.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => self.medium.sync_dir(),
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
