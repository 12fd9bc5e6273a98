//! Debugging a script through a socket: as with a real redis-server, and what holds beyond that.

mod support;

use regent::resp::Frame;
use support::{Client, SOON, Server, wait_until};

const SCRIPT: &str = "local a = 1
local t = {1, {x = 'y'}, 'q\"\\n\\1'}
local function f(n)
  local inner = n * 2.5
  redis.call('set', KEYS[1], ARGV[1])
  return inner
end
local r = f(a)
redis.debug('seen', t, r, nil, true)
redis.breakpoint()
local long = ('x'):rep(400)
local empty = redis.call('lrange', 'none', 0, -1)
local failed = redis.pcall('incr', KEYS[1])
local unknown = redis.pcall('nosuch', 'a', 'b')
for i = 1, 2 do
  a = a + i
end
return {a, r}";

/// The words of a session on [`SCRIPT`], one command a line.
const COMMANDS: &str = "p|list|list 2 1|whole|b 14|b 99|b 14|b x|b|s|print a|p KEYS|p nope|s|p t|s|s|s|t|p n|s|s|\
    r get k|r nosuch|redis get|redis incr k|redis mget k none|e 1+1|e return 5|e local x = 3|e (|e error('no')|e KEYS[1]|\
    e {1,{2,{3,{4,{5,{6,{7,{8,{9,{10,{11}}}}}}}}}}}|maxlen|maxlen 10|maxlen 100|m 0|what|r|s|s|p r|s|p long|maxlen 256|\
    p long|p|s|s|c|s|s|b -14|b 0|b|b 16|c|s|s|c";

/// A client whose next script is debugged.
fn debugging(node: &Server) -> Client {
    let mut client = node.client();
    assert!(client.ask("SCRIPT DEBUG SYNC").is_ok());
    client
}

/// All replies until the connection ends.
fn rest(client: &mut Client) -> Vec<Frame> {
    std::iter::from_fn(|| client.receive().ok()).collect()
}

fn said(reply: &Frame, text: &str) -> bool {
    let lines = reply.items().unwrap_or_default();
    lines.iter().any(|line| line.text().is_some_and(|line| String::from_utf8_lossy(line).contains(text)))
}

fn session(node: &Server, script: &str, commands: &[&str]) -> Vec<String> {
    let mut client = debugging(node);
    let mut replies = vec![client.cmd(&["EVAL", script, "1", "k", "v"])];
    for command in commands {
        if replies.last().is_some_and(|reply| said(reply, "<endsession>")) {
            break;
        }
        replies.push(client.cmd(&command.split(' ').collect::<Vec<_>>()));
    }
    replies.extend(rest(&mut client));
    replies.iter().map(|reply| without_addresses(&format!("{reply:?}"))).collect()
}

fn without_addresses(text: &str) -> String {
    let parts = text.split("@0x").map(|part| part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()));
    parts.collect::<Vec<_>>().join("@")
}

#[test]
fn a_session_is_as_that_of_a_real_redis() {
    let (ours, theirs) = (Server::node(&[]), Server::redis(&[]));
    let commands: Vec<&str> = COMMANDS.split('|').collect();
    let sessions: &[(&str, &[&str])] = &[
        (SCRIPT, &commands),
        ("local a = 1\nreturn a", &["s", "abort"]),
        ("return (", &[]),
        ("return redis.call('nosuch')", &["s"]),
        ("local a = 1\nerror('no')", &["b 2", "c", "c"]),
        ("redis.call('del', 'l')\nredis.call('rpush', 'l', 1)\nreturn redis.call('incr', 'l')", &["s", "s", "s"]),
        ("#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)", &["list", "s"]),
    ];
    for (script, commands) in sessions {
        for (ours, theirs) in session(&ours, script, commands).iter().zip(session(&theirs, script, commands)) {
            assert_eq!(*ours, theirs, "{script}");
        }
    }
    for garbage in ["hello\r\n", "*1\r\n$5000\r\n"] {
        let [ours, theirs] = [&ours, &theirs].map(|node| {
            let mut client = debugging(node);
            client.cmd(&["EVAL", "return 1", "0"]);
            client.send_raw(garbage.as_bytes()).expect("it goes");
            rest(&mut client)
        });
        assert_eq!(ours, theirs, "{garbage}");
        assert_eq!(ours.len(), 2);
    }
    let mut client = debugging(&ours);
    let sha = client.cmd(&["SCRIPT", "LOAD", "return 1"]);
    let sha = String::from_utf8_lossy(sha.text().expect("a digest")).into_owned();
    let refused = client.cmd(&["EVALSHA", &sha, "0"]);
    assert_eq!(refused.error(), Some("ERR Please use EVAL instead of EVALSHA for debugging"));
    assert!(client.ask("SCRIPT DEBUG NO").is_ok());
    assert_eq!(client.cmd(&["EVALSHA", &sha, "0"]), Frame::Int(1));
}

