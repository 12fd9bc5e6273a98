//! Replication between processes: Regent to Regent over crashes and promotions, and both ways with a real redis-server.

mod support;

use regent::resp::Frame;
use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};
use support::{Client, SOON, Server, wait_for, wait_until};

const FAST: &[&str] = &["repl-ping-replica-period 1"];
/// A master that is given up the moment it pings has a byte that nobody else has, and takes a copy.
const SILENT: &[&str] = &["repl-ping-replica-period 3600"];

fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.as_bytes().to_vec())
}

/// A replica of `master`, in step with it.
fn replica_of(master: &Server) -> Server {
    let of = format!("replicaof 127.0.0.1 {}", master.port);
    let replica = Server::node(&[FAST, &[&of]].concat());
    replica.wait_in_step(master);
    replica
}

/// Writes of every kind that there is, in two databases.
fn write(master: &Server, from: usize, count: usize) {
    let mut client = master.client();
    for n in from..from + count {
        client.ask(&format!("SELECT {}", n % 2 * 5));
        client.ask(&format!("SET key:{n} {}", "value".repeat(n % 40)));
        client.ask("INCR counter");
        client.ask(&format!("APPEND text {n};"));
        client.ask(&format!("SETRANGE range {} x", n * 7 % 900));
        client.ask(&format!("SET brief:{n} 1 EX 1000"));
        client.ask(&format!("PEXPIRE key:{n} 900000"));
        client.ask("MULTI");
        client.ask("INCR a");
        client.ask("INCR b");
        client.ask("EXEC");
        client.ask(&format!("DEL brief:{}", n.saturating_sub(3)));
        client.ask(&format!("HSET small:{} field:{n} {n} counter 1", n % 9));
        client.ask(&format!("HINCRBYFLOAT small:{} counter 0.1", n % 9));
        client.ask(&format!("HSET bulky field:{n} {}", "long".repeat(n % 50)));
        client.ask(&format!("HDEL bulky field:{}", n.saturating_sub(70)));
        client.ask(&format!("SADD numbers {} {}", n * 7, n % 5));
        client.ask(&format!("SADD words word:{n} {}", "w".repeat(n % 90)));
        client.ask("SPOP words");
        client.ask(&format!("RPUSH list {n} {}", "element".repeat(n % 30)));
        client.ask(&format!("LPUSH list {n}"));
        client.ask(&format!("LINSERT list BEFORE {n} between"));
        client.ask(&format!("LSET list {} {}", n % 7, "set".repeat(n % 20)));
        client.ask(&format!("ZADD ranked {} member:{n} {} {}", n * 37 % 101, n as f64 / 7.0, "z".repeat(n % 90)));
        client.ask("ZPOPMIN ranked");
        client.ask(&format!("ZINCRBY ranked 0.1 member:{}", n * 3 / 4));
        client.ask("ZREMRANGEBYRANK ranked -1 -1");
        client.ask("LMOVE list other RIGHT LEFT");
        client.ask("LTRIM other 0 500");
        client.ask("LMPOP 2 nothing other RIGHT COUNT 1");
    }
}

/// How often a master has served copies and resumptions.
fn served(master: &Server) -> (i64, i64) {
    let stats = master.info("stats");
    (stats.int("sync_full"), stats.int("sync_partial_ok"))
}

#[track_caller]
fn same(one: &Server, other: &Server) {
    other.wait_in_step(one);
    assert_eq!(one.digest(), other.digest());
}

#[test]
fn a_copy_and_the_stream_behind_it() {
    let master = Server::node(FAST);
    write(&master, 0, 300);
    let big = vec![b'b'; 5 << 20];
    assert!(master.cmd(&[b"SET".as_slice(), b"big", &big]).is_ok());
    let replica = replica_of(&master);
    same(&master, &replica);
    write(&master, 300, 100);
    same(&master, &replica);
    assert_eq!(replica.ask("STRLEN big"), Frame::Int(5 << 20));
    assert_eq!(served(&master), (1, 0));
    let refusal = replica.ask("SET k v");
    assert_eq!(refusal.error(), Some("READONLY You can't write against a read only replica."));
    master.ok("SET waited 1");
    assert_eq!(master.ask("WAIT 1 5000"), Frame::Int(1));
    master.ok("FLUSHALL");
    same(&master, &replica);
    assert_eq!(replica.ask("DBSIZE"), Frame::Int(0));
}

