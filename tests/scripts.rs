//! The scripts in `tests/scripts`: what is asked, what is answered, what replicas are fed.
//!
//! Each runs in process, where every line counts, and against a real redis-server, which judges our golden replies.
//! `UPDATE=1 cargo test --test scripts` rewrites the `<` and `~` lines by what the node says in process.
//!
//! ```text
//! # prose
//! == title       a new, empty node; what follows is one section
//! : resp3        connections of this section speak RESP3
//! : config LINE  a line of redis.conf for this section, which is not judged then
//! : replica      the node follows a master; not judged
//! : ours WHY     the judge does not see the next request
//! : differs WHY  the judge's reply to the next request is not compared
//! : sorted       the elements of the next reply come in any order
//! > SET k v      a request, words as in redis-cli; `2>` is sent by a second connection
//! < OK           a reply; `2<` came to the second connection
//! ~ SET k v      a command that the log and the replicas are fed
//! @ 11s          time passes (`ms`, `s`); from a wait above 100 ms on, the section is not judged
//! @ expire       active expiry runs; not judged
//! ```
//! Replies: `OK`, `"text"`, `(integer) 1`, `(nil)`, `! ERR text`, `["a", (integer) 1]`, `push [..]`, `{k: v}`.

mod in_process;

use in_process::{Node, frames};
use regent::base::Millis;
use regent::base::extended::Extended;
use regent::command::spec::Group;
use regent::resp::{Frame, command, decode};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longer waits are not waited for.
const JUDGED_WAIT_MAX: Millis = Millis(100);

/// One line of a script.
#[derive(Clone, Debug)]
enum Line {
    /// Prose, a title, a directive, an empty line: kept as it is.
    Text(String),
    Title(String),
    Directive(Directive, String),
    Request {
        connection: usize,
        words: Vec<Vec<u8>>,
        text: String,
    },
    Wait(Millis, String),
    Expire(String),
    /// `<` and `~`: what is expected behind the last request or wait.
    Expected(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Directive {
    Resp3,
    Config(String),
    Replica,
    Ours,
    Differs,
    Sorted,
}

fn parse(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).expect("the script");
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let bad = |what: &str| -> ! { panic!("{}:{}: {what}: {line}", path.display(), number + 1) };
        let kept = line.to_string();
        let head = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let connection = line[..line.len() - head.len()].parse().unwrap_or(1);
        lines.push(match head.chars().next() {
            None | Some('#') => Line::Text(kept),
            Some('=') => Line::Title(kept),
            Some('<' | '~') => Line::Expected(kept),
            Some('>') => match split(head[1..].trim()) {
                Some(words) => Line::Request { connection, words, text: kept },
                None => bad("unbalanced quotes"),
            },
            Some('@') if head == "@ expire" => Line::Expire(kept),
            Some('@') => match span(head[1..].trim()) {
                Some(span) => Line::Wait(span, kept),
                None => bad("no span of time"),
            },
            Some(':') => {
                let words = head[1..].trim();
                let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
                let directive = match name {
                    "resp3" => Directive::Resp3,
                    "config" => Directive::Config(rest.to_string()),
                    "replica" => Directive::Replica,
                    "ours" => Directive::Ours,
                    "differs" => Directive::Differs,
                    "sorted" => Directive::Sorted,
                    _ => bad("no such directive"),
                };
                Line::Directive(directive, kept)
            }
            Some(_) => bad("not a line of a script"),
        });
    }
    lines
}

fn span(text: &str) -> Option<Millis> {
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    Some(Millis(number.parse::<i64>().ok()? * factor))
}

