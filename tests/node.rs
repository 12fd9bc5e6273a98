//! One node as a process: what it was told to keep it has after `kill -9` at any moment, exactly once.

mod support;

use regent::resp::Frame;
use std::time::{Duration, SystemTime};
use support::{Client, Crashes, Dice, Load, SOON, Server, wait_until};

fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.as_bytes().to_vec())
}

/// What a crash may not change.
fn standing(node: &Server) -> (String, String, i64) {
    let (id, offset) = node.place();
    (node.digest(), id, offset)
}

#[test]
fn a_crash_changes_nothing() {
    let mut node = Server::node(&[]);
    for db in [0, 3] {
        node.ok(&format!("SELECT {db}"));
        for n in 0..200 {
            node.ok(&format!("SET key:{n} value:{n}"));
        }
        node.ask("APPEND key:7 more");
        node.ask("INCRBY counter 41");
        node.ask("SETRANGE range 5000 end");
        node.ask("EXPIRE key:9 1000");
        node.ask("DEL key:1 key:2 nothing");
        node.ok("MULTI");
        node.ask("INCR counter");
        node.ask("SET in multi");
        node.ask("EXEC");
    }
    let before = standing(&node);
    node.crash();
    assert_eq!(standing(&node), before);
    node.crash();
    assert_eq!(standing(&node), before, "a start that writes nothing changes nothing");
    node.ok("SELECT 3");
    assert_eq!(node.ask("GET counter"), bulk("42"));
    assert_eq!(node.ask("STRLEN range"), Frame::Int(5003));
    let Frame::Int(ttl) = node.ask("TTL key:9") else { panic!("no TTL") };
    assert!((900..=1000).contains(&ttl), "{ttl}");
    node.ok("SET own 1");
    let (id, offset) = node.place();
    assert_ne!(id, before.1, "a restarted master takes its own id with its first byte");
    assert!(offset > before.2);
    let info = node.info("replication");
    assert_eq!(info.get("master_replid2"), before.1);
    assert_eq!(info.int("second_repl_offset"), before.2 + 1);
    let before = standing(&node);
    node.crash();
    assert_eq!(standing(&node), before);
}

/// The turn sends it behind the sync, when the connection's own task has long gone to sleep, and the socket takes a part.
#[test]
fn a_large_reply_goes_out_whole_behind_a_sync() {
    let node = Server::node(&["appendfsync always"]);
    let big = vec![b'b'; 32 << 20];
    assert!(node.cmd(&[b"SET".as_slice(), b"big", &big]).is_ok());
    let mut client = Client::connect(node.port).expect("a connection");
    client.send_raw(b"INCR n\r\nGET big\r\n").expect("sent");
    assert_eq!(client.receive().expect("a reply"), Frame::Int(1));
    assert_eq!(client.receive().expect("a reply"), Frame::Bulk(big));
}

#[test]
fn a_crash_changes_no_collection() {
    let mut node = Server::node(&[]);
    let fill = |node: &Server, from: usize| {
        let mut client = node.client();
        for n in from..from + 600 {
            client.ask(&format!("HSET hash field:{n} {}", "value".repeat(n % 30)));
            client.ask(&format!("HSET small:{} a {n} b {n}", n % 20));
            client.ask(&format!("SADD set member:{} {}", n * 7, "m".repeat(n % 70)));
            client.ask(&format!("SADD integers:{} {n}", n % 3));
            client.ask(&format!("RPUSH list {n} {}", "element".repeat(n % 40)));
            client.ask(&format!("LINSERT list AFTER {n} between"));
            client.ask(&format!("ZADD ranked {} member:{n} -{n} {}", n * 37 % 101, "z".repeat(n % 70)));
            client.ask(&format!("HDEL hash field:{}", n.saturating_sub(400)));
            client.ask(&format!("LREM list 1 {}", n.saturating_sub(30)));
        }
    };
    // From the log alone; from a checkpoint; from a checkpoint that took what had changed, and the log behind it.
    for (round, save) in [(0, false), (1, true), (2, true), (3, false)] {
        fill(&node, round * 300);
        if save {
            node.ok("SAVE");
        }
        node.ask("HSET hash late 1");
        node.ask("SPOP set 3");
        node.ask("LTRIM list 5 -6");
        node.ask("ZPOPMAX ranked 7");
        node.ask("COPY hash copy REPLACE");
        node.ask("RENAME copy renamed");
        let before = standing(&node);
        node.crash();
        assert_eq!(standing(&node), before, "round {round}");
    }
    node.ask("DEL hash set list ranked renamed");
    node.ok("SAVE");
    let before = standing(&node);
    node.crash();
    assert_eq!(standing(&node), before);
}

