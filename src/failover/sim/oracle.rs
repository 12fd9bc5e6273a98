//! What watches the world: S1-S3 and their kin, each by the world's own truth.

use super::sentinel::NAME;
use crate::base::Epoch;
use crate::failover::Addr;
use crate::failover::{Entry, GroupId, Order, Reason, Witness};

use super::world::*;

impl World {
    /// S2: no promotion is ordered before it is decided.
    pub(super) fn judge_order(&mut self, n: usize, group: GroupId, order: &Order) {
        let Order::Promote { epoch } = order else { return };
        let pick = self.groups.get(&group).and_then(|state| state.picks.get(&(NAME.to_owned(), *epoch)));
        if pick != Some(&self.nodes[n].addr) {
            let addr = self.nodes[n].addr.clone();
            self.fail(format!("S2: {addr} was ordered to promote in epoch {epoch} and the group picked {pick:?}"));
        }
    }

    pub(super) fn judge_obedience(&mut self, n: usize) {
        let node = &self.nodes[n];
        let acted = &node.acted;
        if let [.., before, last] = &acted[..]
            && node.native
            && (before.0 != last.0 || before.1 > last.1)
        {
            let (addr, before, last) = (node.addr.clone(), *before, *last);
            self.fail(format!("S2: {addr} obeyed {last:?} after {before:?}"));
            return;
        }
        let Some((group, epoch)) = acted.last().copied() else { return };
        let promoted = self.nodes.iter().filter(|node| node.promoted.contains_key(&(group, epoch))).count();
        if promoted > 1 {
            self.fail(format!("S2: {promoted} nodes were promoted in epoch {epoch}"));
        }
    }

    /// A pick rests on sentinels that have really held the master to be down within the time that opinions count, and
    /// the delays of the network.
    pub(super) fn judge_evidence(&mut self, entry: &Entry) {
        let Entry::Picked { reason: Reason::Odown { witnesses, against }, name, executor, .. } = entry else { return };
        if self.flavour != Flavour::Plain {
            return;
        }
        let just_woke = self.sentinel_of(*executor).is_none_or(|s| self.now - self.sentinels[s].resumed_at < 10_000);
        let Some(addr) = self.groups.values().find_map(|group| {
            let was = |(epoch, addr): &&(Epoch, Addr)| epoch == against && group.truth.masters[name].addr == *addr;
            group.history.iter().find(was).map(|(_, addr)| addr.clone())
        }) else {
            return;
        };
        for Witness { member, .. } in witnesses.clone() {
            let Some(s) = self.sentinel_of(member).filter(|_| !just_woke) else { continue };
            let held = self.sentinels[s].held_down.get(&addr).copied().unwrap_or(0);
            if self.now - held > 10_000 {
                self.fail(format!(
                    "sentinel {s} last held {addr} to be down at {held} and stands as a witness: {entry}"
                ));
                return;
            }
        }
    }

    pub(super) fn judge_entry(&mut self, group: GroupId, entry: &Entry) {
        match entry {
            Entry::Picked { node, reason, executor, .. } => {
                self.stats.repicks += u64::from(matches!(reason, Reason::Next { .. }));
                self.stats.forced += u64::from(matches!(reason, Reason::Forced { .. }));
                self.strike(node, *executor);
                if let Some(n) = self.node_at(node)
                    && self.nodes[n].root != 0
                    && self.rebuilt.is_none()
                    && self.flavour == Flavour::Plain
                    && self.now - self.nodes[n].strange_since > 5_000
                    && self.groups[&group].truth.masters.values().any(|master| !master.lineage.is_empty())
                {
                    self.fail(format!("a stranger was picked: {entry}"));
                }
            }
            Entry::Promoted { node, epoch, .. } => {
                self.stats.failovers += 1;
                // Of another make, its own word is only that it is a master.
                let obeyed = self
                    .node_at(node)
                    .is_some_and(|n| !self.nodes[n].native || self.nodes[n].promoted.contains_key(&(group, *epoch)));
                if !obeyed {
                    self.fail(format!("{entry}, which never obeyed"));
                }
            }
            Entry::GaveUp { .. } => self.stats.gave_up += 1,
            Entry::TakeOver { .. } => self.stats.takeovers += 1,
            _ => {}
        }
    }

    /// A client asks any sentinel; an answer is never older than one given before.
    pub(super) fn lookup(&mut self) {
        let at = self.now + 100;
        self.at(at, Ev::Lookup);
        let s = self.rnd(self.sentinels.len() as u64) as usize;
        let Some(run) = self.sentinels[s].run.as_ref() else { return };
        let Some(group) = run.registry.as_ref().map(|registry| registry.group) else { return };
        let part = self.groups[&group].takes_part(self.sentinels[s].disk.member);
        let paused = self.sentinels[s].paused_until > self.now;
        if self.flavour == Flavour::TwoCamps || paused || !part || !self.can_read(s, group) {
            return;
        }
        let end = self.groups[&group].log.len();
        self.catch_up(s, group, end);
        let run = self.sentinels[s].run.as_ref().expect("running");
        let registry = run.registry.as_ref().expect("a member");
        let Some(master) = registry.masters.get(NAME) else { return };
        let found = (master.epoch, master.addr.clone());
        self.stats.lookups += 1;
        match &self.looked_up {
            Some(last) if found.0 < last.0 || found.0 == last.0 && found.1 != last.1 => {
                let last = last.clone();
                self.fail(format!("S1: a lookup on sentinel {s} said {found:?} after {last:?}"));
            }
            _ => self.looked_up = Some(found),
        }
    }
}
