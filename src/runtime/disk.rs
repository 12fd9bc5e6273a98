//! The node's hand on its store: what a turn appends, when a checkpoint is due, and how it is handed over.
//!
//! The loop never waits here: appending is one write into the page cache, fsync and checkpoints have threads of their
//! own, and a checkpoint's pages are handed over in slices. Where the disk is at fault, the fault is named in
//! [`Server::fault`], which refuses writes. A disk that fills up is told while all that was executed still fits the room
//! that the log has reserved, so reads go on and every reply is true. Only where an append fails all the same (an error
//! of the disk, a turn larger than the reserve), or where an fsync failed, is the turn told to keep its replies.

mod append;
mod dump;
#[cfg(test)]
mod tests;

pub use append::Appended;
pub use dump::Ground;

use super::rdb_file::{Dump, Facts, Form, KeyDelay};
use super::{allocator, clock, recovery};
use crate::base::limits::SLICE_US_MAX;
use crate::base::{Epoch, Millis, Offset, ReplId};
use crate::command::{Rewrite, Server, Waiter};
use crate::keyspace::{self, Change, Dropped, Slice};
use crate::replication::History;
use crate::store::{self, Image, State, Store, StoreError};
use append::Ailment;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::Notify;

/// What is done with a checkpoint's image, on the storage thread; the manifest tells which space is which database.
pub type CopyVisit = Box<dyn FnOnce(Result<keyspace::Manifest, String>, Result<Image<'_>, StoreError>) + Send>;

/// Bytes of pages that are serialised between two looks at the clock: 0.02 to 0.4 ms, as memory has them near or far.
const SLICE_BYTES: usize = 16 * 1024;

/// Pages set aside by writes while the storage thread lags; beyond it the checkpoint is given up and begun again later.
const ASIDE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// How long a checkpoint that failed is not tried again by itself, as in Redis.
const CHECKPOINT_RETRY: Millis = Millis(5_000);

const NOT_SAVED: &str = "ERR the checkpoint could not be written, see the log";

/// A full copy has replaced everything in memory, and is to become what a restart finds.
struct Adopting {
    state: State,
    /// The log generation that goes on from there has begun.
    begun: bool,
}

/// A checkpoint under way.
struct Running {
    ticket: u64,
    state: State,
    /// Handed over by the keyspace, not yet taken by the storage thread.
    queue: VecDeque<Change>,
    handed_over: bool,
    committed: bool,
    /// Clients that wait for it (SAVE).
    waiting: Vec<Waiter>,
    /// `dump.rdb` is to be made of it, with what its head says.
    dump: Option<(Facts, Ground)>,
    /// It is what Redis calls a rewrite of the log.
    rewrite: bool,
    dirty_before: u64,
    manifest: keyspace::Manifest,
}

/// The last checkpoint, for INFO and for the next one's date.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Wall clock of the last one that succeeded.
    pub last_checkpoint: Millis,
    pub last_ok: bool,
    /// How long it took; -1 before the first.
    pub last_took_ms: i64,
    pub count: u64,
    /// When the running one began, monotonic.
    pub began: Option<Millis>,
    pub dump: dump::Past,
}

/// See the module.
pub struct Disk {
    pub store: Store,
    running: Option<Running>,
    /// Asked for while one was running, or before anything could run.
    wanted: Option<Vec<Waiter>>,
    /// `dump.rdb` is to be made of the next checkpoint.
    wants_dump: Option<Ground>,
    /// The next checkpoint is what Redis calls a rewrite of the log.
    wants_rewrite: bool,
    /// It is being made, by the storage thread.
    dumping: Option<dump::Dumping>,
    pub past: Past,
    /// The epoch obeyed and the data generation, which the history records carry.
    epoch: Epoch,
    data_generation: u64,
    /// Copies that are made from the next checkpoint.
    copies: Vec<CopyVisit>,
    /// Set when nobody wants the copies any more that were begun.
    copies_given_up: Arc<AtomicBool>,
    /// `rdb-key-save-delay`.
    pub save_delay: KeyDelay,
    /// A full copy has replaced everything in memory: what its checkpoint says, until it is current.
    adopting: Option<Adopting>,
    adopted: bool,
    ailment: Ailment,
    /// When a checkpoint failed last, monotonic: the next one that nobody asked for waits.
    failed_at: Option<Millis>,
    /// The same of a new log generation.
    renew_failed_at: Option<Millis>,
    /// Rung when a checkpoint has something to do.
    bell: Arc<Notify>,
}

