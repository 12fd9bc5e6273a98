//! The replica's side: one link to a master, from the first connect to the stream, as a state machine that never waits.
//! The runtime owns the socket and the parsers, asks [`Sink::expects`] what the next bytes are, and does what the
//! effects say. Log lines and their order are Redis 7.2's, since people and tools grep for them.

mod event;
mod handshake;

pub use event::{ConnId, Effect, Event, Expect, LinkState, SinkConfig, SinkInfo, SyncInfo};

use super::bulk::Extent;
use super::history::Standing;
use super::note::Note;
use super::planted::{Bug, planted};
use super::source::DropReason;
use super::stream::{Stream, Upstream};
use crate::base::{Millis, Offset, ReplId};
pub(super) use handshake::request;

/// The longest wait between two attempts to connect.
pub const RETRY_MS_MAX: i64 = 1000;
/// The same while attempts are refused at once: a master that is started again is to be found soon, and a refusal costs
/// next to nothing.
const REFUSED_RETRY_MS_MAX: i64 = 200;
/// What is refused within this time is refused at once.
const AT_ONCE_MS: i64 = 50;
/// As many failures as refusals count for, so that whoever listens at last is not made to wait for all the time that
/// nobody did.
const REFUSALS_MAX: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    failover: bool,
}

#[derive(Debug)]
enum State {
    /// No master.
    Off,
    /// Between two attempts.
    Waiting {
        at: Millis,
    },
    /// The node goes back before it asks again.
    Rewinding,
    Connecting {
        conn: ConnId,
        since: Millis,
    },
    Handshake {
        conn: ConnId,
        step: Step,
        heard: Millis,
    },
    Receiving {
        conn: ConnId,
        id: ReplId,
        at: Offset,
        total: Option<u64>,
        read: u64,
        heard: Millis,
    },
    /// `lost`: the master has gone meanwhile; what was received is good all the same.
    Loading {
        conn: ConnId,
        id: ReplId,
        at: Offset,
        read: u64,
        since: Millis,
        said: Millis,
        lost: bool,
    },
    Streaming {
        conn: ConnId,
        since: Millis,
        heard: Millis,
        read: Offset,
        acked: Millis,
        ack_due: Option<Offset>,
    },
}

/// The reply that the handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pong,
    Auth,
    Port,
    Ip,
    Capa,
    Psync,
}

/// Why a connection is begun; the log's words differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Planned,
    AfterLoss,
    AfterFailure,
}

/// May the next PSYNC name our history?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Partial,
    /// The master told us to go back and we could not.
    Full,
}

/// See the module.
#[derive(Debug)]
pub struct Sink {
    config: SinkConfig,
    target: Option<Target>,
    state: State,
    asking: Asking,
    conns: u64,
    /// Attempts since the link was last up for a while; the first is made at once.
    failures: u32,
    /// When an attempt was last told of, and whether this one is: one a second is enough for the log.
    told: Option<Millis>,
    loud: bool,
    /// The last attempt was refused at once.
    refused: bool,
    /// When the link went down, if it ever was up.
    down_since: Option<Millis>,
}

impl Sink {
    pub fn new(config: SinkConfig) -> Self {
        Sink {
            config,
            target: None,
            state: State::Off,
            asking: Asking::Partial,
            conns: 0,
            failures: 0,
            told: None,
            loud: true,
            refused: false,
            down_since: None,
        }
    }

    /// New directives, for what is sent from now on.
    pub fn configure(&mut self, config: SinkConfig) {
        self.config = config;
    }

