//! SHUTDOWN with replicas that lag, and what else ends connections: `timeout`, `maxclients`, and the address that links
//! are made from.

use super::support::{Client, SOON, Server, wait_until};
use regent::resp::Frame;

fn pair(master: &Server, replica: &Server) {
    replica.follow(master);
    replica.wait_in_step(master);
    assert_eq!(master.ask("WAIT 1 5000"), Frame::Int(1));
}

fn stopping(master: &Server) -> bool {
    master.info("server").find("shutdown_in_milliseconds").is_some()
}

const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

fn error(client: &mut Client) -> String {
    client.receive().expect("a reply").error().unwrap_or_default().to_owned()
}

#[test]
fn a_master_that_stops_waits_for_its_replica() {
    let (mut master, replica) = (Server::node(&["shutdown-timeout 300"]), Server::node(&[]));
    pair(&master, &replica);
    replica.signal(libc::SIGSTOP);
    master.ok("SET k 1");
    let mut asker = master.client();
    asker.send(&["SHUTDOWN"]).expect("sent");
    wait_until("it waits", SOON, || stopping(&master));
    let mut writer = master.client();
    writer.send(&["SET", "k", "2"]).expect("sent");
    assert_eq!(master.ask("GET k"), Frame::Bulk(b"1".to_vec()), "writes wait, reads do not");
    replica.signal(libc::SIGCONT);
    assert!(master.wait_end().success());
    assert_eq!(replica.ask("GET k"), Frame::Bulk(b"1".to_vec()));
    assert!(master.log().contains("1 of 1 replicas are in sync when shutting down."));
    assert!(!master.log().contains("Lagging replica"));
    assert!(writer.receive().is_err(), "nobody was told of what was not done");
}

#[test]
fn the_wait_is_aborted_or_ends_with_its_time() {
    let (mut master, replica) = (Server::node(&["shutdown-timeout 300"]), Server::node(&[]));
    pair(&master, &replica);
    replica.signal(libc::SIGSTOP);
    master.ok("SET k 1");
    let (mut first, mut second, mut writer) = (master.client(), master.client(), master.client());
    first.send(&["SHUTDOWN"]).expect("sent");
    wait_until("it waits", SOON, || stopping(&master));
    second.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    writer.send(&["SET", "k", "2"]).expect("sent");
    wait_until("they wait", SOON, || master.info("clients").int("blocked_clients") == 3);
    master.signal(libc::SIGTERM); // one more wish is none
    wait_until("it is heard", SOON, || master.log().contains("Received SIGTERM scheduling shutdown"));
    master.ok("SHUTDOWN ABORT");
    assert_eq!((error(&mut first), error(&mut second)), (FAILED.into(), FAILED.into()));
    assert!(writer.receive().is_ok_and(|reply| reply.is_ok()), "writes go on");
    assert!(master.log().contains("Shutdown manually aborted."));
    assert_eq!(master.ask("SHUTDOWN ABORT").error(), Some("ERR No shutdown in progress."));
    master.ok("CONFIG SET shutdown-timeout 1");
    master.signal(libc::SIGTERM);
    assert!(master.wait_end().success());
    let log = master.log();
    assert!(log.contains("Lagging replica 127.0.0.1") && log.contains("0 of 1 replicas are in sync"), "{log}");
}

/// Both looked at one flag, and both came to their end.
#[test]
fn a_stop_that_was_aborted_is_not_taken_for_the_next() {
    let (mut master, replica) = (Server::node(&["shutdown-timeout 300"]), Server::node(&[]));
    pair(&master, &replica);
    replica.signal(libc::SIGSTOP);
    master.ok("SET k 1");
    let (mut first, mut second) = (master.client(), master.client());
    first.send(&["SHUTDOWN"]).expect("sent");
    wait_until("it waits", SOON, || stopping(&master));
    second.send_raw(b"SHUTDOWN ABORT\r\nSHUTDOWN\r\n").expect("sent");
    assert_eq!(error(&mut first), FAILED);
    replica.signal(libc::SIGCONT);
    assert!(master.wait_end().success());
    assert_eq!(master.log().matches("Redis is now ready to exit").count(), 1);
}

#[test]
fn now_waits_for_nobody() {
    let (mut master, replica) = (Server::node(&["shutdown-timeout 300"]), Server::node(&[]));
    pair(&master, &replica);
    replica.signal(libc::SIGSTOP);
    master.ok("SET k 1");
    master.client().send(&["SHUTDOWN", "NOW"]).expect("sent");
    assert!(master.wait_end().success());
    master.start();
    assert_eq!(master.ask("GET k"), Frame::Bulk(b"1".to_vec()));
}

#[test]
fn clients_are_so_many_and_idle_ones_go() {
    let node = Server::node(&["maxclients 3"]);
    wait_until("who looked whether it is ready has gone", SOON, || node.info("clients").int("connected_clients") == 1);
    let (mut first, mut second) = (node.client(), node.client());
    assert!(first.ask("PING").error().is_none());
    assert!(second.ask("PING").error().is_none());
    let mut fourth = Client::connect(node.port).expect("a connection");
    assert_eq!(error(&mut fourth), "ERR max number of clients reached");
    assert!(fourth.receive().is_err(), "and it is closed");
    assert_eq!(node.info("stats").int("rejected_connections"), 1);
    let most = node.ask("CONFIG SET maxclients 4294967295");
    let text = most.error().unwrap_or_default().to_owned();
    assert!(text.contains("is not able to handle the specified number of clients, try with"), "{most:?}");
    node.ok("CONFIG SET maxclients 10");
    node.ok("CONFIG SET timeout 1");
    let mut waiting = node.client();
    waiting.send(&["BLPOP", "list", "0"]).expect("sent");
    let mut listening = node.client();
    listening.ask("SUBSCRIBE channel");
    wait_until("the idle ones are gone", SOON, || {
        let reply = node.ask("CLIENT LIST");
        String::from_utf8_lossy(reply.text().unwrap_or_default()).lines().count() == 3
    });
    node.ok("CONFIG SET timeout 0");
    node.ask("RPUSH list v");
    assert!(waiting.receive().is_ok_and(|reply| reply.items().is_some()), "one that waits is not idle");
}

#[test]
fn links_are_made_from_the_address_that_is_given() {
    let (master, replica) = (Server::node(&["bind 0.0.0.0"]), Server::node(&["bind-source-addr 127.0.0.2"]));
    pair(&master, &replica);
    assert!(master.info("replication").get("slave0").starts_with("ip=127.0.0.2,"));
}
