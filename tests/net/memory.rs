//! What clients take: `maxmemory-clients`, and the figures of CLIENT LIST while something waits.

use super::support::{Client, SOON, Server, wait_until};
use regent::resp::Frame;

/// A field of the line of the client with this name; nothing where it is gone.
fn field(server: &Server, name: &str, field: &str) -> Option<i64> {
    let Frame::Bulk(list) = server.ask("CLIENT LIST") else { panic!("no list") };
    let list = String::from_utf8(list).expect("text");
    let line = list.lines().find(|line| line.contains(&format!(" name={name} ")))?;
    let value = line.split(' ').find_map(|part| part.strip_prefix(&format!("{field}=")));
    Some(value.expect("the field").parse().expect("a number"))
}

fn named(server: &Server, name: &str) -> Client {
    let mut client = server.client();
    assert!(client.ask(&format!("CLIENT SETNAME {name}")).is_ok());
    client
}

#[test]
fn the_largest_client_is_evicted_whatever_it_holds() {
    let server = Server::node(&["maxmemory-clients 4mb"]);
    server.ok("CLIENT NO-EVICT on");

    let mut small = named(&server, "small");
    let mut query = named(&server, "query");
    query.send_raw(b"*2\r\n$3\r\nGET\r\n$3000000\r\n").expect("sent");
    wait_until("it is shown", SOON, || field(&server, "query", "argv-mem") == Some(23));
    query.send_raw(&[b'x'; 100_000]).expect("sent");
    wait_until("it is shown", SOON, || field(&server, "query", "qbuf") == Some(100_000));
    assert!(field(&server, "query", "tot-mem") > Some(3_000_000));

    // It listens and does not read. When both are too large together, that one goes that was large first.
    let mut listener = named(&server, "listener");
    listener.ask("SUBSCRIBE c");
    let message = "x".repeat(1 << 20);
    let mut speaker = named(&server, "speaker");
    assert!(speaker.ask("CLIENT NO-EVICT on").is_ok());
    wait_until("one is gone", SOON, || {
        speaker.ask(&format!("PUBLISH c {message}"));
        server.info("stats").int("evicted_clients") == 1
    });
    drop(speaker); // whose query buffer counts too
    wait_until("it has gone", SOON, || field(&server, "speaker", "qbuf").is_none());
    assert_eq!(field(&server, "query", "qbuf"), None);
    assert!(field(&server, "listener", "omem") > Some(1 << 20));
    assert!(server.log().contains("Evicting client: "));
    assert_eq!(small.ask("PING"), Frame::Simple("PONG".into()));

    // A lower limit closes whoever is left of the large ones, and none of the small.
    server.ok("CONFIG SET maxmemory-clients 1mb");
    assert_eq!(field(&server, "listener", "qbuf"), None);
    assert_eq!(server.info("stats").int("evicted_clients"), 2);
    assert_eq!(small.ask("PING"), Frame::Simple("PONG".into()));
    assert!(query.receive().is_err());
}

#[test]
fn a_transaction_that_grows_too_large_is_not_executed() {
    let server = Server::node(&["maxmemory-clients 1mb"]);
    let mut client = named(&server, "queues");
    assert!(client.ask("MULTI").is_ok());
    let set = format!("SET k {}", "x".repeat(100_000));
    let queued = (0..100).take_while(|_| client.try_cmd(&set.split(' ').collect::<Vec<_>>()).is_ok()).count();
    assert!((8..=11).contains(&queued), "{queued}");
    assert_eq!(server.ask("EXISTS k"), Frame::Int(0));
    assert_eq!(server.info("stats").int("evicted_clients"), 1);
}

#[test]
fn figures_go_up_with_what_waits_and_down_again() {
    let server = Server::node(&[]);
    server.ok("DEBUG REPLYBUFFER PEAK-RESET-TIME 100");
    let mut client = named(&server, "reader");
    server.ask(&format!("SETRANGE big {} x", 5_000_000 - 1));
    wait_until("an idle client keeps little", SOON, || field(&server, "reader", "rbs") == Some(1024));
    client.send(&["GET", "big"]).expect("sent");
    wait_until("it waits", SOON, || field(&server, "reader", "omem").is_some_and(|omem| omem > 1_000_000));
    assert!(field(&server, "reader", "oll") > Some(60));
    assert_eq!(field(&server, "reader", "obl"), Some(16384));
    assert!(server.info("memory").int("mem_clients_normal") > 1_000_000);
    wait_until("it is noted", SOON, || server.info("clients").int("client_recent_max_output_buffer") > 1_000_000);
    client.receive().expect("the reply");
    wait_until("nothing is left", SOON, || {
        field(&server, "reader", "omem") == Some(0)
            && field(&server, "reader", "rbs") == Some(1024)
            && server.info("stats").int("reply_buffer_shrinks") > 0
    });
    assert!(server.info("memory").int("mem_clients_normal") < 200_000);
}

#[test]
fn the_query_buffer_of_who_fell_silent_is_cut_back() {
    let server = Server::node(&[]);
    let mut client = named(&server, "silent");
    client.send_raw(b"*2\r\n$3\r\nGET\r\n$1000000\r\nx").expect("sent");
    wait_until("it is shown", SOON, || field(&server, "silent", "qbuf-free") > Some(900_000));
    wait_until("it is cut back", SOON, || field(&server, "silent", "qbuf-free") < Some(4096));
    assert_eq!(field(&server, "silent", "qbuf"), Some(1));
    client.send_raw(&[b'x'; 999_999]).expect("sent");
    client.send_raw(b"\r\n").expect("sent");
    assert_eq!(client.receive().expect("a reply"), Frame::Null);
}

#[test]
fn an_endless_reply_ends_at_the_output_limit() {
    let server = Server::node(&["client-output-buffer-limit normal 100000 0 0"]);
    server.ask("HSET h a b");
    server.ask("SADD s a");
    server.ask("ZADD z 1 a");
    for line in ["HRANDFIELD h -999999999", "SRANDMEMBER s -999999999", "ZRANDMEMBER z -999999999 WITHSCORES"] {
        let mut client = server.client();
        client.send(&line.split(' ').collect::<Vec<_>>()).expect("sent");
        assert!(client.receive().is_err(), "{line}");
    }
    server.ask("DEBUG POPULATE 3000 a-key-of-so-many-bytes-that-some-make-a-lot");
    assert!(server.ask("KEYS *2999").items().is_some_and(|keys| keys.len() == 1));
    let mut client = server.client();
    client.send(&["KEYS", "*"]).expect("sent");
    assert!(client.receive().is_err());
    assert!(server.info("memory").int("used_memory_peak") < 20 << 20);
    assert!(server.cmd(&["EVAL", "return #redis.call('KEYS', '*')", "0"]).int() == Some(3003), "nobody is sent it");
}
