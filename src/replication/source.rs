//! The master's side: every replica's link from its first REPLCONF to its last acknowledgement, and the full copies that
//! links share. A replica with replicas of its own runs the same core over the same stream.
//!
//! One chunk is in flight per link, read from the backlog or the log when the socket takes it, so a slow link holds an
//! offset and no memory. One that falls out of both is dropped and asks again.

use super::history::{FORMER_MAX, Former, Standing, Verdict};
use super::note::{Note, text};
use super::stream::{Durable, Stream, Upstream};
use crate::base::{Millis, Offset, ReplId};
use std::collections::BTreeMap;

/// The stream's own PING; a master writes it every `repl-ping-replica-period` seconds while it has replicas.
pub const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Asks all replicas to acknowledge at once (WAIT); written into the stream as well.
pub const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// The client connection that a replica came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One full copy being made or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(pub u64);

/// How a copy is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `$EOF:<mark>`: sent while it is made.
    Marked,
    /// `$<bytes>`: made first.
    Sized,
}

/// The directives that the source obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// `repl-timeout`, seconds.
    pub timeout_s: i64,
    /// `repl-ping-replica-period`, seconds.
    pub ping_period_s: i64,
    /// `repl-diskless-sync`, its delay in seconds and its `max-replicas` (0: no such bound).
    pub diskless: bool,
    pub diskless_delay_s: i64,
    pub diskless_replicas_max: usize,
    /// `min-replicas-max-lag`, seconds.
    pub lag_max_s: i64,
    /// `repl-backlog-ttl`, seconds; 0: never.
    pub backlog_ttl_s: i64,
    /// The replica class' hard limit of `client-output-buffer-limit`: how much stream is held in memory for a link when
    /// there is no log to read it from; 0: no limit.
    pub held_bytes_max: u64,
    /// What one send may take.
    pub chunk_bytes: u64,
}

impl Default for SourceConfig {
    fn default() -> Self {
        SourceConfig {
            timeout_s: 60,
            ping_period_s: 10,
            diskless: true,
            diskless_delay_s: 5,
            diskless_replicas_max: 0,
            lag_max_s: 10,
            backlog_ttl_s: 3600,
            held_bytes_max: 256 * 1024 * 1024,
            chunk_bytes: 256 * 1024,
        }
    }
}

