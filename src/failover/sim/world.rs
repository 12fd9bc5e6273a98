//! One world from one seed: sentinels, nodes, the network between them, faults, and the oracles that watch.

use super::node::Node;
use super::raft::Group;
use super::sentinel::{Disk, NAME, Run, Sentinel};
use crate::base::{Epoch, Millis, ReplId, RunId};
use crate::failover::facts::Facts;
use crate::failover::founding::{Event as Founded, Letter, Peer};
use crate::failover::observation::{Change as Verdict, Event as Sign, PingReply};
use crate::failover::{Addr, Answer, Change, Entry, GroupId, MemberId, Opinion, Order, Settings};
use std::collections::BTreeMap;

pub const FAULTS_END: i64 = 30_000;
pub const END: i64 = 75_000;
pub(super) const NODE: usize = 16;
pub(super) const SITES: usize = 32;
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
    pub(super) rng: u64,
    pub(super) serial: u64,
    pub(super) queue: BTreeMap<(i64, u64), Ev>,
    pub sentinels: Vec<Sentinel>,
    pub nodes: Vec<Node>,
    pub groups: BTreeMap<GroupId, Group>,
    pub(super) cut: [[bool; SITES]; SITES],
    /// When a node was last unreachable from a sentinel, by the world's own truth.
    pub(super) trouble: Vec<Vec<i64>>,
    pub(super) loss_percent: u64,
    pub(super) delay_ms_max: u64,
    /// The newest that a lookup has returned.
    pub(super) looked_up: Option<(Epoch, Addr)>,
    pub failed: Option<String>,
    pub stats: Stats,
    /// A node that stays dead in the end.
    pub buried: Option<usize>,
    /// The master was removed everywhere and is monitored anew, at this address.
    pub(super) rebuilt: Option<Addr>,
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

pub(super) enum Ev {
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
pub(super) enum Msg {
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
pub(super) enum NodeMsg {
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
            rebuilt: None,
            traced: false,
        };
        (0..8).for_each(|_| _ = world.rnd(2));
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
                deaf_until: 0,
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
            world.sentinels.push(Sentinel {
                addr,
                runid,
                settings,
                disk,
                run,
                paused_until,
                resumed_at,
                boots,
                held_down: BTreeMap::new(),
            });
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

    pub(super) fn rnd(&mut self, n: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 11) % n
    }

    pub(super) fn runid(&mut self) -> RunId {
        RunId::from_random(std::array::from_fn(|_| self.rnd(256) as u8))
    }

    pub(super) fn replid(&mut self) -> ReplId {
        ReplId::from_random(std::array::from_fn(|_| self.rnd(256) as u8))
    }

    pub(super) fn empty_disk(&mut self) -> Disk {
        let luck = GroupId(u128::from(self.rnd(1 << 40)));
        Disk { member: 1 + self.rnd(1 << 40), luck, saved: Default::default(), applied: 0, wanted: true }
    }

    pub(super) fn at(&mut self, at: i64, ev: Ev) {
        self.serial += 1;
        self.queue.insert((at.max(self.now), self.serial), ev);
    }