/// Changes to large collections before, between and behind the steps of a checkpoint that never ends well.
#[test]
fn a_crash_in_a_checkpoint_changes_no_large_collection() {
    let mut dice = Dice(27);
    let mut node = Server::node(&[]);
    let mut client = node.client();
    for from in (0..30_000).step_by(500) {
        let all = |line: &dyn Fn(usize) -> String| (from..from + 500).map(line).collect::<Vec<_>>().join(" ");
        client.ask(&format!("HSET hash {}", all(&|n| format!("field:{n} {}", "value".repeat(n % 9)))));
        client.ask(&format!("SADD set {}", all(&|n| format!("member:{n}"))));
        client.ask(&format!("RPUSH list {}", all(&|n| format!("{n}{}", "element".repeat(n % 20)))));
        client.ask(&format!("ZADD ranked {}", all(&|n| format!("{} member:{n}", n * 37 % 1009))));
    }
    let mut cut = 0;
    for round in 0..12 {
        let mut change = |client: &mut Client, times: u64| {
            for _ in 0..times {
                let n = dice.below(40_000);
                let line = match dice.below(16) {
                    0 => format!("HSET hash field:{n} {}", "other".repeat(n as usize % 30)),
                    1 => format!("HDEL hash field:{n}"),
                    2 => format!("HINCRBY counters counter:{} {n}", n % 3000),
                    3 => format!("SADD set member:{n}"),
                    4 => format!("SREM set member:{n}"),
                    5 => "SPOP set 2".to_string(),
                    6 => format!("LSET list {} other:{n}", n % 20_000),
                    7 => format!("LINSERT list BEFORE other:{n} between"),
                    8 => "RPOPLPUSH list list".to_string(),
                    9 => format!("LTRIM list {} -2", n % 3),
                    10 => format!("LPUSH list {n} {n} {n}"),
                    11 => format!("ZADD ranked {} member:{n}", n % 501),
                    12 => format!("ZREM ranked member:{n}"),
                    13 => "ZPOPMIN ranked 2".to_string(),
                    14 if n.is_multiple_of(10) => {
                        format!("COPY {} copy REPLACE", ["hash", "set", "list", "ranked"][n as usize / 10 % 4])
                    }
                    14 => "DEL copy".to_string(),
                    _ => {
                        let name = ["hash", "set", "list", "ranked"][n as usize % 4];
                        client.ask(&format!("RENAME {name} moved"));
                        format!("RENAME moved {name}")
                    }
                };
                client.ask(&line);
            }
        };
        let mut client = node.client();
        change(&mut client, 200);
        client.ask("BGSAVE");
        change(&mut client, [0, 5, 20, 60, 150, 400][round % 6]);
        cut += node.info("persistence").int("rdb_bgsave_in_progress");
        let before = standing(&node);
        node.crash();
        assert_eq!(standing(&node), before, "round {round}");
    }
    assert!(cut > 0, "no checkpoint was cut off");
}

#[test]
fn save_and_bgsave_leave_checkpoints_that_a_start_reads() {
    let mut node = Server::node(&[]);
    for n in 0..3000 {
        node.ok(&format!("SET key:{n} {}", "x".repeat(n % 300)));
    }
    let big = vec![b'b'; 3 << 20];
    assert!(node.cmd(&[b"SET".as_slice(), b"big", &big]).is_ok());
    node.save();
    let at = node.place().1;
    assert_eq!(node.ask("INCR after"), Frame::Int(1));
    let before = standing(&node);
    node.crash();
    assert_eq!(standing(&node), before);
    assert!(node.log().contains(&format!("(checkpoint at {at},")), "the checkpoint was not read");
    assert_eq!(node.ask("STRLEN big"), Frame::Int(3 << 20));
    assert_eq!(node.ask("INCR after"), Frame::Int(2));
    assert_eq!(node.ask("BGSAVE"), Frame::Simple("Background saving started".into()));
    wait_until("the checkpoint is taken", SOON, || node.info("persistence").int("rdb_changes_since_last_save") == 0);
    assert_eq!(node.ask("BGREWRITEAOF").text(), Some(&b"Background append only file rewriting started"[..]));
    node.ok("FLUSHALL");
    node.ok("SET only one");
    let before = standing(&node);
    node.save();
    node.crash();
    assert_eq!(standing(&node), before);
    assert_eq!(node.ask("DBSIZE"), Frame::Int(1));
}