#[test]
fn either_side_may_be_killed_and_resumes() {
    let mut master = Server::node(FAST);
    write(&master, 0, 50);
    let mut replica = replica_of(&master);
    for round in 1..=3 {
        replica.kill();
        write(&master, 50 * round, 30);
        replica.start();
        same(&master, &replica);
        assert_eq!(served(&master), (1, round as i64), "the replica was killed");
    }
    for round in 1..=3 {
        let id = master.place().0;
        master.crash();
        replica.wait_in_step(&master);
        assert_eq!(served(&master), (0, 1), "the master was killed");
        assert_eq!(master.info("replication").get("master_replid2"), id);
        write(&master, 300 + 20 * round, 20);
        same(&master, &replica);
    }
}

#[test]
fn a_promotion_is_followed_in_part_by_all() {
    let mut old = Server::node(FAST);
    write(&old, 0, 50);
    let promoted = replica_of(&old);
    let third = replica_of(&old);
    let id = old.place().0;
    for node in [&promoted, &third] {
        node.wait_in_step(&old);
    }
    old.kill();
    promoted.ok("REPLICAOF NO ONE");
    let info = promoted.info("replication");
    assert_eq!((info.get("role"), info.get("master_replid2")), ("master", id.as_str()));
    third.follow(&promoted);
    write(&promoted, 50, 30);
    same(&promoted, &third);
    assert_eq!(served(&promoted), (0, 1), "the third node");
    // Its tail is clean: all that it had had reached the promoted one.
    old.set("replicaof", &format!("127.0.0.1 {}", promoted.port));
    old.start();
    same(&promoted, &old);
    assert_eq!(served(&promoted), (0, 2), "the old master");
    assert_eq!(old.info("replication").get("role"), "slave");
}

// Its stream goes on where it was left, in the database that the master had selected: the node took the next write to be
// one of database 0, and held the key where the master did not.
#[test]
fn a_replica_that_was_let_go_and_taken_back_goes_on_in_the_same_database() {
    let master = Server::node(FAST);
    let mut replica = Server::node(FAST);
    replica.follow(&master);
    replica.wait_in_step(&master);
    master.ok("SELECT 9");
    master.ok("SET k 1");
    replica.wait_in_step(&master);
    for crash in [false, true] {
        replica.ok("REPLICAOF NO ONE");
        replica.save();
        if crash {
            replica.crash();
        }
        replica.follow(&master);
        replica.wait_in_step(&master);
        assert_eq!(master.ask("INCR k"), Frame::Int(if crash { 3 } else { 2 }));
        same(&master, &replica);
    }
    assert_eq!(served(&master), (1, 2));
}

#[test]
fn an_old_master_with_a_tail_of_its_own_takes_a_copy() {
    let old = Server::node(FAST);
    write(&old, 0, 20);
    let promoted = replica_of(&old);
    promoted.ok("REPLICAOF NO ONE");
    write(&promoted, 20, 10);
    write(&old, 500, 10);
    old.follow(&promoted);
    same(&promoted, &old);
    assert_eq!(served(&promoted).0, 1);
}

// The new keyspace counts its spaces and pages from zero again: pages of an older checkpoint with higher numbers stayed
// in the new one, and the next start refused the store ("space 0 has 5 pages where the manifest says 3").
#[test]
fn a_full_copy_leaves_nothing_of_an_older_checkpoint() {
    let master = Server::node(FAST);
    write(&master, 0, 20);
    let mut replica = Server::node(FAST);
    replica.ok("DEBUG POPULATE 20000");
    replica.save();
    replica.follow(&master);
    same(&master, &replica);
    replica.set("replicaof", &format!("127.0.0.1 {}", master.port));
    replica.crash();
    same(&master, &replica);
    replica.save();
    replica.crash();
    same(&master, &replica);
    assert_eq!(served(&master), (1, 2));
}

