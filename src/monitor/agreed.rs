//! What the group agreed, taken over: the master's address, its settings and nodes; and the events that tell of it.
//!
//! While the log is replayed at a start, a registry may be older than the file: a master is taken from it only when its
//! epoch is not below the one that the file names, and what happened on the way is told to nobody.

use super::event::{Effect, Level};
use super::instance::LONG_AGO;
use super::monitor::Monitor;
use crate::base::Epoch;
use crate::failover::facts::Role;
use crate::failover::observation::Kind;
use crate::failover::{Addr, Event as Agreed, Registry, Standing};

impl Monitor {
    pub(super) fn agreed(&mut self, registry: Registry, events: &[Agreed], out: &mut Vec<Effect>) {
        self.registry = registry;
        self.version += 1;
        let me = self.seen.me.member;
        for (at, event) in events.iter().enumerate() {
            match event {
                // It is told as one of the master that the next event is about.
                Agreed::NewEpoch { epoch } if self.caught_up => {
                    let name = events.get(at + 1).and_then(Agreed::master).unwrap_or_default().to_owned();
                    self.event(Level::Warning, "+new-epoch", &name, epoch.to_string(), out);
                    self.dirty = true;
                }
                Agreed::ReplicaRemoved { name, addr } => self.drop_node(name, addr, out),
                Agreed::Unobserved { name, by } if *by == me && self.caught_up && self.masters.contains_key(name) => {
                    self.unwatch(name, out);
                }
                event if self.caught_up => self.tell_of(event, out),
                _ => {}
            }
        }
        self.take_registry(out);
        self.seen.notice(&self.registry, self.clock.mono);
        self.look_now = true;
    }

    /// Brings every watched master to where the registry is.
    pub(super) fn take_registry(&mut self, out: &mut Vec<Effect>) {
        let me = self.seen.me.member;
        let names: Vec<String> = self.masters.keys().cloned().collect();
        for name in names {
            let (Some(master), Some(watched)) = (self.registry.masters.get(&name), self.masters.get_mut(&name)) else {
                continue;
            };
            if !master.observers.contains(&me) || master.epoch < watched.epoch && !self.caught_up {
                continue;
            }
            let master = master.clone();
            let settings = master.settings;
            if watched.settings() != settings {
                watched.config.quorum = settings.quorum;
                watched.config.down_after = settings.down_after;
                watched.config.failover_timeout = settings.failover_timeout;
                watched.config.parallel_syncs = settings.parallel_syncs;
                self.dirty = true;
                self.retime(&name);
            }
            let Some(watched) = self.masters.get_mut(&name) else { continue };
            if watched.epoch != master.epoch {
                watched.epoch = master.epoch;
                self.dirty = true;
            }
            if watched.addr != master.addr {
                self.switch(&name, &master.addr, master.epoch, out);
            }
            for addr in master.replicas.keys() {
                self.add_node(&name, addr, out);
            }
            // The duties count facts that were read in the present epoch only: they are asked for at once.
            if let Some(watched) = self.masters.get_mut(&name).filter(|w| w.asked_in != Some(master.epoch)) {
                watched.asked_in = Some(master.epoch);
                watched.nodes.values_mut().for_each(|node| node.info_sent = LONG_AGO);
            }
            let now = self.clock.mono;
            let Some(watched) = self.masters.get_mut(&name) else { continue };
            watched.failing_over = master.pick().map(|_| watched.failing_over.unwrap_or(now));
            watched.picked = master.pick().map(|pick| pick.node.clone());
            watched.forced = master.pick().is_some_and(|pick| pick.forced);
            for member in master.observers.iter().filter(|member| **member != me) {
                let Some(record) = self.registry.members.get(member) else { continue };
                if record.standing == Standing::Here {
                    let (runid, addr) = (record.runid, record.addr.clone());
                    if self.peers.get(&runid).is_none_or(|peer| !peer.masters.contains(&name)) {
                        self.meet(&name, runid, addr, out);
                    }
                }
            }
            for addr in master.nodes() {
                self.mirror(&name, addr);
            }
        }
    }

    pub(super) fn retime(&mut self, name: &str) {
        let Some(watched) = self.masters.get_mut(name) else { return };
        let timing = watched.timing();
        for node in watched.nodes.values_mut() {
            node.observation.set_timing(timing);
        }
        for peer in self.peers.values_mut().filter(|peer| peer.masters.contains(name)) {
            peer.observation.set_timing(timing);
        }
    }

