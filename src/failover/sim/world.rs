//! One world from one seed: sentinels, nodes, the network between them, faults, and the oracles that watch.

use super::node::Node;
use super::raft::Group;
use super::sentinel::{Disk, NAME, Run, Sentinel};
use crate::base::{Epoch, Millis, ReplId, RunId};
use crate::failover::facts::Facts;
use crate::failover::founding::{Body, Effect, Event as Founded, Letter, Peer};
use crate::failover::observation::{Change as Verdict, Event as Sign, PingReply};
use crate::failover::{
    Addr, Answer, Applied, Change, Entry, Event, GroupId, MemberId, Move, Opinion, Order, Reason, Settings, Witness,
    may_force, moves,
};
use std::collections::BTreeMap;

pub const FAULTS_END: i64 = 30_000;
pub const END: i64 = 75_000;
const NODE: usize = 16;
const SITES: usize = 32;
pub const DOWN_AFTER: i64 = 1_500;

/// What the world is like, drawn from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Faults of all kinds; one group.
    Plain,
    /// Two halves that do not know each other found two groups: only obedience is judged.
    TwoCamps,
}

pub struct World {
    pub seed: u64,
    pub flavour: Flavour,
    pub now: i64,
    rng: u64,
    serial: u64,
    queue: BTreeMap<(i64, u64), Ev>,
    pub sentinels: Vec<Sentinel>,
    pub nodes: Vec<Node>,
    pub groups: BTreeMap<GroupId, Group>,
    cut: [[bool; SITES]; SITES],
    /// When a node was last unreachable from a sentinel, by the world's own truth.
    trouble: Vec<Vec<i64>>,
    loss_percent: u64,
    delay_ms_max: u64,
    /// The newest that a lookup has returned.
    looked_up: Option<(Epoch, Addr)>,
    pub failed: Option<String>,
    pub stats: Stats,
    /// A node that stays dead in the end.
    pub buried: Option<usize>,
    rebuilding: bool,
    /// Print what is committed and what befalls the world.
    pub traced: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub failovers: u64,
    pub repicks: u64,
    pub gave_up: u64,
    pub takeovers: u64,
    pub refused: u64,
    pub lookups: u64,
    pub wiped: u64,
    pub foreign: u64,
    pub forced: u64,
    pub stale: u64,
}

enum Ev {
    Timer { s: usize, boot: u64, due: i64 },
    Ping { s: usize, boot: u64 },
    Chat { s: usize, boot: u64 },
    To { s: usize, from: usize, msg: Msg },
    ToNode { n: usize, from: usize, msg: NodeMsg },
    Committed { group: GroupId, term: u64, entry: Entry },
    Changed { group: GroupId, term: u64, change: Change },
    StartSentinel { s: usize },
    Fall { s: usize },
    Mend,
    StartNode { n: usize },
    Raft,
    Replicate,
    Fault,
    Operate,
    Lookup,
    Heal,
    Observe,
}

#[derive(Clone)]
enum Msg {
    Letter(Letter),
    Hello(Peer),
    Opinions(MemberId, Vec<Opinion>),
    Propose(GroupId, Entry),
    Pong(Addr, Facts),
    Facts(Addr, Facts),
    Broken(Addr),
    Answer(Addr, Order, Answer),
    /// A read-index came back.
    Read {
        applied: usize,
        orders: Vec<(Addr, Order)>,
    },
    Join {
        group: GroupId,
        peer: Peer,
        boot: u64,
    },
}

