//! Clients that wait: WAIT, CLIENT PAUSE, SAVE and SHUTDOWN, in process, the runtime's part played by hand.

mod in_process;

use in_process::{Node, frames};
use regent::base::{Millis, Offset};
use regent::command::{Ask, Kind, Slot};
use regent::replication::source::{Effect, Event, LinkId};
use regent::resp::{Frame, command};

fn ask(node: &mut Node, slot: Slot, words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    let mut bytes = Vec::new();
    command(&words, &mut bytes);
    node.send(slot, &bytes);
}

fn told(node: &mut Node, slot: Slot) -> Vec<String> {
    let frames = node.heard(slot);
    let text = |frame: &Frame| match frame {
        Frame::Int(number) => number.to_string(),
        Frame::Null => "(nil)".into(),
        Frame::Error(text) => text.clone(),
        frame => String::from_utf8_lossy(frame.text().expect("a text")).into_owned(),
    };
    frames.iter().map(text).collect()
}

fn fed(node: &mut Node) -> Vec<String> {
    let words = |frame: &Frame| {
        let words = frame.items().expect("a command").iter().filter_map(Frame::text);
        words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
    };
    frames(&node.fed()).iter().map(words).collect()
}

/// What the runtime does behind a turn: the log has all, and clients whose block was lifted go on.
fn turn(node: &mut Node) {
    let end = node.server.stream.end();
    node.server.stream.release(end);
    for ask in std::mem::take(&mut node.server.asks) {
        if let Ask::Blocked(slot) = ask
            && node.server.clients.get(slot).is_some_and(|client| client.blocked.is_none())
        {
            node.send(slot, b"");
        }
    }
}

/// A replica that came by a partial resync and is at the end of the stream.
fn replica(node: &mut Node) -> Slot {
    let slot = node.connect();
    ask(node, slot, "REPLCONF listening-port 7002 capa psync2");
    assert_eq!(told(node, slot), ["OK"]);
    turn(node);
    let (id, next) = (node.server.stream.history().id(), node.server.stream.end().0 + 1);
    ask(node, slot, &format!("PSYNC {id} {next}"));
    assert!(matches!(node.server.asks.as_slice(), [.., Ask::BecameReplica(of), Ask::Replication] if *of == slot));
    let effects = std::mem::take(&mut node.server.links.source);
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Reply { bytes, .. } if bytes.starts_with(b"+CONTINUE")))
    );
    assert_eq!(node.server.clients[slot].kind, Kind::Replica);
    slot
}

/// The stream's bytes went out to the replica, and it acknowledges `upto`.
fn acknowledge(node: &mut Node, slot: Slot, upto: Offset) {
    let link = LinkId(node.server.clients[slot].id);
    let end = node.server.stream.released();
    node.server.step_source(Event::Released, "");
    node.server.step_source(Event::Sent { link, upto: end }, "");
    ask(node, slot, &format!("REPLCONF ACK {upto}"));
}

#[test]
fn wait_ends_with_the_acknowledgement_of_the_clients_own_write() {
    let mut node = Node::new("");
    let client = node.connect();
    ask(&mut node, client, "SET a 1");
    let replica = replica(&mut node);
    fed(&mut node);
    told(&mut node, client);
    ask(&mut node, client, "SET b 2");
    let written = node.server.stream.end();
    ask(&mut node, client, "WAIT 1 0");
    ask(&mut node, client, "PING");
    assert_eq!(told(&mut node, client), ["OK"], "the PING waits behind it");
    assert_eq!(fed(&mut node), ["SET b 2", "REPLCONF GETACK *"]);
    turn(&mut node);
    acknowledge(&mut node, replica, Offset(written.0 - 1));
    turn(&mut node);
    assert!(told(&mut node, client).is_empty(), "not all of it");
    acknowledge(&mut node, replica, written);
    turn(&mut node);
    assert_eq!(told(&mut node, client), ["1", "PONG"]);
    assert!(told(&mut node, replica).is_empty(), "an ACK is never answered");
    ask(&mut node, client, "WAIT 1 0");
    assert_eq!(told(&mut node, client), ["1"], "GETACK is no write of the client");
}

#[test]
fn wait_ends_with_its_deadline_or_by_another_client() {
    let mut node = Node::new("");
    let (client, other) = (node.connect(), node.connect());
    ask(&mut node, client, "SET a 1");
    told(&mut node, client);
    ask(&mut node, client, "WAIT 1 30");
    assert_eq!(node.server.next_block_deadline(), Some(Millis(30)));
    assert_eq!(node.server.blocked_clients(), 1);
    node.wait(Millis(29));
    node.server.retry_all_blocked();
    assert!(told(&mut node, client).is_empty());
    node.wait(Millis(1));
    node.server.retry_all_blocked();
    assert_eq!(told(&mut node, client), ["0"]);
    assert_eq!((node.server.next_block_deadline(), node.server.blocked_clients()), (None, 0));

    let id = node.server.clients[client].id;
    ask(&mut node, client, "WAIT 1 0");
    ask(&mut node, other, &format!("CLIENT UNBLOCK {id}"));
    ask(&mut node, client, "WAIT 1 0");
    ask(&mut node, other, &format!("CLIENT UNBLOCK {id} ERROR"));
    ask(&mut node, other, &format!("CLIENT UNBLOCK {id}"));
    assert_eq!(told(&mut node, client), ["0", "UNBLOCKED client unblocked via CLIENT UNBLOCK"]);
    assert_eq!(told(&mut node, other), ["1", "1", "0"]);

    ask(&mut node, client, "WAIT 1 0");
    ask(&mut node, other, "MULTI");
    ask(&mut node, other, "WAIT 1 0");
    ask(&mut node, other, "REPLICAOF 127.0.0.1 1");
    node.server.disconnect(client);
    ask(&mut node, other, "EXEC");
    assert_eq!(node.server.blocked_clients(), 0, "neither the one that has gone nor the transaction waits");
}