#[test]
fn debug_reload_reads_the_keyspace_back() {
    let mut node = Server::node(&[]);
    node.ask("DEBUG POPULATE 5000 key 20");
    assert!(node.cmd(&[b"SET".as_slice(), b"big", &vec![b'b'; 1 << 20]]).is_ok());
    node.ok("SET word a EX 1000");
    node.ask("APPEND word b");
    assert_eq!(node.ask("OBJECT ENCODING word"), bulk("raw"));
    let before = standing(&node);
    node.ok("DEBUG RELOAD");
    assert_eq!(node.ask("OBJECT ENCODING word"), bulk("embstr"), "it was read from the disk");
    assert_eq!(standing(&node), before);
    node.ask("APPEND key:7 more");
    node.ask("DEL big");
    node.ok("DEBUG LOADAOF");
    let before = standing(&node);
    node.crash();
    assert_eq!(standing(&node), before);
}

/// As where Redis reads a file: what a collection counts as follows what it has and the settings of the moment.
#[test]
fn a_start_derives_encodings_anew() {
    let mut node = Server::node(&["list-max-listpack-size 3"]);
    let encodings = |node: &Server, of: [&str; 5]| {
        for (key, encoding) in ["list", "hash", "zset", "set", "numbers"].into_iter().zip(of) {
            assert_eq!(node.ask(&format!("OBJECT ENCODING {key}")), bulk(encoding), "{key}");
        }
    };
    let long = "x".repeat(65);
    node.ask("RPUSH list a b c d");
    node.ask(&format!("HSET hash a 1 b {long}"));
    node.ask(&format!("ZADD zset 1 a 2 {long}"));
    node.ask(&format!("SADD set a {long}"));
    node.ask("SADD numbers 3 1 2 a");
    node.ask("SREM numbers a");
    encodings(&node, ["quicklist", "hashtable", "skiplist", "hashtable", "listpack"]);
    node.ask("LPOP list");
    node.ask("HDEL hash b");
    node.ask(&format!("ZREM zset {long}"));
    node.ask(&format!("SREM set {long}"));
    let before = standing(&node);
    encodings(&node, ["quicklist", "hashtable", "skiplist", "hashtable", "listpack"]);
    node.ok("DEBUG RELOAD");
    encodings(&node, ["listpack"; 5]);
    node.ask("CONFIG SET list-max-listpack-size 2 hash-max-listpack-entries 0 zset-max-listpack-entries 0");
    node.ask("CONFIG SET set-max-listpack-entries 2");
    node.ok("DEBUG LOADAOF");
    encodings(&node, ["quicklist", "hashtable", "skiplist", "listpack", "hashtable"]);
    node.crash();
    encodings(&node, ["listpack"; 5]);
    assert_eq!(standing(&node), before);

    // RESTORE reads the same way: an element of any size has a node of its own, and one is within the limit.
    assert_eq!(node.cmd(&[b"RPUSH".as_slice(), b"vast", &[b'v'; 30_000]]), Frame::Int(1));
    assert_eq!(node.ask("OBJECT ENCODING vast"), bulk("quicklist"));
    let Frame::Bulk(payload) = node.ask("DUMP vast") else { panic!("no payload") };
    node.cmd(&[b"RESTORE".as_slice(), b"restored", b"0", &payload]);
    assert_eq!(node.ask("OBJECT ENCODING restored"), bulk("listpack"));
    node.ok("DEBUG RELOAD");
    assert_eq!(node.ask("OBJECT ENCODING vast"), bulk("listpack"));
}

