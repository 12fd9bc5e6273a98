//! Three nodes and some sentinels in a directory of their own, and the watchers of their lookups.

use crate::support::{SOON, free_port, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The password that each port wants.
static PASSES: Mutex<BTreeMap<u16, String>> = Mutex::new(BTreeMap::new());

/// Sends one command; the reply as text, or `None` where nobody answers.
pub fn ask(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(4))).ok()?;
    let pass = PASSES.lock().unwrap().get(&port).cloned();
    let mut bytes = Vec::new();
    let mut before = 0;
    if let Some(pass) = &pass {
        regent::resp::command(&["auth", pass], &mut bytes);
        before = 1;
    }
    regent::resp::command(words, &mut bytes);
    stream.write_all(&bytes).ok()?;
    let (mut reply, mut buffer) = (Vec::new(), [0; 16384]);
    loop {
        while let Ok(Some((frame, length))) = regent::resp::decode(&reply) {
            if before == 0 {
                return Some(text_of(&frame));
            }
            before -= 1;
            reply.drain(..length);
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => reply.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

fn text_of(frame: &regent::resp::Frame) -> String {
    use regent::resp::Frame;
    match frame {
        Frame::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        Frame::Error(text) => format!("-{text}"),
        Frame::Null => "(nil)".to_owned(),
        Frame::Int(number) => number.to_string(),
        other => String::from_utf8_lossy(other.text().unwrap_or_default()).into_owned(),
    }
}

/// Waits for a condition.
#[track_caller]
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    wait_until(what, SOON, holds);
}

/// The span that a test is about, as it is: nothing can be waited for instead.
#[expect(clippy::disallowed_methods, reason = "a pause of a process is a span of real time")]
pub fn let_pass(span: Duration) {
    std::thread::sleep(span);
}

/// How long this takes.
#[expect(clippy::disallowed_methods, reason = "a span that the test is about")]
pub fn timed(what: impl FnOnce()) -> Duration {
    let began = Instant::now();
    what();
    began.elapsed()
}

/// A process that dies with the test.
pub struct Process(Child);

impl Process {
    fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn spawn(command: &mut Command, log: &Path) -> Process {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    Process(child.unwrap_or_else(|why| {
        panic!("{:?} does not start ({why}); Debian's package redis-server has it", command.get_program())
    }))
}

/// Three nodes and some sentinels in a directory of their own.
pub struct World {
    pub dir: tempfile::TempDir,
    pub nodes: Vec<(u16, Option<Process>)>,
    pub sentinels: Vec<(u16, Option<Process>)>,
    host: &'static str,
    /// More lines for every sentinel.conf.
    more: String,
    down_after: u32,
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<()>>,
    /// What each sentinel said, in its order, repeats left out.
    said: Vec<Arc<Mutex<Vec<u16>>>>,
}

impl World {
    pub fn new(down_after: u32) -> World {
        World::with(down_after, "", "")
    }

    /// `node_more` and `more`: further lines for every redis.conf, and for every sentinel.conf.
    pub fn with(down_after: u32, node_more: &str, more: &str) -> World {
        World::at("127.0.0.1", down_after, node_more, more)
    }

    /// The same with this host wherever a file names a node.
    pub fn at(host: &'static str, down_after: u32, node_more: &str, more: &str) -> World {
        let mut world = World {
            dir: tempfile::tempdir().unwrap(),
            nodes: (0..3).map(|_| (free_port(), None)).collect(),
            sentinels: vec![],
            host,
            more: more.to_owned(),
            down_after,
            stop: Arc::default(),
            watchers: vec![],
            said: vec![],
        };
        let master = world.nodes[0].0;
        for n in 0..3 {
            let port = world.nodes[n].0;
            let mut text = format!(
                "port {port}\nappendonly yes\nsave \"\"\nmin-replicas-to-write 1\nmin-replicas-max-lag 10\n\
                 repl-diskless-sync-delay 0\n{node_more}"
            );
            if n > 0 {
                text += &format!("replicaof {host} {master}\n");
            }
            world.write("node", n, "redis.conf", &text);
            world.start_node(n);
        }
        for _ in 0..3 {
            world.add_sentinel(master);
        }
        world
    }

    /// One more sentinel whose file names this master; its place.
    pub fn add_sentinel(&mut self, master: u16) -> usize {
        let (n, port) = (self.sentinels.len(), free_port());
        let (host, more, down_after) = (self.host, &self.more, self.down_after);
        let text = format!(
            "# the operator's own words\nport {port}\nsentinel monitor myMaster {host} {master} 2\n\
             sentinel down-after-milliseconds myMaster {down_after}\nsentinel failover-timeout myMaster 60000\n{more}"
        );
        self.write("sentinel", n, "sentinel.conf", &text);
        self.sentinels.push((port, None));
        self.start_sentinel(n);
        n
    }

    /// From now on everything that this sentinel says is kept.
    pub fn watch(&mut self, n: usize) {
        let (port, stop) = (self.sentinels[n].0, self.stop.clone());
        let said = Arc::new(Mutex::new(Vec::new()));
        self.said.push(said.clone());
        self.watchers.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(port) = lookup(port)
                    && said.lock().unwrap().last() != Some(&port)
                {
                    said.lock().unwrap().push(port);
                }
            }
        }));
    }

    pub fn watched(mut self) -> World {
        (0..self.sentinels.len()).for_each(|n| self.watch(n));
        self
    }

    pub fn path(&self, sentinel: usize, name: &str) -> PathBuf {
        self.dir.path().join(format!("sentinel{sentinel}/{name}"))
    }

    /// What this sentinel has logged so far.
    pub fn log(&self, sentinel: usize) -> String {
        fs::read_to_string(self.path(sentinel, "log")).unwrap_or_default()
    }

    /// From now on sentinels are asked with this password, and nodes with that.
    pub fn use_pass(&self, sentinel: &str, node: &str) {
        let mut passes = PASSES.lock().unwrap();
        passes.extend(self.sentinels.iter().map(|(port, _)| (*port, sentinel.to_owned())));
        passes.extend(self.nodes.iter().map(|(port, _)| (*port, node.to_owned())));
    }

    /// The process of a sentinel that runs.
    pub fn pid(&self, sentinel: usize) -> i32 {
        self.sentinels[sentinel].1.as_ref().map_or(0, |process| process.0.id() as i32)
    }

    /// How many vote in the group, as this sentinel sees it.
    pub fn voters(&self, sentinel: usize) -> usize {
        let info = self.info(sentinel);
        let line = info.lines().find_map(|line| line.strip_prefix("regent_voters:"));
        line.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    pub fn write(&self, kind: &str, n: usize, name: &str, text: &str) {
        let dir = self.dir.path().join(format!("{kind}{n}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    pub fn start_node(&mut self, n: usize) {
        let dir = self.dir.path().join(format!("node{n}"));
        let process = spawn(Command::new("redis-server").arg("redis.conf").current_dir(&dir), &dir.join("log"));
        self.nodes[n].1 = Some(process);
    }

    pub fn start_sentinel(&mut self, n: usize) {
        let dir = self.dir.path().join(format!("sentinel{n}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_regent"));
        let process = spawn(command.args(["sentinel", "sentinel.conf"]).current_dir(&dir), &dir.join("log"));
        self.sentinels[n].1 = Some(process);
    }

    pub fn kill_node(&mut self, n: usize) {
        self.nodes[n].1.take().into_iter().for_each(Process::kill);
    }

    pub fn kill_sentinel(&mut self, n: usize) {
        self.sentinels[n].1.take().into_iter().for_each(Process::kill);
    }

    pub fn node_of(&self, port: u16) -> usize {
        self.nodes.iter().position(|(known, _)| *known == port).unwrap()
    }

    pub fn info(&self, sentinel: usize) -> String {
        ask(self.sentinels[sentinel].0, &["info", "sentinel"]).unwrap_or_default()
    }

    /// Waits until the group is there and everybody knows everybody.
    pub fn settle(&self) {
        until("the group is founded, all nodes and sentinels are known", || {
            let all = self.sentinels.len();
            (0..all).all(|n| {
                let info = self.info(n);
                info.contains(&format!("slaves=2,sentinels={all}\r\n"))
                    && info.contains(&format!("regent_voters:{all}\r\n"))
                    && !info.contains("role:without")
            })
        });
        until("a failover would find candidates", || self.replicas_are_linked(self.master()));
    }

    pub fn replicas_are_linked(&self, master: u16) -> bool {
        self.nodes.iter().filter(|(port, process)| *port != master && process.is_some()).all(|(port, _)| {
            let info = ask(*port, &["info", "replication"]).unwrap_or_default();
            info.contains("master_link_status:up") && info.contains(&format!("master_port:{master}\r\n"))
        })
    }

    /// The master that all running sentinels name.
    pub fn master(&self) -> u16 {
        let mut master = 0;
        until("all sentinels name one master", || {
            let running = self.sentinels.iter().filter(|(_, process)| process.is_some());
            let named: BTreeSet<_> = running.map(|(port, _)| lookup(*port)).collect();
            master = named.iter().next().copied().flatten().unwrap_or(0);
            named.len() == 1 && master != 0
        });
        master
    }

    pub fn group(&self, sentinel: usize) -> String {
        let info = self.info(sentinel);
        info.lines().find(|line| line.starts_with("regent_group:")).unwrap_or_default().to_owned()
    }

    /// Ends the watchers. What each sentinel said must be `wanted`, each once, in this order.
    pub fn said(&mut self, wanted: &[u16]) {
        self.stop.store(true, Ordering::Relaxed);
        self.watchers.drain(..).for_each(|watcher| watcher.join().unwrap());
        for (n, said) in self.said.iter().enumerate() {
            assert_eq!(*said.lock().unwrap(), wanted, "sentinel {n} went backward");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if std::thread::panicking() {
            for n in 0..self.sentinels.len() {
                eprintln!("---- sentinel {n}\n{}", self.log(n));
            }
        }
    }
}

pub fn lookup(sentinel: u16) -> Option<u16> {
    let reply = ask(sentinel, &["sentinel", "get-master-addr-by-name", "myMaster"])?;
    reply.strip_prefix("127.0.0.1 ")?.parse().ok()
}
