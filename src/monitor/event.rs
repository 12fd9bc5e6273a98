//! What happens to a sentinel, and what it wants done.

use super::peers::Unanswered;
use super::scripts::{Ended, JobId};
use crate::base::{Millis, RunId};
use crate::config::LogLevel;
use crate::failover::founding::{self, Peer};
use crate::failover::{Addr, Applied, Change, Entry, Event as Agreed, MemberId, Registry};
use crate::resp::Frame;
use std::collections::BTreeSet;

/// One link to a node; never reused.
pub type LinkId = u64;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Command,
    PubSub,
}

/// Something happened. `conn` counts the connections of one link.
#[derive(Debug)]
pub enum Event {
    /// The moment of `next_deadline` has come.
    Tick,
    LinkUp {
        link: LinkId,
        conn: u64,
    },
    LinkDown {
        link: LinkId,
    },
    Reply {
        link: LinkId,
        conn: u64,
        frame: Frame,
    },
    /// The group agreed on more: the registry behind it, and what happened on the way there.
    Agreed {
        registry: Registry,
        events: Vec<Agreed>,
    },
    /// Everything that was agreed before the start of this process is applied.
    CaughtUp,
    /// Who leads and who votes changed.
    View {
        leader: Option<MemberId>,
        voters: BTreeSet<MemberId>,
        learners: BTreeSet<MemberId>,
    },
    /// The read-index that `Effect::Linearize` asked for.
    Linearized {
        ok: bool,
    },
    /// What came of `Effect::Propose`.
    Proposed {
        slot: (u8, String),
        entry: Entry,
        outcome: Result<Applied, String>,
    },
    /// What came of `Effect::Member`.
    MemberChanged {
        outcome: Result<(), String>,
    },
    /// A peer's answer to `Effect::Tell`, asked at `asked`.
    Told {
        runid: RunId,
        asked: Millis,
        answer: Result<Vec<u8>, Unanswered>,
    },
    /// The group took this sentinel in.
    Joined {
        group: crate::failover::GroupId,
    },
    /// A script of `Effect::RunScript` has this process id.
    ScriptStarted {
        job: JobId,
        pid: u32,
    },
    ScriptEnded {
        job: JobId,
        how: Ended,
    },
    /// What came of `Effect::Resolve`.
    Resolved {
        host: String,
        ip: Option<String>,
    },
    /// Other sentinels are to be told this address from now on.
    Moved {
        addr: Addr,
    },
    /// The file was written, or why not.
    Rewritten {
        outcome: Result<(), String>,
    },
}

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// Something to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Keep a link open to this address from now on; `greeting` are commands that each connection starts with, whose
    /// replies belong to the link.
    Open {
        link: LinkId,
        addr: Addr,
        kind: LinkKind,
        greeting: Vec<Vec<Vec<u8>>>,
    },
    Close {
        link: LinkId,
    },
    /// Give this connection up and make another.
    Reconnect {
        link: LinkId,
    },
    /// Bytes for this connection; dropped when it is over.
    Send {
        link: LinkId,
        conn: u64,
        bytes: Vec<u8>,
    },
    Propose {
        slot: (u8, String),
        entry: Entry,
    },
    Linearize,
    /// Change who votes; the member is reached at this address, if that is known.
    Member {
        change: Change,
        node: Option<(Addr, RunId)>,
    },
    /// Say this to another sentinel.
    Tell {
        runid: RunId,
        addr: Addr,
        bytes: Vec<u8>,
    },
    Founding(Vec<founding::Effect>),
    Rewrite,
    /// Run this script; its first word is the path.
    RunScript {
        job: JobId,
        argv: Vec<String>,
    },
    KillScript {
        job: JobId,
    },
    /// SENTINEL SIMULATE-FAILURE: end at once.
    Crash,
    /// CLIENT PAUSE or UNPAUSE.
    PauseChanged,
    /// Another sentinel said where it is: it is dialled there from now on.
    PeerAt {
        runid: RunId,
        addr: Addr,
    },
    /// Look this host name up.
    Resolve {
        host: String,
    },
    /// SENTINEL CONFIG SET loglevel.
    Verbosity(LogLevel),
    /// The pass that this sentinel gives to others is another one.
    PeerPass(Option<String>),
    /// What is announced changed: find out under which address this sentinel is reached.
    OwnAddress,
    Log(Level, String),
    /// For a subscriber.
    Deliver {
        client: super::ClientId,
        bytes: Vec<u8>,
    },
}

/// What a request still needs before it can be answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Later {
    /// A read-index; then the same request again with what came of it.
    Confirm,
    /// A proposal; then the monitor goes on.
    Propose(Entry),
    /// The address behind this host name; then the same request again.
    Resolve(String),
    /// The file; then OK or the error.
    Flush,
}

/// What came of a [`Later`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    Confirmed,
    NoQuorum(String),
    Proposed(Result<Applied, String>),
    Flushed(Result<(), String>),
    Resolved(Option<String>),
}

/// A member that asks to be taken in is answered when its entry is agreed.
#[derive(Debug)]
pub enum Heard {
    /// Answer this now.
    Now(Vec<u8>),
    /// Agree on this first, then answer with [`super::Monitor::joined`].
    Join(Peer, Entry),
}
