//! Scripts and functions over crashes: libraries are state like keys, and a script's effects are there once or not at all.

mod support;

use regent::resp::Frame;
use support::{Client, Crashes, Load, SOON, Server, wait_until};

fn text(text: &str) -> Frame {
    Frame::Bulk(text.into())
}

/// What each function says; `None` where it is not there.
fn says(node: &Server, name: &str) -> Option<String> {
    let reply = node.cmd(&["FCALL_RO", name, "0"]);
    match reply.error() {
        Some(why) => {
            assert_eq!(why, "ERR Function not found");
            None
        }
        None => Some(String::from_utf8_lossy(reply.text().expect("a word")).into_owned()),
    }
}

/// Loads a library of one function, which gives a word.
#[track_caller]
fn load(node: &Server, name: &str, word: &str) {
    let code = format!(
        "#!lua name={name}\nredis.register_function{{function_name='{name}', callback=function() return '{word}' end, \
         flags={{'no-writes'}}}}"
    );
    assert_eq!(node.cmd(&["FUNCTION", "LOAD", "REPLACE", &code]), text(name));
}

/// Of libraries in the log alone, in the checkpoint, and in both.
#[test]
fn functions_outlive_a_crash_and_reach_replicas() {
    let mut master = Server::node(&["repl-ping-replica-period 1"]);
    load(&master, "old", "first");
    load(&master, "gone", "x");
    master.save();
    load(&master, "old", "second");
    load(&master, "new", "third");
    assert!(master.cmd(&["FUNCTION", "DELETE", "gone"]).is_ok());
    let expected = [("old", Some("second")), ("new", Some("third")), ("gone", None)];
    let all = |node: &Server, when: &str| {
        for (name, word) in expected {
            assert_eq!(says(node, name).as_deref(), word, "{name}, {when}");
        }
    };
    master.crash();
    all(&master, "from checkpoint and log");
    let mut replica = Server::node(&[&format!("replicaof 127.0.0.1 {}", master.port)]);
    replica.wait_in_step(&master);
    all(&replica, "by a full copy");
    replica.crash();
    all(&replica, "of a copy, behind a crash");
    replica.wait_in_step(&master);
    load(&master, "streamed", "fourth");
    replica.wait_in_step(&master);
    assert_eq!(says(&replica, "streamed").as_deref(), Some("fourth"));
    replica.crash();
    assert_eq!(says(&replica, "streamed").as_deref(), Some("fourth"), "from the replica's own log");
    replica.wait_in_step(&master);
    let dump = master.cmd(&["FUNCTION", "DUMP"]).text().expect("a payload").to_vec();
    assert!(master.cmd(&["FUNCTION", "FLUSH"]).is_ok());
    replica.wait_in_step(&master);
    for node in [&mut master, &mut replica] {
        assert_eq!(says(node, "old"), None, "flushed");
        node.crash();
        assert_eq!(says(node, "old"), None, "and still after a crash");
    }
    replica.wait_in_step(&master);
    assert!(master.cmd(&[&b"FUNCTION"[..], b"RESTORE", &dump]).is_ok());
    replica.wait_in_step(&master);
    for node in [&mut master, &mut replica] {
        node.crash();
        all(node, "restored, behind a crash");
    }
}

/// What a script leaves unfed no log and no replica has; a restart shows what they have.
#[test]
fn what_a_script_does_not_replicate_is_gone_with_the_process() {
    let mut master = Server::node(&["repl-ping-replica-period 1"]);
    let replica = Server::node(&[&format!("replicaof 127.0.0.1 {}", master.port)]);
    replica.wait_in_step(&master);
    let script = "assert(redis.replicate_commands())
        redis.call('SET', 'a', 1)
        redis.set_repl(redis.REPL_NONE)
        redis.call('SET', 'b', 1)
        redis.set_repl(redis.REPL_ALL)
        redis.call('SET', 'c', 1)";
    assert_eq!(master.cmd(&["EVAL", script, "0"]), Frame::Null);
    assert_eq!(master.ask("MGET a b c"), Frame::Array(vec![text("1"), text("1"), text("1")]));
    replica.wait_in_step(&master);
    assert_eq!(replica.ask("MGET a b c"), Frame::Array(vec![text("1"), Frame::Null, text("1")]));
    master.crash();
    assert_eq!(master.ask("MGET a b c"), Frame::Array(vec![text("1"), Frame::Null, text("1")]));
}

/// One step of each kind, all in one script: none of them may be done without the others, nor twice.
const STEP: &str = "local n = redis.call('INCR', KEYS[1])
    redis.call('APPEND', KEYS[2], n .. ';')
    redis.call('RPUSH', KEYS[3], n)
    redis.call('XADD', KEYS[4], n .. '-1', 'n', n)
    redis.call('SET', KEYS[5], n, 'PX', 1)
    return n";

