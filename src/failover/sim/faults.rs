//! What befalls the world: crashes, pauses, partitions, strangers, people; and its healing.

use super::node::Node;
use super::sentinel::NAME;
use crate::base::Millis;
use crate::failover::{Addr, Entry, MemberId, Reason, Witness, may_force};

use super::world::*;

impl World {
    pub(super) fn replicate(&mut self) {
        for n in 0..self.nodes.len() {
            if !self.nodes[n].up {
                continue;
            }
            let Some(master) = self.nodes[n].follows.clone() else {
                self.nodes[n].offset += self.rnd(50);
                continue;
            };
            let source = self.node_at(&master).filter(|m| self.nodes[*m].up && self.both_ways(NODE + n, NODE + *m));
            let Some(m) = source.filter(|m| *m != n && (self.nodes[*m].follows.is_none() || self.nodes[*m].linked))
            else {
                self.nodes[n].linked = false;
                continue;
            };
            let (replid, former, offset, root) =
                (self.nodes[m].replid, self.nodes[m].former, self.nodes[m].offset, self.nodes[m].root);
            let node = &mut self.nodes[n];
            (node.replid, node.former, node.offset, node.root, node.linked) = (replid, former, offset, root, true);
        }
        let at = self.now + 200;
        self.at(at, Ev::Replicate);
    }

    pub(super) fn fault(&mut self) {
        if self.calm() {
            return;
        }
        let at = self.now + 300 + self.rnd(2_500) as i64;
        self.at(at, Ev::Fault);
        let s = self.rnd(self.sentinels.len() as u64) as usize;
        let n = self.rnd(self.nodes.len() as u64) as usize;
        match self.rnd(21) {
            0..4 => self.crash_node(n),
            4 | 5 => {
                // The master, more often than chance would have it.
                let master = self.nodes.iter().position(|node| node.follows.is_none() && node.up).unwrap_or(n);
                self.crash_node(master);
            }
            6 | 7 => self.crash_sentinel(s),
            8 | 9 => {
                let pause = self.now + 500 + self.rnd(6_000) as i64;
                self.trace(|| format!("sentinel {s} stands still until {pause}"));
                self.sentinels[s].paused_until = pause;
                self.sentinels[s].resumed_at = pause;
            }
            10 | 11 if self.flavour == Flavour::Plain => {
                let sides = self.rnd(u64::MAX >> 12);
                self.cut = [[false; SITES]; SITES];
                self.split(|site| sides >> site & 1 == 1);
            }
            12 if self.flavour == Flavour::Plain => {
                // One way only.
                let (from, to) = (self.rnd(SITES as u64) as usize, NODE + n);
                self.cut[from % NODE][to] = true;
                self.cut[s][from] |= from < NODE && from != s;
            }
            13 | 14 if self.flavour == Flavour::Plain => self.cut = [[false; SITES]; SITES],
            15 => self.loss_percent = self.rnd(30),
            16 => self.delay_ms_max = 5 + self.rnd(400),
            17 if self.flavour == Flavour::Plain => self.wipe(s),
            18 => self.estrange(n),
            19 => self.nodes[n].deaf_until = self.now + self.rnd(8_000) as i64,
            // The executor falls with the leader.
            _ => {
                let leader = self.groups.keys().next().copied().and_then(|group| self.leader(group));
                self.crash_sentinel(leader.unwrap_or(s));
            }
        }
    }

    pub(super) fn crash_node(&mut self, n: usize) {
        if !self.nodes[n].up {
            return;
        }
        self.trace(|| format!("node {n} falls"));
        self.nodes[n].up = false;
        self.nodes[n].linked = false;
        let addr = self.nodes[n].addr.clone();
        for s in 0..self.sentinels.len() {
            if self.reaches(NODE + n, s) {
                let at = self.now + 1 + self.rnd(5) as i64;
                self.at(at, Ev::To { s, from: NODE + n, msg: Msg::Broken(addr.clone()) });
            }
        }
        let at = self.now + 200 + self.rnd(8_000) as i64;
        self.at(at, Ev::StartNode { n });
    }

    pub(super) fn crash_sentinel(&mut self, s: usize) {
        self.sentinels[s].run = None;
        self.sentinels[s].paused_until = 0;
        let at = self.now + 50 + self.rnd(6_000) as i64;
        self.at(at, Ev::StartSentinel { s });
    }

