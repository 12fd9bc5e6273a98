//! The other sentinels: what they say to each other beside Raft, and how they are seen.

use crate::base::{Millis, RunId};
use crate::failover::founding::{Letter, Peer};
use crate::failover::observation::Observation;
use crate::failover::{Addr, BootId, GroupId, MemberId, Opinion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What one sentinel says to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// About founding.
    Letter(Letter),
    /// What the sender thinks of the masters; sent at each change and every second, so it is the ping as well.
    Opinions { from: Peer, boot: BootId, opinions: Vec<Opinion> },
    /// The sender asks to be taken in.
    Join { from: Peer, boot: BootId },
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerAnswer {
    Taken,
    /// The answerer's own opinions.
    Opinions {
        from: Peer,
        boot: BootId,
        opinions: Vec<Opinion>,
    },
    /// The sender is in the registry of this group.
    Joined {
        group: GroupId,
    },
    /// Not now: no group, no quorum.
    NotNow,
}

/// Why another sentinel did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Not reached, or not in time.
    Silent,
    WrongPass,
    /// It belongs to this other group.
    Foreign {
        group: String,
    },
}

/// Another sentinel, as it is seen from here.
#[derive(Clone, Debug)]
pub struct PeerSeen {
    pub runid: RunId,
    pub addr: Addr,
    pub member: Option<MemberId>,
    pub observation: Observation,
    /// A message is on its way.
    pub asking: bool,
    /// Another is to follow it.
    pub again: bool,
    pub hello_at: Millis,
    /// Where it said itself that it is.
    pub said: Option<Addr>,
    /// Why it did not answer last, where that was told to people.
    pub trouble: Option<Unanswered>,
    /// When it last said that it belongs to another group.
    pub foreign_at: Option<Millis>,
    /// The masters that it watches too.
    pub masters: BTreeSet<String>,
}
