//! The checkpoint: the keyspace at one offset, in sled, changed atomically.
//!
//! ```text
//! loop:  begin, put_page.., commit ──queue bounded in bytes──> storage thread ──rounds──> sled
//!        poll() <──────────── done, cost ────────────────────┘      (the only thread that writes to sled)
//! ```
//! Invariants (tests in `tests.rs`):
//! 1. A crash at any step leaves the former checkpoint or the new one whole (`a_crash_at_every_step`).
//! 2. What the current manifest names is never overwritten: pages are written under a new version.
//! 3. The log is synced up to C before a checkpoint at C becomes current.
//! 4. No value in sled is larger than a part of 7 KiB, so that no leaf becomes a file of its own, which sled would not
//!    sync (`torture::sled_makes_no_files_of_its_own`); every batch is followed by a flush (asserted by the double).
//! 5. A checkpoint of another keyspace (a full copy's) holds nothing of the one before (`a_crash_at_every_step`;
//!    `tests/replication.rs`, `a_full_copy_leaves_nothing_of_an_older_checkpoint`).
//! 6. A page that does not match its checksum is a named fault, never returned; nor is a page, a manifest or the
//!    current record that is missing taken for an earlier state (`what_the_database_lost_is_noticed`).
//!
//! Files in reading order: `pages` (the database behind a trait, and sled), `manifest` (what is stored), `builder` (the
//! steps), this one (the queue and the thread), `reading` (recovery), `memory` (the double of the tests).
//!
//! Why pages and not keys: one sled entry a key costs 30 to 70 times the time of packed pages, and gigabytes of memory.

pub(super) mod builder;
mod image;
pub(super) mod manifest;
#[cfg(test)]
pub(super) mod memory;
pub(super) mod pages;
mod reading;
#[cfg(test)]
mod tests;

pub use builder::Work;
pub use image::{Image, Visit};
pub use manifest::Manifest;
pub use reading::PieceReader;

use super::background::give_way;
use super::error::StoreError;
use super::log::SyncHandle;
use builder::{Builder, Place};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Called from the storage thread when a checkpoint has ended, or when there is room in the queue again.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// The queue is full: the bytes come back, to be given again when the waker has called.
#[derive(Debug)]
pub struct Full(pub Vec<u8>);

/// A checkpoint that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// What [`Checkpoint::begin`] returned.
    pub ticket: u64,
    /// What became of it.
    pub result: Result<Finished, StoreError>,
}

/// A checkpoint that is current.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What it shows.
    pub manifest: Manifest,
    /// What was written.
    pub work: Work,
    /// How long it took, from the first job to the switch.
    pub took: Duration,
    /// When the switch was durable.
    pub ended: Instant,
}

/// The checkpoint's figures for INFO.
#[derive(Clone, Debug, Default)]
pub struct CheckpointInfo {
    /// The current checkpoint's manifest, as far as this process has seen one.
    pub current: Option<Manifest>,
    /// The last one written by this process.
    pub last: Option<Finished>,
    /// The last failure since then.
    pub last_error: Option<StoreError>,
    /// Bytes of sled on the disk.
    pub disk_bytes: u64,
    /// Bytes of all pages and blobs of the current checkpoint.
    pub content_bytes: u64,
    /// Bytes waiting in the queue.
    pub queued_bytes: usize,
    /// Whether a checkpoint is under way.
    pub running: bool,
}

enum Job {
    Begin(u64),
    BeginAnew(u64),
    Put(Place, Vec<u8>),
    PutShared(Place, Arc<Vec<u8>>),
    Drop(Place),
    DropSpace(u32),
    Commit(Box<Manifest>, Option<SyncHandle>),
    Abort,
    Visit(Visit),
}

impl Job {
    fn weight(&self) -> usize {
        match self {
            Job::Put(_, bytes) => JOB_BYTES + bytes.len(),
            Job::PutShared(_, bytes) => JOB_BYTES + bytes.len(),
            _ => JOB_BYTES,
        }
    }
}

/// What a job without bytes counts as.
const JOB_BYTES: usize = 64;

struct Queue {
    state: Mutex<QueueState>,
    wanted: Condvar,
    ended: Condvar,
    bytes_max: usize,
    waker: Waker,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    bytes: usize,
    room_wanted: bool,
    done: VecDeque<Done>,
    stop: bool,
    stopped: bool,
    /// When the work on hand began; cleared when the thread waits for work.
    busy_since: Option<Instant>,
    info: CheckpointInfo,
}

/// The loop's handle on the storage thread.
pub struct Checkpoint {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    tickets: u64,
}

