//! What this sentinel should do next. A pure question over the registry and what was seen: asking it twice does no harm,
//! and a new leader asks the same one.
//!
//! Who acts: the *steward* of a master (the leader where it observes the master, else the first observer that is heard)
//! proposes picks, replaces silent executors and carries the standing duties; the *executor* of a committed pick (the
//! steward, or the sentinel that got SENTINEL FAILOVER) gives the order and proposes what came of it.
//!
//! What the caller owes: at most one proposal of one [`Entry::slot`] in flight; before orders leave, one read-index
//! that began after `moves` was asked, and the registry unchanged by it (an order of a leader that has been replaced
//! must not reach a node that cannot refuse it); [`Seen`] told at once of every question and order that left.

use super::candidate::{Choice, choose};
use super::duties;
use super::entry::{Entry, Reason};
use super::facts::Role;
use super::names::{Addr, GroupId, MemberId};
use super::obey::{Order, Refusal};
use super::plant::planted;
use super::registry::{EPOCH_JUMP_MAX, Master, Phase, Pick, Registry, Standing};
use super::seen::{Answer, MasterSeen, NodeSeen, Seen, Sent};
use crate::base::{Epoch, Millis};

/// How often `moves` is to be asked besides after each event, while something is unfinished.
pub const LOOK_MS: Millis = Millis(100);
/// An executor or steward that was not heard for this long is silent.
pub const SILENT_MS: Millis = Millis(2_000);
/// An executor that has brought nothing about for this long is replaced although it speaks.
pub const EXECUTOR_PATIENCE_MS: Millis = Millis(10_000);
/// A picked node that has not obeyed for this long is given up for the next; half a second when its link is down.
pub const PROMOTE_PATIENCE_MS: Millis = Millis(3_000);
/// See [`PROMOTE_PATIENCE_MS`].
pub const PROMOTE_PATIENCE_CUT_OFF_MS: Millis = Millis(500);
/// How long a later pick waits for the nodes of earlier ones to learn its epoch.
pub const FENCE_PATIENCE_MS: Millis = Millis(500);
/// The first pause before the same order is given again; it doubles up to [`ORDER_AGAIN_MAX_MS`].
pub const ORDER_AGAIN_MS: Millis = Millis(500);
/// See [`ORDER_AGAIN_MS`].
pub const ORDER_AGAIN_MAX_MS: Millis = Millis(10_000);

const _: () = assert!(FENCE_PATIENCE_MS.0 < PROMOTE_PATIENCE_MS.0);
const _: () = assert!(PROMOTE_PATIENCE_MS.0 < EXECUTOR_PATIENCE_MS.0);

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Propose this to the group (from wherever: a member that does not lead sends it to the leader).
    Propose(Entry),
    /// Ask the node for INFO now, on the fast path.
    Ask { name: String, node: Addr },
    /// Give the node this order, of this group.
    Order { name: String, node: Addr, order: Order },
    /// Change the voters of Raft (the leader only).
    Voters(Change),
    /// Something that a person must hear of.
    Alarm(Alarm),
}

/// One change of Raft's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    AddLearner(MemberId),
    /// A learner that has caught up becomes a voter.
    Promote(MemberId),
    Remove(MemberId),
}

/// What stops this master's orders until a person acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The node obeys another group of sentinels.
    ForeignGroup { name: String, node: Addr, group: GroupId },
}

