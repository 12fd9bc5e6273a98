//! What goes first, by a reading of the memory that a test makes up.

use super::*;
use crate::base::{Dice, Millis};
use crate::command::{Kind, PauseBy, testing};
use std::cell::Cell;

thread_local! {
    static USED: Cell<u64> = const { Cell::new(0) };
    static STEP: Cell<u64> = const { Cell::new(0) };
    static TICKS: Cell<u64> = const { Cell::new(0) };
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

/// Falls with each second look, as if a key were freed in between.
fn falling() -> u64 {
    LOOKS.set(LOOKS.get() + 1);
    if LOOKS.get().is_multiple_of(2) {
        USED.set(USED.get().saturating_sub(STEP.get()));
    }
    USED.get()
}

fn ticking() -> u64 {
    TICKS.set(TICKS.get() + 100);
    TICKS.get()
}

fn server(lines: &str) -> Server {
    let mut server = testing::server(lines);
    server.ticks = ticking;
    server.last_tick = ticking();
    server.allocated = falling;
    LOOKS.set(0);
    TICKS.set(0);
    STEP.set(0);
    USED.set(1_000_000);
    server
}

fn set(server: &mut Server, db: usize, name: &str, deadline: Option<i64>) {
    let counts = server.config.settings.maxmemory_policy.counts_uses();
    server.keyspace.set_time(server.wall, counts);
    let key = server.keyspace.key(name.as_bytes());
    server.keyspace.db_mut(db).set_string(key, b"v", deadline.map(Millis));
}

/// So many keys' worth of bytes too many.
fn evict(server: &mut Server, keys: u64) -> Room {
    let limit = server.config.settings.maxmemory;
    LOOKS.set(0);
    STEP.set(100_000);
    USED.set(limit + 100_000 * (keys + 1));
    server.make_room(true)
}

/// What is left of `key:0` to `key:<of>`.
fn left(server: &Server, of: usize) -> Vec<usize> {
    let there = |i: &usize| {
        let name = format!("key:{i}");
        server.keyspace.dbs().any(|db| db.contains(db.key(name.as_bytes())))
    };
    (0..of).filter(there).collect()
}

#[test]
fn without_a_policy_nothing_goes_and_what_takes_memory_is_refused() {
    let mut server = server("maxmemory 1000");
    set(&mut server, 0, "key:0", None);
    assert_eq!(server.make_room(true), Room::None);
    assert!(server.is_out_of_memory());
    assert_eq!(left(&server, 1), [0]);
    let (now, all) = server.eviction.exceeded_us(TICKS.get());
    assert_eq!((now, all), (0, 0));
    USED.set(900);
    assert_eq!(server.make_room(true), Room::Enough);
    assert!(!server.is_out_of_memory());
    assert_eq!(server.eviction.exceeded_us(TICKS.get()), (0, 100));
}

#[test]
fn the_longest_unused_go_first() {
    let mut server = server("maxmemory 1000\nmaxmemory-policy allkeys-lru\nmaxmemory-samples 10");
    for i in 0..200 {
        server.wall = server.wall + Millis(1000);
        set(&mut server, i % 3, &format!("key:{i}"), None);
    }
    assert_eq!(evict(&mut server, 100), Room::Enough);
    let left = left(&server, 200);
    assert!((95..=110).contains(&left.len()), "{}", left.len());
    let old = left.iter().filter(|&&i| i < 100).count();
    assert!(old < 25, "{old} of the older half are left");
    assert_eq!(server.stats.evicted_keys as usize, 200 - left.len());
}

#[test]
fn the_least_used_go_first() {
    let mut server = server("maxmemory 1000\nmaxmemory-policy allkeys-lfu\nmaxmemory-samples 10\nlfu-log-factor 0");
    let mut dice = Dice(1);
    for i in 0..200 {
        set(&mut server, 0, &format!("key:{i}"), None);
        let name = format!("key:{i}");
        let entry = server.keyspace.db(0).get(server.keyspace.key(name.as_bytes())).expect("set above");
        for _ in 0..i {
            entry.set_access(server.frequencies().used(entry.access(), server.wall, dice.roll()));
        }
    }
    assert_eq!(evict(&mut server, 100), Room::Enough);
    let old = left(&server, 200).iter().filter(|&&i| i < 60).count();
    assert!(old < 10, "{old} of the least used are left");
}

#[test]
fn what_has_no_deadline_stays_where_only_volatile_keys_may_go() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let mut server = server(&format!("maxmemory 1000\nmaxmemory-policy {policy}"));
        let now = server.wall.0;
        for i in 0..200 {
            let deadline = (i % 10 == 0).then_some(now + 100_000 + i * 1000);
            set(&mut server, 0, &format!("key:{i}"), deadline);
        }
        assert_eq!(evict(&mut server, 10), Room::Enough, "{policy}");
        let kept = left(&server, 200);
        assert!((189..=191).contains(&kept.len()), "{policy}: {}", kept.len());
        if policy == "volatile-ttl" {
            assert!(kept.contains(&190) && !kept.contains(&0), "the nearest deadlines go first: {kept:?}");
        }
        assert_eq!(evict(&mut server, 100), Room::None, "{policy}");
        assert_eq!(left(&server, 200).len(), 180, "{policy}");
    }
}

