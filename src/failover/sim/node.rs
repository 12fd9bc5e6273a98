//! A data node as the sentinels meet it: a role, a history, an offset, and the rule of obedience (native) or none.

use crate::base::{Epoch, Offset, ReplId, RunId};
use crate::failover::facts::{Facts, Loading, MasterLink, Native, Role};
use crate::failover::{Addr, Answer, GroupId, Obedience, Order};
use std::collections::BTreeMap;

pub struct Node {
    pub addr: Addr,
    pub native: bool,
    pub up: bool,
    pub follows: Option<Addr>,
    pub linked: bool,
    pub obedience: Obedience,
    pub offset: u64,
    pub replid: ReplId,
    pub former: Option<(ReplId, Offset)>,
    pub runid: RunId,
    /// Whose data it holds: 0 for this master's, anything else is a stranger's.
    pub root: u32,
    /// When it last turned a stranger.
    pub strange_since: i64,
    /// Until then it answers every order with an error.
    pub deaf_until: i64,
    /// Every promotion that it acted on, for the oracle.
    pub promoted: BTreeMap<(GroupId, Epoch), u32>,
    /// The groups and epochs that it acted on, in order, for the oracle.
    pub acted: Vec<(GroupId, Epoch)>,
}

impl Node {
    pub fn facts(&self, attached: Vec<Addr>) -> Facts {
        let link = if self.linked { MasterLink::Up } else { MasterLink::Down { for_: None } };
        let Obedience { group, epoch, .. } = self.obedience;
        Facts {
            runid: Some(self.runid),
            role: self.follows.clone().map_or(Role::Master, |master| Role::Replica { master, link }),
            priority: 100,
            announced: true,
            offset: Offset(self.offset),
            replid: Some(self.replid),
            loading: Loading::Nothing,
            former: self.former,
            replicas: attached,
            native: self.native.then_some(Native { group, obeyed: epoch }),
        }
    }

    /// Carries out an order, or refuses it. `fresh_id`: the replication id, should it begin a history.
    pub fn order(&mut self, group: GroupId, order: &Order, fresh_id: ReplId) -> Answer {
        if self.native {
            match self.obedience.judge(group, order) {
                Ok(obeyed) => self.obedience = obeyed,
                Err(refusal) => return Answer::Refused(refusal),
            }
        }
        self.acted.push((group, order.epoch()));
        match order {
            Order::Promote { epoch } => {
                *self.promoted.entry((group, *epoch)).or_default() += 1;
                if self.follows.take().is_some() {
                    self.former = Some((self.replid, Offset(self.offset)));
                    self.replid = fresh_id;
                    self.linked = false;
                }
            }
            Order::Follow { master, .. } => {
                if self.follows.as_ref() != Some(master) {
                    self.linked = false;
                }
                self.follows = Some(master.clone());
            }
            Order::Fence { .. } => {}
        }
        Answer::Obeyed { offset: Offset(self.offset), replid: Some(self.replid) }
    }

    /// A crash and a start: a native node keeps its history, another begins anew and keeps its role.
    pub fn restart(&mut self, runid: RunId, fresh_id: ReplId) {
        (self.up, self.runid, self.linked) = (true, runid, false);
        if !self.native {
            (self.replid, self.former) = (fresh_id, None);
        }
    }
}