impl Disk {
    pub fn new(store: Store, epoch: Epoch, data_generation: u64, bell: Arc<Notify>) -> Self {
        let dump = dump::Past::new(clock::wall());
        let past =
            Past { last_checkpoint: clock::wall(), last_ok: true, last_took_ms: -1, count: 0, began: None, dump };
        Disk {
            store,
            running: None,
            wanted: None,
            wants_dump: None,
            wants_rewrite: false,
            dumping: None,
            past,
            epoch,
            data_generation,
            copies: Vec::new(),
            copies_given_up: Arc::default(),
            save_delay: KeyDelay::default(),
            adopting: None,
            adopted: false,
            ailment: Ailment::None,
            failed_at: None,
            renew_failed_at: None,
            bell,
        }
    }

    /// The history as the store keeps it.
    fn record(&self, history: &History) -> store::History {
        to_record(history, self.epoch, self.data_generation)
    }

    /// What INFO says about the store.
    pub fn show(&self, server: &mut Server) {
        let info = self.store.info();
        let view = &mut server.persistence;
        view.checkpoint = self.store.current().map(|current| (current.history.replid, current.offset));
        view.checkpoint_since = match (self.past.began, &self.wanted) {
            (Some(began), _) => Some(began),
            (None, Some(_)) => Some(server.mono),
            (None, None) => None,
        };
        let rewrites = self.wants_rewrite || self.running.as_ref().is_some_and(|running| running.rewrite);
        view.rewrite = match rewrites {
            false => Rewrite::None,
            true if self.saves() => Rewrite::Waits,
            true => Rewrite::Runs,
        };
        view.last_checkpoint = self.past.last_checkpoint;
        view.last_checkpoint_ok = self.past.last_ok;
        view.last_checkpoint_ms = self.past.last_took_ms;
        view.last_checkpoint_bytes = info.checkpoint.last.as_ref().map_or(0, |last| last.work.bytes);
        view.checkpoints = self.past.count;
        self.show_dump(server);
        let view = &mut server.persistence;
        let Some(log) = info.log else { return };
        (view.log_start, view.log_end, view.log_synced) = (log.start, log.end, log.synced);
        (view.log_bytes, view.log_segments) = (log.bytes, log.segments as u64);
        view.log_ok = log.fault.is_none() && self.ailment == Ailment::None;
        if let Some(cost) = log.last_sync {
            let age = Millis(i64::try_from(cost.ended.elapsed().as_millis()).unwrap_or(i64::MAX));
            view.last_fsync = Some(Millis(server.mono.0.saturating_sub(age.0)));
            view.last_fsync_us = cost.took.as_micros() as u64;
        }
    }

    // ------------------------------------------------------------------ the checkpoint

    /// A checkpoint shall be taken, as soon as none is running.
    pub fn want_checkpoint(&mut self, waiting: Option<Waiter>) {
        self.wanted.get_or_insert_default().extend(waiting);
        self.bell.notify_one();
    }

    /// The same, as what Redis calls a rewrite of the log.
    pub fn want_rewrite(&mut self) {
        self.wants_rewrite = true;
        self.want_checkpoint(None);
    }

    fn may_begin(&self, server: &Server) -> bool {
        let one_dump = self.wants_dump.is_none() || self.dumping.is_none();
        let idle = self.running.is_none() && self.wanted.is_some() && one_dump;
        idle && !server.feed.has_pending() && server.loading.is_none()
    }

    /// A checkpoint begins now, and its image is shown to `visit` when it is current.
    pub fn copy(&mut self, server: &mut Server, visit: CopyVisit) {
        self.give_up(server);
        self.want_checkpoint(None);
        self.copies.push(visit);
        self.begin(server);
    }

