//! Who may be promoted, and who first.
//!
//! The filter is Redis Sentinel's (reachable, priority not 0, INFO fresh, link to the master not down for too long) and
//! two rules more: it does not read its data just now, and it must hold this master's data. A node does when its replication id, or the one before it, is
//! in the lineage that the group keeps, or when it was seen linked to the agreed master and still follows it. Redis
//! compares offsets across histories and has promoted strangers.
//!
//! The order is Redis' too: priority ascending, offset descending, run id ascending; but of live offsets, asked for
//! when the pick is due, and a node that calls itself master comes after every replica.

use super::facts::{Facts, MasterLink, Role};
use super::names::Addr;
use super::plant::planted;
use super::registry::{Master, Replica};
use super::seen::{MasterSeen, NodeSeen, Read};
use crate::base::{Epoch, Millis, Offset, RunId};
use std::cmp::Reverse;

/// A reachable node's last valid PING reply is at most this old (five ping periods).
pub const PONG_AGE_MAX_MS: Millis = Millis(5_000);
/// INFO at most this old makes a node a candidate (three INFO periods). Redis takes five seconds while the master is down,
/// and waits where it is older; here nobody is picked on it: a candidate is asked, and its answer is what counts.
pub const INFO_AGE_MAX_MS: Millis = Millis(30_000);
/// How long a live answer counts, and when a node is asked again.
pub const LIVE_MS: Millis = Millis(1_000);
/// How long the others wait for the live answer of one candidate.
pub const ASK_PATIENCE_MS: Millis = Millis(300);

/// A node that may be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub addr: Addr,
    pub priority: u32,
    pub offset: Offset,
    pub runid: Option<RunId>,
    /// The epoch that it has obeyed (native nodes): the pick must be beyond it.
    pub obeyed: Epoch,
    /// Its facts were asked for in this round.
    pub live: bool,
    role: u8,
}

/// What is to be done about choosing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// These are asked first (or have been asked and have a moment left).
    Ask(Vec<Addr>),
    Wait,
    Pick(Candidate),
    /// No node may be promoted (`-NOGOODSLAVE`).
    Nobody,
}

/// The nodes that may be promoted now, best first.
pub fn ranked(master: &Master, seen: &MasterSeen, now: Millis) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = master.nodes().filter_map(|addr| judge(master, seen, addr, now)).collect();
    all.sort_by_key(|c| (c.role, c.priority, Reverse(c.offset), c.runid.is_none(), c.runid, c.addr.clone()));
    all
}

/// Chooses among the nodes but those in `but`: one round of questions to all candidates, then the best that answered.
pub fn choose(master: &Master, seen: &MasterSeen, but: Option<&Addr>, now: Millis) -> Choice {
    let candidates: Vec<Candidate> =
        ranked(master, seen, now).into_iter().filter(|candidate| Some(&candidate.addr) != but).collect();
    let from = asked_from(master, seen);
    let asked = |c: &Candidate| seen.nodes.get(&c.addr).and_then(|node| node.asked).filter(|at| *at >= from);
    let due = |c: &&Candidate| asked(c).is_none_or(|at| now.since(at) > LIVE_MS);
    let ask: Vec<Addr> = candidates.iter().filter(due).map(|c| c.addr.clone()).collect();
    if !ask.is_empty() {
        return Choice::Ask(ask);
    }
    let patient = |c: &Candidate| !c.live && asked(c).is_some_and(|at| now.since(at) <= ASK_PATIENCE_MS);
    if candidates.iter().any(patient) {
        return Choice::Wait;
    }
    let waiting = !candidates.is_empty();
    match candidates.into_iter().find(|c| c.live) {
        Some(best) => Choice::Pick(best),
        None if waiting => Choice::Wait,
        None => Choice::Nobody,
    }
}

fn judge(master: &Master, seen: &MasterSeen, addr: &Addr, now: Millis) -> Option<Candidate> {
    let node = seen.nodes.get(addr)?;
    let Read { at, facts } = node.info.as_ref()?;
    let down_since = seen.nodes.get(&master.addr).and_then(|node| node.down_since);
    // The agreed master that calls itself a replica is down for that alone, and still there to be told otherwise.
    let there = if *addr == master.addr { node.connected } else { node.is_reachable() };
    let fresh = there && now.since(node.last_valid) <= PONG_AGE_MAX_MS && now.since(*at) <= INFO_AGE_MAX_MS;
    if !fresh || facts.priority == 0 || facts.loads() || node.foreign.is_some() {
        return None;
    }
    let replica = master.replicas.get(addr);
    let role = match (&facts.role, replica) {
        // The agreed master itself, turned into a replica by somebody: better than nothing.
        (Role::Replica { .. }, None) => 2,
        (Role::Master, None) => return None,
        (Role::Replica { link, .. }, Some(_)) => {
            let down_for = down_since.map_or(Millis(0), |since| now.since(since));
            let bound = Millis(master.settings.down_after.0.saturating_mul(10)) + down_for;
            if matches!(link, MasterLink::Down { for_: Some(span) } if *span > bound) {
                return None;
            }
            0
        }
        // It calls itself master: only as the node of a pick since the last promotion; a deposed master has lost
        // what its successor took.
        (Role::Master, Some(replica)) if was_picked(master, addr, replica) => 1,
        (Role::Master, Some(_)) => return None,
    };
    if !is_kin(master, replica, facts) && !planted!(LineageIgnored) {
        return None;
    }
    Some(Candidate {
        addr: addr.clone(),
        priority: facts.priority,
        offset: facts.offset,
        runid: facts.runid,
        obeyed: node.obeyed().unwrap_or(Epoch(0)),
        live: is_live(node, *at, asked_from(master, seen), now),
        role,
    })
}