/// What a connection says of itself by REPLCONF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conf<'a> {
    ListeningPort(i64),
    IpAddress(&'a [u8]),
    /// Any capability; unknown ones are ignored, as every Redis does.
    Capa(&'a [u8]),
    Version(&'a [u8]),
    RdbOnly(bool),
    /// `rdb-filter-only functions`.
    FunctionsOnly(bool),
}

/// The words of SYNC or PSYNC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    Sync,
    /// `PSYNC replid next`: the id as sent, the first byte wanted counted from 1.
    Psync {
        replid: &'a [u8],
        next: i64,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// REPLCONF by a connection that may become a replica; `ip` is its peer address.
    Said {
        link: LinkId,
        ip: &'a str,
        conf: Conf<'a>,
    },
    /// SYNC or PSYNC. `fresh` is a new random id, used if this master must take one.
    Asked {
        link: LinkId,
        ip: &'a str,
        ask: Ask<'a>,
        fresh: ReplId,
    },
    /// The copy ordered by [`Effect::StartCopy`] was taken now: at the end of the stream, all of it released.
    CopyBegan {
        copy: CopyId,
    },
    /// No link may join this copy any more: it is complete (sized) or all sent or discarded (marked).
    CopyMade {
        copy: CopyId,
    },
    CopyFailed {
        copy: CopyId,
    },
    /// A part of the copy went out to this link.
    CopyMoved {
        link: LinkId,
    },
    /// All of the copy went out to this link.
    Copied {
        link: LinkId,
    },
    /// The bytes of the last Send before `upto` went out; fewer than asked for is fine.
    Sent {
        link: LinkId,
        upto: Offset,
    },
    /// REPLCONF ACK, with FACK where given.
    Acked {
        link: LinkId,
        upto: Offset,
        synced: Option<Offset>,
    },
    /// A bare newline: the replica is loading and alive.
    Heard {
        link: LinkId,
    },
    Gone {
        link: LinkId,
    },
    /// The stream's released end moved (once a turn).
    Released,
    /// The history changed under the replicas: they must ask again.
    DropAll {
        why: DropReason,
    },
    /// Time passes; at least once a second.
    Tick,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The stream's history has changed: put it into the log before doing what follows.
    HistoryChanged,
    /// Write to the connection, outside the stream.
    Reply {
        link: LinkId,
        bytes: Vec<u8>,
    },
    /// Take a copy of the keyspace now, at the end of the stream (answer [`Event::CopyBegan`]).
    StartCopy {
        copy: CopyId,
        format: Format,
        functions_only: bool,
    },
    /// Send this copy to the link: `reply` first, then the payload (a marked copy as it is made).
    AttachCopy {
        copy: CopyId,
        link: LinkId,
        reply: Vec<u8>,
    },
    /// Nobody wants this copy any more.
    AbandonCopy {
        copy: CopyId,
    },
    /// Send stream bytes from the backlog.
    Send {
        link: LinkId,
        from: Offset,
        to: Offset,
    },
    /// Send stream bytes from the log on disk.
    SendFromLog {
        link: LinkId,
        from: Offset,
        to: Offset,
    },
    /// Append [`PING`] to the stream.
    Ping,
    /// Close the connection, after what was replied to it.
    Drop {
        link: LinkId,
        why: DropReason,
    },
    Log(Note),
}

/// Why a link was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Its next byte is neither in the backlog nor in the log.
    FellOut,
    /// No acknowledgement for `repl-timeout`.
    Silent,
    /// A copy did not move for `repl-timeout`.
    CopyStuck,
    CopyFailed,
    /// It only wanted the copy.
    CopyOnly,
    /// The node's replication id changed; the link may resume in part.
    NewId,
    /// The node's data was replaced by a full copy.
    Replaced,
}

#[derive(Debug)]
struct Link {
    peer: Peer,
    phase: Phase,
}

#[derive(Debug, Default)]
struct Peer {
    ip: String,
    announced_ip: Option<String>,
    port: i64,
    eof: bool,
    psync2: bool,
    rewind: bool,
    rdb_only: bool,
    functions_only: bool,
    former: Vec<Former>,
    version: Option<String>,
    /// Came by SYNC: knows no offsets and never acknowledges.
    by_sync: bool,
}

#[derive(Debug)]
enum Phase {
    /// A client that said REPLCONF; most likely a replica soon.
    Handshaking,
    /// Waits for a copy to begin.
    Waiting {
        since: Millis,
    },
    /// The copy is being made or sent.
    Copying {
        copy: CopyId,
        format: Format,
        at: Offset,
        moved: Millis,
    },
    Streaming {
        sent: Offset,
        flow: Flow,
        acked: Offset,
        synced: Offset,
        heard: Millis,
    },
}

/// What keeps a streaming link from getting the next chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// A marked copy went out: the replica finds its end only if nothing follows, so its first ACK opens the stream.
    FirstAck,
    Idle,
    InFlight {
        to: Offset,
    },
}

#[derive(Debug)]
struct Copy {
    id: CopyId,
    format: Format,
    functions_only: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ordered,
    Making { at: Offset },
}

/// How INFO and ROLE show a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo<'a> {
    pub link: LinkId,
    pub ip: &'a str,
    pub port: i64,
    /// `wait_bgsave`, `send_bulk` or `online`.
    pub state: &'static str,
    pub offset: Offset,
    pub synced: Offset,
    pub lag_s: i64,
    pub version: Option<&'a str>,
    /// Speaks Regent's own handshake.
    pub native: bool,
}

/// How often replicas asked and what they got (`sync_full`, `sync_partial_ok`, `sync_partial_err`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounts {
    pub full: u64,
    pub partial_ok: u64,
    pub partial_err: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Source {
    config: SourceConfig,
    links: BTreeMap<LinkId, Link>,
    copy: Option<Copy>,
    copies: u64,
    good: usize,
    counts: SyncCounts,
    second: i64,
    pinged: i64,
    /// When the last replica went, on the clock of the ticks.
    idle_since: Millis,
}

