//! From the moves of the failover core to effects.

use super::event::{Effect, Level};
use super::instance::{Instance, Reconf};
use super::monitor::{Monitor, look_pause};
use crate::base::Millis;
use crate::failover::{self, Alarm, Applied, Change, Entry, Move, Order};

/// How long SENTINEL FAILOVER may take to become a pick of the group.
const FORCED_PATIENCE_MS: Millis = Millis(5_000);

impl Monitor {
    /// Asks what is to be done now, and does it.
    pub(super) fn look(&mut self, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        self.look_due = now + look_pause(false);
        if self.founding.group().is_none() {
            return;
        }
        self.want();
        for (name, addr) in self.known_nodes() {
            self.mirror(&name, &addr);
        }
        self.seen.notice(&self.registry, now);
        self.judge_odown(out);
        self.tell_of_stuck(out);
        self.end_forced(out);
        self.name_replicas(out);
        self.seen.raft.changing = self.changing || now < self.change_not_before;
        let moves = self.wise_moves();
        let busy = !moves.is_empty() || self.masters.values().any(|w| w.odown.is_some() || w.failing_over.is_some());
        self.look_due = now + look_pause(busy);
        let mut orders = Vec::new();
        for what in moves {
            match what {
                Move::Propose(entry) => self.propose(entry, out),
                Move::Ask { name, node } => {
                    self.seen.node(&name, &node).asked = Some(now);
                    self.ask_info(&name, &node, None, out);
                }
                order @ Move::Order { .. } => orders.push(order),
                Move::Voters(change) => {
                    if !std::mem::replace(&mut self.changing, true) {
                        let (Change::AddLearner(member) | Change::Promote(member) | Change::Remove(member)) = change;
                        let node = self.registry.members.get(&member).map(|m| (m.addr.clone(), m.runid));
                        out.push(Effect::Member { change, node });
                    }
                }
                Move::Alarm(alarm) => self.alarm(&alarm, out),
            }
        }
        if !orders.is_empty() && self.linearizing.is_none() {
            self.linearizing = Some((self.version, orders));
            out.push(Effect::Linearize);
        }
    }

    fn wise_moves(&self) -> Vec<Move> {
        let mut moves = failover::moves(&self.registry, &self.seen, self.clock.mono, self.clock.wall);
        // Before the log is replayed to its end the registry is of another time; but the group has to know where this
        // sentinel is now, or the rest of the log may never come.
        if !self.caught_up {
            moves.retain(|what| matches!(what, Move::Propose(Entry::Join { .. })));
        }
        moves.retain(|what| match what {
            Move::Order { name, .. } | Move::Propose(Entry::Picked { name, .. }) => !self.is_contested(name),
            _ => true,
        });
        moves
    }

    fn known_nodes(&self) -> Vec<(String, failover::Addr)> {
        let nodes = |(name, master): (&String, &failover::Master)| {
            master.nodes().map(|addr| (name.clone(), addr.clone())).collect::<Vec<_>>()
        };
        self.registry.masters.iter().filter(|(name, _)| self.masters.contains_key(*name)).flat_map(nodes).collect()
    }

    /// Masters that this sentinel watches and the group does not know it to.
    fn want(&mut self) {
        let me = self.seen.me.member;
        for (name, watched) in &self.masters {
            let observed = self.registry.masters.get(name).is_some_and(|master| master.observers.contains(&me));
            if !observed && !self.seen.wanted.contains_key(name) {
                self.seen.wanted.insert(name.clone(), (watched.addr.clone(), watched.settings()));
            }
        }
    }

    /// Nodes that follow the agreed master, or one that it replaced, although the group does not know them: the master
    /// may have died before it named them to anybody, and a new one does not know them.
    fn name_replicas(&mut self, out: &mut Vec<Effect>) {
        let mut found = Vec::new();
        for (name, watched) in &self.masters {
            let Some(master) = self.registry.masters.get(name) else { continue };
            let down = watched.master().is_none_or(|node| node.observation.is_down());
            if !self.caught_up || !(down || self.seen.leads()) || master.addr != watched.addr {
                continue;
            }
            for node in watched.replicas().filter(|node| !master.replicas.contains_key(&node.addr)) {
                let Some(facts) = &node.facts else { continue };
                let Some(followed) = facts.follows() else { continue };
                if master.nodes().any(|known| known == followed) {
                    let (addr, runid) = (node.addr.clone(), facts.runid);
                    let linked = facts.is_linked() && *followed == master.addr;
                    found.push(Entry::ReplicaSeen { name: name.clone(), epoch: master.epoch, addr, runid, linked });
                }
            }
        }
        for entry in found {
            self.propose(entry, out);
        }
    }

    fn judge_odown(&mut self, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let mut events = Vec::new();
        for (name, watched) in &mut self.masters {
            let (down, count) = self.seen.odown(&self.registry, name, now);
            let down = down && watched.master().is_some_and(|master| master.observation.is_down());
            match (watched.odown, down) {
                (None, true) => {
                    watched.odown = Some(now);
                    let text = format!("{} #quorum {count}/{}", watched.describe(&watched.addr), watched.config.quorum);
                    events.push((name.clone(), "+odown", text));
                }
                (Some(_), false) => {
                    watched.odown = None;
                    events.push((name.clone(), "-odown", watched.describe(&watched.addr)));
                }
                _ => {}
            }
        }
        for (name, channel, text) in events {
            self.event(Level::Warning, channel, &name, text, out);
        }
    }

