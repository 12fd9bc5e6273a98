//! Golden scripts: `#` prose, `=` how the node stands, `@` milliseconds pass, `>` an event, `<` the effects that it had.
//! `UPDATE=1 cargo test --lib replication::tests::script` rewrites the effects; the diff is then read and reviewed.
//! `<a>` stands for the replication id of forty `a`.

use crate::base::{Millis, Offset, ReplId};
use crate::replication::history::History;
use crate::replication::sink::{ConnId, Effect as SinkEffect, Event as SinkEvent, Sink, SinkConfig};
use crate::replication::source::{Ask, Conf, CopyId, DropReason, Effect, Event, Format, LinkId, Source, SourceConfig};
use crate::replication::stream::{Durable, Stream, Upstream};
use crate::replication::tail::{Access, Effect as TailEffect, Event as TailEvent, Tail};
use crate::replication::{Extent, Level, Note};
use std::path::Path;

fn id(letter: &str) -> ReplId {
    let digit = letter.trim_matches(['<', '>']).as_bytes().first().copied().unwrap_or(b'0');
    ReplId::parse(&[digit; 40]).expect("a hexadecimal digit")
}

/// Ids shortened, line ends shown.
fn short(text: &str) -> String {
    let mut text = text.replace("\r\n", " ").replace('\n', "\\n");
    for digit in "0123456789abcdef".chars() {
        text = text.replace(&digit.to_string().repeat(40), &format!("<{digit}>"));
    }
    text.trim_end().to_owned()
}

/// Ids made long again.
fn long(line: &str) -> String {
    let mut line = line.to_owned();
    for digit in "0123456789abcdef".chars() {
        line = line.replace(&format!("<{digit}>"), &digit.to_string().repeat(40));
    }
    line
}

/// A connection of a search.
fn asked(n: u64) -> ConnId {
    ConnId((1 << 48) + n)
}

/// The words of requests, without their lengths.
fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split_terminator("\r\n").filter(|line| !line.starts_with('$'));
    let words = lines.map(|line| if line.starts_with('*') { "|" } else { line });
    short(words.collect::<Vec<_>>().join(" ").trim_start_matches("| "))
}

fn note(note: &Note) -> String {
    let mark = if note.level == Level::Warning { '#' } else { '*' };
    format!("log {mark} {}", short(&note.text))
}

struct Play {
    now: Millis,
    stream: Stream,
    sink: Sink,
    source: Source,
    tail: Tail,
    config: SinkConfig,
    conn: ConnId,
    out: Vec<String>,
}

impl Play {
    fn new() -> Play {
        let now = Millis(1_000_000);
        Play {
            now,
            stream: Stream::new(History::blank(id("a")), Offset(0), 1 << 20),
            sink: Sink::new(SinkConfig::default()),
            source: Source::new(SourceConfig { diskless_delay_s: 0, ..SourceConfig::default() }, now),
            tail: Tail::default(),
            config: SinkConfig::default(),
            conn: ConnId(0),
            out: Vec::new(),
        }
    }

    fn setting(&mut self, line: &[&str]) {
        match line {
            ["at", letter, end] => {
                let end: u64 = end.parse().expect("an offset");
                let mut history = History::blank(id(letter));
                history.began();
                self.stream = Stream::new(history, Offset(0), 1 << 20);
                self.stream.append(&vec![b'.'; end as usize]);
                self.stream.release(Offset(end));
            }
            ["restarted"] => {
                let history = self.stream.history().clone().resumed();
                self.stream = Stream::new(history, self.stream.end(), 1 << 20);
                self.stream.set_durable(Durable::From { start: Offset(0), synced: self.stream.end() });
            }
            ["backlog", bytes] => {
                let at = self.stream.end();
                let history = self.stream.history().clone();
                let backlog = crate::replication::Backlog::with_blocks(bytes.parse().expect("bytes"), 16, at);
                self.stream = Stream::over(history, backlog);
            }
            ["log", start] => {
                let start = Offset(start.parse().expect("an offset"));
                self.stream.set_durable(Durable::From { start, synced: self.stream.released() });
            }
            ["upstream", "lost"] => self.stream.set_upstream(Upstream::Lost),
            ["upstream", "linked"] => self.stream.set_upstream(Upstream::Linked),
            ["auth", user, password] => {
                self.config.user = (*user != "-").then(|| user.as_bytes().to_vec());
                self.config.password = Some(password.as_bytes().to_vec());
                self.sink.configure(self.config.clone());
                self.tail.configure(Access { user: self.config.user.clone(), password: self.config.password.clone() });
            }
            ["ip", ip] => {
                self.config.ip = Some(ip.as_bytes().to_vec());
                self.sink.configure(self.config.clone());
            }
            ["disk"] => {
                let config = SourceConfig { diskless: false, ..SourceConfig::default() };
                self.source.configure(config);
                self.config.to_parser = false;
                self.sink.configure(self.config.clone());
            }
            ["delay", seconds] => self.source.configure(SourceConfig {
                diskless_delay_s: seconds.parse().expect("seconds"),
                ..SourceConfig::default()
            }),
            ["held", bytes] => self
                .source
                .configure(SourceConfig { held_bytes_max: bytes.parse().expect("bytes"), ..SourceConfig::default() }),
            other => panic!("a setting: {other:?}"),
        }
    }

