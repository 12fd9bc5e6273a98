//! How fresh sentinels become a group without configuration, and later ones join it.
//!
//! One decision is made once: the charter (group id and first voters). It is agreed by ballots, as in single-decree
//! Paxos: a founder gathers promises for its ballot, takes over a charter that one of them has stored already (or draws
//! up one of those who promised), and has it stored; with enough stored, it is decided. Promises and stored charters
//! are durable before they are told. So three that promise themselves do not lock (a higher ballot supersedes), and a
//! founder that dies does not lock the others.
//!
//! "Enough" is the most of: the largest quorum configured, a majority of all sentinels seen or known from the files
//! (this one included), and a majority of `sentinel group-size`. Two sides that have never heard of each other can
//! still both found where the quorum allows it; the nodes obey only the first (see [`Obedience`]), and the second is
//! told of (`Alarm`).
//!
//! ```text
//! Watching --settled, its turn--> Preparing --promises--> Proposing --stored--> Member
//!     ^------- refused, or silence -------+--------------------+               ^
//!     +--- a peer is a member ---> Joining ---------- Joined ------------------+
//! ```
//!
//! [`Obedience`]: super::Obedience

use super::names::{Addr, GroupId, MemberId};
use super::plant::planted;
use crate::base::limits::GROUP_MEMBERS_MAX;
use crate::base::{Millis, RunId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How often sentinels say hello (`SENTINEL_PUBLISH_PERIOD`).
pub const HELLO_PERIOD_MS: Millis = Millis(2_000);
/// One that has seen nobody may have no link to a node yet: it waits for three hellos. With others in view, the view has
/// settled when nobody new came for half as long: every sentinel says hello on each node as soon as it is linked to it,
/// and once a period from then on, so all that are linked to a node of ours have been seen by then. (Later ones join.)
pub const SETTLE_MS: Millis = Millis(3 * HELLO_PERIOD_MS.0);
/// The second in rank begins this much after the first, and so on, so that founders rarely meet.
pub const RANK_MS: Millis = Millis(700);
/// How long a founder waits for those beyond the number that it needs.
pub const GATHER_MS: Millis = Millis(500);
/// How long one ballot may take.
pub const BALLOT_PATIENCE_MS: Millis = Millis(3_000);
/// How often one who is to join asks again.
pub const JOIN_AGAIN_MS: Millis = Millis(2_000);

/// A sentinel, to other sentinels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub member: MemberId,
    pub runid: RunId,
    pub addr: Addr,
}

/// The one thing that a founding decides: the group's id and its first voters, each to initialise Raft with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    pub group: GroupId,
    pub members: BTreeMap<MemberId, Peer>,
}

/// A try to found: the higher one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ballot {
    pub number: u64,
    pub founder: MemberId,
}

/// What a sentinel must have on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub promised: Ballot,
    pub stored: Option<(Ballot, Charter)>,
    pub group: Option<Belongs>,
}

/// How it came to its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Belongs {
    Founder(Charter),
    Joined(GroupId),
}

/// A message between sentinels about founding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub from: Peer,
    /// The group that the writer is a member of.
    pub group: Option<GroupId>,
    pub body: Body,
}

/// What a letter says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Are you in a group?
    Probe,
    /// Nothing yet.
    Unbound,
    /// `via` is a member of this group; a founder's charter is passed on to a peer that is named in it.
    Belongs {
        group: GroupId,
        via: Addr,
        charter: Option<Charter>,
    },
    /// Ask `via`: the writer itself is still to join. (Only a member's word, or a charter, binds.)
    Hint {
        via: Addr,
    },
    Prepare {
        ballot: Ballot,
    },
    Promised {
        ballot: Ballot,
        stored: Option<(Ballot, Charter)>,
    },
    Store {
        ballot: Ballot,
        charter: Charter,
    },
    Stored {
        ballot: Ballot,
    },
    /// A higher ballot was promised.
    Refused {
        promised: Ballot,
    },
}

