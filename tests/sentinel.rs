//! Whole sentinels, as processes, over real `redis-server` nodes: founding, failover, restarts, MONITOR; who joins late
//! or comes back empty or elsewhere (`joining`), passwords (`passes`), scripts and simulated failures (`surface`).
//!
//! Every wait is for a condition, with a deadline. All along, one thread for each sentinel asks it for the master's
//! address: what a sentinel has said once it may never take back.

#[path = "sentinel/joining.rs"]
mod joining;
#[path = "sentinel/passes.rs"]
mod passes;
mod support;
#[path = "sentinel/surface.rs"]
mod surface;
#[path = "sentinel/world.rs"]
mod world;

use std::fs;
use support::free_port;
use world::{World, ask, lookup, until};

#[test]
fn a_killed_master_is_replaced_and_comes_back_as_a_replica() {
    let mut world = World::new(1000).watched();
    world.settle();
    let first = world.master();
    let path = world.dir.path().join("sentinel0/sentinel.conf");
    let wanted = ["sentinel myid ", "sentinel known-replica myMaster ", "sentinel known-sentinel myMaster "];
    until("sentinel.conf tells what the sentinel has learnt", || {
        let conf = fs::read_to_string(&path).unwrap_or_default();
        wanted.iter().all(|line| conf.contains(line))
    });
    let conf = fs::read_to_string(&path).unwrap();
    assert!(conf.starts_with("# the operator's own words\nport "), "{conf}");

    world.kill_node(world.node_of(first));
    until("another master takes writes", || {
        let others = world.nodes.iter().filter(|(port, _)| *port != first);
        others.map(|(port, _)| ask(*port, &["set", "k", "v"])).any(|reply| reply.as_deref() == Some("OK"))
    });
    let second = world.master();
    assert_ne!(second, first);
    world.start_node(world.node_of(first));
    until("the old master follows the new one", || world.replicas_are_linked(second));
    world.said(&[first, second]);
}

#[test]
fn a_sentinel_and_then_everything_is_restarted() {
    let mut world = World::new(1000).watched();
    world.settle();
    let (master, group) = (world.master(), world.group(0));
    let myid = ask(world.sentinels[0].0, &["sentinel", "myid"]);
    world.kill_sentinel(0);
    until("the others elect a leader", || (1..3).any(|n| world.info(n).contains("group_role:leader")));
    world.start_sentinel(0);
    until("it is back in its group", || world.group(0) == group && lookup(world.sentinels[0].0) == Some(master));
    assert_eq!(ask(world.sentinels[0].0, &["sentinel", "myid"]), myid);

    for n in 0..3 {
        world.kill_sentinel(n);
        world.kill_node(n);
    }
    for n in 0..3 {
        world.start_node(n);
        world.start_sentinel(n);
    }
    assert_eq!(world.master(), master);
    world.settle();
    assert!((0..3).all(|n| world.group(n) == group), "one group, the same");
    let info = ask(world.sentinels[0].0, &["sentinel", "master", "myMaster"]).unwrap();
    assert!(info.contains("config-epoch 0 "), "no failover took place: {info}");
    world.said(&[master]);
}

#[test]
fn monitor_is_one_for_the_group_and_failover_is_by_hand() {
    let mut world = World::new(5000).watched();
    world.settle();
    let first = world.master();
    let (one, two) = (world.sentinels[0].0, world.sentinels[1].0);
    let (agreed, other) = (first.to_string(), free_port().to_string());
    let monitor = |port: &str| ask(one, &["sentinel", "monitor", "myMaster", "127.0.0.1", port, "2"]).unwrap();
    assert_eq!(monitor(&agreed), "-ERR Duplicate master name.");
    assert_eq!(ask(one, &["sentinel", "remove", "myMaster"]).as_deref(), Some("OK"));
    assert_eq!(ask(one, &["sentinel", "get-master-addr-by-name", "myMaster"]).as_deref(), Some("(nil)"));
    assert_eq!(lookup(two), Some(first), "others go on watching");
    let refused = monitor(&other);
    assert!(refused.starts_with("-ERR ") && refused.contains(&format!("127.0.0.1 {first}")), "{refused}");
    assert_eq!(monitor(&agreed), "OK");
    world.settle();

    assert_eq!(ask(one, &["sentinel", "failover", "nobody"]).as_deref(), Some("-ERR No such master with that name"));
    until("the replicas are promotable", || ask(one, &["sentinel", "failover", "myMaster"]).as_deref() == Some("OK"));
    let again = ask(one, &["sentinel", "failover", "myMaster"]).unwrap();
    assert_eq!(again, "-INPROG Failover already in progress");
    until("every sentinel names the new master", || lookup(two).is_some_and(|port| port != first));
    let second = world.master();
    until("all follow it", || world.replicas_are_linked(second));
    world.said(&[first, second]);
}

#[test]
fn a_sentinel_without_the_group_says_so() {
    let mut world = World::new(5000).watched();
    world.settle();
    let (master, alone) = (world.master(), world.sentinels[0].0);
    world.kill_sentinel(1);
    world.kill_sentinel(2);
    until("a lookup is not confirmed", || {
        let reply = ask(alone, &["sentinel", "get-master-addr-by-name", "myMaster"]);
        reply.is_some_and(|reply| reply.starts_with("-NOQUORUM "))
    });
    let info = ask(alone, &["sentinel", "master", "myMaster"]).unwrap();
    assert!(info.contains(&format!("port {master} ")) && info.contains("flags s_down,master"), "{info}");
    until("the others are seen to be away", || {
        let reply = ask(alone, &["sentinel", "ckquorum", "myMaster"]).unwrap_or_default();
        reply.starts_with("-NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum")
    });
    world.start_sentinel(1);
    until("two of three are enough", || lookup(alone) == Some(master));
    world.said(&[master]);
}