    fn event(&mut self, line: &str) {
        let parts: Vec<&str> = line.split(' ').collect();
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let link = |text: &str| LinkId(number(text));
        let conn = self.conn;
        match parts[..] {
            ["follow", host, port] => self.sink(SinkEvent::Follow { host, port: number(port) as u16, failover: false }),
            ["succeed", host, port] => self.sink(SinkEvent::Follow { host, port: number(port) as u16, failover: true }),
            ["unfollow", fresh] => self.sink(SinkEvent::Unfollow { fresh: id(fresh) }),
            ["connected"] => self.sink(SinkEvent::Connected { conn }),
            ["refused", ..] => self.sink(SinkEvent::ConnectFailed { conn, why: rest }),
            ["line", ..] => {
                let line = long(rest);
                self.sink(SinkEvent::Line { conn, line: line.as_bytes() });
            }
            ["header", "eof"] => self.sink(SinkEvent::CopyHeader { conn, extent: Extent::Marked { mark: [b'm'; 40] } }),
            ["header", bytes] => {
                self.sink(SinkEvent::CopyHeader { conn, extent: Extent::Sized { bytes: number(bytes) } })
            }
            ["copybytes", bytes] => self.sink(SinkEvent::CopyBytes { conn, bytes: number(bytes) }),
            ["received"] => self.sink(SinkEvent::CopyReceived { conn }),
            ["loaded"] => self.sink(SinkEvent::CopyLoaded { conn, db: 0 }),
            ["unloadable", "kept"] => {
                self.sink(SinkEvent::CopyFailed { conn, why: "Bad RDB", kept: true, fresh: id("e") })
            }
            ["unloadable", "lost"] => {
                self.sink(SinkEvent::CopyFailed { conn, why: "Bad RDB", kept: false, fresh: id("e") })
            }
            ["stream", bytes] => {
                self.stream.append(&vec![b'.'; number(bytes) as usize]);
                self.sink(SinkEvent::Bytes { conn, bytes: number(bytes) });
            }
            ["getack"] => self.sink(SinkEvent::GetAck { conn }),
            ["released"] => {
                self.stream.release(self.stream.end());
                self.sink(SinkEvent::Released);
                self.source(Event::Released);
                self.tail(TailEvent::Tick);
            }
            ["rewound", to, letter] => {
                let done = self.stream.rewind(id(letter), Offset(number(to)), None);
                self.sink(SinkEvent::Rewound { done });
            }
            ["unrewound"] => self.sink(SinkEvent::Rewound { done: false }),
            ["closed", ..] => self.sink(SinkEvent::Closed { conn, why: rest }),
            ["tick"] => {
                self.tail(TailEvent::Tick);
                self.sink(SinkEvent::Tick);
                self.source(Event::Tick);
            }
            ["say", n, option, value] => {
                let conf = match option {
                    "port" => Conf::ListeningPort(number(value) as i64),
                    "ip" => Conf::IpAddress(value.as_bytes()),
                    "capa" => Conf::Capa(value.as_bytes()),
                    "rdb-only" => Conf::RdbOnly(value == "1"),
                    other => panic!("REPLCONF {other}"),
                };
                self.source(Event::Said { link: link(n), ip: "10.0.0.1", conf });
            }
            ["psync", n, "?"] => self.ask(link(n), b"?", -1),
            ["psync", n, letter, next] => self.ask(link(n), &id(letter).hex(), number(next) as i64),
            ["may", "lack"] => self.source.may_lack_tail(),
            ["seek", ref ports @ ..] => {
                let peers: Vec<_> = ports.iter().map(|port| ("10.0.0.1".to_owned(), number(port) as u16)).collect();
                self.tail(TailEvent::Begin { peers: &peers });
            }
            ["found", port] => self.tail(TailEvent::Found { host: "10.0.0.1", port: number(port) as u16 }),
            // The connections of a search are numbered as they are made.
            ["asked", n, "connected"] => self.tail(TailEvent::Connected { conn: asked(number(n)) }),
            ["asked", n, "closed", ..] => {
                self.tail(TailEvent::Closed { conn: asked(number(n)), why: "Connection refused" })
            }
            ["asked", n, "line", ..] => {
                let line = long(rest.splitn(3, ' ').nth(2).expect("a line"));
                self.tail(TailEvent::Line { conn: asked(number(n)), line: line.as_bytes() });
            }
            ["asked", n, "gives", bytes, ref unlogged @ ..] => {
                self.stream.append_recovered(&vec![b'.'; number(bytes) as usize]);
                if unlogged.is_empty() {
                    self.stream.release(self.stream.end());
                }
                self.tail(TailEvent::Bytes { conn: asked(number(n)), bytes: number(bytes) });
            }
            // The last unit is not whole: nothing of it is taken.
            ["asked", n, "breaks", bytes] => {
                self.tail(TailEvent::Bytes { conn: asked(number(n)), bytes: number(bytes) })
            }
            ["stop"] => self.tail(TailEvent::Stop),
            ["tail", n, letter, from] => self.tail_asked(link(n), letter, number(from), None),
            ["tail", n, letter, from, upto] => {
                self.tail_asked(link(n), letter, number(from), Some(Offset(number(upto))))
            }
            ["sync", n] => {
                self.source(Event::Asked { link: link(n), ip: "10.0.0.1", ask: Ask::Sync, fresh: id("f") });
            }
            ["began", copy] => self.source(Event::CopyBegan { copy: CopyId(number(copy)) }),
            ["made", copy] => self.source(Event::CopyMade { copy: CopyId(number(copy)) }),
            ["failed", copy] => self.source(Event::CopyFailed { copy: CopyId(number(copy)) }),
            ["copied", n] => self.source(Event::Copied { link: link(n) }),
            ["sent", n, upto] => self.source(Event::Sent { link: link(n), upto: Offset(number(upto)) }),
            ["ack", n, upto] => {
                self.source(Event::Acked { link: link(n), upto: Offset(number(upto)), synced: None });
            }
            ["heard", n] => self.source(Event::Heard { link: link(n) }),
            ["gone", n] => self.source(Event::Gone { link: link(n) }),
            ["dropall"] => self.source(Event::DropAll { why: DropReason::NewId }),
            ["wrote", bytes] => {
                if self.stream.own(id("f")) {
                    self.out.push("history changed".to_owned());
                }
                self.stream.append(&vec![b'.'; number(bytes) as usize]);
                self.stream.release(self.stream.end());
                self.source(Event::Released);
            }
            ["info"] => self.info(),
            ref other => panic!("an event: {other:?}"),
        }
    }