/// Another data set than the stream has told is a history of its own: a crash finds it, and a replica copies it.
#[test]
fn debug_reload_takes_an_rdb_file_in() {
    let mut node = Server::node(&[]);
    let replica = Server::node(&[]);
    node.ok("SET kept 1");
    let library = b"#!lua name=one\nredis.register_function('one', function() return 1 end)";
    node.cmd(&[b"FUNCTION".as_slice(), b"LOAD", library]);
    node.ok("DEBUG RELOAD");
    let saved = node.digest();
    node.ok("SET kept 2");
    node.ok("SET later 1");
    replica.ok(&format!("REPLICAOF 127.0.0.1 {}", node.port));
    wait_until("the copy", SOON, || replica.digest() == node.digest());

    let refused = node.ask("DEBUG RELOAD NOSAVE NOFLUSH");
    assert_eq!(refused, Frame::Error("ERR Error trying to load the RDB dump, check server logs.".into()));
    assert_eq!(node.ask("GET kept"), bulk("2"));
    node.ok("DEBUG RELOAD NOSAVE NOFLUSH MERGE");
    assert_eq!((node.ask("GET kept"), node.ask("GET later")), (bulk("1"), bulk("1")));
    assert_eq!(node.ask("FCALL one 0"), Frame::Int(1));
    wait_until("the merged set on the replica", SOON, || replica.digest() == node.digest());

    node.ok("DEBUG RELOAD NOSAVE");
    assert_eq!(node.digest(), saved);
    let refused = replica.ask("DEBUG RELOAD NOSAVE");
    assert!(matches!(refused, Frame::Error(_)), "{refused:?}");
    node.crash();
    assert_eq!(node.digest(), saved);
    assert_eq!(node.ask("FCALL one 0"), Frame::Int(1));
    wait_until("the saved set on the replica", SOON, || replica.digest() == saved);
}

#[test]
fn another_port_is_listened_on_or_the_old_one() {
    let node = Server::node(&[]);
    let other = Server::node(&[]);
    let mut client = Client::connect(node.port).expect("a connection");
    let taken = client.ask(&format!("CONFIG SET port {}", other.port));
    let refusal = "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check \
                   server logs.";
    assert_eq!(taken.error(), Some(refusal));
    assert_eq!(node.ask("PING"), Frame::Simple("PONG".into()), "the old one is open again");
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    assert!(client.ask(&format!("CONFIG SET port {free}")).is_ok());
    assert_eq!(client.ask("PING"), Frame::Simple("PONG".into()), "who is connected stays");
    let mut moved = Client::connect(free).expect("the new port");
    assert_eq!(moved.ask("PING"), Frame::Simple("PONG".into()));
    assert!(Client::connect(node.port).is_err(), "the old port is closed");
    let [_, _, inside] = ["MULTI", "CONFIG SET port 0", "EXEC"].map(|line| client.ask(line));
    let refusal = "ERR CONFIG SET of port, bind, maxclients and TLS is not allowed inside a transaction";
    assert!(matches!(inside, Frame::Array(replies) if replies[0].error() == Some(refusal)));
}

#[test]
fn relative_names_mean_the_directory_of_the_data() {
    let node = Server::node(&["logfile regent.log", "pidfile regent.pid"]);
    let text = |name: &str| std::fs::read_to_string(node.path.join(name)).unwrap_or_default();
    assert!(text("regent.log").contains("Ready to accept connections tcp"), "{}", text("regent.log"));
    assert_eq!(text("regent.pid").trim(), node.info("server").get("process_id"));
}

#[test]
fn a_clean_end_leaves_a_checkpoint() {
    let mut node = Server::node(&[]);
    for end in ["SHUTDOWN", "SIGTERM", "SIGINT", "SHUTDOWN NOSAVE"] {
        node.ask("INCR ends");
        node.ok("SET k v");
        let before = standing(&node);
        match end {
            "SIGTERM" => node.signal(libc::SIGTERM),
            "SIGINT" => node.signal(libc::SIGINT),
            command => {
                let mut client = node.client();
                let words: Vec<&str> = command.split(' ').collect();
                assert!(client.try_cmd(&words).is_err(), "SHUTDOWN has no reply");
            }
        }
        assert!(node.wait_end().success(), "{end}");
        assert!(node.log().trim_end().ends_with("bye bye..."), "{end}");
        node.start();
        assert_eq!(standing(&node), before, "{end}");
        if !end.ends_with("NOSAVE") {
            let line = format!("(checkpoint at {}, 0 bytes of log behind it", before.2);
            assert!(node.log().contains(&line), "{end}: {line}");
        }
    }
}

#[test]
fn without_a_log_a_clean_end_keeps_all_and_a_crash_what_was_saved() {
    let mut node = Server::node(&["appendonly no"]);
    assert!(node.log().contains("appendonly is off"));
    node.ok("SET k saved");
    let before = standing(&node);
    node.signal(libc::SIGTERM);
    assert!(node.wait_end().success());
    node.start();
    assert_eq!(standing(&node), before, "its place in the history too");
    node.ok("SET k lost");
    node.crash();
    assert_eq!(node.ask("GET k"), bulk("saved"));
    assert_eq!(standing(&node), before, "what was lost stood under an id of its own, so this place is a true one");

    node.ok("SET k again");
    node.ok("CONFIG SET appendonly yes");
    wait_until("the log has its checkpoint", SOON, || node.info("persistence").int("aof_rewrite_in_progress") == 0);
    node.save();
    for n in 1..=50 {
        assert_eq!(node.ask("INCR logged"), Frame::Int(n));
    }
    let before = standing(&node);
    node.unset("appendonly");
    node.crash();
    assert_eq!(standing(&node), before, "the log is on");

    node.ok("CONFIG SET appendonly no");
    node.ok("SET k kept");
    node.save();
    node.ok("SET k gone");
    node.set("appendonly", "no");
    node.crash();
    assert_eq!(node.ask("GET k"), bulk("kept"));
    assert_eq!(node.ask("GET logged"), bulk("50"));
}