#[test]
fn one_go_ends_by_the_clock_and_the_rest_goes_on_behind_the_turn() {
    let mut server = server("maxmemory 1000\nmaxmemory-policy allkeys-random\nmaxmemory-eviction-tenacity 2");
    for i in 0..1000 {
        set(&mut server, 0, &format!("key:{i}"), None);
    }
    assert_eq!(evict(&mut server, 500), Room::Making);
    assert!(server.evicts() && !server.is_out_of_memory());
    assert!(matches!(server.asks[..], [Ask::Evict]));
    assert_eq!(server.stats.evicted_keys, 2 * STRIDE);
    let goes = (1..100).find(|_| server.make_room(false) == Room::Enough).expect("it ends");
    assert!((10..=40).contains(&goes), "{goes}");
    assert!(!server.evicts());
    assert_eq!(server.asks.len(), 1);
}

#[test]
fn each_goes_by_an_effect_of_its_own() {
    let mut server = server("maxmemory 1000\nmaxmemory-policy allkeys-random");
    set(&mut server, 0, "key:0", None);
    set(&mut server, 3, "key:1", None);
    assert_eq!(evict(&mut server, 2), Room::Enough);
    let fed: Vec<u8> = server
        .feed
        .pieces(0)
        .flat_map(|piece| match piece {
            crate::command::feed::Piece::Bytes(bytes, _) => bytes.to_vec(),
            crate::command::feed::Piece::History(..) => Vec::new(),
        })
        .collect();
    let fed = String::from_utf8(fed).expect("text");
    assert_eq!((fed.matches("DEL").count(), fed.matches("MULTI").count()), (2, 0), "{fed}");
}

#[test]
fn a_pause_a_load_and_a_fault_are_no_time_to_evict() {
    let mut server = server("maxmemory 1000\nmaxmemory-policy allkeys-random");
    set(&mut server, 0, "key:0", None);
    server.begin_pause(PauseBy::Shutdown, Millis(1), false);
    assert_eq!(evict(&mut server, 5), Room::Enough);
    server.end_pause(PauseBy::Shutdown);
    server.fault = Some("MISCONF".into());
    assert_eq!(evict(&mut server, 5), Room::Enough);
    server.fault = None;
    assert_eq!(left(&server, 1), [0]);
    let slot = server.connect(Kind::Normal, String::new(), String::new(), 0);
    assert_eq!(evict(&mut server, 5), Room::None);
    assert!(server.clients.contains(slot) && left(&server, 1).is_empty());
}

#[test]
fn the_limit_of_one_go_is_that_of_redis() {
    assert_eq!([0, 1, 10, 12, 100].map(time_limit_us), [0, 50, 500, 661, u64::MAX]);
    assert!((100_000_000..150_000_000).contains(&time_limit_us(99)));
}
