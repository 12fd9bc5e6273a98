//! Connections and streams without sockets, driven by hand.

use super::*;
use crate::base::{Millis, Offset};
use crate::command::{Blocked, Closing, Kind, Origin, Server, Slot, testing};
use crate::resp::{Args, Frame, decode};

fn server() -> Server {
    let mut server = testing::server("");
    server.wall = Millis(1_000_000);
    server
}

fn connect(server: &mut Server) -> Slot {
    server.connect(Kind::Normal, "127.0.0.1:50000".to_string(), "127.0.0.1:6379".to_string(), 8)
}

fn said(server: &mut Server, slot: Slot) -> String {
    String::from_utf8(std::mem::take(&mut server.clients[slot].out)).expect("text").replace("\r\n", "|")
}

fn get(server: &mut Server, key: &str) -> Option<String> {
    let entry = server.keyspace.db(0).get(server.keyspace.key(key.as_bytes()))?;
    Some(String::from_utf8(entry.string().expect("a string").to_vec()).expect("text"))
}

const REQUESTS: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n\r\nINCR n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
const REPLIES: &str = "+OK|:1|$5|hello|";

#[test]
fn whole_requests_leave_nothing_behind() {
    let mut server = server();
    let slot = connect(&mut server);
    assert_eq!(input(&mut server, slot, REQUESTS, &mut Args::default()), Progress::Waiting);
    assert_eq!(said(&mut server, slot), REPLIES);
    let client = &server.clients[slot];
    assert_eq!((client.partial.capacity(), client.bytes_in), (0, REQUESTS.len() as u64));
}

/// Room is kept for requests that do not come whole, as long as they come: as much as they have needed lately.
#[test]
fn the_room_of_a_partial_request_is_kept_for_a_while() {
    let mut server = server();
    let slot = connect(&mut server);
    let mut args = Args::default();
    let mut set = |server: &mut Server, bytes: usize| {
        let request =
            [format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bytes}\r\n").into_bytes(), vec![b'x'; bytes], b"\r\n".to_vec()];
        for part in request.concat().chunks(30_000) {
            input(server, slot, part, &mut args);
        }
        assert_eq!(said(server, slot), "+OK|");
        server.clients[slot].partial.capacity()
    };
    let large = set(&mut server, 400_000);
    assert!((400_000..800_000).contains(&large), "{large} B");
    server.tend_clients();
    assert_eq!(server.clients[slot].partial.capacity(), large, "the next may be as large");
    server.mono = server.mono + Millis(1000);
    assert_eq!(set(&mut server, 31_000), large);
    server.tend_clients();
    let less = server.clients[slot].partial.capacity();
    assert!((31_000..64_000).contains(&less), "{less} B");
    server.mono = server.mono + Millis(2000);
    server.tend_clients();
    assert_eq!(server.clients[slot].partial.capacity(), less, "not unused for long enough");
    server.mono = server.mono + Millis(1);
    input(&mut server, slot, b"PING\r\n", &mut args);
    server.tend_clients();
    assert_eq!(server.clients[slot].partial.capacity(), 0, "whole requests need none");
}

#[test]
fn requests_may_be_cut_anywhere() {
    let mut args = Args::default();
    for cut in 0..REQUESTS.len() {
        let mut server = server();
        let slot = connect(&mut server);
        let (first, second) = REQUESTS.split_at(cut);
        input(&mut server, slot, first, &mut args);
        input(&mut server, slot, second, &mut args);
        assert_eq!(said(&mut server, slot), REPLIES, "cut at {cut}");
        assert!(server.clients[slot].partial.is_empty(), "cut at {cut}");
    }
    let mut server = server();
    let slot = connect(&mut server);
    for byte in REQUESTS.chunks(1) {
        input(&mut server, slot, byte, &mut args);
    }
    assert_eq!(said(&mut server, slot), REPLIES);
}

#[test]
fn a_closing_client_is_not_heard() {
    let mut server = server();
    let slot = connect(&mut server);
    let progress = input(&mut server, slot, b"QUIT\r\nSET k v\r\n", &mut Args::default());
    assert_eq!((progress, said(&mut server, slot).as_str()), (Progress::Closing, "+OK|"));
    input(&mut server, slot, b"SET k v\r\n", &mut Args::default());
    assert_eq!((get(&mut server, "k"), said(&mut server, slot).as_str()), (None, ""));
}

#[test]
fn a_broken_request_ends_the_connection_behind_what_was_asked_before() {
    let mut server = server();
    let slot = connect(&mut server);
    let progress = input(&mut server, slot, b"SET k v\r\n*1\r\n:1\r\nSET k w\r\n", &mut Args::default());
    assert_eq!(progress, Progress::Closing);
    assert_eq!(said(&mut server, slot), "+OK|-ERR Protocol error: expected '$', got ':'|");
    assert_eq!(get(&mut server, "k").as_deref(), Some("v"));
    assert_eq!(server.clients[slot].closing, Some(Closing::AfterReplies));
}

