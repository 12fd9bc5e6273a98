//! A node without sockets, disk and clock: what scripts and models talk to.
#![allow(dead_code, reason = "each test uses its share")]

use regent::base::{Millis, Offset, ReplId, RunId};
use regent::command::acl::Acl;
use regent::command::{Kind, Names, Origin, Parts, Server, Slot, feed};
use regent::config::{Config, Role};
use regent::keyspace::Keyspace;
use regent::replication::{History, Stream, sink};
use regent::resp::{Args, Frame, decode};
use regent::session::{StreamReader, input};
use std::path::Path;

/// When its time begins: the wall clock in Unix milliseconds.
pub const START: Millis = Millis(1_000_000);

const BACKLOG_BYTES: u64 = 1 << 20;

/// A master.
pub struct Node {
    pub server: Server,
    args: Args,
}

impl Node {
    /// An empty one; `config` holds lines of a redis.conf.
    pub fn new(config: &str) -> Node {
        let mut settings = Config::new(Role::Node, Path::new("/"));
        settings.settings.save.clear(); // nobody makes the dump that a FLUSHALL would wait for
        settings.load_text(config, "the test's configuration").expect("a valid configuration");
        let mut server = Server::new(Parts {
            config: settings,
            keyspace: Keyspace::new(16, [1, 2, 3, 4]),
            stream: Stream::new(History::blank(ReplId::from_random([7; 20])), Offset(0), BACKLOG_BYTES),
            run_id: RunId::from_random([8; 20]),
            fresh: ReplId::from_random([9; 20]),
            wall: START,
            mono: Millis(0),
            ticks: || 0,
        });
        server.allocated = || 1 << 20; // whatever is in it
        let mut node = Node { server, args: Args::default() };
        let config = &node.server.config;
        let names = Names::of(&config.rename_commands).expect("commands that there are");
        (node.server.acl, node.server.names) = (Acl::of(config).expect("good users"), names);
        node
    }

    pub fn connect(&mut self) -> Slot {
        self.server.connect(Kind::Normal, "127.0.0.1:50000".to_string(), "127.0.0.1:6379".to_string(), 8)
    }

    /// Bytes come in on a connection, and are executed.
    pub fn send(&mut self, slot: Slot, bytes: &[u8]) {
        input(&mut self.server, slot, bytes, &mut self.args);
    }

    /// All that a connection has been told since the last time.
    pub fn heard(&mut self, slot: Slot) -> Vec<Frame> {
        self.server.tell_broadcasts(); // as the end of a turn does
        let out = std::mem::take(&mut self.server.clients[slot].out);
        frames(&out)
    }

    /// What has been fed to the log and the replicas since the last time.
    pub fn fed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut changes = 0;
        for piece in self.server.feed.pieces(0) {
            match piece {
                feed::Piece::Bytes(piece, _) => bytes.extend_from_slice(piece),
                feed::Piece::History(..) => changes += 1,
            }
        }
        self.server.feed.logged(bytes.len(), changes);
        bytes
    }

    /// Time passes on both clocks.
    pub fn wait(&mut self, span: Millis) {
        self.server.wall = self.server.wall + span;
        self.server.mono = self.server.mono + span;
    }

    /// From now on it follows a master that is never there.
    pub fn follow(&mut self) {
        let event = sink::Event::Follow { host: "127.0.0.1", port: 1, failover: false };
        let Server { sink, stream, links, mono, .. } = &mut self.server;
        sink.step(*mono, event, stream, &mut links.sink);
    }
}

/// A replica that is fed by hand, and its reader of the master's stream.
pub struct Replica {
    pub node: Node,
    reader: StreamReader,
}

impl Replica {
    pub fn new() -> Replica {
        let mut node = Node::new("");
        node.follow();
        let slot = node.server.connect(Kind::Stream, String::new(), String::new(), -1);
        Replica { node, reader: StreamReader::new(slot, Origin::Master) }
    }

    /// Applies bytes of the master's stream.
    pub fn obey(&mut self, bytes: &[u8]) {
        let Node { server, args } = &mut self.node;
        self.reader.input(server, bytes, args).expect("a valid stream");
    }

    pub fn unfinished_bytes(&self) -> usize {
        self.reader.unfinished_bytes()
    }
}

/// The frames that the bytes consist of.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, len) = decode(bytes).expect("valid RESP").expect("whole frames");
        frames.push(frame);
        bytes = &bytes[len..];
    }
    frames
}