#[test]
fn what_expires_while_the_node_is_down_is_deleted_by_an_effect() {
    let mut node = Server::node(&[]);
    node.ok("SET stays 1");
    node.ok("SET goes 1 PX 300");
    node.ask("PEXPIRE stays 100000000");
    let offset = node.place().1;
    let began = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    node.kill();
    wait_until("the deadline is over", SOON, || {
        SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970") > began + Duration::from_millis(400)
    });
    node.start();
    assert_eq!(node.ask("GET goes"), Frame::Null);
    assert_eq!(node.ask("EXISTS stays"), Frame::Int(1));
    // A master that came back owns nothing until its first own effect: it deletes with its first write at the latest.
    node.ok("SET own 1");
    wait_until("it is deleted", SOON, || node.ask("DBSIZE") == Frame::Int(2));
    assert!(node.place().1 > offset);
}

#[test]
fn a_transaction_is_whole_or_not_at_all() {
    let mut node = Server::node(&[]);
    for round in 0..6 {
        // The pipeline is cut by the kill, wherever that is.
        let mut client = node.client();
        let mut bytes = Vec::new();
        for n in 0..400 {
            let n = (round * 400 + n).to_string();
            for words in [&["MULTI"][..], &["SET", "a", &n], &["SET", "b", &n], &["INCR", "c"], &["EXEC"]] {
                regent::resp::command(words, &mut bytes);
            }
        }
        let done = std::thread::spawn(move || {
            let _ = client.send_raw(&bytes);
            (0..5).all(|_| client.receive().is_ok())
        });
        assert!(done.join().expect("the sender"));
        node.crash();
        let (a, b) = (node.ask("GET a"), node.ask("GET b"));
        assert_eq!(a, b);
        assert!(a.text().is_some());
        node.ask("DEL a b");
    }
}

// ------------------------------------------------------------------ torture

/// What one client of the load knows for certain.
#[derive(Default)]
struct Witness {
    /// INCRs, APPENDs, SETRANGEs and transactions that were acknowledged.
    acked: [u64; 4],
    /// The one that was sent and not answered.
    open: Option<usize>,
}