#[test]
fn a_blocked_client_is_heard_later() {
    let mut server = server();
    let slot = connect(&mut server);
    let mut args = Args::default();
    server.clients[slot].blocked = Some(Blocked::Checkpoint);
    assert_eq!(input(&mut server, slot, b"SET k v\r\nGET", &mut args), Progress::Blocked);
    assert_eq!(input(&mut server, slot, b" k\r\n", &mut args), Progress::Blocked);
    assert_eq!((get(&mut server, "k"), said(&mut server, slot).as_str()), (None, ""));
    server.unblock(slot);
    assert_eq!(input(&mut server, slot, b"", &mut args), Progress::Waiting);
    assert_eq!(said(&mut server, slot), "+OK|$1|v|");
}

#[test]
fn a_request_without_end_is_not_waited_for() {
    let mut server = server();
    server.config.settings.client_query_buffer_limit = 100_000;
    let slot = connect(&mut server);
    let mut args = Args::default();
    input(&mut server, slot, b"*2\r\n$3\r\nGET\r\n$1000000\r\n", &mut args);
    for _ in 0..10 {
        assert_eq!(server.clients[slot].closing, None);
        input(&mut server, slot, &[b'x'; 9_000], &mut args);
    }
    input(&mut server, slot, &[b'x'; 20_000], &mut args);
    assert_eq!(server.clients[slot].closing, Some(Closing::Now));
    assert_eq!(server.stats.query_buffer_disconnections, 1);
}

#[test]
fn a_pipeline_ends_where_its_replies_are_too_many() {
    let mut server = server();
    let limits = "client-output-buffer-limit normal 100000 0 0";
    server.config.load_text(limits, "the test's configuration").expect("a valid configuration");
    let slot = connect(&mut server);
    let mut args = Args::default();
    input(&mut server, slot, b"SETRANGE big 29999 x\r\n", &mut args);
    let pipeline = b"INCR n\r\nGET big\r\n".repeat(10);
    assert_eq!(input(&mut server, slot, &pipeline, &mut args), Progress::Closing);
    assert_eq!(server.clients[slot].closing, Some(Closing::Now));
    assert_eq!(said(&mut server, slot), "", "nothing of it is sent");
    assert_eq!(get(&mut server, "n").as_deref(), Some("4"), "and no more of it executed");
}