    /// One event; effects are appended to `out`. `now` is monotonic.
    pub fn step(&mut self, now: Millis, event: Event<'_>, stream: &mut Stream, out: &mut Vec<Effect>) {
        match event {
            Event::Follow { host, port, failover } => self.follow(now, host, port, failover, stream, out),
            Event::Unfollow { fresh } => self.unfollow(now, fresh, stream, out),
            Event::Rewound { done } => {
                if let State::Rewinding = self.state {
                    if done {
                        out.push(Effect::DropReplicas { why: DropReason::Replaced });
                    } else {
                        self.asking = Asking::Full;
                    }
                    self.connect(now, Attempt::Planned, out);
                }
            }
            Event::Released => self.ack_if_due(now, stream, out),
            Event::Tick => self.tick(now, stream, out),
            Event::Connected { conn }
            | Event::ConnectFailed { conn, .. }
            | Event::Line { conn, .. }
            | Event::CopyHeader { conn, .. }
            | Event::CopyBytes { conn, .. }
            | Event::CopyReceived { conn }
            | Event::CopyLoaded { conn, .. }
            | Event::CopyFailed { conn, .. }
            | Event::Bytes { conn, .. }
            | Event::GetAck { conn }
            | Event::Closed { conn, .. } => {
                if self.conn() == Some(conn) || planted(Bug::StaleConn) {
                    self.on_conn(now, conn, event, stream, out);
                }
            }
        }
        stream.set_upstream(match self.state {
            State::Off => Upstream::Own,
            State::Streaming { .. } => Upstream::Linked,
            _ => Upstream::Lost,
        });
    }

    fn follow(
        &mut self,
        now: Millis,
        host: &str,
        port: u16,
        failover: bool,
        stream: &mut Stream,
        out: &mut Vec<Effect>,
    ) {
        let same = |target: &Target| target.host == host && target.port == port;
        if !failover && self.target.as_ref().is_some_and(same) {
            return; // The command says "already connected"; the link goes on.
        }
        if self.target.is_none() && stream.history().standing() != Standing::Blank {
            out.push(Effect::Log(Note::notice(
                "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be \
                 able to synchronize with the new master with just a partial transfer.",
            )));
        }
        self.leave(now, out);
        self.target = Some(Target { host: host.to_owned(), port, failover });
        self.asking = Asking::Partial;
        self.failures = 0;
        self.connect(now, Attempt::Planned, out);
    }

    fn unfollow(&mut self, now: Millis, fresh: ReplId, stream: &mut Stream, out: &mut Vec<Effect>) {
        if self.target.take().is_none() {
            return;
        }
        self.leave(now, out);
        self.state = State::Off;
        self.down_since = None;
        let old = stream.history().id();
        stream.shift(fresh);
        out.push(Effect::HistoryChanged);
        out.push(Effect::Log(Note::notice("Discarding previously cached master state.")));
        out.push(Effect::Log(Note::notice(format!(
            "Setting secondary replication ID to {old}, valid up to offset: {}. New replication ID is {fresh}",
            stream.end().0 + 1
        ))));
        out.push(Effect::DropReplicas { why: DropReason::NewId });
    }

    /// Ends what is under way with the present master.
    fn leave(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if let Some(conn) = self.conn() {
            out.push(Effect::Close { conn });
        }
        if self.copying() {
            out.push(Effect::DiscardCopy);
        }
        if let State::Streaming { .. } = self.state {
            out.push(Effect::Log(Note::notice("Connection with master lost.")));
            out.push(Effect::Log(Note::notice("Caching the disconnected master state.")));
            self.down_since = Some(now);
        }
        self.state = State::Waiting { at: now };
    }

    fn connect(&mut self, now: Millis, attempt: Attempt, out: &mut Vec<Effect>) {
        let Some(target) = &self.target else { return };
        self.conns += 1;
        let conn = ConnId(self.conns);
        let (host, port) = (target.host.clone(), target.port);
        let again = self.refused && self.failures >= REFUSALS_MAX;
        self.loud = !(again && self.told.is_some_and(|told| now.since(told).0 < RETRY_MS_MAX));
        if self.loud {
            self.told = Some(now);
            out.push(Effect::Log(Note::notice(match attempt {
                Attempt::Planned => format!("Connecting to MASTER {host}:{port}"),
                Attempt::AfterLoss => format!("Reconnecting to MASTER {host}:{port}"),
                Attempt::AfterFailure => format!("Reconnecting to MASTER {host}:{port} after failure"),
            })));
        }
        out.push(Effect::Connect { conn, host, port });
        if self.loud {
            out.push(Effect::Log(Note::notice("MASTER <-> REPLICA sync started")));
        }
        self.state = State::Connecting { conn, since: now };
    }

