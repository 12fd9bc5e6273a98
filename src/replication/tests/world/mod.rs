//! A world of nodes over a network that splits, delays and breaks: both cores of every node, its log, and an oracle
//! that knows every byte ever written under every replication id.
//!
//! A keyspace is modelled by the bytes that made it (`content`), so a full copy is the content, and two nodes hold the
//! same keyspace if and only if their contents are equal. A unit is a length byte and that many bytes.

mod power;
mod wire;

use crate::base::{Millis, Offset, ReplId};
use crate::replication::Bulk;
use crate::replication::backlog::Backlog;
use crate::replication::history::{History, Standing};
use crate::replication::sink::{self, Effect as SinkEffect, Event as SinkEvent, LinkState, Sink, SinkConfig};
use crate::replication::source::{CopyId, Effect, Event, Format, LinkId, Source, SourceConfig};
use crate::replication::stream::{Durable, Stream, Upstream};
use crate::replication::tail::{Event as TailEvent, Tail};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Xorshift: small, and the same everywhere.
pub struct Luck(u64);

impl Luck {
    pub fn new(seed: u64) -> Self {
        Luck(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn id(&mut self) -> ReplId {
        ReplId::from_random(std::array::from_fn(|_| self.below(256) as u8))
    }
}

/// A record of a node's log.
#[derive(Clone)]
enum Record {
    /// A generation begins: a whole keyspace under its history.
    Base(History, Vec<u8>),
    Bytes(Vec<u8>),
    History(History),
}

/// What of a node outlives its process.
struct Disk {
    records: Vec<Record>,
    /// Records before this outlive the power.
    synced: usize,
    log: bool,
    /// The power failed since a history of its own was begun, and these nodes were its replicas.
    short: bool,
    known: Vec<usize>,
}

/// One process.
struct Live {
    stream: Stream,
    source: Source,
    sink: Sink,
    tail: Tail,
    content: Vec<u8>,
    copies: BTreeMap<CopyId, CopyJob>,
    sends: Vec<(LinkId, Offset, Offset)>,
    loading: Option<(sink::ConnId, ReplId, Offset, Vec<u8>)>,
    rewind: Option<(ReplId, Offset)>,
}

struct CopyJob {
    format: Format,
    began: bool,
    content: Vec<u8>,
    links: Vec<LinkId>,
    made: bool,
}

/// A connection from the sink of one node to the source of another.
struct Pipe {
    replica: usize,
    conn: sink::ConnId,
    master: usize,
    link: LinkId,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    at_master: Vec<u8>,
    at_replica: Vec<u8>,
    bulk: Bulk,
    copy: Vec<u8>,
    /// Which ends still hold it.
    master_holds: bool,
    replica_holds: bool,
    greeted: bool,
    /// A marked copy went out and its replica has not yet said that it arrived: Redis' replica looks for the mark at
    /// the end of what it read, so nothing may follow.
    mark_out: bool,
}

struct Node {
    disk: Disk,
    live: Option<Live>,
    follows: Option<usize>,
    native: bool,
}

/// What a run did, so that a test can see that it tried something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub full: usize,
    pub partial: usize,
    pub rewinds: usize,
    pub promotions: usize,
    pub restarts: usize,
    /// Tails that came back whole, and bytes of them.
    pub tails: usize,
    pub tail_bytes: usize,
}

pub struct World {
    nodes: Vec<Node>,
    pipes: Vec<Pipe>,
    truth: HashMap<ReplId, Vec<u8>>,
    now: Millis,
    luck: Luck,
    links: u64,
    /// The larger, the rarer are faults.
    calm: usize,
    /// A change of history is on the disk before the power can fail.
    ids_are_safe: bool,
    /// How long the longest step of a node takes, milliseconds.
    pace_ms: usize,
    pub tally: Tally,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut luck = Luck::new(seed);
        let count = 2 + luck.below(3);
        let calm = [500, 1500, 5000][luck.below(3)];
        let nodes = (0..count)
            .map(|_| Node {
                disk: Disk { records: Vec::new(), synced: 0, log: !luck.one_in(4), short: false, known: Vec::new() },
                live: None,
                follows: None,
                native: !luck.one_in(3),
            })
            .collect();
        let mut world = World {
            nodes,
            pipes: Vec::new(),
            truth: HashMap::new(),
            now: Millis(1_000_000),
            luck,
            links: 0,
            calm,
            ids_are_safe: false,
            pace_ms: 20,
            tally: Tally::default(),
        };
        for n in 0..count {
            world.nodes[n].follows = (n > 0).then(|| world.luck.below(n));
            world.start(n);
        }
        world
    }