/// What this sentinel should do at `now` (monotonic; `wall` is the time that entries carry).
pub fn moves(registry: &Registry, seen: &Seen, now: Millis, wall: Millis) -> Vec<Move> {
    let mut out = vec![];
    duties::of_member(registry, seen, wall, &mut out);
    if seen.leads() {
        duties::of_leader(registry, seen, now, &mut out);
    }
    for (name, master) in &registry.masters {
        let Some(watched) = seen.masters.get(name) else { continue };
        if !master.observers.contains(&seen.me.member) {
            continue;
        }
        let foreign = watched.nodes.iter().find_map(|(addr, node)| Some((addr, node.foreign?)));
        if let Some((node, group)) = foreign {
            out.push(Move::Alarm(Alarm::ForeignGroup { name: name.clone(), node: node.clone(), group }));
            if watched.nodes.get(&master.addr).is_some_and(|node| node.foreign.is_some()) {
                continue;
            }
        }
        let ask = Asking { registry, seen, name, master, watched, now, wall };
        match &master.phase {
            Phase::Steady => ask.steady(&mut out),
            Phase::Promoting(pick) => ask.promoting(pick, &mut out),
        }
    }
    out
}

/// Whether SENTINEL FAILOVER may begin here: `Err` with the reply of Redis.
pub fn may_force(registry: &Registry, seen: &Seen, name: &str, now: Millis) -> Result<(), &'static str> {
    let in_progress = "INPROG Failover already in progress";
    let nobody = "NOGOODSLAVE No suitable replica to promote";
    let Some(master) = registry.masters.get(name) else { return Err("ERR No such master with that name") };
    let Some(watched) = seen.masters.get(name) else { return Err(nobody) };
    if master.pick().is_some() || watched.forced.is_some() {
        return Err(in_progress);
    }
    let others = super::candidate::ranked(master, watched, now).iter().any(|c| c.addr != master.addr);
    if others { Ok(()) } else { Err(nobody) }
}

/// One master, looked at once.
pub(super) struct Asking<'a> {
    pub registry: &'a Registry,
    pub seen: &'a Seen,
    pub name: &'a str,
    pub master: &'a Master,
    pub watched: &'a MasterSeen,
    pub now: Millis,
    pub wall: Millis,
}

