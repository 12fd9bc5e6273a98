//! What stands in for Raft: one log for a group, a leader that needs a majority at the moment it commits, followers
//! that learn late, and a view of the leader that may be out of date.

use crate::base::Epoch;
use crate::failover::{Addr, Applied, Change, Entry, Event, GroupId, MemberId, Reason, Registry, Standing};
use std::collections::{BTreeMap, BTreeSet};

pub struct Group {
    pub voters: BTreeSet<MemberId>,
    pub learners: BTreeSet<MemberId>,
    pub log: Vec<Entry>,
    /// The registry at the end of the log.
    pub truth: Registry,
    pub leader: Option<MemberId>,
    pub term: u64,
    pub leaderless_since: i64,
    pub changing: Option<Change>,
    /// Every pick that took effect: epoch -> node.
    pub picks: BTreeMap<(String, Epoch), Addr>,
    /// Every (epoch, address) that the master had, in order.
    pub history: Vec<(Epoch, Addr)>,
    decided: Epoch,
}

impl Group {
    pub fn new(group: GroupId, voters: BTreeSet<MemberId>) -> Group {
        Group {
            voters,
            learners: BTreeSet::new(),
            log: vec![],
            truth: Registry::new(group),
            leader: None,
            term: 0,
            leaderless_since: 0,
            changing: None,
            picks: BTreeMap::new(),
            history: vec![],
            decided: Epoch(0),
        }
    }

    /// Commits an entry and holds what it did against the rules. `Err`: an oracle's words.
    pub fn commit(&mut self, entry: Entry) -> Result<Applied, String> {
        let before = self.truth.clone();
        let applied = self.truth.apply(&entry);
        self.log.push(entry.clone());
        if let Applied::Done(events) = &applied {
            self.judge(&before, &entry, events)?;
        } else if before != self.truth {
            return Err(format!("{entry} changed the registry and said {applied:?}"));
        }
        for master in self.truth.masters.values() {
            let now = (master.epoch, master.addr.clone());
            match self.history.last() {
                Some(last) if *last == now => {}
                Some(last) if last.0 >= now.0 => {
                    return Err(format!("S1: the history went from {last:?} to {now:?} by {entry}"));
                }
                _ => self.history.push(now),
            }
        }
        Ok(applied)
    }

    fn judge(&mut self, before: &Registry, entry: &Entry, events: &[Event]) -> Result<(), String> {
        if let Entry::Picked { epoch, .. } | Entry::GaveUp { epoch, .. } = entry {
            if *epoch <= self.decided {
                return Err(format!("S2: epoch {epoch} was decided upon twice: {entry}"));
            }
            self.decided = *epoch;
        }
        match entry {
            Entry::Picked { name, epoch, node, reason, .. } => {
                if let Reason::Odown { witnesses, .. } = reason {
                    let master = &before.masters[name];
                    let distinct: BTreeSet<MemberId> = witnesses
                        .iter()
                        .filter(|w| {
                            before.members.get(&w.member).is_some_and(|m| {
                                m.boot == w.boot && m.standing == Standing::Here && before.voters.contains(&w.member)
                            }) && master.observers.contains(&w.member)
                        })
                        .map(|w| w.member)
                        .collect();
                    if distinct.len() < master.settings.quorum as usize {
                        return Err(format!("a pick on the word of {distinct:x?}: {entry}"));
                    }
                }
                self.picks.insert((name.clone(), *epoch), node.clone());
            }
            Entry::Promoted { name, epoch, node, .. } => {
                let switch = events
                    .iter()
                    .any(|e| matches!(e, Event::SwitchMaster { to, epoch: at, .. } if to == node && at == epoch));
                let named = self.truth.masters[name].addr == *node && self.truth.masters[name].epoch == *epoch;
                if !switch || !named {
                    return Err(format!("S3: no switch at {entry}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub fn takes_part(&self, member: MemberId) -> bool {
        self.voters.contains(&member) || self.learners.contains(&member)
    }

    pub fn change(&mut self, change: Change) {
        match change {
            Change::AddLearner(member) => {
                self.learners.insert(member);
            }
            Change::Promote(member) => {
                self.learners.remove(&member);
                self.voters.insert(member);
            }
            Change::Remove(member) => {
                self.learners.remove(&member);
                self.voters.remove(&member);
            }
        }
    }
}
