//! A script that takes too long: what others hear meanwhile, and how it is ended.

use super::support::{Client, SOON, Server, clock, wait_until};
use super::tls::Trust;
use regent::resp::Frame;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const BUSY: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const BUSY_FUNCTION: &str = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

fn node() -> Server {
    Server::node(&["busy-reply-threshold 50"])
}

#[track_caller]
fn refused(reply: &Frame, text: &str) {
    assert!(reply.error().is_some_and(|error| error.starts_with(text)), "{reply:?}, not {text}");
}

/// Has the script begun by a client of its own, which still waits when it returns.
#[track_caller]
fn begun(node: &Server, request: &[&str]) -> Client {
    let mut runs = node.client();
    runs.send(request).expect("sent");
    wait_until("the script takes too long", SOON, || node.ask("PING").error().is_some());
    runs
}

#[test]
fn others_are_heard_and_end_the_script() {
    let node = node();
    let mut old = node.client();
    assert!(old.ask("SET k 1").is_ok());
    for round in 0..2 {
        let mut runs = begun(&node, &["EVAL", "while true do pcall(redis.call, 'PING') end", "0"]);
        refused(&old.ask("GET k"), BUSY);
        let mut new = node.client();
        refused(&new.ask("INCR k"), BUSY);
        new.send_raw(b"GET k\r\nMULTI\r\nGET k\r\nEXEC\r\nGET").expect("sent");
        refused(&new.receive().expect("a reply"), BUSY);
        assert!(new.receive().expect("a reply").is_ok());
        refused(&new.receive().expect("a reply"), BUSY);
        refused(&new.receive().expect("a reply"), "EXECABORT");
        refused(&old.ask("SHUTDOWN"), BUSY);
        refused(&old.ask("FUNCTION KILL"), BUSY);
        assert!(old.ask("SCRIPT KILL").is_ok());
        refused(&runs.receive().expect("a reply"), "ERR Script killed by user with SCRIPT KILL... script: ");
        new.send_raw(b" k\r\n").expect("sent");
        let value = Frame::Bulk((round + 1).to_string().into_bytes());
        assert_eq!(new.receive().expect("a reply"), value, "the rest of a request that came while the script ran");
        for client in [&mut runs, &mut new] {
            assert_eq!(client.ask("GET k"), value);
        }
        assert_eq!(old.ask("INCR k"), Frame::Int(round + 2));
    }
    refused(&old.ask("SCRIPT KILL"), "NOTBUSY");
}

#[test]
fn a_function_is_ended_too() {
    let node = node();
    let library = "#!lua name=l\nredis.register_function('f', function()\nwhile true do end end)";
    assert_eq!(node.cmd(&["FUNCTION", "LOAD", library]), Frame::Bulk("l".into()));
    let mut runs = begun(&node, &["FCALL", "f", "0"]);
    refused(&node.ask("GET k"), BUSY_FUNCTION);
    refused(&node.ask("SCRIPT KILL"), BUSY_FUNCTION);
    assert!(node.ask("FUNCTION KILL").is_ok());
    let ended = runs.receive().expect("a reply");
    let text = "ERR Script killed by user with FUNCTION KILL... script: f, on @user_function:3.";
    assert_eq!(ended.error(), Some(text));
    assert_eq!(node.ask("PING"), Frame::Simple("PONG".into()));
}

/// N1: a message is an effect of the script, and comes with its end.
#[test]
fn what_a_script_publishes_waits_for_its_end() {
    let node = node();
    let mut listens = node.client();
    assert!(listens.ask("SUBSCRIBE c").items().is_some());
    let mut runs = begun(&node, &["EVAL", "redis.call('PUBLISH', 'c', 'm') while true do end", "0"]);
    listens.send(&["PING"]).expect("sent");
    listens.patience(Duration::from_millis(300));
    assert!(listens.receive().is_err(), "nothing of the script is told");
    listens.patience(SOON);
    assert!(node.ask("SCRIPT KILL").is_ok());
    refused(&runs.receive().expect("a reply"), "ERR Script killed");
    let heard = [listens.receive().expect("the message"), listens.receive().expect("the reply")];
    let first = heard.map(|frame| frame.items().expect("an array")[0].text().expect("a text").to_vec());
    assert_eq!(first, [b"message".to_vec(), b"pong".to_vec()]);
}

#[test]
fn a_script_that_wrote_ends_with_the_node_and_leaves_nothing() {
    for fsync in ["everysec", "always"] {
        let mut node = Server::node(&["busy-reply-threshold 50", &format!("appendfsync {fsync}")]);
        node.ok("SET before 1");
        // Behind the first write in the same turn, and in another database.
        let script = "redis.call('SELECT', 3) redis.call('SET', 'k', 'v') while true do end";
        let mut runs = node.client();
        let request = format!("SET same 1\r\nEVAL \"{script}\" 0\r\n");
        runs.send_raw(request.as_bytes()).expect("sent");
        wait_until("the script takes too long", SOON, || node.ask("PING").error().is_some());
        refused(&node.ask("SCRIPT KILL"), "UNKILLABLE Sorry the script already executed write commands");
        for refusal in ["SHUTDOWN", "SHUTDOWN SAVE", "SHUTDOWN NOW"] {
            refused(&node.ask(refusal), BUSY);
        }
        let mut ends = node.client();
        assert!(ends.try_cmd(&["SHUTDOWN", "NOSAVE"]).is_err(), "it hangs up");
        assert!(node.wait_end().success());
        node.start();
        assert_eq!(node.ask("MGET before same k"), Frame::Array(vec![text("1"), text("1"), Frame::Null]));
        node.ok("SET after 1");
        node.crash();
        assert_eq!(node.ask("GET after"), text("1"), "the log has it in the database where it was set");
        node.ok("SELECT 3");
        assert_eq!(node.ask("DBSIZE"), Frame::Int(0));
    }
}

