//! The node's whole state, without IO: what commands read and change.

use super::acl::Acl;
use super::client::{Blocked, Client, Closing, Kind, Slot};
use super::client_care::ClientCare;
use super::client_eviction::ClientEviction;
use super::latency::Latency;
use super::pause::{Pause, Pauses};
use super::scripting::Scripting;
use super::slowlog::SlowLog;
use super::views::{CpuView, MemoryView, PersistenceView, ProcessView};
use super::{Ask, Awaited, Eviction, Failover, Feed, LocalDeadlines, Names, PubSub, Stats, Switches, Trackers, Waste};
use crate::base::{Dice, Millis, ReplId, RunId};
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::replication::{Sink, SinkConfig, Source, SourceConfig, Stream, sink, source};
use hashbrown::HashMap;
use slab::Slab;
use std::collections::BTreeSet;

/// Everything that a node is, but its sockets, files and threads.
pub struct Server {
    pub config: Config,
    pub keyspace: Keyspace,
    /// The stream's bytes and history, and both ends of replication; what they want done is in `links`.
    pub stream: Stream,
    pub source: Source,
    pub sink: Sink,
    pub links: LinkEffects,
    /// Effects on their way into the stream.
    pub feed: Feed,
    /// A random id, to be taken for the next history; the runtime puts a new one here when it is used.
    pub fresh: ReplId,
    pub clients: Slab<Client>,
    /// What commands are called.
    pub names: Names,
    /// Users, and what was denied to them.
    pub acl: Acl,
    pub pubsub: PubSub,
    pub trackers: Trackers,
    pub stats: Stats,
    pub slowlog: SlowLog,
    pub latency: Latency,
    /// Clients in MONITOR mode.
    pub(super) monitors: Vec<Slot>,
    /// What the runtime is to do behind this turn.
    pub asks: Vec<Ask>,
    /// Clients with new output.
    pub touched: Vec<Slot>,
    /// Wall clock of this turn.
    pub wall: Millis,
    /// Monotonic clock of this turn, from the start of the process.
    pub mono: Millis,
    /// Microseconds of the monotonic clock, for the time that a command takes; given by the runtime.
    pub ticks: fn() -> u64,
    pub last_tick: u64,
    /// Time that the running request will take behind the turn (DEBUG SLEEP), microseconds.
    pub owed_us: u64,
    /// Handlers that run inside each other: EXEC, scripts.
    pub(super) depth: usize,
    /// Bytes in use, exact at any time; given by the runtime.
    pub allocated: fn() -> u64,
    /// Changes since the last dump (`rdb_changes_since_last_save`).
    pub dirty: u64,
    pub run_id: RunId,
    /// What INFO shows of the process; the runtime knows better than the defaults.
    pub process: ProcessView,
    /// Refreshed by the runtime before INFO can be asked for.
    pub persistence: PersistenceView,
    pub memory: MemoryView,
    pub cpu: CpuView,
    /// The master's stream said REPLCONF GETACK; the runtime tells the sink, and takes it back.
    pub getack: bool,
    /// Connections that MIGRATE has left open for the next one.
    pub kept_migrations: usize,
    /// A stop that waits (for replicas that lag): its number. One that was aborted is not taken for the next.
    pub stopping: Option<u64>,
    /// Stops that have waited so far.
    stops: u64,
    /// Who waits for which key.
    pub awaited: Awaited,
    /// Clients that are blocked, and some that were.
    pub(super) held: BTreeSet<Slot>,
    /// Those of them that WAIT.
    pub(super) waits: BTreeSet<Slot>,
    /// Reading the checkpoint and the log, or what replicas give back: only commands with the `loading` flag run.
    pub loading: Option<Loading>,
    /// The error that writes are refused with while the disk is at fault: the whole line, `MISCONF ...`.
    pub fault: Option<String>,
    /// FAILOVER is under way.
    pub failover: Option<Failover>,
    /// What the pauses hold back together; looked at anew when its time is over.
    pub pause: Option<Pause>,
    pub(super) pauses: Pauses,
    /// Inside EXEC: nothing blocks.
    pub in_exec: bool,
    /// Scripts and functions.
    pub scripting: Scripting,
    /// Deadlines that clients of this node set while it is a replica.
    pub local_deadlines: LocalDeadlines,
    /// What DEBUG has switched.
    pub switches: Switches,
    /// What the runtime is to drop on another thread.
    pub garbage: Waste,
    pub eviction: Eviction,
    pub(super) client_eviction: ClientEviction,
    pub client_care: ClientCare,
    /// What passwords are made of (ACL GENPASS): luck that the runtime leaves at the start, and is told to nobody.
    pub secret: [u64; 4],
    /// Passwords made of it.
    pub(super) passwords_made: u64,
    /// Luck that decides nothing of weight (RANDOMKEY, eviction).
    pub(super) dice: Dice,
    pub next_client_id: u64,
    /// Who watches a key, by database and key.
    watched: HashMap<(u32, Vec<u8>), Vec<Slot>, ahash::RandomState>,
}

