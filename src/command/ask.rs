//! What a handler asks of the world outside: the runtime carries it out behind the turn.

use super::client::{Slot, Waiter};
use crate::base::{Millis, ReplId};
use crate::config::Change;

/// One wish. Handlers push them to [`Server::asks`](super::Server); nothing in `command/` performs any.
#[derive(Debug)]
pub enum Ask {
    /// End a connection (its replies first, where [`Closing`](super::Closing) says so).
    Close(Slot),
    /// Stop the node. The client is blocked until it has stopped or cannot.
    Shutdown { save: Save, now: bool, force: bool },
    /// SHUTDOWN ABORT succeeded.
    ShutdownAborted,
    /// Write a checkpoint now (BGREWRITEAOF).
    Checkpoint,
    /// Write a checkpoint and make `dump.rdb` of it; who waits for it (SAVE) is blocked, BGSAVE is not.
    Dump { waiting: Option<Waiter> },
    /// FLUSHALL, where there are save points: what is being dumped is gone, and the dump becomes an empty one. Who waits
    /// for it is blocked.
    Flushed { waiting: Option<Waiter> },
    /// The replication core has effects to carry out (a new master, a PSYNC, an ACK...).
    Replication,
    /// A client has become a replica's link: its connection leaves the request loop.
    BecameReplica(Slot),
    /// These directives have new values.
    Configured(Vec<&'static str>),
    /// `port` or `bind` have new values: other sockets are to be listened on, or the values undone. The client is blocked
    /// until that is known.
    Listen { waiter: Waiter, change: Change },
    /// MIGRATE: send values to another server; the client is blocked until that is over.
    Migrate(Box<Migration>),
    /// DEBUG SLEEP: stop the loop.
    Sleep(Millis),
    /// DEBUG RELOAD / LOADAOF: the keyspace anew from disk.
    Reload { waiter: Waiter, how: Reload },
    /// DEBUG CHANGE-REPL-ID, or a promotion: a history record first, then the new id.
    NewHistory { replid: ReplId },
    /// DEBUG SEGFAULT / PANIC / RESTART are for tests of crashes: end at once, like `kill -9`.
    Die,
    /// A client is blocked: look at deadlines again.
    Blocked(Slot),
    /// More memory is in use than may be: eviction is to go on behind the turn.
    Evict,
    /// CLIENT PAUSE or UNPAUSE: look at paused clients again.
    PauseChanged,
}

/// Where a keyspace that is read anew comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The last checkpoint and the log behind it.
    Log,
    /// The RDB file: written before (`save`), in the place of what is there (`flush`) or added to it, where it wins a
    /// conflict (`merge`).
    File { save: bool, flush: bool, merge: bool },
}

/// SHUTDOWN SAVE | NOSAVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// As the configuration says.
    Default,
    Yes,
    No,
}

/// Keys on their way to another server.
#[derive(Debug)]
pub struct Migration {
    pub waiter: Waiter,
    /// The database that they are in here.
    pub db: u32,
    pub host: String,
    pub port: u16,
    /// For each step.
    pub timeout: Millis,
    /// What is sent: some greetings, and a RESTORE for each key.
    pub request: Vec<u8>,
    pub greetings: usize,
    /// They are the first bytes of the request.
    pub greeting_bytes: usize,
    /// They stay here as well.
    pub copy: bool,
    pub moved: Vec<Moved>,
}

/// One of them, as it was when it was sent.
#[derive(Debug)]
pub struct Moved {
    pub key: Vec<u8>,
    pub deadline: Option<Millis>,
    pub payload: Vec<u8>,
}