/// What happens to a founding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A sentinel was seen by a hello.
    Hello {
        runid: RunId,
        addr: Addr,
    },
    Heard(Letter),
    /// The group has taken this sentinel in.
    Joined {
        group: GroupId,
    },
    /// To be sent every 100 ms until `is_bound`, and every few seconds after.
    Tick,
}

/// What is to be done, in this order; what follows a `Save` waits until it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Save(Saved),
    Send {
        to: Addr,
        letter: Letter,
    },
    /// Start Raft with these first voters.
    Found(Charter),
    /// Ask this member to take this sentinel in; asked again until [`Event::Joined`].
    Join {
        group: GroupId,
        via: Addr,
    },
    /// Another group watches the same masters.
    Foreign {
        group: GroupId,
        peer: Peer,
    },
}

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The largest quorum of the masters in the file; zero where there is none: then nothing is founded.
    pub quorum_max: u32,
    /// `sentinel group-size`.
    pub group_size: Option<u32>,
    pub settle: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Watching {
        not_before: Millis,
    },
    Preparing {
        ballot: Ballot,
        since: Millis,
        promises: BTreeMap<MemberId, (Peer, Option<(Ballot, Charter)>)>,
    },
    Proposing {
        ballot: Ballot,
        charter: Charter,
        since: Millis,
        stored: BTreeSet<MemberId>,
    },
    /// `charter`: where it was decided in this sentinel's own sight; those named in it may not know yet.
    Joining {
        group: GroupId,
        via: Addr,
        asked: Millis,
        charter: Option<Charter>,
    },
    Member {
        group: GroupId,
    },
}

/// One sentinel's way into a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    me: Peer,
    rules: Rules,
    /// The id of the group, should this sentinel draw up its charter.
    luck: GroupId,
    saved: Saved,
    /// Every other sentinel seen or known.
    peers: BTreeMap<RunId, Addr>,
    newest: Millis,
    /// The highest ballot heard of.
    highest: Ballot,
    state: State,
}

impl Founding {
    /// `saved`: what the disk has (default where it is empty). `known`: the sentinels of the file. `luck`: random.
    pub fn new(me: Peer, rules: Rules, saved: Saved, known: &[(RunId, Addr)], luck: GroupId, now: Millis) -> Founding {
        let state = match &saved.group {
            Some(Belongs::Founder(charter)) => State::Member { group: charter.group },
            Some(Belongs::Joined(group)) => State::Member { group: *group },
            None => State::Watching { not_before: now },
        };
        let peers = known.iter().filter(|(runid, addr)| *runid != me.runid && *addr != me.addr).cloned().collect();
        let highest = saved.promised;
        Founding { me, rules, luck, saved, peers, newest: now, highest, state }
    }

    /// The group that this sentinel belongs to.
    pub fn group(&self) -> Option<GroupId> {
        match self.state {
            State::Member { group } => Some(group),
            _ => None,
        }
    }

    /// What is configured changed (MONITOR, REMOVE, SET quorum).
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// This sentinel is reached elsewhere from now on.
    pub fn moved(&mut self, addr: Addr) {
        self.me.addr = addr;
    }

    /// How many promises, and then stored charters, a founding needs.
    pub fn needed(&self) -> usize {
        let majority = |count: usize| count / 2 + 1;
        let of_size = self.rules.group_size.map_or(0, |size| majority(size as usize));
        majority(self.peers.len() + 1).max(of_size).max(self.rules.quorum_max as usize)
    }

    /// Takes in what happened.
    pub fn step(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        let mut out = vec![];
        match event {
            Event::Hello { runid, addr } => self.hello(now, runid, addr, &mut out),
            Event::Heard(letter) => self.heard(now, letter, &mut out),
            Event::Joined { group } => {
                if !matches!(self.state, State::Member { .. }) {
                    self.saved.group = Some(Belongs::Joined(group));
                    self.state = State::Member { group };
                    out.push(Effect::Save(self.saved.clone()));
                }
            }
            Event::Tick => self.tick(now, &mut out),
        }
        self.check();
        out
    }

