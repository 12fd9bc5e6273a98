//! What the benchmarks share: servers on free ports in directories of their own, their CPU and memory from /proc, and
//! tables that a person can read. Runs alternate between the servers, and medians are compared: machines are noisy.

#![allow(dead_code)] // each benchmark uses a part
#![allow(clippy::disallowed_methods)] // a benchmark measures time

pub mod large;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server under measurement; killed when dropped.
pub struct Server {
    pub name: &'static str,
    pub port: u16,
    pub dir: tempfile::TempDir,
    child: Child,
    args: Vec<String>,
}

/// Which program serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Regent,
    Redis,
}

impl Make {
    pub fn name(self) -> &'static str {
        match self {
            Make::Regent => "regent",
            Make::Redis => "redis",
        }
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Server {
    /// Starts it with these arguments (`--appendonly yes` ...) and waits until it answers PING.
    pub fn start(make: Make, args: &[&str]) -> Server {
        let dir = tempfile::Builder::new().prefix("regent-bench").tempdir().expect("a directory");
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        let port = free_port();
        let child = spawn(make, port, &dir, &args);
        let server = Server { name: make.name(), port, dir, child, args };
        server.wait_ready(Duration::from_secs(120));
        server
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The same program on the same directory and port again; returns at once.
    pub fn restart(&mut self, make: Make) {
        self.child = spawn(make, self.port, &self.dir, &self.args);
    }

    /// Until it answers PING with PONG; how long that took.
    pub fn wait_ready(&self, limit: Duration) -> Duration {
        let began = Instant::now();
        while began.elapsed() < limit {
            if ask(self.port, &["PING"]).is_some_and(|reply| reply.starts_with("+PONG")) {
                return began.elapsed();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{} on port {} does not answer", self.name, self.port);
    }

    /// User and system time of all its threads, in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("/proc");
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        ticks as f64 / 100.0
    }

    /// Resident memory, bytes.
    pub fn rss(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc");
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Bytes given to the block layer so far.
    pub fn written(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.pid())).expect("/proc");
        let line = text.lines().find(|line| line.starts_with("write_bytes:")).expect("write_bytes");
        line.split_whitespace().nth(1).and_then(|bytes| bytes.parse().ok()).expect("a number")
    }

    /// A field of INFO.
    pub fn info(&self, field: &str) -> String {
        let text = ask(self.port, &["INFO", "everything"]).unwrap_or_default();
        let prefix = format!("{field}:");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().trim().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(make: Make, port: u16, dir: &tempfile::TempDir, args: &[String]) -> Child {
    let mut command = match make {
        Make::Redis => Command::new("redis-server"),
        Make::Regent => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_regent"));
            command.arg("node");
            command
        }
    };
    let log = File::options().create(true).append(true).open(dir.path().join("log")).expect("a log file");
    command
        .args(["--port", &port.to_string(), "--dir", &dir.path().display().to_string()])
        .args(args)
        .stdout(log)
        .stderr(Stdio::null());
    let name = make.name();
    command.spawn().unwrap_or_else(|error| panic!("{name} can't be started (apt-get install redis-server?): {error}"))
}

/// One request on a connection of its own; the raw reply.
pub fn ask(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut request = String::new();
    self::words(&mut request, words);
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => reply.extend_from_slice(&buffer[..count]),
        }
        if whole(&reply) {
            return Some(String::from_utf8_lossy(&reply).into_owned());
        }
    }
}

fn whole(reply: &[u8]) -> bool {
    regent::resp::decode(reply).map_or(true, |frame| frame.is_some())
}

/// Runs redis-benchmark with these arguments; requests per second.
pub fn benchmark(port: u16, args: &[&str]) -> f64 {
    let output = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "--csv"])
        .args(args)
        .output()
        .expect("redis-benchmark (apt-get install redis-tools)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = text.lines().last().expect("a row");
    row.split("\",\"").nth(1).and_then(|cell| cell.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// Fills keys `key:000000000000` and on with values of `value_bytes`, `from..to`, in large pipelines.
pub fn fill(port: u16, from: u64, to: u64, value_bytes: usize) {
    let value = "x".repeat(value_bytes);
    feed(port, from, to, |at, request| words(request, &["SET", &format!("key:{at:012}"), &value]));
}

/// Sends what `write` makes of each number in `from..to`, in pipelines of up to 10,000 numbers; their replies are thrown away.
pub fn feed(port: u16, from: u64, to: u64, write: impl Fn(u64, &mut String)) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let mut reader = stream.try_clone().expect("a clone");
    let mut buffer = vec![0; 1 << 16];
    let mut at = from;
    while at < to {
        let end = to.min(at + 10_000);
        let mut request = String::new();
        (at..end).for_each(|number| write(number, &mut request));
        words(&mut request, &["PING"]);
        std::thread::scope(|scope| {
            scope.spawn(|| stream.write_all(request.as_bytes()).expect("the server reads"));
            let mut last = Vec::new();
            while !last.ends_with(b"+PONG\r\n") {
                let count = reader.read(&mut buffer).expect("the server answers");
                assert!(count > 0, "the server has closed");
                last.extend_from_slice(&buffer[..count]);
                last.drain(..last.len().saturating_sub(16));
            }
        });
        at = end;
    }
}

/// Appends one request.
pub fn words(request: &mut String, words: &[&str]) {
    use std::fmt::Write;
    write!(request, "*{}\r\n", words.len()).expect("a string takes it");
    words.iter().for_each(|word| write!(request, "${}\r\n{word}\r\n", word.len()).expect("a string takes it"));
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A number from the environment, for longer or shorter runs.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