impl Checkpoint {
    pub(super) fn start(
        builder: Builder,
        current: Option<Manifest>,
        bytes_max: usize,
        waker: Waker,
    ) -> Result<Self, StoreError> {
        let (disk_bytes, content_bytes) = builder.sizes();
        let info = CheckpointInfo { current, disk_bytes, content_bytes, ..CheckpointInfo::default() };
        let queue = Arc::new(Queue {
            state: Mutex::new(QueueState { info, ..QueueState::default() }),
            wanted: Condvar::new(),
            ended: Condvar::new(),
            bytes_max,
            waker,
        });
        let of_thread = queue.clone();
        let thread = std::thread::Builder::new()
            .name("regent-store".into())
            .spawn(move || {
                give_way();
                Worker { builder, queue: of_thread, ticket: None }.serve();
            })
            .map_err(|cause| StoreError::io(std::path::Path::new("the storage thread"), cause))?;
        Ok(Checkpoint { queue, thread: Some(thread), tickets: 0 })
    }

    /// Begins a checkpoint; the ticket comes back with [`Done`]. One that is unfinished is given up.
    pub fn begin(&mut self) -> u64 {
        self.tickets += 1;
        self.queue.push(Job::Begin(self.tickets));
        self.tickets
    }

    /// The same for one that holds nothing of the checkpoint before it: another keyspace has taken its place.
    pub fn begin_anew(&mut self) -> u64 {
        self.tickets += 1;
        self.queue.push(Job::BeginAnew(self.tickets));
        self.tickets
    }

    /// Puts a page of a space.
    pub fn put_page(&self, space: u32, page: u64, bytes: Vec<u8>) -> Result<(), Full> {
        self.queue.offer(Job::Put(Place::Page((space, page)), bytes))
    }

    /// Drops a page.
    pub fn drop_page(&self, space: u32, page: u64) -> Result<(), Full> {
        self.queue.offer(Job::Drop(Place::Page((space, page))))
    }

    /// Drops all pages and blobs of a space.
    pub fn drop_space(&self, space: u32) -> Result<(), Full> {
        self.queue.offer(Job::DropSpace(space))
    }

    /// Puts a blob, a value too large for a page, of a space. Where the queue is full, [`Full`] has no bytes: the caller
    /// still has them.
    pub fn put_blob(&self, space: u32, blob: u64, bytes: &Arc<Vec<u8>>) -> Result<(), Full> {
        self.queue.offer(Job::PutShared(Place::Blob((space, blob)), bytes.clone()))
    }

    /// Drops a blob.
    pub fn drop_blob(&self, space: u32, blob: u64) -> Result<(), Full> {
        self.queue.offer(Job::Drop(Place::Blob((space, blob))))
    }

    /// Ends the checkpoint: it becomes current once all its pages and the log up to its offset are on the disk.
    pub(super) fn commit(&self, manifest: Manifest, sync: Option<SyncHandle>) {
        self.queue.push(Job::Commit(Box::new(manifest), sync));
    }

    /// Shows the current checkpoint to `visit`, on the storage thread, behind what has been given to it so far.
    pub fn visit(&self, visit: Visit) {
        self.queue.push(Job::Visit(visit));
    }

    /// Gives up the checkpoint under way; no [`Done`] comes for it.
    pub fn abort(&self) {
        let mut state = self.queue.state.lock();
        state.jobs.retain(|job| matches!(job, Job::Visit(_)));
        state.bytes = state.jobs.iter().map(Job::weight).sum();
        drop(state);
        self.queue.push(Job::Abort);
    }

    /// Room in the queue, in bytes.
    pub fn room(&self) -> usize {
        self.queue.bytes_max.saturating_sub(self.queue.state.lock().bytes)
    }

    /// The next checkpoint that has ended, if any.
    pub(super) fn poll(&self) -> Option<Done> {
        self.queue.state.lock().done.pop_front()
    }

    /// Waits for the next checkpoint that ends (SAVE, shutdown).
    pub(super) fn wait(&self) -> Done {
        let mut state = self.queue.state.lock();
        loop {
            if let Some(done) = state.done.pop_front() {
                return done;
            }
            if state.stopped {
                return Done { ticket: self.tickets, result: Err(StoreError::Stopped) };
            }
            self.queue.ended.wait(&mut state);
        }
    }

    /// A handle that tells whether the storage thread makes progress.
    pub fn watchdog(&self) -> Watchdog {
        Watchdog { queue: self.queue.clone() }
    }