impl Asking<'_> {
    fn steady(&self, out: &mut Vec<Move>) {
        let against = self.master.epoch;
        if self.watched.forced.is_some() {
            let reason = Reason::Forced { against, by: self.seen.me.member };
            self.pick(reason, Some(&self.master.addr), out);
            return;
        }
        if !self.is_steward() {
            return;
        }
        let witnesses = self.seen.witnesses(self.registry, self.name, self.now);
        if witnesses.len() >= self.master.settings.quorum as usize {
            self.pick(Reason::Odown { against, witnesses }, None, out);
            return;
        }
        duties::of_steward(self, out);
    }

    /// Asks the candidates, then proposes the best of them. `false`: there is nobody.
    fn pick(&self, reason: Reason, but: Option<&Addr>, out: &mut Vec<Move>) -> bool {
        match choose(self.master, self.watched, but, self.now) {
            Choice::Ask(nodes) => {
                out.extend(nodes.into_iter().map(|node| Move::Ask { name: self.name.to_owned(), node }));
                true
            }
            Choice::Wait => true,
            Choice::Nobody => false,
            Choice::Pick(best) => {
                let epoch = self.next_epoch();
                if planted!(OrderBeforeCommit) {
                    self.order(&best.addr, Order::Promote { epoch }, out);
                }
                let executor = self.seen.me.member;
                let (name, at) = (self.name.to_owned(), self.wall);
                out.push(Move::Propose(Entry::Picked { name, epoch, node: best.addr, executor, reason, at }));
                true
            }
        }
    }

    /// Beyond the group's epoch, and beyond all that its nodes have obeyed.
    fn next_epoch(&self) -> Epoch {
        if planted!(EpochReused) && self.master.pick().is_some() {
            return self.registry.epoch;
        }
        let limit = Epoch(self.registry.epoch.0.saturating_add(EPOCH_JUMP_MAX / 2));
        let obeyed = self.watched.nodes.values().filter_map(NodeSeen::obeyed).filter(|epoch| *epoch < limit).max();
        self.registry.epoch.max(obeyed.unwrap_or(Epoch(0))).next()
    }

    fn promoting(&self, pick: &Pick, out: &mut Vec<Move>) {
        if let Some(promoted) = self.own_word(pick) {
            out.push(Move::Propose(promoted));
            return;
        }
        if pick.executor == self.seen.me.member {
            self.execute(pick, out);
        } else if self.is_steward() && self.executor_is_silent(pick) && !planted!(NoTakeOver) {
            let (executor, epoch) = (self.seen.me.member, pick.epoch);
            out.push(Move::Propose(Entry::TakeOver { name: self.name.to_owned(), epoch, executor, at: self.wall }));
        }
    }

    /// The picked node says that it is the master: in its answer, or in facts that cannot be older than the order.
    fn own_word(&self, pick: &Pick) -> Option<Entry> {
        let node = self.watched.nodes.get(&pick.node)?;
        let order = Order::Promote { epoch: pick.epoch };
        let answered = node.sent.as_ref().filter(|sent| sent.order == order).and_then(|sent| match &sent.answer {
            Answer::Obeyed { offset, replid } => Some((*offset, *replid)),
            _ => None,
        });
        let told = || {
            let read = node.info.as_ref()?;
            let after = match read.facts.native {
                Some(native) => native.obeyed == pick.epoch && native.group == Some(self.registry.group),
                None => node.sent.as_ref().is_some_and(|sent| sent.order == order && read.at > sent.at),
            };
            (after && read.facts.role == Role::Master).then_some((read.facts.offset, read.facts.replid))
        };
        let (offset, replid) = answered.or_else(told)?;
        let (name, epoch, node) = (self.name.to_owned(), pick.epoch, pick.node.clone());
        Some(Entry::Promoted { name, epoch, node, offset, replid, at: self.wall })
    }

    /// The executor's part: make the epoch known to the nodes of earlier picks, order, and go on when it fails.
    fn execute(&self, pick: &Pick, out: &mut Vec<Move>) {
        let spent = self.now.since(self.watched.phase_at);
        if let Some(why) = self.failure(pick, spent) {
            let alive = pick.node != self.master.addr && self.master_is_sane();
            if alive || spent > self.master.settings.failover_timeout {
                let (name, epoch) = (self.name.to_owned(), self.next_epoch());
                out.push(Move::Propose(Entry::GaveUp { name, picked: pick.epoch, epoch, why, at: self.wall }));
                return;
            }
            // The node itself is picked anew only when it refused the epoch; else another, or the order once more.
            let too_low = self.sent(pick).is_some_and(|s| matches!(s.answer, Answer::Refused(Refusal::Old { .. })));
            let but = if too_low { None } else { Some(&pick.node) };
            if !planted!(NoNextPick) && self.pick(Reason::Next { after: pick.epoch, why }, but, out) {
                return;
            }
        }
        let unfenced = |addr: &Addr| {
            let node = self.watched.nodes.get(addr);
            node.is_some_and(|n| n.is_reachable() && n.is_native() && n.obeyed() < Some(pick.epoch))
        };
        let unfenced: Vec<&Addr> = pick.earlier.keys().filter(|addr| unfenced(addr)).collect();
        for addr in &unfenced {
            self.order(addr, Order::Fence { epoch: pick.epoch }, out);
        }
        if unfenced.is_empty() || spent > FENCE_PATIENCE_MS {
            self.order(&pick.node, Order::Promote { epoch: pick.epoch }, out);
        }
    }

    fn sent(&self, pick: &Pick) -> Option<&Sent> {
        let sent = self.watched.nodes.get(&pick.node)?.sent.as_ref()?;
        (sent.order == Order::Promote { epoch: pick.epoch }).then_some(sent)
    }

    /// Why the pick has come to nothing, if it has.
    fn failure(&self, pick: &Pick, spent: Millis) -> Option<String> {
        let node = self.watched.nodes.get(&pick.node);
        match self.sent(pick).map(|sent| &sent.answer) {
            Some(Answer::Refused(refusal)) => return Some(refusal.to_string()),
            Some(Answer::Failed(why)) => return Some(why.clone()),
            _ => {}
        }
        if let Some(obeyed) = node.and_then(NodeSeen::obeyed).filter(|obeyed| *obeyed > pick.epoch) {
            return Some(Refusal::Old { obeyed }.to_string());
        }
        let cut_off = !node.is_some_and(NodeSeen::is_reachable);
        let patience = if cut_off { PROMOTE_PATIENCE_CUT_OFF_MS } else { PROMOTE_PATIENCE_MS };
        (spent > patience).then(|| "the picked node does not answer".to_owned())
    }

    fn executor_is_silent(&self, pick: &Pick) -> bool {
        let here = self.registry.members.get(&pick.executor).is_some_and(|m| m.standing == Standing::Here);
        !here
            || !self.master.observers.contains(&pick.executor)
            || !self.is_heard(pick.executor) && self.now.since(self.watched.phase_at) > SILENT_MS
            || self.now.since(self.watched.phase_at) > EXECUTOR_PATIENCE_MS.max(self.master.settings.failover_timeout)
    }

    fn is_heard(&self, member: MemberId) -> bool {
        self.seen.heard.get(&member).is_some_and(|at| self.now.since(*at) <= SILENT_MS)
    }

    /// Whether this sentinel looks after the master. Two may think so for a moment; the registry takes each step once.
    fn is_steward(&self) -> bool {
        let observes = |member: MemberId| self.master.observers.contains(&member);
        match self.seen.leader {
            None => false,
            Some(leader) if observes(leader) => leader == self.seen.me.member,
            Some(_) => {
                let me = self.seen.me.member;
                self.master.observers.iter().copied().find(|m| *m == me || self.is_heard(*m)) == Some(me)
            }
        }
    }

    /// Whether the agreed master is there and acts as one.
    pub(super) fn master_is_sane(&self) -> bool {
        let Some(node) = self.watched.nodes.get(&self.master.addr) else { return false };
        let is_master = |read: &super::seen::Read| read.facts.role == Role::Master || read.at < self.watched.phase_at;
        node.is_reachable() && node.foreign.is_none() && node.info.as_ref().is_some_and(is_master)
    }

    /// Gives an order, unless the same one is on its way or was given a moment ago.
    pub(super) fn order(&self, addr: &Addr, order: Order, out: &mut Vec<Move>) {
        let Some(node) = self.watched.nodes.get(addr) else { return };
        if !node.connected || node.foreign.is_some() || node.sent.as_ref().is_some_and(|s| !self.is_due(s, &order)) {
            return;
        }
        out.push(Move::Order { name: self.name.to_owned(), node: addr.clone(), order });
    }

    fn is_due(&self, sent: &Sent, order: &Order) -> bool {
        let doublings = sent.tries.saturating_sub(1).min(8);
        let pause = Millis((ORDER_AGAIN_MS.0 << doublings).min(ORDER_AGAIN_MAX_MS.0));
        sent.order != *order || self.now.since(sent.at) > pause
    }
}

impl Entry {
    /// What the entry is about: a proposer has at most one of each slot in flight.
    pub fn slot(&self) -> (u8, String) {
        match self {
            Entry::Join { member, .. } | Entry::Leave { member, .. } | Entry::Dropped { member } => {
                (0, member.to_string())
            }
            Entry::Voters { .. } => (1, String::new()),
            Entry::Monitor { name, .. } | Entry::Unmonitor { name, .. } => (2, name.clone()),
            Entry::Configure { name, .. } => (3, name.clone()),
            Entry::Identified { name, .. } => (4, name.clone()),
            Entry::ReplicaSeen { name, addr, .. } | Entry::ReplicaForgotten { name, addr, .. } => {
                (5, format!("{name} {addr}"))
            }
            Entry::DemotionPaid { name, node, .. } => (6, format!("{name} {node}")),
            Entry::Picked { name, .. }
            | Entry::TakeOver { name, .. }
            | Entry::Promoted { name, .. }
            | Entry::GaveUp { name, .. } => (7, name.clone()),
        }
    }
}