#[test]
fn what_a_session_writes_is_one_unit() {
    let mut node = Server::node(&[]);
    let replica = Server::node(&[&format!("replicaof 127.0.0.1 {}", node.port)]);
    replica.wait_in_step(&node);
    let script = "redis.call('incr', 'n')\nredis.call('incr', 'n')\nreturn redis.call('get', 'n')";
    let mut client = debugging(&node);
    client.cmd(&["EVAL", script, "0"]);
    client.ask("s");
    assert!(said(&client.ask("r get n"), "<reply> \"1\""));
    node.crash();
    assert_eq!(node.ask("GET n"), Frame::Null, "a crash in its middle undoes it");
    replica.wait_in_step(&node);
    assert_eq!(replica.ask("GET n"), Frame::Null);
    let mut client = debugging(&node);
    client.cmd(&["EVAL", script, "0"]);
    client.ask("redis set k 1");
    client.ask("c");
    assert_eq!(rest(&mut client), [Frame::Bulk(b"2".to_vec())]);
    node.crash();
    let expected = Frame::Array(vec![Frame::Bulk(b"2".to_vec()), Frame::Bulk(b"1".to_vec())]);
    assert_eq!(node.ask("MGET n k"), expected);
    replica.wait_in_step(&node);
    assert_eq!(replica.ask("MGET n k"), expected);
}

#[test]
fn a_client_that_leaves_lets_the_script_end() {
    let node = Server::node(&["busy-reply-threshold 100"]);
    let mut client = debugging(&node);
    client.cmd(&["EVAL", "redis.call('set', 'a', 1)\nredis.call('set', 'b', 1)\nreturn 1", "0"]);
    client.ask("s");
    drop(client);
    wait_until("it has ended", SOON, || node.ask("EXISTS a b") == Frame::Int(2));
    // A loop without an end goes when it has run for too long.
    let mut client = debugging(&node);
    client.cmd(&["EVAL", "while true do end", "0"]);
    drop(client);
    wait_until("it was ended", SOON, || node.ask("PING") == Frame::Simple("PONG".into()));
    let mut client = debugging(&node);
    client.cmd(&["EVAL", "while true do end", "0"]);
    assert!(said(&client.ask("e while true do end"), "<error> timeout reached, infinite loop?"));
    assert!(said(&client.ask("c"), "timeout reached, infinite loop?"));
    assert!(said(&client.ask("a"), "<endsession>"));
    // One that catches that it is over, again and again.
    let mut client = debugging(&node);
    client.cmd(&["EVAL", "return 1", "0"]);
    let stubborn = "while true do pcall(function() while true do end end) end";
    client.send(&["e", stubborn]).expect("it goes");
    wait_until("it was ended", SOON, || node.ask("PING") == Frame::Simple("PONG".into()));
    assert!(rest(&mut client).iter().any(|reply| said(reply, "<endsession>")));
}

