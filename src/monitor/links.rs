//! The links to nodes: what is sent on them, and what their replies say.
//!
//! A reply belongs to the oldest command without one on the same connection. Replies that come from a connection that
//! is over already are dropped.

use super::event::{Effect, Level, LinkId, LinkKind};
use super::instance::{Instance, LONG_AGO, PENDING_MAX, Pending, Reconf};
use super::monitor::Monitor;
use crate::base::Millis;
use crate::config::MasterConfig;
use crate::failover::facts::{Facts, Loading, Role};
use crate::failover::hello::Hello;
use crate::failover::observation::{self, PingReply};
use crate::failover::{Addr, Answer, Order, Refusal};
use crate::resp::{self, Frame};

/// The channel by which sentinels find each other.
pub const HELLO_CHANNEL: &str = "__sentinel__:hello";

/// What an order takes on its link: a transaction of six commands, and INFO.
const ORDER_COMMANDS: usize = 7;

type Words = Vec<Vec<u8>>;

impl Monitor {
    /// What every connection of a link begins with: AUTH, and the name that CLIENT LIST shows.
    pub(super) fn greeting(&self, config: &MasterConfig, kind: LinkKind) -> Vec<Words> {
        let mut greeting = Vec::new();
        match (&config.auth_user, &config.auth_pass) {
            (Some(user), Some(pass)) => {
                greeting.push(vec![renamed(config, "AUTH"), user.clone().into(), pass.clone().into()])
            }
            (None, Some(pass)) => greeting.push(vec![renamed(config, "AUTH"), pass.clone().into()]),
            _ => {}
        }
        let what = match kind {
            LinkKind::Command => "cmd",
            LinkKind::PubSub => "pubsub",
        };
        let myid = self.seen.me.runid.to_string();
        let name = format!("sentinel-{}-{what}", &myid[..8]);
        greeting.push(vec![renamed(config, "CLIENT"), b"SETNAME".to_vec(), name.into()]);
        greeting
    }

    fn link(&mut self, link: LinkId) -> Option<(String, Addr, LinkKind)> {
        self.links.get(&link).cloned()
    }

    pub(super) fn instance(&mut self, name: &str, addr: &Addr) -> Option<&mut Instance> {
        self.masters.get_mut(name)?.nodes.get_mut(addr)
    }

    pub(super) fn link_up(&mut self, link: LinkId, conn: u64, out: &mut Vec<Effect>) {
        let Some((name, addr, kind)) = self.link(link) else { return };
        let now = self.clock.mono;
        let Some(node) = self.instance(&name, &addr) else { return };
        match kind {
            LinkKind::Command => {
                node.command.conn = Some(conn);
                node.command.pending.clear();
                node.info_sent = LONG_AGO;
                (node.next_ping, node.next_hello) = (now, now);
                let change = node.observation.step(now, observation::Event::LinkUp);
                self.node_changed(&name, &addr, change, out);
                self.ping(&name, &addr, out);
                self.ask_info(&name, &addr, None, out);
                if let Some(node) = self.instance(&name, &addr) {
                    node.next_ping = now + super::instance::PING_PERIOD_MS;
                }
                self.say_hello(&name, &addr, out);
                self.look_now = true;
            }
            LinkKind::PubSub => {
                node.pubsub.conn = Some(conn);
                node.heard_pubsub = now;
                let Some(watched) = self.masters.get(&name) else { return };
                let words = [renamed(&watched.config, "SUBSCRIBE"), HELLO_CHANNEL.into()];
                out.push(Effect::Send { link, conn, bytes: encode(&words) });
            }
        }
    }

    pub(super) fn link_down(&mut self, link: LinkId, out: &mut Vec<Effect>) {
        let Some((name, addr, kind)) = self.link(link) else { return };
        let now = self.clock.mono;
        let Some(node) = self.instance(&name, &addr) else { return };
        if kind == LinkKind::PubSub {
            node.pubsub.conn = None;
            return;
        }
        if node.command.conn.take().is_none() {
            return;
        }
        let change = node.observation.step(now, observation::Event::LinkBroken);
        let lost: Vec<Order> = node
            .command
            .pending
            .drain(..)
            .filter_map(|pending| match pending {
                Pending::Exec { order } => Some(order),
                _ => None,
            })
            .collect();
        for order in lost {
            self.seen.answered(&name, &addr, &order, Answer::Lost);
        }
        self.node_changed(&name, &addr, change, out);
        self.look_now = true;
    }