    /// A full copy has taken the place of the keyspace: a new log generation, and a checkpoint of it all. Until that is
    /// current a restart finds what was there before.
    pub fn begin_generation(&mut self, server: &mut Server, id: ReplId, at: Offset, db: u32) {
        self.give_up(server);
        let state = State {
            offset: at,
            db,
            history: to_record(&History::blank(id), self.epoch, self.data_generation),
            keyspace: Vec::new(),
            extra: BTreeMap::new(),
        };
        self.adopting = Some(Adopting { state, begun: false });
        self.failed_at = None;
        self.want_checkpoint(None);
        self.begin(server);
    }

    /// The log generation that follows a full copy, unless it has begun; whether it has.
    fn follow_copy(&mut self) -> bool {
        let Some(Adopting { state, begun: begun @ false }) = &mut self.adopting else { return true };
        if self.store.log().is_some() {
            let (replid, offset) = (state.history.replid, state.offset);
            let origin = store::Origin { replid, offset, db: state.db, genesis: false };
            if let Err(error) = self.store.new_generation(origin) {
                tracing::warn!("The full copy can't be made durable: {error}");
                self.failed_at = Some(clock::mono());
                return false;
            }
        }
        *begun = true;
        true
    }

    /// Whether the checkpoint of a full copy has become current since the last question.
    pub fn take_adopted(&mut self) -> bool {
        std::mem::take(&mut self.adopted)
    }

    /// CONFIG SET appendonly.
    pub fn switch_log(&mut self, server: &mut Server, on: bool) {
        match on {
            true if self.store.log().is_none() => self.renew(server),
            false if self.store.log().is_some() => {
                self.give_up(server);
                self.store.log_off();
                self.want_checkpoint(None);
                tracing::info!("The log is off: a crash loses what the last checkpoint does not hold.");
            }
            _ => {}
        }
        self.release(server);
    }

    /// Whether one is under way or asked for.
    pub fn checkpointing(&self) -> bool {
        self.running.is_some() || self.wanted.is_some()
    }

    /// Whether one that nobody waits for may be tried: not at once behind one that failed.
    pub fn may_retry(&self) -> bool {
        self.failed_at.is_none_or(|failed| clock::mono().since(failed) >= CHECKPOINT_RETRY)
    }

    /// Whether the log has grown enough since the last one.
    pub fn is_due(&self, server: &Server) -> bool {
        let settings = &server.config.settings;
        let Some(log) = self.store.log() else { return false };
        let from = self.store.current().map_or(log.start(), |current| current.offset);
        let grown = log.end().bytes_since(from);
        let content = self.store.info().checkpoint.content_bytes;
        let share = content.saturating_mul(settings.checkpoint_growth_percentage as u64) / 100;
        grown >= settings.checkpoint_min_size.max(share)
    }

    /// Moves the checkpoint on by a slice; whether there is more to do at once. Call it behind a turn only: all that was
    /// fed must be in the log when one begins.
    pub fn advance(&mut self, server: &mut Server) -> bool {
        self.collect(server);
        if self.may_begin(server) {
            self.begin(server);
        }
        let Some(running) = &mut self.running else { return false };
        let checkpoint = self.store.checkpoint();
        while let Some(change) = running.queue.pop_front() {
            if let Err(change) = offer(checkpoint, change) {
                running.queue.push_front(change);
                if server.keyspace.checkpoint_aside_bytes() > ASIDE_BYTES_MAX {
                    tracing::warn!("The checkpoint is given up: the disk does not keep up with the writes.");
                    self.give_up(server);
                    self.want_checkpoint(None);
                }
                return false; // the storage thread calls when there is room
            }
        }
        if !running.handed_over {
            let (mut changes, until) = (Vec::new(), clock::micros() + SLICE_US_MAX);
            while !running.handed_over && clock::micros() < until {
                running.handed_over = server.keyspace.checkpoint_slice(SLICE_BYTES, &mut changes) == Slice::Done;
            }
            running.queue.extend(changes);
            return true;
        }
        if !running.committed {
            running.committed = true;
            let state = running.state.clone();
            if let Err(error) = self.store.commit(state) {
                tracing::warn!("Checkpoint failed: {error}");
                self.finished(server, false);
            }
        }
        false
    }

