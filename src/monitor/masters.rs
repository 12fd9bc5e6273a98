//! Masters, their nodes and the other sentinels, as they come and go.

use super::event::{Effect, Level, LinkId, LinkKind};
use super::instance::Instance;
use super::monitor::{Monitor, rules};
use super::peers::PeerSeen;
use super::watched::Watched;
use crate::base::{Millis, RunId};
use crate::config::MasterConfig;
use crate::failover::Addr;
use crate::failover::founding;
use crate::failover::observation::{Kind, Observation, Timing};
use std::collections::{BTreeMap, BTreeSet};

impl Monitor {
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
            vote: None,
            stuck: None,
            config: config.clone(),
        };
        self.masters.insert(name.clone(), watched);
        let text = format!("master {name} {} {} quorum {}", addr.host, addr.port, config.quorum);
        self.event(Level::Warning, "+monitor", &name, text, out);
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
        self.event(Level::Warning, "-monitor", name, text, out);
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
            self.event(Level::Notice, "+slave", name, text, out);
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
            said: None,
            trouble: None,
            foreign_at: None,
            masters: BTreeSet::new(),
        });
        peer.hello_at = now;
        peer.masters.insert(name.to_owned());
        let moved = peer.addr != addr;
        if moved {
            peer.addr = addr.clone();
        }
        if new {
            self.event(Level::Notice, "+sentinel", name, text, out);
        } else if moved {
            let text = format!("{text} ip {} port {} for {runid}", addr.host, addr.port);
            self.event(Level::Notice, "+sentinel-address-switch", name, text, out);
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
}
