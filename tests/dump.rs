//! `dump.rdb`: backups that Redis reads, and Redis' backups read here; and MIGRATE, which carries single keys over.

mod support;

use regent::resp::Frame;
use std::time::Duration;
use support::{SOON, Server, wait_until};

fn fill(server: &Server) {
    for n in 0..300 {
        server.ok(&format!("SET key:{n} {n}"));
        server.ask(&format!("RPUSH list a {n} {}", "long ".repeat(20).replace(' ', "-")));
        server.ask(&format!("SADD set {n} member:{n}"));
        server.ask(&format!("SADD ints {n}"));
        server.ask(&format!("HSET hash field:{n} {n}"));
        server.ask(&format!("ZADD zset {n}.5 member:{n}"));
        server.ask(&format!("PFADD hll {n}"));
    }
    server.ask("RPUSH small x y");
    server.ask("HSET small:hash f v");
    server.ask("ZADD small:zset 1 m");
    server.ask("GEOADD geo 13.361389 38.115556 Palermo");
    server.ask("SETBIT bits 100000 1");
    server.ask("PEXPIREAT key:7 4102444800000");
    server.ask("SELECT 5");
    server.ok("SET elsewhere yes");
    server.ask("SELECT 0");
}

fn dump(server: &Server) -> std::path::PathBuf {
    server.path.join("dump.rdb")
}

#[test]
fn redis_loads_our_backup() {
    let node = Server::node(&[]);
    fill(&node);
    node.save();
    assert_eq!(node.info("persistence").int("rdb_changes_since_last_save"), 0);
    let mut redis = Server::redis(&[]);
    redis.kill();
    std::fs::copy(dump(&node), dump(&redis)).expect("copied");
    redis.start();
    assert_eq!(redis.digest(), node.digest());
    // And what another BGSAVE puts in its place, uncompressed and without a checksum.
    node.ok("CONFIG SET rdbcompression no");
    node.ok("SET one more");
    let before = node.info("persistence").int("rdb_saves");
    node.ask("BGSAVE SCHEDULE");
    wait_until("BGSAVE ends", SOON, || node.info("persistence").int("rdb_saves") > before);
    redis.kill();
    std::fs::copy(dump(&node), dump(&redis)).expect("copied");
    redis.start();
    assert_eq!(redis.digest(), node.digest());
}

#[test]
fn an_empty_store_is_filled_from_a_dump_and_no_other() {
    let redis = Server::redis(&[]);
    fill(&redis);
    redis.ok("SET short-lived yes PX 1");
    redis.ok("SAVE");
    let mut node = Server::prepare_node(&[]);
    std::fs::copy(dump(&redis), dump(&node)).expect("copied");
    node.start();
    redis.ask("GET short-lived");
    assert_eq!(node.digest(), redis.digest());
    let info = node.info("persistence");
    assert!(info.int("rdb_last_load_keys_loaded") >= 300);
    // A crash needs the file no more, and what came later counts.
    std::fs::remove_file(dump(&node)).expect("removed");
    node.crash();
    assert_eq!(node.digest(), redis.digest());
    node.ok("FLUSHALL");
    std::fs::copy(dump(&redis), dump(&node)).expect("copied");
    node.crash();
    assert_eq!(node.ask("DBSIZE"), Frame::Int(0));
}

#[test]
fn a_dump_begins_a_history_of_its_own() {
    let redis = Server::redis(&[]);
    redis.ok("SET a b");
    redis.ok("SAVE");
    let mut node = Server::node(&[]);
    let replica = Server::node(&[]);
    replica.follow(&node);
    replica.wait_in_step(&node);
    let (id, offset) = node.place();
    node.kill();
    if offset == 0 {
        std::fs::copy(dump(&redis), dump(&node)).expect("copied");
    }
    node.start();
    if node.place().0 != id {
        replica.wait_in_step(&node);
        assert_eq!(replica.digest(), redis.digest(), "the replica took the new history over, with its keys");
    }
}