impl Source {
    pub fn new(config: SourceConfig, now: Millis) -> Self {
        Source {
            config,
            links: BTreeMap::new(),
            copy: None,
            copies: 0,
            good: 0,
            counts: SyncCounts::default(),
            second: now.seconds(),
            pinged: now.seconds(),
            idle_since: now,
        }
    }

    pub fn configure(&mut self, config: SourceConfig) {
        self.config = config;
    }

    /// One event; effects are appended to `out`. `now` is monotonic.
    pub fn step(&mut self, now: Millis, event: Event<'_>, stream: &mut Stream, out: &mut Vec<Effect>) {
        match event {
            Event::Said { link, ip, conf } => self.said(link, ip, conf),
            Event::Asked { link, ip, ask, fresh } => self.asked(now, link, ip, ask, fresh, stream, out),
            Event::CopyBegan { copy } => self.copy_began(now, copy, stream, out),
            Event::CopyMade { copy } => self.copy_made(now, copy, out),
            Event::CopyFailed { copy } => self.copy_failed(copy, out),
            Event::CopyMoved { link } => {
                if let Some(Phase::Copying { moved, .. }) = self.phase(link) {
                    *moved = now;
                }
            }
            Event::Copied { link } => self.copied(now, link, stream, out),
            Event::Sent { link, upto } => {
                if let Some(Phase::Streaming { sent, flow, .. }) = self.phase(link)
                    && let Flow::InFlight { to } = *flow
                {
                    *sent = upto.clamp(*sent, to);
                    *flow = Flow::Idle;
                    self.pump_one(link, stream, out);
                }
            }
            Event::Acked { link, upto, synced } => self.acked(now, link, upto, synced, stream, out),
            Event::Heard { link } => {
                if let Some(Phase::Streaming { heard, .. }) = self.phase(link) {
                    *heard = now;
                }
            }
            Event::Gone { link } => {
                self.links.remove(&link);
                self.settle(now, out);
            }
            Event::Released => self.pump(now, stream, out),
            Event::DropAll { why } => {
                let replicas = |phase: &Phase| !matches!(phase, Phase::Handshaking);
                let links: Vec<_> = self.links.iter().filter(|(_, l)| replicas(&l.phase)).map(|(&id, _)| id).collect();
                for link in links {
                    self.drop_link(link, why, out);
                }
                self.settle(now, out);
            }
            Event::Tick => self.tick(now, stream, out),
        }
        self.check(stream);
    }

    fn phase(&mut self, link: LinkId) -> Option<&mut Phase> {
        Some(&mut self.links.get_mut(&link)?.phase)
    }

    fn said(&mut self, link: LinkId, ip: &str, conf: Conf<'_>) {
        let peer = &mut self.entry(link, ip).peer;
        match conf {
            Conf::ListeningPort(port) => peer.port = port,
            Conf::IpAddress(ip) => peer.announced_ip = (!ip.is_empty()).then(|| text(ip)),
            Conf::Capa(capa) if capa.eq_ignore_ascii_case(b"eof") => peer.eof = true,
            Conf::Capa(capa) if capa.eq_ignore_ascii_case(b"psync2") => peer.psync2 = true,
            Conf::Capa(capa) if capa.eq_ignore_ascii_case(b"rewind") => peer.rewind = true,
            Conf::Capa(capa) => {
                if let Some(former) = parse_former(capa)
                    && peer.former.len() < FORMER_MAX
                {
                    peer.former.push(former);
                }
            }
            Conf::Version(version) => peer.version = Some(text(version)),
            Conf::RdbOnly(on) => peer.rdb_only = on,
            Conf::FunctionsOnly(on) => peer.functions_only = on,
        }
    }

