//! The sentinel's local state, and what each event does to it.

use super::clients::{ClientId, Clients};
use super::event::{Effect, Event, Heard, Level, LinkId, LinkKind};
use super::instance::{INFO_PERIOD_MS, INFO_URGENT_MS, Instance, PING_PERIOD_MS};
use super::peers::{PeerAnswer, PeerMessage, PeerSeen};
use super::watched::Watched;
use crate::base::{Epoch, Millis, RunId};
use crate::config::{Config, KnownReplica, KnownSentinel, Lookup, MasterConfig};
use crate::failover::facts::{MasterLink, Role};
use crate::failover::founding::{self, Founding, HELLO_PERIOD_MS, Peer, Rules, SETTLE_MS, Saved};
use crate::failover::observation::{self, Kind, Observation, PingReply, Pulse, Timing};
use crate::failover::{self, Addr, BootId, Entry, GroupId, LOOK_MS, Me, Registry, Seen};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How often opinions are renewed, which is the ping between sentinels too.
pub const TELL_PERIOD_MS: Millis = Millis(1_000);
/// How often the process' own pauses are looked for.
const PULSE_MS: Millis = Millis(500);

/// What time it is, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Since the start of the process.
    pub mono: Millis,
    /// Since 1970.
    pub wall: Millis,
}

/// Who this sentinel is.
#[derive(Clone, Debug)]
pub struct Identity {
    pub me: Me,
    /// What the founding protocol has on disk.
    pub saved: Saved,
    /// The id of the group, should this sentinel found it.
    pub luck: GroupId,
}

/// One sentinel.
pub struct Monitor {
    pub config: Config,
    pub clients: Clients,
    pub(super) clock: Clock,
    pub(super) seen: Seen,
    pub(super) registry: Registry,
    /// Counts the registries that were handed over.
    pub(super) version: u64,
    pub(super) caught_up: bool,
    pub(super) founding: Founding,
    pub(super) masters: BTreeMap<String, Watched>,
    pub(super) peers: BTreeMap<RunId, PeerSeen>,
    pub(super) links: HashMap<LinkId, (String, Addr, LinkKind)>,
    next_link: LinkId,
    pub(super) pulse: Pulse,
    pulse_due: Millis,
    tell_due: Millis,
    pub(super) tell_now: bool,
    founding_due: Millis,
    pub(super) look_due: Millis,
    pub(super) look_now: bool,
    pub(super) proposing: BTreeSet<(u8, String)>,
    pub(super) linearizing: Option<(u64, Vec<failover::Move>)>,
    pub(super) changing: bool,
    pub(super) change_not_before: Millis,
    pub(super) alarms: BTreeSet<String>,
    pub(super) dirty: bool,
    pub(super) commands: u64,
    pub(super) connections: u64,
}

impl Monitor {
    /// `config`: the file as it was read, with `myid` set.
    pub fn new(config: Config, identity: Identity, clock: Clock, out: &mut Vec<Effect>) -> Monitor {
        let Identity { me, saved, luck } = identity;
        let peer = Peer { member: me.member, runid: me.runid, addr: me.addr.clone() };
        let known: Vec<(RunId, Addr)> = config
            .sentinel
            .masters
            .iter()
            .flat_map(|master| &master.known_sentinels)
            .map(|known| (known.runid, Addr::new(known.ip.clone(), known.port)))
            .collect();
        let now = clock.mono;
        let mut monitor = Monitor {
            founding: Founding::new(peer, rules(&config), saved, &known, luck, now),
            clients: Clients::default(),
            seen: Seen::new(me),
            registry: Registry::new(GroupId(0)),
            version: 0,
            caught_up: false,
            masters: BTreeMap::new(),
            peers: BTreeMap::new(),
            links: HashMap::new(),
            next_link: 0,
            pulse: Pulse::default(),
            pulse_due: now + PULSE_MS,
            tell_due: now,
            tell_now: false,
            founding_due: now,
            look_due: now,
            look_now: true,
            proposing: BTreeSet::new(),
            linearizing: None,
            changing: false,
            change_not_before: now,
            alarms: BTreeSet::new(),
            dirty: true,
            commands: 0,
            connections: 0,
            clock,
            config,
        };
        for master in monitor.config.sentinel.masters.clone() {
            monitor.watch(master, out);
        }
        monitor
    }