#[test]
fn replicas_of_replicas() {
    let mut master = Server::node(FAST);
    write(&master, 0, 30);
    let mut middle = replica_of(&master);
    let last = replica_of(&middle);
    write(&master, 30, 30);
    same(&master, &middle);
    same(&master, &last);
    middle.kill();
    write(&master, 60, 30);
    middle.start();
    same(&master, &middle);
    same(&master, &last);
    assert_eq!(served(&master), (1, 1));
    assert_eq!(served(&middle), (0, 1));
    master.crash();
    write(&master, 90, 10);
    same(&master, &middle);
    same(&master, &last);
    assert_eq!(served(&middle).0, 0, "a new id of the master costs the last one no copy");
}

#[test]
fn replicas_wait_for_the_dels_of_what_expires() {
    let master = Server::node(FAST);
    let replica = replica_of(&master);
    master.ok("DEBUG SET-ACTIVE-EXPIRE 0");
    master.ok("SET stays 1");
    master.ok("SET goes 1 PX 150");
    replica.wait_in_step(&master);
    let began = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    wait_until("the deadline is over", SOON, || {
        SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970") > began + Duration::from_millis(400)
    });
    assert_eq!(replica.ask("GET goes"), Frame::Null, "it is not shown");
    assert_eq!(replica.ask("DBSIZE"), Frame::Int(2), "and not deleted");
    assert_eq!(master.ask("GET goes"), Frame::Null);
    replica.wait_in_step(&master);
    wait_until("the DEL has come", SOON, || replica.ask("DBSIZE") == Frame::Int(1));
    same(&master, &replica);
}

// ------------------------------------------------------------------ with Redis

#[test]
fn regent_follows_redis() {
    let redis = Server::redis(SILENT);
    write(&redis, 0, 300);
    let mut replica = replica_of(&redis);
    same(&redis, &replica);
    write(&redis, 300, 100);
    same(&redis, &replica);
    let (full, partial) = served(&redis);
    redis.ask("CLIENT KILL TYPE replica");
    write(&redis, 400, 20);
    same(&redis, &replica);
    assert_eq!(served(&redis), (full, partial + 1), "the link was cut");
    replica.kill();
    write(&redis, 420, 20);
    replica.start();
    same(&redis, &replica);
    assert_eq!(served(&redis), (full, partial + 2), "the replica was killed");
    // Moving to Regent: it is promoted, and Redis follows it without a copy.
    replica.ok("REPLICAOF NO ONE");
    redis.follow(&replica);
    write(&replica, 500, 20);
    same(&replica, &redis);
    assert_eq!(served(&replica), (0, 1));
}

#[test]
fn redis_follows_regent() {
    let mut master = Server::node(SILENT);
    write(&master, 0, 300);
    let redis = Server::redis(SILENT);
    redis.follow(&master);
    same(&master, &redis);
    write(&master, 300, 100);
    same(&master, &redis);
    assert_eq!(served(&master), (1, 0));
    master.ask("CLIENT KILL TYPE replica");
    write(&master, 400, 20);
    same(&master, &redis);
    assert_eq!(served(&master), (1, 1), "the link was cut");
    master.crash();
    write(&master, 420, 20);
    same(&master, &redis);
    assert_eq!(served(&master), (0, 1), "the master was killed");
    // And back: Redis is promoted, and Regent follows it without a copy.
    redis.ok("REPLICAOF NO ONE");
    master.follow(&redis);
    write(&redis, 500, 20);
    same(&redis, &master);
    assert_eq!(served(&redis), (0, 1));
}

#[test]
fn a_wrong_password_is_told_and_the_right_one_works() {
    let master = Server::prepare_node(&["requirepass secret", "masterauth secret"]);
    let mut master = master.with_password("secret");
    master.start();
    master.ok("SET k v");
    let of = format!("replicaof 127.0.0.1 {}", master.port);
    let replica = Server::node(&[&of, "masterauth wrong"]);
    replica.wait_for_log("Unable to AUTH to MASTER: -WRONGPASS invalid username-password pair or user is disabled.");
    assert_eq!(replica.info("replication").get("master_link_status"), "down");
    replica.ok("CONFIG SET masterauth secret");
    replica.wait_in_step(&master);
    assert_eq!(replica.ask("GET k"), bulk("v"));
    let silent = Server::node(&[&of]);
    silent.wait_for_log("NOAUTH Authentication required.");
}

