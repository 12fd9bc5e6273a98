//! What one sentinel has seen, in the shape that [`moves`](super::moves::moves) asks about: links, INFO, opinions of
//! others, orders given and their answers. All times are this sentinel's monotonic clock.
//!
//! The sentinel's runtime writes it down as things happen; nothing here decides.

use super::entry::{Settings, Witness};
use super::facts::{Facts, Role};
use super::names::{Addr, BootId, GroupId, MemberId};
use super::obey::{Order, Refusal};
use super::plant::planted;
use super::registry::{Master, Registry};
use crate::base::{Epoch, Millis, Offset, ReplId, RunId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long an opinion counts after it was renewed; it is pushed at every change and at least once a second.
pub const OPINION_VALID_MS: Millis = Millis(5_000);

/// How often an opinion is pushed at least.
pub const OPINION_PERIOD_MS: Millis = Millis(1_000);

const _: () = assert!(OPINION_PERIOD_MS.0 * 3 < OPINION_VALID_MS.0);

/// Everything that one sentinel has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub me: Me,
    /// Whom Raft holds for the leader.
    pub leader: Option<MemberId>,
    pub raft: RaftView,
    /// When something was last heard from each other sentinel.
    pub heard: BTreeMap<MemberId, Millis>,
    /// What this sentinel's own file monitors and the group has not answered yet; the runtime takes a name out when
    /// it was told of a conflict.
    pub wanted: BTreeMap<String, (Addr, Settings)>,
    pub masters: BTreeMap<String, MasterSeen>,
    pushes: u64,
    /// Opinions that arrived before count for nothing: they waited while this process stood still.
    trusted_from: Millis,
}

/// This sentinel, as it wants to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    pub member: MemberId,
    pub runid: RunId,
    pub addr: Addr,
    pub boot: BootId,
}

/// What Raft says of its membership (meaningful on the leader).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftView {
    pub voters: BTreeSet<MemberId>,
    /// Learners, and whether each has caught up with the log.
    pub learners: BTreeMap<MemberId, bool>,
    /// A change of membership is under way.
    pub changing: bool,
}

/// What was seen of one master and its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterSeen {
    pub nodes: BTreeMap<Addr, NodeSeen>,
    opinions: BTreeMap<MemberId, Held>,
    /// SENTINEL FAILOVER was asked here, then.
    pub forced: Option<Millis>,
    /// The agreed (configuration epoch, pick) that was noticed last, and when.
    phase: Option<(Epoch, Option<(Epoch, MemberId)>)>,
    pub phase_at: Millis,
}

/// What was seen of one data node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSeen {
    /// The command link is up.
    pub connected: bool,
    /// Subjectively down since.
    pub down_since: Option<Millis>,
    /// The last valid reply to PING.
    pub last_valid: Millis,
    pub info: Option<Read>,
    /// When it was last asked for live facts.
    pub asked: Option<Millis>,
    pub sent: Option<Sent>,
    /// The configuration epoch in which it was seen in its agreed role.
    pub settled: Option<Epoch>,
    /// Since when it has been in another role than the agreed one although it was settled.
    pub strayed: Option<Millis>,
    /// It obeys another group.
    pub foreign: Option<GroupId>,
}

/// Facts, and when they arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub at: Millis,
    pub facts: Facts,
}

/// The last order given to a node from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub order: Order,
    pub at: Millis,
    /// How often this same order was given.
    pub tries: u32,
    pub answer: Answer,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Waiting,
    /// The node's own word. `offset` and `replid` where it told them (a promotion).
    Obeyed {
        offset: Offset,
        replid: Option<ReplId>,
    },
    /// A native node's refusal.
    Refused(Refusal),
    /// Another error reply, as it came (NOPERM, unknown command, ...): definite too.
    Failed(String),
    /// The link broke, or nothing came in time: it may have been obeyed.
    Lost,
}