    /// The attempt is over: the next one at once, then after 100, 200, 400, 800, 1000, 1000 .. ms; where nobody listens
    /// there, after no more than 200.
    fn retry(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let attempt = match self.state {
            State::Streaming { since, .. } => {
                if now.since(since).0 >= RETRY_MS_MAX {
                    self.failures = 0;
                }
                Attempt::AfterLoss
            }
            State::Receiving { .. } | State::Loading { .. } => Attempt::AfterFailure,
            _ => Attempt::Planned,
        };
        let refused = matches!(self.state, State::Connecting { since, .. } if now.since(since).0 <= AT_ONCE_MS);
        self.refused = refused;
        let longest = if refused { REFUSED_RETRY_MS_MAX } else { RETRY_MS_MAX };
        self.leave(now, out);
        let wait_ms = match self.failures {
            0 => 0,
            n => (100 << (n - 1).min(4)).min(longest),
        };
        let most = if refused { REFUSALS_MAX.max(self.failures) } else { u32::MAX };
        self.failures = self.failures.saturating_add(1).min(most);
        if wait_ms == 0 {
            self.connect(now, attempt, out);
        } else {
            self.state = State::Waiting { at: now + Millis(wait_ms) };
        }
    }

    fn on_conn(&mut self, now: Millis, conn: ConnId, event: Event<'_>, stream: &mut Stream, out: &mut Vec<Effect>) {
        match (&mut self.state, event) {
            (State::Connecting { .. }, Event::Connected { .. }) => {
                out.push(Effect::Log(Note::notice("Non blocking connect for SYNC fired the event.")));
                out.push(Effect::Send { conn, bytes: request(&[b"PING"]) });
                self.state = State::Handshake { conn, step: Step::Pong, heard: now };
            }
            (State::Connecting { .. }, Event::ConnectFailed { why, .. }) => {
                if self.loud {
                    let why = format!("Error condition on socket for SYNC: {why}");
                    out.push(Effect::Log(Note::warning(why)));
                }
                self.retry(now, out);
            }
            (State::Handshake { step, heard, .. }, Event::Line { line, .. }) => {
                *heard = now;
                let step = *step;
                self.line(now, conn, step, line, stream, out);
            }
            (State::Receiving { total, heard, .. }, Event::CopyHeader { extent, .. }) => {
                *heard = now;
                let place = if self.config.to_parser { "to parser" } else { "to disk" };
                let line = match extent {
                    Extent::Sized { bytes } => {
                        *total = Some(bytes);
                        format!("MASTER <-> REPLICA sync: receiving {bytes} bytes from master {place}")
                    }
                    Extent::Marked { .. } => {
                        format!("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {place}")
                    }
                };
                out.push(Effect::Log(Note::notice(line)));
            }
            (State::Receiving { read, heard, .. }, Event::CopyBytes { bytes, .. }) => {
                *read += bytes;
                *heard = now;
            }
            (&mut State::Receiving { id, at, read, .. }, Event::CopyReceived { .. }) => {
                out.push(Effect::Log(Note::notice("MASTER <-> REPLICA sync: Loading DB in memory")));
                out.push(Effect::LoadCopy { conn, id, at });
                self.state = State::Loading { conn, id, at, read, since: now, said: now, lost: false };
            }
            (&mut State::Loading { id, at, lost, .. }, Event::CopyLoaded { db, .. }) => {
                stream.replace(id, at);
                stream.set_selected(Some(db));
                out.push(Effect::HistoryChanged);
                out.push(Effect::DropReplicas { why: DropReason::Replaced });
                out.push(Effect::Log(Note::notice("MASTER <-> REPLICA sync: Finished with success")));
                self.start_stream(now, conn, stream, out);
                if lost {
                    return self.retry(now, out);
                }
                // The first ACK tells the master that its copy arrived; until then it sends no stream.
                self.ack(now, stream, out);
            }
            (State::Receiving { .. } | State::Loading { .. }, Event::CopyFailed { why, kept, fresh, .. }) => {
                out.push(Effect::Log(Note::warning(why)));
                if !kept && !planted(Bug::HalfLoaded) {
                    stream.blank(fresh);
                    out.push(Effect::HistoryChanged);
                    out.push(Effect::DropReplicas { why: DropReason::Replaced });
                }
                self.retry(now, out);
            }
            (State::Streaming { heard, read, .. }, Event::Bytes { bytes, .. }) => {
                *heard = now;
                *read += bytes;
            }
            (State::Streaming { ack_due, .. }, Event::GetAck { .. }) => {
                *ack_due = Some(stream.end());
                self.ack_if_due(now, stream, out);
            }
            (State::Loading { lost, .. }, Event::Closed { .. }) => *lost = true,
            (state, Event::Closed { why, .. }) => {
                let line = match state {
                    State::Handshake { step: Step::Psync, .. } => {
                        Some("Master did not reply to PSYNC, will try later".to_owned())
                    }
                    State::Handshake { .. } => {
                        Some("Master did not respond to command during SYNC handshake".to_owned())
                    }
                    State::Receiving { .. } => Some(format!("I/O error trying to sync with MASTER: {why}")),
                    _ => None,
                };
                let answers = matches!(state, State::Handshake { step: Step::Psync, .. });
                out.extend(line.map(|line| Effect::Log(Note::warning(line))));
                match answers && self.hands_over() {
                    true => self.handed_over(now, false, out),
                    false => self.retry(now, out),
                }
            }
            _ => {}
        }
    }