    /// What can go wrong in the moment between a decision and its order.
    pub(super) fn strike(&mut self, node: &Addr, executor: MemberId) {
        let (Some(n), Some(s)) = (self.node_at(node), self.sentinel_of(executor)) else { return };
        if self.calm() {
            return;
        }
        match self.rnd(16) {
            0 | 1 => self.crash_node(n),
            2 | 3 => self.crash_sentinel(s),
            4 if self.flavour == Flavour::Plain => self.cut[s][NODE + n] = true,
            // The order arrives and its answer does not.
            5 | 6 if self.flavour == Flavour::Plain => self.cut[NODE + n][s] = true,
            7 => {
                self.trace(|| format!("sentinel {s} stands still for 3000"));
                self.sentinels[s].paused_until = self.now + 3_000;
            }
            _ => {}
        }
        self.sentinels[s].resumed_at = self.sentinels[s].resumed_at.max(self.sentinels[s].paused_until);
    }

    /// An empty disk, as long as the group can bear the loss: everybody is a voter and nobody is on the way out.
    pub(super) fn wipe(&mut self, s: usize) {
        let Some(group) = self.groups.values().next() else { return };
        let all = self.sentinels.iter().all(|sentinel| {
            group.voters.contains(&sentinel.disk.member) && group.truth.members.contains_key(&sentinel.disk.member)
        });
        if all && group.voters.len() == self.sentinels.len() && group.truth.members.len() == self.sentinels.len() {
            self.crash_sentinel(s);
            self.sentinels[s].disk = self.empty_disk();
            self.stats.wiped += 1;
        }
    }

    /// Another cluster's node answers at a replica's address, with a far larger offset.
    pub(super) fn estrange(&mut self, n: usize) {
        if self.nodes[n].follows.is_none() {
            return;
        }
        let (replid, runid) = (self.replid(), self.runid());
        let now = self.now;
        let follows = if self.rnd(2) == 0 { Some(Addr::new("x", 1)) } else { self.nodes[n].follows.clone() };
        // The stranger follows our master in name only, until its next attempt to attach.
        let node = &mut self.nodes[n];
        (node.replid, node.former, node.offset, node.root, node.linked) = (replid, None, 1 << 40, 9, false);
        (node.runid, node.strange_since) = (runid, now);
        node.follows = follows.filter(|f| f.host == "x").or(Some(Addr::new("x", 2)));
        self.trace(|| format!("node {n} is a stranger with {replid}"));
    }

    pub(super) fn operate(&mut self) {
        if self.calm() {
            return;
        }
        let at = self.now + 1_500 + self.rnd(4_000) as i64;
        self.at(at, Ev::Operate);
        let s = self.rnd(self.sentinels.len() as u64) as usize;
        let now = Millis(self.now);
        let Some(run) = self.sentinels[s].run.as_ref() else { return };
        let Some(registry) = run.registry.clone() else { return };
        let by = self.sentinels[s].disk.member;
        match self.rnd(6) {
            0 | 1 => {
                let run = self.run_of(s);
                if may_force(&registry, &run.seen, NAME, now).is_ok() {
                    run.seen.masters.get_mut(NAME).into_iter().for_each(|master| master.forced = Some(now));
                }
            }
            2 => {
                // A member that cannot count proposes a failover on its own word.
                let Some(master) = registry.masters.get(NAME) else { return };
                let Some(node) = master.replicas.keys().next().cloned() else { return };
                let boot = self.run_of(s).boot;
                let witness = Witness { member: by, boot, since: now };
                let witnesses = vec![witness; master.settings.quorum as usize];
                let reason = Reason::Odown { against: master.epoch, witnesses };
                let (name, epoch) = (NAME.to_owned(), registry.epoch.next());
                self.propose(s, Entry::Picked { name, epoch, node, executor: by, reason, at: now });
            }
            5 => {
                // The word of an earlier pick comes late.
                let Some(master) = registry.masters.get(NAME) else { return };
                let Some(pick) = master.pick() else { return };
                let Some((node, epoch)) = pick.earlier.iter().next().map(|(n, e)| (n.clone(), *e)) else { return };
                let (name, offset, replid) = (NAME.to_owned(), crate::base::Offset(1), None);
                self.propose(s, Entry::Promoted { name, epoch, node, offset, replid, at: now });
            }
            3 => {
                let addr = self.nodes[self.nodes.len() - 1].addr.clone();
                let settings = self.sentinels[s].settings;
                self.propose(s, Entry::Monitor { name: NAME.to_owned(), addr, settings, by, at: now });
            }
            4 if self.seed.is_multiple_of(5) && self.rebuilt.is_none() && self.flavour == Flavour::Plain => {
                self.rebuild()
            }
            _ => {}
        }
    }