/// One sentinel's opinion of a master, pushed to every other member at each change and once a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    pub member: MemberId,
    pub boot: BootId,
    /// Counts up within one boot, so that a late opinion does not overrule a newer one.
    pub number: u64,
    pub name: String,
    /// The configuration epoch of the master that it is about.
    pub against: Epoch,
    pub down: bool,
    /// Since when, wall clock of that sentinel (for people).
    pub since: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    opinion: Opinion,
    renewed: Millis,
}

impl Seen {
    pub fn new(me: Me) -> Seen {
        let (leader, raft, heard, wanted, masters) = Default::default();
        Seen { me, leader, raft, heard, wanted, masters, pushes: 0, trusted_from: Millis(i64::MIN) }
    }

    pub fn leads(&self) -> bool {
        self.leader == Some(self.me.member)
    }

    /// This process stood still until `now` ([`Pulse`](super::observation::Pulse) says so): opinions that lay in the
    /// sockets meanwhile look new and are not, so none counts that comes before each had time to be renewed. To be
    /// called before anything that waited is read.
    pub fn stalled(&mut self, now: Millis) {
        self.trusted_from = now + OPINION_PERIOD_MS;
    }

    /// The record of a node, made when it is new.
    pub fn node(&mut self, name: &str, addr: &Addr) -> &mut NodeSeen {
        self.masters.entry(name.to_owned()).or_default().nodes.entry(addr.clone()).or_default()
    }

    /// To be called after entries were applied and after facts arrived: notes when phases began, and who has settled.
    pub fn notice(&mut self, registry: &Registry, now: Millis) {
        self.masters.retain(|name, _| registry.masters.contains_key(name));
        self.wanted.retain(|name, _| {
            !registry.masters.get(name).is_some_and(|master| master.observers.contains(&self.me.member))
        });
        for (name, master) in &registry.masters {
            let seen = self.masters.entry(name.clone()).or_default();
            let phase = Some((master.epoch, master.pick().map(|pick| (pick.epoch, pick.executor))));
            if seen.phase != phase {
                (seen.phase, seen.phase_at) = (phase, now);
                if master.pick().is_some() {
                    seen.forced = None;
                }
            }
            seen.nodes.retain(|addr, _| master.addr == *addr || master.replicas.contains_key(addr));
            for (addr, node) in &mut seen.nodes {
                node.notice(registry.group, master, addr, seen.phase_at, now);
            }
        }
    }

    /// An order left for a node.
    pub fn ordered(&mut self, name: &str, addr: &Addr, order: Order, now: Millis) {
        let node = self.node(name, addr);
        let tries = node.sent.as_ref().filter(|sent| sent.order == order).map_or(0, |sent| sent.tries);
        node.sent = Some(Sent { order, at: now, tries: tries + 1, answer: Answer::Waiting });
    }

    /// The answer to an order; one to an order that is no longer the last is dropped.
    pub fn answered(&mut self, name: &str, addr: &Addr, order: &Order, answer: Answer) {
        let node = self.node(name, addr);
        if let Answer::Refused(Refusal::Foreign { group }) = &answer {
            node.foreign = Some(*group);
        }
        if let Some(sent) = node.sent.as_mut().filter(|sent| sent.order == *order) {
            sent.answer = answer;
        }
    }

    /// Facts of a node arrived.
    pub fn informed(&mut self, name: &str, addr: &Addr, facts: Facts, now: Millis) {
        self.node(name, addr).info = Some(Read { at: now, facts });
    }

    /// The opinions of this sentinel, to be pushed to every other member. `wall_minus_mono` turns this sentinel's
    /// monotonic times into wall clock.
    pub fn opinions(&mut self, registry: &Registry, wall_minus_mono: Millis) -> Vec<Opinion> {
        self.pushes += 1;
        let mine = registry.masters.iter().filter(|(_, master)| master.observers.contains(&self.me.member));
        mine.map(|(name, master)| {
            let node = self.masters.get(name).and_then(|seen| seen.nodes.get(&master.addr));
            let since = node.and_then(|node| node.down_since);
            Opinion {
                member: self.me.member,
                boot: self.me.boot,
                number: self.pushes,
                name: name.clone(),
                against: master.epoch,
                down: since.is_some(),
                since: since.map_or(Millis(0), |at| at + wall_minus_mono),
            }
        })
        .collect()
    }

