//! What the source is told, what it asks for, and what it shows: the types at its border.

use crate::base::{Offset, ReplId};
use crate::replication::note::Note;

/// The client connection that a replica came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One full copy being made or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(pub u64);

/// How a copy is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `$EOF:<mark>`: sent while it is made.
    Marked,
    /// `$<bytes>`: made first.
    Sized,
}

/// The directives that the source obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// `repl-timeout`, seconds.
    pub timeout_s: i64,
    /// `repl-ping-replica-period`, seconds.
    pub ping_period_s: i64,
    /// `repl-diskless-sync`, its delay in seconds and its `max-replicas` (0: no such bound).
    pub diskless: bool,
    pub diskless_delay_s: i64,
    pub diskless_replicas_max: usize,
    /// `min-replicas-max-lag`, seconds.
    pub lag_max_s: i64,
    /// `repl-backlog-ttl`, seconds; 0: never.
    pub backlog_ttl_s: i64,
    /// The replica class' hard limit of `client-output-buffer-limit`: how much stream is held in memory for a link when
    /// there is no log to read it from; 0: no limit.
    pub held_bytes_max: u64,
    /// What one send may take.
    pub chunk_bytes: u64,
}

impl Default for SourceConfig {
    fn default() -> Self {
        SourceConfig {
            timeout_s: 60,
            ping_period_s: 10,
            diskless: true,
            diskless_delay_s: 5,
            diskless_replicas_max: 0,
            lag_max_s: 10,
            backlog_ttl_s: 3600,
            held_bytes_max: 256 * 1024 * 1024,
            chunk_bytes: 256 * 1024,
        }
    }
}

/// What a connection says of itself by REPLCONF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conf<'a> {
    ListeningPort(i64),
    IpAddress(&'a [u8]),
    /// Any capability; unknown ones are ignored, as every Redis does.
    Capa(&'a [u8]),
    Version(&'a [u8]),
    RdbOnly(bool),
    /// `rdb-filter-only functions`.
    FunctionsOnly(bool),
}

/// The words of SYNC or PSYNC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    Sync,
    /// `PSYNC replid next`: the id as sent, the first byte wanted counted from 1.
    Psync {
        replid: &'a [u8],
        next: i64,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// REPLCONF by a connection that may become a replica; `ip` is its peer address.
    Said {
        link: LinkId,
        ip: &'a str,
        conf: Conf<'a>,
    },
    /// SYNC or PSYNC. `fresh` is a new random id, used if this master must take one.
    Asked {
        link: LinkId,
        ip: &'a str,
        ask: Ask<'a>,
        fresh: ReplId,
    },
    /// REPLCONF TAIL: a master lost its tail, and asks how far we hold the bytes of `replid` behind `from`; with `upto`, it
    /// wants those up to there ([`super::super::tail`]).
    TailAsked {
        link: LinkId,
        ip: &'a str,
        replid: &'a [u8],
        from: Offset,
        upto: Option<Offset>,
    },
    /// The copy ordered by [`Effect::StartCopy`] was taken now: at the end of the stream, all of it released.
    CopyBegan {
        copy: CopyId,
    },
    /// No link may join this copy any more: it is complete (sized) or all sent or discarded (marked).
    CopyMade {
        copy: CopyId,
    },
    CopyFailed {
        copy: CopyId,
    },
    /// A part of the copy went out to this link.
    CopyMoved {
        link: LinkId,
    },
    /// All of the copy went out to this link.
    Copied {
        link: LinkId,
    },
    /// The bytes of the last Send before `upto` went out; fewer than asked for is fine.
    Sent {
        link: LinkId,
        upto: Offset,
    },
    /// REPLCONF ACK, with FACK where given.
    Acked {
        link: LinkId,
        upto: Offset,
        synced: Option<Offset>,
    },
    /// A bare newline: the replica is loading and alive.
    Heard {
        link: LinkId,
    },
    Gone {
        link: LinkId,
    },
    /// The stream's released end moved (once a turn).
    Released,
    /// The history changed under the replicas: they must ask again.
    DropAll {
        why: DropReason,
    },
    /// Time passes; at least once a second.
    Tick,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The stream's history has changed: put it into the log before doing what follows.
    HistoryChanged,
    /// Write to the connection, outside the stream.
    Reply {
        link: LinkId,
        bytes: Vec<u8>,
    },
    /// Take a copy of the keyspace now, at the end of the stream (answer [`Event::CopyBegan`]).
    StartCopy {
        copy: CopyId,
        format: Format,
        functions_only: bool,
    },
    /// Send this copy to the link: `reply` first, then the payload (a marked copy as it is made).
    AttachCopy {
        copy: CopyId,
        link: LinkId,
        reply: Vec<u8>,
    },
    /// Nobody wants this copy any more.
    AbandonCopy {
        copy: CopyId,
    },
    /// Send stream bytes from the backlog.
    Send {
        link: LinkId,
        from: Offset,
        to: Offset,
    },
    /// Send stream bytes from the log on disk.
    SendFromLog {
        link: LinkId,
        from: Offset,
        to: Offset,
    },
    /// Ask this replica for what it holds beyond our end ([`super::super::tail::Event::Found`]); it comes again.
    FetchTail {
        host: String,
        port: u16,
    },
    /// Append [`super::PING`] to the stream.
    Ping,
    /// Close the connection, after what was replied to it.
    Drop {
        link: LinkId,
        why: DropReason,
    },
    Log(Note),
}

/// Why a link was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Its next byte is neither in the backlog nor in the log.
    FellOut,
    /// No acknowledgement for `repl-timeout`.
    Silent,
    /// A copy did not move for `repl-timeout`.
    CopyStuck,
    CopyFailed,
    /// It only wanted the copy.
    CopyOnly,
    /// It has been given the tail that it lacked.
    TailGiven,
    /// The node's replication id changed; the link may resume in part.
    NewId,
    /// The node's data was replaced by a full copy.
    Replaced,
}

/// How INFO and ROLE show a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo<'a> {
    pub link: LinkId,
    pub ip: &'a str,
    pub port: i64,
    /// `wait_bgsave`, `send_bulk` or `online`.
    pub state: &'static str,
    pub offset: Offset,
    pub synced: Offset,
    pub lag_s: i64,
    pub version: Option<&'a str>,
    /// Speaks Regent's own handshake.
    pub native: bool,
}

/// How often replicas asked and what they got (`sync_full`, `sync_partial_ok`, `sync_partial_err`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounts {
    pub full: u64,
    pub partial_ok: u64,
    pub partial_err: u64,
}
