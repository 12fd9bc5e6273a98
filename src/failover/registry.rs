//! What the group of sentinels has agreed: members, masters, and one failover at a time for each master.
//!
//! [`Registry::apply`] is total, deterministic and has no clock: every sentinel that applied the same entries holds the
//! same registry, and an entry that comes too late changes nothing and says why.

use super::entry::{Applied, Entry, Event, Reason, Settings, Stale, Witness};
use super::names::{Addr, BootId, GroupId, MemberId};
use super::plant::planted;
use crate::base::limits::{
    GROUP_LINEAGE_MAX, GROUP_MASTERS_MAX, GROUP_MEMBERS_MAX, GROUP_NAME_BYTES_MAX, GROUP_PROMOTIONS_MAX,
    GROUP_REPLICAS_MAX,
};
use crate::base::{Epoch, Millis, Offset, ReplId, RunId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The farthest that one decision may move the group's epoch (nodes may have obeyed epochs that the group has lost).
pub const EPOCH_JUMP_MAX: u64 = 1 << 32;

/// The agreed state of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    pub group: GroupId,
    /// The one counter of failovers, of all masters; never reset.
    pub epoch: Epoch,
    /// Masters dropped so far: once there was one, a new master takes a new epoch, since its name or its nodes may
    /// have had another meaning.
    pub removals: u64,
    pub members: BTreeMap<MemberId, Member>,
    /// The voters of Raft, mirrored.
    pub voters: BTreeSet<MemberId>,
    pub masters: BTreeMap<String, Master>,
}

/// One sentinel of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub runid: RunId,
    pub addr: Addr,
    pub boot: BootId,
    pub standing: Standing,
}

/// Whether a member belongs to the group for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Here,
    /// Another store answers at its address or under its run id: this one is to go.
    Replaced {
        by: MemberId,
    },
    /// It was told to go.
    Leaving,
}

/// One monitored master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    pub addr: Addr,
    pub runid: Option<RunId>,
    /// The configuration epoch: (epoch, addr) is the sequence that lookups move along.
    pub epoch: Epoch,
    pub settings: Settings,
    pub observers: BTreeSet<MemberId>,
    pub replicas: BTreeMap<Addr, Replica>,
    /// Replication ids of the agreed masters, oldest first: a node whose id is here holds this master's data.
    pub lineage: Vec<ReplId>,
    pub phase: Phase,
    pub promotions: Vec<Promotion>,
}

/// One node that is not the master.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub runid: Option<RunId>,
    /// In this run of it, its link to the agreed master was seen up.
    pub linked: bool,
    /// It was the master or was picked up to this epoch and has not been seen following since: it may think itself
    /// master, and may not be forgotten.
    pub owed: Option<Epoch>,
}

/// What goes on with a master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Steady,
    /// Picked and not yet promoted; lookups still name the old master.
    Promoting(Pick),
}

/// A committed decision to promote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    pub epoch: Epoch,
    pub node: Addr,
    pub executor: MemberId,
    /// SENTINEL FAILOVER began it.
    pub forced: bool,
    /// When, on the proposer's wall clock.
    pub since: Millis,
    /// The nodes of picks of this failover that came to nothing, with their epochs.
    pub earlier: BTreeMap<Addr, Epoch>,
}

/// A promotion that took place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    pub epoch: Epoch,
    pub addr: Addr,
    pub offset: Offset,
    pub replid: Option<ReplId>,
    pub at: Millis,
}

impl Registry {
    /// The registry of a group that has agreed on nothing yet.
    pub fn new(group: GroupId) -> Registry {
        let (members, voters, masters) = Default::default();
        Registry { group, epoch: Epoch(0), removals: 0, members, voters, masters }
    }

    /// Takes one agreed step.
    pub fn apply(&mut self, entry: &Entry) -> Applied {
        let applied = self.step(entry).unwrap_or_else(Applied::Stale);
        self.check();
        applied
    }

