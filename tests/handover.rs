//! FAILOVER between real processes: ours, and Redis' on either side. Nothing that was acknowledged may be lost, and no
//! full copy is needed.

mod support;

use regent::resp::Frame;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{Client, SOON, Server, wait_until};

fn role(server: &Server) -> String {
    server.info("replication").get("role").to_owned()
}

fn state(server: &Server) -> String {
    server.info("replication").get("master_failover_state").to_owned()
}

fn wait_for_roles(former: &Server, new: &Server) {
    wait_until("the roles are swapped", SOON, || {
        state(former) == "no-failover" && role(former) == "slave" && role(new) == "master"
    });
    former.wait_in_step(new);
}

fn pair(master: &Server, replica: &Server) {
    replica.follow(master);
    replica.wait_in_step(master);
    wait_until("the master knows where it is", SOON, || {
        let info = master.info("replication");
        info.find("slave0").is_some_and(|line| line.contains(&format!("port={},state=online", replica.port)))
    });
}

fn to(server: &Server) -> String {
    format!("FAILOVER TO 127.0.0.1 {}", server.port)
}

/// All INCRs that a client was told of are there, on both, whoever is the master meanwhile.
fn hand_over_under_load(first: &Server, second: &Server, rounds: usize) {
    pair(first, second);
    let full = first.info("stats").int("sync_full") + second.info("stats").int("sync_full");
    let (stop, port) = (AtomicBool::new(false), [first.port, second.port]);
    let acked = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut acked, mut at) = (0, 0);
            let mut client = Client::connect(port[0]).expect("a connection");
            while !stop.load(Ordering::Relaxed) {
                match client.try_cmd(&["INCR", "counter"]) {
                    Ok(Frame::Int(_)) => acked += 1,
                    Ok(Frame::Error(text)) if text.starts_with("READONLY") => {
                        at = 1 - at;
                        client = Client::connect(port[at]).expect("a connection");
                    }
                    other => panic!("{other:?}"),
                }
            }
            acked
        });
        let (mut from, mut into) = (first, second);
        for round in 0..rounds {
            let count = |server: &Server| server.ask("GET counter").text().map(<[u8]>::to_vec);
            let before = count(from);
            wait_until("the load goes on", SOON, || count(from) != before);
            from.ok(&if round % 2 == 0 { to(into) } else { "FAILOVER".into() });
            wait_for_roles(from, into);
            std::mem::swap(&mut from, &mut into);
        }
        stop.store(true, Ordering::Relaxed);
        load.join().expect("the load")
    });
    let (master, replica) = if role(first) == "master" { (first, second) } else { (second, first) };
    replica.wait_in_step(master);
    assert_eq!(master.ask("GET counter"), Frame::Bulk(acked.to_string().into_bytes()));
    assert_eq!(master.digest(), replica.digest());
    let after = first.info("stats").int("sync_full") + second.info("stats").int("sync_full");
    assert_eq!(after, full, "the former master goes on where it was");
}

#[test]
fn two_nodes_hand_over_to_each_other_and_lose_nothing() {
    let (first, second) = (Server::node(&[]), Server::node(&[]));
    hand_over_under_load(&first, &second, 4);
    assert!(first.log().contains("is synced, failing over"));
    assert!(second.log().contains("MASTER MODE enabled (failover request from"));
}

#[test]
fn a_node_and_redis_hand_over_to_each_other() {
    let (node, redis) = (Server::node(&[]), Server::redis(&[]));
    hand_over_under_load(&node, &redis, 3);
}

/// What the new master was told of before it took over is in its log, and its new id is too.
#[test]
fn a_crash_behind_the_handover_changes_nothing() {
    let (first, mut second) = (Server::node(&[]), Server::node(&[]));
    pair(&first, &second);
    first.ok("SET a 1");
    first.ok(&to(&second));
    wait_for_roles(&first, &second);
    assert_eq!(second.info("stats").int("sync_partial_ok"), 1, "by the link that asked it to take over");
    second.ok("SET b 2");
    first.wait_in_step(&second);
    let (id, offset) = second.place();
    let former = second.info("replication").get("master_replid2").to_owned();
    first.signal(libc::SIGSTOP); // with its first PSYNC the id changes
    second.crash();
    assert_eq!(second.place(), (id, offset), "nothing of its own yet");
    assert_eq!(second.info("replication").get("repl_former_ids"), "1");
    assert_eq!(second.info("replication").get("master_replid2"), former);
    assert_eq!(second.ask("MGET a b").items().map(<[_]>::len), Some(2));
    first.signal(libc::SIGCONT);
    first.wait_in_step(&second);
    assert_eq!(second.info("stats").int("sync_full"), 0);
}

