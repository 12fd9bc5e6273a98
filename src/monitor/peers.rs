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
    /// The masters that it watches too.
    pub masters: BTreeSet<String>,
}