    fn begin(&mut self, server: &mut Server) {
        let waiting = self.wanted.take().unwrap_or_default();
        if !self.follow_copy() {
            for waiter in waiting {
                server.answer_saved(waiter, Err(NOT_SAVED));
            }
            return;
        }
        let ticket = match &self.adopting {
            None => self.store.checkpoint().begin(),
            Some(_) => self.store.checkpoint().begin_anew(),
        };
        allocator::mark_store();
        let noted = server.config.settings.maxmemory_policy.notes();
        server.keyspace.note_accesses(noted);
        if self.wants_dump.is_some() || !self.copies.is_empty() {
            server.keyspace.renew_accesses();
        }
        let manifest = server.keyspace.checkpoint_begin();
        let adopting = self.adopting.as_ref().map(|adopting| adopting.state.clone());
        let state = adopting.unwrap_or_else(|| State {
            offset: server.stream.end(),
            db: server.stream.db(),
            history: self.record(server.stream.history()),
            keyspace: Vec::new(),
            extra: BTreeMap::new(),
        });
        let extra = recovery::beside_keyspace(server);
        let state = State { keyspace: bincode::serialize(&manifest).expect("plain data"), extra, ..state };
        self.past.began = Some(clock::mono());
        let facts = |ground| {
            (
                Facts {
                    id: state.history.replid,
                    at: state.offset,
                    db: state.db,
                    wall: server.wall,
                    used: server.memory.used,
                    functions: server.library_texts().map(<[u8]>::to_vec).collect(),
                    noted,
                    frequencies: server.frequencies(),
                },
                ground,
            )
        };
        let dump = self.wants_dump.take().map(facts);
        self.running = Some(Running {
            ticket,
            state,
            queue: VecDeque::new(),
            handed_over: false,
            committed: false,
            waiting,
            dump,
            rewrite: std::mem::take(&mut self.wants_rewrite),
            dirty_before: server.dirty,
            manifest,
        });
    }