#[derive(Clone)]
enum NodeMsg {
    Ping,
    Ask,
    Order { group: GroupId, order: Order },
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut world = World {
            seed,
            flavour: if seed % 12 == 7 { Flavour::TwoCamps } else { Flavour::Plain },
            now: 0,
            rng: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            serial: 0,
            queue: BTreeMap::new(),
            sentinels: vec![],
            nodes: vec![],
            groups: BTreeMap::new(),
            cut: [[false; SITES]; SITES],
            trouble: vec![],
            loss_percent: 0,
            delay_ms_max: 20,
            looked_up: None,
            failed: None,
            stats: Stats::default(),
            buried: None,
            rebuilding: false,
            traced: false,
        };
        (0..8).for_each(|_| drop(world.rnd(2)));
        let sentinels = if world.flavour == Flavour::TwoCamps { 4 } else { 3 + world.rnd(3) as usize };
        let nodes = 3 + world.rnd(2) as usize;
        let makes = world.rnd(6);
        let quorum = match world.flavour {
            Flavour::TwoCamps => 2,
            Flavour::Plain => sentinels as u32 / 2 + 1,
        };
        let history = world.replid();
        for n in 0..nodes {
            let addr = Addr::new("n", 7001 + n as u16);
            let native = match makes {
                0 => false,
                1 => world.rnd(2) == 0,
                _ => true,
            };
            let follows = (n > 0).then(|| Addr::new("n", 7001));
            let node = Node {
                addr,
                native,
                up: true,
                linked: false,
                follows,
                obedience: Default::default(),
                offset: 100,
                replid: history,
                former: None,
                runid: world.runid(),
                root: 0,
                strange_since: 0,
                promoted: BTreeMap::new(),
                acted: vec![],
            };
            world.nodes.push(node);
        }
        for s in 0..sentinels {
            let settings =
                Settings { quorum, down_after: Millis(DOWN_AFTER), failover_timeout: Millis(8_000), parallel_syncs: 1 };
            let disk = world.empty_disk();
            let (runid, addr) = (world.runid(), Addr::new("s", 5001 + s as u16));
            let (run, paused_until, resumed_at, boots) = (None, 0, 0, 0);
            world.sentinels.push(Sentinel { addr, runid, settings, disk, run, paused_until, resumed_at, boots });
            let at = world.rnd(3_000) as i64;
            world.at(at, Ev::StartSentinel { s });
        }
        world.trouble = vec![vec![0; nodes]; sentinels];
        if world.flavour == Flavour::TwoCamps {
            world.split(|s| s % 2 == 0);
        }
        for ev in [Ev::Raft, Ev::Replicate, Ev::Lookup] {
            world.at(10, ev);
        }
        world.at(3_000, Ev::Fault);
        world.at(9_000, Ev::Operate);
        world.at(FAULTS_END, Ev::Heal);
        world
    }

    /// Runs to the end. `Err`: what an oracle said.
    pub fn run(mut self) -> Result<Stats, String> {
        while let Some(((at, _), ev)) = self.queue.pop_first() {
            if at > END {
                break;
            }
            self.now = at;
            self.handle(ev);
            if let Some(why) = self.failed.take() {
                return Err(format!("at {} ms: {why}", self.now));
            }
        }
        super::healed(&self)?;
        Ok(self.stats)
    }

    fn rnd(&mut self, n: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 11) % n
    }

    fn runid(&mut self) -> RunId {
        RunId::from_random(std::array::from_fn(|_| self.rnd(256) as u8))
    }

    fn replid(&mut self) -> ReplId {
        ReplId::from_random(std::array::from_fn(|_| self.rnd(256) as u8))
    }

    fn empty_disk(&mut self) -> Disk {
        let luck = GroupId(u128::from(self.rnd(1 << 40)));
        Disk { member: 1 + self.rnd(1 << 40), luck, saved: Default::default(), applied: 0, wanted: true }
    }

    fn at(&mut self, at: i64, ev: Ev) {
        self.serial += 1;
        self.queue.insert((at.max(self.now), self.serial), ev);
    }

    fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }

    fn trace(&self, what: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>6} {}", self.now, what());
        }
    }

    fn calm(&self) -> bool {
        self.now >= FAULTS_END
    }

    // ------------------------------------------------------------------ network

    fn reaches(&self, from: usize, to: usize) -> bool {
        !self.cut[from][to]
    }

    fn delay(&mut self) -> i64 {
        let max = if self.rnd(40) == 0 { self.delay_ms_max * 4 } else { self.delay_ms_max };
        1 + self.rnd(max) as i64
    }

    /// A ping and its reply together stay well below down-after: a slow network is not what is judged.
    fn ping_delay(&mut self) -> i64 {
        self.delay().min(250)
    }

    fn lost(&mut self) -> bool {
        self.rnd(100) < self.loss_percent
    }

    fn send(&mut self, from: usize, s: usize, msg: Msg) {
        if from != s && (self.lost() || !self.reaches(from, s)) {
            return;
        }
        let at = self.now + self.delay();
        self.at(at, Ev::To { s, from, msg });
    }

    fn send_node(&mut self, s: usize, n: usize, msg: NodeMsg) {
        if !self.reaches(s, NODE + n) || !matches!(msg, NodeMsg::Ping) && self.lost() {
            return;
        }
        if matches!(msg, NodeMsg::Order { .. }) && self.rnd(8) == 0 {
            // Once more, much later: only a native node can tell that it is old.
            let late = self.now + if self.nodes[n].native { self.rnd(6_000) as i64 } else { 3 };
            self.at(late, Ev::ToNode { n, from: s, msg: msg.clone() });
        }
        let at = self.now + if matches!(msg, NodeMsg::Ping) { self.ping_delay() } else { self.delay() };
        self.at(at, Ev::ToNode { n, from: s, msg });
    }

    /// Cuts the sites for which `side` differs; nodes count as NODE + their number.
    fn split(&mut self, side: impl Fn(usize) -> bool) {
        for from in 0..SITES {
            for to in 0..SITES {
                let node = |site: usize| site >= NODE;
                // In a world of two camps the nodes belong to nobody.
                let across = side(from) != side(to);
                let counts = self.flavour == Flavour::Plain || !node(from) && !node(to);
                self.cut[from][to] |= across && counts;
            }
        }
    }

    fn note_trouble(&mut self) {
        for s in 0..self.sentinels.len() {
            for n in 0..self.nodes.len() {
                if !self.nodes[n].up || !self.reaches(s, NODE + n) || !self.reaches(NODE + n, s) {
                    self.trouble[s][n] = self.now;
                }
            }
        }
    }

    // ------------------------------------------------------------------ events

    fn handle(&mut self, ev: Ev) {
        match ev {
            Ev::Timer { s, .. } | Ev::Ping { s, .. } | Ev::Chat { s, .. } | Ev::To { s, .. }
                if self.sentinels[s].paused_until > self.now =>
            {
                let until = self.sentinels[s].paused_until;
                self.at(until, ev);
            }
            Ev::Timer { s, boot, due } => self.timer(s, boot, due),
            Ev::Ping { s, boot } => self.ping(s, boot),
            Ev::Chat { s, boot } => self.chat(s, boot),
            Ev::To { s, from, msg } => {
                if self.sentinels[s].run.is_some() {
                    self.hear(s, from, msg);
                    self.look(s);
                }
            }
            Ev::ToNode { n, from, msg } => self.node_hears(n, from, msg),
            Ev::Committed { group, term, entry } => self.commit(group, term, entry),
            Ev::Changed { group, term, change } => {
                let can = self.can_commit(group) && self.groups[&group].term == term;
                let state = self.groups.get_mut(&group).expect("a group");
                state.changing = None;
                if can {
                    state.change(change);
                }
            }
            Ev::StartSentinel { s } => self.start_sentinel(s),
            Ev::Mend => self.cut = [[false; SITES]; SITES],
            Ev::Fall { s } => self.crash_sentinel(s),
            Ev::StartNode { n } => {
                let (runid, replid) = (self.runid(), self.replid());
                if !self.nodes[n].up && self.buried != Some(n) {
                    self.nodes[n].restart(runid, replid);
                }
            }
            Ev::Raft => self.raft(),
            Ev::Replicate => self.replicate(),
            Ev::Fault => self.fault(),
            Ev::Operate => self.operate(),
            Ev::Lookup => self.lookup(),
            Ev::Heal => self.heal(),
            Ev::Observe => self.observe_all(),
        }
    }

    fn start_sentinel(&mut self, s: usize) {
        if self.sentinels[s].run.is_some() {
            return;
        }
        self.sentinels[s].paused_until = 0;
        let boot = 1 + self.rnd(1 << 40);
        let group = self.sentinels[s].disk.saved.group.clone().map(|belongs| match belongs {
            crate::failover::founding::Belongs::Founder(charter) => charter.group,
            crate::failover::founding::Belongs::Joined(group) => group,
        });
        let applied = self.sentinels[s].disk.applied;
        let log = group.and_then(|group| self.groups.get(&group)).map_or(&[][..], |group| &group.log[..applied]);
        let (first, now) = (self.nodes[0].addr.clone(), self.now);
        self.sentinels[s].start(boot, log, &first, now);
        self.watch(s);
        let spread = self.rnd(300) as i64;
        self.at(now + 100, Ev::Timer { s, boot, due: now + 100 });
        self.at(now + spread, Ev::Ping { s, boot });
        self.at(now + spread, Ev::Chat { s, boot });
    }

    fn is_running(&self, s: usize, boot: u64) -> bool {
        self.sentinels[s].run.as_ref().is_some_and(|run| run.boot == boot)
    }

    fn run_of(&mut self, s: usize) -> &mut Run {
        self.sentinels[s].run.as_mut().expect("running")
    }

    fn watch(&mut self, s: usize) {
        let now = self.now;
        if let Some(run) = &mut self.sentinels[s].run {
            run.watch(now);
        }
    }

    fn timer(&mut self, s: usize, boot: u64, due: i64) {
        if !self.is_running(s, boot) {
            return;
        }
        let now = self.now;
        let mut downs = vec![];
        let run = self.run_of(s);
        let stalled = run.pulse.tick(Millis(now), Millis(due));
        for (addr, seen) in &mut run.watched {
            if stalled {
                seen.step(Millis(now), Sign::Stalled);
            }
            if seen.next_deadline().is_some_and(|at| at.0 <= now) {
                let verdict = seen.step(Millis(now), Sign::Tick { due: Millis(due) });
                if verdict == Verdict::Down && seen.role_reported().0 {
                    downs.push(addr.clone());
                }
            }
        }
        if run.seen.masters.get(NAME).and_then(|m| m.forced).is_some_and(|at| now - at.0 > 3_000) {
            run.seen.masters.get_mut(NAME).into_iter().for_each(|m| m.forced = None);
        }
        run.in_flight.retain(|_, at| now - *at < 400);
        let effects = run.founding.step(Millis(now), Founded::Tick);
        for addr in downs {
            let n = self.node_at(&addr).unwrap_or(0);
            self.chat_opinions(s);
            if self.now - self.trouble[s][n] > DOWN_AFTER + 2_500 && self.now - self.resumed(s) < 2_500 {
                let (trouble, resumed) = (self.trouble[s][n], self.resumed(s));
                let why = format!("its node in trouble at {trouble}, resumed at {resumed}");
                self.fail(format!("sentinel {s} called {addr} down after its own pause: {why}"));
            }
        }
        self.founded(s, effects);
        self.watch(s);
        self.look(s);
        self.at(now + 100, Ev::Timer { s, boot, due: now + 100 });
    }

    fn resumed(&self, s: usize) -> i64 {
        self.sentinels[s].resumed_at
    }

    fn node_at(&self, addr: &Addr) -> Option<usize> {
        self.nodes.iter().position(|node| node.addr == *addr)
    }

    fn sentinel_at(&self, addr: &Addr) -> Option<usize> {
        self.sentinels.iter().position(|sentinel| sentinel.addr == *addr)
    }

    fn sentinel_of(&self, member: MemberId) -> Option<usize> {
        self.sentinels.iter().position(|sentinel| sentinel.disk.member == member)
    }

    /// PING with INFO, once a second.
    fn ping(&mut self, s: usize, boot: u64) {
        if !self.is_running(s, boot) {
            return;
        }
        let now = self.now;
        let addrs: Vec<Addr> = self.run_of(s).watched.keys().cloned().collect();
        for addr in addrs {
            let Some(n) = self.node_at(&addr) else { continue };
            let open = self.nodes[n].up && self.reaches(s, NODE + n) && self.reaches(NODE + n, s);
            let Some(seen) = self.run_of(s).watched.get_mut(&addr) else { continue };
            if seen.is_disconnected() {
                if !open {
                    continue;
                }
                seen.step(Millis(now), Sign::LinkUp);
            }
            seen.step(Millis(now), Sign::PingSent);
            self.send_node(s, n, NodeMsg::Ping);
        }
        self.watch(s);
        self.at(now + 500, Ev::Ping { s, boot });
    }

    /// What a sentinel says to the others: hello, and its opinions.
    fn chat(&mut self, s: usize, boot: u64) {
        if !self.is_running(s, boot) {
            return;
        }
        let me = self.sentinels[s].me();
        for other in 0..self.sentinels.len() {
            if other != s {
                self.send(s, other, Msg::Hello(me.clone()));
            }
        }
        self.chat_opinions(s);
        let now = self.now;
        self.at(now + 1_000, Ev::Chat { s, boot });
    }

    fn chat_opinions(&mut self, s: usize) {
        self.watch(s);
        let now = Millis(self.now);
        let run = self.run_of(s);
        let Some(registry) = &run.registry else { return };
        let opinions = run.seen.opinions(registry, now - now);
        let me = run.seen.me.member;
        let others: Vec<Addr> = registry.members.values().map(|member| member.addr.clone()).collect();
        for other in others.iter().filter_map(|addr| self.sentinel_at(addr)).collect::<Vec<_>>() {
            if other != s {
                self.send(s, other, Msg::Opinions(me, opinions.clone()));
            }
        }
    }

    fn hear(&mut self, s: usize, from: usize, msg: Msg) {
        let now = Millis(self.now);
        match msg {
            Msg::Hello(peer) => {
                let event = Founded::Hello { runid: peer.runid, addr: peer.addr };
                let effects = self.run_of(s).founding.step(now, event);
                self.founded(s, effects);
            }
            Msg::Letter(letter) => {
                let effects = self.run_of(s).founding.step(now, Founded::Heard(letter));
                self.founded(s, effects);
            }
            Msg::Opinions(member, opinions) => {
                let run = self.run_of(s);
                run.seen.heard.insert(member, now);
                opinions.into_iter().for_each(|opinion| run.seen.opined(opinion, now));
            }
            Msg::Propose(group, entry) => self.leader_hears(s, group, entry),
            Msg::Pong(addr, facts) => {
                self.signs(s, &addr, facts, true);
            }
            Msg::Facts(addr, facts) => self.signs(s, &addr, facts, false),
            Msg::Broken(addr) => {
                if let Some(seen) = self.run_of(s).watched.get_mut(&addr) {
                    seen.step(now, Sign::LinkBroken);
                }
                self.watch(s);
            }
            Msg::Answer(addr, order, answer) => self.run_of(s).seen.answered(NAME, &addr, &order, answer),
            Msg::Read { applied, orders } => {
                let run = self.run_of(s);
                run.reading = false;
                let unchanged = run.applied == applied;
                let Some(group) = run.registry.as_ref().map(|registry| registry.group) else { return };
                for (addr, order) in orders.into_iter().filter(|_| unchanged) {
                    self.run_of(s).seen.ordered(NAME, &addr, order.clone(), now);
                    if let Some(n) = self.node_at(&addr) {
                        self.send_node(s, n, NodeMsg::Order { group, order });
                    }
                }
            }
            Msg::Join { group, peer, boot } => {
                let Peer { member, runid, addr } = peer;
                let entry = Entry::Join { member, runid, addr, boot, at: now };
                if self.run_of(s).founding.group() == Some(group) {
                    self.propose(s, entry);
                }
            }
        }
        let _ = from;
    }

    fn signs(&mut self, s: usize, addr: &Addr, facts: Facts, pong: bool) {
        let now = Millis(self.now);
        let run = self.run_of(s);
        let Some(seen) = run.watched.get_mut(addr) else { return };
        let is_master = facts.follows().is_none();
        if pong {
            seen.step(now, Sign::Replied(PingReply::Pong));
        }
        seen.step(now, Sign::Info { is_master, runid: facts.runid });
        run.seen.informed(NAME, addr, facts, now);
        if let Some(registry) = &run.registry {
            run.seen.notice(registry, now);
        }
        self.watch(s);
    }

    fn node_hears(&mut self, n: usize, from: usize, msg: NodeMsg) {
        if !self.nodes[n].up || !self.reaches(from, NODE + n) {
            return;
        }
        let fresh = self.replid();
        let addr = self.nodes[n].addr.clone();
        let facts = |world: &World| {
            let attached = world.nodes.iter().filter(|node| node.follows.as_ref() == Some(&addr) && node.linked);
            world.nodes[n].facts(attached.map(|node| node.addr.clone()).collect())
        };
        let reply = match msg {
            NodeMsg::Ping => Msg::Pong(addr.clone(), facts(self)),
            NodeMsg::Ask => Msg::Facts(addr.clone(), facts(self)),
            NodeMsg::Order { group, order } => {
                self.judge_order(n, group, &order);
                // Exchanged between the question and the order: no sentinel can tell, and its history is now ours.
                if matches!(order, Order::Promote { .. }) && self.now - self.nodes[n].strange_since < 5_000 {
                    self.nodes.iter_mut().for_each(|node| node.root = 0);
                }
                let answer = self.nodes[n].order(group, &order, fresh);
                self.trace(|| format!("node {n} told by {from}: {order} => {answer:?}"));
                self.stats.refused += u64::from(matches!(answer, Answer::Refused(_)));
                if matches!(answer, Answer::Obeyed { .. }) {
                    self.judge_obedience(n);
                }
                Msg::Answer(addr.clone(), order, answer)
            }
        };
        if self.reaches(NODE + n, from) {
            let at = self.now + if matches!(reply, Msg::Pong(..)) { self.ping_delay() } else { self.delay() };
            self.at(at, Ev::To { s: from, from: NODE + n, msg: reply });
        }
    }

    // ------------------------------------------------------------------ the group

    /// Whether this sentinel runs, and has this group on its disk.
    fn member_is_up(&self, group: GroupId, member: MemberId) -> Option<usize> {
        let s = self.sentinel_of(member)?;
        let sentinel = &self.sentinels[s];
        let run = sentinel.run.as_ref()?;
        (sentinel.paused_until <= self.now && run.founding.group() == Some(group)).then_some(s)
    }

    fn both_ways(&self, a: usize, b: usize) -> bool {
        a == b || self.reaches(a, b) && self.reaches(b, a)
    }

    fn has_majority(&self, group: GroupId, s: usize) -> bool {
        let state = &self.groups[&group];
        let there = |member: &MemberId| self.member_is_up(group, *member).is_some_and(|other| self.both_ways(s, other));
        state.voters.iter().filter(|member| there(member)).count() * 2 > state.voters.len()
    }

    fn leader(&self, group: GroupId) -> Option<usize> {
        let member = self.groups.get(&group)?.leader?;
        self.member_is_up(group, member)
    }

    fn can_commit(&self, group: GroupId) -> bool {
        self.leader(group).is_some_and(|s| self.has_majority(group, s))
    }

    /// A read-index from `s` would succeed now.
    fn can_read(&self, s: usize, group: GroupId) -> bool {
        self.can_commit(group) && self.leader(group).is_some_and(|leader| self.both_ways(s, leader))
    }

    fn raft(&mut self) {
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
    fn follow(&mut self, group: GroupId, s: usize) {
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

    fn learner_is_ready(&self, member: MemberId, log: usize) -> bool {
        let run = self.sentinel_of(member).and_then(|s| self.sentinels[s].run.as_ref());
        run.is_some_and(|run| run.registry.is_some() && run.applied + 5 >= log)
    }

    fn catch_up(&mut self, s: usize, group: GroupId, upto: usize) {
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

    fn founded(&mut self, s: usize, effects: Vec<Effect>) {
        let mut falls = false;
        for effect in effects {
            match effect {
                Effect::Save(saved) => self.sentinels[s].disk.saved = saved,
                Effect::Send { to, letter } => {
                    self.trace(|| format!("letter {s} to {to}: {:?}", letter.body));
                    let told = matches!(letter.body, Body::Promised { .. } | Body::Stored { .. });
                    if told && !self.calm() && self.flavour == Flavour::Plain && self.rnd(8) == 0 {
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
    fn fall(&mut self, s: usize) {
        let at = self.now + 1;
        self.at(at, Ev::Fall { s });
        if self.rnd(2) == 0 {
            let sides = self.rnd(1 << 8);
            self.cut = [[false; SITES]; SITES];
            self.split(|site| site < NODE && sides >> site & 1 == 1);
            let mended = self.now + 2_000 + self.rnd(4_000) as i64;
            self.at(mended, Ev::Mend);
        }
    }

    fn propose(&mut self, s: usize, entry: Entry) {
        let now = self.now;
        let run = self.run_of(s);
        let Some(group) = run.registry.as_ref().map(|registry| registry.group) else { return };
        if run.in_flight.contains_key(&entry.slot()) {
            return;
        }
        run.in_flight.insert(entry.slot(), now);
        if let Some(leader) = run.seen.leader.and_then(|leader| self.sentinel_of(leader)) {
            if self.rnd(12) == 0 {
                // Once more, much later: what the group has decided since makes it stale.
                let (late, msg) = (self.now + self.rnd(5_000) as i64, Msg::Propose(group, entry.clone()));
                self.at(late, Ev::To { s: leader, from: s, msg });
            }
            self.send(s, leader, Msg::Propose(group, entry));
        }
    }

    fn leader_hears(&mut self, s: usize, group: GroupId, entry: Entry) {
        if self.leader(group) == Some(s) && self.can_commit(group) {
            let (term, at) = (self.groups[&group].term, self.now + 3 + self.rnd(12) as i64);
            self.at(at, Ev::Committed { group, term, entry });
        }
    }

    fn commit(&mut self, group: GroupId, term: u64, entry: Entry) {
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
    fn look(&mut self, s: usize) {
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

    // ------------------------------------------------------------------ oracles

    /// S2: no promotion is ordered before it is decided.
    fn judge_order(&mut self, n: usize, group: GroupId, order: &Order) {
        let Order::Promote { epoch } = order else { return };
        let pick = self.groups.get(&group).and_then(|state| state.picks.get(&(NAME.to_owned(), *epoch)));
        if pick != Some(&self.nodes[n].addr) {
            let addr = self.nodes[n].addr.clone();
            self.fail(format!("S2: {addr} was ordered to promote in epoch {epoch} and the group picked {pick:?}"));
        }
    }

    fn judge_obedience(&mut self, n: usize) {
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

    /// A pick rests on sentinels that have really held the master to be down within the last seconds.
    fn judge_evidence(&mut self, entry: &Entry) {
        let Entry::Picked { reason: Reason::Odown { witnesses, .. }, name, .. } = entry else { return };
        for Witness { member, .. } in witnesses.clone() {
            let Some(s) = self.sentinel_of(member) else { continue };
            let Some(run) = &self.sentinels[s].run else { continue };
            let Some(master) = run.registry.as_ref().and_then(|registry| registry.masters.get(name)) else { continue };
            let Some(n) = self.node_at(&master.addr) else { continue };
            let fine = self.now - self.trouble[s][n];
            let is_master = self.nodes[n].follows.is_none();
            let up_for = run.watched.get(&master.addr).is_some_and(|seen| {
                !seen.is_down() && seen.role_reported().0 && is_master && self.now - seen.role_reported().1.0 > 12_000
            });
            if fine > 12_000 && up_for && self.now - self.sentinels[s].resumed_at > 12_000 {
                let addr = master.addr.clone();
                self.fail(format!("sentinel {s} has seen {addr} up for {fine} ms and stands as a witness: {entry}"));
                return;
            }
        }
    }

    fn judge_entry(&mut self, group: GroupId, entry: &Entry) {
        match entry {
            Entry::Picked { node, reason, executor, .. } => {
                self.stats.repicks += u64::from(matches!(reason, Reason::Next { .. }));
                self.stats.forced += u64::from(matches!(reason, Reason::Forced { .. }));
                self.strike(node, *executor);
                if let Some(n) = self.node_at(node)
                    && self.nodes[n].root != 0
                    && !self.rebuilding
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
    fn lookup(&mut self) {
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

    // ------------------------------------------------------------------ nodes, faults, people

    fn replicate(&mut self) {
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

    fn fault(&mut self) {
        if self.calm() {
            return;
        }
        let at = self.now + 300 + self.rnd(2_500) as i64;
        self.at(at, Ev::Fault);
        let s = self.rnd(self.sentinels.len() as u64) as usize;
        let n = self.rnd(self.nodes.len() as u64) as usize;
        match self.rnd(20) {
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
            // The executor falls with the leader.
            _ => {
                let leader = self.groups.keys().next().copied().and_then(|group| self.leader(group));
                self.crash_sentinel(leader.unwrap_or(s));
            }
        }
    }

    fn crash_node(&mut self, n: usize) {
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

    fn crash_sentinel(&mut self, s: usize) {
        self.sentinels[s].run = None;
        self.sentinels[s].paused_until = 0;
        let at = self.now + 50 + self.rnd(6_000) as i64;
        self.at(at, Ev::StartSentinel { s });
    }

    /// What can go wrong in the moment between a decision and its order.
    fn strike(&mut self, node: &Addr, executor: MemberId) {
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
    fn wipe(&mut self, s: usize) {
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
    fn estrange(&mut self, n: usize) {
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

    fn operate(&mut self) {
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
            4 if self.seed % 5 == 0 && !self.rebuilding && self.flavour == Flavour::Plain => self.rebuild(),
            _ => {}
        }
    }

    /// REMOVE on every sentinel, then MONITOR of another node on every sentinel.
    fn rebuild(&mut self) {
        let group = match self.groups.values().next() {
            Some(group) if group.truth.masters.contains_key(NAME) => group.truth.group,
            _ => return,
        };
        let now = Millis(self.now);
        let observers = self.groups[&group].truth.masters[NAME].observers.clone();
        let leader = self.leader(group).filter(|_| self.can_commit(group));
        let Some(leader) = leader else { return };
        self.rebuilding = true;
        // People work against the leader here: the forwarding of commands is not what is tried.
        let n = self.rnd(self.nodes.len() as u64) as usize;
        let addr = self.nodes[n].addr.clone();
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
    fn observe_all(&mut self) {
        let Some(group) = self.groups.values().next() else { return };
        let Some(addr) = group.truth.masters.get(NAME).map(|master| master.addr.clone()) else { return };
        for sentinel in &mut self.sentinels {
            let settings = sentinel.settings;
            if let Some(run) = &mut sentinel.run {
                run.seen.wanted.insert(NAME.to_owned(), (addr.clone(), settings));
            }
        }
    }

    fn heal(&mut self) {
        if self.rebuilding {
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
        let wants_burial = self.rnd(3) == 0 && known && self.flavour == Flavour::Plain && !self.rebuilding;
        let whole = self.nodes.iter().all(|node| node.up && node.root == 0 && (node.linked || node.follows.is_none()));
        let masters = self.nodes.iter().filter(|node| node.follows.is_none()).count();
        if wants_burial && whole && masters == 1 {
            let n = self.rnd(self.nodes.len() as u64) as usize;
            self.buried = Some(n);
            self.crash_node(n);
        }
        for n in 0..self.nodes.len() {
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
}