#[test]
fn a_corrupt_dump_is_refused_by_name_and_place() {
    let redis = Server::redis(&[]);
    fill(&redis);
    redis.ok("SAVE");
    let bytes = std::fs::read(dump(&redis)).expect("the dump");
    for cut in [bytes.len() / 2, bytes.len() - 4] {
        let mut node = Server::prepare_node(&[]);
        std::fs::write(dump(&node), &bytes[..cut]).expect("written");
        let (status, said) = node.refused();
        assert!(!status.success());
        assert!(said.contains("dump.rdb: RDB: ") && said.contains("offset"), "{said}");
    }
    let mut node = Server::prepare_node(&[]);
    let mut flipped = bytes.clone();
    let at = flipped.len() - 1;
    flipped[at] ^= 1;
    std::fs::write(dump(&node), &flipped).expect("written");
    assert!(node.refused().1.contains("dump.rdb: RDB: checksum"));
}

#[test]
fn save_points_count_beside_the_log() {
    let node = Server::node(&["save 1 2"]);
    node.ok("SET a b");
    assert_eq!(node.info("persistence").int("rdb_changes_since_last_save"), 1);
    node.ok("SET c d");
    wait_until("a save point", SOON, || node.info("persistence").int("rdb_saves") == 1);
    assert_eq!(node.info("persistence").int("rdb_changes_since_last_save"), 0);
    assert!(dump(&node).exists());
}

#[test]
fn a_failed_save_stops_writes_until_one_succeeds() {
    let node = Server::node(&["save 3600 1"]);
    std::fs::create_dir(dump(&node)).expect("a directory in its place");
    node.ok("SET a b");
    node.ask("BGSAVE");
    wait_until("the save fails", SOON, || node.info("persistence").get("rdb_last_bgsave_status") == "err");
    let misconf = |reply: Frame| matches!(reply, Frame::Error(text) if text.starts_with("MISCONF Redis is configured"));
    assert!(misconf(node.ask("SET a c")));
    assert!(misconf(node.ask("PING")));
    assert!(node.ask("GET a").text().is_some());
    node.ok("CONFIG SET stop-writes-on-bgsave-error no");
    node.ok("SET a c");
    node.ok("CONFIG SET stop-writes-on-bgsave-error yes");
    assert!(misconf(node.ask("SET a d")));
    std::fs::remove_dir(dump(&node)).expect("removed");
    node.save();
    node.ok("SET a d");
    let left: Vec<_> = std::fs::read_dir(&node.path)
        .expect("its directory")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("temp-")))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stop_leaves_a_dump_where_there_are_save_points() {
    for (directives, asked, leaves) in [
        (["save 3600 1"], "SHUTDOWN", true),
        (["save \"\""], "SHUTDOWN", false),
        (["save \"\""], "SHUTDOWN SAVE", true),
        (["save 3600 1"], "SHUTDOWN NOSAVE", false),
    ] {
        let mut node = Server::node(&directives);
        node.ok("SET a b");
        let mut client = node.client();
        client.patience(Duration::from_secs(20));
        client.send(&asked.split(' ').collect::<Vec<_>>()).expect("sent");
        node.wait_end();
        assert_eq!(dump(&node).exists(), leaves, "{directives:?} {asked}");
        node.start();
        assert!(node.ask("GET a").text().is_some());
    }
}

/// The answer of MIGRATE from one to the other: `what` stands behind the port.
fn migrate(from: &Server, to: &Server, what: &str) -> Frame {
    let words = format!("MIGRATE 127.0.0.1 {} {what}", to.port);
    let words: Vec<&str> = words.split(' ').map(|word| if word == "\"\"" { "" } else { word }).collect();
    from.cmd(&words)
}

