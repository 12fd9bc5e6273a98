//! What the group writes in its log, what applying it answers, and the events that every sentinel emits for it.
//!
//! Entries carry the proposer's wall clock (`at`) for people to read; no decision of [`Registry::apply`] looks at it.
//!
//! [`Registry::apply`]: super::Registry::apply

use super::names::{Addr, BootId, MemberId};
use crate::base::{Epoch, Millis, Offset, ReplId, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One agreed step. Every one is a compare-and-set against the registry: applied twice, or too late, it does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A sentinel enters the group, or comes back with a new boot id, run id or address.
    Join { member: MemberId, runid: RunId, addr: Addr, boot: BootId, at: Millis },
    /// A sentinel is to go (its voice is taken away next; see [`Entry::Dropped`]).
    Leave { member: MemberId, at: Millis },
    /// A sentinel that was to go has no part in Raft any more: its record is closed.
    Dropped { member: MemberId },
    /// The voters of Raft as they are now (a mirror, so that evidence can be checked).
    Voters { voters: BTreeSet<MemberId> },
    /// SENTINEL MONITOR, or a `sentinel monitor` line: `by` observes this master from now on.
    Monitor { name: String, addr: Addr, settings: Settings, by: MemberId, at: Millis },
    /// SENTINEL REMOVE: `by` observes it no more; the last observer takes the master along.
    Unmonitor { name: String, by: MemberId, at: Millis },
    /// SENTINEL SET of the settings that are agreed.
    Configure { name: String, settings: Vec<Setting>, by: MemberId, at: Millis },
    /// The agreed master of this configuration epoch was seen with this run id and replication id.
    Identified { name: String, epoch: Epoch, runid: RunId, replid: Option<ReplId> },
    /// A replica of the agreed master was seen; `linked`: its link to that master was up.
    ReplicaSeen { name: String, epoch: Epoch, addr: Addr, runid: Option<RunId>, linked: bool },
    /// An operator wants a replica forgotten; refused while it is owed a demotion.
    ReplicaForgotten { name: String, addr: Addr, at: Millis },
    /// The decision: `node` is to be promoted in `epoch`, `executor` gives the order.
    Picked { name: String, epoch: Epoch, node: Addr, executor: MemberId, reason: Reason, at: Millis },
    /// A silent executor of the pick of `epoch` is replaced.
    TakeOver { name: String, epoch: Epoch, executor: MemberId, at: Millis },
    /// The picked node's own word that it is the master: lookups and `+switch-master` change here.
    Promoted { name: String, epoch: Epoch, node: Addr, offset: Offset, replid: Option<ReplId>, at: Millis },
    /// The pick of `picked` is off; the old master stays, in the new configuration epoch `epoch`, which outranks any
    /// order of that pick which is still on its way.
    GaveUp { name: String, picked: Epoch, epoch: Epoch, why: String, at: Millis },
    /// A node that was owed a demotion was seen following the agreed master of `epoch`.
    DemotionPaid { name: String, epoch: Epoch, node: Addr },
}

/// Why a pick is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The agreed master of configuration epoch `against` is down for these observers.
    Odown { against: Epoch, witnesses: Vec<Witness> },
    /// SENTINEL FAILOVER at member `by`, of the master of configuration epoch `against`.
    Forced { against: Epoch, by: MemberId },
    /// The pick of epoch `after` came to nothing.
    Next { after: Epoch, why: String },
}

/// One observer's word that the master is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    pub member: MemberId,
    pub boot: BootId,
    /// Since when, on that observer's wall clock (for people).
    pub since: Millis,
}

/// The settings of a master that are agreed; auth, rename-command and scripts are each sentinel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub quorum: u32,
    pub down_after: Millis,
    pub failover_timeout: Millis,
    pub parallel_syncs: u32,
}

impl Settings {
    /// The defaults of Redis Sentinel (`sentinel_default_*` in sentinel.c) with this quorum.
    pub const fn with_quorum(quorum: u32) -> Settings {
        Settings { quorum, down_after: Millis(30_000), failover_timeout: Millis(180_000), parallel_syncs: 1 }
    }

    pub(super) fn are_sound(&self) -> bool {
        self.quorum > 0 && self.down_after.0 > 0 && self.failover_timeout.0 > 0 && self.parallel_syncs > 0
    }

    pub(super) fn set(&mut self, setting: &Setting) {
        match *setting {
            Setting::Quorum(quorum) => self.quorum = quorum,
            Setting::DownAfter(span) => self.down_after = span,
            Setting::FailoverTimeout(span) => self.failover_timeout = span,
            Setting::ParallelSyncs(count) => self.parallel_syncs = count,
        }
    }
}

/// One agreed setting, changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting {
    Quorum(u32),
    DownAfter(Millis),
    FailoverTimeout(Millis),
    ParallelSyncs(u32),
}

/// What applying an entry did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// The registry changed; every sentinel emits these events.
    Done(Vec<Event>),
    /// The registry already said so: a repeat, as good as done.
    Same,
    /// Too late, or not true any more: nothing changed.
    Stale(Stale),
    /// MONITOR of a known name at another address: this is the agreed one.
    Conflict { addr: Addr },
}

impl Applied {
    /// Whether what the entry wanted holds now.
    pub fn holds(&self) -> bool {
        matches!(self, Applied::Done(_) | Applied::Same)
    }

    /// The events to emit.
    pub fn events(&self) -> &[Event] {
        match self {
            Applied::Done(events) => events,
            _ => &[],
        }
    }
}