    /// REMOVE on every sentinel, then MONITOR of another node on every sentinel.
    pub(super) fn rebuild(&mut self) {
        let group = match self.groups.values().next() {
            Some(group) if group.truth.masters.contains_key(NAME) => group.truth.group,
            _ => return,
        };
        let now = Millis(self.now);
        let observers = self.groups[&group].truth.masters[NAME].observers.clone();
        let leader = self.leader(group).filter(|_| self.can_commit(group));
        let Some(leader) = leader else { return };
        // People work against the leader here: the forwarding of commands is not what is tried.
        let n = self.rnd(self.nodes.len() as u64) as usize;
        let addr = self.nodes[n].addr.clone();
        self.rebuilt = Some(addr.clone());
        let settings = self.sentinels[leader].settings;
        let term = self.groups[&group].term;
        for (step, by) in observers.iter().enumerate() {
            let entry = Entry::Unmonitor { name: NAME.to_owned(), by: *by, at: now };
            self.at(self.now + step as i64, Ev::Committed { group, term, entry });
            let entry = Entry::Monitor { name: NAME.to_owned(), addr: addr.clone(), settings, by: *by, at: now };
            self.at(self.now + 50 + step as i64, Ev::Committed { group, term, entry });
        }
    }

    /// Whoever lost its part in the rebuilding is told again what to observe.
    pub(super) fn observe_all(&mut self) {
        let Some(group) = self.groups.values().next() else { return };
        let agreed = group.truth.masters.get(NAME).map(|master| master.addr.clone());
        let Some(addr) = agreed.or(self.rebuilt.clone()) else { return };
        for sentinel in &mut self.sentinels {
            let settings = sentinel.settings;
            if let Some(run) = &mut sentinel.run {
                run.seen.wanted.insert(NAME.to_owned(), (addr.clone(), settings));
            }
        }
    }

    pub(super) fn heal(&mut self) {
        if self.rebuilt.is_some() {
            self.at(FAULTS_END + 8_000, Ev::Observe);
        }
        self.cut = [[false; SITES]; SITES];
        (self.loss_percent, self.delay_ms_max) = (0, 20);
        let known = self.groups.values().any(|group| {
            let master = group.truth.masters.get(NAME);
            master.is_some_and(|m| {
                m.replicas.len() + 1 == self.nodes.len() && !m.lineage.is_empty() && m.pick().is_none()
            })
        });
        let wants_burial = self.rnd(3) == 0 && known && self.flavour == Flavour::Plain && self.rebuilt.is_none();
        let whole = self.nodes.iter().all(|node| node.up && node.root == 0 && (node.linked || node.follows.is_none()));
        let masters = self.nodes.iter().filter(|node| node.follows.is_none()).count();
        if wants_burial && whole && masters == 1 {
            let n = self.rnd(self.nodes.len() as u64) as usize;
            self.buried = Some(n);
            self.crash_node(n);
        }
        self.bury_the_picked();
        for n in 0..self.nodes.len() {
            self.nodes[n].deaf_until = 0;
            self.at(FAULTS_END + 1, Ev::StartNode { n });
        }
        for s in 0..self.sentinels.len() {
            self.sentinels[s].paused_until = self.sentinels[s].paused_until.min(self.now);
            if self.sentinels[s].paused_until == self.now {
                self.sentinels[s].resumed_at = self.now;
            }
            self.at(FAULTS_END + 1, Ev::StartSentinel { s });
        }
    }

    /// A picked node that lies dead at the end of the faults may stay so, where another can take its place.
    pub(super) fn bury_the_picked(&mut self) {
        if self.buried.is_some() || self.rebuilt.is_some() || self.flavour != Flavour::Plain {
            return;
        }
        let Some(master) = self.groups.values().find_map(|group| group.truth.masters.get(NAME)) else { return };
        let Some(n) = master.pick().and_then(|pick| self.node_at(&pick.node)).filter(|n| !self.nodes[*n].up) else {
            return;
        };
        let kin = |node: &Node| node.root == 0 && master.lineage.contains(&node.replid) && node.native;
        let other = |node: &Node| node.addr != master.addr && node.up && node.follows.is_some() && kin(node);
        if self.nodes.iter().any(|node| other(node) && master.replicas.contains_key(&node.addr)) {
            self.buried = Some(n);
        }
    }
}