    fn hello(&mut self, now: Millis, runid: RunId, addr: Addr, out: &mut Vec<Effect>) {
        if runid == self.me.runid || addr == self.me.addr || self.peers.get(&runid) == Some(&addr) {
            return;
        }
        // One address is one sentinel: with another run id it was installed anew.
        self.peers.retain(|_, known| *known != addr);
        if self.peers.len() >= GROUP_MEMBERS_MAX {
            return;
        }
        self.peers.insert(runid, addr.clone());
        self.newest = now;
        self.send(addr, Body::Probe, out);
    }

    fn tick(&mut self, now: Millis, out: &mut Vec<Effect>) {
        match &self.state {
            State::Watching { not_before } => {
                let rank = self.peers.keys().filter(|runid| **runid < self.me.runid).count() as i64;
                let settle = Millis(self.rules.settle.0 / if self.peers.is_empty() { 1 } else { 2 });
                let turn = self.newest + settle + Millis(rank * RANK_MS.0);
                let enough = self.peers.len() + 1 >= self.needed() && self.rules.quorum_max > 0;
                if enough && now >= turn.max(*not_before) {
                    self.prepare(now, out);
                }
            }
            State::Preparing { since, .. } | State::Proposing { since, .. } => {
                if now.since(*since) > BALLOT_PATIENCE_MS {
                    self.stand_back(now);
                } else {
                    self.advance(now, out);
                }
            }
            State::Joining { group, via, asked, charter } if now.since(*asked) > JOIN_AGAIN_MS => {
                let (group, via, charter) = (*group, via.clone(), charter.clone());
                out.push(Effect::Join { group, via: via.clone() });
                for peer in charter.iter().flat_map(|charter| charter.members.values()) {
                    let body = Body::Belongs { group, via: via.clone(), charter: charter.clone() };
                    self.send(peer.addr.clone(), body, out);
                }
                self.state = State::Joining { group, via, asked: now, charter };
                self.broadcast(&Body::Probe, out);
            }
            State::Joining { .. } | State::Member { .. } => {}
        }
    }

    fn prepare(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let ballot =
            Ballot { number: self.highest.number.max(self.saved.promised.number) + 1, founder: self.me.member };
        self.promise(ballot, out);
        let own = (self.me.clone(), self.saved.stored.clone());
        let promises = BTreeMap::from([(self.me.member, own)]);
        self.state = State::Preparing { ballot, since: now, promises };
        self.broadcast(&Body::Prepare { ballot }, out);
        self.advance(now, out);
    }

    fn promise(&mut self, ballot: Ballot, out: &mut Vec<Effect>) {
        self.saved.promised = ballot;
        self.highest = self.highest.max(ballot);
        out.push(Effect::Save(self.saved.clone()));
    }

    /// A founder goes on as far as what it has gathered allows.
    fn advance(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let needed = self.needed();
        if let State::Preparing { ballot, since, promises } = &self.state {
            let all = promises.len() > self.peers.len();
            if promises.len() < needed || !all && now.since(*since) < GATHER_MS {
                return;
            }
            let highest = promises.values().filter_map(|(_, stored)| stored.clone()).max_by_key(|(ballot, _)| *ballot);
            let members = promises.iter().map(|(member, (peer, _))| (*member, peer.clone())).collect();
            let fresh = Charter { group: self.luck, members };
            let charter = match highest {
                Some((_, charter)) if !planted!(BallotForgetsCharter) => charter,
                _ => fresh,
            };
            let ballot = *ballot;
            self.saved.stored = Some((ballot, charter.clone()));
            out.push(Effect::Save(self.saved.clone()));
            let stored = BTreeSet::from([self.me.member]);
            self.state = State::Proposing { ballot, charter: charter.clone(), since: now, stored };
            self.broadcast(&Body::Store { ballot, charter }, out);
        }
        if let State::Proposing { charter, stored, .. } = &self.state
            && stored.len() >= needed
        {
            let charter = charter.clone();
            self.decided(now, charter.clone(), out);
            let (group, via) = (charter.group, self.me.addr.clone());
            self.broadcast(&Body::Belongs { group, via, charter: Some(charter) }, out);
        }
    }