    /// When [`Event::Tick`] is to come, if nothing happens before.
    pub fn next_deadline(&self) -> Millis {
        let mut next = self.pulse_due.min(self.tell_due).min(self.founding_due).min(self.look_due);
        for watched in self.masters.values() {
            for node in watched.nodes.values() {
                next = next.min(node.observation.next_deadline().unwrap_or(Millis::NEVER));
                if node.command.conn.is_some() {
                    let info = node.info_sent + info_period(watched, node);
                    next = next.min(node.next_ping).min(info).min(node.next_hello);
                }
            }
        }
        for peer in self.peers.values() {
            next = next.min(peer.observation.next_deadline().unwrap_or(Millis::NEVER));
        }
        next.max(self.clock.mono + Millis(1))
    }

    /// Takes in what happened.
    pub fn step(&mut self, clock: Clock, event: Event, out: &mut Vec<Effect>) {
        self.clock = clock;
        match event {
            Event::Tick => self.tick(out),
            Event::LinkUp { link, conn } => self.link_up(link, conn, out),
            Event::LinkDown { link } => self.link_down(link, out),
            Event::Reply { link, conn, frame } => self.reply(link, conn, frame, out),
            Event::Agreed { registry, events } => self.agreed(registry, &events, out),
            Event::CaughtUp => {
                self.caught_up = true;
                self.take_registry(out);
                self.look_now = true;
            }
            Event::View { leader, voters, learners } => {
                if self.seen.leader != leader {
                    self.log(Level::Debug, format!("the group's leader is {leader:x?}"), out);
                }
                self.seen.leader = leader;
                self.seen.raft.voters = voters;
                self.seen.raft.learners = learners.into_iter().map(|member| (member, true)).collect();
                self.look_now = true;
            }
            Event::Linearized { ok } => self.linearized(ok, out),
            Event::Proposed { slot, entry, outcome } => self.proposed(&slot, &entry, outcome, out),
            Event::MemberChanged { outcome } => {
                self.changing = false;
                if let Err(why) = outcome {
                    self.change_not_before = self.clock.mono + Millis(500);
                    self.log(Level::Debug, format!("the group's members did not change: {why}"), out);
                }
                self.look_now = true;
            }
            Event::Told { runid, asked, answer } => self.told(runid, asked, answer, out),
            Event::Joined { group } => {
                let effects = self.founding.step(self.clock.mono, founding::Event::Joined { group });
                out.push(Effect::Founding(effects));
            }
            Event::Rewritten { outcome } => {
                if let Err(why) = outcome {
                    self.log(
                        Level::Warning,
                        format!("WARNING: Sentinel was not able to save the new configuration on disk!!!: {why}"),
                        out,
                    );
                }
            }
        }
        self.settle(out);
    }

    /// What every step ends with: `Seen` brought up to date, moves, opinions, the file.
    pub(super) fn settle(&mut self, out: &mut Vec<Effect>) {
        if self.look_now || self.clock.mono >= self.look_due {
            self.look_now = false;
            self.look(out);
        }
        if std::mem::take(&mut self.tell_now) {
            self.tell_all(out);
        }
        if std::mem::take(&mut self.dirty) {
            self.sync_config();
            out.push(Effect::Rewrite);
        }
    }

    fn tick(&mut self, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        if now >= self.pulse_due {
            if self.pulse.tick(now, self.pulse_due) {
                for watched in self.masters.values_mut() {
                    for node in watched.nodes.values_mut() {
                        node.observation.step(now, observation::Event::Stalled);
                    }
                }
                self.log(Level::Warning, "this process stood still; silences are counted anew".to_owned(), out);
            }
            self.pulse_due = now + PULSE_MS;
        }
        if now >= self.founding_due {
            let bound = self.founding.group().is_some();
            self.founding_due = now + if bound { HELLO_PERIOD_MS } else { Millis(100) };
            let effects = self.founding.step(now, founding::Event::Tick);
            if !effects.is_empty() {
                out.push(Effect::Founding(effects));
            }
        }
        if now >= self.tell_due {
            self.tell_due = now + TELL_PERIOD_MS;
            self.tell_now = true;
        }
        let names: Vec<String> = self.masters.keys().cloned().collect();
        for name in names {
            let Some(watched) = self.masters.get(&name) else { continue };
            let addrs: Vec<Addr> = watched.nodes.keys().cloned().collect();
            for addr in addrs {
                self.tend(&name, &addr, out);
            }
        }
        let runids: Vec<RunId> = self.peers.keys().copied().collect();
        for runid in runids {
            let Some(peer) = self.peers.get_mut(&runid) else { continue };
            if let Some(due) = peer.observation.next_deadline().filter(|due| now >= *due) {
                let change = peer.observation.step(now, observation::Event::Tick { due });
                self.peer_changed(runid, change, out);
            }
        }
    }