fn is_live(node: &NodeSeen, read: Millis, from: Millis, now: Millis) -> bool {
    node.asked.is_some_and(|asked| asked >= from && read >= asked && now.since(asked) <= LIVE_MS)
}

/// Questions asked before this moment were about something else: an earlier pick or master, or this master in its
/// better days.
fn asked_from(master: &Master, seen: &MasterSeen) -> Millis {
    let down_since = seen.nodes.get(&master.addr).and_then(|node| node.down_since);
    [Some(seen.phase_at), down_since, seen.forced].into_iter().flatten().max().unwrap_or_default()
}

fn was_picked(master: &Master, addr: &Addr, replica: &Replica) -> bool {
    let promoted = master.last_promotion().map_or(Epoch(0), |promotion| promotion.epoch);
    master.pick().is_some_and(|pick| pick.node == *addr || pick.earlier.contains_key(addr))
        || replica.owed.is_some_and(|owed| owed > promoted)
}

/// Whether the node holds this master's data.
pub(super) fn is_kin(master: &Master, replica: Option<&Replica>, facts: &Facts) -> bool {
    let Some(replica) = replica else { return true };
    let known = |id| master.lineage.contains(&id);
    let by_id = facts.replid.is_some_and(known) || facts.former.is_some_and(|(id, _)| known(id));
    let follows = facts.follows() == Some(&master.addr);
    let linked = replica.linked && facts.runid.is_some() && facts.runid == replica.runid;
    by_id || follows && (linked || master.lineage.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::entry::Settings;
    use super::super::registry::Phase;
    use super::*;
    use crate::base::ReplId;
    use std::collections::{BTreeMap, BTreeSet};

    const NOW: Millis = Millis(100_000);

    fn addr(port: u16) -> Addr {
        Addr::new("h", port)
    }

    fn id(byte: u8) -> ReplId {
        ReplId::from_random([byte; 20])
    }

    fn replica_of(port: u16, offset: u64, priority: u32, runid: u8) -> NodeSeen {
        let facts = Facts {
            runid: Some(RunId::from_random([runid; 20])),
            role: Role::Replica { master: addr(port), link: MasterLink::Down { for_: Some(Millis(1000)) } },
            priority,
            announced: true,
            offset: Offset(offset),
            replid: Some(id(1)),
            ..Facts::default()
        };
        NodeSeen {
            connected: true,
            last_valid: NOW,
            info: Some(Read { at: NOW, facts }),
            asked: Some(NOW),
            ..NodeSeen::default()
        }
    }

    fn world() -> (Master, MasterSeen) {
        let master = Master {
            addr: addr(1),
            runid: None,
            epoch: Epoch(0),
            settings: Settings::with_quorum(2),
            observers: BTreeSet::from([1]),
            replicas: (2..=4).map(|port| (addr(port), Replica::default())).collect(),
            lineage: vec![id(1)],
            phase: Phase::Steady,
            promotions: vec![],
        };
        let mut seen = MasterSeen::default();
        seen.nodes = BTreeMap::from([
            (addr(1), NodeSeen { down_since: Some(Millis(95_000)), ..NodeSeen::default() }),
            (addr(2), replica_of(1, 10, 100, 9)),
            (addr(3), replica_of(1, 30, 100, 8)),
            (addr(4), replica_of(1, 30, 100, 7)),
        ]);
        (master, seen)
    }

    fn order(master: &Master, seen: &MasterSeen) -> Vec<u16> {
        ranked(master, seen, NOW).iter().map(|c| c.addr.port).collect()
    }

    fn facts(seen: &mut MasterSeen, port: u16) -> &mut Facts {
        &mut seen.nodes.get_mut(&addr(port)).unwrap().info.as_mut().unwrap().facts
    }

    #[test]
    fn priority_then_offset_then_run_id() {
        let (master, mut seen) = world();
        assert_eq!(order(&master, &seen), [4, 3, 2]);
        facts(&mut seen, 2).priority = 10;
        facts(&mut seen, 3).priority = 0;
        assert_eq!(order(&master, &seen), [2, 4]);
    }

    #[test]
    fn a_stranger_with_a_bigger_offset_is_not_promoted() {
        let (mut master, mut seen) = world();
        facts(&mut seen, 3).replid = Some(id(66));
        facts(&mut seen, 3).offset = Offset(1 << 40);
        assert_eq!(order(&master, &seen), [4, 2]);
        facts(&mut seen, 3).former = Some((id(1), Offset(20)));
        assert_eq!(order(&master, &seen), [3, 4, 2], "a chain of ids");
        facts(&mut seen, 3).former = None;
        let runid = Some(RunId::from_random([8; 20]));
        master.replicas.insert(addr(3), Replica { runid, linked: true, owed: None });
        assert_eq!(order(&master, &seen), [3, 4, 2], "last seen linked to the agreed master");
        facts(&mut seen, 3).runid = Some(RunId::from_random([6; 20]));
        assert_eq!(order(&master, &seen), [4, 2], "another run");
        facts(&mut seen, 3).runid = runid;
        facts(&mut seen, 3).role = Role::Replica { master: addr(77), link: MasterLink::Up };
        assert_eq!(order(&master, &seen), [4, 2], "but no longer following it");
    }

    #[test]
    fn redis_filter() {
        let (master, seen) = world();
        let without = |change: &dyn Fn(&mut NodeSeen)| {
            let mut seen = seen.clone();
            change(seen.nodes.get_mut(&addr(4)).unwrap());
            order(&master, &seen) == [3, 2]
        };
        assert!(without(&|n| n.down_since = Some(NOW)));
        assert!(without(&|n| n.connected = false));
        assert!(without(&|n| n.last_valid = NOW - Millis(5001)));
        assert!(without(&|n| n.info.as_mut().unwrap().at = NOW - Millis(30_001)));
        assert!(without(&|n| n.info = None));
        let cut_off = MasterLink::Down { for_: Some(Millis(306_000)) };
        assert!(without(&|n| n.info.as_mut().unwrap().facts.role = Role::Replica { master: addr(1), link: cut_off }));
        assert!(without(&|n| n.info.as_mut().unwrap().facts.role = Role::Master));
    }

    // Between two periods INFO is up to ten seconds old when the master goes down: whoever is there is asked at once.
    #[test]
    fn old_facts_are_asked_for_and_not_waited_for() {
        let (master, mut seen) = world();
        for port in 2..=4 {
            let node = seen.nodes.get_mut(&addr(port)).unwrap();
            node.asked = None;
            node.info.as_mut().unwrap().at = NOW - Millis(9_900);
        }
        assert_eq!(choose(&master, &seen, None, NOW), Choice::Ask(vec![addr(4), addr(3), addr(2)]));
        seen.nodes.values_mut().for_each(|node| node.asked = Some(NOW));
        assert_eq!(choose(&master, &seen, None, NOW), Choice::Wait, "and nobody is picked on them");
    }

    #[test]
    fn one_round_of_questions_then_the_best_that_answered() {
        let (master, mut seen) = world();
        seen.nodes.values_mut().for_each(|node| node.asked = None);
        assert_eq!(choose(&master, &seen, None, NOW), Choice::Ask(vec![addr(4), addr(3), addr(2)]));
        seen.nodes.values_mut().for_each(|node| node.asked = Some(NOW + Millis(1)));
        assert_eq!(choose(&master, &seen, None, NOW + Millis(2)), Choice::Wait);
        seen.nodes.get_mut(&addr(2)).unwrap().info.as_mut().unwrap().at = NOW + Millis(2);
        assert_eq!(choose(&master, &seen, None, NOW + Millis(2)), Choice::Wait, "the others have a moment left");
        let Choice::Pick(best) = choose(&master, &seen, None, NOW + Millis(302)) else { panic!("no pick") };
        assert_eq!(best.addr, addr(2));
        assert_eq!(choose(&master, &MasterSeen::default(), None, NOW), Choice::Nobody);
    }

    // A master that had just been promoted failed again within a second: the answers to the questions of the first
    // failover counted as live, and the replica whose facts happened to be read again in between was promoted although
    // the other one was ahead of it.
    #[test]
    fn answers_of_an_earlier_failover_are_not_live() {
        let (master, mut seen) = world();
        let before = NOW - Millis(700);
        for node in seen.nodes.values_mut() {
            node.asked = Some(before);
            node.info.iter_mut().for_each(|read| read.at = before + Millis(5));
        }
        let all = Choice::Ask(vec![addr(4), addr(3), addr(2)]);
        seen.nodes.get_mut(&addr(1)).unwrap().down_since = Some(NOW - Millis(1));
        assert_eq!(choose(&master, &seen, None, NOW), all, "the master went down since");
        seen.nodes.get_mut(&addr(1)).unwrap().down_since = None;
        assert!(matches!(choose(&master, &seen, None, NOW), Choice::Pick(_)));
        seen.phase_at = NOW - Millis(600);
        assert_eq!(choose(&master, &seen, None, NOW), all, "there is another master since");
        seen.phase_at = Millis(0);
        seen.forced = Some(NOW);
        assert_eq!(choose(&master, &seen, None, NOW), all, "it was asked for since");
    }
}