    /// The charter is decided, by this founder's count or by a member's word.
    fn decided(&mut self, now: Millis, charter: Charter, out: &mut Vec<Effect>) {
        let group = charter.group;
        if charter.members.contains_key(&self.me.member) {
            self.saved.group = Some(Belongs::Founder(charter.clone()));
            self.state = State::Member { group };
            out.extend([Effect::Save(self.saved.clone()), Effect::Found(charter)]);
        } else if let Some(first) = charter.members.values().next() {
            let via = first.addr.clone();
            self.join(now, group, via, Some(charter), out);
        }
    }

    fn join(&mut self, now: Millis, group: GroupId, via: Addr, charter: Option<Charter>, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::Member { .. } => {}
            // Another way in, tried at the next turn.
            State::Joining { group: known, via: way, .. } if *known == group => *way = via,
            _ => {
                out.push(Effect::Join { group, via: via.clone() });
                self.state = State::Joining { group, via, asked: now, charter };
            }
        }
    }

    fn heard(&mut self, now: Millis, letter: Letter, out: &mut Vec<Effect>) {
        let Letter { from, group, body } = letter;
        if from.member == self.me.member {
            return;
        }
        if let (Some(own), Some(theirs)) = (self.group(), group)
            && own != theirs
        {
            out.push(Effect::Foreign { group: theirs, peer: from });
            return;
        }
        // Whoever writes is there, even where its hello has not come yet.
        if self.peers.get(&from.runid) != Some(&from.addr) {
            self.hello(now, from.runid, from.addr.clone(), out);
            out.retain(|effect| !matches!(effect, Effect::Send { letter, .. } if letter.body == Body::Probe));
        }
        let bound = match &self.state {
            State::Member { group } => {
                let charter = match &self.saved.group {
                    Some(Belongs::Founder(charter)) if charter.members.contains_key(&from.member) => Some(charter),
                    _ => None,
                };
                Some(Body::Belongs { group: *group, via: self.me.addr.clone(), charter: charter.cloned() })
            }
            State::Joining { group, via, charter, .. } => {
                let named = charter.as_ref().filter(|charter| charter.members.contains_key(&from.member));
                Some(match named {
                    Some(charter) => Body::Belongs { group: *group, via: via.clone(), charter: Some(charter.clone()) },
                    None => Body::Hint { via: via.clone() },
                })
            }
            _ => None,
        };
        match body {
            Body::Probe => self.send(from.addr, bound.unwrap_or(Body::Unbound), out),
            Body::Unbound => {}
            Body::Hint { via } => {
                if !matches!(self.state, State::Member { .. } | State::Joining { .. }) && via != self.me.addr {
                    self.send(via, Body::Probe, out);
                }
            }
            Body::Belongs { group, via, charter } => match charter {
                Some(charter) if !matches!(self.state, State::Member { .. }) => self.decided(now, charter, out),
                _ => self.join(now, group, via, None, out),
            },
            Body::Prepare { .. } | Body::Store { .. } if bound.is_some() => {
                self.send(from.addr, bound.unwrap_or(Body::Unbound), out);
            }
            Body::Prepare { ballot } => self.asked_to_promise(now, from.addr, ballot, out),
            Body::Store { ballot, charter } => self.asked_to_store(now, from.addr, ballot, charter, out),
            Body::Promised { ballot: theirs, stored } => {
                if let State::Preparing { ballot, promises, .. } = &mut self.state
                    && *ballot == theirs
                {
                    promises.insert(from.member, (from, stored));
                    self.advance(now, out);
                }
            }
            Body::Stored { ballot: theirs } => {
                if let State::Proposing { ballot, stored, .. } = &mut self.state
                    && *ballot == theirs
                {
                    stored.insert(from.member);
                    self.advance(now, out);
                }
            }
            Body::Refused { promised } => {
                self.highest = self.highest.max(promised);
                if let State::Preparing { ballot, .. } | State::Proposing { ballot, .. } = &self.state
                    && promised > *ballot
                {
                    self.stand_back(now);
                }
            }
        }
    }

    fn asked_to_promise(&mut self, now: Millis, to: Addr, ballot: Ballot, out: &mut Vec<Effect>) {
        self.highest = self.highest.max(ballot);
        if ballot < self.saved.promised {
            self.send(to, Body::Refused { promised: self.saved.promised }, out);
            return;
        }
        self.promise(ballot, out);
        if planted!(PromiseBeforePersist) {
            out.clear();
        }
        self.stand_back(now);
        self.send(to, Body::Promised { ballot, stored: self.saved.stored.clone() }, out);
    }

    fn asked_to_store(&mut self, now: Millis, to: Addr, ballot: Ballot, charter: Charter, out: &mut Vec<Effect>) {
        self.highest = self.highest.max(ballot);
        if ballot < self.saved.promised {
            self.send(to, Body::Refused { promised: self.saved.promised }, out);
            return;
        }
        self.saved.stored = Some((ballot, charter));
        self.promise(ballot, out);
        if planted!(PromiseBeforePersist) {
            out.clear();
        }
        self.stand_back(now);
        self.send(to, Body::Stored { ballot }, out);
    }

    /// Somebody else's ballot goes on, or this one came to nothing: no own ballot for a while, by rank.
    fn stand_back(&mut self, now: Millis) {
        let rank = self.peers.keys().filter(|runid| **runid < self.me.runid).count() as i64;
        let pause = Millis(BALLOT_PATIENCE_MS.0 + (rank + 1) * RANK_MS.0);
        self.state = State::Watching { not_before: now + pause };
    }

    fn broadcast(&self, body: &Body, out: &mut Vec<Effect>) {
        for addr in self.peers.values() {
            self.send(addr.clone(), body.clone(), out);
        }
    }

    fn send(&self, to: Addr, body: Body, out: &mut Vec<Effect>) {
        out.push(Effect::Send { to, letter: Letter { from: self.me.clone(), group: self.group(), body } });
    }

    fn check(&self) {
        assert!(self.highest >= self.saved.promised, "a promise beyond all ballots heard of");
        if let Some((ballot, _)) = &self.saved.stored {
            assert!(*ballot <= self.saved.promised, "stored beyond the promise");
        }
        if let State::Proposing { ballot, .. } = &self.state {
            assert!(*ballot <= self.saved.promised, "proposing without a promise of its own");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> Peer {
        Peer { member: u64::from(n), runid: RunId::from_random([n; 20]), addr: Addr::new("s", u16::from(n)) }
    }

    fn fresh(n: u8, quorum_max: u32) -> Founding {
        let rules = Rules { quorum_max, group_size: None, settle: SETTLE_MS };
        Founding::new(peer(n), rules, Saved::default(), &[], GroupId(u128::from(n)), Millis(0))
    }

    fn meet(all: &mut [Founding]) {
        let peers: Vec<Peer> = all.iter().map(|f| f.me.clone()).collect();
        for founding in all {
            for other in &peers {
                founding.step(Millis(0), Event::Hello { runid: other.runid, addr: other.addr.clone() });
            }
        }
    }

    /// Delivers all letters at once, and whatever they bring about.
    fn settle(all: &mut [Founding], now: Millis, effects: Vec<Effect>, found: &mut Vec<Charter>) {
        let mut queue = effects;
        while let Some(effect) = queue.pop() {
            match effect {
                Effect::Send { to, letter } => {
                    let to = all.iter_mut().find(|f| f.me.addr == to).unwrap();
                    queue.extend(to.step(now, Event::Heard(letter)));
                }
                Effect::Found(charter) => found.push(charter),
                _ => {}
            }
        }
    }

    #[test]
    fn three_found_one_group_when_the_view_has_settled() {
        let settled = Millis(SETTLE_MS.0 / 2);
        let mut all = [fresh(1, 2), fresh(2, 2), fresh(3, 2)];
        meet(&mut all);
        assert_eq!(all[0].step(settled - Millis(1), Event::Tick), []);
        let effects = all[0].step(settled, Event::Tick);
        assert!(matches!(effects[0], Effect::Save(_)), "durable before it is told: {effects:?}");
        let mut found = vec![];
        settle(&mut all, settled, effects, &mut found);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|charter| *charter == found[0] && charter.members.len() == 3));
    }

    #[test]
    fn one_alone_founds_only_with_quorum_one() {
        let mut lone = fresh(1, 1);
        assert_eq!(lone.step(SETTLE_MS - Millis(1), Event::Tick), [], "others may be about to come");
        let effects = lone.step(SETTLE_MS, Event::Tick);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Found(_))), "{effects:?}");
        assert_eq!(fresh(1, 2).step(SETTLE_MS, Event::Tick), []);
        assert_eq!(fresh(1, 0).step(SETTLE_MS, Event::Tick), [], "nothing monitored, nothing founded");
    }

    #[test]
    fn a_stored_charter_is_taken_over_by_a_higher_ballot() {
        let mut all = [fresh(1, 2), fresh(2, 2), fresh(3, 2)];
        meet(&mut all);
        let ballot = Ballot { number: 1, founder: 9 };
        let charter = Charter { group: GroupId(99), members: [1, 2].map(|n| (u64::from(n), peer(n))).into() };
        let letter = Letter { from: peer(9), group: None, body: Body::Store { ballot, charter: charter.clone() } };
        all[1].peers.remove(&peer(9).runid);
        let effects = all[1].step(Millis(10), Event::Heard(letter));
        assert!(matches!(&effects[..], [Effect::Save(_), Effect::Send { .. }]), "{effects:?}");
        all[1].peers.remove(&peer(9).runid);
        let mut found = vec![];
        for now in (0..200).map(|tenths| Millis(tenths * 100)) {
            for n in 0..all.len() {
                let effects = all[n].step(now, Event::Tick);
                settle(&mut all, now, effects, &mut found);
            }
        }
        assert_eq!(found, [charter.clone(), charter], "the founder that died is adopted; the third joins");
        assert!(matches!(all[2].state, State::Joining { .. }));
    }

    #[test]
    fn a_late_one_joins_and_a_foreign_group_is_told() {
        let mut all = [fresh(1, 1), fresh(2, 1)];
        all[0].step(SETTLE_MS, Event::Tick);
        let probe = Letter { from: peer(2), group: None, body: Body::Probe };
        let effects = all[0].step(SETTLE_MS, Event::Heard(probe));
        let [Effect::Send { letter, .. }] = &effects[..] else { panic!("{effects:?}") };
        let effects = all[1].step(SETTLE_MS, Event::Heard(letter.clone()));
        assert_eq!(effects, [Effect::Join { group: GroupId(1), via: peer(1).addr }]);
        assert!(matches!(all[1].step(SETTLE_MS, Event::Joined { group: GroupId(1) })[..], [Effect::Save(_)]));
        let foreign = Letter { from: peer(3), group: Some(GroupId(3)), body: Body::Probe };
        let effects = all[0].step(SETTLE_MS, Event::Heard(foreign));
        assert_eq!(effects, [Effect::Foreign { group: GroupId(3), peer: peer(3) }]);
    }

    // Three waited for one another in a group that nobody had begun: each had it from one that was itself to join.
    #[test]
    fn only_a_member_or_a_charter_binds() {
        let mut all = [fresh(1, 2), fresh(2, 2)];
        meet(&mut all);
        let charter = Charter { group: GroupId(9), members: BTreeMap::from([(2, peer(2)), (3, peer(3))]) };
        let body = Body::Belongs { group: GroupId(9), via: peer(3).addr, charter: Some(charter.clone()) };
        all[0].step(Millis(1), Event::Heard(Letter { from: peer(3), group: None, body }));
        let probe = |n| Event::Heard(Letter { from: peer(n), group: None, body: Body::Probe });
        let reply = |effects: Vec<Effect>| match &effects[..] {
            [Effect::Send { letter, .. }] => letter.clone(),
            other => panic!("{other:?}"),
        };
        let hint = reply(all[0].step(Millis(2), probe(4)));
        assert_eq!(hint.body, Body::Hint { via: peer(2).addr }, "one that is not named only learns whom to ask");
        let named = reply(all[0].step(Millis(2), probe(2)));
        let effects = all[1].step(Millis(3), Event::Heard(named));
        assert!(effects.contains(&Effect::Found(charter)), "one that is named begins: {effects:?}");
    }

    // Whether one that began Raft for a charter could be sent to join another group: its log would have to be given up.
    // It cannot, whatever letters come in whatever order: only a member begins, and a member stays one.
    #[test]
    fn one_that_founded_never_joins_another() {
        let mut seed = 7u64;
        let mut luck = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut founded = 0;
        for _ in 0..300 {
            let mut one = fresh(1, 2);
            let charter = |group: u64, members: &[u8]| Charter {
                group: GroupId(u128::from(group)),
                members: members.iter().map(|n| (u64::from(*n), peer(*n))).collect(),
            };
            let mut begun: Option<GroupId> = None;
            for step in 0..60 {
                let from = peer(2 + luck(3) as u8);
                let group = (luck(4) == 0).then(|| GroupId(50 + u128::from(luck(2))));
                let ballot = Ballot { number: luck(5), founder: 1 + luck(4) };
                let named = charter(50 + luck(2), if luck(2) == 0 { &[1, 2, 3] } else { &[2, 3, 4] });
                let event = match luck(9) {
                    0 => Event::Hello { runid: from.runid, addr: from.addr },
                    1 => Event::Joined { group: GroupId(50) },
                    2 | 3 => Event::Tick,
                    kind => {
                        let via = from.addr.clone();
                        let body = match kind {
                            4 => Body::Belongs { group: named.group, via, charter: (luck(2) == 0).then_some(named) },
                            5 => Body::Prepare { ballot },
                            6 => Body::Store { ballot, charter: named },
                            7 => Body::Promised { ballot, stored: None },
                            _ => Body::Stored { ballot },
                        };
                        Event::Heard(Letter { from, group, body })
                    }
                };
                // `Joined` answers a `Join` of this sentinel alone.
                if matches!(event, Event::Joined { .. }) && !matches!(one.state, State::Joining { .. }) {
                    continue;
                }
                for effect in one.step(Millis(step * 700), event) {
                    match effect {
                        Effect::Found(charter) => {
                            assert!(begun.is_none_or(|group| group == charter.group), "founded twice");
                            begun = Some(charter.group);
                        }
                        Effect::Join { .. } => assert_eq!(begun, None, "sent away from its own group"),
                        _ => {}
                    }
                }
                assert!(begun.is_none() || one.group() == begun, "it left its group");
            }
            founded += usize::from(begun.is_some());
        }
        assert!(founded > 50, "{founded} of 300 founded at all");
    }
}