#[test]
fn migrate_carries_keys_over_and_replicas_see_them_go() {
    let node = Server::node(&[]);
    let replica = Server::node(&[]);
    replica.follow(&node);
    replica.wait_in_step(&node);
    let mut others = 0;
    for other in [Server::node(&[]), Server::redis(&[])] {
        fill(&node);
        node.ask("PEXPIREAT zset 4102444800000");
        let errs = |reply: Frame, with: &str| {
            assert!(matches!(&reply, Frame::Error(text) if text.contains(with)), "{reply:?}");
        };
        assert_eq!(node.info("stats").int("migrate_cached_sockets"), others);
        assert!(migrate(&node, &other, "zset 9 5000 COPY").is_ok());
        others += 1;
        assert_eq!(node.info("stats").int("migrate_cached_sockets"), others);
        assert_eq!(node.ask("EXISTS zset"), Frame::Int(1));
        errs(migrate(&node, &other, "zset 9 5000"), "Target instance replied with error: BUSYKEY");
        assert!(migrate(&node, &other, "zset 9 5000 REPLACE").is_ok());
        assert_eq!(node.ask("EXISTS zset"), Frame::Int(0));
        assert!(migrate(&node, &other, "\"\" 9 5000 KEYS list set nope hash hll key:7").is_ok());
        assert_eq!(node.ask("EXISTS list set hash hll key:7"), Frame::Int(0));
        errs(migrate(&node, &other, "geo 99 5000"), "Target instance replied with error: ERR DB index");
        errs(migrate(&node, &other, "geo 0 5000 AUTH wrong"), "Target instance replied with error");
        assert_eq!(node.ask("EXISTS geo"), Frame::Int(1));
        let mut client = other.client();
        client.ask("SELECT 9");
        assert_eq!(client.ask("DBSIZE"), Frame::Int(6));
        // The time that is left is sent, as Redis does: the deadline drifts by the way.
        let near = |reply: Frame| matches!(reply, Frame::Int(at) if (at - 4_102_444_800_000).abs() < 5000);
        assert!(near(client.ask("PEXPIRETIME zset")) && near(client.ask("PEXPIRETIME key:7")));
        assert_eq!(client.ask("ZCARD zset"), Frame::Int(300));
        replica.wait_in_step(&node);
        assert_eq!(replica.digest(), node.digest());
        node.ok("FLUSHALL");
    }
}

#[test]
fn migrate_uses_a_connection_again_and_notices_a_dead_one() {
    let (node, mut other) = (Server::node(&[]), Server::node(&[]));
    let kept = || node.info("stats").int("migrate_cached_sockets");
    let came = |other: &Server| other.info("stats").int("total_connections_received");
    node.ok("MSET a 1 b 2 c 3 d 4");
    assert!(migrate(&node, &other, "a 9 5000").is_ok());
    let before = came(&other);
    assert!(migrate(&node, &other, "b 9 5000").is_ok());
    assert_eq!((came(&other), kept()), (before, 1));
    // Another login is another connection, and one that failed is not kept.
    let refused = migrate(&node, &other, "c 9 5000 AUTH wrong");
    assert!(refused.error().is_some_and(|error| error.contains("AUTH")), "{refused:?}");
    assert_eq!((came(&other), kept()), (before + 1, 1));
    other.ok("CONFIG SET requirepass secret");
    assert!(migrate(&node, &other, "a 9 5000 AUTH secret").error().is_none());
    other.ok("CONFIG SET requirepass other");
    let refused = migrate(&node, &other, "c 9 5000 AUTH secret");
    assert!(refused.error().is_some_and(|error| error.contains("WRONGPASS")), "{refused:?}");
    other.crash();
    assert!(migrate(&node, &other, "d 9 5000").is_ok());
    assert_eq!(kept(), 1);
    wait_until("nobody needs it", Duration::from_secs(20), || kept() == 0);
    assert_eq!(node.ask("KEYS *"), Frame::Array(vec![Frame::Bulk(b"c".to_vec())]));
    let mut client = other.client();
    client.ask("SELECT 9");
    assert_eq!(client.ask("EXISTS a b d"), Frame::Int(3));
}