    pub(super) fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }

    pub(super) fn trace(&self, what: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>6} {}", self.now, what());
        }
    }

    pub(super) fn calm(&self) -> bool {
        self.now >= FAULTS_END
    }

    // ------------------------------------------------------------------ network

    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        !self.cut[from][to]
    }

    pub(super) fn delay(&mut self) -> i64 {
        let max = if self.rnd(40) == 0 { self.delay_ms_max * 4 } else { self.delay_ms_max };
        1 + self.rnd(max) as i64
    }

    /// A ping and its reply together stay well below down-after: a slow network is not what is judged.
    pub(super) fn ping_delay(&mut self) -> i64 {
        self.delay().min(250)
    }

    pub(super) fn lost(&mut self) -> bool {
        self.rnd(100) < self.loss_percent
    }

    pub(super) fn send(&mut self, from: usize, s: usize, msg: Msg) {
        if from != s && (self.lost() || !self.reaches(from, s)) {
            return;
        }
        let at = self.now + self.delay();
        self.at(at, Ev::To { s, from, msg });
    }

    pub(super) fn send_node(&mut self, s: usize, n: usize, msg: NodeMsg) {
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
    pub(super) fn split(&mut self, side: impl Fn(usize) -> bool) {
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

    pub(super) fn note_trouble(&mut self) {
        for s in 0..self.sentinels.len() {
            for n in 0..self.nodes.len() {
                if !self.nodes[n].up || !self.reaches(s, NODE + n) || !self.reaches(NODE + n, s) {
                    self.trouble[s][n] = self.now;
                }
            }
        }
    }

    // ------------------------------------------------------------------ events

    pub(super) fn handle(&mut self, ev: Ev) {
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
                    if self.sentinels[s].resumed_at == self.now {
                        let now = Millis(self.now);
                        self.run_of(s).seen.stalled(now);
                    }
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

    pub(super) fn start_sentinel(&mut self, s: usize) {
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

    pub(super) fn is_running(&self, s: usize, boot: u64) -> bool {
        self.sentinels[s].run.as_ref().is_some_and(|run| run.boot == boot)
    }

    pub(super) fn run_of(&mut self, s: usize) -> &mut Run {
        self.sentinels[s].run.as_mut().expect("running")
    }

    pub(super) fn watch(&mut self, s: usize) {
        let now = self.now;
        if let Some(run) = &mut self.sentinels[s].run {
            run.watch(now);
        }
    }

    pub(super) fn timer(&mut self, s: usize, boot: u64, due: i64) {
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
        let held: Vec<Addr> = run.watched.iter().filter(|(_, o)| o.is_down()).map(|(addr, _)| addr.clone()).collect();
        self.sentinels[s].held_down.extend(held.into_iter().map(|addr| (addr, now)));
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

    pub(super) fn resumed(&self, s: usize) -> i64 {
        self.sentinels[s].resumed_at
    }

    pub(super) fn node_at(&self, addr: &Addr) -> Option<usize> {
        self.nodes.iter().position(|node| node.addr == *addr)
    }

    pub(super) fn sentinel_at(&self, addr: &Addr) -> Option<usize> {
        self.sentinels.iter().position(|sentinel| sentinel.addr == *addr)
    }

    pub(super) fn sentinel_of(&self, member: MemberId) -> Option<usize> {
        self.sentinels.iter().position(|sentinel| sentinel.disk.member == member)
    }

    /// PING with INFO, once a second.
    pub(super) fn ping(&mut self, s: usize, boot: u64) {
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
    pub(super) fn chat(&mut self, s: usize, boot: u64) {
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

    pub(super) fn chat_opinions(&mut self, s: usize) {
        self.watch(s);
        let run = self.run_of(s);
        let Some(registry) = &run.registry else { return };
        let opinions = run.seen.opinions(registry, Millis(0));
        let me = run.seen.me.member;
        let others: Vec<Addr> = registry.members.values().map(|member| member.addr.clone()).collect();
        for other in others.iter().filter_map(|addr| self.sentinel_at(addr)).collect::<Vec<_>>() {
            if other != s {
                self.send(s, other, Msg::Opinions(me, opinions.clone()));
            }
        }
    }

    pub(super) fn hear(&mut self, s: usize, from: usize, msg: Msg) {
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

    pub(super) fn signs(&mut self, s: usize, addr: &Addr, facts: Facts, pong: bool) {
        let now = Millis(self.now);
        let run = self.run_of(s);
        let Some(seen) = run.watched.get_mut(addr) else { return };
        let is_master = facts.follows().is_none();
        if pong {
            seen.step(now, Sign::Replied(PingReply::Pong));
        }
        seen.step(now, Sign::Info { is_master, runid: facts.runid, reads_store: false });
        run.seen.informed(NAME, addr, facts, now);
        if let Some(registry) = &run.registry {
            run.seen.notice(registry, now);
        }
        self.watch(s);
    }

    pub(super) fn node_hears(&mut self, n: usize, from: usize, msg: NodeMsg) {
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
                let answer = match self.nodes[n].deaf_until > self.now {
                    true => Answer::Failed("NOPERM this user has no permissions to run the command".to_owned()),
                    false => self.nodes[n].order(group, &order, fresh),
                };
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
}