/// Words as redis-cli takes them: blanks part them, `"a b\x00"` and `'a b'` hold them together.
fn split(line: &str) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut word = Vec::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut bytes = quoted.bytes().enumerate();
            let end = loop {
                match bytes.next()? {
                    (at, b'"') => break at,
                    (_, b'\\') => match bytes.next()?.1 {
                        b'n' => word.push(b'\n'),
                        b'r' => word.push(b'\r'),
                        b't' => word.push(b'\t'),
                        b'x' => {
                            let digits = [bytes.next()?.1, bytes.next()?.1];
                            word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                        }
                        other => word.push(other),
                    },
                    (_, byte) => word.push(byte),
                }
            };
            rest = &quoted[end + 1..];
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let end = quoted.find('\'')?;
            word.extend_from_slice(&quoted.as_bytes()[..end]);
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            word.extend_from_slice(&rest.as_bytes()[..end]);
            rest = &rest[end..];
        }
        words.push(word);
        rest = rest.trim_start();
    }
    Some(words)
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', byte as char]),
            b'\n' => text += "\\n",
            b'\r' => text += "\\r",
            b'\t' => text += "\\t",
            b' '..=b'~' => text.push(byte as char),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes all"),
        }
    }
    text + "\""
}

/// A word as it could stand in a request.
fn word(bytes: &[u8]) -> String {
    let plain = !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(byte));
    if plain { String::from_utf8_lossy(bytes).into_owned() } else { quoted(bytes) }
}