#[test]
fn migrate_to_nobody_keeps_the_key_and_serves_others() {
    let node = Server::node(&[]);
    node.ok("SET a b");
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = deaf.local_addr().expect("its address").port();
    let mut client = node.client();
    client.send(&["MIGRATE", "127.0.0.1", &port.to_string(), "a", "0", "1000"]).expect("sent");
    assert!(node.ask("GET a").text().is_some(), "others are served");
    let reply = client.receive().expect("a reply");
    assert_eq!(reply, Frame::Error("IOERR error or timeout reading to target instance".into()));
    drop(deaf);
    let reply = node.cmd(&["MIGRATE", "127.0.0.1", &port.to_string(), "a", "0", "1000"]);
    assert_eq!(reply, Frame::Error("IOERR error or timeout connecting to the client".into()));
    assert!(node.ask("GET a").text().is_some());
}

/// What eviction goes by is in backups, copies and checkpoints where the policy goes by it, as in Redis.
#[test]
fn how_keys_were_used_goes_with_them() {
    for policy in ["allkeys-lru", "volatile-lfu"] {
        let directive = format!("maxmemory-policy {policy}");
        let mut node = Server::node(&[&directive]);
        node.ok("SET plain text");
        let payload = node.ask("DUMP plain").text().expect("a payload").to_vec();
        let lru = policy.ends_with("lru");
        let (option, number) = if lru { ("IDLETIME", "50000") } else { ("FREQ", "200") };
        for key in ["read", "left"] {
            let words = [&b"RESTORE"[..], key.as_bytes(), b"0", &payload, option.as_bytes(), number.as_bytes()];
            assert!(node.cmd(&words).is_ok());
        }
        node.ask("HSET large f 1");
        for n in 0..2000 {
            node.ask(&format!("HSET large field:{n} {n}"));
        }
        let used = |server: &Server, key: &str| {
            let word = if lru { "IDLETIME" } else { "FREQ" };
            server.cmd(&["OBJECT", word, key]).int().expect("a number")
        };
        let is_right = |server: &Server| match lru {
            // A minute for slow machines.
            true => used(server, "read") < 60 && (50_000..50_060).contains(&used(server, "left")),
            false => {
                used(server, "read") < 10 && (198..=200).contains(&used(server, "left")) && used(server, "large") > 5
            }
        };
        node.save();
        // Nothing is written from here on: the next backup differs by one key's use alone.
        match lru {
            true => node.ask("GET read"),
            false => node.cmd(&[&b"RESTORE"[..], b"read", b"0", &payload, b"REPLACE", b"FREQ", b"1"]),
        };
        node.save();
        assert!(is_right(&node), "{policy}");
        let mut redis = Server::redis(&[&directive]);
        redis.kill();
        std::fs::copy(dump(&node), dump(&redis)).expect("copied");
        redis.start();
        assert!(is_right(&redis), "{policy}: Redis reads our backup");
        redis.ok("SAVE");
        let mut other = Server::prepare_node(&[&directive]);
        std::fs::copy(dump(&redis), dump(&other)).expect("copied");
        other.start();
        assert!(is_right(&other), "{policy}: we read that of Redis");
        let (copy, redis_copy) = (Server::node(&[&directive]), Server::redis(&[&directive]));
        copy.follow(&node);
        redis_copy.follow(&node);
        copy.wait_in_step(&node);
        redis_copy.wait_in_step(&node);
        assert!(is_right(&copy) && is_right(&redis_copy), "{policy}: full copies");
        node.crash();
        assert!(is_right(&node), "{policy}: a restart");
        node.ok("DEBUG RELOAD");
        assert!(is_right(&node), "{policy}: a reload");
        node.ok("CONFIG SET maxmemory-policy noeviction");
        node.save();
        other.kill();
        std::fs::remove_dir_all(&other.path).expect("removed");
        std::fs::create_dir(&other.path).expect("made");
        std::fs::copy(dump(&node), dump(&other)).expect("copied");
        other.start();
        assert!(lru && used(&other, "left") < 60 || !lru && used(&other, "left") <= 5, "{policy}: told no more");
    }
}
