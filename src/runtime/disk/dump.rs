//! `dump.rdb`: asked for by SAVE, BGSAVE and save points, made of a checkpoint by the storage thread. What INFO calls
//! the last save is this file, not the checkpoint.

use super::{Disk, Dump, Facts, Form, NOT_SAVED};
use crate::base::Millis;
use crate::command::{Server, Waiter};
use crate::keyspace::Manifest;
use crate::runtime::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

/// Whom a dump is made for. Where one of the first kind fails, writes are refused (`stop-writes-on-bgsave-error`), as in
/// Redis; who waits for one is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// BGSAVE, save points.
    Background,
    /// SAVE, FLUSHALL, a stop.
    Waited,
}

/// What is known of a dump when its checkpoint begins.
pub struct Begun {
    pub facts: Facts,
    pub ground: Ground,
    /// Changes that it holds.
    pub dirty_before: u64,
    pub waiting: Vec<Waiter>,
}

/// One that is being made.
pub struct Dumping {
    hears: Receiver<Result<u64, String>>,
    /// Clients that wait for it (SAVE).
    waiting: Vec<Waiter>,
    /// Monotonic.
    began: Millis,
    dirty_before: u64,
    ground: Ground,
    given_up: Arc<AtomicBool>,
}

/// The last one.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Wall clock of the last one that succeeded, and of the last that was tried.
    last: Millis,
    tried: Millis,
    ok: bool,
    /// -1 before the first.
    took_ms: i64,
    count: u64,
}

impl Past {
    /// None was made yet; their age counts from now.
    pub fn new(now: Millis) -> Past {
        Past { last: now, tried: Millis(0), ok: true, took_ms: -1, count: 0 }
    }
}

/// How long a dump that failed is not tried again by a save point, seconds, as in Redis.
const RETRY_S: i64 = 5;

impl Disk {
    /// `dump.rdb` shall be made, of a checkpoint that begins later than now.
    pub fn want_dump(&mut self, ground: Ground, waiting: Option<Waiter>) {
        self.wants_dump = Some(ground.min(self.wants_dump.unwrap_or(ground)));
        self.want_checkpoint(waiting);
    }

    /// Nobody wants the dump that is being written any more, or is about to be in the background (FLUSHALL).
    pub fn give_up_dump(&mut self) {
        let unasked = |ground: Ground| ground == Ground::Background;
        if let Some(running) = &mut self.running {
            running.dump = running.dump.take().filter(|&(_, ground)| !unasked(ground));
        }
        self.wants_dump = self.wants_dump.filter(|&ground| !unasked(ground));
        if let Some(dumping) = &self.dumping {
            dumping.given_up.store(true, Relaxed);
        }
    }

    /// Nor copies for replicas: the node stops.
    pub fn give_up_files(&mut self) {
        self.give_up_dump();
        std::mem::take(&mut self.copies_given_up).store(true, Relaxed);
    }

    /// How a full copy is written.
    pub fn form_of_copies(&self) -> Form {
        let (delay, given_up) = (self.save_delay.clone(), self.copies_given_up.clone());
        Form { compress: false, checksum: true, delay, given_up }
    }

    /// Whether a save point is due.
    pub fn save_is_due(&self, server: &Server) -> bool {
        let past = &self.past.dump;
        let now = clock::wall();
        let (changes, age) = (server.dirty, (now - past.last).seconds());
        let may = past.ok || (now - past.tried).seconds() >= RETRY_S;
        let due = |changes_min: i64, seconds: i64| changes as i64 >= changes_min.max(1) && age >= seconds;
        may && server.config.settings.save.iter().any(|point| due(point.changes, point.seconds))
    }

    /// Whether one is asked for or under way.
    pub fn saves(&self) -> bool {
        self.wants_dump.is_some()
            || self.dumping.is_some()
            || self.running.as_ref().is_some_and(|running| running.dump.is_some())
    }

    /// The checkpoint that it is made of has ended.
    pub(super) fn begin_dump(&mut self, server: &mut Server, manifest: Manifest, begun: Begun, ok: bool) {
        let Begun { facts, ground, dirty_before, waiting } = begun;
        let (told, hears) = sync_channel(1);
        let settings = &server.config.settings;
        let dump = Dump {
            dir: settings.dir.clone().into(),
            name: settings.dbfilename.clone(),
            facts,
            form: Form::of(settings, self.save_delay.clone()),
        };
        let given_up = dump.form.given_up.clone();
        self.dumping = Some(Dumping { hears, waiting, began: clock::mono(), dirty_before, ground, given_up });
        if !ok {
            let _ = told.send(Err("the checkpoint failed".into()));
            return self.collect_dump(server);
        }
        let bell = self.bell.clone();
        self.store.checkpoint().visit(Box::new(move |image| {
            let written = image.map_err(|error| error.to_string()).and_then(|image| dump.write(&manifest, &image));
            let _ = told.send(written);
            bell.notify_one();
        }));
    }

    /// Takes the one that has been made.
    pub(super) fn collect_dump(&mut self, server: &mut Server) {
        let Some(dumping) = &self.dumping else { return };
        match dumping.hears.try_recv() {
            Ok(written) => self.dumped(server, written),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.dumped(server, Err("the storage thread has stopped".into())),
        }
    }

    /// Waits for the one that is being made.
    pub(super) fn wait_dump(&mut self, server: &mut Server) -> Result<(), String> {
        let Some(dumping) = &self.dumping else { return Ok(()) };
        let written = dumping.hears.recv().unwrap_or_else(|_| Err("the storage thread has stopped".into()));
        let told = written.as_ref().map(|_| ()).map_err(Clone::clone);
        self.dumped(server, written);
        told
    }

    fn dumped(&mut self, server: &mut Server, written: Result<u64, String>) {
        let Some(dumping) = self.dumping.take() else { return };
        let past = &mut self.past.dump;
        past.tried = clock::wall();
        let given_up = dumping.given_up.load(Relaxed);
        past.ok = match &written {
            Ok(_) => true,
            Err(_) => past.ok && (given_up || dumping.ground == Ground::Waited),
        };
        past.took_ms = clock::mono().since(dumping.began).0;
        match &written {
            Ok(bytes) => {
                past.last = past.tried;
                past.count += 1;
                server.dirty = server.dirty.saturating_sub(dumping.dirty_before);
                tracing::info!("DB saved on disk: {bytes} bytes, {} ms", past.took_ms);
            }
            Err(_) if given_up => tracing::info!("The dump under way is given up."),
            Err(error) if dumping.ground == Ground::Waited => tracing::warn!("Error saving the DB: {error}"),
            Err(error) => tracing::warn!("Background saving error: {error}"),
        }
        for waiter in dumping.waiting {
            server.answer_saved(waiter, if written.is_ok() { Ok(()) } else { Err(NOT_SAVED) });
        }
    }

    pub(super) fn show_dump(&self, server: &mut Server) {
        let (view, now) = (&mut server.persistence, server.mono);
        let past = &self.past.dump;
        view.last_save = past.last;
        view.last_save_ok = past.ok;
        view.last_save_ms = past.took_ms;
        view.saves = past.count;
        let began = self.dumping.as_ref().map(|dumping| dumping.began).or(self.past.began);
        view.save_since = self.saves().then(|| began.unwrap_or(now));
    }
}