    /// Whatever is due for one node.
    fn tend(&mut self, name: &str, addr: &Addr, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let Some(watched) = self.masters.get_mut(name) else { return };
        let ping_period = PING_PERIOD_MS.min(watched.config.down_after);
        let Some(node) = watched.nodes.get(addr) else { return };
        let info_due = now >= node.info_sent + info_period(watched, node);
        let Some(node) = watched.nodes.get_mut(addr) else { return };
        if node.command.conn.is_some() {
            let (ping, hello) = (now >= node.next_ping, now >= node.next_hello);
            if ping {
                node.next_ping = now + ping_period;
                self.ping(name, addr, out);
            }
            if info_due {
                self.ask_info(name, addr, None, out);
            }
            if hello {
                self.say_hello(name, addr, out);
            }
        }
        let Some(node) = self.masters.get_mut(name).and_then(|w| w.nodes.get_mut(addr)) else { return };
        if let Some(due) = node.observation.next_deadline().filter(|due| now >= *due) {
            let change = node.observation.step(now, observation::Event::Tick { due });
            self.node_changed(name, addr, change, out);
        }
        let Some(node) = self.masters.get(name).and_then(|w| w.nodes.get(addr)) else { return };
        if node.observation.wants_reconnect(now) {
            let link = node.command.id;
            self.link_down(link, out);
            out.push(Effect::Reconnect { link });
        }
    }

    /// What a step of a node's observation means.
    pub(super) fn node_changed(&mut self, name: &str, addr: &Addr, change: observation::Change, out: &mut Vec<Effect>) {
        let channel = match change {
            observation::Change::None => return,
            observation::Change::Down => "+sdown",
            observation::Change::Up => "-sdown",
            observation::Change::Rebooted => "+reboot",
        };
        let Some(watched) = self.masters.get(name) else { return };
        let level = if change == observation::Change::Rebooted { Level::Notice } else { Level::Warning };
        self.event(level, channel, watched.describe(addr), out);
        self.look_now = true;
        if self.masters.get(name).is_some_and(|watched| watched.addr == *addr) {
            self.tell_now = true;
        }
    }

    fn peer_changed(&mut self, runid: RunId, change: observation::Change, out: &mut Vec<Effect>) {
        let channel = match change {
            observation::Change::Down => "+sdown",
            observation::Change::Up => "-sdown",
            _ => return,
        };
        let Some(peer) = self.peers.get(&runid) else { return };
        let texts: Vec<String> = self
            .masters
            .values()
            .filter(|watched| watched.sentinels.contains(&runid))
            .map(|watched| watched.describe_sentinel(&runid, &peer.addr))
            .collect();
        for text in texts {
            self.event(Level::Warning, channel, text, out);
        }
    }

    // ---- masters, nodes and sentinels that come and go

    /// Begins to watch a master.
    pub(super) fn watch(&mut self, config: MasterConfig, out: &mut Vec<Effect>) {
        let addr = Addr::new(config.ip.clone(), config.port);
        let name = config.name.clone();
        let watched = Watched {
            epoch: config.config_epoch,
            addr: addr.clone(),
            nodes: BTreeMap::new(),
            sentinels: BTreeSet::new(),
            odown: None,
            failing_over: None,
            picked: None,
            forced: false,
            forced_at: None,
            asked_in: None,
            config: config.clone(),
        };
        self.masters.insert(name.clone(), watched);
        let text = format!("master {name} {} {} quorum {}", addr.host, addr.port, config.quorum);
        self.event(Level::Warning, "+monitor", text, out);
        self.add_node(&name, &addr, out);
        for replica in &config.known_replicas {
            self.add_node(&name, &Addr::new(replica.ip.clone(), replica.port), out);
        }
        for known in &config.known_sentinels {
            self.meet(&name, known.runid, Addr::new(known.ip.clone(), known.port), out);
        }
        self.rules_changed();
    }

