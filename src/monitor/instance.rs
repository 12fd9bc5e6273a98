//! One watched data node: what is believed of it, and the links to it.

use super::event::LinkId;
use crate::base::{Epoch, Millis, RunId};
use crate::failover::facts::Facts;
use crate::failover::observation::{Kind, Observation, Timing};
use crate::failover::{Addr, Order};
use std::collections::VecDeque;

/// `SENTINEL_PING_PERIOD`
pub const PING_PERIOD_MS: Millis = Millis(1_000);
/// `SENTINEL_INFO_PERIOD`
pub const INFO_PERIOD_MS: Millis = Millis(10_000);
/// The same while something is wrong.
pub const INFO_URGENT_MS: Millis = Millis(1_000);
/// The most commands that may wait for their replies on one link (`SENTINEL_MAX_PENDING_COMMANDS`).
pub const PENDING_MAX: usize = 100;

/// Makes the next INFO due at once.
pub const LONG_AGO: Millis = Millis(i64::MIN / 2);

/// What a reply on the command link answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Pending {
    Ping,
    /// `order`: it was sent right behind this order, so its role is the node's own word.
    Info {
        order: Option<Order>,
    },
    Publish,
    /// A command inside MULTI: `QUEUED` or an error.
    Queued,
    /// EXEC of an order.
    Exec {
        order: Order,
    },
    Other,
}

/// A link and its present connection.
#[derive(Clone, Debug, Default)]
pub struct Link {
    pub id: LinkId,
    /// The present connection.
    pub conn: Option<u64>,
    pub pending: VecDeque<Pending>,
}

/// How far a replica is that was told of its new master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconf {
    /// `+slave-reconf-sent`
    Sent,
    /// `+slave-reconf-inprog`: it follows.
    InProgress,
    /// `+slave-reconf-done`: its link is up.
    Done,
}

/// One data node of one master.
#[derive(Clone, Debug)]
pub struct Instance {
    pub addr: Addr,
    pub kind: Kind,
    pub observation: Observation,
    pub command: Link,
    pub pubsub: Link,
    pub facts: Option<Facts>,
    /// The text of the last INFO, and when it came.
    pub info: Vec<u8>,
    pub info_at: Option<Millis>,
    pub runid: Option<RunId>,
    pub next_ping: Millis,
    /// When INFO was last asked for; the period decides when the next one is due.
    pub info_sent: Millis,
    pub next_hello: Millis,
    pub queue_error: Option<String>,
    pub role_reported_at: Millis,
    /// It was told to follow the master of this configuration epoch, and how far it is.
    pub reconf: Option<(Epoch, Reconf)>,
    /// When the pub/sub link last brought anything.
    pub heard_pubsub: Millis,
}

impl Instance {
    pub fn new(addr: Addr, kind: Kind, timing: Timing, now: Millis, links: (LinkId, LinkId)) -> Instance {
        Instance {
            addr,
            kind,
            observation: Observation::new(kind, timing, now),
            command: Link { id: links.0, ..Link::default() },
            pubsub: Link { id: links.1, ..Link::default() },
            facts: None,
            info: Vec::new(),
            info_at: None,
            runid: None,
            next_ping: now,
            info_sent: LONG_AGO,
            next_hello: now,
            queue_error: None,
            role_reported_at: now,
            reconf: None,
            heard_pubsub: now,
        }
    }

    pub fn is_replica_shown(&self) -> bool {
        self.facts.as_ref().is_none_or(|facts| facts.announced)
    }
}
