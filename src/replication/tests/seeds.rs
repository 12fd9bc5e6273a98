//! Many worlds from seeds: no byte is lost, doubled or taken from another history, and once faults stop all replicas
//! come to hold what their master holds. And the oracle itself is tested: every planted bug must be noticed.

use super::world::{Tally, World};
use crate::replication::planted::{Bug, PLANTED};
use std::panic::{AssertUnwindSafe, catch_unwind};

const STEPS: usize = 8000;

fn world(seed: u64) -> Tally {
    let mut world = World::new(seed);
    world.run(STEPS);
    world.heal().unwrap_or_else(|why| panic!("{why}"));
    world.tally
}

/// A failing seed is named; run it alone with `SEED=n cargo test --lib replication::tests::seeds::worlds`.
#[test]
fn worlds() {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(1..500, |seed: u64| seed..seed + 1);
    let mut sum = Tally::default();
    for seed in seeds {
        let tally = catch_unwind(|| world(seed)).unwrap_or_else(|_| panic!("replay with SEED={seed}"));
        sum.full += tally.full;
        sum.partial += tally.partial;
        sum.rewinds += tally.rewinds;
        sum.promotions += tally.promotions;
        sum.restarts += tally.restarts;
    }
    println!("{sum:?}");
    if only.is_none() {
        let tried = [sum.full, sum.partial, sum.rewinds, sum.promotions, sum.restarts];
        assert!(tried.iter().all(|&times| times > 50), "the worlds must try everything: {sum:?}");
    }
}

/// A master loses its power, and its replicas live: `SEED=n` runs one world.
#[test]
fn power_cuts() {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(1..300, |seed: u64| seed..seed + 1);
    let (mut tails, mut bytes) = (0, 0);
    for seed in seeds {
        let tally =
            catch_unwind(|| World::power_cuts(seed).tally).unwrap_or_else(|_| panic!("replay with SEED={seed}"));
        (tails, bytes) = (tails + tally.tails, bytes + tally.tail_bytes);
    }
    println!("{tails} tails of {bytes} bytes came back");
    assert!(only.is_some() || tails > 100, "the worlds must lose something: {tails}");
}

#[test]
fn every_planted_bug_is_noticed() {
    let bugs = [
        Bug::EndlessFormer,
        Bug::IdKeptAfterRestart,
        Bug::IdKeptOnContinue,
        Bug::AsksTwice,
        Bug::ShortSend,
        Bug::FedUnreleased,
        Bug::StaleConn,
        Bug::HalfLoaded,
        Bug::FormerKeptOnCopy,
        Bug::PromotedWithoutId,
        Bug::NoFirstAck,
        Bug::EndTooHigh,
        Bug::PromisedEndsKept,
        Bug::TailTwice,
        Bug::TailOfTheFirst,
        Bug::TailUnlogged,
    ];
    // These panics are wanted: only those of other threads are printed.
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if PLANTED.get().is_none() {
            loud(info);
        }
    }));
    let missed: Vec<Bug> = bugs
        .into_iter()
        .filter(|&bug| {
            PLANTED.set(Some(bug));
            let fails = |run: &dyn Fn()| catch_unwind(AssertUnwindSafe(run)).is_err();
            let noticed = (1..200).any(|seed| {
                fails(&|| {
                    world(seed);
                }) || fails(&|| drop(World::power_cuts(seed)))
            });
            PLANTED.set(None);
            !noticed
        })
        .collect();
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