    /// The master is another one.
    pub(super) fn switch(&mut self, name: &str, to: &Addr, epoch: Epoch, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let Some(watched) = self.masters.get_mut(name) else { return };
        let from = watched.addr.clone();
        (watched.addr, watched.epoch) = (to.clone(), epoch);
        (watched.odown, watched.failing_over, watched.picked) = (None, None, None);
        let text = format!("{name} {} {} {} {}", from.host, from.port, to.host, to.port);
        self.event(Level::Warning, "+switch-master", name, text, out);
        self.add_node(name, to, out);
        let Some(watched) = self.masters.get_mut(name) else { return };
        for node in watched.nodes.values_mut() {
            let kind = if node.addr == *to { Kind::Master } else { Kind::Replica };
            node.kind = kind;
            node.observation.set_kind(kind, now);
            node.info_sent = LONG_AGO;
            node.next_hello = now;
        }
        let replicas: Vec<(String, bool)> =
            watched.replicas().map(|node| (watched.describe(&node.addr), node.observation.is_down())).collect();
        for (text, down) in replicas {
            self.event(Level::Notice, "+slave", name, text.clone(), out);
            if down {
                self.event(Level::Warning, "+sdown", name, text, out);
            }
        }
        self.dirty = true;
    }

    /// Redis' events for one that was agreed.
    fn tell_of(&mut self, event: &Agreed, out: &mut Vec<Effect>) {
        let me = self.seen.me.member;
        match event {
            Agreed::Picked { name, epoch, node, executor, .. } => {
                let Some(watched) = self.masters.get(name) else { return };
                let (master, slave) = (watched.describe(&watched.addr), watched.describe(node));
                let runid = self.registry.members.get(executor).map(|member| member.runid);
                let vote = format!("{} {epoch}", runid.unwrap_or(self.seen.me.runid));
                if *executor != me {
                    self.event(Level::Warning, "+vote-for-leader", name, vote, out);
                    return;
                }
                self.event(Level::Warning, "+try-failover", name, master.clone(), out);
                self.event(Level::Warning, "+vote-for-leader", name, vote, out);
                self.event(Level::Warning, "+elected-leader", name, master.clone(), out);
                if self.simulated.after_election {
                    out.push(Effect::Crash);
                }
                self.event(Level::Warning, "+failover-state-select-slave", name, master, out);
                self.event(Level::Warning, "+selected-slave", name, slave.clone(), out);
                self.event(Level::Notice, "+failover-state-send-slaveof-noone", name, slave, out);
            }
            Agreed::SwitchMaster { name, to, epoch, executor, .. } => {
                let Some(watched) = self.masters.get(name).filter(|watched| watched.epoch < *epoch) else { return };
                let (master, slave) = (watched.describe(&watched.addr), watched.describe(to));
                let (from, odown) = (watched.addr.clone(), watched.odown.is_some());
                if *executor == me {
                    self.event(Level::Warning, "+promoted-slave", name, slave, out);
                    if self.simulated.after_promotion {
                        out.push(Effect::Crash);
                    }
                    self.event(Level::Warning, "+failover-state-reconf-slaves", name, master.clone(), out);
                    if odown {
                        self.event(Level::Warning, "-odown", name, master.clone(), out);
                    }
                    self.event(Level::Warning, "+failover-end", name, master, out);
                } else if let Some(record) = self.registry.members.get(executor) {
                    let text = watched.describe_sentinel(&record.runid, &record.addr);
                    self.event(Level::Warning, "+config-update-from", name, text, out);
                }
                if self.registry.masters.get(name).is_some_and(|master| master.observers.contains(&me)) {
                    self.switch(name, to, *epoch, out);
                    self.reconfigure_clients(name, *executor == me, &from, to);
                }
            }
            Agreed::GaveUp { name, why, .. } => {
                let Some(watched) = self.masters.get(name) else { return };
                let text = watched.describe(&watched.addr);
                self.log(Level::Warning, format!("the failover of {name} was given up: {why}"), out);
                self.event(Level::Warning, "-failover-abort-slave-timeout", name, text, out);
            }
            Agreed::MemberJoined { member, runid, addr } => {
                self.log(
                    Level::Notice,
                    format!("sentinel {runid} at {addr} joined the group as member {member:x}"),
                    out,
                );
            }
            Agreed::MemberMoved { runid, from, to, .. } => {
                self.log(Level::Notice, format!("sentinel {runid} of the group moved from {from} to {to}"), out);
            }
            Agreed::MemberLeft { member, runid, addr } => {
                self.log(Level::Notice, format!("sentinel {runid} at {addr}, member {member:x}, left the group"), out);
            }
            Agreed::TakenOver { name, executor, .. } => {
                let text = format!("the failover of {name} is taken over by member {executor:x}");
                self.log(Level::Notice, text, out);
            }
            _ => {}
        }
    }

    /// Whether a replica reports that it is a master, for `+convert-to-slave`.
    pub(super) fn claims_master(&self, name: &str, addr: &Addr) -> bool {
        let node = self.masters.get(name).and_then(|watched| watched.nodes.get(addr));
        node.and_then(|node| node.facts.as_ref()).is_some_and(|facts| facts.role == Role::Master)
    }
}