#[test]
fn what_a_client_takes_is_read_off_its_buffers() {
    let mut server = server();
    let slot = connect(&mut server);
    let mut args = Args::default();
    let idle = server.clients[slot].memory();
    assert_eq!((idle.qbuf, idle.qbuf_free, idle.argv, idle.multi, idle.omem), (0, 0, 0, 0, 0));
    input(&mut server, slot, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$50000\r\nxx", &mut args);
    let partial = server.clients[slot].memory();
    assert_eq!((partial.qbuf, partial.argv), (2, 28), "a value that has begun, and the words in front of it");
    assert!(partial.qbuf_free > 49_000 && partial.total > idle.total + 50_000);
    input(&mut server, slot, &[b'x'; 50_000], &mut args);
    said(&mut server, slot);
    let other = connect(&mut server);
    input(&mut server, other, b"WATCH abc\r\nMULTI\r\nGET k\r\n", &mut args);
    let queued = server.clients[other].memory();
    assert!(queued.multi > 4 && queued.total > idle.total + queued.multi);
    input(&mut server, other, b"DISCARD\r\nSUBSCRIBE abc abcd\r\nUNSUBSCRIBE\r\n", &mut args);
    server.clients[other].watching = Vec::new();
    server.clients[other].out = Vec::with_capacity(idle.rbs);
    assert_eq!(server.clients[other].memory().total, idle.total, "all that it held is given back");
}

/// A node that obeys a stream.
fn follower(origin: Origin) -> (Server, StreamReader) {
    let mut server = server();
    let slot = server.connect(Kind::Stream, String::new(), String::new(), -1);
    (server, StreamReader::new(slot, origin))
}

const UNITS: [&[u8]; 4] = [
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n",
    b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n",
    b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nEXEC\r\n",
    b"\n*3\r\n$6\r\nAPPEND\r\n$1\r\nn\r\n$1\r\n0\r\n",
];
const AFTER: [Option<&str>; 5] = [None, None, Some("1"), Some("3"), Some("30")];

/// N1 and N2: at every byte of the stream the keyspace is what the whole units before it made, and the stream ends there.
#[test]
fn nothing_of_an_unfinished_unit_is_applied_or_relayed() {
    let (mut server, mut reader) = follower(Origin::Master);
    let bytes = UNITS.concat();
    let ends: Vec<usize> = (0..=UNITS.len()).map(|units| UNITS[..units].concat().len()).collect();
    for (at, byte) in bytes.chunks(1).enumerate() {
        reader.input(&mut server, byte, &mut Args::default()).expect("a valid stream");
        let whole = ends.iter().filter(|&&end| end <= at + 1).count() - 1;
        assert_eq!(server.stream.end(), Offset(ends[whole] as u64), "behind byte {at}");
        assert_eq!(get(&mut server, "n").as_deref(), AFTER[whole], "behind byte {at}");
        assert_eq!(reader.unfinished_bytes(), at + 1 - ends[whole]);
    }
    assert!(server.feed.has_pending());
    assert_eq!(server.stream.selected(), Some(0));
    assert_eq!(said(&mut server, reader.slot()), "", "a stream is told nothing");
}

#[test]
fn a_stream_may_be_cut_into_pieces_of_any_size() {
    let bytes = UNITS.concat();
    for size in 1..=bytes.len() {
        let (mut server, mut reader) = follower(Origin::Master);
        for piece in bytes.chunks(size) {
            reader.input(&mut server, piece, &mut Args::default()).expect("a valid stream");
        }
        assert_eq!(server.stream.end(), Offset(bytes.len() as u64));
        assert_eq!(get(&mut server, "n").as_deref(), Some("30"), "pieces of {size}");
    }
}

#[test]
fn the_log_is_applied_and_not_relayed() {
    let (mut server, mut reader) = follower(Origin::Log);
    reader.input(&mut server, &UNITS.concat(), &mut Args::default()).expect("a valid stream");
    assert_eq!(get(&mut server, "n").as_deref(), Some("30"));
    assert_eq!((server.stream.end(), server.feed.has_pending()), (Offset(0), false));
}

#[test]
fn what_is_no_stream_is_refused_at_its_offset() {
    let begun = UNITS[1].len() as u64;
    let cases: [(&[u8], StreamError); 3] = [
        (b"*1\r\n$4\r\nEXEC\r\n", StreamError::Transaction { at: Offset(begun) }),
        (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n", StreamError::Transaction { at: Offset(begun) }),
        (
            b"*1\r\n$x\r\n",
            StreamError::Protocol { what: "Protocol error: invalid bulk length".to_string(), at: Offset(begun) },
        ),
    ];
    for (bytes, error) in cases {
        let (mut server, mut reader) = follower(Origin::Master);
        reader.input(&mut server, UNITS[1], &mut Args::default()).expect("a valid stream");
        assert_eq!(reader.input(&mut server, bytes, &mut Args::default()), Err(error));
        assert_eq!((server.stream.end(), get(&mut server, "n").as_deref()), (Offset(begun), Some("1")));
    }
}

/// A master that knows more commands than this node: the stream goes on, and the refusal is counted.
#[test]
fn a_command_that_is_refused_is_counted_and_relayed() {
    let (mut server, mut reader) = follower(Origin::Master);
    let bytes = b"*1\r\n$5\r\nBLAST\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    reader.input(&mut server, bytes, &mut Args::default()).expect("a valid stream");
    assert_eq!((server.stats.unexpected_errors, server.stream.end()), (1, Offset(bytes.len() as u64)));
    assert_eq!(get(&mut server, "n").as_deref(), Some("1"));
}

/// Subscribers of a replica hear what its master publishes; those that connect while a log is read do not.
#[test]
fn messages_of_the_master_are_delivered_and_those_of_the_log_are_not() {
    for (origin, heard) in [(Origin::Master, 1), (Origin::Log, 0)] {
        let (mut server, mut reader) = follower(origin);
        let slot = connect(&mut server);
        input(&mut server, slot, b"SUBSCRIBE c\r\n", &mut Args::default());
        said(&mut server, slot);
        let bytes = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$1\r\nm\r\n";
        reader.input(&mut server, bytes, &mut Args::default()).expect("a valid stream");
        let out = std::mem::take(&mut server.clients[slot].out);
        let frames = decode(&out).expect("valid RESP").map(|(frame, _)| frame);
        assert_eq!(frames.iter().filter(|frame| matches!(frame, Frame::Array(_))).count(), heard);
    }
}

/// A replica says its own events of what it applies; a replay of the log says none.
#[test]
fn events_of_what_the_master_did_are_said_and_those_of_the_log_are_not() {
    for (origin, heard) in [(Origin::Master, 3), (Origin::Log, 0)] {
        let (mut server, mut reader) = follower(origin);
        let slot = connect(&mut server);
        let requests = b"CONFIG SET notify-keyspace-events EA\r\nPSUBSCRIBE __key*\r\n";
        input(&mut server, slot, requests, &mut Args::default());
        said(&mut server, slot);
        let bytes = b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$4\r\nPXAT\r\n$13\r\n9999999999999\r\n\
            *2\r\n$3\r\nDEL\r\n$1\r\nk\r\n";
        reader.input(&mut server, bytes, &mut Args::default()).expect("a valid stream");
        let said = said(&mut server, slot);
        let events: Vec<&str> = said.split('|').filter(|line| line.starts_with("__keyevent")).collect();
        assert_eq!(events.len(), heard, "{origin:?}: {said}");
        if heard > 0 {
            assert_eq!(events, ["__keyevent@0__:set", "__keyevent@0__:expire", "__keyevent@0__:del"]);
        }
    }
}
