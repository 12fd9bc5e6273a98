//! Orders from the group to a data node, and the rule by which a native node obeys or refuses them.
//!
//! The rule is the node's half of S2: an order below the epoch that it obeyed is refused, within one epoch a node that
//! was promoted is not demoted and the other way round, and a second group is refused altogether. [`Obedience`] is
//! what the node must make durable before it acts.

use super::names::{Addr, GroupId};
use super::plant::planted;
use crate::base::Epoch;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a node is told to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Be the master of this epoch (`SLAVEOF NO ONE`).
    Promote { epoch: Epoch },
    /// Follow the agreed master of this epoch (`SLAVEOF host port`).
    Follow { master: Addr, epoch: Epoch },
    /// Obey nothing below this epoch; the role stays (native nodes only).
    Fence { epoch: Epoch },
}

impl Order {
    pub fn epoch(&self) -> Epoch {
        match self {
            Order::Promote { epoch } | Order::Follow { epoch, .. } | Order::Fence { epoch } => *epoch,
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Promote { epoch } => write!(f, "promote, epoch {epoch}"),
            Order::Follow { master, epoch } => write!(f, "follow {master}, epoch {epoch}"),
            Order::Fence { epoch } => write!(f, "fence, epoch {epoch}"),
        }
    }
}

/// Whose orders a native node has obeyed, and how far. Durable before an order takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obedience {
    pub group: Option<GroupId>,
    pub epoch: Epoch,
    pub last: Obeyed,
}

/// What the node was told in its epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obeyed {
    /// Nothing but the epoch itself.
    #[default]
    Fence,
    Promote,
    Follow,
}

/// Why a node refuses an order; the words are what the sentinel reads back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It obeys another group.
    Foreign { group: GroupId },
    /// It has obeyed this epoch, or has had the contrary order in it.
    Old { obeyed: Epoch },
}

impl Refusal {
    /// Reads the error reply of a node back, for the sentinel; the words may stand anywhere in it.
    pub fn parse(text: &[u8]) -> Option<Refusal> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some((_, group)) = text.split_once("FOREIGNGROUP ") {
            return Some(Refusal::Foreign { group: GroupId::parse(group.split(' ').next()?.as_bytes())? });
        }
        let (_, epoch) = text.split_once("OLDEPOCH ")?;
        Some(Refusal::Old { obeyed: Epoch(epoch.split(' ').next()?.parse().ok()?) })
    }
}

impl fmt::Display for Refusal {
    /// The error reply of a native node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Foreign { group } => write!(f, "FOREIGNGROUP {group} is the group that this node obeys"),
            Refusal::Old { obeyed } => write!(f, "OLDEPOCH {obeyed} was obeyed by this node"),
        }
    }
}

impl Obedience {
    /// What the node holds after obeying `order` of `group`, or why it does not obey. Repeats are obeyed again.
    pub fn judge(&self, group: GroupId, order: &Order) -> Result<Obedience, Refusal> {
        if let Some(obeyed) = self.group.filter(|own| *own != group)
            && !planted!(NodeObeysAnyGroup)
        {
            return Err(Refusal::Foreign { group: obeyed });
        }
        let epoch = order.epoch();
        let asked = match order {
            Order::Promote { .. } => Obeyed::Promote,
            Order::Follow { .. } => Obeyed::Follow,
            Order::Fence { .. } => Obeyed::Fence,
        };
        let same = self.group.is_some() && epoch == self.epoch;
        let contrary = same && asked != self.last && self.last != Obeyed::Fence && asked != Obeyed::Fence;
        if (epoch < self.epoch || contrary) && !planted!(NodeForgetsEpoch) {
            return Err(Refusal::Old { obeyed: self.epoch });
        }
        let last = if same && asked == Obeyed::Fence { self.last } else { asked };
        Ok(Obedience { group: Some(group), epoch, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: GroupId = GroupId(7);

    fn follow(epoch: u64) -> Order {
        Order::Follow { master: Addr::new("h", 1), epoch: Epoch(epoch) }
    }

    #[test]
    fn a_node_obeys_upwards_only() {
        let fresh = Obedience::default();
        let two = fresh.judge(G, &Order::Promote { epoch: Epoch(2) }).unwrap();
        assert_eq!(two.judge(G, &follow(1)), Err(Refusal::Old { obeyed: Epoch(2) }));
        assert_eq!(two.judge(G, &follow(2)), Err(Refusal::Old { obeyed: Epoch(2) }), "the contrary in one epoch");
        assert_eq!(two.judge(G, &Order::Promote { epoch: Epoch(2) }), Ok(two), "a repeat");
        assert_eq!(two.judge(G, &Order::Fence { epoch: Epoch(2) }), Ok(two), "a fence of the same epoch");
        let three = two.judge(G, &Order::Fence { epoch: Epoch(3) }).unwrap();
        assert_eq!(three.judge(G, &Order::Promote { epoch: Epoch(2) }), Err(Refusal::Old { obeyed: Epoch(3) }));
        assert!(three.judge(G, &follow(3)).is_ok() && three.judge(G, &Order::Promote { epoch: Epoch(3) }).is_ok());
        assert_eq!(two.judge(GroupId(8), &follow(9)), Err(Refusal::Foreign { group: G }));
    }

    #[test]
    fn refusals_there_and_back() {
        for refusal in [Refusal::Foreign { group: G }, Refusal::Old { obeyed: Epoch(12) }] {
            assert_eq!(Refusal::parse(format!("-{refusal}").as_bytes()), Some(refusal));
        }
        assert_eq!(Refusal::parse(b"ERR no"), None);
    }
}
