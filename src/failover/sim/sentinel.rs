//! One sentinel of the simulated world: what its disk keeps, what its memory holds, and how it was built anew from the
//! disk. It does what the sentinel's runtime does, with messages in place of sockets.

use crate::base::{Millis, RunId};
use crate::failover::founding::{Founding, Peer, Rules, SETTLE_MS, Saved};
use crate::failover::observation::{Kind, Observation, Pulse, Timing};
use crate::failover::{Addr, Applied, Entry, GroupId, Me, MemberId, Registry, Seen, Settings};
use std::collections::BTreeMap;

pub struct Sentinel {
    pub addr: Addr,
    pub runid: RunId,
    pub settings: Settings,
    pub disk: Disk,
    /// `None`: the process is dead.
    pub run: Option<Run>,
    pub paused_until: i64,
    pub resumed_at: i64,
    /// When it last held a node to be down.
    pub held_down: BTreeMap<Addr, i64>,
    pub boots: u64,
}

#[derive(Clone)]
pub struct Disk {
    pub member: MemberId,
    pub luck: GroupId,
    pub saved: Saved,
    /// How much of the group's log it has.
    pub applied: usize,
    /// Its file names this master until the group has answered.
    pub wanted: bool,
}

pub struct Run {
    pub boot: u64,
    pub founding: Founding,
    pub registry: Option<Registry>,
    pub applied: usize,
    pub seen: Seen,
    pub watched: BTreeMap<Addr, Observation>,
    pub pulse: Pulse,
    pub in_flight: BTreeMap<(u8, String), i64>,
    pub reading: bool,
    /// When the group's leader was last in touch.
    pub leader_heard: i64,
}

pub const NAME: &str = "mymaster";

impl Sentinel {
    pub fn me(&self) -> Peer {
        Peer { member: self.disk.member, runid: self.runid, addr: self.addr.clone() }
    }

    /// Starts the process. `log`: the group's log as far as this disk has it.
    pub fn start(&mut self, boot: u64, log: &[Entry], first: &Addr, now: i64) {
        let now = Millis(now);
        let rules = Rules { quorum_max: self.settings.quorum, group_size: None, settle: SETTLE_MS };
        let founding = Founding::new(self.me(), rules, self.disk.saved.clone(), &[], self.disk.luck, now);
        let Peer { member, runid, addr } = self.me();
        let mut seen = Seen::new(Me { member, runid, addr, boot });
        let mut registry = founding.group().map(Registry::new);
        if let Some(registry) = &mut registry {
            log.iter().for_each(|entry| drop(registry.apply(entry)));
            seen.notice(registry, now);
        }
        if self.disk.wanted {
            seen.wanted.insert(NAME.to_owned(), (first.clone(), self.settings));
        }
        let (watched, in_flight) = Default::default();
        self.boots += 1;
        self.run = Some(Run {
            boot,
            founding,
            registry,
            applied: log.len(),
            seen,
            watched,
            pulse: Pulse::default(),
            in_flight,
            reading: false,
            leader_heard: now.0,
        });
    }
}

impl Run {
    /// Applies one entry of the log, as every sentinel does. The result, and what lookups say after it.
    pub fn apply(&mut self, entry: &Entry, now: i64) -> Applied {
        let registry = self.registry.as_mut().expect("a member");
        let applied = registry.apply(entry);
        self.applied += 1;
        self.in_flight.remove(&entry.slot());
        if let (Entry::Monitor { name, by, .. }, Applied::Conflict { addr }) = (entry, &applied)
            && *by == self.seen.me.member
            && let Some((wanted, _)) = self.seen.wanted.get_mut(name)
        {
            *wanted = addr.clone();
        }
        self.seen.notice(registry, Millis(now));
        applied
    }

    /// Watches the nodes that the registry names, and only these.
    pub fn watch(&mut self, now: i64) {
        let Some(registry) = &self.registry else { return };
        let Some(master) = registry.masters.get(NAME) else {
            self.watched.clear();
            return;
        };
        let timing =
            Timing { down_after: master.settings.down_after, info_period: Millis(1_000), reboot_down_after: Millis(0) };
        self.watched.retain(|addr, _| master.addr == *addr || master.replicas.contains_key(addr));
        for addr in master.nodes() {
            let kind = if *addr == master.addr { Kind::Master } else { Kind::Replica };
            let seen = self.watched.entry(addr.clone()).or_insert_with(|| Observation::new(kind, timing, Millis(now)));
            seen.set_kind(kind, Millis(now));
            let (down, connected, valid) = (seen.down_since(), !seen.is_disconnected(), seen.last_valid());
            let node = self.seen.node(NAME, addr);
            (node.down_since, node.connected, node.last_valid) = (down, connected, valid);
        }
    }
}
