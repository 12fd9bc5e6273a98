//! A real redis-server beside the tests: it says whether our golden lines are true.
#![allow(dead_code, reason = "each test uses its share")]

use regent::resp::{Frame, command, decode};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A redis-server that tells whether our golden lines are true; killed when dropped.
pub struct Judge {
    process: Child,
    port: u16,
    connections: BTreeMap<usize, Link>,
}

/// A connection, and what came on it that nobody has read.
struct Link {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Link {
    fn to(port: u16) -> Link {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Link { stream, received: Vec::new() }
    }

    fn send<T: AsRef<[u8]>>(&mut self, words: &[T]) {
        let mut bytes = Vec::new();
        command(words, &mut bytes);
        self.stream.write_all(&bytes).expect("sent");
    }

    /// More bytes; false if the other end has gone or says nothing.
    fn read(&mut self) -> bool {
        let mut piece = [0; 65536];
        let len = self.stream.read(&mut piece).unwrap_or(0);
        self.received.extend_from_slice(&piece[..len]);
        len > 0
    }

    fn hear(&mut self) -> Frame {
        loop {
            if let Some((frame, len)) = decode(&self.received).expect("a valid reply") {
                self.received.drain(..len);
                return frame;
            }
            if !self.read() {
                return Frame::Error("(nothing came)".to_string());
            }
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.received.drain(..end + 2).collect::<Vec<_>>();
                return String::from_utf8_lossy(&line).trim().to_string();
            }
            assert!(self.read(), "no line came");
        }
    }
}

/// A replica of the judge that only listens: what it is fed is what our `~` lines claim.
pub struct Follower {
    link: Link,
    control: Link,
}

impl Follower {
    /// Asks for the stream, and reads the copy away.
    pub fn of(judge: &Judge) -> Follower {
        let (mut link, control) = (Link::to(judge.port), Link::to(judge.port));
        link.send(&["PSYNC", "?", "-1"]);
        let line = link.line();
        assert!(line.contains("FULLRESYNC"), "{line}");
        let copy = link.line();
        let bytes: usize = copy.trim_start_matches('$').parse().expect("the length of a copy");
        while link.received.len() < bytes {
            assert!(link.read(), "the copy broke off");
        }
        link.received.drain(..bytes);
        Follower { link, control }
    }

    /// The commands that came since the last time, PINGs left out; none if a script has ended the link.
    pub fn fed(&mut self) -> Option<Vec<Vec<Vec<u8>>>> {
        const END: &str = "behind-what-was-asked";
        self.control.send(&["DEBUG", "REPLICATE", END]);
        assert!(self.control.hear().is_ok(), "DEBUG REPLICATE");
        let mut commands = Vec::new();
        loop {
            let frame = self.link.hear();
            let words: Vec<Vec<u8>> =
                frame.items().unwrap_or_default().iter().filter_map(Frame::text).map(<[u8]>::to_vec).collect();
            match words.first().map(Vec::as_slice) {
                Some(word) if word == END.as_bytes() => return Some(commands),
                Some(b"PING" | b"ping") => {}
                Some(_) => commands.push(words),
                None => return None,
            }
        }
    }
}

impl Judge {
    /// Starts it in this directory. The port was free a moment ago; should another process have taken it since, the
    /// next one is tried.
    pub fn start(dir: &Path) -> Judge {
        (0..10).find_map(|_| Judge::start_on_some_port(dir)).expect("a port that stays free")
    }

    fn start_on_some_port(dir: &Path) -> Option<Judge> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"])
            .args(["--repl-diskless-sync", "no", "--repl-ping-replica-period", "3600"])
            .args(["--logfile", "redis.log", "--dir"])
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server must be installed for this test (7.0 or later): {error}"));
        let mut judge = Judge { process, port, connections: BTreeMap::new() };
        // A connection is refused until it listens; each attempt is its own pause.
        for _ in 0..200_000 {
            if judge.process.try_wait().expect("its status").is_some() {
                return None;
            }
            if TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(5)).is_ok() {
                // Is it ours that answers?
                judge.send(1, &["CONFIG", "GET", "dir"]);
                let said = judge.hear(1);
                let named = said.items().and_then(|items| items.get(1)).and_then(Frame::text).map(<[u8]>::to_vec);
                let ours = dir.canonicalize().expect("its directory");
                return (named.as_deref() == Some(ours.as_os_str().as_encoded_bytes())).then_some(judge);
            }
            std::thread::yield_now();
        }
        panic!("redis-server did not listen on port {port}");
    }

    pub fn is_connected(&self, number: usize) -> bool {
        self.connections.contains_key(&number)
    }

    fn connection(&mut self, number: usize) -> &mut Link {
        let port = self.port;
        self.connections.entry(number).or_insert_with(|| Link::to(port))
    }

    pub fn send<T: AsRef<[u8]>>(&mut self, connection: usize, words: &[T]) {
        self.connection(connection).send(words);
    }

    /// Waits until it has read what was sent on this connection, for a request that is not answered: being of one thread,
    /// it has dealt with it before anything that another connection is sent later.
    pub fn has_read(&mut self, connection: usize) {
        let port = self.port;
        let own = self.connection(connection).stream.local_addr().expect("an address").port();
        for _ in 0..100_000 {
            if unread(port, own) == 0 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("connection {connection} is not read");
    }

    pub fn hear(&mut self, connection: usize) -> Frame {
        self.connection(connection).hear()
    }

    /// Empty databases, no connections, no users but the default one, and nothing expires but what is asked for.
    pub fn clear(&mut self) {
        self.connections.clear();
        self.send(1, &["ACL", "USERS"]);
        let users = self.hear(1);
        let names = users.items().unwrap_or_default().iter().filter_map(Frame::text).map(String::from_utf8_lossy);
        for name in names.filter(|name| name != "default") {
            self.send(1, &["ACL", "DELUSER", &name]);
            assert_eq!(self.hear(1), Frame::Int(1));
        }
        for request in [&["FLUSHALL"][..], &["DEBUG", "SET-ACTIVE-EXPIRE", "0"], &["ACL", "LOG", "RESET"]] {
            self.send(1, request);
            assert!(self.hear(1).is_ok());
        }
        self.connections.clear();
    }
}

/// Bytes that a server's end of a connection of this machine has yet to read.
fn unread(port: u16, peer: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    let (port, peer) = (format!(":{port:04X}"), format!(":{peer:04X}"));
    let queued = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.len() > 4 && fields[1].ends_with(&port) && fields[2].ends_with(&peer)).then(|| {
            let (_, unread) = fields[4].split_once(':').expect("two queues");
            u64::from_str_radix(unread, 16).expect("a number")
        })
    });
    queued.unwrap_or(0)
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