    /// Faults and all, for `steps` steps.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            let n = self.luck.below(self.nodes.len());
            match self.luck.below(self.calm) {
                0 => self.crash(n, false),
                1 => self.crash(n, true),
                2 => self.restart(n),
                3 | 4 => self.repoint(n),
                5 | 6 => self.break_pipe(),
                7 => self.trim_log(n),
                _ => (0..4).for_each(|_| self.work(n, false)),
            }
            self.check(n);
        }
    }

    /// Faults stop: everyone is started and follows, in a chain or a star, one that is a master.
    pub fn heal(&mut self) -> Result<(), String> {
        let count = self.nodes.len();
        let master = self.luck.below(count);
        let chain = self.luck.one_in(2);
        for n in 0..count {
            let before = (n + count - 1) % count;
            let target = (n != master).then_some(if chain { before } else { master });
            if self.nodes[n].live.is_none() {
                self.nodes[n].follows = target;
                self.start(n);
            } else {
                self.follow(n, target);
            }
        }
        for round in 0..20_000 {
            for n in 0..count {
                self.work(n, true);
                self.check(n);
            }
            if round % 16 == 0 && self.healed(master) {
                return Ok(());
            }
        }
        Err(format!("not healed: {}", self.describe()))
    }

    fn healed(&self, master: usize) -> bool {
        let whole = &self.live(master).content;
        (0..self.nodes.len()).all(|n| {
            let live = self.live(n);
            n == master || (live.sink.state() == LinkState::Connected && live.content == *whole)
        })
    }

    fn describe(&self) -> String {
        let line = |node: &Node| match &node.live {
            Some(live) => format!(
                "{:?} {:?} end {} {:?} from {:?}\n",
                live.sink.state(),
                live.stream.history(),
                live.stream.end(),
                live.stream.upstream(),
                node.follows
            ),
            None => "down\n".to_owned(),
        };
        self.nodes.iter().map(line).collect()
    }

    fn live(&self, n: usize) -> &Live {
        self.nodes[n].live.as_ref().expect("a live node")
    }

    fn live_mut(&mut self, n: usize) -> &mut Live {
        self.nodes[n].live.as_mut().expect("a live node")
    }

    // ---- life and death

    fn start(&mut self, n: usize) {
        let fresh = self.luck.id();
        let disk = &mut self.nodes[n].disk;
        let mut found: Option<(History, Vec<u8>)> = None;
        for record in &disk.records {
            match (record, &mut found) {
                (Record::Base(history, content), _) => found = Some((history.clone(), content.clone())),
                (Record::Bytes(bytes), Some((_, content))) => content.extend_from_slice(bytes),
                (Record::History(now), Some((history, _))) => *history = now.clone(),
                _ => unreachable!("a log begins with its base"),
            }
        }
        let (history, content) = match found {
            Some((history, content)) if history.standing() != Standing::Blank || !content.is_empty() => {
                (history.resumed(), content)
            }
            _ => (History::blank(fresh), Vec::new()),
        };
        disk.records = vec![Record::Base(history.clone(), content.clone())];
        disk.synced = 1;
        let at = Offset(content.len() as u64);
        let size = 64 + self.luck.below(400) as u64;
        let mut stream = Stream::over(history, Backlog::with_blocks(size, 32, at));
        if self.nodes[n].disk.log {
            stream.set_durable(Durable::From { start: Offset(0), synced: at });
        }
        let config = SourceConfig {
            diskless: self.luck.one_in(2),
            diskless_delay_s: self.luck.below(2) as i64,
            chunk_bytes: 10 + self.luck.below(60) as u64,
            held_bytes_max: if self.luck.one_in(4) { 300 } else { 0 },
            timeout_s: 20,
            ping_period_s: 3,
            ..SourceConfig::default()
        };
        self.nodes[n].live = Some(Live {
            stream,
            source: Source::new(config, self.now),
            sink: Sink::new(SinkConfig { timeout_s: 20, port: 7000 + n as u16, ..SinkConfig::default() }),
            tail: Tail::default(),
            content,
            copies: BTreeMap::new(),
            sends: Vec::new(),
            loading: None,
            rewind: None,
        });
        self.learn(n);
        let target = self.nodes[n].follows;
        self.follow(n, target);
        self.seek(n);
    }

    fn crash(&mut self, n: usize, power: bool) {
        if self.nodes[n].live.take().is_none() {
            return;
        }
        self.tally.restarts += 1;
        let disk = &mut self.nodes[n].disk;
        if power {
            disk.records.truncate(disk.synced.max(1));
            disk.short = true;
        }
        if !disk.log {
            // What the last save holds: the generation's base, or nothing.
            disk.records.truncate(usize::from(self.luck.one_in(2)));
        }
        for pipe in &mut self.pipes {
            pipe.master_holds &= pipe.master != n;
            if pipe.replica == n {
                // The next process counts its connections from one again.
                (pipe.replica_holds, pipe.conn) = (false, sink::ConnId(u64::MAX - pipe.link.0));
            }
        }
    }

    fn restart(&mut self, n: usize) {
        if self.nodes[n].live.is_none() {
            self.start(n);
        }
    }

    fn repoint(&mut self, n: usize) {
        let other = self.luck.below(self.nodes.len());
        let target = (other != n).then_some(other);
        match self.nodes[n].live {
            Some(_) => self.follow(n, target),
            None => self.nodes[n].follows = target,
        }
    }

    fn follow(&mut self, n: usize, target: Option<usize>) {
        self.nodes[n].follows = target;
        match target {
            Some(master) => {
                self.tail(n, TailEvent::Stop);
                let port = 7000 + master as u16;
                self.sink(n, SinkEvent::Follow { host: "node", port, failover: false });
            }
            None => {
                let fresh = self.luck.id();
                self.tally.promotions += usize::from(self.live(n).sink.master().is_some());
                self.sink(n, SinkEvent::Unfollow { fresh });
            }
        }
    }

    fn break_pipe(&mut self) {
        if self.pipes.is_empty() {
            return;
        }
        let at = self.luck.below(self.pipes.len());
        let pipe = &mut self.pipes[at];
        (pipe.master_holds, pipe.replica_holds) = (false, false);
        let (replica, conn, master, link) = (pipe.replica, pipe.conn, pipe.master, pipe.link);
        if self.luck.one_in(2) {
            pipe.down.clear();
        }
        if self.nodes[master].live.is_some() {
            self.source(master, Event::Gone { link });
        }
        if self.nodes[replica].live.is_some() {
            self.closed(replica, conn, "Connection reset by peer");
        }
    }

    fn trim_log(&mut self, n: usize) {
        let Some(live) = &mut self.nodes[n].live else { return };
        if let Durable::From { start, synced } = live.stream.durable() {
            let room = live.stream.released().bytes_since(start) as usize;
            let start = start + self.luck.below(room + 1) as u64;
            live.stream.set_durable(Durable::From { start, synced: synced.max(start) });
        }
    }

    // ---- work that a live node has

    fn work(&mut self, n: usize, calm: bool) {
        self.now = self.now + Millis(self.luck.below(self.pace_ms) as i64);
        if self.nodes[n].live.is_none() {
            return;
        }
        match self.luck.below(14) {
            0 if !calm || self.luck.one_in(200) => self.write(n),
            1 | 2 => self.end_turn(n),
            3 => self.tick(n),
            4 | 5 => self.send_some(n, calm),
            6 => self.copy_some(n, calm),
            7 => self.load(n, calm),
            8 => self.go_back(n, calm),
            9 => self.connect(n),
            10 => self.fsync(n),
            _ => self.deliver(n),
        }
    }

    fn write(&mut self, n: usize) {
        let fresh = self.luck.id();
        let len = 1 + self.luck.below(20) as u8;
        let live = self.live_mut(n);
        if live.stream.upstream() != Upstream::Own || live.tail.is_searching() {
            return;
        }
        if live.stream.must_own() && live.stream.own(fresh) {
            self.history_changed(n);
        }
        let mut unit = vec![len];
        unit.extend((0..len).map(|_| self.luck.below(256) as u8));
        self.append_own(n, &unit);
    }

    fn append_own(&mut self, n: usize, unit: &[u8]) {
        let live = self.nodes[n].live.as_mut().expect("live");
        live.stream.append(unit);
        let truth = self.truth.get_mut(&live.stream.history().id()).expect("a known id");
        assert!(*truth == live.content, "two nodes, or two runs of one, write under one replication id");
        live.content.extend_from_slice(unit);
        truth.extend_from_slice(unit);
    }

    fn end_turn(&mut self, n: usize) {
        self.log_pending(n);
        self.source(n, Event::Released);
        self.sink(n, SinkEvent::Released);
        self.tail(n, TailEvent::Tick);
    }

    /// The bytes not yet in the log go into it, and are released.
    fn log_pending(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let live = node.live.as_mut().expect("live");
        let (released, end) = (live.stream.released(), live.stream.end());
        let pieces = live.stream.backlog().slices(released, usize::MAX).expect("unlogged bytes are held");
        let bytes = pieces.collect::<Vec<_>>().concat();
        assert_eq!(bytes, live.content[released.0 as usize..], "the backlog holds what the keyspace was made of");
        if !bytes.is_empty() && node.disk.log {
            node.disk.records.push(Record::Bytes(bytes));
        }
        live.stream.release(end);
    }

    fn history_changed(&mut self, n: usize) {
        self.log_pending(n);
        self.learn(n);
        let node = &mut self.nodes[n];
        let live = node.live.as_ref().expect("live");
        let history = live.stream.history().clone();
        match node.disk.log {
            true => {
                node.disk.records.push(Record::History(history));
                if self.ids_are_safe {
                    node.disk.synced = node.disk.records.len();
                }
            }
            // Without a log, what is saved is saved with the history of its time.
            false => node.disk.records = vec![Record::Base(history, live.content.clone())],
        }
    }

    fn fsync(&mut self, n: usize) {
        let disk = &mut self.nodes[n].disk;
        disk.synced = disk.records.len();
        let live = self.live_mut(n);
        let released = live.stream.released();
        if let Durable::From { start, .. } = live.stream.durable() {
            live.stream.set_durable(Durable::From { start, synced: released });
        }
    }

    fn tick(&mut self, n: usize) {
        self.source(n, Event::Tick);
        self.sink(n, SinkEvent::Tick);
        self.tail(n, TailEvent::Tick);
        self.note_known(n);
    }

    fn send_some(&mut self, n: usize, calm: bool) {
        let rounds = if calm { self.live(n).sends.len() } else { 1 };
        (0..rounds).for_each(|_| self.send_one(n, calm));
    }

    fn send_one(&mut self, n: usize, calm: bool) {
        let part = !calm && self.luck.one_in(3);
        let live = self.nodes[n].live.as_mut().expect("live");
        if live.sends.is_empty() {
            return;
        }
        let at = self.luck.below(live.sends.len());
        let (link, from, to) = live.sends.swap_remove(at);
        let len = to.bytes_since(from) as usize;
        let len = if part { self.luck.below(len + 1) } else { len };
        let bytes = live.content[from.0 as usize..from.0 as usize + len].to_vec();
        let early = self.pipes.iter().any(|p| p.master == n && p.link == link && p.mark_out);
        assert!(!early, "the stream hides the end of a marked copy");
        self.push_down(n, link, &bytes);
        self.source(n, Event::Sent { link, upto: from + len as u64 });
    }

    fn copy_some(&mut self, n: usize, calm: bool) {
        let live = self.nodes[n].live.as_mut().expect("live");
        let Some((&copy, job)) = live.copies.iter_mut().next() else { return };
        if !calm && self.luck.one_in(12) {
            live.copies.remove(&copy);
            return self.source(n, Event::CopyFailed { copy });
        }
        if !job.began {
            (job.began, job.content) = (true, live.content.clone());
            self.log_pending(n);
            return self.source(n, Event::CopyBegan { copy });
        }
        let sized = job.format == Format::Sized;
        if sized && !job.made {
            job.made = true;
            return self.source(n, Event::CopyMade { copy });
        }
        match job.links.pop() {
            Some(link) => {
                let mark: [u8; 40] = std::array::from_fn(|_| b'a' + self.luck.below(26) as u8);
                let mut bytes = match sized {
                    true => format!("${}\r\n", job.content.len()).into_bytes(),
                    false => [b"$EOF:", &mark[..], b"\r\n"].concat(),
                };
                bytes.extend_from_slice(&job.content);
                if !sized {
                    bytes.extend_from_slice(&mark);
                }
                self.push_down(n, link, &bytes);
                for pipe in self.pipes.iter_mut().filter(|p| p.master == n && p.link == link) {
                    pipe.mark_out = !sized;
                }
                self.source(n, Event::Copied { link });
            }
            None => {
                live.copies.remove(&copy);
                self.source(n, Event::CopyMade { copy });
            }
        }
    }

    fn load(&mut self, n: usize, calm: bool) {
        let fresh = self.luck.id();
        let Some((conn, id, at, content)) = self.live_mut(n).loading.take() else { return };
        assert_eq!(content.len() as u64, at.0, "the copy is not what was promised");
        if !calm && self.luck.one_in(6) {
            let kept = self.luck.one_in(2);
            if !kept {
                let live = self.live_mut(n);
                live.content.fill(b'?');
            }
            return self.sink(n, SinkEvent::CopyFailed { conn, why: "Failed trying to load", kept, fresh });
        }
        let node = &mut self.nodes[n];
        let mut history = node.live.as_ref().expect("live").stream.history().clone();
        history.replace(id);
        node.disk.records = vec![Record::Base(history, content.clone())];
        node.disk.synced = 1;
        self.live_mut(n).content = content;
        self.sink(n, SinkEvent::CopyLoaded { conn, db: 0 });
        if self.nodes[n].disk.log {
            self.live_mut(n).stream.set_durable(Durable::From { start: at, synced: at });
        }
        self.process(n);
    }

    fn go_back(&mut self, n: usize, calm: bool) {
        let able = calm || !self.luck.one_in(3);
        let live = self.live_mut(n);
        let Some((id, to)) = live.rewind.take() else { return };
        if !live.sink.rewinding() {
            return;
        }
        let done = able && live.stream.rewind(id, to, None);
        if done {
            live.content.truncate(to.0 as usize);
            let history = live.stream.history().clone();
            if let Durable::From { start, synced } = live.stream.durable() {
                live.stream.set_durable(Durable::From { start: start.min(to), synced: synced.min(to) });
            }
            let content = live.content.clone();
            self.nodes[n].disk.records = vec![Record::Base(history, content)];
            self.nodes[n].disk.synced = 1;
            self.tally.rewinds += 1;
        }
        self.sink(n, SinkEvent::Rewound { done });
    }

    // ---- effects

    fn source(&mut self, n: usize, event: Event<'_>) {
        let mut out = Vec::new();
        let now = self.now;
        let live = self.live_mut(n);
        live.source.step(now, event, &mut live.stream, &mut out);
        for effect in out {
            match effect {
                Effect::HistoryChanged => self.history_changed(n),
                Effect::Reply { link, bytes } => self.push_down(n, link, &bytes),
                Effect::StartCopy { copy, format, .. } => {
                    let job = CopyJob { format, began: false, content: Vec::new(), links: Vec::new(), made: false };
                    self.live_mut(n).copies.insert(copy, job);
                }
                Effect::AttachCopy { copy, link, reply } => {
                    self.push_down(n, link, &reply);
                    self.live_mut(n).copies.get_mut(&copy).expect("a copy under way").links.push(link);
                }
                Effect::AbandonCopy { copy } => drop(self.live_mut(n).copies.remove(&copy)),
                Effect::Send { link, from, to } => {
                    let live = self.live_mut(n);
                    assert!(to <= live.stream.released(), "what the log does not have is shown to nobody");
                    let max = to.bytes_since(from) as usize;
                    let pieces = live.stream.backlog().slices(from, max).expect("held");
                    let bytes = pieces.collect::<Vec<_>>().concat();
                    assert_eq!(bytes, live.content[from.0 as usize..to.0 as usize], "one stream");
                    live.sends.push((link, from, to));
                }
                Effect::SendFromLog { link, from, to } => {
                    let live = self.live_mut(n);
                    assert!(live.stream.held().contains(&from) && live.stream.durable() != Durable::Off);
                    live.sends.push((link, from, to));
                }
                Effect::FetchTail { host, port } => self.tail(n, TailEvent::Found { host: &host, port }),
                Effect::Ping => self.append_own(n, b"\x01P"),
                Effect::Drop { link, .. } => {
                    self.live_mut(n).sends.retain(|(id, ..)| *id != link);
                    if let Some(pipe) = self.pipes.iter_mut().find(|p| p.master == n && p.link == link) {
                        pipe.master_holds = false;
                    }
                }
                Effect::Log(_) => {}
            }
        }
    }

    fn sink(&mut self, n: usize, event: SinkEvent<'_>) {
        let mut out = Vec::new();
        let now = self.now;
        let live = self.live_mut(n);
        live.sink.step(now, event, &mut live.stream, &mut out);
        for effect in out {
            match effect {
                SinkEffect::Connect { conn, port, .. } => self.dial(n, conn, usize::from(port) - 7000),
                SinkEffect::Send { conn, bytes } => self.push_up(n, conn, bytes),
                SinkEffect::Close { conn } => self.hang_up(n, conn),
                SinkEffect::ExpectCopy { .. } | SinkEffect::Stream { .. } => {}
                SinkEffect::LoadCopy { conn, id, at } => {
                    let pipe = self.pipes.iter_mut().find(|p| p.replica == n && p.conn == conn).expect("its pipe");
                    let copy = std::mem::take(&mut pipe.copy);
                    self.live_mut(n).loading = Some((conn, id, at, copy));
                }
                SinkEffect::DiscardCopy => self.live_mut(n).loading = None,
                SinkEffect::HistoryChanged => {
                    let blank = self.live(n).stream.history().standing() == Standing::Blank;
                    if blank {
                        self.learn(n);
                        let live = self.live(n);
                        let base = Record::Base(live.stream.history().clone(), live.content.clone());
                        self.nodes[n].disk.records = vec![base];
                        self.nodes[n].disk.synced = 1;
                    } else {
                        self.history_changed(n);
                    }
                }
                SinkEffect::DropReplicas { why } => self.source(n, Event::DropAll { why }),
                SinkEffect::Rewind { id, to } => self.live_mut(n).rewind = Some((id, to)),
                // Nobody hands over here: that is FAILOVER's own test, with real processes.
                SinkEffect::HandedOver { .. } | SinkEffect::Log(_) => {}
            }
        }
    }

    // ---- the oracle

    /// An id seen for the first time is this node's own: its history is what the node holds.
    fn learn(&mut self, n: usize) {
        let live = self.nodes[n].live.as_ref().expect("live");
        let id = live.stream.history().id();
        self.truth.entry(id).or_insert_with(|| live.content.clone());
    }

    fn check(&self, n: usize) {
        let Some(live) = &self.nodes[n].live else { return };
        let (history, content) = (live.stream.history(), &live.content);
        assert_eq!(content.len() as u64, live.stream.end().0, "offset and keyspace of node {n}");
        assert!(self.truth[&history.id()].starts_with(content), "node {n} holds what its history never was");
        // A replica may have been told of an end that it has yet to reach: up to there its master's id is the judge. Who
        // writes himself has nothing to come.
        let whole = &self.truth[&history.id()];
        let writes = live.stream.upstream() == Upstream::Own && history.standing() != Standing::Resumed;
        for former in history.former() {
            let end = former.end.0 as usize;
            assert!(!writes || end <= content.len(), "a former id ends beyond the stream of a master");
            let theirs = self.truth[&former.id].get(..end);
            assert!(theirs.is_some() && theirs == whole.get(..end), "node {n} claims a former id too far");
        }
        let start = live.stream.backlog().start();
        let held = live.stream.backlog().slices(start, usize::MAX).expect("its start").collect::<Vec<_>>().concat();
        assert_eq!(held, content[start.0 as usize..], "the backlog of node {n}");
    }
}
