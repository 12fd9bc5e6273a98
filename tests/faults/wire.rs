//! What is no request, or too large a one: the error, the end of that connection alone, and nothing executed of it.

use crate::support::{Client, SOON, Server};
use regent::resp::Frame;

fn node() -> Server {
    let node = Server::node(&["appendonly no"]);
    node.ok("SET kept value");
    node
}

/// Sends the bytes on a connection of their own; all that comes back until the node closes it.
fn said(node: &Server, bytes: &[u8]) -> String {
    let mut client = node.client();
    client.send_raw(bytes).expect("sent");
    client.patience(SOON);
    String::from_utf8_lossy(&client.receive_to_end().expect("closed")).into_owned()
}

/// The node is as it was.
fn unharmed(node: &Server) {
    assert_eq!(node.ask("GET kept").text(), Some(&b"value"[..]));
    assert_eq!(node.ask("DBSIZE"), Frame::Int(1));
}

#[test]
fn what_is_no_request_is_told_and_closed() {
    let node = node();
    for (bytes, text) in [
        (&b"*2147483648\r\n"[..], "invalid multibulk length"),
        (b"*garbage\r\n", "invalid multibulk length"),
        (b"*2\r\n$3\r\nGET\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*3\r\n$3\r\nSET\r\n:1\r\n", "expected '$', got ':'"),
        (b"SET k \"unbalanced\r\n", "unbalanced quotes in request"),
    ] {
        assert_eq!(said(&node, bytes), format!("-ERR Protocol error: {text}\r\n"));
    }
    // What came whole before it is executed and answered; what comes behind it is not.
    let mixed = b"*2\r\n$3\r\nGET\r\n$4\r\nkept\r\n*1\r\n$-5\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    assert_eq!(said(&node, mixed), "$5\r\nvalue\r\n-ERR Protocol error: invalid bulk length\r\n");
    unharmed(&node);
}

#[test]
fn ten_thousand_nested_arrays_are_one_error() {
    let node = node();
    let nested = b"*1\r\n".repeat(10_000);
    assert_eq!(said(&node, &nested), "-ERR Protocol error: expected '$', got '*'\r\n");
    unharmed(&node);
}

#[test]
fn garbage_is_unknown_commands_at_most() {
    let node = node();
    let mut client = node.client();
    client.send_raw(b"\x80\xff\x01 garbage\r\n\r\n\nPING\r\n").expect("sent");
    let reply = client.receive_line().expect("a line");
    assert!(reply.starts_with("-ERR unknown command '"), "{reply}");
    assert!(reply.ends_with("', with args beginning with: 'garbage'"), "{reply}");
    assert_eq!(client.receive().expect("a reply"), Frame::Simple("PONG".into()), "the connection lives");
    let long = vec![b'x'; 70_000];
    assert_eq!(said(&node, &long), "-ERR Protocol error: too big inline request\r\n");
    let mut head = b"*1\r\n$".to_vec();
    head.extend(vec![b'1'; 70_000]);
    assert_eq!(said(&node, &head), "-ERR Protocol error: too big bulk count string\r\n");
    let mut head = b"*".to_vec();
    head.extend(vec![b'1'; 70_000]);
    assert_eq!(said(&node, &head), "-ERR Protocol error: too big mbulk count string\r\n");
    unharmed(&node);
}

#[test]
fn a_request_that_never_comes_whole_does_nothing_and_costs_nothing() {
    let node = node();
    let whole = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n";
    for length in 1..whole.len() {
        let mut client = node.client();
        client.send_raw(&whole[..length]).expect("sent");
    }
    let before = node.info("memory").int("used_memory");
    // The most arguments there may be, and the largest string, are promised only.
    let mut open: Vec<Client> = Vec::new();
    for head in [&b"*2147483647\r\n$3\r\nSET\r\n"[..], b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nxyz"] {
        let mut client = node.client();
        client.send_raw(head).expect("sent");
        open.push(client);
    }
    unharmed(&node);
    let grown = node.info("memory").int("used_memory") - before;
    assert!(grown < 8 << 20, "promises alone took {grown} bytes");
    drop(open);
    unharmed(&node);
}

#[test]
fn before_authentication_little_is_listened_to() {
    let node = Server::prepare_node(&["appendonly no", "requirepass secret"]);
    let mut node = node.with_password("secret");
    node.start();
    for (bytes, text) in [
        (&b"*11\r\n"[..], "unauthenticated multibulk length"),
        (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let mut client = Client::connect(node.port).expect("a connection");
        client.send_raw(bytes).expect("sent");
        let said = client.receive_to_end().expect("closed");
        assert_eq!(String::from_utf8_lossy(&said), format!("-ERR Protocol error: {text}\r\n"));
    }
}

#[test]
fn the_largest_string_is_512_mb_and_not_a_byte_more() {
    let node = node();
    let largest = vec![b'v'; 512 << 20];
    assert!(node.cmd(&[b"SET".as_slice(), b"large", &largest]).is_ok());
    drop(largest);
    assert_eq!(node.ask("STRLEN large"), Frame::Int(512 << 20));
    let too_large = Frame::Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)".into());
    assert_eq!(node.ask("APPEND large x"), too_large);
    assert_eq!(node.ask("SETRANGE large 536870912 x"), too_large);
    assert_eq!(node.ask("STRLEN large"), Frame::Int(512 << 20));
    assert_eq!(node.ask("DEL large"), Frame::Int(1));
    // The limit is a directive.
    node.ok("CONFIG SET proto-max-bulk-len 1mb");
    let limit = vec![b'v'; 1 << 20];
    assert!(node.cmd(&[b"SET".as_slice(), b"limit", &limit]).is_ok());
    let over = b"*3\r\n$3\r\nSET\r\n$4\r\nover\r\n$1048577\r\n";
    assert_eq!(said(&node, over), "-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(node.ask("DEL limit"), Frame::Int(1));
    unharmed(&node);
}