    /// Sends one command, if the link is up and not clogged.
    fn send(&mut self, name: &str, addr: &Addr, words: &[Vec<u8>], pending: Pending, out: &mut Vec<Effect>) -> bool {
        let Some(node) = self.instance(name, addr) else { return false };
        let Some(conn) = node.command.conn.filter(|_| node.command.pending.len() < PENDING_MAX) else { return false };
        node.command.pending.push_back(pending);
        out.push(Effect::Send { link: node.command.id, conn, bytes: encode(words) });
        true
    }

    fn word(&self, name: &str, command: &str) -> Vec<u8> {
        self.masters.get(name).map_or_else(|| command.into(), |watched| renamed(&watched.config, command))
    }

    pub(super) fn ping(&mut self, name: &str, addr: &Addr, out: &mut Vec<Effect>) {
        let words = [self.word(name, "PING")];
        let now = self.clock.mono;
        if self.send(name, addr, &words, Pending::Ping, out)
            && let Some(node) = self.instance(name, addr)
        {
            node.observation.step(now, observation::Event::PingSent);
        }
    }

    pub(super) fn ask_info(&mut self, name: &str, addr: &Addr, order: Option<Order>, out: &mut Vec<Effect>) {
        let words = [self.word(name, "INFO")];
        let now = self.clock.mono;
        if let Some(node) = self.instance(name, addr) {
            node.info_sent = now;
        }
        self.send(name, addr, &words, Pending::Info { order }, out);
    }

    pub(super) fn say_hello(&mut self, name: &str, addr: &Addr, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let Some(watched) = self.masters.get(name) else { return };
        let hello = Hello {
            addr: self.seen.me.addr.clone(),
            runid: self.seen.me.runid,
            current_epoch: self.epoch(),
            name: name.to_owned(),
            master: watched.addr.clone(),
            config_epoch: watched.epoch,
        };
        let period = self.periods.publish;
        let words = [self.word(name, "PUBLISH"), HELLO_CHANNEL.into(), hello.format().into()];
        if let Some(node) = self.instance(name, addr) {
            node.next_hello = now + period;
        }
        self.send(name, addr, &words, Pending::Publish, out);
    }

    /// Gives an order: in one transaction, as Redis Sentinel does, and INFO right behind it, which is the node's own
    /// word.
    pub(super) fn give_order(&mut self, name: &str, addr: &Addr, order: &Order, out: &mut Vec<Effect>) {
        let target: [Vec<u8>; 2] = match order {
            Order::Promote { .. } => ["NO".into(), "ONE".into()],
            Order::Follow { master, .. } => [master.host.clone().into(), master.port.to_string().into()],
            // Only native nodes know epochs; others have nothing to be fenced by.
            Order::Fence { .. } => return,
        };
        let now = self.clock.mono;
        let Some(node) = self.instance(name, addr) else { return };
        // The whole of it or nothing: half a transaction would be worse than a later one.
        if node.command.conn.is_none() || node.command.pending.len() + ORDER_COMMANDS > PENDING_MAX {
            return;
        }
        node.queue_error = None;
        self.seen.ordered(name, addr, order.clone(), now);
        let [first, second] = target;
        let client = self.word(name, "CLIENT");
        let kill = |kind: &str| vec![client.clone(), "KILL".into(), "TYPE".into(), kind.into()];
        self.send(name, addr, &[self.word(name, "MULTI")], Pending::Other, out);
        self.send(name, addr, &[self.word(name, "SLAVEOF"), first, second], Pending::Queued, out);
        self.send(name, addr, &[self.word(name, "CONFIG"), "REWRITE".into()], Pending::Queued, out);
        self.send(name, addr, &kill("normal"), Pending::Queued, out);
        self.send(name, addr, &kill("pubsub"), Pending::Queued, out);
        self.send(name, addr, &[self.word(name, "EXEC")], Pending::Exec { order: order.clone() }, out);
        self.ask_info(name, addr, Some(order.clone()), out);
    }

