//! What operators hang on a sentinel: scripts, simulated failures, pauses.

use crate::world::{World, ask, let_pass, lookup, timed, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[test]
fn scripts_hear_of_a_failover() {
    let more =
        "sentinel notification-script myMaster notify.sh\nsentinel client-reconfig-script myMaster ./reconfigure.sh\n";
    let mut world = World::new(1000);
    world.settle();
    for n in 0..3 {
        world.kill_sentinel(n);
        for (name, file) in [("notify.sh", "notified"), ("reconfigure.sh", "reconfigured")] {
            let path = world.path(n, name);
            fs::write(&path, format!("#!/bin/sh\necho \"$0 $*\" >> {file}\nls -l /proc/$$/fd >> fds\nexit 0\n"))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = world.path(n, "sentinel.conf");
        let conf = fs::read_to_string(&path).unwrap();
        fs::write(&path, conf + more).unwrap();
        world.start_sentinel(n);
    }
    world.settle();
    let first = world.master();
    world.kill_node(world.node_of(first));
    until("another master", || lookup(world.sentinels[0].0).is_some_and(|port| port != first));
    let second = world.master();
    let read = |n: usize, name: &str| fs::read_to_string(world.path(n, name)).unwrap_or_default();
    until("each sentinel's script heard of the switch", || {
        (0..3).all(|n| {
            read(n, "notified").contains(&format!("+switch-master myMaster 127.0.0.1 {first} 127.0.0.1 {second}"))
        })
    });
    until("clients are reconfigured, once by each", || (0..3).all(|n| read(n, "reconfigured").lines().count() == 1));
    let mut roles: Vec<String> = (0..3)
        .map(|n| {
            let line = read(n, "reconfigured");
            let words: Vec<&str> = line.split_whitespace().collect();
            let ports = [first.to_string(), second.to_string()];
            assert_eq!(words[0], "./reconfigure.sh");
            assert_eq!(words[1], "myMaster");
            assert_eq!(words[3..], ["start", "127.0.0.1", &*ports[0], "127.0.0.1", &*ports[1]]);
            words[2].to_owned()
        })
        .collect();
    roles.sort();
    assert_eq!(roles, ["leader", "observer", "observer"]);
    assert!(read(0, "notified").contains("notify.sh +sdown master myMaster 127.0.0.1"), "{}", read(0, "notified"));
    let sockets = read(0, "fds").lines().filter(|line| line.contains("socket:")).count();
    assert_eq!(sockets, 0, "no descriptor of the sentinel leaks");
    until("the scripts have ended", || {
        ask(world.sentinels[0].0, &["sentinel", "pending-scripts"]).as_deref() == Some("")
    });
    // Redis' words, in Redis' order, on the sentinel that led.
    let leader = (0..3).find(|n| read(*n, "reconfigured").contains(" leader ")).unwrap();
    until("the last replica follows", || world.log(leader).contains("+slave-reconf-done"));
    let log = world.log(leader);
    let mut at = 0;
    for wanted in [
        "+sdown master",
        "+odown master",
        "+new-epoch 1",
        "+try-failover master",
        "+vote-for-leader ",
        "+elected-leader master",
        "+failover-state-select-slave master",
        "+selected-slave slave",
        "+failover-state-send-slaveof-noone slave",
        "+failover-state-wait-promotion slave",
        "+promoted-slave slave",
        "+failover-state-reconf-slaves master",
        "-odown master",
        "+failover-end master",
        "+switch-master myMaster",
        "+slave slave",
        "+slave-reconf-sent slave",
        "+slave-reconf-inprog slave",
        "+slave-reconf-done slave",
    ] {
        let found = log[at..].find(wanted);
        assert!(found.is_some(), "{wanted} does not come after the others:\n{log}");
        at += found.unwrap_or(0);
    }
}

#[test]
fn a_simulated_crash_is_taken_over_by_another() {
    let mut world = World::new(1000);
    world.settle();
    let first = world.master();
    for (port, _) in &world.sentinels {
        let simulated = ask(*port, &["sentinel", "simulate-failure", "crash-after-election"]);
        assert_eq!(simulated.as_deref(), Some("OK"));
    }
    let one = world.sentinels[0].0;
    until("the replicas are promotable", || ask(one, &["sentinel", "failover", "myMaster"]).as_deref() == Some("OK"));
    until("it ends as it was told to", || world.log(0).contains("Sentinel CRASH because of SENTINEL simulate-failure"));
    // The other two do not execute this pick before they take it over.
    until("another sentinel goes on with it", || lookup(world.sentinels[1].0).is_some_and(|port| port != first));
    world.kill_sentinel(0);
    world.start_sentinel(0);
    let second = world.master();
    until("all follow it", || world.replicas_are_linked(second));
}

#[test]
fn a_pause_holds_clients_for_its_time() {
    let world = World::new(5000);
    world.settle();
    let port = world.sentinels[0].0;
    let waited = timed(|| {
        assert_eq!(ask(port, &["client", "pause", "700"]).as_deref(), Some("OK"));
        assert_eq!(ask(port, &["ping"]).as_deref(), Some("PONG"));
    });
    assert!(waited.as_millis() >= 700, "{waited:?}");
}

#[test]
fn host_names_are_resolved_at_the_entrance() {
    // The nodes know each other, and announce themselves, by name.
    let (nodes, more) = ("replica-announce-ip localhost\n", "");
    let refused = World::at("localhost", 1000, nodes, more);
    until("a name without resolve-hostnames is no address", || {
        (0..3).all(|n| refused.log(n).contains("Can't resolve instance hostname."))
    });
    drop(refused);
    let mut world = World::at("localhost", 1000, nodes, "sentinel resolve-hostnames yes\n");
    world.settle();
    let first = world.master();
    let port = world.sentinels[0].0;
    let monitor = |name: &str, host: &str| ask(port, &["sentinel", "monitor", name, host, &first.to_string(), "1"]);
    assert_eq!(monitor("other", "localhost").as_deref(), Some("OK"));
    assert_eq!(
        ask(port, &["sentinel", "get-master-addr-by-name", "other"]),
        Some(format!("127.0.0.1 {first}")),
        "what leaves are addresses"
    );
    assert_eq!(
        monitor("third", "no.such.name.invalid").as_deref(),
        Some("-ERR Invalid IP address or hostname specified")
    );
    assert_eq!(ask(port, &["sentinel", "remove", "other"]).as_deref(), Some("OK"));
    world.kill_node(world.node_of(first));
    until("another master", || lookup(port).is_some_and(|port| port != first));
    let second = world.master();
    until("the other replica follows it", || world.replicas_are_linked(second));
    world.start_node(world.node_of(first));
    until("and so does the old master, which names it by name", || world.replicas_are_linked(second));
}

// A sentinel that was stopped woke with everything overdue, and called all nodes and sentinels down.
#[test]
fn a_sentinel_that_stood_still_holds_it_against_nobody() {
    let mut world = World::new(1000).watched();
    world.settle();
    let master = world.master();
    let pid = world.pid(0);
    let signal = |signal| {
        // SAFETY: a signal to a child that this test holds; it is not reaped yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    };
    signal(libc::SIGSTOP);
    let_pass(Duration::from_secs(6));
    signal(libc::SIGCONT);
    until("it has noticed, and confirms the master", || {
        world.log(0).contains("+tilt #tilt mode entered") && lookup(world.sentinels[0].0) == Some(master)
    });
    world.settle();
    let log = world.log(0);
    let after = log.split("+tilt #tilt mode entered").nth(1).unwrap_or_default();
    assert!(!after.contains("+sdown") && !after.contains("+odown"), "{after}");
    world.said(&[master]);
}
