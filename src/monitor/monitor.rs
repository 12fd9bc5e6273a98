//! The sentinel's local state, and what each event does to it.

use super::clients::{ClientId, Clients};
use super::config_commands::Simulated;
use super::event::{Effect, Event, Level, LinkId, LinkKind};
use super::hosts::Hosts;
use super::instance::{INFO_URGENT_MS, Instance, Reconf};
use super::peers::PeerSeen;
use super::periods::Periods;
use super::scripts::Scripts;
use super::watched::Watched;
use crate::base::{Epoch, Millis, RunId};
use crate::config::{Config, KnownReplica, KnownSentinel, Lookup};
use crate::failover::facts::{Facts, MasterLink, Role};
use crate::failover::founding::{self, Founding, HELLO_PERIOD_MS, Peer, Rules, SETTLE_MS, Saved};
use crate::failover::observation::{self, Pulse, STALL_MS};
use crate::failover::{self, Addr, GroupId, LOOK_MS, Me, Registry, Seen};
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
    pub(super) next_link: LinkId,
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
    pub(super) scripts: Scripts,
    pub(super) periods: Periods,
    pub(super) hosts: Hosts,
    pub(super) simulated: Simulated,
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
            scripts: Scripts::default(),
            periods: Periods::default(),
            hosts: Hosts::default(),
            simulated: Simulated::default(),
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
        next = next.min(self.scripts.next_deadline(&self.periods));
        for watched in self.masters.values() {
            for node in watched.nodes.values() {
                next = next.min(node.observation.next_deadline().unwrap_or(Millis::NEVER));
                if node.command.conn.is_some() {
                    let info = node.info_sent + info_period(&self.periods, watched, node);
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
        self.wake(clock, out);
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
            event @ (Event::ScriptStarted { .. } | Event::ScriptEnded { .. }) => self.script_event(event, out),
            Event::Moved { addr } => self.moved(addr),
            Event::Resolved { host, ip } => self.looked_up(&host, ip, out),
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
        self.run_scripts(out);
    }

    /// SENTINEL DEBUG set a span: what was counted with the old one is due now.
    pub(super) fn periods_changed(&mut self) {
        let now = self.clock.mono;
        self.tell_due = now;
        for node in self.masters.values_mut().flat_map(|watched| watched.nodes.values_mut()) {
            (node.next_ping, node.next_hello) = (now, now);
        }
    }

    /// What every entrance begins with. After a pause of this process whatever was taken in first would otherwise be
    /// held against nodes that were fine, or count opinions that lay in the sockets.
    pub(super) fn wake(&mut self, clock: Clock, out: &mut Vec<Effect>) {
        self.clock = clock;
        if clock.mono.since(self.pulse_due) > STALL_MS {
            self.beat(out);
        }
    }

    fn beat(&mut self, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let before = self.pulse.tilt_since().is_some();
        if self.pulse.tick(now, self.pulse_due) {
            self.seen.stalled(now);
            let nodes = self.masters.values_mut().flat_map(|watched| watched.nodes.values_mut());
            let all = nodes.map(|node| &mut node.observation);
            for observation in all.chain(self.peers.values_mut().map(|peer| &mut peer.observation)) {
                observation.step(now, observation::Event::Stalled);
            }
            self.event(Level::Warning, "+tilt", "", "#tilt mode entered".to_owned(), out);
            self.log(Level::Warning, "this process stood still; silences are counted anew".to_owned(), out);
        } else if before && self.pulse.tilt_since().is_none() {
            self.event(Level::Warning, "-tilt", "", "#tilt mode exited".to_owned(), out);
        }
        self.pulse_due = now + PULSE_MS;
    }

    fn tick(&mut self, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        if now >= self.pulse_due {
            self.beat(out);
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
            self.tell_due = now + self.periods.ask;
            self.tell_now = true;
            self.knock(out);
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
        let ping_period = self.periods.ping.min(watched.config.down_after);
        let Some(node) = watched.nodes.get(addr) else { return };
        let info_due = now >= node.info_sent + info_period(&self.periods, watched, node);
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
        self.event(level, channel, name, watched.describe(addr), out);
        self.look_now = true;
        if self.masters.get(name).is_some_and(|watched| watched.addr == *addr) {
            self.tell_now = true;
        }
    }

    pub(super) fn peer_changed(&mut self, runid: RunId, change: observation::Change, out: &mut Vec<Effect>) {
        let channel = match change {
            observation::Change::Down => "+sdown",
            observation::Change::Up => "-sdown",
            _ => return,
        };
        let Some(peer) = self.peers.get(&runid) else { return };
        let texts: Vec<(String, String)> = self
            .masters
            .iter()
            .filter(|(_, watched)| watched.sentinels.contains(&runid))
            .map(|(name, watched)| (name.clone(), watched.describe_sentinel(&runid, &peer.addr)))
            .collect();
        for (name, text) in texts {
            self.event(Level::Warning, channel, &name, text, out);
        }
    }

    // ---- telling people

    /// An event: a line of the log, and a message for subscribers of its channel.
    /// `name`: the master that it is about, whose notification script hears of it when it is a warning; empty for none.
    pub(super) fn event(&mut self, level: Level, channel: &str, name: &str, text: String, out: &mut Vec<Effect>) {
        if level == Level::Warning
            && let Some(script) = self.masters.get(name).and_then(|watched| watched.config.notification_script.clone())
        {
            self.scripts.add(self.clock.mono, vec![script, channel.to_owned(), text.clone()]);
        }
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

pub(super) fn rules(config: &Config) -> Rules {
    let sentinel = &config.sentinel;
    Rules {
        quorum_max: sentinel.masters.iter().map(|master| master.quorum).max().unwrap_or(0),
        group_size: (sentinel.group_size > 0).then_some(sentinel.group_size),
        settle: SETTLE_MS,
    }
}

/// How often a node is asked for INFO: every second while something is wrong with its master or its link, and often while
/// it goes over to a new master, since the next ones wait until it has (`parallel-syncs`), or is a master that
/// reads its data.
pub(super) fn info_period(periods: &Periods, watched: &Watched, node: &Instance) -> Millis {
    let master_down = watched.master().is_none_or(|master| master.observation.is_down());
    let link_down = node.facts.as_ref().is_none_or(|facts| {
        node.addr != watched.addr
            && !matches!(&facts.role, Role::Replica { link: MasterLink::Up, master } if *master == watched.addr)
    });
    let goes_over = matches!(node.reconf, Some((epoch, Reconf::Sent | Reconf::InProgress)) if epoch == watched.epoch);
    let urgent = master_down || link_down || watched.odown.is_some() || watched.failing_over.is_some();
    let loads = node.facts.as_ref().is_some_and(Facts::loads);
    let awaited = loads && node.facts.as_ref().is_some_and(|facts| facts.role == Role::Master);
    match () {
        () if awaited || goes_over && link_down => LOOK_MS.min(periods.info),
        () if urgent || loads => INFO_URGENT_MS.min(periods.info),
        () => periods.info,
    }
}

/// How long to wait before `moves` is asked again while something is unfinished.
pub(super) const fn look_pause(busy: bool) -> Millis {
    if busy { LOOK_MS } else { Millis(1_000) }
}
