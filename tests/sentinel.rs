//! Whole sentinels, as processes, over real `redis-server` nodes: founding, failover, restarts, MONITOR.
//!
//! Every wait is for a condition, with a deadline. All along, one thread for each sentinel asks it for the master's
//! address: what a sentinel has said once it may never take back.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends one command; the reply as text, or `None` where nobody answers.
fn ask(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(4))).ok()?;
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(bytes.as_bytes()).ok()?;
    let (mut reply, mut buffer) = (Vec::new(), [0; 16384]);
    loop {
        if let Ok(Some((frame, _))) = regent::resp::decode(&reply) {
            return Some(text_of(&frame));
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
#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition, within a deadline")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A process that dies with the test.
struct Process(Child);

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

fn spawn(command: &mut Command, log: &Path) -> Process {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    Process(child.unwrap_or_else(|why| {
        panic!("{:?} does not start ({why}); Debian's package redis-server has it", command.get_program())
    }))
}

/// Three nodes and three sentinels in a directory of their own.
struct World {
    dir: tempfile::TempDir,
    nodes: Vec<(u16, Option<Process>)>,
    sentinels: Vec<(u16, Option<Process>)>,
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<()>>,
    /// What each sentinel said, in its order, repeats left out.
    said: Vec<Arc<Mutex<Vec<u16>>>>,
}

impl World {
    fn new(down_after: u32) -> World {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World {
            dir,
            nodes: (0..3).map(|_| (free_port(), None)).collect(),
            sentinels: (0..3).map(|_| (free_port(), None)).collect(),
            stop: Arc::default(),
            watchers: vec![],
            said: vec![],
        };
        let master = world.nodes[0].0;
        for n in 0..3 {
            let port = world.nodes[n].0;
            let mut text = format!(
                "port {port}\nappendonly yes\nsave \"\"\nmin-replicas-to-write 1\nmin-replicas-max-lag 10\n\
                 repl-diskless-sync-delay 0\n"
            );
            if n > 0 {
                text += &format!("replicaof 127.0.0.1 {master}\n");
            }
            world.write("node", n, "redis.conf", &text);
            let port = world.sentinels[n].0;
            let text = format!(
                "# the operator's own words\nport {port}\nsentinel monitor myMaster 127.0.0.1 {master} 2\n\
                 sentinel down-after-milliseconds myMaster {down_after}\nsentinel failover-timeout myMaster 60000\n"
            );
            world.write("sentinel", n, "sentinel.conf", &text);
            world.start_node(n);
            world.start_sentinel(n);
        }
        for n in 0..3 {
            let (port, stop) = (world.sentinels[n].0, world.stop.clone());
            let said = Arc::new(Mutex::new(Vec::new()));
            world.said.push(said.clone());
            world.watchers.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(port) = lookup(port)
                        && said.lock().unwrap().last() != Some(&port)
                    {
                        said.lock().unwrap().push(port);
                    }
                }
            }));
        }
        world
    }

    fn write(&self, kind: &str, n: usize, name: &str, text: &str) {
        let dir = self.dir.path().join(format!("{kind}{n}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    fn start_node(&mut self, n: usize) {
        let dir = self.dir.path().join(format!("node{n}"));
        let process = spawn(Command::new("redis-server").arg("redis.conf").current_dir(&dir), &dir.join("log"));
        self.nodes[n].1 = Some(process);
    }

    fn start_sentinel(&mut self, n: usize) {
        let dir = self.dir.path().join(format!("sentinel{n}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_regent"));
        let process = spawn(command.args(["sentinel", "sentinel.conf"]).current_dir(&dir), &dir.join("log"));
        self.sentinels[n].1 = Some(process);
    }

    fn kill_node(&mut self, n: usize) {
        self.nodes[n].1.take().into_iter().for_each(Process::kill);
    }

    fn kill_sentinel(&mut self, n: usize) {
        self.sentinels[n].1.take().into_iter().for_each(Process::kill);
    }

    fn node_of(&self, port: u16) -> usize {
        self.nodes.iter().position(|(known, _)| *known == port).unwrap()
    }

    fn info(&self, sentinel: usize) -> String {
        ask(self.sentinels[sentinel].0, &["info", "sentinel"]).unwrap_or_default()
    }

    /// Waits until the group is there and everybody knows everybody.
    fn settle(&self) {
        until("the group is founded, all nodes and sentinels are known", || {
            (0..3).all(|n| {
                let info = self.info(n);
                info.contains("slaves=2,sentinels=3")
                    && info.contains("regent_voters:3")
                    && !info.contains("role:without")
            })
        });
        until("a failover would find candidates", || self.replicas_are_linked(self.master()));
    }

    fn replicas_are_linked(&self, master: u16) -> bool {
        self.nodes.iter().filter(|(port, process)| *port != master && process.is_some()).all(|(port, _)| {
            let info = ask(*port, &["info", "replication"]).unwrap_or_default();
            info.contains("master_link_status:up") && info.contains(&format!("master_port:{master}\r\n"))
        })
    }

    /// The master that all running sentinels name.
    fn master(&self) -> u16 {
        let mut master = 0;
        until("all sentinels name one master", || {
            let running = self.sentinels.iter().filter(|(_, process)| process.is_some());
            let named: BTreeSet<_> = running.map(|(port, _)| lookup(*port)).collect();
            master = named.iter().next().copied().flatten().unwrap_or(0);
            named.len() == 1 && master != 0
        });
        master
    }

    fn group(&self, sentinel: usize) -> String {
        let info = self.info(sentinel);
        info.lines().find(|line| line.starts_with("regent_group:")).unwrap_or_default().to_owned()
    }

    /// Ends the watchers. What each sentinel said must be `wanted`, each once, in this order.
    fn said(&mut self, wanted: &[u16]) {
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
            for n in 0..3 {
                let log = self.dir.path().join(format!("sentinel{n}/log"));
                eprintln!("---- sentinel {n}\n{}", fs::read_to_string(log).unwrap_or_default());
            }
        }
    }
}

