//! Sentinels that join late, come back with an empty disk, or come back at another port; lookups are right all along.

use crate::support::free_port;
use crate::world::{World, ask, lookup, until};
use std::fs;

#[test]
fn a_fourth_sentinel_joins_and_votes() {
    let mut world = World::new(1000).watched();
    world.settle();
    let master = world.master();
    // Its file names a replica: the group's word counts, and it is told.
    let replica = world.nodes[1].0;
    let fourth = world.add_sentinel(replica);
    world.settle();
    world.watch(fourth);
    assert_eq!((world.master(), world.group(fourth)), (master, world.group(0)));
    assert!(world.log(fourth).contains(&format!("the group agreed that master myMaster is at 127.0.0.1:{master}")));
    assert!(world.log(fourth).contains(&format!("+switch-master myMaster 127.0.0.1 {replica} 127.0.0.1 {master}")));
    until("its file is brought up to date", || {
        let conf = fs::read_to_string(world.path(fourth, "sentinel.conf")).unwrap_or_default();
        conf.contains(&format!("sentinel monitor myMaster 127.0.0.1 {master} 2"))
    });
    let quorum = ask(world.sentinels[fourth].0, &["sentinel", "ckquorum", "myMaster"]).unwrap();
    assert_eq!(quorum, "OK 4 usable Sentinels. Quorum and failover authorization can be reached");

    // Of four voters three are needed: one of the first three away is no harm, and the fourth counts.
    world.kill_sentinel(0);
    world.kill_node(0);
    until("another master", || lookup(world.sentinels[fourth].0).is_some_and(|port| port != master));
    let second = world.master();
    world.start_sentinel(0);
    until("the first one follows", || lookup(world.sentinels[0].0) == Some(second));
    world.said(&[master, second]);
}

#[test]
fn a_sentinel_whose_disk_was_emptied_takes_its_own_place() {
    let mut world = World::new(1000).watched();
    world.settle();
    let (master, group) = (world.master(), world.group(0));
    let myid = ask(world.sentinels[2].0, &["sentinel", "myid"]);
    world.kill_sentinel(2);
    fs::remove_dir_all(world.path(2, "regent-group")).unwrap();
    world.start_sentinel(2);
    assert_eq!(lookup(world.sentinels[2].0).or(Some(master)), Some(master));
    until("it is a voter of its group again, and the only one of its name", || {
        (0..3).all(|n| world.voters(n) == 3) && world.group(2) == group && lookup(world.sentinels[2].0) == Some(master)
    });
    until("the one before is gone", || (0..2).any(|n| world.log(n).contains("left the group")));
    assert_eq!(ask(world.sentinels[2].0, &["sentinel", "myid"]), myid);
    world.settle();
    // Its vote is needed now.
    world.kill_sentinel(0);
    until("the other two are a majority", || (1..3).all(|n| lookup(world.sentinels[n].0) == Some(master)));
    world.said(&[master]);
}

#[test]
fn a_sentinel_that_comes_back_at_another_port_is_followed() {
    let mut world = World::new(1000);
    world.settle();
    let (master, group) = (world.master(), world.group(0));
    world.kill_sentinel(1);
    let (old, new) = (world.sentinels[1].0, free_port());
    let path = world.path(1, "sentinel.conf");
    let conf = fs::read_to_string(&path).unwrap().replace(&format!("port {old}\n"), &format!("port {new}\n"));
    fs::write(&path, conf).unwrap();
    world.sentinels[1].0 = new;
    world.start_sentinel(1);
    until("it is back in its group", || world.group(1) == group && lookup(new) == Some(master));
    until("the others know its port", || {
        [0, 2].iter().all(|n| {
            let known = ask(world.sentinels[*n].0, &["sentinel", "sentinels", "myMaster"]).unwrap_or_default();
            known.contains(&format!("port {new} ")) && !known.contains(&format!("port {old} "))
        })
    });
    world.settle();
    // The log reaches it there: with one of the others away it is needed for every commit.
    world.kill_sentinel(0);
    until("both that are left confirm the master", || {
        [1, 2].iter().all(|n| lookup(world.sentinels[*n].0) == Some(master))
    });
    world.kill_node(0);
    until("and both know the next", || {
        let named: Vec<_> = [1, 2].iter().map(|n| lookup(world.sentinels[*n].0)).collect();
        named[0].is_some_and(|port| port != master) && named[0] == named[1]
    });
}
