//! The standing duties, which any steward carries on: members and voters, replicas that were found, nodes that are not
//! in the role that the registry names. A deposed master that comes back needs no other mechanism.
//!
//! Replicas that can resume in part are re-pointed all at once: it costs them milliseconds, and with
//! `min-replicas-to-write` the new master takes no write before one is attached. `parallel-syncs` bounds those that
//! have to be copied in full (a history of which the group knows nothing, or a tail beyond the promotion): these load a
//! data set and do not serve meanwhile, which is what the setting is about.

use super::entry::Entry;
use super::facts::{Facts, MasterLink, Role};
use super::moves::{Asking, Change, Move};
use super::names::{Addr, MemberId};
use super::obey::Order;
use super::plant::planted;
use super::registry::{Registry, Standing};
use super::seen::{NodeSeen, Seen};
use crate::base::{Epoch, Millis};

/// A node that left its agreed role by an operator's hand is put back after this long (four hello periods, as Redis).
pub const STRAY_PATIENCE_MS: Millis = Millis(8_000);
/// A full copy counts against `parallel-syncs` for at most this long after its order (`SLAVE-RECONF-TIMEOUT`).
pub const COPY_PATIENCE_MS: Millis = Millis(10_000);
/// A member not heard for this long may be replaced by another that has its run id.
pub const GONE_MS: Millis = Millis(5_000);
/// The most proposals about replicas in one answer.
const PROPOSALS_MAX: usize = 32;

/// Every member's own: to be known as it is, and to observe what its file says.
pub(super) fn of_member(registry: &Registry, seen: &Seen, wall: Millis, out: &mut Vec<Move>) {
    let me = &seen.me;
    let known = registry.members.get(&me.member);
    let is_known = known
        .is_some_and(|m| m.runid == me.runid && m.addr == me.addr && m.boot == me.boot && m.standing == Standing::Here);
    let may_stay = known.is_none_or(|m| m.standing != Standing::Leaving);
    if !is_known && may_stay {
        let (member, runid, addr, boot) = (me.member, me.runid, me.addr.clone(), me.boot);
        out.push(Move::Propose(Entry::Join { member, runid, addr, boot, at: wall }));
    }
    for (name, (addr, settings)) in &seen.wanted {
        let observed = registry.masters.get(name).is_some_and(|master| master.observers.contains(&me.member));
        if is_known && !observed {
            let (name, addr, settings, by) = (name.clone(), addr.clone(), *settings, me.member);
            out.push(Move::Propose(Entry::Monitor { name, addr, settings, by, at: wall }));
        }
    }
}

/// The leader's: who votes. One change at a time.
pub(super) fn of_leader(registry: &Registry, seen: &Seen, now: Millis, out: &mut Vec<Move>) {
    let raft = &seen.raft;
    if registry.voters != raft.voters && !raft.voters.is_empty() {
        out.push(Move::Propose(Entry::Voters { voters: raft.voters.clone() }));
    }
    if raft.changing {
        return;
    }
    let takes_part = |member: &MemberId| raft.voters.contains(member) || raft.learners.contains_key(member);
    let silent = |member: &MemberId| seen.heard.get(member).is_none_or(|at| now.since(*at) > GONE_MS);
    let goes = |member: &MemberId| match registry.members.get(member).map(|m| m.standing) {
        Some(Standing::Leaving) => true,
        Some(Standing::Replaced { .. }) => *member != seen.me.member && silent(member),
        Some(Standing::Here) | None => false,
    };
    let leaver = registry.members.keys().find(|member| goes(member) && takes_part(member));
    let is_here = |member: &MemberId| registry.members.get(member).is_some_and(|m| m.standing == Standing::Here);
    let newcomer = registry.members.keys().find(|member| is_here(member) && !takes_part(member));
    let caught_up = |(member, ready): (&MemberId, &bool)| (*ready && is_here(member)).then_some(*member);
    if let Some(member) = leaver {
        out.push(Move::Voters(Change::Remove(*member)));
    } else if let Some(member) = raft.learners.iter().find_map(caught_up) {
        out.push(Move::Voters(Change::Promote(member)));
    } else if let Some(member) = newcomer {
        out.push(Move::Voters(Change::AddLearner(*member)));
    }
    for (member, _) in registry.members.iter().filter(|(member, _)| goes(member) && !takes_part(member)) {
        out.push(Move::Propose(Entry::Dropped { member: *member }));
    }
}

/// The steward's: nodes found, debts paid, roles set right.
pub(super) fn of_steward(asking: &Asking<'_>, out: &mut Vec<Move>) {
    let mut found = vec![];
    identify(asking, &mut found);
    discover(asking, &mut found);
    found.truncate(PROPOSALS_MAX);
    out.extend(found.into_iter().map(Move::Propose));
    repoint(asking, out);
}

/// Facts that were read since the present phase began: older ones may speak of the master before.
fn facts_since<'a>(asking: &'a Asking<'_>, addr: &Addr) -> Option<&'a Facts> {
    let node = asking.watched.nodes.get(addr).filter(|node| node.foreign.is_none())?;
    let read = node.info.as_ref().filter(|read| read.at >= asking.watched.phase_at)?;
    Some(&read.facts)
}