/// Its pid file and its socket are gone as behind any other end, and so is the way in.
#[test]
fn a_node_that_ends_in_a_script_leaves_no_files() {
    let holder = tempfile::tempdir().expect("a directory");
    let (pid, socket) = (holder.path().join("pid"), holder.path().join("s"));
    let files = [format!("pidfile {}", pid.display()), format!("unixsocket {}", socket.display())];
    let mut node = Server::node(&["busy-reply-threshold 50", &files[0], &files[1]]);
    assert!(pid.exists() && socket.exists());
    let _runs = begun(&node, &["EVAL", "redis.call('SET', 'k', 1) while true do end", "0"]);
    let mut ends = node.client();
    assert!(ends.try_cmd(&["SHUTDOWN", "NOSAVE"]).is_err(), "it hangs up");
    assert!(Client::connect(node.port).is_err(), "nobody gets in");
    assert!(node.wait_end().success());
    assert!(!pid.exists() && !socket.exists());
}

/// New clients of the Unix socket, and those who have come by TLS before.
#[test]
fn others_are_heard_whatever_way_they_come() {
    let holder = tempfile::tempdir().expect("a directory");
    let socket = holder.path().join("s");
    let trust = Trust::new();
    let (node, port) = trust.node(&["busy-reply-threshold 50", &format!("unixsocket {}", socket.display())]);
    let mut cli = trust.command(port, Some("node"), &[]);
    let mut cli = cli.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("redis-cli must be installed");
    let (mut asks, mut says) = (cli.stdin.take().expect("piped"), BufReader::new(cli.stdout.take().expect("piped")));
    let mut ask = |line: &str| {
        writeln!(asks, "{line}").expect("written");
        let mut reply = String::new();
        while reply.trim().is_empty() {
            says.read_line(&mut reply).expect("a line"); // behind an error stands an empty one
        }
        reply.trim().to_owned()
    };
    assert_eq!(ask("SET k v"), "OK");
    let mut runs = begun(&node, &["EVAL", "while true do end", "0"]);
    assert_eq!(ask("GET k"), BUSY);
    let unix = |words: &[&str]| {
        let out = Command::new("redis-cli").arg("-s").arg(&socket).args(words).output().expect("redis-cli");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    assert_eq!(unix(&["GET", "k"]), BUSY);
    assert_eq!(ask("SCRIPT KILL"), "OK");
    refused(&runs.receive().expect("a reply"), "ERR Script killed");
    assert_eq!(ask("GET k"), "v");
    assert_eq!(unix(&["GET", "k"]), "v");
    drop((asks, says));
    let _ = cli.wait();
}

/// A link is not late because one of its ends runs a script for longer than `repl-timeout`: the master takes what its
/// replicas acknowledge, and a replica sees that its master speaks, and acknowledges.
#[test]
fn links_outlive_a_long_script() {
    let fast = ["busy-reply-threshold 50", "repl-timeout 2", "repl-ping-replica-period 1"];
    let master = Server::node(&fast);
    let replica = Server::node(&[&fast[..], &[&format!("replicaof 127.0.0.1 {}", master.port)]].concat());
    replica.wait_in_step(&master);
    let mut runs = begun(&replica, &["EVAL_RO", "while true do end", "0"]);
    master.ok("SET k v");
    let began = clock();
    wait_until("far longer than the timeout", SOON, || began.elapsed() > Duration::from_secs(5));
    assert_eq!(master.info("replication").get("connected_slaves"), "1", "it acknowledges all the time");
    assert!(replica.ask("SCRIPT KILL").is_ok());
    refused(&runs.receive().expect("a reply"), "ERR Script killed");
    replica.wait_in_step(&master);
    assert_eq!(replica.ask("GET k"), text("v"));
    for node in [&master, &replica] {
        let log = node.log();
        assert!(!log.contains("timeout") && !log.contains("timedout"), "{log}");
    }
    assert_eq!(master.info("stats").int("sync_partial_ok"), 0);
}

/// A script that asks for its replicas sees that one has left meanwhile.
#[test]
fn a_script_sees_that_a_replica_leaves() {
    let master = Server::node(&["busy-reply-threshold 50"]);
    let mut replica = Server::node(&[&format!("replicaof 127.0.0.1 {}", master.port)]);
    replica.wait_in_step(&master);
    let script = "while redis.call('info', 'replication'):find('connected_slaves:1', 1, true) do end return 1";
    let mut runs = begun(&master, &["EVAL", script, "0"]);
    replica.kill();
    assert_eq!(runs.receive().expect("a reply"), Frame::Int(1));
}

fn text(text: &str) -> Frame {
    Frame::Bulk(text.into())
}