    /// Does the PSYNC ask the master to take over from us?
    fn hands_over(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.failover)
    }

    /// The answer to that PSYNC.
    fn handed_over(&mut self, now: Millis, accepted: bool, out: &mut Vec<Effect>) {
        if let Some(target) = &mut self.target {
            target.failover = false;
        }
        if !accepted {
            self.leave(now, out);
            self.state = State::Waiting { at: Millis::NEVER };
        }
        out.push(Effect::HandedOver { accepted });
    }

    fn start_stream(&mut self, now: Millis, conn: ConnId, stream: &Stream, out: &mut Vec<Effect>) {
        self.asking = Asking::Partial;
        self.down_since = None;
        let from = stream.end();
        out.push(Effect::Stream { conn, from });
        self.state = State::Streaming { conn, since: now, heard: now, read: from, acked: now, ack_due: None };
    }

    fn ack_if_due(&mut self, now: Millis, stream: &Stream, out: &mut Vec<Effect>) {
        if let State::Streaming { ack_due: Some(due), .. } = self.state
            && due <= stream.released()
        {
            self.ack(now, stream, out);
        }
    }

    /// `REPLCONF ACK` of what is released: whole units that the log has.
    fn ack(&mut self, now: Millis, stream: &Stream, out: &mut Vec<Effect>) {
        let State::Streaming { conn, acked, ack_due, .. } = &mut self.state else { return };
        (*acked, *ack_due) = (now, None);
        let upto = stream.released().to_string();
        let bytes = match stream.synced() {
            Some(synced) => request(&[b"REPLCONF", b"ACK", upto.as_bytes(), b"FACK", synced.to_string().as_bytes()]),
            None => request(&[b"REPLCONF", b"ACK", upto.as_bytes()]),
        };
        out.push(Effect::Send { conn: *conn, bytes });
    }

    fn tick(&mut self, now: Millis, stream: &Stream, out: &mut Vec<Effect>) {
        let late = |heard: Millis| now.since(heard).0 > self.config.timeout_s * 1000;
        match &mut self.state {
            State::Waiting { at } if *at <= now => self.connect(now, Attempt::Planned, out),
            &mut State::Connecting { since: heard, .. } | &mut State::Handshake { heard, .. } if late(heard) => {
                out.push(Effect::Log(Note::warning("Timeout connecting to the MASTER...")));
                self.retry(now, out);
            }
            &mut State::Receiving { heard, .. } if late(heard) => {
                out.push(Effect::Log(Note::warning(
                    "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' \
                     parameter in redis.conf to a larger value.",
                )));
                self.retry(now, out);
            }
            State::Loading { conn, said, lost: false, .. } if now.since(*said).0 >= 1000 => {
                *said = now;
                out.push(Effect::Send { conn: *conn, bytes: b"\n".to_vec() });
            }
            &mut State::Streaming { heard, .. } if late(heard) => {
                out.push(Effect::Log(Note::warning("MASTER timeout: no data nor PING received...")));
                self.retry(now, out);
            }
            &mut State::Streaming { acked, .. } if now.since(acked).0 >= 1000 => self.ack(now, stream, out),
            _ => {}
        }
    }

    fn conn(&self) -> Option<ConnId> {
        match self.state {
            State::Off | State::Waiting { .. } | State::Rewinding => None,
            State::Connecting { conn, .. }
            | State::Handshake { conn, .. }
            | State::Receiving { conn, .. }
            | State::Loading { conn, .. }
            | State::Streaming { conn, .. } => Some(conn),
        }
    }

    fn copying(&self) -> bool {
        matches!(self.state, State::Receiving { .. } | State::Loading { .. })
    }

    /// What the next bytes of `conn` are; ask again after each event.
    pub fn expects(&self, conn: ConnId) -> Expect {
        match self.state {
            _ if self.conn() != Some(conn) => Expect::Nothing,
            State::Handshake { .. } => Expect::Line,
            State::Receiving { .. } => Expect::Copy,
            State::Streaming { .. } => Expect::Stream,
            _ => Expect::Nothing,
        }
    }

    /// Is the answer to [`Effect::Rewind`] still wanted? Ask before making it current.
    pub fn rewinding(&self) -> bool {
        matches!(self.state, State::Rewinding)
    }

    /// When a tick is needed earlier than the next second.
    pub fn wake_at(&self) -> Option<Millis> {
        match self.state {
            State::Waiting { at } => Some(at),
            _ => None,
        }
    }

    /// The master's address, where there is one.
    pub fn master(&self) -> Option<(&str, u16)> {
        self.target.as_ref().map(|target| (target.host.as_str(), target.port))
    }

    pub fn state(&self) -> LinkState {
        match self.state {
            State::Off => LinkState::None,
            State::Waiting { .. } | State::Rewinding => LinkState::Connect,
            State::Connecting { .. } => LinkState::Connecting,
            State::Handshake { .. } => LinkState::Handshake,
            State::Receiving { .. } | State::Loading { .. } => LinkState::Sync,
            State::Streaming { .. } => LinkState::Connected,
        }
    }

    /// What INFO replication says; `None` for a master.
    pub fn info(&self, now: Millis, stream: &Stream) -> Option<SinkInfo<'_>> {
        let target = self.target.as_ref()?;
        let sync = match self.state {
            State::Receiving { total, read, heard, .. } => Some(SyncInfo {
                total_bytes: total.unwrap_or(0),
                read_bytes: read,
                last_io_s: now.since(heard).seconds(),
            }),
            State::Loading { read, since, .. } => {
                Some(SyncInfo { total_bytes: read, read_bytes: read, last_io_s: now.since(since).seconds() })
            }
            _ => None,
        };
        let (last_io_s, down_s, read) = match self.state {
            State::Streaming { heard, read, .. } => (now.since(heard).seconds(), None, read),
            _ => (-1, Some(self.down_since.map_or(-1, |since| now.since(since).seconds())), stream.end()),
        };
        let (host, port) = (target.host.as_str(), target.port);
        Some(SinkInfo { host, port, state: self.state(), last_io_s, sync, down_s, read, applied: stream.end() })
    }
}