fn identify(asking: &Asking<'_>, found: &mut Vec<Entry>) {
    let Some(facts) = facts_since(asking, &asking.master.addr).filter(|facts| facts.role == Role::Master) else {
        return;
    };
    let Some(runid) = facts.runid else { return };
    let new_id = facts.replid.is_some_and(|id| !asking.master.lineage.contains(&id));
    if asking.master.runid != Some(runid) || new_id {
        let (name, epoch) = (asking.name.to_owned(), asking.master.epoch);
        found.push(Entry::Identified { name, epoch, runid, replid: facts.replid });
    }
}

fn discover(asking: &Asking<'_>, found: &mut Vec<Entry>) {
    let (master, epoch) = (asking.master, asking.master.epoch);
    let name = || asking.name.to_owned();
    let told = facts_since(asking, &master.addr).filter(|facts| facts.role == Role::Master);
    for addr in told.into_iter().flat_map(|facts| &facts.replicas) {
        if *addr != master.addr && !master.replicas.contains_key(addr) {
            let (addr, runid, linked) = (addr.clone(), None, false);
            found.push(Entry::ReplicaSeen { name: name(), epoch, addr, runid, linked });
        }
    }
    for (addr, replica) in &master.replicas {
        let Some(facts) = facts_since(asking, addr) else { continue };
        let follows = facts.follows() == Some(&master.addr);
        if follows && replica.owed.is_some() {
            found.push(Entry::DemotionPaid { name: name(), epoch, node: addr.clone() });
        }
        let new_id = facts.runid.is_some() && facts.runid != replica.runid;
        let new_link = follows && facts.is_linked() && !replica.linked;
        if new_id || new_link {
            let (addr, runid, linked) = (addr.clone(), facts.runid, follows && facts.is_linked());
            found.push(Entry::ReplicaSeen { name: name(), epoch, addr, runid, linked });
        }
    }
}

/// Orders every node that is not where the registry wants it to follow the agreed master.
fn repoint(asking: &Asking<'_>, out: &mut Vec<Move>) {
    let (master, epoch) = (asking.master, asking.master.epoch);
    let mut copies = master.replicas.keys().filter(|addr| is_copying(asking, addr)).count();
    for addr in master.replicas.keys() {
        let Some(node) = asking.watched.nodes.get(addr) else { continue };
        // Who still reads its data would refuse the order.
        let Some(read) = node.info.as_ref().filter(|read| !read.facts.loads()) else { continue };
        let wanted = match &read.facts.role {
            // Never take the last working master away on behalf of one that is not there.
            Role::Master => !asking.master_is_sane() || planted!(NoDemotion),
            Role::Replica { master: followed, .. } => *followed == master.addr && obeys(node, epoch),
        };
        let by_hand = node.settled == Some(epoch);
        let patient = by_hand && node.strayed.is_none_or(|since| asking.now.since(since) <= STRAY_PATIENCE_MS);
        // One that cannot be told takes no turn of `parallel-syncs` from those that can.
        if wanted || patient || !node.connected || node.foreign.is_some() {
            continue;
        }
        if needs_copy(asking, &read.facts) && !is_copying(asking, addr) {
            if copies >= master.settings.parallel_syncs as usize {
                continue;
            }
            copies += 1;
        }
        asking.order(addr, Order::Follow { master: master.addr.clone(), epoch }, out);
    }
}

/// A native node is to know the present epoch too, so that it refuses what is older.
fn obeys(node: &NodeSeen, epoch: Epoch) -> bool {
    !node.is_native() || node.obeyed() >= Some(epoch)
}

/// Whether following the agreed master will cost this node a copy in full.
fn needs_copy(asking: &Asking<'_>, facts: &Facts) -> bool {
    let Some(promotion) = asking.master.last_promotion() else { return false };
    let ours = |id| asking.master.lineage.contains(&id);
    let is_kin = facts.replid.is_some_and(ours) || facts.former.is_some_and(|(id, _)| ours(id));
    let same_id = facts.replid.is_some() && facts.replid == promotion.replid;
    !is_kin || !same_id && facts.offset > promotion.offset
}

/// A copy that was ordered and has not ended, within its patience.
fn is_copying(asking: &Asking<'_>, addr: &Addr) -> bool {
    let Some(node) = asking.watched.nodes.get(addr) else { return false };
    let follow = Order::Follow { master: asking.master.addr.clone(), epoch: asking.master.epoch };
    let ordered = node.sent.as_ref().filter(|sent| sent.order == follow);
    let Some(sent) = ordered.filter(|sent| asking.now.since(sent.at) <= COPY_PATIENCE_MS) else { return false };
    node.info.as_ref().is_none_or(|read| {
        let up =
            matches!(&read.facts.role, Role::Replica { master, link: MasterLink::Up } if *master == asking.master.addr);
        read.at <= sent.at || !up
    })
}