    fn step(&mut self, entry: &Entry) -> Result<Applied, Stale> {
        match entry {
            Entry::Join { member, runid, addr, boot, .. } => self.join(*member, *runid, addr, *boot),
            Entry::Leave { member, .. } => {
                let record = self.members.get_mut(member).ok_or(Stale::UnknownMember)?;
                let was = std::mem::replace(&mut record.standing, Standing::Leaving);
                Ok(if was == Standing::Leaving { Applied::Same } else { Applied::Done(vec![]) })
            }
            Entry::Dropped { member } => self.dropped(*member),
            Entry::Voters { voters } => {
                if self.voters == *voters {
                    return Ok(Applied::Same);
                }
                self.voters = voters.clone();
                Ok(Applied::Done(vec![]))
            }
            Entry::Monitor { name, addr, settings, by, .. } => self.monitor(name, addr, settings, *by),
            Entry::Unmonitor { name, by, .. } => self.unmonitor(name, *by),
            Entry::Configure { name, settings, by, .. } => {
                let master = self.master_mut(name)?;
                let mut wanted = master.settings;
                settings.iter().for_each(|setting| wanted.set(setting));
                if !wanted.are_sound() {
                    return Err(Stale::Bound);
                }
                if wanted == master.settings {
                    return Ok(Applied::Same);
                }
                master.settings = wanted;
                Ok(Applied::Done(vec![Event::Configured { name: name.clone(), settings: wanted, by: *by }]))
            }
            Entry::Identified { name, epoch, runid, replid } => {
                let master = self.master_at(name, *epoch)?;
                let new_id = replid.filter(|id| !master.lineage.contains(id));
                if master.runid == Some(*runid) && new_id.is_none() {
                    return Ok(Applied::Same);
                }
                master.runid = Some(*runid);
                new_id.into_iter().for_each(|id| master.descend(id));
                Ok(Applied::Done(vec![]))
            }
            Entry::ReplicaSeen { name, epoch, addr, runid, linked } => {
                self.replica_seen(name, *epoch, addr, *runid, *linked)
            }
            Entry::ReplicaForgotten { name, addr, .. } => {
                let master = self.master_mut(name)?;
                let replica = master.replicas.get(addr).ok_or(Stale::UnknownNode)?;
                if replica.owed.is_some() || master.pick().is_some_and(|pick| pick.node == *addr) {
                    return Err(Stale::Owed);
                }
                master.replicas.remove(addr);
                Ok(Applied::Done(vec![Event::ReplicaRemoved { name: name.clone(), addr: addr.clone() }]))
            }
            Entry::Picked { name, epoch, node, executor, reason, at } => {
                self.picked(name, *epoch, node, *executor, reason, *at)
            }
            Entry::TakeOver { name, epoch, executor, .. } => {
                let member = self.members.get(executor).is_some_and(|m| m.standing == Standing::Here);
                let master = self.master_mut(name)?;
                if !member || !master.observers.contains(executor) {
                    return Err(Stale::UnknownMember);
                }
                let Phase::Promoting(pick) = &mut master.phase else { return Err(Stale::NotInProgress) };
                if pick.epoch != *epoch {
                    return Err(Stale::Epoch);
                }
                if std::mem::replace(&mut pick.executor, *executor) == *executor {
                    return Ok(Applied::Same);
                }
                let event = Event::TakenOver { name: name.clone(), epoch: *epoch, executor: *executor };
                Ok(Applied::Done(vec![event]))
            }
            Entry::Promoted { name, epoch, node, offset, replid, at } => {
                let promotion =
                    Promotion { epoch: *epoch, addr: node.clone(), offset: *offset, replid: *replid, at: *at };
                self.promoted(name, promotion)
            }
            Entry::GaveUp { name, picked, epoch, why, .. } => self.gave_up(name, *picked, *epoch, why),
            Entry::DemotionPaid { name, epoch, node } => {
                let master = self.master_at(name, *epoch)?;
                let replica = master.replicas.get_mut(node).ok_or(Stale::UnknownNode)?;
                Ok(if replica.owed.take().is_some() { Applied::Done(vec![]) } else { Applied::Same })
            }
        }
    }