    fn entry(&mut self, link: LinkId, ip: &str) -> &mut Link {
        self.links
            .entry(link)
            .or_insert_with(|| Link { peer: Peer { ip: ip.to_owned(), ..Peer::default() }, phase: Phase::Handshaking })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one event, with the step's context")]
    fn asked(
        &mut self,
        now: Millis,
        link: LinkId,
        ip: &str,
        ask: Ask<'_>,
        fresh: ReplId,
        stream: &mut Stream,
        out: &mut Vec<Effect>,
    ) {
        let error = |text: &str| Effect::Reply { link, bytes: format!("-{text}\r\n").into_bytes() };
        if !matches!(self.entry(link, ip).phase, Phase::Handshaking) {
            return; // As Redis: a second SYNC on the same link is ignored.
        }
        if stream.upstream() == Upstream::Lost {
            out.push(error("NOMASTERLINK Can't SYNC while not connected with my master"));
            return;
        }
        let entry = self.entry(link, ip);
        if entry.peer.functions_only && !entry.peer.eof {
            out.push(error("ERR Filtered replica requires EOF capability"));
            return;
        }
        let name = entry.peer.name();
        out.push(Effect::Log(Note::notice(format!("Replica {name} asks for synchronization"))));
        // Whoever asks is told an id: a master that only restarted must not show one that others may have gone on with.
        if stream.upstream() == Upstream::Own && stream.own(fresh) {
            out.push(Effect::HistoryChanged);
        }
        entry.peer.by_sync = ask == Ask::Sync;
        if let Ask::Psync { replid, next } = ask {
            match stream.history().continues(replid, next, &stream.held(), &name) {
                Verdict::Continue { from } => return self.resume(now, link, from, &name, stream, out),
                Verdict::Full { reason } => {
                    let ahead = matches!(reason, super::history::Reason::Ahead { .. });
                    out.push(Effect::Log(Note::notice(reason.to_string())));
                    if ahead {
                        out.push(Effect::Log(Note::warning(format!(
                            "Warning: replica {name} tried to PSYNC with an offset that is greater than the master \
                             replication offset."
                        ))));
                    }
                    let entry = self.entry(link, ip);
                    if entry.peer.rewind
                        && let Some(to) = meeting_point(&entry.peer, replid, next, stream)
                    {
                        out.push(Effect::Log(Note::notice(format!(
                            "Replica {name} has diverged; telling it to go back to {}:{}.",
                            to.id, to.end
                        ))));
                        let bytes = format!("+REWIND {} {}\r\n", to.id, to.end).into_bytes();
                        out.push(Effect::Reply { link, bytes });
                        return;
                    }
                    if replid.first() != Some(&b'?') {
                        self.counts.partial_err += 1;
                    }
                }
            }
        }
        self.counts.full += 1;
        self.entry(link, ip).phase = Phase::Waiting { since: now };
        self.join_or_order(now, link, stream, out);
    }

    fn resume(
        &mut self,
        now: Millis,
        link: LinkId,
        from: Offset,
        name: &str,
        stream: &mut Stream,
        out: &mut Vec<Effect>,
    ) {
        self.counts.partial_ok += 1;
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.phase =
            Phase::Streaming { sent: from, flow: Flow::Idle, acked: from, synced: Offset::default(), heard: now };
        let bytes = match entry.peer.psync2 {
            true => format!("+CONTINUE {}\r\n", stream.history().id()),
            false => "+CONTINUE\r\n".to_owned(),
        };
        out.push(Effect::Reply { link, bytes: bytes.into_bytes() });
        out.push(Effect::Log(Note::notice(format!(
            "Partial resynchronization request from {name} accepted. Sending {} bytes of backlog starting from offset \
             {}.",
            stream.end().bytes_since(from),
            from.0 + 1
        ))));
        self.count_good(now);
        self.pump(now, stream, out);
    }

    /// A waiting link: joins the copy that is being made if it can, or a new copy is ordered when it is time.
    fn join_or_order(&mut self, now: Millis, link: LinkId, stream: &Stream, out: &mut Vec<Effect>) {
        let Some(Copy { id, format: Format::Sized, functions_only, stage: Stage::Making { at } }) = self.copy else {
            if self.copy.is_some() {
                out.push(Effect::Log(Note::notice(
                    "Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC",
                )));
            } else if self.config.diskless && self.config.diskless_delay_s > 0 {
                out.push(Effect::Log(Note::notice("Delay next BGSAVE for diskless SYNC")));
            }
            return self.order_copy(now, out);
        };
        let fits = self.links[&link].peer.functions_only == functions_only && stream.held().contains(&at);
        if fits {
            out.push(Effect::Log(Note::notice("Waiting for end of BGSAVE for SYNC")));
            self.attach(now, link, id, Format::Sized, at, stream, out);
        } else {
            out.push(Effect::Log(Note::notice(
                "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC",
            )));
        }
    }

    /// Orders a copy for the links that wait, once there is none under way and the delay for others to join is over.
    fn order_copy(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.copy.is_some() {
            return;
        }
        let mut first = None;
        let (mut waiting, mut eof, mut idle_s) = (0, true, 0);
        for link in self.links.values() {
            let Phase::Waiting { since } = link.phase else { continue };
            if *first.get_or_insert(link.peer.functions_only) != link.peer.functions_only {
                continue;
            }
            waiting += 1;
            eof &= link.peer.eof;
            idle_s = idle_s.max(now.since(since).seconds());
        }
        let Some(functions_only) = first else { return };
        let config = &self.config;
        let full = config.diskless_replicas_max > 0 && waiting >= config.diskless_replicas_max;
        if config.diskless && !full && idle_s < config.diskless_delay_s {
            return;
        }
        let format = if (config.diskless || functions_only) && eof { Format::Marked } else { Format::Sized };
        self.copies += 1;
        let id = CopyId(self.copies);
        self.copy = Some(Copy { id, format, functions_only, stage: Stage::Ordered });
        let target = if format == Format::Marked { "replicas sockets" } else { "disk" };
        out.push(Effect::Log(Note::notice(format!("Starting BGSAVE for SYNC with target: {target}"))));
        out.push(Effect::StartCopy { copy: id, format, functions_only });
    }

    fn copy_began(&mut self, now: Millis, id: CopyId, stream: &mut Stream, out: &mut Vec<Effect>) {
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id && copy.stage == Stage::Ordered) else {
            return;
        };
        let at = stream.end();
        assert!(at == stream.released(), "a copy shows effects that the log does not have");
        copy.stage = Stage::Making { at };
        let (format, functions_only) = (copy.format, copy.functions_only);
        // What follows the copy says its database first.
        if stream.upstream() == Upstream::Own {
            stream.set_selected(None);
        }
        let fits = |link: &Link| {
            matches!(link.phase, Phase::Waiting { .. })
                && link.peer.functions_only == functions_only
                && (link.peer.eof || format == Format::Sized)
        };
        let links: Vec<_> = self.links.iter().filter(|(_, link)| fits(link)).map(|(&id, _)| id).collect();
        for link in links {
            self.attach(now, link, id, format, at, stream, out);
        }
        self.settle(now, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the link, its copy and the step's context")]
    fn attach(
        &mut self,
        now: Millis,
        link: LinkId,
        copy: CopyId,
        format: Format,
        at: Offset,
        stream: &Stream,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.phase = Phase::Copying { copy, format, at, moved: now };
        let reply = match entry.peer.by_sync {
            true => Vec::new(),
            false => format!("+FULLRESYNC {} {at}\r\n", stream.history().id()).into_bytes(),
        };
        out.push(Effect::AttachCopy { copy, link, reply });
    }

    fn copy_made(&mut self, now: Millis, id: CopyId, out: &mut Vec<Effect>) {
        if self.copy.as_ref().is_some_and(|copy| copy.id == id) {
            self.copy = None;
            for link in self.links.values_mut() {
                if let Phase::Copying { copy, moved, .. } = &mut link.phase
                    && *copy == id
                {
                    *moved = now;
                }
            }
            self.order_copy(now, out);
        }
    }

    fn copy_failed(&mut self, id: CopyId, out: &mut Vec<Effect>) {
        let ordered = match self.copy.take() {
            Some(copy) if copy.id == id => copy.stage == Stage::Ordered,
            other => {
                self.copy = other;
                false
            }
        };
        out.push(Effect::Log(Note::warning("BGSAVE for replication failed")));
        let failed = |link: &Link| match link.phase {
            Phase::Waiting { .. } => ordered,
            Phase::Copying { copy, .. } => copy == id,
            _ => false,
        };
        let links: Vec<_> = self.links.iter().filter(|(_, link)| failed(link)).map(|(&id, _)| id).collect();
        for link in links {
            if ordered {
                let bytes = b"-ERR BGSAVE failed, replication can't continue\r\n".to_vec();
                out.push(Effect::Reply { link, bytes });
            }
            self.drop_link(link, DropReason::CopyFailed, out);
        }
    }

    fn copied(&mut self, now: Millis, link: LinkId, stream: &Stream, out: &mut Vec<Effect>) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        let Phase::Copying { format, at, .. } = entry.phase else { return };
        let name = entry.peer.name();
        if entry.peer.rdb_only {
            out.push(Effect::Log(Note::notice(format!(
                "RDB transfer completed, rdb only replica ({name}) should be disconnected asap"
            ))));
            return self.drop_link(link, DropReason::CopyOnly, out);
        }
        let marked = format == Format::Marked && !entry.peer.by_sync;
        let flow = if marked { Flow::FirstAck } else { Flow::Idle };
        entry.phase =
            Phase::Streaming { sent: at, flow, acked: Offset::default(), synced: Offset::default(), heard: now };
        if marked {
            out.push(Effect::Log(Note::notice(format!(
                "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for REPLCONF ACK from slave to \
                 enable streaming"
            ))));
        }
        out.push(Effect::Log(Note::notice(format!("Synchronization with replica {name} succeeded"))));
        self.pump_one(link, stream, out);
        self.count_good(now);
    }

    fn acked(
        &mut self,
        now: Millis,
        link: LinkId,
        upto: Offset,
        fsynced: Option<Offset>,
        stream: &mut Stream,
        out: &mut Vec<Effect>,
    ) {
        let Some(Phase::Streaming { sent, flow, acked, synced, heard }) = self.phase(link) else { return };
        let reach = match *flow {
            Flow::InFlight { to } => to,
            Flow::FirstAck | Flow::Idle => *sent,
        };
        *acked = upto.min(reach).max(*acked);
        *synced = fsynced.unwrap_or_default().min(reach).max(*synced);
        *heard = now;
        if *flow == Flow::FirstAck {
            *flow = Flow::Idle;
            self.pump_one(link, stream, out);
        }
        self.count_good(now);
    }

    fn tick(&mut self, now: Millis, stream: &mut Stream, out: &mut Vec<Effect>) {
        let second = now.seconds();
        if second != self.second {
            self.second = second;
            self.each_second(now, stream, out);
        }
        self.order_copy(now, out);
        self.count_good(now);
        self.pump(now, stream, out);
    }

    fn each_second(&mut self, now: Millis, stream: &mut Stream, out: &mut Vec<Effect>) {
        let timeout_s = self.config.timeout_s;
        let mut late = Vec::new();
        for (&id, link) in &self.links {
            match link.phase {
                Phase::Waiting { .. } | Phase::Copying { format: Format::Sized, .. } => {
                    // Between the reply and the payload a newline says "still there"; inside the payload it would be data.
                    let making = self.copy.as_ref().map(|copy| copy.id);
                    let made = matches!(link.phase, Phase::Copying { copy, .. } if Some(copy) != making);
                    if !made {
                        out.push(Effect::Reply { link: id, bytes: b"\n".to_vec() });
                    } else if let Phase::Copying { moved, .. } = link.phase
                        && now.since(moved).seconds() > timeout_s
                    {
                        late.push((id, DropReason::CopyStuck));
                    }
                }
                Phase::Copying { moved, .. } if now.since(moved).seconds() > timeout_s => {
                    late.push((id, DropReason::CopyStuck));
                }
                Phase::Streaming { heard, .. } if !link.peer.by_sync && now.seconds() - heard.seconds() > timeout_s => {
                    late.push((id, DropReason::Silent));
                }
                _ => {}
            }
        }
        for (link, why) in late {
            let kind = if why == DropReason::Silent { "streaming sync" } else { "full sync" };
            let name = self.links[&link].peer.name();
            out.push(Effect::Log(Note::warning(format!("Disconnecting timedout replica ({kind}): {name}"))));
            self.drop_link(link, why, out);
        }
        self.settle(now, out);
        let own = stream.upstream() == Upstream::Own && stream.history().standing() != Standing::Resumed;
        if own && self.attached() > 0 && self.second - self.pinged >= self.config.ping_period_s.max(1) {
            self.pinged = self.second;
            out.push(Effect::Ping);
        }
        let ttl_s = self.config.backlog_ttl_s;
        let idle = ttl_s > 0 && self.attached() == 0 && now.since(self.idle_since).seconds() > ttl_s;
        if idle && own && stream.backlog().held_bytes() > 0 && stream.released() == stream.end() {
            stream.free_backlog();
            out.push(Effect::Log(Note::notice(format!(
                "Replication backlog freed after {ttl_s} seconds without connected replicas."
            ))));
        }
    }

    fn pump(&mut self, now: Millis, stream: &mut Stream, out: &mut Vec<Effect>) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for link in ids {
            self.pump_one(link, stream, out);
        }
        self.hold(stream);
        self.settle(now, out);
    }