    /// Whether pages of a checkpoint are yet to be handed over: the first write to each serialises it.
    pub fn hands_over(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.handed_over)
    }

    /// Takes what the storage thread has finished.
    fn collect(&mut self, server: &mut Server) {
        self.collect_dump(server);
        while let Some(done) = self.store.poll() {
            let ours = self.running.as_ref().is_some_and(|running| running.ticket == done.ticket);
            match done.result {
                Ok(finished) => {
                    tracing::info!(
                        "Checkpoint at offset {} saved: {} bytes in {} pages, {} ms",
                        finished.manifest.offset,
                        finished.work.bytes,
                        finished.work.pieces,
                        finished.took.as_millis()
                    );
                    if ours {
                        self.finished(server, true);
                    }
                }
                Err(error) => {
                    tracing::warn!("Checkpoint failed: {error}");
                    if ours {
                        self.finished(server, false);
                    }
                }
            }
        }
    }

    fn finished(&mut self, server: &mut Server, ok: bool) {
        let Some(running) = self.running.take() else { return };
        if ok {
            server.keyspace.checkpoint_end();
            self.past.last_checkpoint = clock::wall();
            self.past.count += 1;
            self.adopted |= self.adopting.take().is_some();
        } else {
            server.keyspace.checkpoint_abort();
        }
        self.past.last_ok = ok;
        let began = self.past.began.take().unwrap_or_default();
        self.past.last_took_ms = clock::mono().since(began).0;
        for visit in std::mem::take(&mut self.copies) {
            let manifest = running.manifest.clone();
            self.store.checkpoint().visit(Box::new(move |image| {
                let manifest = if ok { Ok(manifest) } else { Err("the checkpoint failed".to_string()) };
                visit(manifest, image);
            }));
        }
        self.failed_at = (!ok).then(clock::mono);
        if let Some((facts, ground)) = running.dump {
            let made = dump::Begun { facts, ground, dirty_before: running.dirty_before, waiting: running.waiting };
            return self.begin_dump(server, running.manifest, made, ok);
        }
        for waiter in running.waiting {
            let reply = if ok { Ok(()) } else { Err(NOT_SAVED) };
            server.answer_saved(waiter, reply);
        }
    }

    /// Abandons the checkpoint under way; who waits for it waits for the next.
    pub fn give_up(&mut self, server: &mut Server) {
        let Some(running) = self.running.take() else { return };
        self.store.checkpoint().abort();
        server.keyspace.checkpoint_abort();
        self.past.began = None;
        if running.rewrite {
            self.wants_rewrite = true;
            self.wanted.get_or_insert_default();
        }
        if let Some((_, ground)) = running.dump {
            self.wants_dump = Some(ground.min(self.wants_dump.unwrap_or(ground)));
            self.wanted.get_or_insert_default();
        }
        if !running.waiting.is_empty() {
            self.wanted.get_or_insert_default().extend(running.waiting);
        }
    }

    /// A checkpoint now, and the keyspace read back from it, as a start would (DEBUG RELOAD). Waits for both.
    pub fn reload(&mut self, server: &mut Server) -> Result<(), String> {
        let (told, hears) = std::sync::mpsc::sync_channel(1);
        let reading = recovery::Reading::of(&server.config.settings);
        self.copies.push(Box::new(move |manifest, image| {
            let read = manifest.and_then(|manifest| {
                let image = image.map_err(|error| error.to_string())?;
                allocator::for_loop(|| {
                    recovery::read_keyspace(&manifest, image.pages(), |space, blob| image.blob(space, blob), reading)
                })
            });
            let _ = told.send(read);
        }));
        self.checkpoint_and_wait(server)?;
        let mut keyspace = hears.recv().map_err(|_| "the storage thread has stopped".to_string())??;
        keyspace.grow_databases(server.keyspace.databases());
        server.keyspace = keyspace;
        Ok(())
    }

    /// A checkpoint now, waiting for it: at a clean stop, and for DEBUG RELOAD.
    pub fn checkpoint_and_wait(&mut self, server: &mut Server) -> Result<(), String> {
        if server.loading.is_some() {
            return Err("the data are still being read".into());
        }
        if self.append(server) != Appended::All {
            return Err("effects are in memory that the log does not have".into());
        }
        self.give_up(server);
        self.wanted.get_or_insert_default();
        let before = self.past.count;
        while self.checkpointing() {
            while self.advance(server) {}
            if self.running.as_ref().is_some_and(|running| running.committed) {
                // Nothing else happens meanwhile: wait on the storage thread, not on the clock.
                let done = self.store.wait();
                let ok = done.result.is_ok();
                if let Err(error) = &done.result {
                    tracing::warn!("Checkpoint failed: {error}");
                }
                self.finished(server, ok);
            } else if self.running.is_some() {
                std::thread::yield_now();
            } else {
                let _ = self.wait_dump(server); // one dump at a time; what it came to is told there
            }
        }
        if self.past.count == before {
            return Err("the checkpoint failed".into());
        }
        self.wait_dump(server)
    }
}

fn offer(checkpoint: &store::Checkpoint, change: Change) -> Result<(), Change> {
    match change {
        Change::Page { space, page, bytes } => {
            let size = bytes.capacity();
            let back = checkpoint.put_page(space, page, bytes).inspect(|()| allocator::to_store(size));
            back.map_err(|store::Full(bytes)| Change::Page { space, page, bytes })
        }
        Change::Blob { space, blob, bytes } => {
            let back = checkpoint.put_blob(space, blob, &bytes);
            back.map_err(|_| Change::Blob { space, blob, bytes })
        }
        Change::Drop(dropped) => {
            let back = match dropped {
                Dropped::Page { space, page } => checkpoint.drop_page(space, page),
                Dropped::Blob { space, blob } => checkpoint.drop_blob(space, blob),
                Dropped::Space { space } => checkpoint.drop_space(space),
            };
            back.map_err(|_| Change::Drop(dropped))
        }
    }
}

fn to_record(history: &History, epoch: Epoch, data_generation: u64) -> store::History {
    let second = history.second_repl_offset();
    store::History {
        replid: history.id(),
        replid2: history.second_id(),
        second_offset: u64::try_from(second).ok().map(Offset),
        former: history.former().iter().map(|former| (former.id, former.end)).collect(),
        epoch,
        data_generation,
    }
}