    fn join(&mut self, member: MemberId, runid: RunId, addr: &Addr, boot: BootId) -> Result<Applied, Stale> {
        let known = self.members.get(&member);
        if !addr.is_sound() || known.is_none() && self.members.len() >= GROUP_MEMBERS_MAX {
            return Err(Stale::Bound);
        }
        let record = Member { runid, addr: addr.clone(), boot, standing: Standing::Here };
        if known == Some(&record) {
            return Ok(Applied::Same);
        }
        let mut events = vec![];
        match self.members.insert(member, record) {
            None => events.push(Event::MemberJoined { member, runid, addr: addr.clone() }),
            Some(old) if old.addr != *addr => {
                events.push(Event::MemberMoved { member, runid, from: old.addr, to: addr.clone() })
            }
            Some(_) => {}
        }
        // One address or one run id is one sentinel: whoever had it before lost its store. What it observed goes on.
        let replaced: Vec<MemberId> = self
            .members
            .iter()
            .filter(|(id, m)| **id != member && m.standing == Standing::Here && (m.addr == *addr || m.runid == runid))
            .map(|(id, _)| *id)
            .collect();
        for old in replaced {
            self.members.get_mut(&old).into_iter().for_each(|m| m.standing = Standing::Replaced { by: member });
            for master in self.masters.values_mut().filter(|master| master.observers.contains(&old)) {
                master.observers.insert(member);
            }
        }
        Ok(Applied::Done(events))
    }

    fn dropped(&mut self, member: MemberId) -> Result<Applied, Stale> {
        let record = self.members.get(&member).ok_or(Stale::UnknownMember)?;
        if record.standing == Standing::Here || self.voters.contains(&member) {
            return Err(Stale::InProgress);
        }
        let mut events = vec![Event::MemberLeft { member, runid: record.runid, addr: record.addr.clone() }];
        self.members.remove(&member);
        let names: Vec<String> = self.masters.keys().cloned().collect();
        for name in names {
            if let Ok(Applied::Done(more)) = self.unmonitor(&name, member) {
                events.extend(more);
            }
        }
        Ok(Applied::Done(events))
    }

    fn monitor(&mut self, name: &str, addr: &Addr, settings: &Settings, by: MemberId) -> Result<Applied, Stale> {
        if !self.members.contains_key(&by) {
            return Err(Stale::UnknownMember);
        }
        if let Some(master) = self.masters.get_mut(name) {
            if planted!(ConflictAdopts) {
                master.addr = addr.clone();
            }
            if master.addr != *addr {
                return Ok(Applied::Conflict { addr: master.addr.clone() });
            }
            if !master.observers.insert(by) {
                return Ok(Applied::Same);
            }
            return Ok(Applied::Done(vec![Event::Observed { name: name.to_owned(), by }]));
        }
        let sound = addr.is_sound() && settings.are_sound() && !name.is_empty() && name.len() <= GROUP_NAME_BYTES_MAX;
        if !sound || self.masters.len() >= GROUP_MASTERS_MAX {
            return Err(Stale::Bound);
        }
        let monitored = Event::Monitored { name: name.to_owned(), addr: addr.clone(), quorum: settings.quorum, by };
        let mut events = vec![monitored];
        if self.removals > 0 && !planted!(RemovedNameKeepsEpoch) {
            self.epoch = self.epoch.next();
            events.insert(0, Event::NewEpoch { epoch: self.epoch });
        }
        let master = Master {
            addr: addr.clone(),
            runid: None,
            epoch: self.epoch,
            settings: *settings,
            observers: BTreeSet::from([by]),
            replicas: BTreeMap::new(),
            lineage: vec![],
            phase: Phase::Steady,
            promotions: vec![],
        };
        self.masters.insert(name.to_owned(), master);
        Ok(Applied::Done(events))
    }

    fn unmonitor(&mut self, name: &str, by: MemberId) -> Result<Applied, Stale> {
        let master = self.master_mut(name)?;
        if !master.observers.remove(&by) {
            return Ok(Applied::Same);
        }
        let mut events = vec![Event::Unobserved { name: name.to_owned(), by }];
        if master.observers.is_empty() {
            events.push(Event::Unmonitored { name: name.to_owned(), addr: master.addr.clone() });
            self.masters.remove(name);
            self.removals += 1;
        }
        Ok(Applied::Done(events))
    }