    fn pump_one(&mut self, link: LinkId, stream: &Stream, out: &mut Vec<Effect>) {
        let limit = self.config.held_bytes_max;
        let chunk_bytes = self.config.chunk_bytes;
        let Some(entry) = self.links.get_mut(&link) else { return };
        let held = stream.held();
        let (needed, flow) = match &mut entry.phase {
            Phase::Copying { at, .. } => (*at, None),
            Phase::Streaming { sent, flow, .. } => (*sent, Some(flow)),
            Phase::Handshaking | Phase::Waiting { .. } => return,
        };
        let over = stream.durable() == Durable::Off && limit > 0 && stream.end().bytes_since(needed) > limit;
        if needed < *held.start() || over {
            let name = entry.peer.name();
            out.push(Effect::Log(Note::warning(format!(
                "Replica {name} has fallen out of the replication backlog; closing its link."
            ))));
            return self.drop_link(link, DropReason::FellOut, out);
        }
        if let Some(flow @ Flow::Idle) = flow
            && needed < stream.released()
        {
            let to = stream.released().min(needed + chunk_bytes);
            *flow = Flow::InFlight { to };
            let from = needed;
            out.push(match from >= stream.backlog().start() {
                true => Effect::Send { link, from, to },
                false => Effect::SendFromLog { link, from, to },
            });
        }
    }