fn shown(frame: &Frame, sorted: bool) -> String {
    let list = |items: &[Frame]| {
        let mut items: Vec<String> = items.iter().map(|item| shown(item, sorted)).collect();
        if sorted {
            items.sort();
        }
        items.join(", ")
    };
    match frame {
        Frame::Simple(text) => text.clone(),
        Frame::Error(text) => format!("! {text}"),
        Frame::Int(number) => format!("(integer) {number}"),
        Frame::Bulk(bytes) => quoted(bytes),
        Frame::Null => "(nil)".to_string(),
        Frame::Array(items) => format!("[{}]", list(items)),
        Frame::Push(items) => format!("push [{}]", list(items)),
        Frame::Set(items) => format!("set [{}]", list(items)),
        Frame::Map(pairs) => {
            let pair = |(key, value): &(Frame, Frame)| format!("{}: {}", shown(key, sorted), shown(value, sorted));
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Frame::Double(number) => format!("(double) {number}"),
        Frame::Bool(truth) => format!("({truth})"),
        Frame::BigNumber(digits) => format!("(big number) {digits}"),
        Frame::Verbatim(bytes) => quoted(bytes),
    }
}

fn expected_line(connection: usize, frame: &Frame, sorted: bool) -> String {
    let number = if connection == 1 { String::new() } else { connection.to_string() };
    format!("{number}< {}", shown(frame, sorted))
}

/// The script with the lines that the node gives in process.
fn played(script: &[Line]) -> String {
    let mut text = String::new();
    let mut config = String::new();
    let mut stage = Stage::new("");
    let mut sorted = false;
    for line in script {
        let kept = match line {
            Line::Expected(_) => continue,
            Line::Text(kept) | Line::Directive(_, kept) | Line::Title(kept) => kept,
            Line::Request { text, .. } | Line::Wait(_, text) | Line::Expire(text) => text,
        };
        text += kept;
        text.push('\n');
        match line {
            Line::Title(_) => {
                config.clear();
                stage = Stage::new("");
            }
            Line::Directive(Directive::Config(line), _) => {
                config += line;
                config.push('\n');
                stage = Stage::new(&config);
            }
            Line::Directive(Directive::Replica, _) => stage.node.follow(),
            Line::Directive(Directive::Resp3, _) => stage.resp3 = true,
            Line::Directive(Directive::Sorted, _) => sorted = true,
            Line::Request { connection, words, .. } => stage.request(*connection, words),
            Line::Wait(span, _) => stage.node.wait(*span),
            Line::Expire(_) => while stage.node.server.expire_due(100) {},
            Line::Directive(..) | Line::Text(_) | Line::Expected(_) => continue,
        }
        if matches!(line, Line::Request { .. } | Line::Wait(..) | Line::Expire(_)) {
            for line in stage.told(sorted) {
                text += &line;
                text.push('\n');
            }
            sorted = false;
        }
    }
    text
}

/// A node in process and its connections.
struct Stage {
    node: Node,
    slots: BTreeMap<usize, usize>,
    resp3: bool,
}

impl Stage {
    fn new(config: &str) -> Stage {
        Stage { node: Node::new(&format!("enable-debug-command yes\n{config}")), slots: BTreeMap::new(), resp3: false }
    }

    fn request(&mut self, connection: usize, words: &[Vec<u8>]) {
        let slot = *self.slots.entry(connection).or_insert_with(|| {
            let slot = self.node.connect();
            if self.resp3 {
                self.node.server.clients[slot].proto = regent::resp::Proto::Resp3;
            }
            slot
        });
        let mut bytes = Vec::new();
        command(words, &mut bytes);
        self.node.send(slot, &bytes);
    }

    /// What all connections were told, and what was fed.
    fn told(&mut self, sorted: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (&connection, &slot) in &self.slots {
            for frame in self.node.heard(slot) {
                lines.push(expected_line(connection, &frame, sorted));
            }
        }
        for fed in frames(&self.node.fed()) {
            let words: Vec<String> = fed.items().expect("commands").iter().filter_map(Frame::text).map(word).collect();
            lines.push(format!("~ {}", words.join(" ")));
        }
        lines
    }
}

/// A redis-server that tells whether our golden lines are true; killed when dropped.
struct Judge {
    process: Child,
    port: u16,
    connections: BTreeMap<usize, (TcpStream, Vec<u8>)>,
}

impl Judge {
    fn start(dir: &Path) -> Judge {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"])
            .args(["--logfile", "redis.log", "--dir"])
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server must be installed for this test (7.0 or later): {error}"));
        let mut judge = Judge { process, port, connections: BTreeMap::new() };
        // A connection is refused until it listens; each attempt is its own pause.
        for _ in 0..200_000 {
            if TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(5)).is_ok() {
                return judge;
            }
            if let Some(status) = judge.process.try_wait().expect("its status") {
                panic!("redis-server ended with {status}");
            }
            std::thread::yield_now();
        }
        panic!("redis-server did not listen on port {port}");
    }

    fn connection(&mut self, number: usize) -> &mut (TcpStream, Vec<u8>) {
        let port = self.port;
        self.connections.entry(number).or_insert_with(|| {
            let link = TcpStream::connect(("127.0.0.1", port)).expect("connected");
            link.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            link.set_nodelay(true).expect("an option");
            (link, Vec::new())
        })
    }

    fn send<T: AsRef<[u8]>>(&mut self, connection: usize, words: &[T]) {
        let mut bytes = Vec::new();
        command(words, &mut bytes);
        self.connection(connection).0.write_all(&bytes).expect("sent");
    }

    fn hear(&mut self, connection: usize) -> Frame {
        let (link, received) = self.connection(connection);
        loop {
            if let Some((frame, len)) = decode(received).expect("a valid reply") {
                received.drain(..len);
                return frame;
            }
            let mut piece = [0; 65536];
            match link.read(&mut piece) {
                Ok(len) if len > 0 => received.extend_from_slice(&piece[..len]),
                other => return Frame::Error(format!("(nothing came: {other:?})")),
            }
        }
    }

    /// Empty databases, no connections.
    fn clear(&mut self) {
        self.connections.clear();
        self.send(1, &["FLUSHALL"]);
        assert!(self.hear(1).is_ok());
        self.connections.clear();
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What the judge does not agree with.
fn judged(script: &[Line], judge: &mut Judge) -> Vec<String> {
    let mut complaints = Vec::new();
    let (mut skipping, mut resp3) = (false, false);
    let (mut next, mut now) = (Vec::new(), Vec::new()); // directives of the next request, and of the one before
    let mut asked = String::new();
    for line in script {
        match line {
            Line::Title(_) => {
                (skipping, resp3) = (false, false);
                judge.clear();
            }
            Line::Directive(Directive::Config(_) | Directive::Replica, _) | Line::Expire(_) => skipping = true,
            Line::Directive(Directive::Resp3, _) => resp3 = true,
            Line::Directive(directive, _) => next.push(directive.clone()),
            Line::Wait(span, _) if *span > JUDGED_WAIT_MAX => skipping = true,
            Line::Wait(span, _) if !skipping => {
                #[expect(clippy::disallowed_methods, reason = "the judge has no other clock")]
                std::thread::sleep(Duration::from_millis(span.0 as u64 + 2));
            }
            Line::Request { connection, words, text } if !skipping => {
                now = std::mem::take(&mut next);
                if !now.contains(&Directive::Ours) {
                    if resp3 && !judge.connections.contains_key(connection) {
                        judge.send(*connection, &["HELLO", "3"]);
                        judge.hear(*connection);
                    }
                    judge.send(*connection, words);
                    asked.clone_from(text);
                }
            }
            Line::Expected(line) if !skipping && !now.contains(&Directive::Ours) && !line.starts_with('~') => {
                let head = line.trim_start_matches(|c: char| c.is_ascii_digit());
                let connection = line[..line.len() - head.len()].parse().unwrap_or(1);
                let said = expected_line(connection, &judge.hear(connection), now.contains(&Directive::Sorted));
                if said != *line && !now.contains(&Directive::Differs) {
                    complaints.push(format!("  {asked}\n    ours   {line}\n    Redis  {said}"));
                }
            }
            _ => {}
        }
    }
    complaints
}

fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let files = std::fs::read_dir(dir).expect("tests/scripts").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ext| ext == "txt")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn the_node_says_and_feeds_what_the_scripts_say() {
    let mut failures = String::new();
    for path in scripts() {
        let golden = std::fs::read_to_string(&path).expect("the script");
        let played = played(&parse(&path));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &played).expect("written");
        } else if golden != played {
            let (line, (was, is)) =
                golden.lines().zip(played.lines()).enumerate().find(|(_, (a, b))| a != b).unwrap_or((
                    golden.lines().count().min(played.lines().count()),
                    ("(other lines)", "(other lines)"),
                ));
            writeln!(failures, "{}:{}\n  script: {was}\n  node:   {is}", path.display(), line + 1).expect("written");
        }
    }
    assert!(failures.is_empty(), "{failures}(UPDATE=1 rewrites the scripts; review the diff)");
}

