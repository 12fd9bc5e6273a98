//! What the node knows of one connection: data only, no socket.

use super::acl::{DEFAULT, UserId};
use super::args::OwnedArgs;
use super::client_care::{QueryRoom, ReplyRoom};
use super::client_eviction::Counted;
use super::pubsub::Sort;
use super::spec::{Flags, Spec};
use super::tracking::Tracking;
use super::unsent::Unsent;
use crate::base::limits::REPLY_BUFFER_BYTES_MIN;
use crate::base::{Millis, Offset};
use crate::keyspace::Kind as ValueKind;
use crate::resp::{Parser, Proto};
use std::collections::BTreeSet;

/// Where a client stands in the node's slab; reused after it has gone, unlike its id.
pub type Slot = usize;

/// One connection, or one source of commands without a connection (the master's stream, the log's replay).
pub struct Client {
    /// Counted from 1, never reused (`CLIENT ID`).
    pub id: u64,
    pub kind: Kind,
    /// `ip:port` of the peer and of our end, as CLIENT LIST prints them.
    pub addr: String,
    pub laddr: String,
    pub fd: i32,
    /// It came by the Unix socket.
    pub unix_socket: bool,
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_ver: Vec<u8>,
    pub db: u32,
    pub proto: Proto,
    pub authenticated: bool,
    /// Who it is, and whether that user may do everything.
    pub user: UserId,
    pub may_all: bool,
    /// Monotonic clock: when it connected, when it last sent something or took what it was sent.
    pub since: Millis,
    pub active: Millis,
    /// Replies on their way out; the first `cleared` bytes may be sent (see the turn, in `runtime`).
    pub out: Vec<u8>,
    pub cleared: usize,
    /// Replies that go out before `out`, since a socket did not take them.
    pub unsent: Unsent,
    /// How much of `out` is kept when all is sent.
    pub reply: ReplyRoom,
    /// In the list of clients with new output since the last flush.
    pub touched: bool,
    /// The bytes of a request that has not come whole; behind it, room for the next.
    pub partial: Vec<u8>,
    pub query: QueryRoom,
    pub parser: Parser,
    pub multi: Option<Box<Multi>>,
    pub watching: Vec<Watched>,
    /// A watched key has changed: EXEC will answer null.
    pub watch_broken: bool,
    pub channels: BTreeSet<Vec<u8>>,
    pub patterns: BTreeSet<Vec<u8>>,
    /// Shard channels.
    pub shards: BTreeSet<Vec<u8>>,
    /// Bytes of the names in these three, and of the keys that it watches.
    pub(super) named_bytes: usize,
    /// What `maxmemory-clients` has counted it with.
    pub(super) counted: Counted,
    pub replies: Replies,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<Tracking>>,
    /// SCRIPT DEBUG: its next EVAL is a session of the debugger.
    pub debugs: Option<Debugs>,
    pub blocked: Option<Blocked>,
    pub closing: Option<Closing>,
    /// Since when its output has been above the soft limit of its class (monotonic).
    pub soft_since: Option<Millis>,
    pub no_evict: bool,
    pub no_touch: bool,
    /// The command asked last, for CLIENT LIST and as the first guess of the next lookup.
    pub last: Option<&'static Spec>,
    /// Time that the request took before it had to wait, microseconds.
    pub spent_us: u64,
    /// The stream's end behind its last write: what WAIT waits for.
    pub written: Offset,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Commands that have come to an end, those of its scripts and transactions included.
    pub commands: u64,
}

/// What stands at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    /// A replica that asked for the stream; the number is its link in `replication::Source`.
    Replica,
    /// Our master's stream, or the log being replayed: it is obeyed, and told nothing.
    Stream,
}