impl Witness {
    /// Compares with what the node holds: everything acknowledged is there once, and at most the open one besides. The
    /// node may be killed meanwhile: then nothing is known yet.
    fn check(&mut self, node: &mut Client, me: usize) -> std::io::Result<()> {
        let held = |reply: Frame| {
            let text = reply.text().map(|text| String::from_utf8_lossy(text).into_owned());
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let mut ask = |line: String| node.try_cmd(&line.split(' ').collect::<Vec<_>>());
        let counted = held(ask(format!("GET c:{me}"))?);
        let text = ask(format!("GET a:{me}"))?.text().map(<[u8]>::to_vec).unwrap_or_default();
        let text = String::from_utf8(text).expect("digits");
        let appended = text.split_terminator(';').count() as u64;
        let expected: String = (1..=appended).map(|n| format!("{n};")).collect();
        assert_eq!(text, expected, "client {me}: APPENDs are there once and in order");
        let ranged = held(ask(format!("GETRANGE r:{me} 100 119"))?);
        let both = ask(format!("MGET m:{me}:x m:{me}:y"))?;
        let both = both.items().expect("two values");
        assert_eq!(both[0], both[1], "client {me}: a transaction was split");
        let moved = held(both[0].clone());
        for (what, found) in [counted, appended, ranged, moved].into_iter().enumerate() {
            let acked = self.acked[what];
            let extra = u64::from(self.open == Some(what));
            assert!(
                (acked..=acked + extra).contains(&found),
                "client {me}: of operation {what} {acked} were acknowledged (and {extra} sent), {found} are there"
            );
            self.acked[what] = found;
        }
        self.open = None;
        Ok(())
    }

    /// One operation; `false` when the connection broke.
    fn step(&mut self, node: &mut Client, me: usize, what: usize) -> bool {
        self.open = Some(what);
        let next = self.acked[what] + 1;
        let reply = match what {
            0 => node.try_cmd(&["INCR", &format!("c:{me}")]),
            1 => node.try_cmd(&["APPEND", &format!("a:{me}"), &format!("{next};")]),
            2 => node.try_cmd(&["SETRANGE", &format!("r:{me}"), "100", &format!("{next:020}")]),
            _ => {
                let mut bytes = Vec::new();
                let (x, y) = (format!("m:{me}:x"), format!("m:{me}:y"));
                for words in [&["MULTI"][..], &["INCR", &x], &["INCR", &y], &["EXEC"]] {
                    regent::resp::command(words, &mut bytes);
                }
                let sent = node.send_raw(&bytes);
                sent.and_then(|()| (0..4).map(|_| node.receive()).last().expect("four replies"))
            }
        };
        match reply {
            Ok(Frame::Error(text)) => panic!("client {me}: {text}"),
            Ok(_) => {
                self.acked[what] = next;
                self.open = None;
                true
            }
            Err(_) => false,
        }
    }
}

/// Clients write what is not idempotent while the node is killed again and again; `directives` besides.
fn torture(seed: u64, kills: u64, directives: &[&str]) {
    const CLIENTS: usize = 3;
    let mut node = Server::node(directives);
    let client = |me: usize, load: &Load| {
        let mut dice = Dice(seed ^ (me as u64) << 32);
        let mut witness = Witness::default();
        loop {
            let mut client = load.connect();
            if witness.check(&mut client, me).is_err() {
                continue; // killed again
            }
            loop {
                if load.is_over() {
                    match witness.check(&mut client, me) {
                        Ok(()) => return,
                        Err(_) => break, // by the last kill, unseen until now
                    }
                }
                let n = dice.roll();
                if n.is_multiple_of(16) {
                    // Keys that go by themselves, and pages that come and go with them.
                    let life = format!("{}", 1 + n % 300);
                    let key = format!("e:{me}:{}", n % 997);
                    if client.try_cmd(&["SET", &key, &"v".repeat((n % 90) as usize), "PX", &life]).is_err() {
                        break;
                    }
                }
                if !witness.step(&mut client, me, (n >> 8) as usize % 4) {
                    break;
                }
                load.step();
            }
        }
    };
    Crashes { seed, count: kills, steps: (100, 1500) }.during(&mut node, CLIENTS, client, |node, kill| {
        if kill % 3 == 1 {
            let _ = node.ask("BGSAVE");
        }
    });
    node.ok("SET last write"); // a master that came back deletes nothing before its first own effect
    wait_until("what expires has gone", SOON, || node.ask("DBSIZE") == Frame::Int(CLIENTS as i64 * 5 + 1));
    let before = standing(&node);
    node.crash();
    assert_eq!(standing(&node), before, "seed {seed}");
}

#[test]
fn nothing_acknowledged_is_lost_or_done_twice() {
    torture(1, 8, &["checkpoint-min-size 1kb", "checkpoint-growth-percentage 1"]);
}

#[test]
fn nothing_is_lost_with_an_fsync_each_turn() {
    torture(2, 3, &["appendfsync always", "checkpoint-min-size 64kb"]);
}

#[test]
fn a_title_is_what_the_template_says_however_long() {
    let node = Server::node(&[]);
    let shown = || {
        let pid = node.info("server").int("process_id");
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("its title");
        String::from_utf8(line).expect("text").trim_end_matches('\0').to_owned()
    };
    assert_eq!(shown(), format!("regent node 127.0.0.1:{}", node.port));
    let long = "word".repeat(150);
    let template =
        format!("{long} {{listen-addr}} {{port}} {{tls-port}} {{config-file}} {{server-mode}} {{title}} end");
    assert!(node.cmd(&["CONFIG", "SET", "proc-title-template", &template]).is_ok());
    assert_eq!(shown(), format!("{long} 127.0.0.1:{0} {0} 0 -  regent node end", node.port));
    assert!(node.cmd(&["CONFIG", "SET", "proc-title-template", "brief"]).is_ok());
    assert_eq!(shown(), "brief");
    let refused = node.cmd(&["CONFIG", "SET", "proc-title-template", "{nope}"]);
    assert!(refused.error().is_some_and(|error| error.contains("template format is invalid")), "{refused:?}");
}