    pub(super) fn reply(&mut self, link: LinkId, conn: u64, frame: Frame, out: &mut Vec<Effect>) {
        let Some((name, addr, kind)) = self.link(link) else { return };
        let now = self.clock.mono;
        let Some(node) = self.instance(&name, &addr) else { return };
        if kind == LinkKind::PubSub {
            node.heard_pubsub = now;
            let payload = match frame.items() {
                Some([what, channel, payload]) if what.text() == Some(b"message") => {
                    (channel.text() == Some(HELLO_CHANNEL.as_bytes())).then(|| payload.text()).flatten()
                }
                _ => None,
            };
            if let Some(payload) = payload {
                self.hello(payload, out);
            }
            return;
        }
        if node.command.conn != Some(conn) {
            return;
        }
        let Some(pending) = node.command.pending.pop_front() else { return };
        match pending {
            Pending::Ping => {
                let reply = match &frame {
                    Frame::Error(text) => PingReply::parse(text.as_bytes()),
                    other => other.text().map_or(PingReply::Other, PingReply::parse),
                };
                let change = node.observation.step(now, observation::Event::Replied(reply));
                let down = node.observation.is_down();
                self.mirror(&name, &addr);
                self.node_changed(&name, &addr, change, out);
                if reply == PingReply::Busy && down {
                    let words = [self.word(&name, "SCRIPT"), "KILL".into()];
                    self.send(&name, &addr, &words, Pending::Other, out);
                }
            }
            Pending::Info { order } => match frame.text() {
                Some(text) => {
                    let text = text.to_vec();
                    self.informed(&name, &addr, text, order, out);
                }
                None => {
                    let why = frame.error().unwrap_or("no text").to_owned();
                    self.log(Level::Debug, format!("INFO of {addr} was not answered: {why}"), out);
                }
            },
            Pending::Queued => {
                if let Some(why) = frame.error() {
                    node.queue_error.get_or_insert_with(|| why.to_owned());
                }
            }
            Pending::Exec { order } => self.executed(&name, &addr, &order, &frame, out),
            Pending::Publish | Pending::Other => {}
        }
    }

    /// The reply to EXEC: the order's own reply is its first, and each of the others is looked at too.
    fn executed(&mut self, name: &str, addr: &Addr, order: &Order, frame: &Frame, out: &mut Vec<Effect>) {
        let queue_error = self.instance(name, addr).and_then(|node| node.queue_error.take());
        let failed = |why: &str| match Refusal::parse(why.as_bytes()) {
            Some(refusal) => Answer::Refused(refusal),
            None => Answer::Failed(why.to_owned()),
        };
        let items = frame.items().unwrap_or_default();
        let refusal = match (frame.error(), items.first()) {
            (Some(why), _) => Some(queue_error.unwrap_or_else(|| why.to_owned())),
            (None, Some(first)) => first.error().map(str::to_owned),
            (None, None) => Some("the transaction was not executed".to_owned()),
        };
        let kind = match order {
            Order::Promote { .. } => "SLAVEOF NO ONE",
            _ => "SLAVEOF",
        };
        match refusal {
            Some(why) => {
                self.log(Level::Warning, format!("{addr} did not obey {kind} ({order}): {why}"), out);
                self.seen.answered(name, addr, order, failed(&why));
            }
            None => {
                for why in items.iter().skip(1).filter_map(Frame::error) {
                    self.log(Level::Warning, format!("{addr} obeyed {kind}, but: {why}"), out);
                }
                if let Order::Follow { .. } = order {
                    let obeyed = Answer::Obeyed { offset: crate::base::Offset(0), replid: None };
                    self.seen.answered(name, addr, order, obeyed);
                }
            }
        }
        self.look_now = true;
    }

    /// INFO arrived.
    fn informed(&mut self, name: &str, addr: &Addr, text: Vec<u8>, order: Option<Order>, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let Some(facts) = Facts::parse(&text) else {
            self.log(Level::Debug, format!("INFO of {addr} names no role"), out);
            return;
        };
        let Some(facts) = self.with_addresses(facts, out) else { return };
        let Some(node) = self.instance(name, addr) else { return };
        let is_master = facts.role == Role::Master;
        let before = node.facts.as_ref().map(|facts| facts.role == Role::Master);
        let rebooted = node.runid.is_some() && facts.runid.is_some() && node.runid != facts.runid;
        node.runid = facts.runid.or(node.runid);
        (node.info, node.info_at) = (text, Some(now));
        node.facts = Some(facts.clone());
        if before != Some(is_master) {
            node.role_reported_at = now;
        }
        let change = node.observation.step(
            now,
            observation::Event::Info { is_master, runid: facts.runid, reads_store: facts.loading == Loading::Store },
        );
        if rebooted && change != observation::Change::Rebooted {
            self.node_changed(name, addr, observation::Change::Rebooted, out);
        }
        self.node_changed(name, addr, change, out);
        let Some(watched) = self.masters.get(name) else { return };
        if before.is_some_and(|before| before != is_master) {
            let wanted = (*addr == watched.addr) == is_master;
            let role = if is_master { "master" } else { "slave" };
            let text = format!("{} new reported role is {role}", watched.describe(addr));
            self.event(Level::Verbose, if wanted { "+role-change" } else { "-role-change" }, name, text, out);
        }
        if *addr == self.masters[name].addr && is_master {
            for replica in &facts.replicas {
                self.add_node(name, replica, out);
            }
        }
        self.reconfigured(name, addr, out);
        self.mirror(name, addr);
        if let Some(order @ Order::Promote { .. }) = order
            && is_master
            && !facts.loads()
        {
            self.seen.answered(name, addr, &order, Answer::Obeyed { offset: facts.offset, replid: facts.replid });
        }
        self.look_now = true;
    }

