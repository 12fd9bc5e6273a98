//! The group in the world: who can commit and read, who follows whom, and what a sentinel does that the core asks for.

use super::raft::Group;
use crate::base::Millis;
use crate::failover::founding::{Body, Effect, Event as Founded};
use crate::failover::{Applied, Entry, Event, GroupId, MemberId, Move, moves};

use super::world::*;

impl World {
    /// Whether this sentinel runs, and has this group on its disk.
    pub(super) fn member_is_up(&self, group: GroupId, member: MemberId) -> Option<usize> {
        let s = self.sentinel_of(member)?;
        let sentinel = &self.sentinels[s];
        let run = sentinel.run.as_ref()?;
        (sentinel.paused_until <= self.now && run.founding.group() == Some(group)).then_some(s)
    }

    pub(super) fn both_ways(&self, a: usize, b: usize) -> bool {
        a == b || self.reaches(a, b) && self.reaches(b, a)
    }

    pub(super) fn has_majority(&self, group: GroupId, s: usize) -> bool {
        let state = &self.groups[&group];
        let there = |member: &MemberId| self.member_is_up(group, *member).is_some_and(|other| self.both_ways(s, other));
        state.voters.iter().filter(|member| there(member)).count() * 2 > state.voters.len()
    }

    pub(super) fn leader(&self, group: GroupId) -> Option<usize> {
        let member = self.groups.get(&group)?.leader?;
        self.member_is_up(group, member)
    }

    pub(super) fn can_commit(&self, group: GroupId) -> bool {
        self.leader(group).is_some_and(|s| self.has_majority(group, s))
    }

    /// A read-index from `s` would succeed now.
    pub(super) fn can_read(&self, s: usize, group: GroupId) -> bool {
        self.can_commit(group) && self.leader(group).is_some_and(|leader| self.both_ways(s, leader))
    }

