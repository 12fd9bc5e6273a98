//! The master's side: every replica's link from its first REPLCONF to its last acknowledgement, and the full copies that
//! links share. A replica with replicas of its own runs the same core over the same stream.
//!
//! One chunk is in flight per link, read from the backlog or the log when the socket takes it, so a slow link holds an
//! offset and no memory. One that falls out of both is dropped and asks again.

mod copies;
mod event;
mod report;
mod tail;

pub use event::{Ask, Conf, CopyId, DropReason, Effect, Event, Format, LinkId, ReplicaInfo, SourceConfig, SyncCounts};

use super::history::{FORMER_MAX, Former, Reason, Standing, Verdict};
use super::note::{Note, text};
use super::planted::{Bug, planted};
use super::stream::{Durable, Stream, Upstream};
use crate::base::{Millis, Offset, ReplId};
use std::collections::BTreeMap;

/// The stream's own PING; a master writes it every `repl-ping-replica-period` seconds while it has replicas.
pub const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Asks all replicas to acknowledge at once (WAIT); written into the stream as well.
pub const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

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
    /// Understands where the id that it asked for was left.
    history: bool,
    rewind: bool,
    rdb_only: bool,
    functions_only: bool,
    former: Vec<Former>,
    version: Option<String>,
    /// It holds what is not in our history, after this.
    diverged: Option<Offset>,
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
    /// A master takes back what it lost, up to `upto`; then its link is over.
    Giving {
        sent: Offset,
        upto: Offset,
        flow: Flow,
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

/// See the module.
#[derive(Debug)]
pub struct Source {
    config: SourceConfig,
    links: BTreeMap<LinkId, Link>,
    copy: Option<Copy>,
    copies: u64,
    good: usize,
    counts: SyncCounts,
    /// Why the last full copy was due.
    last_full: Option<String>,
    second: i64,
    pinged: i64,
    /// When the last replica went, on the clock of the ticks.
    idle_since: Millis,
    /// What the last asker that was ahead of us asked for, and since when.
    behind: Option<(i64, Millis)>,
    /// This master came back and may have lost its tail: one that asks for more may hold it.
    short: bool,
    /// The links of one round of [`Source::pump`]; kept for its memory.
    round: Vec<LinkId>,
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
            last_full: None,
            second: now.seconds(),
            pinged: now.seconds(),
            idle_since: now,
            behind: None,
            short: false,
            round: Vec::new(),
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
            Event::TailAsked { link, ip, replid, from, upto } => {
                self.tail_asked(link, ip, replid, from, upto, stream, out)
            }
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
                if let Some(Phase::Streaming { sent, flow, .. } | Phase::Giving { sent, flow, .. }) = self.phase(link)
                    && let Flow::InFlight { to } = *flow
                {
                    *sent = if planted(Bug::ShortSend) { to } else { upto.clamp(*sent, to) };
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
            Event::Released if self.links.is_empty() && self.copy.is_none() => {}
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
        self.hold(stream);
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
            Conf::Capa(capa) if capa.eq_ignore_ascii_case(b"history") => peer.history = true,
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
        if let Some(port) = self.may_hold_the_tail(now, link, ask, stream) {
            out.push(error("NOMASTERLINK Can't SYNC while behind the replica that asks"));
            out.push(Effect::FetchTail { host: self.entry(link, ip).peer.ip.clone(), port });
            return;
        }
        let entry = self.entry(link, ip);
        // Whoever asks is told an id: a master that only restarted must not show one that others may have gone on with.
        if stream.upstream() == Upstream::Own && stream.own(fresh) {
            out.push(Effect::HistoryChanged);
        }
        entry.peer.by_sync = ask == Ask::Sync;
        let mut why = format!("Full resync requested by replica {name} with SYNC");
        if let Ask::Psync { replid, next } = ask {
            match stream.history().continues(replid, next, &stream.held(), &name) {
                Verdict::Continue { from } => {
                    let left = ReplId::parse(replid).and_then(|id| stream.history().left(id));
                    return self.resume(now, link, from, left, &name, stream, out);
                }
                Verdict::Full { reason } => {
                    let ahead = matches!(reason, Reason::Ahead { .. });
                    if ahead && self.catching_up(now, next, stream) {
                        out.push(error("NOMASTERLINK Can't SYNC while behind the replica that asks"));
                        return;
                    }
                    let parted = parting(&self.entry(link, ip).peer, replid, next, stream);
                    if let Some(Parted { at, to }) = parted
                        && to.end == at
                        && stream.held().contains(&at)
                    {
                        return self.resume(now, link, at, None, &name, stream, out);
                    }
                    why = reason.to_string();
                    out.push(Effect::Log(Note::notice(why.clone())));
                    if ahead {
                        out.push(Effect::Log(Note::warning(format!(
                            "Warning: replica {name} tried to PSYNC with an offset that is greater than the master \
                             replication offset."
                        ))));
                    }
                    let entry = self.entry(link, ip);
                    if entry.peer.rewind
                        && let Some(Parted { to, .. }) = parted
                        && stream.held().contains(&to.end)
                    {
                        out.push(Effect::Log(Note::notice(format!(
                            "Replica {name} has diverged; telling it to go back to {}:{}.",
                            to.id, to.end
                        ))));
                        let bytes = format!("+REWIND {} {}\r\n", to.id, to.end).into_bytes();
                        out.push(Effect::Reply { link, bytes });
                        return;
                    }
                    if let Some(Parted { at, to }) = parted.filter(|parted| parted.to.end < parted.at) {
                        let lost = format!(
                            "Replica {name} has diverged: what it holds after offset {} up to offset {at} is not in \
                             this history, and gives way to a full copy.",
                            to.end
                        );
                        out.push(Effect::Log(Note::warning(lost.clone())));
                        self.entry(link, ip).peer.diverged = Some(to.end);
                        why = format!("{why}. {lost}");
                    }
                    if replid.first() != Some(&b'?') {
                        self.counts.partial_err += 1;
                    }
                }
            }
        }
        self.counts.full += 1;
        self.last_full = Some(why);
        self.entry(link, ip).phase = Phase::Waiting { since: now };
        self.join_or_order(now, link, stream, out);
    }

    /// A replica of our master that is ahead of us keeps what it has: what we lack is on its way to us, and until it
    /// came the asker tries again, for as long as a silent link may live.
    fn catching_up(&mut self, now: Millis, next: i64, stream: &Stream) -> bool {
        if stream.upstream() != Upstream::Linked {
            return false;
        }
        let since = match self.behind {
            Some((asked, since)) if asked == next => since,
            _ => now,
        };
        let wait = now.since(since).seconds() <= self.config.timeout_s;
        self.behind = wait.then_some((next, since));
        wait
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one answer, with the step's context")]
    fn resume(
        &mut self,
        now: Millis,
        link: LinkId,
        from: Offset,
        left: Option<Offset>,
        name: &str,
        stream: &mut Stream,
        out: &mut Vec<Effect>,
    ) {
        self.counts.partial_ok += 1;
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.phase =
            Phase::Streaming { sent: from, flow: Flow::Idle, acked: from, synced: Offset::default(), heard: now };
        let bytes = match (entry.peer.psync2, left.filter(|_| entry.peer.history)) {
            (true, Some(left)) => format!("+CONTINUE {} {left}\r\n", stream.history().id()),
            (true, None) => format!("+CONTINUE {}\r\n", stream.history().id()),
            (false, _) => "+CONTINUE\r\n".to_owned(),
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
        let mut round = std::mem::take(&mut self.round);
        round.extend(self.links.keys());
        for link in round.drain(..) {
            self.pump_one(link, stream, out);
        }
        self.round = round;
        self.settle(now, out);
    }

    fn pump_one(&mut self, link: LinkId, stream: &Stream, out: &mut Vec<Effect>) {
        let limit = self.config.held_bytes_max;
        let chunk_bytes = self.config.chunk_bytes;
        let Some(entry) = self.links.get_mut(&link) else { return };
        let held = stream.held();
        let ready = if planted(Bug::FedUnreleased) { stream.end() } else { stream.released() };
        let (needed, ready, flow) = match &mut entry.phase {
            Phase::Copying { at, .. } => (*at, ready, None),
            Phase::Streaming { sent, flow, .. } => (*sent, ready, Some(flow)),
            Phase::Giving { sent, upto, .. } if sent == upto => {
                return self.drop_link(link, DropReason::TailGiven, out);
            }
            Phase::Giving { sent, upto, flow } => (*sent, ready.min(*upto), Some(flow)),
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
            && needed < ready
        {
            let to = ready.min(needed + chunk_bytes);
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

    fn check(&self, stream: &Stream) {
        for link in self.links.values() {
            if let Phase::Streaming { sent, flow, acked, .. } = link.phase {
                let reach = if let Flow::InFlight { to } = flow { to } else { sent };
                assert!(sent <= reach && acked <= reach, "a link has acknowledged what it was not sent");
                assert!(reach <= stream.released() || planted(Bug::FedUnreleased), "a link runs ahead of the log");
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

/// How far a replica that cannot simply continue agrees with us.
#[derive(Clone, Copy)]
struct Parted {
    /// The end of what it holds.
    at: Offset,
    /// The last point at which it is of our history, as an id that both know. Where that is `at`, it holds nothing else:
    /// it took an id of its own after a restart, and never a byte under it.
    to: Former,
}

/// What is known of it from what it asks for and, where it is of our make, from its former ids.
fn parting(peer: &Peer, replid: &[u8], next: i64, stream: &Stream) -> Option<Parted> {
    let id = ReplId::parse(replid)?;
    let at = Offset(u64::try_from(next.checked_sub(1)?).ok()?);
    let to = stream.history().meet(id, at, &peer.former, stream.released())?;
    (to.id != id || to.end < at).then_some(Parted { at, to })
}