#[test]
fn a_target_that_lags_is_waited_for_aborted_or_forced() {
    let (master, replica, other) = (Server::node(&[]), Server::node(&[]), Server::node(&[]));
    pair(&master, &replica);
    replica.signal(libc::SIGSTOP);
    master.ok("SET a 1");
    let refused = |line: &str, why: &str| {
        let reply = master.ask(line);
        assert!(reply.error().is_some_and(|text| text == why), "{line}: {reply:?}");
    };
    refused("FAILOVER TO nowhere 1", "ERR FAILOVER target HOST and PORT is not a replica.");
    refused("FAILOVER FORCE", "ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    let forced = format!("{} FORCE", to(&replica));
    refused(&forced, "ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    master.ok(&to(&replica));
    assert_eq!(state(&master), "waiting-for-sync");
    refused("FAILOVER", "ERR FAILOVER already in progress.");
    refused("REPLICAOF NO ONE", "ERR REPLICAOF not allowed while failing over.");
    let mut writer = master.client();
    writer.send(&["SET", "b", "2"]).expect("sent");
    assert_eq!(master.ask("GET b"), Frame::Null, "writes wait, reads do not");
    wait_until("the writer waits", SOON, || master.info("clients").int("blocked_clients") == 1);
    let mut late = other.client();
    drop(late.cmd(&["PING"]));
    let mut asker = master.client();
    let reply = asker.ask("PSYNC ? -1");
    assert!(reply.error().is_some_and(|text| text == "NOMASTERLINK Can't SYNC while failing over"), "{reply:?}");
    master.ok("FAILOVER ABORT");
    assert!(writer.receive().is_ok_and(|reply| reply.is_ok()));
    assert_eq!((state(&master), role(&master)), ("no-failover".into(), "master".into()));
    master.ok(&format!("{} TIMEOUT 100", to(&replica)));
    wait_until("the time is over", SOON, || state(&master) == "no-failover");
    assert!(master.log().contains("aborted: Replica never caught up before timeout"));
    assert_eq!(role(&master), "master");
    master.ok(&format!("{} TIMEOUT 100 FORCE", to(&replica)));
    wait_until("it is forced", SOON, || state(&master) == "failover-in-progress");
    assert_eq!(role(&master), "slave", "never two masters");
    replica.signal(libc::SIGCONT);
    wait_for_roles(&master, &replica);
    assert_eq!(replica.ask("GET b"), Frame::Bulk(b"2".to_vec()));
    assert_eq!(replica.digest(), master.digest());
}

/// A target that has turned to somebody else, or to nobody, does not take over: the master is one again.
#[test]
fn a_target_that_refuses_leaves_the_master_what_it_was() {
    let (master, replica) = (Server::node(&[]), Server::node(&[]));
    pair(&master, &replica);
    master.ok("SET a 1");
    replica.wait_in_step(&master);
    let mut asker = replica.client();
    let reply = asker.ask(&format!("PSYNC {} 1 FAILOVER", "0".repeat(40)));
    assert!(reply.error().is_some_and(|text| text == "ERR PSYNC FAILOVER replid must match my replid."), "{reply:?}");
    let reply = master.client().ask("PSYNC ? 1 FAILOVER");
    assert!(reply.error().is_some_and(|text| text == "ERR PSYNC FAILOVER can't be sent to a master."), "{reply:?}");
    // A password that the master does not have: the target answers PSYNC with an error, and that ends it.
    let id = master.place().0;
    replica.ok("CONFIG SET requirepass secret");
    master.ok("FAILOVER");
    master.wait_for_log("aborted: Failover target rejected psync request");
    wait_until("it is over", SOON, || state(&master) == "no-failover" && role(&master) == "master");
    assert_ne!(master.place().0, id, "what the target did is not known");
    master.ok("SET b 2");
}