    pub(super) fn raft(&mut self) {
        self.note_trouble();
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            if !self.can_commit(group) {
                let waited = self.now - self.groups[&group].leaderless_since;
                if waited > 300 && self.rnd(3) == 0 {
                    let voters: Vec<MemberId> = self.groups[&group].voters.iter().copied().collect();
                    let member = voters[self.rnd(voters.len() as u64) as usize];
                    let able = self.member_is_up(group, member).is_some_and(|s| self.has_majority(group, s));
                    if able {
                        let state = self.groups.get_mut(&group).expect("a group");
                        (state.leader, state.term, state.changing) = (Some(member), state.term + 1, None);
                    }
                }
            } else {
                self.groups.get_mut(&group).expect("a group").leaderless_since = self.now;
            }
            for s in 0..self.sentinels.len() {
                self.follow(group, s);
            }
        }
        let at = self.now + 50;
        self.at(at, Ev::Raft);
    }

    /// A member hears the leader: its log grows, and it knows who leads.
    pub(super) fn follow(&mut self, group: GroupId, s: usize) {
        let now = self.now;
        let member = self.sentinels[s].disk.member;
        let Some(run) = &self.sentinels[s].run else { return };
        if self.sentinels[s].paused_until > now {
            return;
        }
        let leader = self.leader(group).filter(|leader| self.both_ways(s, *leader));
        let part = self.groups[&group].takes_part(member);
        if run.founding.group().is_none() && part && leader.is_some() {
            let effects = self.run_of(s).founding.step(Millis(now), Founded::Joined { group });
            self.founded(s, effects);
        }
        let run = self.sentinels[s].run.as_ref().expect("running");
        if run.registry.as_ref().is_none_or(|registry| registry.group != group) {
            return;
        }
        let lead = self.groups[&group].leader;
        let state = &self.groups[&group];
        let learners = state.learners.iter().map(|l| (*l, self.learner_is_ready(*l, state.log.len()))).collect();
        let (voters, changing) = (state.voters.clone(), state.changing.is_some());
        let slow = !self.calm() && self.rnd(4) == 0;
        let run = self.sentinels[s].run.as_mut().expect("running");
        if leader.is_none() || !part {
            // A leader that lost touch believes in itself for a while yet.
            if now - run.leader_heard > 700 {
                run.seen.leader = None;
            }
            return;
        }
        run.leader_heard = now;
        run.seen.leader = lead;
        if let Some(lead) = lead {
            run.seen.heard.insert(lead, Millis(now));
        }
        (run.seen.raft.voters, run.seen.raft.learners, run.seen.raft.changing) = (voters, learners, changing);
        let known = run.applied;
        let end = self.groups[&group].log.len();
        let upto = if slow { known + (end - known) / 2 } else { end };
        if known < upto {
            self.catch_up(s, group, upto);
        }
        // The leader hears its followers.
        if lead != Some(member)
            && let Some(leader) = leader
            && let Some(run) = &mut self.sentinels[leader].run
        {
            run.seen.heard.insert(member, Millis(now));
        }
    }

    pub(super) fn learner_is_ready(&self, member: MemberId, log: usize) -> bool {
        let run = self.sentinel_of(member).and_then(|s| self.sentinels[s].run.as_ref());
        run.is_some_and(|run| run.registry.is_some() && run.applied + 5 >= log)
    }

    pub(super) fn catch_up(&mut self, s: usize, group: GroupId, upto: usize) {
        let now = self.now;
        let entries: Vec<Entry> = {
            let run = self.sentinels[s].run.as_ref().expect("running");
            self.groups[&group].log[run.applied..upto].to_vec()
        };
        for entry in entries {
            let run = self.run_of(s);
            let applied = run.apply(&entry, now);
            let registry = run.registry.as_ref().expect("a member");
            for event in applied.events() {
                if let Event::SwitchMaster { name, to, epoch, .. } = event {
                    let named = &registry.masters[name];
                    if named.addr != *to || named.epoch != *epoch {
                        let said = (named.epoch, named.addr.clone());
                        self.fail(format!("S3: sentinel {s} switched to {to} and looks up {said:?}"));
                        return;
                    }
                }
            }
        }
        self.sentinels[s].disk.applied = upto;
        let truth = &self.groups[&group].truth;
        let run = self.sentinels[s].run.as_ref().expect("running");
        if upto == self.groups[&group].log.len() && run.registry.as_ref() != Some(truth) {
            self.fail(format!("sentinel {s} holds another registry than the group"));
        }
        self.watch(s);
        self.look(s);
    }

    pub(super) fn founded(&mut self, s: usize, effects: Vec<Effect>) {
        let mut falls = false;
        for effect in effects {
            match effect {
                Effect::Save(saved) => self.sentinels[s].disk.saved = saved,
                Effect::Send { to, letter } => {
                    self.trace(|| format!("letter {s} to {to}: {:?}", letter.body));
                    let told = matches!(letter.body, Body::Promised { .. } | Body::Stored { .. });
                    if told
                        && !self.calm()
                        && self.flavour == Flavour::Plain
                        && self.seed.is_multiple_of(3)
                        && self.rnd(3) == 0
                    {
                        falls = true;
                    }
                    if let Some(other) = self.sentinel_at(&to) {
                        self.send(s, other, Msg::Letter(letter));
                    }
                }
                Effect::Found(charter) => {
                    let voters = charter.members.keys().copied().collect();
                    self.groups.entry(charter.group).or_insert_with(|| Group::new(charter.group, voters));
                    if self.groups.len() > 1 && self.flavour == Flavour::Plain {
                        self.fail("two groups were founded".to_owned());
                    }
                }
                Effect::Join { group, via } => {
                    let peer = self.sentinels[s].me();
                    let boot = self.run_of(s).boot;
                    if let Some(other) = self.sentinel_at(&via) {
                        self.send(s, other, Msg::Join { group, peer, boot });
                    }
                }
                Effect::Foreign { .. } => self.stats.foreign += 1,
            }
        }
        let run = self.run_of(s);
        if let (Some(group), None) = (run.founding.group(), &run.registry) {
            run.registry = Some(crate::failover::Registry::new(group));
            self.sentinels[s].disk.applied = 0;
        }
        if falls {
            self.fall(s);
        }
    }

    /// A sentinel falls the moment after it gave its word, and the network with it.
    pub(super) fn fall(&mut self, s: usize) {
        let at = self.now + 1;
        self.at(at, Ev::Fall { s });
        if self.rnd(2) == 0 {
            let sides = self.rnd(1 << 8);
            self.cut = [[false; SITES]; SITES];
            self.split(|site| site < NODE && sides >> site & 1 == 1);
            let mended = self.now + 3_000 + self.rnd(9_000) as i64;
            self.at(mended, Ev::Mend);
        }
    }

    pub(super) fn propose(&mut self, s: usize, entry: Entry) {
        let now = self.now;
        let run = self.run_of(s);
        let Some(group) = run.registry.as_ref().map(|registry| registry.group) else { return };
        if run.in_flight.contains_key(&entry.slot()) {
            return;
        }
        run.in_flight.insert(entry.slot(), now);
        if let Some(leader) = run.seen.leader.and_then(|leader| self.sentinel_of(leader)) {
            let odown = matches!(entry, Entry::Picked { reason: crate::failover::Reason::Odown { .. }, .. });
            if self.rnd(12) == 0 && !odown {
                // Once more, much later: what the group has decided since makes it stale.
                let (late, msg) = (self.now + self.rnd(5_000) as i64, Msg::Propose(group, entry.clone()));
                self.at(late, Ev::To { s: leader, from: s, msg });
            }
            self.send(s, leader, Msg::Propose(group, entry));
        }
    }

    pub(super) fn leader_hears(&mut self, s: usize, group: GroupId, entry: Entry) {
        if self.leader(group) == Some(s) && self.can_commit(group) {
            let (term, at) = (self.groups[&group].term, self.now + 3 + self.rnd(12) as i64);
            self.at(at, Ev::Committed { group, term, entry });
        }
    }

    pub(super) fn commit(&mut self, group: GroupId, term: u64, entry: Entry) {
        // Of a leader that was replaced meanwhile the entry may be lost or not.
        if !self.can_commit(group) || self.groups[&group].term != term && self.rnd(2) == 0 {
            return;
        }
        let result = self.groups.get_mut(&group).expect("a group").commit(entry.clone());
        self.trace(|| format!("{entry} => {result:?}"));
        match result {
            Err(why) => self.fail(why),
            Ok(Applied::Done(_)) => {
                self.judge_evidence(&entry);
                self.judge_entry(group, &entry);
            }
            Ok(Applied::Stale(_)) => self.stats.stale += 1,
            Ok(_) => {}
        }
        if let Some(leader) = self.leader(group) {
            let end = self.groups[&group].log.len();
            self.catch_up(leader, group, end);
        }
    }

    /// Asks the core what to do, and does it.
    pub(super) fn look(&mut self, s: usize) {
        if self.failed.is_some() {
            return;
        }
        let now = Millis(self.now);
        let run = self.sentinels[s].run.as_ref().expect("running");
        let Some(registry) = &run.registry else { return };
        let group = registry.group;
        let mut orders = vec![];
        for next in moves(registry, &run.seen, now, now) {
            match next {
                Move::Propose(entry) => self.propose(s, entry),
                Move::Ask { name, node } => {
                    self.run_of(s).seen.node(&name, &node).asked = Some(now);
                    if let Some(n) = self.node_at(&node) {
                        self.send_node(s, n, NodeMsg::Ask);
                    }
                }
                Move::Order { node, order, .. } => orders.push((node, order)),
                Move::Voters(change) => {
                    let leads = self.leader(group) == Some(s) && self.can_commit(group);
                    let state = self.groups.get_mut(&group).expect("a group");
                    if leads && state.changing.is_none() {
                        state.changing = Some(change);
                        let (term, at) = (state.term, self.now + 30);
                        self.at(at, Ev::Changed { group, term, change });
                    }
                }
                Move::Alarm(_) => self.stats.foreign += 1,
            }
        }
        let applied = self.run_of(s).applied;
        let current = applied == self.groups[&group].log.len();
        if !orders.is_empty() && !self.run_of(s).reading && current && self.can_read(s, group) {
            self.run_of(s).reading = true;
            let at = self.now + 1 + self.rnd(5) as i64;
            self.at(at, Ev::To { s, from: s, msg: Msg::Read { applied, orders } });
        }
    }
}
