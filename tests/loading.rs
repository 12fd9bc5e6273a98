//! What a node answers while it reads its store: LOADING, how far it is, and what needs no data; and that nothing of it
//! changes what is read. A directive makes the reading last: `key-load-delay`, microseconds a key.

mod support;

use regent::resp::Frame;
use support::{Client, SOON, Server, wait_for, wait_until};

const KEYS: usize = 2_000;
/// Two seconds or more for all keys; a start's patience is a tenth of one.
const SLOWLY: &str = "1000";

fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.as_bytes().to_vec())
}

fn loads(reply: &Frame) -> bool {
    matches!(reply, Frame::Error(text) if text == "LOADING Redis is loading the dataset in memory")
}

/// A client of a node that is reading, which is checked.
fn enter(node: &Server) -> Client {
    wait_for("a node that reads its store", SOON, || {
        let mut client = Client::connect(node.port).ok()?;
        client.try_cmd(&["GET", "key:1"]).ok().filter(loads).map(|_| client)
    })
}

/// Some keys in a checkpoint, and some behind it in the log; its place.
fn fill(node: &Server) -> (String, (String, i64)) {
    assert_eq!(node.ask(&format!("DEBUG POPULATE {KEYS} key 10")), Frame::Simple("OK".into()));
    node.save();
    node.ask("INCRBY counter 41");
    node.ok("SET behind it");
    (node.digest(), node.place())
}

/// Kills it; it is read slowly from then on.
fn start_slowly(node: &mut Server) {
    node.kill();
    node.set("key-load-delay", SLOWLY);
    node.spawn();
}

fn start_at_once(node: &mut Server) {
    node.kill();
    node.set("key-load-delay", "0");
    node.start();
}

#[test]
fn what_needs_no_data_is_served_and_nothing_changes() {
    let mut node = Server::node(&["proto-max-bulk-len 256mb"]);
    let before = fill(&node);
    start_slowly(&mut node);
    let mut client = enter(&node);
    for line in [
        "PING",
        "SET key:1 v",
        "DEL key:1",
        "DBSIZE",
        "KEYS *",
        "EVAL 'return 1' 0",
        "FUNCTION LIST",
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "REPLICAOF NO ONE",
        "REPLICAOF 127.0.0.1 1",
        "FAILOVER",
        "PSYNC ? -1",
        "FLUSHALL",
        "WAIT 0 0",
        "DEBUG DIGEST",
        "DEBUG RELOAD",
        "DEBUG LOADAOF",
        "DEBUG CHANGE-REPL-ID",
        "DEBUG POPULATE 1",
        "SWAPDB 0 1",
        "CONFIG SET appendonly no",
    ] {
        let reply = client.ask(line);
        assert!(
            matches!(&reply, Frame::Error(text) if text.contains("LOADING") || text.contains("loading")),
            "{line}: {reply:?}"
        );
    }
    for line in ["SELECT 3", "MULTI", "EXEC", "CONFIG SET loglevel verbose", "CLIENT SETNAME me", "WATCH key:1"] {
        assert!(!matches!(client.ask(line), Frame::Error(_)), "{line}");
    }
    let mut listener = node.client();
    listener.ask("SUBSCRIBE news");
    assert_eq!(client.ask("PUBLISH news first"), Frame::Int(1), "it has subscribers, and no stream");
    let heard = listener.receive().expect("a message");
    assert_eq!(heard, Frame::Array(["message", "news", "first"].map(bulk).to_vec()));
    let info = node.info("persistence");
    let [done, total] = ["loading_loaded_bytes", "loading_total_bytes"].map(|field| info.int(field));
    assert!(info.get("loading") == "1" && done < total, "{done} of {total}");
    wait_until("it gets on", SOON, || {
        node.info("persistence")
            .find("loading_loaded_bytes")
            .is_none_or(|now| now.parse::<i64>().is_ok_and(|now| now > done))
    });
    wait_until("the node is whole, for a client that was there", SOON, || {
        client.ask("GET key:1") != Frame::Error("LOADING Redis is loading the dataset in memory".into())
    });
    assert_eq!(client.ask("CLIENT GETNAME"), bulk("me"));
    assert_eq!(client.ask("SELECT 0"), Frame::Simple("OK".into()));
    assert_eq!(client.ask("GET counter"), bulk("41"));
    assert_eq!((node.digest(), node.place()), before, "it stands where it ended, under its id (N2)");
    assert_eq!(node.info("persistence").get("loading"), "0");
    assert_eq!(node.info("persistence").int("rdb_last_load_keys_loaded"), KEYS as i64 + 2);
}

#[test]
fn one_that_is_killed_or_stopped_while_it_reads_has_lost_nothing() {
    let mut node = Server::node(&[]);
    let before = fill(&node);
    start_slowly(&mut node);
    enter(&node);
    start_slowly(&mut node); // kill -9 in the middle
    enter(&node);
    node.signal(libc::SIGTERM);
    assert!(node.wait_end().success());
    node.spawn();
    let mut client = enter(&node);
    let _ = client.try_cmd(&["SHUTDOWN"]);
    assert!(node.wait_end().success());
    start_at_once(&mut node);
    assert_eq!((node.digest(), node.place()), before);
    node.ok("SET a b");
}

#[test]
fn a_replica_says_so_and_resumes_in_part() {
    let master = Server::node(&[]);
    let mut replica = Server::node(&[&format!("replicaof 127.0.0.1 {}", master.port)]);
    fill(&master);
    replica.wait_in_step(&master);
    replica.save();
    let copies = master.info("stats").int("sync_full");
    start_slowly(&mut replica);
    enter(&replica);
    let info = replica.info("replication");
    assert_eq!(
        (info.get("role"), info.int("master_port")),
        ("slave", i64::from(master.port)),
        "not a master for a moment"
    );
    assert_eq!(info.get("master_link_status"), "down");
    master.ask("INCR counter");
    replica.wait_in_step(&master);
    assert_eq!(replica.digest(), master.digest());
    assert_eq!(master.info("stats").int("sync_full"), copies);
}

#[test]
fn a_dump_that_an_empty_store_takes_over_is_loaded_in_sight() {
    let mut node = Server::node(&["dbfilename kept.rdb"]);
    let (digest, _) = fill(&node);
    assert_eq!(node.ask("BGSAVE"), Frame::Simple("Background saving started".into()));
    wait_until("the dump", SOON, || node.info("persistence").get("rdb_bgsave_in_progress") == "0");
    node.kill();
    for part in ["regent-log", "regent-store"] {
        std::fs::remove_dir_all(node.path.join(part)).expect("it was there");
    }
    node.set("key-load-delay", SLOWLY);
    node.spawn();
    enter(&node);
    assert!(node.info("persistence").int("loading_total_bytes") > 0);
    node.signal(libc::SIGTERM); // which is to leave the file as it is
    assert!(node.wait_end().success());
    node.spawn();
    enter(&node);
    node.ok("CONFIG SET key-load-delay 0");
    node.wait_ready();
    assert_eq!(node.digest(), digest);
}