    /// How far a replica is that was told of its new master.
    fn reconfigured(&mut self, name: &str, addr: &Addr, out: &mut Vec<Effect>) {
        let Some(watched) = self.masters.get_mut(name) else { return };
        let (text, master, epoch) = (watched.describe(addr), watched.addr.clone(), watched.epoch);
        let Some(node) = watched.nodes.get_mut(addr) else { return };
        let Some(facts) = node.facts.as_ref().filter(|facts| facts.follows() == Some(&master)) else { return };
        let linked = facts.is_linked();
        let mut told = Vec::new();
        if node.reconf == Some((epoch, Reconf::Sent)) {
            node.reconf = Some((epoch, Reconf::InProgress));
            told.push("+slave-reconf-inprog");
        }
        if linked && node.reconf == Some((epoch, Reconf::InProgress)) {
            node.reconf = Some((epoch, Reconf::Done));
            told.push("+slave-reconf-done");
        }
        for channel in told {
            self.event(Level::Notice, channel, name, text.clone(), out);
        }
    }

    /// A hello was heard.
    pub(super) fn hello(&mut self, payload: &[u8], out: &mut Vec<Effect>) {
        let Some(hello) = Hello::parse(payload) else { return };
        if hello.runid != self.seen.me.runid && self.masters.contains_key(&hello.name) {
            self.meet(&hello.name, hello.runid, hello.addr.clone(), out);
            self.said(hello.runid, hello.addr, out);
        }
    }

    /// Writes what is known of a node into `Seen`, once the group knows the node.
    pub(super) fn mirror(&mut self, name: &str, addr: &Addr) {
        let Some(master) = self.registry.masters.get(name) else { return };
        if master.addr != *addr && !master.replicas.contains_key(addr) {
            return;
        }
        let Some(node) = self.masters.get(name).and_then(|watched| watched.nodes.get(addr)) else { return };
        let (connected, down_since) = (node.command.conn.is_some(), node.observation.down_since());
        let last_valid = node.observation.last_valid();
        let facts = node.facts.clone().zip(node.info_at);
        let seen = self.seen.node(name, addr);
        (seen.connected, seen.down_since, seen.last_valid) = (connected, down_since, last_valid);
        if let Some((facts, at)) = facts
            && seen.info.as_ref().is_none_or(|read| read.at != at || read.facts != facts)
        {
            seen.info = Some(crate::failover::Read { at, facts });
        }
    }

    pub(super) fn reconnect_all(&mut self, name: &str, out: &mut Vec<Effect>) {
        let Some(watched) = self.masters.get(name) else { return };
        let config = watched.config.clone();
        let links: Vec<(LinkId, LinkKind, Addr)> = watched
            .nodes
            .values()
            .flat_map(|node| {
                [(node.command.id, LinkKind::Command, &node.addr), (node.pubsub.id, LinkKind::PubSub, &node.addr)]
            })
            .map(|(link, kind, addr)| (link, kind, addr.clone()))
            .collect();
        for (link, kind, addr) in links {
            self.link_down(link, out);
            out.push(Effect::Close { link });
            out.push(Effect::Open { link, addr, kind, greeting: self.greeting(&config, kind) });
        }
    }
}

/// How long ago, for the maps; the largest number where it never was.
pub(super) fn ago(now: Millis, at: Millis) -> i64 {
    now.since(at).0
}

fn renamed(config: &MasterConfig, command: &str) -> Vec<u8> {
    let named = config.rename_commands.iter().find(|(from, _)| from.eq_ignore_ascii_case(command));
    named.map_or_else(|| command.into(), |(_, to)| to.clone().into())
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    resp::command(words, &mut bytes);
    bytes
}