    /// The figures for INFO.
    pub fn info(&self) -> CheckpointInfo {
        let state = self.queue.state.lock();
        CheckpointInfo { queued_bytes: state.bytes, ..state.info.clone() }
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        self.queue.state.lock().stop = true;
        self.queue.wanted.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells how long the storage thread has been at one piece of work: sled can hang.
#[derive(Clone)]
pub struct Watchdog {
    queue: Arc<Queue>,
}

impl Watchdog {
    /// The time since the thread's last progress; zero when it has nothing to do.
    pub fn stuck_for(&self, now: Instant) -> Duration {
        let since = self.queue.state.lock().busy_since;
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl Queue {
    fn push(&self, job: Job) {
        let mut state = self.state.lock();
        state.bytes += job.weight();
        state.jobs.push_back(job);
        drop(state);
        self.wanted.notify_one();
    }

    fn offer(&self, job: Job) -> Result<(), Full> {
        let mut state = self.state.lock();
        if state.bytes > 0 && state.bytes + job.weight() > self.bytes_max {
            state.room_wanted = true;
            return Err(Full(match job {
                Job::Put(_, bytes) => bytes,
                _ => Vec::new(),
            }));
        }
        state.bytes += job.weight();
        state.jobs.push_back(job);
        drop(state);
        self.wanted.notify_one();
        Ok(())
    }

    /// The next job; `None` when the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                state.bytes -= job.weight();
                state.busy_since = Some(now());
                let wake = state.room_wanted && state.bytes <= self.bytes_max / 2;
                state.room_wanted &= !wake;
                drop(state);
                if wake {
                    (self.waker)();
                }
                return Some(job);
            }
            state.busy_since = None;
            self.wanted.wait(&mut state);
        }
    }
}

/// The storage thread.
struct Worker {
    builder: Builder,
    queue: Arc<Queue>,
    /// The checkpoint under way.
    ticket: Option<(u64, Instant)>,
}

impl Worker {
    fn serve(mut self) {
        self.builder.rest();
        while let Some(job) = self.queue.next() {
            // sled may panic on a damaged file or a full disk: a fault like any other.
            let outcome = pages::catch(|| self.run(job)).unwrap_or_else(|panic| {
                Err(StoreError::Pages { dir: Default::default(), doing: "the checkpoint", cause: panic })
            });
            if let Err(error) = outcome {
                self.fail(error);
            }
        }
        self.builder.fault();
        self.queue.state.lock().stopped = true;
        self.queue.ended.notify_all();
    }

    fn run(&mut self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Begin(ticket) => {
                self.begun(ticket);
                self.builder.begin()
            }
            Job::BeginAnew(ticket) => {
                self.begun(ticket);
                self.builder.begin_anew()
            }
            Job::Abort => {
                self.ticket = None;
                self.queue.state.lock().info.running = false;
                self.builder.abort();
                Ok(())
            }
            Job::Visit(visit) => {
                self.builder.visit(visit);
                if self.queue.state.lock().jobs.is_empty() {
                    self.builder.rest();
                }
                Ok(())
            }
            // Jobs of a checkpoint that failed: its owner has been told.
            _ if !self.builder.building() => Ok(()),
            Job::Put(place, bytes) => self.builder.put(place, &bytes),
            Job::PutShared(place, bytes) => self.builder.put(place, &bytes),
            Job::Drop(place) => self.builder.drop_place(place),
            Job::DropSpace(space) => self.builder.drop_space(space),
            Job::Commit(manifest, sync) => self.commit(*manifest, sync),
        }
    }

    fn begun(&mut self, ticket: u64) {
        self.ticket = Some((ticket, now()));
        self.queue.state.lock().info.running = true;
    }

    fn commit(&mut self, manifest: Manifest, sync: Option<SyncHandle>) -> Result<(), StoreError> {
        let work = self.builder.commit(&manifest, sync.as_ref())?;
        let Some((ticket, began)) = self.ticket.take() else { return Ok(()) };
        let ended = now();
        let finished = Finished { manifest: manifest.clone(), work, took: ended - began, ended };
        self.tell(Done { ticket, result: Ok(finished) });
        let swept = self.builder.sweep();
        let (disk_bytes, content_bytes) = self.builder.sizes();
        let mut state = self.queue.state.lock();
        state.info.disk_bytes = disk_bytes;
        state.info.content_bytes = content_bytes;
        drop(state);
        if swept.is_ok() {
            self.builder.rest();
        }
        swept
    }

    fn fail(&mut self, error: StoreError) {
        match error {
            // The log's fault, not the database's: only this checkpoint ends.
            StoreError::Log(_) => self.builder.abort(),
            _ => self.builder.fault(),
        }
        match self.ticket.take() {
            Some((ticket, _)) => self.tell(Done { ticket, result: Err(error) }),
            None => self.queue.state.lock().info.last_error = Some(error),
        }
    }

    fn tell(&self, done: Done) {
        let mut state = self.queue.state.lock();
        state.info.running = false;
        match &done.result {
            Ok(finished) => {
                state.info.current = Some(finished.manifest.clone());
                state.info.last = Some(finished.clone());
                state.info.last_error = None;
            }
            Err(error) => state.info.last_error = Some(error.clone()),
        }
        state.done.push_back(done);
        drop(state);
        self.queue.ended.notify_all();
        (self.queue.waker)();
    }
}

/// The clock of a checkpoint's cost, which only this thread can take.
#[expect(clippy::disallowed_methods, reason = "the storage thread belongs to the store and measures its own work")]
fn now() -> Instant {
    Instant::now()
}