/// Why an entry did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stale {
    /// No master of that name.
    UnknownMaster,
    /// No such member, or not one that observes this master.
    UnknownMember,
    /// The node is not among the master's known nodes.
    UnknownNode,
    /// The epoch is not the one that this step belongs to.
    Epoch,
    /// A failover is in progress (`-INPROG`).
    InProgress,
    /// No failover is in progress.
    NotInProgress,
    /// Fewer than quorum distinct voters of their present boot stand behind it.
    Evidence,
    /// The node is owed a demotion.
    Owed,
    /// A bound of the registry, or a value that makes no sense.
    Bound,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stale::UnknownMaster => "no such master with that name",
            Stale::UnknownMember => "not an observing member of the group",
            Stale::UnknownNode => "not a known node of the master",
            Stale::Epoch => "the epoch has passed",
            Stale::InProgress => "a failover is already in progress",
            Stale::NotInProgress => "no failover is in progress",
            Stale::Evidence => "fewer than quorum voters stand behind it",
            Stale::Owed => "the node is owed a demotion",
            Stale::Bound => "out of bounds",
        })
    }
}

/// What every sentinel tells its subscribers and its log when an entry is applied. The names of the channels are the
/// business of whoever prints them; the order here is the order of emission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    MemberJoined {
        member: MemberId,
        runid: RunId,
        addr: Addr,
    },
    MemberMoved {
        member: MemberId,
        runid: RunId,
        from: Addr,
        to: Addr,
    },
    MemberLeft {
        member: MemberId,
        runid: RunId,
        addr: Addr,
    },
    /// The group knows a new master.
    Monitored {
        name: String,
        addr: Addr,
        quorum: u32,
        by: MemberId,
    },
    /// A further member observes a known master.
    Observed {
        name: String,
        by: MemberId,
    },
    /// A member observes the master no more.
    Unobserved {
        name: String,
        by: MemberId,
    },
    /// The last observer left: the group has dropped it.
    Unmonitored {
        name: String,
        addr: Addr,
    },
    Configured {
        name: String,
        settings: Settings,
        by: MemberId,
    },
    ReplicaAdded {
        name: String,
        addr: Addr,
    },
    ReplicaRemoved {
        name: String,
        addr: Addr,
    },
    /// `+new-epoch`.
    NewEpoch {
        epoch: Epoch,
    },
    /// `+try-failover`, `+elected-leader`, `+selected-slave`: one commit here.
    Picked {
        name: String,
        epoch: Epoch,
        node: Addr,
        executor: MemberId,
        forced: bool,
    },
    /// The executor of a pick changed.
    TakenOver {
        name: String,
        epoch: Epoch,
        executor: MemberId,
    },
    /// `+promoted-slave` and `+switch-master`; `executor` ran it (the "leader" of client-reconfig-script).
    SwitchMaster {
        name: String,
        from: Addr,
        to: Addr,
        epoch: Epoch,
        executor: MemberId,
    },
    /// `-failover-abort-*`.
    GaveUp {
        name: String,
        addr: Addr,
        node: Addr,
        epoch: Epoch,
        why: String,
    },
}

impl Event {
    /// The master that it is about.
    pub fn master(&self) -> Option<&str> {
        match self {
            Event::MemberJoined { .. }
            | Event::MemberMoved { .. }
            | Event::MemberLeft { .. }
            | Event::NewEpoch { .. } => None,
            Event::Monitored { name, .. }
            | Event::Observed { name, .. }
            | Event::Unobserved { name, .. }
            | Event::Unmonitored { name, .. }
            | Event::Configured { name, .. }
            | Event::ReplicaAdded { name, .. }
            | Event::ReplicaRemoved { name, .. }
            | Event::Picked { name, .. }
            | Event::TakenOver { name, .. }
            | Event::SwitchMaster { name, .. }
            | Event::GaveUp { name, .. } => Some(name),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Join { member, addr, boot, .. } => write!(f, "join {member:x} at {addr} boot {boot:x}"),
            Entry::Leave { member, .. } => write!(f, "leave {member:x}"),
            Entry::Dropped { member } => write!(f, "dropped {member:x}"),
            Entry::Voters { voters } => write!(f, "voters {voters:x?}"),
            Entry::Monitor { name, addr, by, .. } => write!(f, "monitor {name} at {addr} by {by:x}"),
            Entry::Unmonitor { name, by, .. } => write!(f, "unmonitor {name} by {by:x}"),
            Entry::Configure { name, settings, by, .. } => write!(f, "configure {name} {settings:?} by {by:x}"),
            Entry::Identified { name, epoch, runid, .. } => write!(f, "identified {name} epoch {epoch} runid {runid}"),
            Entry::ReplicaSeen { name, addr, linked, .. } => write!(f, "replica {addr} of {name} linked {linked}"),
            Entry::ReplicaForgotten { name, addr, .. } => write!(f, "forgot {addr} of {name}"),
            Entry::Picked { name, epoch, node, executor, reason, .. } => {
                write!(f, "picked {node} for {name} epoch {epoch} executor {executor:x}: {reason:?}")
            }
            Entry::TakeOver { name, epoch, executor, .. } => {
                write!(f, "take over {name} epoch {epoch} by {executor:x}")
            }
            Entry::Promoted { name, epoch, node, offset, .. } => {
                write!(f, "promoted {node} for {name} epoch {epoch} at offset {offset}")
            }
            Entry::GaveUp { name, picked, epoch, why, .. } => {
                write!(f, "gave up {name} epoch {picked}, now {epoch}: {why}")
            }
            Entry::DemotionPaid { name, node, epoch } => write!(f, "demoted {node} of {name} epoch {epoch}"),
        }
    }
}
