//! A server for unit tests: empty, with the configuration that a test names, and clocks that stand still.

use super::{Parts, Server};
use crate::base::{Millis, Offset, ReplId, RunId};
use crate::config::{Config, Role};
use crate::keyspace::Keyspace;
use crate::replication::{History, Stream};
use std::path::Path;

pub fn server(lines: &str) -> Server {
    let mut config = Config::new(Role::Node, Path::new("/"));
    config.load_text(lines, "the test's configuration").expect("a valid configuration");
    Server::new(Parts {
        config,
        keyspace: Keyspace::new(16, [5; 4]),
        stream: Stream::new(History::blank(ReplId::from_random([7; 20])), Offset(0), 1 << 20),
        run_id: RunId::from_random([8; 20]),
        fresh: ReplId::from_random([9; 20]),
        wall: Millis(1_700_000_000_000),
        mono: Millis(0),
        ticks: || 0,
    })
}
