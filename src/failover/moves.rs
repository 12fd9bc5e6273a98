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

use super::candidate::{Choice, LIVE_MS, choose, is_kin};
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
/// A promotion is ordered on facts no older than this.
pub const FACTS_AGE_MAX_MS: Millis = Millis(2_000);
/// How long a later pick waits for the nodes of earlier ones to learn its epoch.
pub const FENCE_PATIENCE_MS: Millis = Millis(500);
/// The first pause before the same order is given again; it doubles up to [`ORDER_AGAIN_MAX_MS`].
pub const ORDER_AGAIN_MS: Millis = Millis(500);
/// See [`ORDER_AGAIN_MS`].
pub const ORDER_AGAIN_MAX_MS: Millis = Millis(10_000);

const _: () = assert!(LIVE_MS.0 < FACTS_AGE_MAX_MS.0);
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

/// Whether this sentinel is to replace the agreed master and finds nobody (`-failover-abort-no-good-slave`).
pub fn is_stuck(registry: &Registry, seen: &Seen, name: &str, now: Millis) -> bool {
    let (Some(master), Some(watched)) = (registry.masters.get(name), seen.masters.get(name)) else { return false };
    let ask = Asking { registry, seen, name, master, watched, now, wall: Millis(0) };
    ask.is_steward()
        && master.pick().is_none()
        && seen.odown(registry, name, now).0
        && choose(master, watched, None, now) == Choice::Nobody
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
            (after && read.facts.role == Role::Master && !read.facts.loads())
                .then_some((read.facts.offset, read.facts.replid))
        };
        let (offset, replid) = answered.or_else(told)?;
        let (name, epoch, node) = (self.name.to_owned(), pick.epoch, pick.node.clone());
        Some(Entry::Promoted { name, epoch, node, offset, replid, at: self.wall })
    }

    /// The executor's part: make the epoch known to the nodes of earlier picks, order, and go on when it fails.
    fn execute(&self, pick: &Pick, out: &mut Vec<Move>) {
        let spent = self.now.since(self.watched.phase_at);
        if let Some(why) = self.failure(pick, spent).filter(|_| !planted!(FailureIgnored)) {
            let alive = pick.node != self.master.addr && self.master_is_sane();
            if alive || spent > self.master.settings.failover_timeout {
                let (name, epoch) = (self.name.to_owned(), self.next_epoch());
                out.push(Move::Propose(Entry::GaveUp { name, picked: pick.epoch, epoch, why, at: self.wall }));
                return;
            }
            // The node itself is picked anew only when it refused the epoch; else another, or the order once more.
            let too_low = self.sent(pick).is_some_and(|s| matches!(s.answer, Answer::Refused(Refusal::Old { .. })));
            let but = if too_low { None } else { Some(&pick.node) };
            if self.pick(Reason::Next { after: pick.epoch, why }, but, out) {
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
            self.order_promotion(pick, out);
        }
    }

    /// Orders on what the node said a moment ago (as it did when it was picked); after a delay, it is asked again
    /// first: another process may have come up at its address.
    fn order_promotion(&self, pick: &Pick, out: &mut Vec<Move>) {
        let Some(node) = self.watched.nodes.get(&pick.node) else { return };
        let young = |at: Millis| self.now.since(at) <= FACTS_AGE_MAX_MS;
        if node.info.as_ref().is_some_and(|read| young(read.at)) {
            self.order(&pick.node, Order::Promote { epoch: pick.epoch }, out);
        } else if node.connected && node.asked.is_none_or(|at| self.now.since(at) > LIVE_MS) {
            out.push(Move::Ask { name: self.name.to_owned(), node: pick.node.clone() });
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
        // Another process may answer at its address since it was picked.
        let facts = node.and_then(|node| node.info.as_ref()).map(|read| &read.facts);
        let replica = self.master.replicas.get(&pick.node);
        if facts.is_some_and(|facts| facts.role != Role::Master && !is_kin(self.master, replica, facts)) {
            return Some("the picked node holds other data now".to_owned());
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

#[cfg(test)]
mod tests {
    use super::super::entry::Settings;
    use super::super::facts::{Facts, MasterLink, Native};
    use super::super::seen::{Me, Opinion};
    use super::*;
    use crate::base::{Offset, ReplId, RunId};

    const T: Millis = Millis(1_000_000);
    const BOOT: u64 = 5;

    fn addr(port: u16) -> Addr {
        Addr::new("h", port)
    }

    fn facts(follows: Option<u16>, offset: u64, obeyed: u64) -> Facts {
        let role = follows.map_or(Role::Master, |port| Role::Replica { master: addr(port), link: MasterLink::Up });
        let native = Native { group: Some(GroupId(1)), obeyed: Epoch(obeyed) };
        let replid = Some(ReplId::from_random([1; 20]));
        Facts { role, priority: 100, offset: Offset(offset), replid, native: Some(native), ..Facts::default() }
    }

    /// Three sentinels (this one is 1 and leads), the master `h:1`, the replicas `h:2` (ahead) and `h:3`.
    fn world() -> (Registry, Seen) {
        let mut registry = Registry::new(GroupId(1));
        let (name, at) = ("m".to_owned(), T);
        for member in 1..=3 {
            let runid = RunId::from_random([member as u8; 20]);
            let me = Addr::new("s", member as u16);
            registry.apply(&Entry::Join { member, runid, addr: me, boot: BOOT, at });
            let settings = Settings { down_after: Millis(5000), ..Settings::with_quorum(2) };
            registry.apply(&Entry::Monitor { name: name.clone(), addr: addr(1), settings, by: member, at });
        }
        registry.apply(&Entry::Voters { voters: [1, 2, 3].into() });
        for port in 2..=3 {
            let (addr, runid) = (addr(port), None);
            registry.apply(&Entry::ReplicaSeen { name: name.clone(), epoch: Epoch(0), addr, runid, linked: true });
        }
        let (runid, replid) = (RunId::from_random([7; 20]), Some(ReplId::from_random([1; 20])));
        registry.apply(&Entry::Identified { name, epoch: Epoch(0), runid, replid });
        let me = Me { member: 1, runid: RunId::from_random([1; 20]), addr: Addr::new("s", 1), boot: BOOT };
        let mut seen = Seen::new(me);
        seen.leader = Some(1);
        seen.raft.voters = [1, 2, 3].into();
        seen.notice(&registry, T);
        for (port, follows, offset) in [(1, None, 90), (2, Some(1), 80), (3, Some(1), 70)] {
            seen.informed("m", &addr(port), Facts { runid: Some(runid), ..facts(follows, offset, 0) }, T);
            let node = seen.node("m", &addr(port));
            (node.connected, node.last_valid) = (true, T);
        }
        seen.notice(&registry, T);
        (registry, seen)
    }

    fn down(seen: &mut Seen, member: MemberId, renewed: Millis) {
        let (name, against, since) = ("m".to_owned(), Epoch(0), T);
        seen.opined(Opinion { member, boot: BOOT, number: 1, name, against, down: true, since }, renewed);
    }

    fn about_m(registry: &Registry, seen: &Seen, now: Millis) -> Vec<Move> {
        let mut all = moves(registry, seen, now, now);
        all.retain(|m| !matches!(m, Move::Propose(Entry::ReplicaSeen { .. })));
        all
    }

    fn answer_asks(seen: &mut Seen, asked: &[Move], now: Millis) {
        for ask in asked {
            let Move::Ask { node, .. } = ask else { panic!("{ask:?}") };
            seen.node("m", node).asked = Some(now);
            let live = seen.node("m", node).info.as_ref().unwrap().facts.clone();
            seen.informed("m", node, live, now);
        }
    }

    #[test]
    fn nothing_is_to_do_while_all_is_well() {
        let (registry, seen) = world();
        assert_eq!(about_m(&registry, &seen, T), []);
    }

    #[test]
    fn from_odown_to_the_switch_it_takes_one_question_one_commit_and_one_order() {
        let (mut registry, mut seen) = world();
        let now = T + Millis(100);
        seen.node("m", &addr(1)).down_since = Some(now);
        seen.node("m", &addr(1)).connected = false;
        assert_eq!(about_m(&registry, &seen, now), [], "one opinion is no quorum");
        down(&mut seen, 2, now);
        let asked = about_m(&registry, &seen, now);
        assert_eq!(asked.len(), 2, "{asked:?}");
        answer_asks(&mut seen, &asked, now);
        let picked = about_m(&registry, &seen, now);
        let [Move::Propose(entry @ Entry::Picked { node, epoch, executor: 1, .. })] = &picked[..] else {
            panic!("{picked:?}")
        };
        assert_eq!((node, *epoch), (&addr(2), Epoch(1)), "the one that is ahead");
        assert_eq!(about_m(&registry, &seen, now), picked, "asking twice does no harm");
        registry.apply(entry);
        seen.notice(&registry, now);
        let order = Order::Promote { epoch: Epoch(1) };
        let ordered = about_m(&registry, &seen, now);
        assert_eq!(ordered, [Move::Order { name: "m".into(), node: addr(2), order: order.clone() }]);
        seen.ordered("m", &addr(2), order.clone(), now);
        assert_eq!(about_m(&registry, &seen, now), [], "once is enough");
        seen.answered("m", &addr(2), &order, Answer::Obeyed { offset: Offset(80), replid: None });
        let done = about_m(&registry, &seen, now);
        let [Move::Propose(entry @ Entry::Promoted { .. })] = &done[..] else { panic!("{done:?}") };
        registry.apply(entry);
        seen.notice(&registry, now);
        let follow = Order::Follow { master: addr(2), epoch: Epoch(1) };
        let repoint = Move::Order { name: "m".into(), node: addr(3), order: follow };
        assert_eq!(about_m(&registry, &seen, now), [repoint], "at once, and the dead one when it is back");
    }

    #[test]
    fn stale_opinions_start_nothing() {
        let (registry, mut seen) = world();
        let now = T + Millis(6_000);
        seen.node("m", &addr(1)).down_since = Some(now);
        down(&mut seen, 2, T);
        assert!(!seen.odown(&registry, "m", now).0, "renewed 6 s ago");
        assert!(seen.odown(&registry, "m", T + Millis(5_000)).0);
        let (name, since) = ("m".to_owned(), T);
        let of_another = |against, boot| Opinion {
            member: 3,
            boot,
            number: 9,
            name: name.clone(),
            against: Epoch(against),
            down: true,
            since,
        };
        seen.opined(of_another(7, BOOT), now);
        assert!(!seen.odown(&registry, "m", now).0, "about another master");
        seen.opined(of_another(0, BOOT + 1), now);
        assert!(!seen.odown(&registry, "m", now).0, "of a start that the group does not know");
    }

    /// Picked `h:2` in epoch 1, by this sentinel.
    fn promoting() -> (Registry, Seen) {
        let (mut registry, mut seen) = world();
        let reason = Reason::Forced { against: Epoch(0), by: 1 };
        let (name, epoch, node) = ("m".to_owned(), Epoch(1), addr(2));
        assert!(registry.apply(&Entry::Picked { name, epoch, node, executor: 1, reason, at: T }).holds());
        seen.notice(&registry, T);
        seen.ordered("m", &addr(2), Order::Promote { epoch: Epoch(1) }, T);
        (registry, seen)
    }

    #[test]
    fn a_refused_pick_is_given_up_while_the_master_lives() {
        let (registry, mut seen) = promoting();
        let order = Order::Promote { epoch: Epoch(1) };
        seen.answered("m", &addr(2), &order, Answer::Failed("NOPERM no".into()));
        let next = about_m(&registry, &seen, T);
        assert!(
            matches!(&next[..], [Move::Propose(Entry::GaveUp { picked: Epoch(1), epoch: Epoch(2), .. })]),
            "{next:?}"
        );
    }

    // Another cluster's node came up at the picked address between the decision and the order, and was promoted.
    #[test]
    fn a_stranger_at_the_picked_address_gets_no_order() {
        let (registry, mut seen) = promoting();
        seen.node("m", &addr(2)).sent = None;
        let replid = Some(ReplId::from_random([66; 20]));
        seen.informed("m", &addr(2), Facts { replid, ..facts(Some(9), 1 << 40, 0) }, T);
        let next = about_m(&registry, &seen, T);
        assert!(matches!(&next[..], [Move::Propose(Entry::GaveUp { .. })]), "{next:?}");
    }

    #[test]
    fn the_next_pick_fences_the_one_before() {
        let (mut registry, mut seen) = promoting();
        seen.node("m", &addr(1)).connected = false;
        let now = T + PROMOTE_PATIENCE_MS + Millis(1);
        let asked = about_m(&registry, &seen, now);
        answer_asks(&mut seen, &asked, now);
        let next = about_m(&registry, &seen, now);
        let [Move::Propose(entry @ Entry::Picked { epoch: Epoch(2), node, .. })] = &next[..] else {
            panic!("{next:?}")
        };
        assert_eq!(*node, addr(3));
        registry.apply(entry);
        seen.notice(&registry, now);
        let fence = Order::Fence { epoch: Epoch(2) };
        assert_eq!(
            about_m(&registry, &seen, now),
            [Move::Order { name: "m".into(), node: addr(2), order: fence.clone() }]
        );
        seen.ordered("m", &addr(2), fence.clone(), now);
        seen.answered("m", &addr(2), &fence, Answer::Obeyed { offset: Offset(80), replid: None });
        let promote = Order::Promote { epoch: Epoch(2) };
        assert_eq!(about_m(&registry, &seen, now), [Move::Order { name: "m".into(), node: addr(3), order: promote }]);
    }

    #[test]
    fn a_silent_executor_is_replaced() {
        let (mut registry, mut seen) = promoting();
        registry.apply(&Entry::TakeOver { name: "m".into(), epoch: Epoch(1), executor: 3, at: T });
        seen.notice(&registry, T);
        seen.heard.insert(3, T);
        assert_eq!(about_m(&registry, &seen, T + SILENT_MS), []);
        let late = about_m(&registry, &seen, T + SILENT_MS + Millis(1));
        assert!(matches!(&late[..], [Move::Propose(Entry::TakeOver { executor: 1, .. })]), "{late:?}");
    }

    // An old master that lay dead with a tail of its own took the one turn of parallel-syncs for good, and a replica that
    // needed a copy waited for ever.
    #[test]
    fn a_dead_node_takes_no_turn_of_parallel_syncs() {
        let (mut registry, mut seen) = promoting();
        let (name, epoch, node, offset) = ("m".to_owned(), Epoch(1), addr(2), Offset(60));
        registry.apply(&Entry::Promoted { name, epoch, node, offset, replid: None, at: T });
        seen.notice(&registry, T);
        seen.node("m", &addr(1)).connected = false;
        let follow = Order::Follow { master: addr(2), epoch: Epoch(1) };
        assert_eq!(about_m(&registry, &seen, T), [Move::Order { name: "m".into(), node: addr(3), order: follow }]);
    }

    #[test]
    fn copies_in_full_take_turns() {
        let (registry, seen) = promoting();
        let (name, epoch, node) = ("m".to_owned(), Epoch(1), addr(2));
        let behind = Entry::Promoted { name, epoch, node, offset: Offset(95), replid: None, at: T };
        let (name, node) = ("m".to_owned(), addr(2));
        let ahead = Entry::Promoted { name, epoch, node, offset: Offset(60), replid: None, at: T };
        for (promoted, orders) in [(behind, 2), (ahead, 1)] {
            let (mut registry, mut seen) = (registry.clone(), seen.clone());
            registry.apply(&promoted);
            let now = T + Millis(1);
            seen.notice(&registry, now);
            assert_eq!(about_m(&registry, &seen, now).len(), orders, "{promoted}");
        }
    }

    #[test]
    fn a_foreign_group_stops_the_orders() {
        let (registry, mut seen) = promoting();
        seen.node("m", &addr(1)).foreign = Some(GroupId(9));
        let all = about_m(&registry, &seen, T + Millis(60_000));
        let alarm = Alarm::ForeignGroup { name: "m".into(), node: addr(1), group: GroupId(9) };
        assert_eq!(all, [Move::Alarm(alarm)]);
    }
}