/// What the two ends of replication want the runtime to do, in order.
#[derive(Default)]
pub struct LinkEffects {
    pub source: Vec<source::Effect>,
    pub sink: Vec<sink::Effect>,
}

/// Progress of loading, for INFO.
#[derive(Clone, Debug)]
pub struct Loading {
    /// Wall clock.
    pub since: Millis,
    pub bytes_total: u64,
    pub bytes_done: u64,
    pub from: LoadingFrom,
}

/// Where what is loaded comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadingFrom {
    /// The node's own store, at its start: there is nothing yet that could be looked at.
    Store,
    /// A master's replicas, which are asked for what its disk has lost.
    Replicas,
}

impl Loading {
    /// Nothing has come so far.
    pub fn begun(since: Millis, from: LoadingFrom) -> Loading {
        Loading { since, bytes_total: 0, bytes_done: 0, from }
    }
}

/// What a new [`Server`] is made of.
pub struct Parts {
    pub config: Config,
    pub keyspace: Keyspace,
    pub stream: Stream,
    pub run_id: RunId,
    pub fresh: ReplId,
    pub wall: Millis,
    pub mono: Millis,
    /// Microseconds of the monotonic clock.
    pub ticks: fn() -> u64,
}

impl Server {
    /// A node without clients, which follows nobody yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, keyspace, stream, run_id, fresh, wall, mono, ticks } = parts;
        let source = Source::new(SourceConfig::default(), mono);
        let sink = Sink::new(SinkConfig::default());
        let process = ProcessView::of(&config);
        let acl = Acl::new(&config.settings.requirepass);
        let mut server = Server {
            config,
            keyspace,
            stream,
            source,
            sink,
            links: LinkEffects::default(),
            feed: Feed::default(),
            fresh,
            clients: Slab::new(),
            names: Names::default(),
            acl,
            pubsub: PubSub::default(),
            trackers: Trackers::default(),
            stats: Stats::default(),
            slowlog: SlowLog::default(),
            latency: Latency::default(),
            monitors: Vec::new(),
            asks: Vec::new(),
            touched: Vec::new(),
            wall,
            mono,
            ticks,
            last_tick: ticks(),
            owed_us: 0,
            depth: 0,
            dirty: 0,
            run_id,
            process,
            persistence: PersistenceView::default(),
            memory: MemoryView::default(),
            cpu: CpuView::default(),
            getack: false,
            kept_migrations: 0,
            stopping: None,
            stops: 0,
            held: BTreeSet::new(),
            waits: BTreeSet::new(),
            awaited: Awaited::default(),
            loading: None,
            fault: None,
            failover: None,
            pause: None,
            pauses: Pauses::default(),
            in_exec: false,
            scripting: Scripting::default(),
            local_deadlines: LocalDeadlines::default(),
            switches: Switches::default(),
            garbage: Waste::default(),
            eviction: Eviction::default(),
            client_eviction: ClientEviction::default(),
            client_care: ClientCare::default(),
            allocated: || 0,
            secret: [0; 4],
            passwords_made: 0,
            dice: Dice(run_id.bytes().iter().fold(0, |state, &byte| state.rotate_left(9) ^ u64::from(byte))),
            next_client_id: 1,
            watched: HashMap::default(),
        };
        server.client_limit_changed();
        server
    }

    /// A connection, or a source of commands, comes in.
    pub fn connect(&mut self, kind: Kind, addr: String, laddr: String, fd: i32) -> Slot {
        let id = self.next_client_id;
        self.next_client_id += 1;
        let mut client = Client::new(id, kind, addr, laddr, fd, self.mono);
        client.authenticated = kind == Kind::Stream || !self.needs_password();
        client.may_all = kind == Kind::Stream || self.acl.user(client.user).may_all();
        self.clients.insert(client)
    }

    /// It is gone: nothing names its slot any more.
    pub fn disconnect(&mut self, slot: Slot) {
        self.uncount(slot);
        if let Some(blocked) = self.clients.get_mut(slot).and_then(|client| client.blocked.take()) {
            self.leave_queues(slot, &blocked);
        }
        self.forget_subscriptions(slot);
        self.untrack(slot);
        self.leave_monitors(slot);
        self.unwatch(slot);
        self.clients.try_remove(slot);
        self.touched.retain(|&other| other != slot);
    }

    /// Notes that a client has output for the end of the turn.
    pub fn touch(&mut self, slot: Slot) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        if !client.touched {
            client.touched = true;
            self.touched.push(slot);
        }
    }

    /// Ends a connection, at once or behind its replies.
    pub fn close(&mut self, slot: Slot, closing: Closing) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        if client.closing != Some(Closing::Now) {
            client.closing = Some(closing);
        }
        self.asks.push(Ask::Close(slot));
    }

    /// Lifts a client's block; its further requests are read again by the runtime.
    pub fn unblock(&mut self, slot: Slot) -> Option<Blocked> {
        let blocked = self.clients.get_mut(slot)?.blocked.take();
        if blocked.is_some() {
            self.asks.push(Ask::Blocked(slot));
            self.touch(slot);
        }
        blocked
    }

    /// `stop-writes-on-bgsave-error`: whether writes are refused since the last dump failed.
    pub fn save_failed(&self) -> bool {
        let settings = &self.config.settings;
        !self.persistence.last_save_ok && settings.stop_writes_on_bgsave_error && !settings.save.is_empty()
    }

    /// A stop begins to wait; its number.
    pub fn begin_stop(&mut self) -> u64 {
        self.stops += 1;
        self.stopping = Some(self.stops);
        self.stops
    }

    /// Beats of background work in a second: `hz`, more with many clients where it is dynamic.
    pub fn hz(&self) -> i64 {
        const HZ_MAX: i64 = 500;
        const CLIENTS_A_BEAT: i64 = 200;
        let settings = &self.config.settings;
        let mut hz = settings.hz.clamp(1, HZ_MAX);
        while settings.dynamic_hz && hz < HZ_MAX && self.clients.len() as i64 / hz > CLIENTS_A_BEAT {
            hz = (2 * hz).min(HZ_MAX);
        }
        hz
    }

    /// Whether its own store is still being read.
    pub fn is_starting(&self) -> bool {
        self.loading.as_ref().is_some_and(|loading| loading.from == LoadingFrom::Store)
    }

    /// Whether it follows a master.
    pub fn is_replica(&self) -> bool {
        self.sink.master().is_some()
    }

    /// Whether the link to its master is up.
    pub fn link_up(&self) -> bool {
        self.sink.state() == sink::LinkState::Connected
    }

    /// `min-replicas-to-write`: whether enough replicas are in step for a write to be accepted.
    pub fn enough_good_replicas(&self) -> bool {
        let settings = &self.config.settings;
        settings.min_replicas_to_write == 0
            || settings.min_replicas_max_lag == 0
            || self.source.good_replicas() as i64 >= settings.min_replicas_to_write
    }

    // ------------------------------------------------------------------ WATCH

    /// Adds a key to those that break the client's transaction when they change.
    pub fn watch(&mut self, slot: Slot, watched: super::Watched) {
        let client = &mut self.clients[slot];
        let list = &mut client.watching;
        if list.iter().any(|other| other.db == watched.db && other.key == watched.key) {
            return;
        }
        self.watched.entry((watched.db, watched.key.clone())).or_default().push(slot);
        client.named_bytes += watched.key.len();
        list.push(watched);
    }

    /// How many keys are watched.
    pub fn watched_keys(&self) -> usize {
        self.watched.len()
    }

    /// Forgets all that the client watches.
    pub fn unwatch(&mut self, slot: Slot) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        client.watch_broken = false;
        for watched in std::mem::take(&mut client.watching) {
            client.named_bytes -= watched.key.len();
            let place = (watched.db, watched.key);
            let Some(slots) = self.watched.get_mut(&place) else { continue };
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.watched.remove(&place);
            }
        }
    }

    /// A key has changed: who watches it will not EXEC. The removal of a key that had expired when it was put under
    /// WATCH changes nothing.
    pub(super) fn break_watches(&mut self, db: u32, key: &[u8]) {
        if self.watched.is_empty() {
            return;
        }
        let Some(slots) = self.watched.get(&(db, key.to_vec())) else { return };
        let gone = self.due(db, key).is_none();
        for &slot in slots {
            let client = &mut self.clients[slot];
            let mut list = client.watching.iter_mut();
            match list.find(|watched| watched.expired && watched.db == db && watched.key == key) {
                Some(watched) if gone => watched.expired = false,
                _ => client.watch_broken = true,
            }
        }
    }

    /// A database is emptied (`with` is none) or takes the keys of another one; called before that happens. Who watches
    /// a key whose value is another one then is broken.
    pub fn break_watches_of(&mut self, db: u32, with: Option<u32>) {
        let keys: Vec<Vec<u8>> =
            self.watched.keys().filter(|(in_db, _)| *in_db == db).map(|(_, key)| key.clone()).collect();
        for key in keys {
            let before = self.due(db, &key);
            let after = with.and_then(|with| self.due(with, &key));
            if before.is_none() && after.is_none() {
                continue;
            }
            let place = (db, key);
            for &slot in &self.watched[&place] {
                let client = &mut self.clients[slot];
                let watched = client.watching.iter_mut().find(|watched| watched.db == db && watched.key == place.1);
                let watched = watched.expect("the list of watchers mirrors the clients' own");
                match (watched.expired, after) {
                    (true, None) => watched.expired = false,
                    (true, Some(true)) => {}
                    (false, Some(true)) if before.is_none() => watched.expired = true,
                    _ => client.watch_broken = true,
                }
            }
        }
    }

    /// Another keyspace takes the place of this one (a full copy, a rewind): nobody who watches anything will EXEC, and no
    /// cache holds.
    pub fn all_changed(&mut self) {
        self.local_deadlines = LocalDeadlines::default();
        for (_, client) in &mut self.clients {
            client.watch_broken |= !client.watching.is_empty();
        }
        self.invalidate_all();
    }

    // ------------------------------------------------------------------ what it does by itself

    /// Feeds an effect of this node's own to the log and its replicas. A replica has none: writes that it takes with
    /// `replica-read-only no` stay its own, as in Redis.
    pub fn feed_own(&mut self, db: u32, words: &[&[u8]]) {
        if !self.is_replica() {
            self.feed.command(&mut self.stream, self.fresh, db, words.iter().copied());
        }
    }
}