/// A master that answers the handshake and then sends what it is given instead of a whole copy.
fn false_master(listener: &TcpListener, copy: &[u8]) {
    let (stream, _) = listener.accept().expect("a replica");
    let mut reader = std::io::BufReader::new(stream.try_clone().expect("a handle"));
    let mut stream = stream;
    loop {
        let mut words = Vec::new();
        let mut line = String::new();
        if std::io::BufRead::read_line(&mut reader, &mut line).unwrap_or(0) == 0 {
            return;
        }
        let count: usize = line.trim_start_matches('*').trim().parse().unwrap_or(0);
        for _ in 0..count {
            let (mut length, mut word) = (String::new(), String::new());
            std::io::BufRead::read_line(&mut reader, &mut length).expect("a length");
            std::io::BufRead::read_line(&mut reader, &mut word).expect("a word");
            words.push(word.trim().to_uppercase());
        }
        let sent = match words.first().map(String::as_str) {
            Some("PING") => stream.write_all(b"+PONG\r\n"),
            Some("PSYNC") => {
                let id = "0123456789012345678901234567890123456789";
                let _ = stream.write_all(format!("+FULLRESYNC {id} 1000\r\n").as_bytes());
                let _ = stream.write_all(copy);
                return;
            }
            _ => stream.write_all(b"+OK\r\n"),
        };
        if sent.is_err() {
            return;
        }
    }
}

#[test]
fn a_copy_that_is_broken_or_ends_too_soon_leaves_the_old_data() {
    let node = Server::node(&[]);
    write(&node, 0, 20);
    let before = node.digest();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    node.ok(&format!("REPLICAOF 127.0.0.1 {}", listener.local_addr().expect("its address").port()));
    false_master(&listener, b"$100\r\nREDIS0010\xfa\x09redis");
    wait_until("the link is down again", SOON, || node.info("replication").get("master_link_status") == "down");
    assert_eq!(node.digest(), before, "it ended too soon");
    false_master(&listener, b"$40\r\nREDIS0010\x77this is no type of any value at all...");
    node.wait_for_log("RDB: unknown type 119 at offset 9");
    assert_eq!(node.digest(), before, "it was broken");
    false_master(&listener, b"$22\r\nGARBAGE0010..........\r\n");
    let id = node.place().0;
    assert_ne!(id, "0123456789012345678901234567890123456789");
    node.ok("REPLICAOF NO ONE");
    assert_eq!(node.digest(), before);
}

/// A replica that takes the copy and keeps what follows.
struct FakeReplica(Client);

impl FakeReplica {
    fn attach(master: &Server) -> FakeReplica {
        let mut client = master.client();
        assert!(client.ask("REPLCONF listening-port 1").is_ok());
        assert!(client.ask("REPLCONF capa eof capa psync2").is_ok());
        client.send(&["PSYNC", "?", "-1"]).expect("sent");
        let answer = client.receive_line().expect("an answer");
        assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
        let head = wait_for("the copy's head", SOON, || {
            let line = client.receive_line().expect("a line");
            (!line.is_empty()).then_some(line)
        });
        match head.strip_prefix("$EOF:") {
            Some(mark) => {
                let mut seen = Vec::new();
                while !seen.ends_with(mark.as_bytes()) {
                    seen.extend(client.receive_exact(1).expect("the copy"));
                }
            }
            None => {
                let length = head.trim_start_matches('$').parse().expect("a length");
                client.receive_exact(length).expect("the copy");
            }
        }
        client.send(&["REPLCONF", "ACK", "1"]).expect("sent");
        FakeReplica(client)
    }

