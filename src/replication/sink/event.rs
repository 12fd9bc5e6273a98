//! What the sink is told, what it asks for, and what it shows: the types at its border.

use crate::base::{Offset, ReplId};
use crate::replication::bulk::Extent;
use crate::replication::note::Note;
use crate::replication::source::DropReason;

/// One connection of ours to a master; events of an earlier one are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The directives that the sink obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// `masteruser` and `masterauth`.
    pub user: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    /// The port to announce: `replica-announce-port`, else the (TLS) port.
    pub port: u16,
    /// `replica-announce-ip`.
    pub ip: Option<Vec<u8>>,
    /// `repl-timeout`, seconds.
    pub timeout_s: i64,
    /// A copy is parsed as it comes, not spooled to disk; for the log line only.
    pub to_parser: bool,
    /// The node can go back to an earlier offset of its history, and says so to its master.
    pub rewind: bool,
}

impl Default for SinkConfig {
    fn default() -> Self {
        SinkConfig { user: None, password: None, port: 6379, ip: None, timeout_s: 60, to_parser: true, rewind: true }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// REPLICAOF host port (or the directive at start-up). `failover`: the master hands over to us as its successor, and
    /// PSYNC says FAILOVER.
    Follow {
        host: &'a str,
        port: u16,
        failover: bool,
    },
    /// REPLICAOF NO ONE, or a promotion: a new history begins under `fresh`.
    Unfollow {
        fresh: ReplId,
    },
    Connected {
        conn: ConnId,
    },
    ConnectFailed {
        conn: ConnId,
        why: &'a str,
    },
    /// A line of the handshake, without its CRLF.
    Line {
        conn: ConnId,
        line: &'a [u8],
    },
    /// The header of the copy was read.
    CopyHeader {
        conn: ConnId,
        extent: Extent,
    },
    /// Bytes of the copy came.
    CopyBytes {
        conn: ConnId,
        bytes: u64,
    },
    /// The copy came whole; answered by [`Effect::LoadCopy`].
    CopyReceived {
        conn: ConnId,
    },
    /// The copy is loaded and is what a restart would find: the stream may go on from it. The keyspace's stream database
    /// (`repl-stream-db`) is `db`.
    CopyLoaded {
        conn: ConnId,
        db: u32,
    },
    /// The copy could not be read or loaded. `kept`: the old keyspace is untouched; else nothing can be continued and
    /// `fresh` names what is left.
    CopyFailed {
        conn: ConnId,
        why: &'a str,
        kept: bool,
        fresh: ReplId,
    },
    /// Stream bytes were read (whole units or not); what is whole has been appended to the stream.
    Bytes {
        conn: ConnId,
        bytes: u64,
    },
    /// REPLCONF GETACK came in the stream: acknowledge once what precedes it is released.
    GetAck {
        conn: ConnId,
    },
    /// The stream's released end moved.
    Released,
    /// The peer closed, or reading failed.
    Closed {
        conn: ConnId,
        why: &'a str,
    },
    /// The node went back to where it agrees with the master ([`crate::replication::Stream::rewind`] is done), or could not.
    Rewound {
        done: bool,
    },
    /// Time passes; at least once a second, and at [`super::Sink::wake_at`].
    Tick,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect, and answer with [`Event::Connected`] or [`Event::ConnectFailed`].
    Connect {
        conn: ConnId,
        host: String,
        port: u16,
    },
    /// Write to the master.
    Send {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    /// Close without waiting; no event of this connection is heard from now on.
    Close {
        conn: ConnId,
    },
    /// A copy of history `id` at `at` follows: [`crate::replication::Bulk`] reads it.
    ExpectCopy {
        conn: ConnId,
        id: ReplId,
        at: Offset,
    },
    /// Load what was received, and make it current.
    LoadCopy {
        conn: ConnId,
        id: ReplId,
        at: Offset,
    },
    /// Give up the copy on its way.
    DiscardCopy,
    /// The stream goes on from here: what follows on the connection is commands.
    Stream {
        conn: ConnId,
        from: Offset,
    },
    /// The stream's history has changed: put it into the log before doing what follows.
    HistoryChanged,
    /// Our replicas must ask again.
    DropReplicas {
        why: DropReason,
    },
    /// The master that we hand over to has answered: it took over, or will not. In the latter case nothing more is tried
    /// until we are told whom to follow.
    HandedOver {
        accepted: bool,
    },
    /// Go back to `to`, as history `id` (answered by [`Event::Rewound`]).
    Rewind {
        id: ReplId,
        to: Offset,
    },
    Log(Note),
}

/// What the next bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Nothing,
    Line,
    Copy,
    Stream,
}

/// Where a link stands, as ROLE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    None,
    Connect,
    Connecting,
    Handshake,
    Sync,
    Connected,
}

impl LinkState {
    /// ROLE's word.
    pub fn word(self) -> &'static str {
        match self {
            LinkState::None => "none",
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        }
    }
}

/// The fields of INFO replication that a replica has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkInfo<'a> {
    pub host: &'a str,
    pub port: u16,
    pub state: LinkState,
    /// `master_last_io_seconds_ago`, -1 where the link is down.
    pub last_io_s: i64,
    /// The copy on its way, if there is one.
    pub sync: Option<SyncInfo>,
    /// `master_link_down_since_seconds`, where the link is down; -1 if it never was up.
    pub down_s: Option<i64>,
    /// `slave_read_repl_offset`.
    pub read: Offset,
    /// `slave_repl_offset`.
    pub applied: Offset,
}

/// The progress of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncInfo {
    /// `master_sync_total_bytes`; 0 where the master does not say.
    pub total_bytes: u64,
    pub read_bytes: u64,
    pub last_io_s: i64,
}
