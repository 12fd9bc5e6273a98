//! The replication stream as a source of commands: a master's link, and the log at start.
//!
//! Commands are applied as they come; their bytes are relayed when their unit is whole, so the log, the ACKs and the
//! replicas of this node never see half a transaction. Inside MULTI the session queues, so nothing of an unfinished
//! unit has touched the keyspace either (N1).

use crate::base::Offset;
use crate::command::{Args, Ask, Origin, Server, Slot};
use crate::replication::{Cut, Units};
use crate::resp::{self, Parser, RequestLimits, Step};

/// Why the stream cannot be followed any further.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamError {
    /// What came is no request: the protocol error, and the offset of the unit that it stands in.
    Protocol { what: String, at: Offset },
    /// MULTI inside MULTI, or EXEC without it.
    Transaction { at: Offset },
    /// A command was refused, and `propagation-error-behavior` makes that the end.
    Refused { at: Offset },
}

impl std::fmt::Display for StreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StreamError::Protocol { what, at } => write!(f, "{what} in the replication stream behind offset {at}"),
            StreamError::Transaction { at } => {
                write!(f, "a broken transaction in the replication stream behind offset {at}")
            }
            StreamError::Refused { at } => write!(f, "a command behind offset {at} was refused"),
        }
    }
}

/// An error's code, without what it tells of the request.
fn code(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// The reader of one stream. It keeps what has come of a unit that is not whole.
pub struct StreamReader {
    slot: Slot,
    origin: Origin,
    parser: Parser,
    units: Units,
    /// The unit that is not whole: the bytes before `parsed` have been applied or queued.
    kept: Vec<u8>,
    parsed: usize,
}

impl StreamReader {
    /// Applies as `slot`, a client of kind [`Stream`](crate::command::Kind::Stream).
    pub fn new(slot: Slot, origin: Origin) -> Self {
        StreamReader { slot, origin, parser: Parser::default(), units: Units::default(), kept: Vec::new(), parsed: 0 }
    }

    /// The client that it applies as.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Bytes of a unit that is not whole.
    pub fn unfinished_bytes(&self) -> usize {
        self.kept.len()
    }

    /// Applies what `bytes` completes. With [`Origin::Master`] whole units are relayed to this node's own stream; the
    /// log's bytes stand there already.
    pub fn input(&mut self, server: &mut Server, bytes: &[u8], args: &mut resp::Args) -> Result<(), StreamError> {
        if self.kept.is_empty() {
            let rest = self.drive(server, bytes, args)?;
            self.kept.extend_from_slice(&bytes[rest..]);
            self.parsed -= rest;
            return Ok(());
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.reserve(bytes.len().max(self.parser.wanted(kept.len() - self.parsed)));
        kept.extend_from_slice(bytes);
        let rest = self.drive(server, &kept, args)?;
        kept.drain(..rest);
        self.parsed -= rest;
        self.kept = kept;
        Ok(())
    }

    /// From `self.parsed` on; where the first unit that is not whole begins.
    fn drive(&mut self, server: &mut Server, bytes: &[u8], args: &mut resp::Args) -> Result<usize, StreamError> {
        let mut unit = 0;
        while self.parsed < bytes.len() {
            let at = server.stream.end();
            match self.parser.next(&bytes[self.parsed..], &RequestLimits::MASTER, args) {
                Ok(Step::Incomplete) => break,
                Ok(Step::Empty { consumed }) => self.parsed += consumed,
                Ok(Step::Command { consumed }) => {
                    let request = args.request(&bytes[self.parsed..]);
                    let name = request.get(0).unwrap_or_default();
                    let cut = self.units.feed(name, consumed as u64);
                    if let Err(text) = server.apply(self.slot, Args::new(request), self.origin) {
                        server.stats.unexpected_errors += 1;
                        let name = String::from_utf8_lossy(name).into_owned();
                        let settings = &server.config.settings;
                        let text = if settings.hide_user_data_from_log { code(&text) } else { &text };
                        tracing::warn!(
                            "== CRITICAL == the stream's command '{name}' behind offset {at} was refused: {text}"
                        );
                        if settings.propagation_error_behavior.ends_node(self.origin == Origin::Master) {
                            server.asks.push(Ask::Die);
                            return Err(StreamError::Refused { at });
                        }
                    }
                    self.parsed += consumed;
                    match cut {
                        Cut::Open => {}
                        Cut::Broken => return Err(StreamError::Transaction { at }),
                        Cut::Whole { .. } => {
                            self.whole(server, &bytes[unit..self.parsed]);
                            unit = self.parsed;
                        }
                    }
                }
                Err(error) => return Err(StreamError::Protocol { what: error.to_string(), at }),
            }
        }
        Ok(unit)
    }

    fn whole(&self, server: &mut Server, unit: &[u8]) {
        if self.origin != Origin::Master {
            return;
        }
        let db = server.clients[self.slot].db;
        let Server { feed, stream, .. } = server;
        feed.relay(stream, unit, db);
        // A replica's own clients may wait for entries of a stream.
        server.serve_awaited();
    }
}