    /// Where there is no log, the backlog holds what links still need, up to the limit that drops them.
    fn hold(&self, stream: &mut Stream) {
        let needed = match stream.durable() {
            Durable::Off => self.lowest_needed(),
            Durable::From { .. } => None,
        };
        stream.want(needed);
    }

    fn drop_link(&mut self, link: LinkId, why: DropReason, out: &mut Vec<Effect>) {
        if self.links.remove(&link).is_some() {
            out.push(Effect::Drop { link, why });
        }
    }

    /// After links went: a copy that nobody waits for is given up, and the idle clock runs from the last one.
    fn settle(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if let Some(copy) = &self.copy {
            let wanted = self.links.values().any(|link| match link.phase {
                Phase::Copying { copy: id, .. } => id == copy.id,
                Phase::Waiting { .. } => copy.stage == Stage::Ordered,
                _ => false,
            });
            if !wanted {
                out.push(Effect::AbandonCopy { copy: copy.id });
                self.copy = None;
                self.order_copy(now, out);
            }
        }
        if self.attached() > 0 {
            self.idle_since = now;
        }
        self.count_good(now);
    }

    fn count_good(&mut self, now: Millis) {
        let max_s = self.config.lag_max_s;
        let good = |link: &&Link| match link.phase {
            Phase::Streaming { heard, .. } => now.seconds() - heard.seconds() <= max_s,
            _ => false,
        };
        self.good = self.links.values().filter(good).count();
    }