/// A transaction that is being queued.
#[derive(Default)]
pub struct Multi {
    pub queue: Vec<(&'static Spec, OwnedArgs)>,
    /// The flags that any of the queued has, and those that any of them lacks: EXEC is held to both.
    pub any: Flags,
    pub lacking: Flags,
    /// What the queued words take.
    pub(super) words_bytes: usize,
    /// A command was refused while queuing: EXEC aborts.
    pub broken: bool,
}

impl Multi {
    /// Queues a request, which has these flags.
    pub fn push(&mut self, spec: &'static Spec, request: OwnedArgs, flags: Flags) {
        self.words_bytes += request.bytes();
        self.queue.push((spec, request));
        self.any = self.any.or(flags);
        self.lacking = self.lacking.or(Flags::ALL.without(flags));
    }
}

/// A key under WATCH.
#[derive(Clone, Debug)]
pub struct Watched {
    pub db: u32,
    pub key: Vec<u8>,
    /// It had expired already when WATCH was called: its removal changes nothing.
    pub expired: bool,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    On,
    Off,
    /// The command that is being executed is not answered (`CLIENT REPLY SKIP` itself), and neither is the next.
    SkipNext,
    Skip,
}

/// How a script is debugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debugs {
    /// SYNC: on the data.
    Live,
    /// YES: as on a copy of the data, which it has not. So it changes nothing.
    WritesNothing,
}

/// Why a client's further requests wait.
#[derive(Clone, Debug)]
pub enum Blocked {
    /// WAIT: until `replicas` have acknowledged `offset`, or the deadline (monotonic). WAITAOF, where `local` is given:
    /// until so many logs of this node and of replicas have it on the disk.
    Wait { local: Option<i64>, replicas: i64, offset: Offset, deadline: Option<Millis> },
    /// A pause holds the request back; `number` is its place among those that are.
    Paused { request: OwnedArgs, number: u64 },
    /// BLPOP and its kin: until one of the keys holds a value of this type, or the deadline (monotonic).
    Keys {
        db: u32,
        keys: Vec<Vec<u8>>,
        kind: ValueKind,
        /// Also when a key is gone or holds something else (XREADGROUP: its group is gone).
        even_gone: bool,
        deadline: Option<Millis>,
        request: OwnedArgs,
    },
    /// Until the runtime is done: a dump is on disk (SAVE), sockets are listened on (CONFIG SET port), keys are with
    /// another server (MIGRATE).
    Checkpoint,
    /// Until a dump of what FLUSHALL has left is on disk, or could not be written: the keys are gone in any case.
    Flushed,
    /// Until the node has stopped, or refused to (SHUTDOWN).
    Shutdown,
}

/// A client that waits for what the runtime does. Slots are taken again; the id is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub slot: Slot,
    pub id: u64,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// When all its replies are out (QUIT, a protocol error).
    AfterReplies,
    Now,
}

impl Client {
    /// A new connection; `db` 0, RESP2.
    pub fn new(id: u64, kind: Kind, addr: String, laddr: String, fd: i32, now: Millis) -> Self {
        Client {
            id,
            kind,
            addr,
            laddr,
            fd,
            unix_socket: false,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            db: 0,
            proto: Proto::Resp2,
            authenticated: false,
            user: DEFAULT,
            may_all: true,
            since: now,
            active: now,
            out: Vec::with_capacity(REPLY_BUFFER_BYTES_MIN),
            cleared: 0,
            unsent: Unsent::default(),
            reply: ReplyRoom::new(now),
            touched: false,
            partial: Vec::new(),
            query: QueryRoom::new(now),
            parser: Parser::default(),
            multi: None,
            watching: Vec::new(),
            watch_broken: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shards: BTreeSet::new(),
            named_bytes: 0,
            counted: Counted::default(),
            replies: Replies::On,
            tracking: None,
            debugs: None,
            blocked: None,
            closing: None,
            soft_since: None,
            no_evict: false,
            no_touch: false,
            last: None,
            spent_us: 0,
            written: Offset(0),
            bytes_in: 0,
            bytes_out: 0,
            commands: 0,
        }
    }

    /// Whether it listens to anything.
    pub fn listens(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty() || !self.shards.is_empty()
    }

    /// The names of a sort that it listens to.
    pub fn listening(&self, sort: Sort) -> &BTreeSet<Vec<u8>> {
        match sort {
            Sort::Channel => &self.channels,
            Sort::Pattern => &self.patterns,
            Sort::Shard => &self.shards,
        }
    }

    pub(super) fn listening_mut(&mut self, sort: Sort) -> &mut BTreeSet<Vec<u8>> {
        match sort {
            Sort::Channel => &mut self.channels,
            Sort::Pattern => &mut self.patterns,
            Sort::Shard => &mut self.shards,
        }
    }
}