#[test]
fn a_pause_holds_writes_back_and_lets_them_go_in_order() {
    let mut node = Node::new("");
    let (client, other) = (node.connect(), node.connect());
    ask(&mut node, other, "CLIENT PAUSE 1000 WRITE");
    ask(&mut node, other, "CLIENT PAUSE 10 WRITE");
    ask(&mut node, client, "GET k");
    ask(&mut node, client, "SET k 1");
    ask(&mut node, client, "GET k");
    node.wait(Millis(999));
    node.server.retry_all_blocked();
    turn(&mut node);
    assert_eq!(told(&mut node, client), ["(nil)"], "a shorter pause does not shorten the longer one");
    node.wait(Millis(1));
    node.server.retry_all_blocked();
    turn(&mut node);
    assert_eq!(told(&mut node, client), ["OK", "1"]);
    assert_eq!(node.server.clients[client].commands, 3);

    ask(&mut node, other, "CLIENT PAUSE 1000 WRITE");
    ask(&mut node, client, "INCR k");
    ask(&mut node, other, "CLIENT UNPAUSE");
    assert!(node.server.asks.iter().any(|ask| matches!(ask, Ask::PauseChanged)));
    node.server.retry_blocked(client);
    assert_eq!(told(&mut node, client), ["2"]);

    // All is all: as in Redis even the word that would end it.
    ask(&mut node, other, "CLIENT PAUSE 1000");
    ask(&mut node, other, "CLIENT UNPAUSE");
    ask(&mut node, client, "INCR k");
    assert_eq!(node.server.paused_clients(), [other, client], "in the order in which they came");
    node.wait(Millis(1000));
    node.server.settle_pause();
    node.server.retry_all_blocked();
    assert_eq!(told(&mut node, client), ["3"]);
}

#[test]
fn save_and_shutdown_are_answered_when_they_are_over() {
    let mut node = Node::new("");
    let (client, other) = (node.connect(), node.connect());
    ask(&mut node, client, "SAVE");
    assert!(
        node.server.asks.iter().any(|ask| matches!(ask, Ask::Dump { waiting: Some(waiter) } if waiter.slot == client))
    );
    node.server.retry_all_blocked();
    assert!(told(&mut node, client).is_empty());
    let waiter = node.server.waiter(client);
    node.server.answer_saved(waiter, Ok(()));
    node.server.answer_saved(waiter, Ok(()));
    assert_eq!(told(&mut node, client), ["OK"], "once");
    ask(&mut node, client, "SAVE");
    node.server.answer_saved(waiter, Err("ERR no room"));
    assert_eq!(told(&mut node, client), ["ERR no room"]);

    ask(&mut node, client, "SHUTDOWN SAVE FORCE");
    assert!(matches!(node.server.asks.last(), Some(Ask::Shutdown { force: true, now: false, .. })));
    node.server.stopping = Some(1);
    ask(&mut node, other, "SHUTDOWN ABORT");
    ask(&mut node, other, "SHUTDOWN ABORT");
    assert_eq!(told(&mut node, other), ["OK", "ERR No shutdown in progress."]);
    assert_eq!(told(&mut node, client), ["ERR Errors trying to SHUTDOWN. Check logs."]);
}

#[test]
fn what_was_done_for_one_who_left_is_not_told_to_another() {
    let mut node = Node::new("");
    let client = node.connect();
    ask(&mut node, client, "SAVE");
    let gone = node.server.waiter(client);
    node.server.disconnect(client);
    let next = node.connect();
    assert_eq!(next, client, "the slot is taken again");
    ask(&mut node, next, "SAVE");
    node.server.answer_saved(gone, Ok(()));
    assert!(told(&mut node, next).is_empty());
    let waiter = node.server.waiter(next);
    node.server.answer_saved(waiter, Err("ERR no room"));
    assert_eq!(told(&mut node, next), ["ERR no room"]);
}

#[test]
fn a_promotion_stands_in_the_log_before_the_next_write_of_the_same_turn() {
    use regent::command::feed::Piece;
    let mut node = Node::new("");
    let client = node.connect();
    ask(&mut node, client, "SET a 1");
    ask(&mut node, client, "REPLICAOF 127.0.0.1 1");
    ask(&mut node, client, "REPLICAOF NO ONE");
    ask(&mut node, client, "SET b 2");
    ask(&mut node, client, "REPLICAOF 127.0.0.1 1");
    ask(&mut node, client, "REPLICAOF NO ONE");
    let pieces: Vec<_> = node.server.feed.pieces(0).collect();
    let [Piece::Bytes(..), Piece::History(first, why), Piece::Bytes(..), Piece::History(second, _)] = pieces.as_slice()
    else {
        panic!("{pieces:?}");
    };
    assert_eq!(*why, "promoted");
    assert_ne!(first.id(), second.id(), "an id is given out once");
    assert_eq!(second.second_id(), first.id());
    assert_eq!(node.server.stream.history(), *second);
}