/// The number of steps that a client's keys hold, which all of them must agree on.
fn steps(client: &mut Client, me: usize) -> std::io::Result<i64> {
    let mut ask = |line: String| client.try_cmd(&line.split(' ').collect::<Vec<_>>());
    ask("MULTI".into())?;
    for line in [format!("GET n:{me}"), format!("GET a:{me}"), format!("LRANGE l:{me} 0 -1"), format!("XLEN x:{me}")] {
        ask(line)?;
    }
    let reply = ask("EXEC".into())?;
    let [counted, appended, pushed, added] = reply.items().expect("four replies") else { panic!("{reply:?}") };
    let counted = counted.text().map_or(0, |text| String::from_utf8_lossy(text).parse().expect("a number"));
    let expected: String = (1..=counted).map(|n| format!("{n};")).collect();
    assert_eq!(String::from_utf8_lossy(appended.text().unwrap_or_default()), expected, "client {me}: APPEND");
    let expected = (1..=counted).map(|n| text(&n.to_string())).collect();
    assert_eq!(*pushed, Frame::Array(expected), "client {me}: RPUSH");
    assert_eq!(*added, Frame::Int(counted), "client {me}: XADD");
    Ok(counted)
}

#[test]
fn the_effects_of_a_script_are_there_once_and_together() {
    let mut node = Server::node(&["checkpoint-min-size 1kb", "checkpoint-growth-percentage 1"]);
    let function = format!("#!lua name=steps\nredis.register_function('step', function(KEYS) {STEP} end)");
    assert_eq!(node.cmd(&["FUNCTION", "LOAD", &function]), text("steps"));
    let client = |me: usize, load: &Load| {
        let (mut acked, mut sent) = (0, false);
        let keys: Vec<String> = ["n", "a", "l", "x", "brief"].iter().map(|kind| format!("{kind}:{me}")).collect();
        loop {
            let mut client = load.connect();
            let Ok(found) = steps(&mut client, me) else { continue };
            assert!((acked..=acked + i64::from(sent)).contains(&found), "client {me}: {acked} told, {found} there");
            (acked, sent) = (found, false);
            if load.is_over() {
                return;
            }
            while !load.is_over() {
                let call = if acked % 2 == 0 { ["EVAL", STEP, "5"] } else { ["FCALL", "step", "5"] };
                let request: Vec<&str> = call.into_iter().chain(keys.iter().map(String::as_str)).collect();
                sent = true;
                let Ok(reply) = client.try_cmd(&request) else { break };
                assert_eq!(reply, Frame::Int(acked + 1), "client {me}");
                (acked, sent) = (acked + 1, false);
                load.step();
            }
        }
    };
    Crashes { seed: 5, count: 5, steps: (50, 300) }.during(&mut node, 3, client, |_, _| ());
}

/// A replica that may be written to: what its own clients gave a deadline goes when that has passed, also behind a crash;
/// what the master gave one stays until the master says so.
#[test]
fn keys_of_a_replica_alone_expire_there() {
    let master = Server::node(&["repl-ping-replica-period 1"]);
    let mut replica =
        Server::node(&["replica-read-only no", &format!("replicaof 127.0.0.1 {}", master.port), "save \"\""]);
    replica.wait_in_step(&master);
    let tracked = |replica: &Server| replica.info("stats").int("slave_expires_tracked_keys");
    let size = |replica: &Server| replica.ask("DBSIZE");
    master.ok("DEBUG SET-ACTIVE-EXPIRE 0");
    master.ok("SET theirs 1 PX 1");
    replica.ok("SET own 1 PX 50");
    replica.ok("SET stays 1");
    replica.ok("SET kept 1 EX 1000");
    replica.ok("SELECT 2");
    replica.ok("SET elsewhere 1");
    assert_eq!(replica.ask("PEXPIRE elsewhere 60"), Frame::Int(1));
    replica.ok("SELECT 0");
    replica.wait_in_step(&master);
    wait_until("its own have gone", SOON, || size(&replica) == Frame::Int(3) && tracked(&replica) == 1);
    assert_eq!(replica.info("stats").int("expired_keys"), 2);
    assert_eq!(replica.ask("EXISTS theirs stays kept"), Frame::Int(2), "the master's is there, unseen");
    // What the checkpoint has of a replica's own it knows as its own after a crash.
    replica.ok("SET late 1 PX 400");
    replica.save();
    replica.crash();
    replica.wait_in_step(&master);
    wait_until("what came back has gone", SOON, || size(&replica) == Frame::Int(3));
    assert_eq!(tracked(&replica), 1, "the one that is not due yet");
    // What the stream writes over is the master's.
    replica.ok("SET taken 1 PX 100000");
    master.ok("SET taken 2 PX 1");
    replica.wait_in_step(&master);
    wait_until("it is due", SOON, || replica.ask("GET taken") == Frame::Null);
    assert_eq!(size(&replica), Frame::Int(4), "taken stays until the master removes it");
    master.ok("DEBUG SET-ACTIVE-EXPIRE 1");
    wait_until("the master has removed its own", SOON, || size(&replica) == Frame::Int(2));
    master.ok("FLUSHALL");
    replica.wait_in_step(&master);
    assert_eq!(tracked(&replica), 0);
}

/// An error that a command raised in a script is one error, and both calls have failed; a script that catches it has not.
#[test]
fn failed_calls_are_counted() {
    let node = Server::node(&[]);
    for (script, failed) in [
        ("return redis.call('select', 99)", 1),
        ("return redis.pcall('select', 99)", 1),
        ("return redis.pcall('select', 99).err", 0),
        ("error('no')", 1),
    ] {
        node.ok("CONFIG RESETSTAT");
        node.cmd(&["EVAL", script, "0"]);
        let stat = node.info("commandstats").get("cmdstat_eval").to_string();
        assert!(stat.ends_with(&format!("rejected_calls=0,failed_calls={failed}")), "{script}: {stat}");
        assert_eq!(node.info("stats").int("total_error_replies"), 1, "{script}");
    }
}
