//! The topology of this repository, walked as a user walks it: each process through its own `start.sh` on copies of
//! `nodes/` and `sentinels/`, `kill -9`, and what the servers then say of themselves.
//!
//! `REGENT` names a binary to walk with in place of the one that was built for the tests.

#[path = "seed/load.rs"]
mod load;
mod support;

use load::Writer;
use regent::resp::Frame;
use support::{Lookups, Member, SOON, Topology, WORKS, wait_until};

/// The fields of `INFO replication` of Redis 7.2 for a master with two replicas, in its order.
const MASTER_FIELDS: &[&str] = &[
    "role",
    "connected_slaves",
    "min_slaves_good_slaves",
    "slave0",
    "slave1",
    "master_failover_state",
    "master_replid",
    "master_replid2",
    "master_repl_offset",
    "second_repl_offset",
    "repl_backlog_active",
    "repl_backlog_size",
    "repl_backlog_first_byte_offset",
    "repl_backlog_histlen",
];

/// The same for a replica whose link is up.
const REPLICA_FIELDS: &[&str] = &[
    "role",
    "master_host",
    "master_port",
    "master_link_status",
    "master_last_io_seconds_ago",
    "master_sync_in_progress",
    "slave_read_repl_offset",
    "slave_repl_offset",
    "slave_priority",
    "slave_read_only",
    "replica_announced",
    "connected_slaves",
    "min_slaves_good_slaves",
    "master_failover_state",
    "master_replid",
    "master_replid2",
    "master_repl_offset",
    "second_repl_offset",
    "repl_backlog_active",
    "repl_backlog_size",
    "repl_backlog_first_byte_offset",
    "repl_backlog_histlen",
];

#[track_caller]
fn begins_with_fields(member: &Member, expected: &[&str]) {
    let text = member.text(&["INFO", "replication"]);
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_once(':').map(|(name, _)| name)).collect();
    assert_eq!(names.get(..expected.len()), Some(expected), "{text}");
}

