//! The replica's side: one link to a master, from the first connect to the stream, as a state machine that never waits.
//! The runtime owns the socket and the parsers, asks [`Sink::expects`] what the next bytes are, and does what the
//! effects say. Log lines and their order are Redis 7.2's, since people and tools grep for them.

use super::bulk::Extent;
use super::history::Standing;
use super::note::{Note, text};
use super::source::DropReason;
use super::stream::{Stream, Upstream};
use crate::base::number::parse_i64;
use crate::base::{Millis, Offset, ReplId};

/// The longest wait between two attempts to connect.
pub const RETRY_MS_MAX: i64 = 1000;

/// One connection of ours to a master; events of an earlier one are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// The directives that the sink obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// `masteruser` and `masterauth`.
    pub user: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    /// The port to announce: `replica-announce-port`, else the (TLS) port.
    pub port: u16,
    /// `replica-announce-ip`.
    pub ip: Option<Vec<u8>>,
    /// `repl-timeout`, seconds.
    pub timeout_s: i64,
    /// A copy is parsed as it comes, not spooled to disk; for the log line only.
    pub to_parser: bool,
}

impl Default for SinkConfig {
    fn default() -> Self {
        SinkConfig { user: None, password: None, port: 6379, ip: None, timeout_s: 60, to_parser: true }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// REPLICAOF host port (or the directive at start-up). `failover`: the master hands over to us as its successor, and
    /// PSYNC says FAILOVER.
    Follow {
        host: &'a str,
        port: u16,
        failover: bool,
    },
    /// REPLICAOF NO ONE, or a promotion: a new history begins under `fresh`.
    Unfollow {
        fresh: ReplId,
    },
    Connected {
        conn: ConnId,
    },
    ConnectFailed {
        conn: ConnId,
        why: &'a str,
    },
    /// A line of the handshake, without its CRLF.
    Line {
        conn: ConnId,
        line: &'a [u8],
    },
    /// The header of the copy was read.
    CopyHeader {
        conn: ConnId,
        extent: Extent,
    },
    /// Bytes of the copy came.
    CopyBytes {
        conn: ConnId,
        bytes: u64,
    },
    /// The copy came whole; answered by [`Effect::LoadCopy`].
    CopyReceived {
        conn: ConnId,
    },
    /// The copy is loaded and is what a restart would find: the stream may go on from it. The keyspace's stream database
    /// (`repl-stream-db`) is `db`.
    CopyLoaded {
        conn: ConnId,
        db: u32,
    },
    /// The copy could not be read or loaded. `kept`: the old keyspace is untouched; else nothing can be continued and
    /// `fresh` names what is left.
    CopyFailed {
        conn: ConnId,
        why: &'a str,
        kept: bool,
        fresh: ReplId,
    },
    /// Stream bytes were read (whole units or not); what is whole has been appended to the stream.
    Bytes {
        conn: ConnId,
        bytes: u64,
    },
    /// REPLCONF GETACK came in the stream: acknowledge once what precedes it is released.
    GetAck {
        conn: ConnId,
    },
    /// The stream's released end moved.
    Released,
    /// The peer closed, or reading failed.
    Closed {
        conn: ConnId,
        why: &'a str,
    },
    /// The node went back to where it agrees with the master ([`Stream::rewind`] is done), or could not.
    Rewound {
        done: bool,
    },
    /// Time passes; at least once a second, and at [`Sink::wake_at`].
    Tick,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect, and answer with [`Event::Connected`] or [`Event::ConnectFailed`].
    Connect {
        conn: ConnId,
        host: String,
        port: u16,
    },
    /// Write to the master.
    Send {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    /// Close without waiting; no event of this connection is heard from now on.
    Close {
        conn: ConnId,
    },
    /// A copy of history `id` at `at` follows: [`super::bulk::Bulk`] reads it.
    ExpectCopy {
        conn: ConnId,
        id: ReplId,
        at: Offset,
    },
    /// Load what was received, and make it current.
    LoadCopy {
        conn: ConnId,
        id: ReplId,
        at: Offset,
    },
    /// Give up the copy on its way.
    DiscardCopy,
    /// The stream goes on from here: what follows on the connection is commands.
    Stream {
        conn: ConnId,
        from: Offset,
    },
    /// The stream's history has changed: put it into the log before doing what follows.
    HistoryChanged,
    /// Our replicas must ask again.
    DropReplicas {
        why: DropReason,
    },
    /// Go back to `to`, as history `id` (answered by [`Event::Rewound`]).
    Rewind {
        id: ReplId,
        to: Offset,
    },
    Log(Note),
}

/// What the next bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Nothing,
    Line,
    Copy,
    Stream,
}

/// Where a link stands, as ROLE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    None,
    Connect,
    Connecting,
    Handshake,
    Sync,
    Connected,
}