    fn ask(&mut self, link: LinkId, replid: &[u8], next: i64) {
        self.source(Event::Asked { link, ip: "10.0.0.1", ask: Ask::Psync { replid, next }, fresh: id("f") });
    }

    fn tail_asked(&mut self, link: LinkId, letter: &str, from: u64, upto: Option<Offset>) {
        self.source(Event::TailAsked { link, ip: "10.0.0.1", replid: &id(letter).hex(), from: Offset(from), upto });
    }

    fn tail(&mut self, event: TailEvent<'_>) {
        let mut out = Vec::new();
        self.tail.step(self.now, event, &self.stream, &mut out);
        let number = |conn: ConnId| conn.0 & 0xFFFF;
        for effect in out {
            let line = match effect {
                TailEffect::Connect { conn, host, port } => format!("{} connect {host}:{port}", number(conn)),
                TailEffect::Send { conn, bytes } => format!("{} send {}", number(conn), words(&bytes)),
                TailEffect::Close { conn } => format!("{} close", number(conn)),
                TailEffect::Done => "done".to_owned(),
                TailEffect::Log(said) => note(&said),
            };
            self.out.push(short(&line));
        }
    }

    fn info(&mut self) {
        let (history, end) = (self.stream.history(), self.stream.end());
        let (id, second, upto) = (history.id(), history.second_id(), history.second_repl_offset());
        self.out.push(short(&format!("replid {id} replid2 {second} second_repl_offset {upto} offset {end}")));
        if let Some(info) = self.sink.info(self.now, &self.stream) {
            let up = info.state.word();
            let sync = info.sync.map(|sync| format!(" sync {}/{}", sync.read_bytes, sync.total_bytes));
            self.out.push(format!(
                "master {}:{} {up} last_io {} down {:?} read {}{}",
                info.host,
                info.port,
                info.last_io_s,
                info.down_s,
                info.read,
                sync.unwrap_or_default()
            ));
        }
        for r in self.source.replicas(self.now) {
            self.out.push(format!(
                "replica ip={},port={},state={},offset={},lag={}",
                r.ip, r.port, r.state, r.offset, r.lag_s
            ));
        }
        let (good, acked) = (self.source.good_replicas(), self.source.acked_count(end));
        self.out.push(format!("good {good} have all {acked} needed {:?}", self.source.lowest_needed().map(|at| at.0)));
    }

