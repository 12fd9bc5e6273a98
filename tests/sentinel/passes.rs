//! Passwords: of the nodes, and among the sentinels.

use crate::world::{World, ask, lookup, until};

#[test]
fn with_the_right_passwords_a_group_is_founded_and_fails_over() {
    let nodes = "requirepass nodepass\nmasterauth nodepass\n";
    let sentinels = "requirepass s3cret\nsentinel sentinel-pass s3cret\nsentinel auth-pass myMaster nodepass\n";
    let mut world = World::with(1000, nodes, sentinels);
    // A client without the password learns nothing.
    until("the sentinels listen", || world.sentinels.iter().all(|(port, _)| ask(*port, &["ping"]).is_some()));
    assert_eq!(
        ask(world.sentinels[0].0, &["sentinel", "masters"]).as_deref(),
        Some("-NOAUTH Authentication required.")
    );
    world.use_pass("s3cret", "nodepass");
    world.settle();
    let first = world.master();
    world.kill_node(world.node_of(first));
    until("another master", || lookup(world.sentinels[0].0).is_some_and(|port| port != first));
    let second = world.master();
    until("the other replica follows it", || world.replicas_are_linked(second));
    let log: String = (0..3).map(|n| world.log(n)).collect();
    assert!(!log.contains("s3cret") && !log.contains("nodepass"), "no password in a log");
}

#[test]
fn a_wrong_password_is_named_in_the_log_and_set_right_by_hand() {
    let nodes = "requirepass nodepass\nmasterauth nodepass\n";
    let world = World::with(
        1000,
        nodes,
        "sentinel auth-pass myMaster wrong\nrequirepass s3cret\nsentinel sentinel-pass other\n",
    );
    world.use_pass("s3cret", "nodepass");
    let master = world.nodes[0].0;
    until("the node's refusal is in the log", || {
        world.log(0).contains(&format!("127.0.0.1:{master} answered AUTH on the Command link: WRONGPASS"))
    });
    for n in 0..3 {
        let port = world.sentinels[n].0;
        assert_eq!(ask(port, &["sentinel", "set", "myMaster", "auth-pass", "nodepass"]).as_deref(), Some("OK"));
    }
    until("the sentinels find, and refuse, each other", || {
        world.log(0).contains("does not accept this one's password")
            && world.log(0).contains("was not let in: wrong pass")
    });
    assert!((0..3).all(|n| world.voters(n) == 0), "no group without the password");
    for n in 0..3 {
        let port = world.sentinels[n].0;
        let set = ["sentinel", "config", "set", "sentinel-pass", "s3cret"];
        assert_eq!(ask(port, &set).as_deref(), Some("OK"));
    }
    world.settle();
    assert_eq!(world.master(), master);
}