    fn replica_seen(
        &mut self,
        name: &str,
        epoch: Epoch,
        addr: &Addr,
        runid: Option<RunId>,
        linked: bool,
    ) -> Result<Applied, Stale> {
        let master = self.master_at(name, epoch)?;
        let new = !master.replicas.contains_key(addr);
        if *addr == master.addr || !addr.is_sound() || new && master.replicas.len() >= GROUP_REPLICAS_MAX {
            return Err(Stale::Bound);
        }
        let replica = master.replicas.entry(addr.clone()).or_default();
        let before = replica.clone();
        // A link is the link of one run: what answers there after a restart has to show its own.
        let other_run = runid.is_some() && runid != replica.runid;
        replica.linked = linked || replica.linked && !other_run;
        replica.runid = runid.or(replica.runid);
        if !new && before == *replica {
            return Ok(Applied::Same);
        }
        let added = || Event::ReplicaAdded { name: name.to_owned(), addr: addr.clone() };
        Ok(Applied::Done(new.then(added).into_iter().collect()))
    }

    fn picked(
        &mut self,
        name: &str,
        epoch: Epoch,
        node: &Addr,
        executor: MemberId,
        reason: &Reason,
        at: Millis,
    ) -> Result<Applied, Stale> {
        self.new_epoch(epoch)?;
        let master = self.master(name)?;
        if !self.members.contains_key(&executor) || !master.observers.contains(&executor) {
            return Err(Stale::UnknownMember);
        }
        if master.addr != *node && !master.replicas.contains_key(node) {
            return Err(Stale::UnknownNode);
        }
        let (forced, mut earlier) = match (&master.phase, reason) {
            (Phase::Steady, Reason::Odown { against, witnesses }) => {
                same(*against, master.epoch)?;
                if !self.is_quorum(master, witnesses) {
                    return Err(Stale::Evidence);
                }
                (false, BTreeMap::new())
            }
            (Phase::Steady, Reason::Forced { against, by }) => {
                same(*against, master.epoch)?;
                if !master.observers.contains(by) {
                    return Err(Stale::UnknownMember);
                }
                (true, BTreeMap::new())
            }
            (Phase::Promoting(pick), Reason::Next { after, .. }) => {
                same(*after, pick.epoch)?;
                let mut earlier = pick.earlier.clone();
                earlier.insert(pick.node.clone(), pick.epoch);
                (pick.forced, earlier)
            }
            (Phase::Steady, Reason::Next { .. }) => return Err(Stale::NotInProgress),
            (Phase::Promoting(_), _) => return Err(Stale::InProgress),
        };
        earlier.remove(node);
        let master = self.masters.get_mut(name).ok_or(Stale::UnknownMaster)?;
        for (addr, epoch) in &earlier {
            master.owe(addr, *epoch);
        }
        let pick = Pick { epoch, node: node.clone(), executor, forced, since: at, earlier };
        master.phase = Phase::Promoting(pick);
        self.epoch = epoch;
        let picked = Event::Picked { name: name.to_owned(), epoch, node: node.clone(), executor, forced };
        Ok(Applied::Done(vec![Event::NewEpoch { epoch }, picked]))
    }

    fn promoted(&mut self, name: &str, promotion: Promotion) -> Result<Applied, Stale> {
        let master = self.master_mut(name)?;
        if master.epoch == promotion.epoch && master.addr == promotion.addr {
            return Ok(Applied::Same);
        }
        let pick = match &master.phase {
            Phase::Promoting(pick) => pick.clone(),
            Phase::Steady => return Err(Stale::NotInProgress),
        };
        let superseded = planted!(SupersededPromotes) && pick.earlier.contains_key(&promotion.addr);
        if !superseded && (pick.epoch != promotion.epoch || pick.node != promotion.addr) {
            return Err(Stale::Epoch);
        }
        let (from, to) = (master.addr.clone(), promotion.addr.clone());
        let runid = master.replicas.remove(&to).map_or(master.runid, |replica| replica.runid);
        if from != to {
            let deposed = Replica { runid: master.runid, linked: true, owed: Some(master.epoch) };
            master.replicas.insert(from.clone(), deposed);
        }
        (master.addr, master.runid, master.epoch) = (to.clone(), runid, promotion.epoch);
        master.phase = Phase::Steady;
        promotion.replid.filter(|id| !master.lineage.contains(id)).into_iter().for_each(|id| master.descend(id));
        let epoch = promotion.epoch;
        master.promotions.push(promotion);
        let surplus = master.promotions.len().saturating_sub(GROUP_PROMOTIONS_MAX);
        master.promotions.drain(..surplus);
        Ok(Applied::Done(vec![Event::SwitchMaster { name: name.to_owned(), from, to, epoch, executor: pick.executor }]))
    }