    /// Replicas online whose last ACK is at most `min-replicas-max-lag` seconds old, as of the last event.
    pub fn good_replicas(&self) -> usize {
        self.good
    }

    /// Links that are replicas (`connected_slaves`).
    pub fn attached(&self) -> usize {
        self.links.values().filter(|link| !matches!(link.phase, Phase::Handshaking)).count()
    }

    /// Is this connection a replica?
    pub fn is_replica(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| !matches!(link.phase, Phase::Handshaking))
    }

    pub fn counts(&self) -> SyncCounts {
        self.counts
    }

    /// Replicas that hold the stream up to `offset` (WAIT).
    pub fn acked_count(&self, offset: Offset) -> usize {
        self.streaming().filter(|(acked, _)| *acked >= offset).count()
    }

    /// Replicas that have it on disk (WAITAOF).
    pub fn synced_count(&self, offset: Offset) -> usize {
        self.streaming().filter(|(_, synced)| *synced >= offset).count()
    }

    fn streaming(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.links.values().filter_map(|link| match link.phase {
            Phase::Streaming { acked, synced, .. } => Some((acked, synced)),
            _ => None,
        })
    }

    /// The lowest offset that a replica has acknowledged (or its copy was taken at): what lies below it, no replica that
    /// may be promoted goes back to.
    pub fn lowest_acked(&self) -> Option<Offset> {
        let acked = |link: &Link| match link.phase {
            Phase::Copying { at, .. } => Some(at),
            Phase::Streaming { acked, sent, .. } => Some(if acked == Offset::default() { sent } else { acked }),
            _ => None,
        };
        self.links.values().filter_map(acked).min()
    }

    /// The lowest offset from which a link will still be fed: the log keeps its bytes from here on.
    pub fn lowest_needed(&self) -> Option<Offset> {
        let needed = |link: &Link| match link.phase {
            Phase::Copying { at, .. } => Some(at),
            Phase::Streaming { sent, .. } => Some(sent),
            _ => None,
        };
        self.links.values().filter_map(needed).min()
    }

    /// The replicas for INFO (all) and ROLE (those `online`).
    pub fn replicas(&self, now: Millis) -> impl Iterator<Item = ReplicaInfo<'_>> {
        let making = self.copy.as_ref().map(|copy| copy.id);
        self.links.iter().filter_map(move |(&id, link)| {
            let (state, offset, synced, lag_s) = match link.phase {
                Phase::Handshaking => return None,
                Phase::Waiting { .. } => ("wait_bgsave", Offset::default(), Offset::default(), 0),
                Phase::Copying { copy, format, .. } => {
                    let made = format == Format::Sized && Some(copy) != making;
                    (if made { "send_bulk" } else { "wait_bgsave" }, Offset::default(), Offset::default(), 0)
                }
                Phase::Streaming { acked, synced, heard, .. } => {
                    ("online", acked, synced, (now.seconds() - heard.seconds()).max(0))
                }
            };
            Some(ReplicaInfo {
                link: id,
                ip: link.peer.announced_ip.as_deref().unwrap_or(&link.peer.ip),
                port: link.peer.port,
                state,
                offset,
                synced,
                lag_s,
                version: link.peer.version.as_deref(),
                native: link.peer.rewind,
            })
        })
    }

    fn check(&self, stream: &Stream) {
        for link in self.links.values() {
            if let Phase::Streaming { sent, flow, acked, .. } = link.phase {
                let reach = if let Flow::InFlight { to } = flow { to } else { sent };
                assert!(sent <= reach && acked <= reach && reach <= stream.released(), "a link runs ahead of the log");
            }
        }
    }
}