fn lookup(sentinel: u16) -> Option<u16> {
    let reply = ask(sentinel, &["sentinel", "get-master-addr-by-name", "myMaster"])?;
    reply.strip_prefix("127.0.0.1 ")?.parse().ok()
}

#[test]
fn a_killed_master_is_replaced_and_comes_back_as_a_replica() {
    let mut world = World::new(1000);
    world.settle();
    let first = world.master();
    let path = world.dir.path().join("sentinel0/sentinel.conf");
    let wanted = ["sentinel myid ", "sentinel known-replica myMaster ", "sentinel known-sentinel myMaster "];
    until("sentinel.conf tells what the sentinel has learnt", || {
        let conf = fs::read_to_string(&path).unwrap_or_default();
        wanted.iter().all(|line| conf.contains(line))
    });
    let conf = fs::read_to_string(&path).unwrap();
    assert!(conf.starts_with("# the operator's own words\nport "), "{conf}");

    world.kill_node(world.node_of(first));
    until("another master takes writes", || {
        let others = world.nodes.iter().filter(|(port, _)| *port != first);
        others.map(|(port, _)| ask(*port, &["set", "k", "v"])).any(|reply| reply.as_deref() == Some("OK"))
    });
    let second = world.master();
    assert_ne!(second, first);
    world.start_node(world.node_of(first));
    until("the old master follows the new one", || world.replicas_are_linked(second));
    world.said(&[first, second]);
}

#[test]
fn a_sentinel_and_then_everything_is_restarted() {
    let mut world = World::new(1000);
    world.settle();
    let (master, group) = (world.master(), world.group(0));
    let myid = ask(world.sentinels[0].0, &["sentinel", "myid"]);
    world.kill_sentinel(0);
    until("the others elect a leader", || (1..3).any(|n| world.info(n).contains("group_role:leader")));
    world.start_sentinel(0);
    until("it is back in its group", || world.group(0) == group && lookup(world.sentinels[0].0) == Some(master));
    assert_eq!(ask(world.sentinels[0].0, &["sentinel", "myid"]), myid);

    for n in 0..3 {
        world.kill_sentinel(n);
        world.kill_node(n);
    }
    for n in 0..3 {
        world.start_node(n);
        world.start_sentinel(n);
    }
    assert_eq!(world.master(), master);
    world.settle();
    assert!((0..3).all(|n| world.group(n) == group), "one group, the same");
    let info = ask(world.sentinels[0].0, &["sentinel", "master", "myMaster"]).unwrap();
    assert!(info.contains("config-epoch 0 "), "no failover took place: {info}");
    world.said(&[master]);
}

#[test]
fn monitor_is_one_for_the_group_and_failover_is_by_hand() {
    let mut world = World::new(5000);
    world.settle();
    let first = world.master();
    let (one, two) = (world.sentinels[0].0, world.sentinels[1].0);
    let (agreed, other) = (first.to_string(), free_port().to_string());
    let monitor = |port: &str| ask(one, &["sentinel", "monitor", "myMaster", "127.0.0.1", port, "2"]).unwrap();
    assert_eq!(monitor(&agreed), "-ERR Duplicate master name.");
    assert_eq!(ask(one, &["sentinel", "remove", "myMaster"]).as_deref(), Some("OK"));
    assert_eq!(ask(one, &["sentinel", "get-master-addr-by-name", "myMaster"]).as_deref(), Some("(nil)"));
    assert_eq!(lookup(two), Some(first), "others go on watching");
    let refused = monitor(&other);
    assert!(refused.starts_with("-ERR ") && refused.contains(&format!("127.0.0.1 {first}")), "{refused}");
    assert_eq!(monitor(&agreed), "OK");
    world.settle();

    assert_eq!(ask(one, &["sentinel", "failover", "nobody"]).as_deref(), Some("-ERR No such master with that name"));
    until("the replicas are promotable", || ask(one, &["sentinel", "failover", "myMaster"]).as_deref() == Some("OK"));
    let again = ask(one, &["sentinel", "failover", "myMaster"]).unwrap();
    assert_eq!(again, "-INPROG Failover already in progress");
    until("every sentinel names the new master", || lookup(two).is_some_and(|port| port != first));
    let second = world.master();
    until("all follow it", || world.replicas_are_linked(second));
    world.said(&[first, second]);
}

#[test]
fn a_sentinel_without_the_group_says_so() {
    let mut world = World::new(5000);
    world.settle();
    let (master, alone) = (world.master(), world.sentinels[0].0);
    world.kill_sentinel(1);
    world.kill_sentinel(2);
    until("a lookup is not confirmed", || {
        let reply = ask(alone, &["sentinel", "get-master-addr-by-name", "myMaster"]);
        reply.is_some_and(|reply| reply.starts_with("-NOQUORUM "))
    });
    let info = ask(alone, &["sentinel", "master", "myMaster"]).unwrap();
    assert!(info.contains(&format!("port {master} ")) && info.contains("flags s_down,master"), "{info}");
    until("the others are seen to be away", || {
        let reply = ask(alone, &["sentinel", "ckquorum", "myMaster"]).unwrap_or_default();
        reply.starts_with("-NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum")
    });
    world.start_sentinel(1);
    until("two of three are enough", || lookup(alone) == Some(master));
    world.said(&[master]);
}