/// The configuration of a running sentinel: what it learnt is written, what the user wrote stands as it stood.
#[track_caller]
fn rewritten(topology: &Topology, sentinel: &Member) {
    let text = sentinel.config();
    let mut rest = text.as_str();
    for line in sentinel.shipped.lines() {
        let at = rest.find(&format!("{line}\n"));
        let at = at.unwrap_or_else(|| panic!("{}: {line:?} is gone, or has moved:\n{text}", sentinel.name));
        rest = &rest[at + line.len() + 1..];
    }
    let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(count(&format!("sentinel myid {}", sentinel.text(&["SENTINEL", "MYID"]))), 1, "{text}");
    for replica in &topology.nodes[1..] {
        let line = format!("sentinel known-replica myMaster 127.0.0.1 {}", replica.port);
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
    for other in topology.sentinels.iter().filter(|other| other.port != sentinel.port) {
        let id = other.text(&["SENTINEL", "MYID"]);
        let line = format!("sentinel known-sentinel myMaster 127.0.0.1 {} {id}", other.port);
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
    for epoch in ["config-epoch myMaster", "leader-epoch myMaster", "current-epoch"] {
        assert_eq!(count(&format!("sentinel {epoch} ")), 1, "{epoch}:\n{text}");
    }
}

/// Waits until the node follows that master, link up, at its offset.
#[track_caller]
fn wait_in_step(replica: &Member, master: &Member) {
    wait_until(&format!("{} is in step with {}", replica.name, master.name), WORKS, || {
        let (Some(own), Some(theirs)) = (replica.try_info("replication"), master.try_info("replication")) else {
            return false;
        };
        own.find("master_port") == Some(master.port.to_string().as_str())
            && own.find("master_link_status") == Some("up")
            && own.find("master_replid") == theirs.find("master_replid")
            && own.find("slave_repl_offset") == theirs.find("master_repl_offset")
    });
}

/// Waits until all three sentinels name that port.
#[track_caller]
fn wait_named(topology: &Topology, port: u16) {
    for sentinel in &topology.sentinels {
        wait_until(&format!("{} names {port}", sentinel.name), WORKS, || {
            sentinel.master_fields().is_some_and(|fields| fields["port"] == port.to_string())
        });
    }
}

/// The master that all three name once it is not `old` any more.
#[track_caller]
fn wait_promoted(topology: &Topology, old: u16) -> usize {
    let port = support::wait_for("the first sentinel names a new master", WORKS, || {
        let port: u16 = topology.sentinels[0].master_fields()?["port"].parse().ok()?;
        (port != old).then_some(port)
    });
    wait_named(topology, port);
    topology.nodes.iter().position(|node| node.port == port).expect("it is one of the nodes")
}

#[test]
fn the_walk() {
    let mut topology = Topology::new(3, 1000);
    topology.start();
    topology.wait_healthy();

    // What each shows.
    begins_with_fields(&topology.nodes[0], MASTER_FIELDS);
    begins_with_fields(&topology.nodes[1], REPLICA_FIELDS);
    for sentinel in &topology.sentinels {
        wait_until("the sentinel's file names all others", SOON, || {
            sentinel.config().matches("known-").count() == topology.nodes.len() + 1
        });
        rewritten(&topology, sentinel);
    }
    let group = topology.group();
    assert_eq!(topology.nodes[0].text(&["SET", "k1", "val1"]), "OK");
    for replica in &topology.nodes[1..] {
        wait_in_step(replica, &topology.nodes[0]);
        assert_eq!(replica.text(&["GET", "k1"]), "val1");
    }
    topology.lists_its_processes();

    // kill -9 of the master.
    let old = topology.nodes[0].port;
    let lookups = Lookups::begin(&topology.sentinels);
    topology.nodes[0].kill();
    let new = wait_promoted(&topology, old);
    let (port, third) = (topology.nodes[new].port, 3 - new);
    lookups.enough_of(port);
    lookups.end(&[old, port]);
    for replica in &topology.nodes[1..] {
        replica.wait_for_log("Error condition on socket for SYNC: Connection refused");
    }
    wait_in_step(&topology.nodes[third], &topology.nodes[new]);
    let stats = topology.nodes[new].info("stats");
    assert_eq!((stats.get("sync_full"), stats.get("sync_partial_ok")), ("0", "1"));
    assert!(topology.nodes[third].log().contains("Successful partial resynchronization with master."));
    wait_until("the new master accepts writes", WORKS, || topology.nodes[new].text(&["SET", "k2", "val2"]) == "OK");

    // The killed node comes back.
    topology.nodes[0].start();
    wait_in_step(&topology.nodes[0], &topology.nodes[new]);
    assert_eq!(topology.nodes[0].text(&["GET", "k1"]), "val1");
    assert_eq!(topology.nodes[0].text(&["GET", "k2"]), "val2");
    let stats = topology.nodes[new].info("stats");
    assert_eq!((stats.get("sync_full"), stats.get("sync_partial_ok")), ("0", "2"), "the old master came back in full");

    // kill -9 of a sentinel, and back.
    let id = topology.sentinels[1].text(&["SENTINEL", "MYID"]);
    topology.sentinels[1].kill();
    topology.sentinels[1].start();
    topology.wait_agreed(port);
    assert_eq!(topology.sentinels[1].text(&["SENTINEL", "MYID"]), id);
    assert_eq!(topology.group(), group);

    // All stop, all start.
    let epoch = topology.epoch();
    topology.stop();
    topology.start();
    topology.wait_agreed(port);
    for node in topology.nodes.iter().filter(|node| node.port != port) {
        wait_in_step(node, &topology.nodes[new]);
    }
    assert_eq!(topology.group(), group, "it is the same group");
    assert_eq!(topology.epoch(), epoch, "there was no failover");
    wait_until("the master accepts writes", WORKS, || topology.nodes[new].text(&["SET", "k3", "val3"]) == "OK");
    for node in &topology.nodes {
        wait_until("all have all", WORKS, || {
            ["k1", "k2", "k3"].iter().all(|key| node.text(&["GET", key]) == key.replace('k', "val"))
        });
    }
}

#[test]
fn crashes_under_writes_without_a_failover() {
    // Longer than a restart takes on a busy machine: the point is what happens when it is back in time.
    let mut topology = Topology::new(3, 60_000);
    topology.start();
    topology.wait_healthy();
    let (master, epoch) = (topology.nodes[0].port, topology.epoch());
    let writer = Writer::begin(master);
    writer.wait_for_more();

    topology.nodes[2].kill();
    writer.wait_for_more();
    let (full, partial) = topology.nodes[0].syncs();
    topology.nodes[2].start();
    topology.wait_good_replicas(2);
    writer.wait_for_more();
    assert_eq!(topology.nodes[0].syncs(), (full, partial + 1), "{}", topology.nodes[0].log());

    topology.nodes[0].kill();
    topology.nodes[0].start();
    topology.wait_good_replicas(2);
    writer.wait_for_more();
    assert_eq!(topology.nodes[0].syncs(), (0, 2), "{}", topology.nodes[0].log());
    let counted = writer.end();
    let Frame::Bulk(value) = topology.nodes[0].cmd(&["GET", "counter"]) else { panic!("no counter") };
    let value: u64 = String::from_utf8_lossy(&value).parse().expect("a number");
    assert!(value >= counted.acknowledged, "{counted:?}, and the counter stands at {value}: writes are lost");
    assert!(
        value <= counted.acknowledged + counted.unknown,
        "{counted:?}, the counter stands at {value}: applied twice"
    );
    assert_eq!(topology.epoch(), epoch, "there was no failover");
    topology.wait_agreed(master);
    for replica in 1..3 {
        wait_in_step(&topology.nodes[replica], &topology.nodes[0]);
        assert_eq!(topology.nodes[replica].text(&["GET", "counter"]), value.to_string());
    }
}

#[test]
fn two_nodes() {
    let mut topology = Topology::new(2, 1000);
    topology.start();
    topology.wait_healthy();
    assert_eq!(topology.nodes[0].text(&["SET", "k1", "val1"]), "OK");
    wait_in_step(&topology.nodes[1], &topology.nodes[0]);
    let (old, new) = (topology.nodes[0].port, topology.nodes[1].port);
    let lookups = Lookups::begin(&topology.sentinels);
    topology.nodes[0].kill();
    wait_named(&topology, new);
    lookups.enough_of(new);
    lookups.end(&[old, new]);
    topology.nodes[1].wait_for_log("Error condition on socket for SYNC: Connection refused");
    assert_eq!(topology.nodes[1].info("replication").get("role"), "master");
    assert_eq!(topology.nodes[1].text(&["GET", "k1"]), "val1");
    let refused = topology.nodes[1].cmd(&["SET", "k2", "val2"]);
    assert_eq!(refused, Frame::Error("NOREPLICAS Not enough good replicas to write.".into()));
    topology.nodes[0].start();
    wait_in_step(&topology.nodes[0], &topology.nodes[1]);
    assert_eq!(topology.nodes[1].syncs(), (0, 1), "{}", topology.nodes[1].log());
    wait_until("it accepts writes again", WORKS, || topology.nodes[1].text(&["SET", "k2", "val2"]) == "OK");
    wait_in_step(&topology.nodes[0], &topology.nodes[1]);
    assert_eq!(topology.nodes[0].text(&["GET", "k2"]), "val2");
}

#[test]
fn a_master_that_reads_its_store_for_long_is_not_waited_for() {
    let mut topology = Topology::with(3, 1000, "enable-debug-command yes\n");
    topology.start();
    topology.wait_healthy();
    assert!(topology.nodes[0].cmd(&["DEBUG", "POPULATE", "10000", "key", "10"]).is_ok());
    for replica in &topology.nodes[1..] {
        wait_in_step(replica, &topology.nodes[0]);
    }
    assert!(topology.nodes[0].cmd(&["SAVE"]).is_ok());
    topology.nodes[0].kill();
    let path = topology.nodes[0].dir.join("redis.conf");
    let slow = topology.nodes[0].config() + "\nkey-load-delay 1000\n"; // ten seconds for all keys
    std::fs::write(path, slow).expect("written");
    topology.nodes[0].start();
    let is_loading = |node: &Member| node.try_info("persistence").is_some_and(|info| info.get("loading") == "1");
    wait_until("the old master reads its store", WORKS, || is_loading(&topology.nodes[0]));
    let new = wait_promoted(&topology, topology.nodes[0].port);
    assert!(is_loading(&topology.nodes[0]), "nobody has waited until it was whole");
    wait_in_step(&topology.nodes[0], &topology.nodes[new]);
    assert_eq!(topology.nodes[new].syncs(), (0, 2), "full and partial copies: both others resume");
}