impl LinkState {
    /// ROLE's word.
    pub fn word(self) -> &'static str {
        match self {
            LinkState::None => "none",
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        }
    }
}

/// The fields of INFO replication that a replica has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkInfo<'a> {
    pub host: &'a str,
    pub port: u16,
    pub state: LinkState,
    /// `master_last_io_seconds_ago`, -1 where the link is down.
    pub last_io_s: i64,
    /// The copy on its way, if there is one.
    pub sync: Option<SyncInfo>,
    /// `master_link_down_since_seconds`, where the link is down; -1 if it never was up.
    pub down_s: Option<i64>,
    /// `slave_read_repl_offset`.
    pub read: Offset,
    /// `slave_repl_offset`.
    pub applied: Offset,
}

/// The progress of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncInfo {
    /// `master_sync_total_bytes`; 0 where the master does not say.
    pub total_bytes: u64,
    pub read_bytes: u64,
    pub last_io_s: i64,
}

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
    Loading {
        conn: ConnId,
        id: ReplId,
        at: Offset,
        read: u64,
        since: Millis,
        said: Millis,
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
            Event::Unfollow { fresh } => self.unfollow(fresh, stream, out),
            Event::Rewound { done } => {
                if let State::Rewinding = self.state {
                    if done {
                        out.push(Effect::DropReplicas { why: DropReason::Replaced });
                    } else {
                        self.asking = Asking::Full;
                    }
                    self.connect(now, out);
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
                if self.conn() == Some(conn) {
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
        let target = Target { host: host.to_owned(), port, failover };
        if self.target.as_ref() == Some(&target) {
            return; // The command says "already connected"; the link goes on.
        }
        if self.target.is_none() && stream.history().standing() != Standing::Blank {
            out.push(Effect::Log(Note::notice(
                "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be \
                 able to synchronize with the new master with just a partial transfer.",
            )));
        }
        self.leave(now, out);
        self.target = Some(target);
        self.asking = Asking::Partial;
        self.failures = 0;
        self.connect(now, out);
    }

    fn unfollow(&mut self, fresh: ReplId, stream: &mut Stream, out: &mut Vec<Effect>) {
        if self.target.take().is_none() {
            return;
        }
        if let Some(conn) = self.conn() {
            out.push(Effect::Close { conn });
        }
        if self.copying() {
            out.push(Effect::DiscardCopy);
        }
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

    fn connect(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let Some(target) = &self.target else { return };
        self.conns += 1;
        let conn = ConnId(self.conns);
        let (host, port) = (target.host.clone(), target.port);
        out.push(Effect::Log(Note::notice(format!("Connecting to MASTER {host}:{port}"))));
        out.push(Effect::Connect { conn, host, port });
        out.push(Effect::Log(Note::notice("MASTER <-> REPLICA sync started")));
        self.state = State::Connecting { conn, since: now };
    }

    /// The attempt is over: the next one at once, then after 100, 200, 400, 800, 1000, 1000 .. ms.
    fn retry(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let stood = matches!(self.state, State::Streaming { since, .. } if now.since(since).0 >= RETRY_MS_MAX);
        if stood {
            self.failures = 0;
        }
        self.leave(now, out);
        let wait_ms = match self.failures {
            0 => 0,
            n => (100 << (n - 1).min(4)).min(RETRY_MS_MAX),
        };
        self.failures = self.failures.saturating_add(1);
        if wait_ms == 0 {
            self.connect(now, out);
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
                out.push(Effect::Log(Note::warning(format!("Error condition on socket for SYNC: {why}"))));
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
                self.state = State::Loading { conn, id, at, read, since: now, said: now };
            }
            (&mut State::Loading { id, at, .. }, Event::CopyLoaded { db, .. }) => {
                stream.replace(id, at);
                stream.set_selected(Some(db));
                out.push(Effect::HistoryChanged);
                out.push(Effect::DropReplicas { why: DropReason::Replaced });
                out.push(Effect::Log(Note::notice("MASTER <-> REPLICA sync: Finished with success")));
                self.start_stream(now, conn, stream, out);
                // The first ACK tells the master that its copy arrived; until then it sends no stream.
                self.ack(now, stream, out);
            }
            (State::Receiving { .. } | State::Loading { .. }, Event::CopyFailed { why, kept, fresh, .. }) => {
                out.push(Effect::Log(Note::warning(why)));
                if !kept {
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
                out.extend(line.map(|line| Effect::Log(Note::warning(line))));
                self.retry(now, out);
            }
            _ => {}
        }
    }

    fn line(&mut self, now: Millis, conn: ConnId, step: Step, line: &[u8], stream: &mut Stream, out: &mut Vec<Effect>) {
        let refused = line.first() == Some(&b'-');
        let unknown = |option: &str| {
            let line = text(line);
            Effect::Log(Note::notice(format!("(Non critical) Master does not understand REPLCONF {option}: {line}")))
        };
        match step {
            Step::Pong => {
                let starts = |words: &[&[u8]]| words.iter().any(|word| line.starts_with(word));
                if !starts(&[b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"]) {
                    let text = text(line);
                    out.push(Effect::Log(Note::warning(format!("Error reply to PING from master: '{text}'"))));
                    return self.retry(now, out);
                }
                out.push(Effect::Log(Note::notice("Master replied to PING, replication can continue...")));
                out.push(Effect::Send { conn, bytes: self.introduction(stream) });
                self.wait_for(if self.config.password.is_some() { Step::Auth } else { Step::Port });
            }
            Step::Auth if refused => {
                out.push(Effect::Log(Note::warning(format!("Unable to AUTH to MASTER: {}", text(line)))));
                self.retry(now, out);
            }
            Step::Auth => self.wait_for(Step::Port),
            Step::Port => {
                out.extend(refused.then(|| unknown("listening-port")));
                self.wait_for(if self.config.ip.is_some() { Step::Ip } else { Step::Capa });
            }
            Step::Ip => {
                out.extend(refused.then(|| unknown("ip-address")));
                self.wait_for(Step::Capa);
            }
            Step::Capa => {
                out.extend(refused.then(|| unknown("capa")));
                self.psync(conn, stream, out);
                self.wait_for(Step::Psync);
            }
            Step::Psync => self.psync_reply(now, conn, line, stream, out),
        }
    }

    fn wait_for(&mut self, next: Step) {
        if let State::Handshake { step, .. } = &mut self.state {
            *step = next;
        }
    }

    /// AUTH, port, address and capabilities in one write, as Redis sends them. Every make ignores capabilities that it
    /// does not know, so ours (that we can go back, and where our former histories ended) travel there.
    fn introduction(&self, stream: &Stream) -> Vec<u8> {
        let config = &self.config;
        let mut bytes = Vec::new();
        if let Some(password) = &config.password {
            bytes.extend(match &config.user {
                Some(user) => request(&[b"AUTH", user, password]),
                None => request(&[b"AUTH", password]),
            });
        }
        bytes.extend(request(&[b"REPLCONF", b"listening-port", config.port.to_string().as_bytes()]));
        if let Some(ip) = &config.ip {
            bytes.extend(request(&[b"REPLCONF", b"ip-address", ip]));
        }
        let mut capa: Vec<Vec<u8>> = vec![b"eof".to_vec(), b"psync2".to_vec(), b"rewind".to_vec()];
        for former in stream.history().former() {
            capa.push(format!("former:{}:{}", former.id, former.end).into_bytes());
        }
        let mut words: Vec<&[u8]> = vec![b"REPLCONF"];
        for value in &capa {
            words.extend([b"capa".as_slice(), value]);
        }
        bytes.extend(request(&words));
        bytes
    }

    fn psync(&self, conn: ConnId, stream: &Stream, out: &mut Vec<Effect>) {
        let partial = self.asking == Asking::Partial && stream.history().standing() != Standing::Blank;
        let (id, next) = match partial {
            true => (stream.history().id().to_string(), (stream.end().0 + 1).to_string()),
            false => ("?".to_owned(), "-1".to_owned()),
        };
        out.push(Effect::Log(match partial {
            true => Note::notice(format!("Trying a partial resynchronization (request {id}:{next}).")),
            false => Note::notice("Partial resynchronization not possible (no cached master)"),
        }));
        let mut words: Vec<&[u8]> = vec![b"PSYNC", id.as_bytes(), next.as_bytes()];
        if self.target.as_ref().is_some_and(|target| target.failover) {
            words.push(b"FAILOVER");
        }
        out.push(Effect::Send { conn, bytes: request(&words) });
    }

    fn psync_reply(&mut self, now: Millis, conn: ConnId, line: &[u8], stream: &mut Stream, out: &mut Vec<Effect>) {
        if line.is_empty() {
            return; // "Still there": the copy is being prepared.
        }
        if let Some(target) = &mut self.target {
            target.failover = false;
        }
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        match words[..] {
            [b"+CONTINUE", ref rest @ ..] => {
                out.push(Effect::Log(Note::notice("Successful partial resynchronization with master.")));
                let id = rest.first().and_then(|id| ReplId::parse(id)).unwrap_or(stream.history().id());
                let resumed = stream.history().standing() == Standing::Resumed;
                let changed = stream.adopt(id);
                if changed {
                    out.push(Effect::Log(Note::notice(format!("Master replication ID changed to {id}"))));
                }
                if changed || resumed {
                    out.push(Effect::HistoryChanged);
                }
                if changed {
                    out.push(Effect::DropReplicas { why: DropReason::NewId });
                }
                out.push(Effect::Log(Note::notice(
                    "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
                )));
                self.start_stream(now, conn, stream, out);
            }
            [b"+FULLRESYNC", id, at] => {
                let at = parse_i64(at).and_then(|at| u64::try_from(at).ok());
                let (Some(id), Some(at)) = (ReplId::parse(id), at) else {
                    out.push(Effect::Log(Note::warning("Master replied with wrong +FULLRESYNC syntax.")));
                    return self.retry(now, out);
                };
                out.push(Effect::Log(Note::notice(format!("Full resync from master: {id}:{at}"))));
                let at = Offset(at);
                out.push(Effect::ExpectCopy { conn, id, at });
                self.state = State::Receiving { conn, id, at, total: None, read: 0, heard: now };
            }
            [b"+REWIND", id, to] => {
                let to = parse_i64(to).and_then(|to| u64::try_from(to).ok());
                let (Some(id), Some(to)) = (ReplId::parse(id), to) else {
                    out.push(Effect::Log(Note::warning(format!(
                        "Unexpected reply to PSYNC from master: {}",
                        text(line)
                    ))));
                    return self.retry(now, out);
                };
                out.push(Effect::Log(Note::notice(format!(
                    "This replica has diverged from its master after {id}:{to}; going back to there."
                ))));
                out.push(Effect::Close { conn });
                out.push(Effect::Rewind { id, to: Offset(to) });
                self.state = State::Rewinding;
            }
            _ => {
                let said = text(line);
                let line = if line.starts_with(b"-NOMASTERLINK") || line.starts_with(b"-LOADING") {
                    Note::notice(format!("Master is currently unable to PSYNC but should be in the future: {said}"))
                } else if line.starts_with(b"+FULLRESYNC") {
                    Note::warning("Master replied with wrong +FULLRESYNC syntax.")
                } else if line.starts_with(b"-ERR") {
                    Note::notice(format!("Master does not support PSYNC or is in error state (reply: {said})"))
                } else {
                    Note::warning(format!("Unexpected reply to PSYNC from master: {said}"))
                };
                out.push(Effect::Log(line));
                self.retry(now, out);
            }
        }
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
            State::Waiting { at } if *at <= now => self.connect(now, out),
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
            State::Loading { conn, said, .. } if now.since(*said).0 >= 1000 => {
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

/// A request as RESP.
fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