#[test]
fn a_real_redis_says_what_the_scripts_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut judge = Judge::start(dir.path());
    let mut failures = String::new();
    for path in scripts() {
        judge.clear();
        for complaint in judged(&parse(&path), &mut judge) {
            writeln!(failures, "{}\n{complaint}", path.display()).expect("written");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// INCRBYFLOAT counts in the 64 bits of precision that Redis has on x86-64: the same digits for all kinds of numbers.
#[test]
fn sums_of_floats_have_the_digits_of_a_real_redis() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut judge = Judge::start(dir.path());
    let mut state = 42u64;
    let mut dice = |sides: u64| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) % sides
    };
    let mut number = || {
        let sign = ["", "-"][dice(2) as usize];
        let digits =
            |count: u64, dice: &mut dyn FnMut(u64) -> u64| (0..count).map(|_| dice(10).to_string()).collect::<String>();
        let whole = digits(1 + dice(12), &mut dice);
        let fraction = digits(1 + dice(20), &mut dice);
        match dice(5) {
            0 => format!("{sign}{whole}"),
            1 | 2 => format!("{sign}{whole}.{fraction}"),
            3 => format!("{sign}0.{fraction}"),
            _ => format!("{sign}{whole}.{fraction}e{}", dice(60) as i64 - 30),
        }
    };
    for case in 0..2000 {
        let (a, b) = (number(), number());
        judge.send(1, &["SET", "k", &a]);
        judge.hear(1);
        judge.send(1, &["INCRBYFLOAT", "k", &b]);
        let said = judge.hear(1);
        let ours = Extended::parse(a.as_bytes()).zip(Extended::parse(b.as_bytes())).map(|(a, b)| (a + b).to_string());
        assert_eq!(Some(Frame::Bulk(ours.expect("numbers").into_bytes())), Some(said), "case {case}: {a} + {b}");
    }
}

#[test]
fn every_command_is_in_a_script() {
    let asked: String =
        scripts().iter().map(|path| std::fs::read_to_string(path).expect("it").to_lowercase()).collect();
    let missing: Vec<String> = regent::command::table::all()
        .filter(|spec| SCRIPTED.contains(&spec.group))
        .map(|spec| spec.name.to_string())
        .filter(|name| !asked.contains(&format!("> {name} ")) && !asked.contains(&format!("> {name}\n")))
        .collect();
    assert!(missing.is_empty(), "no script asks {missing:?}");
}

const SCRIPTED: &[Group] = &[Group::String, Group::Generic, Group::Transactions, Group::PubSub];