    pub(super) fn propose(&mut self, entry: Entry, out: &mut Vec<Effect>) {
        let slot = entry.slot();
        if self.proposing.insert(slot.clone()) {
            out.push(Effect::Propose { slot, entry });
        }
    }

    pub(super) fn proposed(
        &mut self,
        slot: &(u8, String),
        entry: &Entry,
        outcome: Result<Applied, String>,
        out: &mut Vec<Effect>,
    ) {
        self.proposing.remove(slot);
        match outcome {
            Err(why) => self.log(Level::Debug, format!("not agreed: {entry}: {why}"), out),
            Ok(Applied::Stale(why)) => self.log(Level::Debug, format!("too late: {entry}: {why}"), out),
            Ok(Applied::Conflict { addr }) => {
                if let Entry::Monitor { name, settings, .. } = entry {
                    let text = format!(
                        "the group agreed that master {name} is at {addr}; the file of this sentinel is brought up to date"
                    );
                    self.log(Level::Warning, text, out);
                    self.seen.wanted.insert(name.clone(), (addr, *settings));
                }
            }
            Ok(Applied::Done(_) | Applied::Same) => {}
        }
        self.look_now = true;
    }

    /// A read-index is there: the orders that were thought of before it leave, if they are still right.
    pub(super) fn linearized(&mut self, ok: bool, out: &mut Vec<Effect>) {
        let Some((version, thought)) = self.linearizing.take() else { return };
        self.look_now = true;
        if !ok || version != self.version {
            return;
        }
        let still = self.wise_moves();
        for what in thought.into_iter().filter(|what| still.contains(what)) {
            let Move::Order { name, node, order } = what else { continue };
            self.tell_of_order(&name, &node, &order, out);
            self.give_order(&name, &node, &order, out);
        }
    }

    /// What Redis calls this order; a repeat of one is not told again.
    fn tell_of_order(&mut self, name: &str, node: &failover::Addr, order: &Order, out: &mut Vec<Effect>) {
        let sent =
            self.seen.masters.get(name).and_then(|seen| seen.nodes.get(node)).and_then(|node| node.sent.as_ref());
        if sent.is_some_and(|sent| sent.order == *order) {
            return;
        }
        let Some(watched) = self.masters.get(name) else { return };
        let text = watched.describe(node);
        let deposed = self.registry.masters.get(name).and_then(|master| master.last_promotion());
        let after_failover = deposed.is_some_and(|promotion| promotion.epoch == watched.epoch);
        let told = |node: &Instance| node.reconf.is_some_and(|(epoch, _)| epoch == watched.epoch);
        let first = !watched.nodes.get(node).is_some_and(told);
        let channel = match order {
            Order::Promote { .. } => "+failover-state-wait-promotion",
            Order::Fence { .. } => return,
            Order::Follow { .. } if self.claims_master(name, node) => "+convert-to-slave",
            Order::Follow { .. } if after_failover && first => "+slave-reconf-sent",
            Order::Follow { .. } => "+fix-slave-config",
        };
        let reconf = (watched.epoch, Reconf::Sent);
        if channel == "+slave-reconf-sent"
            && let Some(node) = self.instance(name, node)
        {
            node.reconf = Some(reconf);
        }
        self.event(Level::Notice, channel, name, text, out);
    }

    /// SENTINEL FAILOVER that has come to nothing: its flag would otherwise answer `-INPROG` for good.
    fn end_forced(&mut self, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let mut ended = Vec::new();
        for (name, watched) in &self.masters {
            let Some(seen) = self.seen.masters.get_mut(name) else { continue };
            let patience = FORCED_PATIENCE_MS.min(watched.config.failover_timeout);
            if seen.forced.is_some_and(|at| now.since(at) > patience) {
                seen.forced = None;
                let nobody = failover::may_force(&self.registry, &self.seen, name, now).is_err();
                let channel = if nobody { "-failover-abort-no-good-slave" } else { "-failover-abort-not-elected" };
                ended.push((name.clone(), channel, watched.describe(&watched.addr)));
            }
        }
        for (name, channel, text) in ended {
            self.event(Level::Warning, channel, &name, text, out);
        }
    }

    /// A master that is down, and nobody to take its place: told once in a failover-timeout.
    fn tell_of_stuck(&mut self, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let mut found = Vec::new();
        for (name, watched) in &mut self.masters {
            let said = watched.stuck.is_some_and(|at| now.since(at) < watched.config.failover_timeout);
            if watched.odown.is_none() {
                watched.stuck = None;
            } else if !said && failover::is_stuck(&self.registry, &self.seen, name, now) {
                watched.stuck = Some(now);
                found.push((name.clone(), watched.describe(&watched.addr)));
            }
        }
        for (name, text) in found {
            self.event(Level::Warning, "-failover-abort-no-good-slave", &name, text, out);
        }
    }

    fn alarm(&mut self, alarm: &Alarm, out: &mut Vec<Effect>) {
        let Alarm::ForeignGroup { name, node, group } = alarm;
        let text =
            format!("{node} of master {name} obeys another group of sentinels, {group}: it gets no orders from here");
        if self.alarms.insert(text.clone()) {
            self.log(Level::Warning, text, out);
        }
    }
}
