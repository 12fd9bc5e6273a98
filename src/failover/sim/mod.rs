//! Worlds from seeds: the core of the sentinels under partitions, loss, delay, reordering, crashes, pauses and empty
//! disks; then the faults stop and the world must heal.
//!
//! Judged all along: S1 (one history; a lookup never goes backward), S2 (one promotion an epoch, ordered only after its
//! decision, obeyed upwards only), S3 (the switch at Promoted, everywhere), one founding, evidence behind every pick,
//! no stranger promoted, no sentinel's own pause held against a node. Judged in the end: every node in the role that
//! the registry names, every sentinel a voter.
//!
//! A failing seed prints the line that replays it: `REGENT_SEED=n cargo test --lib failover::sim::one -- --nocapture`.

mod faults;
mod group;
mod node;
mod oracle;
mod raft;
mod sentinel;
mod world;

use super::plant::{Plant, plant};
use super::{Phase, Standing};
use sentinel::NAME;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Flavour, Stats, World};

/// Every node in the role that the registry names, and every sentinel in the group.
fn healed(world: &World) -> Result<(), String> {
    if world.flavour == Flavour::TwoCamps {
        return Ok(());
    }
    let Some((id, group)) = world.groups.iter().next() else { return Err("nobody founded a group".into()) };
    let registry = &group.truth;
    for (s, sentinel) in world.sentinels.iter().enumerate() {
        let run = sentinel.run.as_ref().ok_or(format!("sentinel {s} is dead"))?;
        let own = run.registry.as_ref().ok_or(format!("sentinel {s} is in no group"))?;
        if own.group != *id || own.masters != registry.masters {
            return Err(format!("sentinel {s} holds {:?}, the group {:?}", own.masters, registry.masters));
        }
        let member = registry.members.get(&sentinel.disk.member);
        if !group.voters.contains(&sentinel.disk.member) || member.is_none_or(|m| m.standing != Standing::Here) {
            return Err(format!("sentinel {s} is no voter of {:x?}: {member:?}", group.voters));
        }
    }
    if group.voters.len() != world.sentinels.len() || registry.members.len() != world.sentinels.len() {
        return Err(format!("voters {:x?}, members {:?}", group.voters, registry.members));
    }
    let master = registry.masters.get(NAME).ok_or("no master is monitored")?;
    if master.phase != Phase::Steady {
        return Err(format!("still in a failover: {:?}", master.phase));
    }
    for node in world.nodes.iter().filter(|node| node.up) {
        let is_master = node.addr == master.addr;
        let is_known = is_master || master.replicas.contains_key(&node.addr);
        let follows = (!is_master).then_some(&master.addr);
        if is_known && (node.follows.as_ref() != follows || !is_master && !node.linked) {
            return Err(format!(
                "{} follows {:?} linked {}; agreed {:?}",
                node.addr, node.follows, node.linked, master
            ));
        }
        if is_known && master.replicas.get(&node.addr).is_some_and(|replica| replica.owed.is_some()) {
            return Err(format!("{} is still owed a demotion", node.addr));
        }
    }
    match world.nodes.iter().find(|node| node.addr == master.addr) {
        Some(node) if node.up => Ok(()),
        _ => Err(format!("the master {} is dead", master.addr)),
    }
}

fn run(seed: u64) -> Result<Stats, String> {
    world(seed, false)
}

fn world(seed: u64, traced: bool) -> Result<Stats, String> {
    let mut world = World::new(seed);
    world.traced = traced;
    let replay = format!("REGENT_SEED={seed} cargo test --lib failover::sim::one -- --nocapture");
    world.run().map_err(|why| format!("{why}\nreplay: {replay}"))
}

/// Seeds of one run; more with `REGENT_SEEDS=n`.
fn seeds() -> u64 {
    std::env::var("REGENT_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(600)
}

#[test]
fn worlds_stay_safe_and_heal() {
    let mut sum = Stats::default();
    let mut failed = vec![];
    for seed in 1..=seeds() {
        let stats = run(seed).unwrap_or_else(|why| {
            failed.push(format!("seed {seed}: {why}"));
            Stats::default()
        });
        sum.failovers += stats.failovers;
        sum.repicks += stats.repicks;
        sum.gave_up += stats.gave_up;
        sum.takeovers += stats.takeovers;
        sum.refused += stats.refused;
        sum.lookups += stats.lookups;
        sum.wiped += stats.wiped;
        sum.foreign += stats.foreign;
        sum.forced += stats.forced;
        sum.stale += stats.stale;
    }
    println!("{sum:?}");
    assert!(failed.is_empty(), "{} of {} worlds\n{}", failed.len(), seeds(), failed[..failed.len().min(8)].join("\n"));
    assert!(sum.failovers > seeds() && sum.lookups > 50 * seeds(), "the worlds must actually fail over: {sum:?}");
    let rare = [sum.repicks, sum.gave_up, sum.takeovers, sum.refused, sum.wiped, sum.foreign, sum.forced, sum.stale];
    assert!(seeds() < 300 || rare.iter().all(|count| *count > 0), "every path must be taken: {sum:?}");
}

/// Replays one seed.
#[test]
fn one() {
    let seed = std::env::var("REGENT_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    println!("{:?}", world(seed, true).unwrap_or_else(|why| panic!("seed {seed}: {why}")));
}

#[test]
fn planted_bugs_are_noticed() {
    // With each, the first seed that noticed it when this was written: where to look first.
    let bugs = [
        (Plant::OrderBeforeCommit, 2),
        (Plant::EvidenceUnchecked, 9),
        (Plant::StaleOpinions, 1312),
        (Plant::EpochReused, 2),
        (Plant::SupersededPromotes, 609),
        (Plant::ConflictAdopts, 1),
        (Plant::RemovedNameKeepsEpoch, 5),
        (Plant::NodeForgetsEpoch, 2),
        (Plant::NodeObeysAnyGroup, 811),
        (Plant::NoTakeOver, 225),
        (Plant::NoDemotion, 1),
        (Plant::LineageIgnored, 71),
        (Plant::PromiseBeforePersist, 180),
        (Plant::BallotForgetsCharter, 180),
        (Plant::PauseBlind, 118),
        (Plant::FailureIgnored, 88),
    ];
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = vec![];
    for (bug, first) in bugs {
        plant(Some(bug));
        let noticed =
            (first..first + 200).chain(1..=2000).find_map(|seed| match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                Ok(Ok(_)) => None,
                Ok(Err(why)) => Some((seed, why)),
                Err(_) => Some((seed, "an assertion of the core".to_owned())),
            });
        plant(None);
        match noticed {
            Some((seed, why)) => println!("{bug:?}: seed {seed}, {}", why.lines().next().unwrap_or_default()),
            None => missed.push(bug),
        }
    }
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
