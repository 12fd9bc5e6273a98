//! A script that takes too long: what others hear meanwhile, and how it is ended.

use super::support::{Client, SOON, Server, wait_until};
use regent::resp::Frame;
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
    let text = "ERR Script killed by user with SCRIPT KILL... script: f, on @user_function:3.";
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

fn text(text: &str) -> Frame {
    Frame::Bulk(text.into())
}