    /// The commands up to the one that sets `end`, with times made plain.
    fn commands_to(&mut self, end: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let frame = self.0.receive().expect("a command");
            let words: Vec<String> = frame
                .items()
                .expect("a command")
                .iter()
                .map(|word| String::from_utf8_lossy(word.text().expect("a word")).into_owned())
                .collect();
            if words[0].eq_ignore_ascii_case("ping") || words[0].eq_ignore_ascii_case("replconf") {
                continue;
            }
            let is_time = |word: &String| word.len() == 13 && word.bytes().all(|byte| byte.is_ascii_digit());
            let plain: Vec<String> =
                words.iter().map(|word| if is_time(word) { "<time>".into() } else { word.clone() }).collect();
            let done = words.get(1).is_some_and(|word| word == end);
            all.push(plain.join(" "));
            if done {
                return all;
            }
        }
    }
}

#[test]
fn what_replicas_are_fed_equals_redis() {
    let script = [
        "SET a 1",
        "SET a 2 EX 100",
        "SET a 3 PX 100000",
        "SET a 4 KEEPTTL",
        "SET a 5 NX",
        "SET b x GET",
        "SETNX c 1",
        "SETNX c 2",
        "GETSET c 3",
        "GETDEL c",
        "GETEX a EX 50",
        "GETEX a PERSIST",
        "GETEX a",
        "SETEX d 10 v",
        "PSETEX d 10000 v",
        "APPEND d w",
        "SETRANGE d 3 zz",
        "INCR n",
        "INCRBY n 5",
        "DECR n",
        "DECRBY n 2",
        "INCRBYFLOAT f 1.5",
        "MSET x 1 y 2",
        "MSETNX x 1 z 2",
        "EXPIRE x 100",
        "PEXPIRE x 100000",
        "EXPIREAT x 99999999999",
        "EXPIRE x -1",
        "EXPIRE nothing 10",
        "PERSIST y",
        "EXPIRE y 100",
        "PERSIST y",
        "SELECT 3",
        "SET in3 1",
        "SELECT 0",
        "GET a",
        "RENAME a aa",
        "RENAMENX aa a",
        "DEL a nothing",
        "UNLINK d",
        "DEL nothing",
        "MULTI",
        "SET m 1",
        "INCR m",
        "GET m",
        "EXEC",
        "MULTI",
        "SET alone 1",
        "EXEC",
        "MULTI",
        "GET m",
        "EXEC",
        "MULTI",
        "SELECT 2",
        "SET two 1",
        "EXEC",
        "SELECT 0",
        "SET zero 1",
        "PUBLISH channel message",
        "COPY m mm",
        "MOVE m 4",
        "TOUCH mm",
        "SET short 1 PX 1",
        "FLUSHDB",
        "SET again 1",
        "FLUSHALL",
        "SWAPDB 0 1",
        "SET the end",
    ];
    let fed = |server: &Server| {
        let mut replica = FakeReplica::attach(server);
        let mut client = server.client();
        client.ask("DEBUG SET-ACTIVE-EXPIRE 0");
        for line in script {
            client.ask(line);
        }
        replica.commands_to("the")
    };
    let redis = Server::redis(&["repl-diskless-sync no"]);
    let node = Server::node(&[]);
    let (theirs, ours) = (fed(&redis), fed(&node));
    for (n, (their, our)) in theirs.iter().zip(&ours).enumerate() {
        assert!(their.eq_ignore_ascii_case(our), "command {n}: Redis feeds {their:?}, we feed {our:?}\n{ours:#?}");
    }
    assert_eq!(theirs.len(), ours.len());
}

// ------------------------------------------------------------------ power cuts

/// What a power cut does to a killed node: its machine comes up under another boot, and the last records of its log, the
/// last `share` of 1000 of them, are not there.
fn cut_power(node: &Server, share: usize) {
    let known = node.path.join("regent-replicas");
    let text = std::fs::read_to_string(&known).expect("the file of its replicas");
    let other = |line: &str| if line.starts_with("boot ") { "boot another".to_owned() } else { line.to_owned() };
    let text: Vec<String> = text.lines().map(other).collect();
    std::fs::write(&known, text.join("\n") + "\n").expect("written");
    let last = node.last_segment();
    let bytes = std::fs::read(&last).expect("a segment");
    // Behind the header and the record that tells the segment's start.
    let mut ends = vec![64 + 56];
    while let Some(header) = bytes.get(ends[ends.len() - 1]..).and_then(|rest| rest.get(..32)) {
        if &header[..3] != b"\xc5RG" {
            break;
        }
        let length = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
        ends.push(ends[ends.len() - 1] + 32 + length as usize);
    }
    let keep = ends.len() - 1 - (ends.len() - 1) * share / 1000;
    assert!(keep + 1 < ends.len(), "something is cut off");
    std::fs::File::options().write(true).open(last).expect("opened").set_len(ends[keep] as u64).expect("cut");
}