    fn gave_up(&mut self, name: &str, picked: Epoch, epoch: Epoch, why: &str) -> Result<Applied, Stale> {
        self.new_epoch(epoch)?;
        let master = self.master_mut(name)?;
        let Phase::Promoting(pick) = &master.phase else { return Err(Stale::NotInProgress) };
        same(picked, pick.epoch)?;
        let node = pick.node.clone();
        master.owe(&node, picked);
        master.phase = Phase::Steady;
        master.epoch = epoch;
        let addr = master.addr.clone();
        self.epoch = epoch;
        let gave_up = Event::GaveUp { name: name.to_owned(), addr, node, epoch: picked, why: why.to_owned() };
        Ok(Applied::Done(vec![Event::NewEpoch { epoch }, gave_up]))
    }

    /// Whether these are enough distinct voters that observe the master, each of its present boot.
    pub fn is_quorum(&self, master: &Master, witnesses: &[Witness]) -> bool {
        let distinct: BTreeSet<MemberId> =
            witnesses.iter().filter(|w| self.may_witness(master, w.member, w.boot)).map(|w| w.member).collect();
        distinct.len() >= master.settings.quorum as usize || planted!(EvidenceUnchecked)
    }

    /// Whether this member's opinion of the master counts.
    pub fn may_witness(&self, master: &Master, member: MemberId, boot: BootId) -> bool {
        self.voters.contains(&member)
            && master.observers.contains(&member)
            && self.members.get(&member).is_some_and(|m| m.boot == boot && m.standing == Standing::Here)
    }

    /// The agreed master of this name.
    pub fn master(&self, name: &str) -> Result<&Master, Stale> {
        self.masters.get(name).ok_or(Stale::UnknownMaster)
    }

    fn master_mut(&mut self, name: &str) -> Result<&mut Master, Stale> {
        self.masters.get_mut(name).ok_or(Stale::UnknownMaster)
    }

    fn master_at(&mut self, name: &str, epoch: Epoch) -> Result<&mut Master, Stale> {
        let master = self.master_mut(name)?;
        same(epoch, master.epoch)?;
        Ok(master)
    }

    fn new_epoch(&self, epoch: Epoch) -> Result<(), Stale> {
        let near = epoch.0 <= self.epoch.0.saturating_add(EPOCH_JUMP_MAX);
        let reused = planted!(EpochReused) && epoch == self.epoch;
        if (epoch > self.epoch || reused) && near { Ok(()) } else { Err(Stale::Epoch) }
    }

    /// Invariants that hold after every step; a breach is a bug and ends the process.
    fn check(&self) {
        for (name, master) in &self.masters {
            assert!(!master.observers.is_empty(), "{name} without observers");
            assert!(master.epoch <= self.epoch, "{name} beyond the group's epoch");
            assert!(!master.replicas.contains_key(&master.addr), "{name}: the master among its replicas");
            assert!(master.replicas.len() <= GROUP_REPLICAS_MAX + 1, "{name}: too many replicas");
            if let Phase::Promoting(pick) = &master.phase {
                assert!(pick.epoch >= master.epoch && pick.epoch <= self.epoch, "{name}: a pick out of order");
                assert!(!pick.earlier.contains_key(&pick.node), "{name}: a pick earlier than itself");
            }
        }
    }
}

impl Master {
    /// The committed pick, while there is one.
    pub fn pick(&self) -> Option<&Pick> {
        match &self.phase {
            Phase::Promoting(pick) => Some(pick),
            Phase::Steady => None,
        }
    }

    /// The newest promotion that the group remembers.
    pub fn last_promotion(&self) -> Option<&Promotion> {
        self.promotions.last()
    }

    /// All nodes, the master first.
    pub fn nodes(&self) -> impl Iterator<Item = &Addr> {
        std::iter::once(&self.addr).chain(self.replicas.keys())
    }

    fn descend(&mut self, id: ReplId) {
        self.lineage.push(id);
        let surplus = self.lineage.len().saturating_sub(GROUP_LINEAGE_MAX);
        self.lineage.drain(..surplus);
    }

    fn owe(&mut self, node: &Addr, epoch: Epoch) {
        if let Some(replica) = self.replicas.get_mut(node) {
            replica.owed = replica.owed.max(Some(epoch));
        }
    }
}