impl Peer {
    /// How Redis' log calls a replica.
    fn name(&self) -> String {
        let ip = self.announced_ip.as_deref().unwrap_or(&self.ip);
        match self.port {
            0 => format!("{ip}:<unknown-replica-port>"),
            port => format!("{ip}:{port}"),
        }
    }
}

/// `former:<replid>:<end>`: a capability that every other make ignores.
fn parse_former(capa: &[u8]) -> Option<Former> {
    let rest = capa.strip_prefix(b"former:")?;
    let (id, end) = (rest.get(..40)?, rest.get(40..)?.strip_prefix(b":")?);
    let end = crate::base::number::parse_i64(end).and_then(|end| u64::try_from(end).ok())?;
    Some(Former { id: ReplId::parse(id)?, end: Offset(end) })
}

/// The point to which a replica of our make that has diverged can go back and then resume in part.
fn meeting_point(peer: &Peer, replid: &[u8], next: i64, stream: &Stream) -> Option<Former> {
    let id = ReplId::parse(replid)?;
    let at = Offset(u64::try_from(next.checked_sub(1)?).ok()?);
    let to = stream.history().meet(id, at, &peer.former, stream.released())?;
    let forward = to.id == id && to.end == at;
    (!forward && stream.held().contains(&to.end)).then_some(to)
}