fn wait_known(master: &Server, replica: &Server) {
    let line = format!("replica 127.0.0.1 {}", replica.port);
    let known = || std::fs::read_to_string(master.path.join("regent-replicas")).unwrap_or_default();
    wait_until("the replica stands in the file", SOON, || known().contains(&line));
}

#[test]
fn what_a_power_cut_cost_a_master_comes_back_from_its_replica() {
    let mut master = Server::node(FAST);
    write(&master, 0, 20);
    let replica = replica_of(&master);
    wait_known(&master, &replica);
    for round in 1..=3 {
        let id = master.place().0;
        write(&master, 20 * round, 60);
        replica.wait_in_step(&master);
        let digest = master.digest();
        let copies = replica.info("stats").int("sync_copies_received");
        master.kill();
        cut_power(&master, 300);
        master.start();
        assert!(master.log().contains("were not on this disk and came back from replicas."), "{}", master.log());
        assert_eq!(master.digest(), digest, "nothing that the replica had is lost");
        same(&master, &replica);
        assert_eq!(served(&master), (0, 1), "round {round}");
        assert_eq!(replica.info("stats").int("sync_copies_received"), copies);
        assert_eq!(master.info("replication").get("master_replid2"), id);
        // The log has it too: what was given back outlives a kill.
        master.crash();
        assert_eq!(master.digest(), digest);
        same(&master, &replica);
    }
}

#[test]
fn replicas_that_come_back_with_their_master_are_waited_for() {
    comes_back(|_| ());
}

#[test]
fn replicas_that_read_their_stores_for_longer_are_waited_for() {
    comes_back(|replica| {
        replica.save();
        let Frame::Int(keys) = replica.ask("DBSIZE") else { panic!("no number of keys") };
        replica.set("key-load-delay", &(1_500_000 / keys).to_string()); // microseconds
    });
}

/// `prepare` is done to the replica before both are killed.
fn comes_back(prepare: impl Fn(&mut Server)) {
    let mut master = Server::node(FAST);
    write(&master, 0, 20);
    let mut replica = replica_of(&master);
    wait_known(&master, &replica);
    write(&master, 20, 60);
    replica.wait_in_step(&master);
    let digest = master.digest();
    prepare(&mut replica);
    replica.kill();
    master.kill();
    cut_power(&master, 300);
    master.spawn();
    wait_until("it says that it is not whole yet", SOON, || {
        let loading = |mut client: Client| client.ask("GET counter").error().map(|text| text.starts_with("LOADING "));
        Client::connect(master.port).ok().and_then(loading) == Some(true)
    });
    assert_eq!(master.info("persistence").get("loading"), "1");
    replica.spawn();
    master.wait_ready();
    replica.wait_ready();
    assert_eq!(master.digest(), digest);
    same(&master, &replica);
    assert_eq!(served(&master), (0, 1));
}

#[test]
fn a_master_that_was_replaced_while_it_was_down_is_heeded_at_once() {
    let mut master = Server::node(FAST);
    write(&master, 0, 20);
    let mut silent = replica_of(&master);
    let promoted = replica_of(&master);
    wait_known(&master, &silent);
    write(&master, 20, 60);
    for replica in [&silent, &promoted] {
        replica.wait_in_step(&master);
    }
    silent.kill();
    master.kill();
    promoted.ok("REPLICAOF NO ONE");
    write(&promoted, 80, 10);
    cut_power(&master, 300);
    master.spawn();
    wait_until("it says that it is not whole yet", SOON, || {
        let loading = |mut client: Client| client.ask("SET k v").error().map(|text| text.starts_with("LOADING "));
        Client::connect(master.port).ok().and_then(loading) == Some(true)
    });
    let mut client = Client::connect(master.port).expect("a connection");
    for line in ["MULTI", &format!("SLAVEOF 127.0.0.1 {}", promoted.port), "CONFIG GET dir", "EXEC"] {
        assert_eq!(client.ask(line).error(), None, "{line}");
    }
    same(&promoted, &master);
    assert_eq!(served(&promoted), (0, 1), "it held nothing of its own");
}