    /// Watches no more; the links close.
    pub(super) fn unwatch(&mut self, name: &str, out: &mut Vec<Effect>) {
        let Some(watched) = self.masters.get(name) else { return };
        let text = watched.describe(&watched.addr);
        self.event(Level::Warning, "-monitor", text, out);
        let Some(watched) = self.masters.remove(name) else { return };
        for node in watched.nodes.values() {
            self.close(node.command.id, out);
            self.close(node.pubsub.id, out);
        }
        for peer in self.peers.values_mut() {
            peer.masters.remove(name);
        }
        self.peers.retain(|_, peer| !peer.masters.is_empty());
        self.seen.wanted.remove(name);
        self.rules_changed();
    }

    fn rules_changed(&mut self) {
        self.sync_config();
        self.founding.set_rules(rules(&self.config));
        self.dirty = true;
    }

    pub(super) fn add_node(&mut self, name: &str, addr: &Addr, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let Some(watched) = self.masters.get_mut(name) else { return };
        if watched.nodes.contains_key(addr) {
            return;
        }
        let links = (self.next_link + 1, self.next_link + 2);
        self.next_link += 2;
        let kind = if *addr == watched.addr { Kind::Master } else { Kind::Replica };
        watched.nodes.insert(addr.clone(), Instance::new(addr.clone(), kind, watched.timing(), now, links));
        let text = watched.describe(addr);
        let config = watched.config.clone();
        self.links.insert(links.0, (name.to_owned(), addr.clone(), LinkKind::Command));
        self.links.insert(links.1, (name.to_owned(), addr.clone(), LinkKind::PubSub));
        for (link, kind) in [(links.0, LinkKind::Command), (links.1, LinkKind::PubSub)] {
            let greeting = self.greeting(&config, kind);
            out.push(Effect::Open { link, addr: addr.clone(), kind, greeting });
        }
        if kind == Kind::Replica {
            self.event(Level::Notice, "+slave", text, out);
        }
        self.dirty = true;
        self.look_now = true;
    }

    pub(super) fn drop_node(&mut self, name: &str, addr: &Addr, out: &mut Vec<Effect>) {
        let Some(node) = self.masters.get_mut(name).and_then(|watched| watched.nodes.remove(addr)) else { return };
        self.close(node.command.id, out);
        self.close(node.pubsub.id, out);
        self.dirty = true;
    }

    fn close(&mut self, link: LinkId, out: &mut Vec<Effect>) {
        self.links.remove(&link);
        out.push(Effect::Close { link });
    }

    /// Another sentinel watches this master too.
    pub(super) fn meet(&mut self, name: &str, runid: RunId, addr: Addr, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        if runid == self.seen.me.runid || addr == self.seen.me.addr {
            return;
        }
        let Some(watched) = self.masters.get_mut(name) else { return };
        // One address is one sentinel: with another run id it was installed anew.
        let gone: Vec<RunId> =
            self.peers.iter().filter(|(id, peer)| **id != runid && peer.addr == addr).map(|(id, _)| *id).collect();
        let timing = watched.timing();
        let new = watched.sentinels.insert(runid);
        let text = watched.describe_sentinel(&runid, &addr);
        for id in gone {
            self.peers.remove(&id);
            self.masters.values_mut().for_each(|watched| {
                watched.sentinels.remove(&id);
            });
        }
        let timing = Timing { reboot_down_after: Millis(0), ..timing };
        let peer = self.peers.entry(runid).or_insert_with(|| PeerSeen {
            runid,
            addr: addr.clone(),
            member: None,
            observation: Observation::new(Kind::Sentinel, timing, now),
            asking: false,
            again: false,
            hello_at: now,
            masters: BTreeSet::new(),
        });
        peer.hello_at = now;
        peer.masters.insert(name.to_owned());
        let moved = peer.addr != addr;
        if moved {
            peer.addr = addr.clone();
        }
        if new {
            self.event(Level::Notice, "+sentinel", text, out);
        } else if moved {
            let text = format!("{text} ip {} port {} for {runid}", addr.host, addr.port);
            self.event(Level::Notice, "+sentinel-address-switch", text, out);
        }
        if new || moved {
            self.dirty = true;
            self.tell_now = true;
        }
        let effects = self.founding.step(now, founding::Event::Hello { runid, addr });
        if !effects.is_empty() {
            out.push(Effect::Founding(effects));
        }
    }