    fn sink(&mut self, event: SinkEvent<'_>) {
        let mut out = Vec::new();
        self.sink.step(self.now, event, &mut self.stream, &mut out);
        for effect in out {
            let line = match effect {
                SinkEffect::Connect { conn, host, port } => {
                    self.conn = conn;
                    format!("connect {host}:{port}")
                }
                SinkEffect::Send { bytes, .. } => format!("send {}", words(&bytes)),
                SinkEffect::Close { .. } => "close".to_owned(),
                SinkEffect::ExpectCopy { id, at, .. } => format!("expect a copy of {id}:{at}"),
                SinkEffect::LoadCopy { id, at, .. } => format!("load the copy of {id}:{at}"),
                SinkEffect::DiscardCopy => "discard the copy".to_owned(),
                SinkEffect::Stream { from, .. } => format!("stream from {from}"),
                SinkEffect::HistoryChanged => "history changed".to_owned(),
                SinkEffect::DropReplicas { why } => format!("drop replicas: {why:?}"),
                SinkEffect::HandedOver { accepted } => format!("handed over: {accepted}"),
                SinkEffect::Rewind { id, to } => format!("rewind to {id}:{to}"),
                SinkEffect::Log(said) => note(&said),
            };
            self.out.push(short(&line));
        }
    }

    fn source(&mut self, event: Event<'_>) {
        let mut out = Vec::new();
        self.source.step(self.now, event, &mut self.stream, &mut out);
        for effect in out {
            let line = match effect {
                Effect::HistoryChanged => "history changed".to_owned(),
                Effect::Reply { link, bytes } => format!("{} reply {}", link.0, String::from_utf8_lossy(&bytes)),
                Effect::StartCopy { copy, format, .. } => {
                    format!("start copy {} {}", copy.0, if format == Format::Marked { "marked" } else { "sized" })
                }
                Effect::AttachCopy { copy, link, reply } => {
                    format!("{} gets copy {} after {}", link.0, copy.0, String::from_utf8_lossy(&reply))
                }
                Effect::AbandonCopy { copy } => format!("abandon copy {}", copy.0),
                Effect::Send { link, from, to } => format!("{} send {from}..{to}", link.0),
                Effect::SendFromLog { link, from, to } => format!("{} send from log {from}..{to}", link.0),
                Effect::FetchTail { host, port } => {
                    self.tail(TailEvent::Found { host: &host, port });
                    format!("ask {host}:{port} for the tail")
                }
                Effect::Ping => "ping".to_owned(),
                Effect::Drop { link, why } => format!("{} drop: {why:?}", link.0),
                Effect::Log(said) => note(&said),
            };
            self.out.push(short(&line));
        }
    }
}

fn play(script: &str) -> String {
    let mut play = Play::new();
    let mut told = String::new();
    for line in script.lines().filter(|line| !line.starts_with('<')) {
        told.push_str(line);
        told.push('\n');
        if let Some(setting) = line.strip_prefix("= ") {
            play.setting(&setting.split(' ').collect::<Vec<_>>());
        } else if let Some(passed) = line.strip_prefix("@ ") {
            play.now = play.now + Millis(passed.parse().expect("milliseconds"));
        } else if let Some(event) = line.strip_prefix('>') {
            play.event(event.strip_prefix(' ').unwrap_or(event));
            for effect in play.out.drain(..) {
                told.push_str(&format!("< {effect}\n"));
            }
        } else if line == "---" {
            play = Play::new();
        }
    }
    told
}

#[test]
fn golden_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/replication/tests/scripts");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder").map(|f| f.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 5);
    let mut wrong = Vec::new();
    for file in files {
        let script = std::fs::read_to_string(&file).expect("a script");
        let told = play(&script);
        if told == script {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, told).expect("written");
        } else {
            let at = script.lines().zip(told.lines()).position(|(a, b)| a != b).unwrap_or(script.lines().count());
            wrong.push(format!("{}:{}: now {:?}", file.display(), at + 1, told.lines().nth(at)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