#[test]
fn a_signal_ends_a_session_and_a_second_one_any_script() {
    let mut node = Server::node(&["shutdown-on-sigint nosave"]);
    let mut client = debugging(&node);
    client.cmd(&["EVAL", "redis.call('set', 'a', 1)\nreturn 1", "0"]);
    node.signal(libc::SIGTERM);
    assert!(node.wait_end().success());
    node.start();
    assert_eq!(node.ask("EXISTS a"), Frame::Int(1), "as if the client had left");
    node.ok("CONFIG SET busy-reply-threshold 50");
    let mut client = node.client();
    client.send(&["EVAL", "redis.call('set', 'b', 1) while true do end", "0"]).expect("it goes");
    wait_until("it is busy", SOON, || node.ask("GET b").error().is_some_and(|text| text.starts_with("BUSY")));
    // What is pending already is one signal: each is sent when the one before has been counted.
    wait_until("it ends", SOON, || {
        node.signal(libc::SIGINT);
        !node.runs()
    });
    node.wait_end();
    node.start();
    assert_eq!(node.ask("EXISTS a b"), Frame::Int(1), "its effects are given up");
}

#[test]
fn others_are_told_and_can_end_it() {
    let mut node = Server::node(&[]);
    let busy = Some("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
    for command in ["t", "e while true do end"] {
        let mut client = debugging(&node);
        client.cmd(&["EVAL", "local a = 1\nreturn a", "0"]);
        client.send(&command.split(' ').collect::<Vec<_>>()).expect("it goes");
        assert_eq!(node.ask("GET a").error(), busy);
        node.ok("SCRIPT KILL");
        let last = rest(&mut client).pop().expect("a reply");
        let why = last.error().expect("an error");
        assert!(why.starts_with("ERR Script killed by user with SCRIPT KILL"), "{why}");
        assert!(node.ask("PING").error().is_none(), "{command}");
    }
    let mut client = debugging(&node);
    client.cmd(&["EVAL", "redis.call('set', 'a', 1)\nreturn 1", "0"]);
    client.ask("s");
    assert!(node.ask("SCRIPT KILL").error().expect("refused").starts_with("UNKILLABLE"));
    let _ = node.client().try_cmd(&["SHUTDOWN", "NOSAVE"]);
    node.wait_end();
    node.start();
    assert_eq!(node.ask("EXISTS a"), Frame::Int(0));
}

#[test]
fn a_session_by_yes_changes_nothing() {
    let node = Server::node(&[]);
    node.ok("SET k v");
    let mut client = node.client();
    assert!(client.ask("SCRIPT DEBUG YES").is_ok());
    let script = "local a = redis.call('get', 'k')\nredis.call('set', 'k', 'w')\nreturn a";
    client.cmd(&["EVAL", script, "0"]);
    assert!(said(&client.ask("s"), "<reply> \"v\""));
    assert!(said(&client.ask("redis del k"), "SCRIPT DEBUG SYNC"));
    assert!(said(&client.ask("s"), "SCRIPT DEBUG SYNC"));
    let last = rest(&mut client).pop().expect("a reply");
    assert!(last.error().expect("an error").contains("Use SCRIPT DEBUG SYNC"));
    assert_eq!(node.ask("GET k"), Frame::Bulk(b"v".to_vec()));
}

#[test]
fn no_session_overtakes_a_reply() {
    let node = Server::node(&[]);
    let mut client = node.client();
    client.send_raw(b"PING\r\nSCRIPT DEBUG SYNC\r\n").expect("it goes");
    assert!(client.receive().expect("a reply").error().is_none());
    let refused = client.receive().expect("a reply");
    assert_eq!(refused.error(), Some("ERR SCRIPT DEBUG must be called outside a pipeline"));
    let mut client = debugging(&node);
    client.send_raw(b"PING\r\nEVAL 'return 1' 0\r\n").expect("it goes");
    assert!(client.receive().expect("a reply").error().is_none());
    let refused = "ERR A script can't be debugged inside a pipeline or MULTI";
    assert_eq!(client.receive().expect("a reply").error(), Some(refused));
    client.ask("MULTI");
    client.cmd(&["EVAL", "return 1", "0"]);
    let replies = client.ask("EXEC");
    assert_eq!(replies.items().expect("an array")[0].error(), Some(refused));
}