    /// An opinion of another sentinel arrived. `renewed`: its arrival, or the moment of the question that it answers.
    pub fn opined(&mut self, opinion: Opinion, renewed: Millis) {
        let held = &mut self.masters.entry(opinion.name.clone()).or_default().opinions;
        let newer = |old: &Held| old.opinion.boot != opinion.boot || old.opinion.number < opinion.number;
        if held.get(&opinion.member).is_none_or(newer) {
            held.insert(opinion.member, Held { opinion, renewed });
        }
    }

    /// The voters that hold the agreed master to be down, this one included: enough of them are evidence for a pick.
    pub fn witnesses(&self, registry: &Registry, name: &str, now: Millis) -> Vec<Witness> {
        let (Some(master), Some(seen)) = (registry.masters.get(name), self.masters.get(name)) else { return vec![] };
        let fresh = |held: &&Held| {
            let young = now.since(held.renewed) <= OPINION_VALID_MS && held.renewed >= self.trusted_from;
            let counts = registry.may_witness(master, held.opinion.member, held.opinion.boot);
            let about = held.opinion.against == master.epoch;
            held.opinion.down && (young && counts && about || planted!(StaleOpinions))
        };
        let others = seen.opinions.values().filter(fresh).map(|held| {
            let Opinion { member, boot, since, .. } = held.opinion;
            let boot = match registry.members.get(&member) {
                Some(record) if planted!(StaleOpinions) => record.boot,
                _ => boot,
            };
            Witness { member, boot, since }
        });
        let own_since = seen.nodes.get(&master.addr).and_then(|node| node.down_since);
        let own = own_since.map(|since| Witness { member: self.me.member, boot: self.me.boot, since });
        let own = own.filter(|own| registry.may_witness(master, own.member, own.boot));
        others.filter(|witness| witness.member != self.me.member).chain(own).collect()
    }

    /// Whether the master is objectively down as far as this sentinel knows (`o_down`), and how many say so.
    pub fn odown(&self, registry: &Registry, name: &str, now: Millis) -> (bool, usize) {
        let count = self.witnesses(registry, name, now).len();
        let quorum = registry.masters.get(name).map_or(usize::MAX, |master| master.settings.quorum as usize);
        (count >= quorum, count)
    }
}

impl NodeSeen {
    /// A native node; `None` while nothing is known of it.
    pub fn is_native(&self) -> bool {
        self.info.as_ref().is_some_and(|read| read.facts.native.is_some())
    }

    /// The highest epoch that a native node has obeyed, as far as is known.
    pub fn obeyed(&self) -> Option<Epoch> {
        let told = self.info.as_ref().and_then(|read| read.facts.native).map(|native| native.obeyed);
        let answered = self.sent.as_ref().and_then(|sent| match &sent.answer {
            Answer::Obeyed { .. } => Some(sent.order.epoch()),
            Answer::Refused(Refusal::Old { obeyed }) => Some(*obeyed),
            _ => None,
        });
        told.max(answered.filter(|_| told.is_some()))
    }

    pub fn is_reachable(&self) -> bool {
        self.connected && self.down_since.is_none()
    }

    fn notice(&mut self, group: GroupId, master: &Master, addr: &Addr, phase_at: Millis, now: Millis) {
        let Some(read) = &self.info else { return };
        if let Some(native) = read.facts.native {
            self.foreign = native.group.filter(|own| *own != group);
        }
        if read.at < phase_at {
            return;
        }
        let settled = match &read.facts.role {
            Role::Master => *addr == master.addr,
            Role::Replica { master: followed, .. } => *addr != master.addr && *followed == master.addr,
        };
        if settled {
            (self.settled, self.strayed) = (Some(master.epoch), None);
        } else {
            self.strayed = self.strayed.or(Some(now));
        }
    }
}