/// Sentinels say hello on a master that came back before they have told it whom to follow.
#[test]
fn a_message_takes_no_id_on_a_master_that_came_back() {
    let mut master = Server::node(FAST);
    let mut replica = replica_of(&master);
    master.ok("SET k 1");
    replica.wait_in_step(&master);
    replica.kill();
    for end in ["crash", "stop"] {
        let before = master.place();
        if end == "stop" {
            master.client().send(&["SHUTDOWN"]).expect("sent");
            master.wait_end();
            master.start();
        } else {
            master.crash();
        }
        let mut listener = master.client();
        listener.ask("SUBSCRIBE hello");
        assert_eq!(master.ask("PUBLISH hello there"), Frame::Int(1));
        assert_eq!(master.ask("SPUBLISH hello there"), Frame::Int(0));
        assert_eq!(master.cmd(&["EVAL", "return redis.call('PUBLISH', 'hello', 'you')", "0"]), Frame::Int(1));
        assert_eq!(listener.receive().expect("a message").items().map(<[Frame]>::len), Some(3));
        assert_eq!(master.place(), before, "behind a {end}");
        assert_eq!(master.info("replication").get("master_replid2"), "0".repeat(40));
    }
    // Whoever follows now resumes under a new id, and messages are bytes of the stream again.
    let before = master.place();
    replica.start();
    replica.wait_in_step(&master);
    assert_eq!(served(&master), (0, 1), "in part");
    assert_ne!(master.place().0, before.0, "the first PSYNC takes it");
    let mut listener = replica.client();
    listener.ask("SUBSCRIBE hello");
    let offset = master.place().1;
    master.ask("PUBLISH hello there");
    assert_eq!(listener.receive().expect("a message").items().map(<[Frame]>::len), Some(3));
    assert!(master.place().1 > offset);
}

#[test]
fn a_killed_master_asks_nobody() {
    let mut master = Server::node(FAST);
    let mut replica = replica_of(&master);
    wait_known(&master, &replica);
    write(&master, 0, 20);
    replica.kill();
    master.crash();
    master.ok("SET k v");
    assert!(!master.log().contains("asking its replicas"), "{}", master.log());
    master.signal(libc::SIGTERM);
    assert!(master.wait_end().success());
    assert!(!master.path.join("regent-replicas").exists(), "a clean stop leaves nothing open");
}

#[test]
fn a_full_copy_empties_the_caches_of_a_replicas_clients() {
    let (one, other) = (Server::node(&[]), Server::node(&[]));
    one.ok("SET k 1");
    other.ok("SET k 2");
    let replica = replica_of(&one);
    let mut target = replica.client();
    let id = target.cmd(&["CLIENT", "ID"]).int().expect("an id").to_string();
    target.cmd(&["SUBSCRIBE", "__redis__:invalidate"]);
    let (mut redirecting, mut direct) = (replica.client(), replica.client());
    redirecting.cmd(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]);
    direct.cmd(&["HELLO", "3"]);
    direct.cmd(&["CLIENT", "TRACKING", "ON"]);
    for client in [&mut redirecting, &mut direct] {
        assert_eq!(client.cmd(&["GET", "k"]).text(), Some(&b"1"[..]));
    }
    replica.follow(&other);
    for client in [&mut target, &mut direct] {
        let told = client.receive().expect("the caches are to be emptied");
        let parts = told.items().expect("a message");
        assert_eq!(parts.last(), Some(&Frame::Null), "{told:?}");
    }
    replica.wait_in_step(&other);
    assert_eq!(direct.cmd(&["GET", "k"]).text(), Some(&b"2"[..]));
}