fn same(given: Epoch, agreed: Epoch) -> Result<(), Stale> {
    if given == agreed { Ok(()) } else { Err(Stale::Epoch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Millis = Millis(1);

    fn addr(port: u16) -> Addr {
        Addr::new("h", port)
    }

    fn join(member: MemberId, boot: BootId) -> Entry {
        let runid = RunId::from_random([member as u8; 20]);
        Entry::Join { member, runid, addr: Addr::new("s", member as u16), boot, at: AT }
    }

    fn monitor(port: u16, by: MemberId) -> Entry {
        let settings = Settings::with_quorum(2);
        Entry::Monitor { name: "m".into(), addr: addr(port), settings, by, at: AT }
    }

    fn picked(epoch: u64, port: u16, reason: Reason) -> Entry {
        let (name, epoch, node) = ("m".into(), Epoch(epoch), addr(port));
        Entry::Picked { name, epoch, node, executor: 1, reason, at: AT }
    }

    fn promoted(epoch: u64, port: u16) -> Entry {
        let (name, epoch, node) = ("m".into(), Epoch(epoch), addr(port));
        Entry::Promoted { name, epoch, node, offset: Offset(7), replid: None, at: AT }
    }

    fn odown(against: u64, members: &[MemberId]) -> Reason {
        let witnesses = members.iter().map(|member| Witness { member: *member, boot: 10, since: AT }).collect();
        Reason::Odown { against: Epoch(against), witnesses }
    }

    /// Three members that watch `h:1` with the replicas `h:2` and `h:3`.
    fn three() -> Registry {
        let mut registry = Registry::new(GroupId(1));
        for member in 1..=3 {
            registry.apply(&join(member, 10));
            registry.apply(&monitor(1, member));
        }
        registry.apply(&Entry::Voters { voters: [1, 2, 3].into() });
        for port in 2..=3 {
            let (name, epoch, addr) = ("m".into(), Epoch(0), addr(port));
            let seen = Entry::ReplicaSeen { name, epoch, addr, runid: None, linked: true };
            assert!(registry.apply(&seen).holds());
        }
        registry
    }

    #[test]
    fn a_failover_is_two_entries_and_each_counts_once() {
        let mut registry = three();
        let pick = picked(1, 2, odown(0, &[1, 3]));
        assert!(
            matches!(registry.apply(&pick), Applied::Done(events) if events[0] == Event::NewEpoch { epoch: Epoch(1) })
        );
        assert_eq!(registry.apply(&pick), Applied::Stale(Stale::Epoch));
        assert_eq!(registry.masters["m"].addr, addr(1), "lookups change at Promoted alone");
        let switch = registry.apply(&promoted(1, 2));
        let (from, to) = (addr(1), addr(2));
        let event = Event::SwitchMaster { name: "m".into(), from, to, epoch: Epoch(1), executor: 1 };
        assert_eq!(switch, Applied::Done(vec![event]));
        assert_eq!(registry.apply(&promoted(1, 2)), Applied::Same);
        let master = &registry.masters["m"];
        assert_eq!((&master.addr, master.epoch, &master.phase), (&addr(2), Epoch(1), &Phase::Steady));
        assert_eq!(master.replicas[&addr(1)].owed, Some(Epoch(0)), "the old master is owed a demotion");
        let forget = Entry::ReplicaForgotten { name: "m".into(), addr: addr(1), at: AT };
        assert_eq!(registry.apply(&forget), Applied::Stale(Stale::Owed));
        let paid = Entry::DemotionPaid { name: "m".into(), epoch: Epoch(1), node: addr(1) };
        assert!(registry.apply(&paid).holds() && registry.apply(&forget).holds());
    }

    #[test]
    fn evidence_is_quorum_distinct_voters_of_their_present_boot() {
        let refused =
            |registry: &mut Registry, reason| registry.apply(&picked(1, 2, reason)) == Applied::Stale(Stale::Evidence);
        assert!(refused(&mut three(), odown(0, &[1])));
        assert!(refused(&mut three(), odown(0, &[1, 1])), "one that says it twice");
        assert!(refused(&mut three(), odown(0, &[1, 9])), "a stranger");
        let mut restarted = three();
        restarted.apply(&join(3, 11));
        assert!(refused(&mut restarted, odown(0, &[1, 3])), "the opinion of an earlier start");
        let mut learner = three();
        learner.apply(&Entry::Voters { voters: [1, 2].into() });
        assert!(refused(&mut learner, odown(0, &[1, 3])), "a learner");
        let mut elsewhere = three();
        elsewhere.apply(&Entry::Unmonitor { name: "m".into(), by: 3, at: AT });
        assert!(refused(&mut elsewhere, odown(0, &[1, 3])), "one that watches other masters");
        assert!(three().apply(&picked(1, 2, odown(0, &[2, 3]))).holds());
    }

    #[test]
    fn a_later_pick_takes_a_new_epoch_and_the_earlier_one_stays_owed() {
        let mut registry = three();
        registry.apply(&picked(1, 2, odown(0, &[1, 2])));
        let next = |after| Reason::Next { after: Epoch(after), why: "silent".into() };
        assert_eq!(registry.apply(&picked(2, 3, odown(0, &[1, 2]))), Applied::Stale(Stale::InProgress));
        assert_eq!(registry.apply(&picked(1, 3, next(1))), Applied::Stale(Stale::Epoch));
        assert!(registry.apply(&picked(2, 3, next(1))).holds());
        assert_eq!(registry.apply(&promoted(1, 2)), Applied::Stale(Stale::Epoch), "the word of the earlier pick");
        assert_eq!(registry.masters["m"].replicas[&addr(2)].owed, Some(Epoch(1)));
        let gave_up = Entry::GaveUp { name: "m".into(), picked: Epoch(2), epoch: Epoch(3), why: "x".into(), at: AT };
        assert!(registry.apply(&gave_up).holds());
        let master = &registry.masters["m"];
        assert_eq!((&master.addr, master.epoch), (&addr(1), Epoch(3)), "outranks the orders of both picks");
        assert_eq!(registry.apply(&picked(4, 2, odown(0, &[1, 2]))), Applied::Stale(Stale::Epoch), "old opinions");
    }

    #[test]
    fn monitor_is_idempotent_and_refuses_another_address() {
        let mut registry = three();
        assert_eq!(registry.apply(&monitor(1, 2)), Applied::Same);
        assert_eq!(registry.apply(&monitor(5, 2)), Applied::Conflict { addr: addr(1) });
        registry.apply(&picked(1, 2, odown(0, &[1, 2])));
        registry.apply(&promoted(1, 2));
        for by in 1..=3 {
            assert!(registry.apply(&Entry::Unmonitor { name: "m".into(), by, at: AT }).holds());
        }
        assert!(registry.masters.is_empty());
        assert!(registry.apply(&monitor(5, 1)).holds());
        assert_eq!(registry.masters["m"].epoch, Epoch(2), "the counter goes on");
    }

    #[test]
    fn an_empty_disk_replaces_the_member_and_takes_over_what_it_observed() {
        let mut registry = three();
        let runid = RunId::from_random([3; 20]);
        registry.apply(&Entry::Join { member: 4, runid, addr: Addr::new("s", 3), boot: 10, at: AT });
        assert_eq!(registry.members[&3].standing, Standing::Replaced { by: 4 });
        assert!(registry.masters["m"].observers.contains(&4));
        assert_eq!(registry.apply(&Entry::Dropped { member: 3 }), Applied::Stale(Stale::InProgress), "still a voter");
        registry.apply(&Entry::Voters { voters: [1, 2, 4].into() });
        assert!(registry.apply(&Entry::Dropped { member: 3 }).holds());
        assert_eq!(registry.masters["m"].observers, [1, 2, 4].into());
    }

    #[test]
    fn records_there_and_back() {
        let registry = three();
        let bytes = super::super::encode(&registry).unwrap();
        assert_eq!(bytes[0], super::super::VERSION);
        assert_eq!(super::super::decode::<Registry>(&bytes), Ok(registry));
        let with_tail = [&bytes[..], &[0]].concat();
        assert!(super::super::decode::<Registry>(&with_tail).is_err());
        assert!(super::super::decode::<Registry>(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(super::super::decode::<Entry>(&[9, 9]), Err(super::super::CodecError::Version(9)));
        // A length that claims more than there is allocates nothing.
        assert!(super::super::decode::<Vec<u8>>(&[1, 253, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }
}
