//! Stops in the middle of something, and what becomes of files that are being written: dumps, and a log that is new.

mod support;

use regent::resp::Frame;
use std::time::Duration;
use support::{SOON, Server, wait_until};

/// At each of the keys that a dump writes; a dump with it is never over.
const FOR_EVER: &str = "CONFIG SET rdb-key-save-delay 100000000";

fn unfinished(node: &Server) -> Vec<String> {
    let names = std::fs::read_dir(&node.path).expect("its directory").flatten();
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("temp-"))
        .collect()
}

/// A node whose dump is being written, and will be for ever.
fn dumping(directives: &[&str]) -> Server {
    let node = Server::node(directives);
    for n in 0..20 {
        node.ok(&format!("SET {n} {n}"));
    }
    node.ok(FOR_EVER);
    assert!(matches!(node.ask("BGSAVE"), Frame::Simple(_)));
    wait_until("the dump is being written", SOON, || !unfinished(&node).is_empty());
    node
}

#[test]
fn a_stop_gives_up_the_dump_that_is_being_written() {
    for ask in ["SHUTDOWN NOSAVE", "SHUTDOWN"] {
        let mut node = dumping(&["save \"\""]);
        let mut client = node.client();
        client.send(&ask.split(' ').collect::<Vec<_>>()).expect("sent");
        assert!(node.wait_end().success());
        assert_eq!(unfinished(&node), [""; 0]);
        node.start();
        assert_eq!(node.ask("DBSIZE"), Frame::Int(20));
    }
}

#[test]
fn who_insists_is_heard_while_a_stop_saves() {
    let mut node = Server::node(&["save 900 1"]);
    node.ok("SET a b");
    node.ok(FOR_EVER);
    node.signal(libc::SIGINT);
    wait_until("the stop saves", SOON, || !unfinished(&node).is_empty());
    node.signal(libc::SIGINT);
    assert_eq!(node.wait_end().code(), Some(1));
    assert_eq!(unfinished(&node), [""; 0]);
    assert!(node.log().contains("You insist... exiting now."));
    node.unset("rdb-key-save-delay");
    node.start();
    assert_eq!(node.ask("GET a"), Frame::Bulk(b"b".to_vec()), "the log has it");
}

#[test]
fn a_stop_whose_dump_fails_does_not_happen() {
    for log in ["appendonly yes", "appendonly no"] {
        let mut node = Server::node(&["save 900 1", log]);
        node.ok("SET a b");
        let dump = node.path.join("dump.rdb");
        std::fs::create_dir_all(dump.join("in the way")).expect("a directory");
        node.signal(libc::SIGTERM);
        node.wait_for_log("Error trying to save the DB, can't exit");
        let errors = Frame::Error("ERR Errors trying to SHUTDOWN. Check logs.".into());
        assert_eq!(node.ask("SHUTDOWN"), errors);
        node.ok("SET a c"); // it was no background save that failed
        assert_eq!(unfinished(&node), [""; 0]);
        node.client().send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
        assert!(node.wait_end().success());
    }
}

/// What is turned on begins with a checkpoint, which waits for the storage thread.
#[test]
fn a_log_that_is_turned_on_counts_from_its_first_checkpoint() {
    let mut node = dumping(&["save \"\"", "appendonly no"]);
    let figures = |node: &Server| {
        let info = node.info("persistence");
        ["rdb_bgsave_in_progress", "aof_rewrite_scheduled", "aof_rewrite_in_progress"].map(|name| info.int(name))
    };
    assert_eq!(figures(&node), [1, 0, 0]);
    let scheduled = Frame::Simple("Background append only file rewriting scheduled".into());
    assert_eq!(node.ask("BGREWRITEAOF"), scheduled);
    assert_eq!(figures(&node), [1, 1, 0]);
    node.ok("CONFIG SET appendonly yes");
    assert_eq!(figures(&node), [1, 1, 0]);
    let mut client = node.client();
    client.patience(Duration::from_secs(20));
    assert!(client.ask("SET late yes").is_ok());
    assert_eq!(
        client.ask("WAITAOF 1 0 1500"),
        Frame::Array(vec![Frame::Int(0), Frame::Int(0)]),
        "a crash would lose it"
    );
    node.ok("CONFIG SET rdb-key-save-delay 0");
    assert_eq!(client.ask("WAITAOF 1 0 0"), Frame::Array(vec![Frame::Int(1), Frame::Int(0)]));
    assert_eq!(figures(&node)[1..], [0, 0]);
    node.set("appendonly", "yes");
    node.crash();
    assert_eq!(node.ask("DBSIZE"), Frame::Int(21));
}

#[test]
fn flushall_leaves_an_empty_dump_where_there_are_save_points() {
    let node = dumping(&["save 3600 1"]);
    assert_ne!(node.info("persistence").int("rdb_changes_since_last_save"), 0);
    node.ok("FLUSHALL");
    let info = node.info("persistence");
    assert_eq!(["rdb_changes_since_last_save", "rdb_bgsave_in_progress"].map(|name| info.int(name)), [0, 0]);
    assert!(node.path.join("dump.rdb").exists());
    assert!(node.cmd(&["CONFIG", "SET", "save", ""]).is_ok());
    node.ok("SET a b");
    node.ok("FLUSHALL");
    assert_eq!(node.info("persistence").int("rdb_changes_since_last_save"), 3);
}

#[test]
fn flushall_is_done_though_its_dump_fails() {
    let node = Server::node(&["save 3600 1"]);
    std::fs::create_dir_all(node.path.join("dump.rdb/in the way")).expect("a directory");
    node.ok("SET a b");
    node.ok("FLUSHALL");
    assert_eq!(node.ask("DBSIZE"), Frame::Int(0));
    node.wait_for_log("Error saving the DB");
    node.ok("SET a b");
}