    // ---- talking to other sentinels

    fn tell_all(&mut self, out: &mut Vec<Effect>) {
        let runids: Vec<RunId> = self.peers.keys().copied().collect();
        for runid in runids {
            self.tell(runid, out);
        }
    }

    fn tell(&mut self, runid: RunId, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&runid) else { return };
        if peer.asking {
            peer.again = true;
            return;
        }
        (peer.asking, peer.again) = (true, false);
        peer.observation.step(self.clock.mono, observation::Event::PingSent);
        let addr = peer.addr.clone();
        let (from, boot, opinions) = self.own_opinions();
        let message = PeerMessage::Opinions { from, boot, opinions };
        match failover::encode(&message) {
            Ok(bytes) => out.push(Effect::Tell { runid, addr, bytes }),
            Err(why) => self.log(Level::Warning, format!("opinions cannot be written: {why}"), out),
        }
    }

    fn own_opinions(&mut self) -> (Peer, BootId, Vec<failover::Opinion>) {
        let wall_minus_mono = self.clock.wall - self.clock.mono;
        let opinions = self.seen.opinions(&self.registry, wall_minus_mono);
        let Me { member, runid, addr, boot } = self.seen.me.clone();
        (Peer { member, runid, addr }, boot, opinions)
    }

    fn told(&mut self, runid: RunId, asked: Millis, answer: Option<Vec<u8>>, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let Some(peer) = self.peers.get_mut(&runid) else { return };
        peer.asking = false;
        let again = peer.again;
        let answer = answer.and_then(|bytes| failover::decode::<PeerAnswer>(&bytes).ok());
        if answer.is_some() {
            peer.observation.step(now, observation::Event::LinkUp);
            let change = peer.observation.step(now, observation::Event::Replied(PingReply::Pong));
            self.peer_changed(runid, change, out);
        } else {
            peer.observation.step(now, observation::Event::LinkBroken);
        }
        if let Some(PeerAnswer::Opinions { from, boot: _, opinions }) = answer {
            self.opined(&from, opinions, asked);
        }
        if again {
            self.tell(runid, out);
        }
    }

    fn opined(&mut self, from: &Peer, opinions: Vec<failover::Opinion>, renewed: Millis) {
        self.seen.heard.insert(from.member, self.clock.mono);
        if let Some(peer) = self.peers.get_mut(&from.runid) {
            peer.member = Some(from.member);
        }
        if opinions.iter().any(|opinion| opinion.down) || self.masters.values().any(|w| w.odown.is_some()) {
            self.look_now = true;
        }
        for opinion in opinions {
            self.seen.opined(opinion, renewed);
        }
    }

    /// Another sentinel says something beside Raft.
    pub fn heard(&mut self, clock: Clock, bytes: &[u8], out: &mut Vec<Effect>) -> Heard {
        self.clock = clock;
        let answer = match failover::decode::<PeerMessage>(bytes) {
            Err(why) => {
                self.log(Level::Warning, format!("a message of another sentinel is unreadable: {why}"), out);
                PeerAnswer::NotNow
            }
            Ok(PeerMessage::Letter(letter)) => {
                let effects = self.founding.step(clock.mono, founding::Event::Heard(letter));
                if !effects.is_empty() {
                    out.push(Effect::Founding(effects));
                }
                PeerAnswer::Taken
            }
            Ok(PeerMessage::Opinions { from, boot: _, opinions }) => {
                self.opined(&from, opinions, clock.mono);
                let (from, boot, opinions) = self.own_opinions();
                PeerAnswer::Opinions { from, boot, opinions }
            }
            Ok(PeerMessage::Join { from, boot }) => {
                if self.founding.group().is_none() {
                    PeerAnswer::NotNow
                } else {
                    let Peer { member, runid, addr } = from.clone();
                    return Heard::Join(from, Entry::Join { member, runid, addr, boot, at: clock.wall });
                }
            }
        };
        self.settle(out);
        Heard::Now(failover::encode(&answer).unwrap_or_default())
    }

    /// The answer to one who asked to be taken in.
    pub fn joined(&self, agreed: bool) -> Vec<u8> {
        let answer = match self.founding.group() {
            Some(group) if agreed => PeerAnswer::Joined { group },
            _ => PeerAnswer::NotNow,
        };
        failover::encode(&answer).unwrap_or_default()
    }

    /// The question to a member, by which this sentinel asks to be taken in.
    pub fn ask_to_join(&self) -> Vec<u8> {
        let Me { member, runid, addr, boot } = self.seen.me.clone();
        failover::encode(&PeerMessage::Join { from: Peer { member, runid, addr }, boot }).unwrap_or_default()
    }

    // ---- telling people

    /// An event: a line of the log, and a message for subscribers of its channel.
    pub(super) fn event(&self, level: Level, channel: &str, text: String, out: &mut Vec<Effect>) {
        let mut messages: Vec<(ClientId, Vec<u8>)> = Vec::new();
        self.clients.publish(channel, &text, &mut messages);
        out.push(Effect::Log(level, format!("{channel} {text}")));
        out.extend(messages.into_iter().map(|(client, bytes)| Effect::Deliver { client, bytes }));
    }

    pub(super) fn log(&self, level: Level, text: String, out: &mut Vec<Effect>) {
        out.push(Effect::Log(level, text));
    }

    /// Brings the settings up to date with what is known, for the file.
    pub(super) fn sync_config(&mut self) {
        let sentinel = &mut self.config.sentinel;
        sentinel.myid = Some(self.seen.me.runid);
        sentinel.current_epoch = sentinel.current_epoch.max(self.registry.epoch);
        let order: Vec<String> = sentinel.masters.iter().map(|master| master.name.clone()).collect();
        let mut names: Vec<&String> = self.masters.keys().collect();
        names.sort_by_key(|name| order.iter().position(|known| known == *name).unwrap_or(usize::MAX));
        sentinel.masters = names
            .into_iter()
            .filter_map(|name| self.masters.get(name))
            .map(|watched| {
                let mut config = watched.config.clone();
                (config.ip, config.port) = (watched.addr.host.clone(), watched.addr.port);
                (config.config_epoch, config.leader_epoch) = (watched.epoch, watched.epoch.max(config.leader_epoch));
                let replica = |node: &Instance| KnownReplica { ip: node.addr.host.clone(), port: node.addr.port };
                config.known_replicas = watched.replicas().map(replica).collect();
                let known = |runid: &RunId| {
                    let addr = &self.peers.get(runid)?.addr;
                    Some(KnownSentinel { ip: addr.host.clone(), port: addr.port, runid: *runid })
                };
                config.known_sentinels = watched.sentinels.iter().filter_map(known).collect();
                config
            })
            .collect();
    }

    pub fn lookup_is_local(&self) -> bool {
        self.config.sentinel.lookup == Lookup::Local || self.founding.group().is_none()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.config.sentinel.current_epoch.max(self.registry.epoch)
    }

    /// The masters by name, for the process' own words.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.masters.keys()
    }

    /// The group that this sentinel belongs to.
    pub fn group(&self) -> Option<GroupId> {
        self.founding.group()
    }

    /// Where this sentinel says it is.
    pub fn me(&self) -> &Me {
        &self.seen.me
    }
}

fn rules(config: &Config) -> Rules {
    let sentinel = &config.sentinel;
    Rules {
        quorum_max: sentinel.masters.iter().map(|master| master.quorum).max().unwrap_or(0),
        group_size: (sentinel.group_size > 0).then_some(sentinel.group_size),
        settle: SETTLE_MS,
    }
}

/// How often a node is asked for INFO: every second while something is wrong with its master or its link.
pub(super) fn info_period(watched: &Watched, node: &Instance) -> Millis {
    let master_down = watched.master().is_none_or(|master| master.observation.is_down());
    let link_down = node.facts.as_ref().is_none_or(|facts| {
        node.addr != watched.addr
            && !matches!(&facts.role, Role::Replica { link: MasterLink::Up, master } if *master == watched.addr)
    });
    let urgent = master_down || link_down || watched.odown.is_some() || watched.failing_over.is_some();
    if urgent { INFO_URGENT_MS } else { INFO_PERIOD_MS }
}

/// How long to wait before `moves` is asked again while something is unfinished.
pub(super) const fn look_pause(busy: bool) -> Millis {
    if busy { LOOK_MS } else { Millis(1_000) }
}
