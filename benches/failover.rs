//! How long no write is accepted after `kill -9` of the master, minus `down-after-milliseconds`, beside redis-server and
//! redis-sentinel: three nodes (`min-replicas-to-write 1`), three sentinels; and how long until the old master is back
//! in step after its restart.
//!
//! `cargo bench --bench failover`; REPS (20) and DOWN_AFTER (1000) set its length; REDIS=0 leaves
//! the peer out.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Make, Server, ask, free_port, median, setting};

struct Sentinel(Child, u16);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let (reps, down_after) = (setting("REPS", 20), setting("DOWN_AFTER", 1000));
    println!(
        "{:<8} {:>12} {:>12} {:>12} {:>14} {:>12}",
        "", "median s", "max s", "back median", "back max s", "in full"
    );
    let redis = (setting("REDIS", 1) == 1).then_some(Make::Redis);
    for make in redis.into_iter().chain([Make::Regent]) {
        let (mut gaps, mut backs, mut full) = (Vec::new(), Vec::new(), 0);
        for _ in 0..reps {
            let (gap, back, copies) = once(make, down_after);
            gaps.push(gap - down_after as f64 / 1000.0);
            backs.push(back);
            full += copies;
        }
        let max = |values: &[f64]| values.iter().copied().fold(f64::MIN, f64::max);
        let (gap_max, back_max) = (max(&gaps), max(&backs));
        println!(
            "{:<8} {:>12.3} {gap_max:>12.3} {:>12.3} {back_max:>14.3} {full:>9}/{reps}",
            make.name(),
            median(&mut gaps),
            median(&mut backs)
        );
    }
}

fn once(make: Make, down_after: u64) -> (f64, f64, u64) {
    let base = ["--appendonly", "yes", "--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0"];
    let mut master = Server::start(make, &base);
    let follow = format!("127.0.0.1 {}", master.port);
    let args: Vec<&str> = base.iter().copied().chain(["--replicaof", &follow]).collect();
    let replicas = [Server::start(make, &args), Server::start(make, &args)];
    wait("replicas", || master.info("connected_slaves") == "2" && set(master.port));
    let sentinels: Vec<Sentinel> = (0..3).map(|_| sentinel(make, &master, down_after)).collect();
    wait("sentinels", || {
        sentinels.iter().all(|sentinel| {
            ask(sentinel.1, &["SENTINEL", "CKQUORUM", "m"]).is_some_and(|reply| reply.contains("3 usable"))
                && ask(sentinel.1, &["SENTINEL", "REPLICAS", "m"])
                    .is_some_and(|reply| reply.matches("runid").count() == 2)
                && (make == Make::Redis
                    || ask(sentinel.1, &["INFO", "sentinel"]).is_some_and(|info| info.contains("regent_voters:3")))
        })
    });
    assert!(set(master.port));
    let killed = Instant::now();
    master.kill();
    wait("a new master", || replicas.iter().any(|replica| set(replica.port)));
    let gap = killed.elapsed().as_secs_f64();
    let new = replicas.iter().find(|replica| replica.info("role") == "master").expect("the new master");
    let before: u64 = new.info("sync_full").parse().unwrap_or(0);
    master.restart(make);
    let began = Instant::now();
    wait("the old master in step", || master.info("role") == "slave" && master.info("master_link_status") == "up");
    let back = began.elapsed().as_secs_f64();
    (gap, back, new.info("sync_full").parse::<u64>().unwrap_or(0) - before)
}

fn set(port: u16) -> bool {
    ask(port, &["SET", "probe", "x"]).is_some_and(|reply| reply.starts_with("+OK"))
}

fn sentinel(make: Make, master: &Server, down_after: u64) -> Sentinel {
    let port = free_port();
    let dir = master.dir.path().join(format!("sentinel-{port}"));
    fs::create_dir(&dir).expect("a directory");
    let conf = dir.join("sentinel.conf");
    let text = format!(
        "port {port}\ndir {}\nsentinel monitor m 127.0.0.1 {} 2\nsentinel down-after-milliseconds m {down_after}\n\
         sentinel failover-timeout m 60000\n",
        dir.display(),
        master.port
    );
    fs::write(&conf, text).expect("a config file");
    let mut command = match make {
        Make::Redis => Command::new("redis-sentinel"),
        Make::Regent => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_regent"));
            command.arg("sentinel");
            command
        }
    };
    let child = command.arg(&conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a sentinel");
    Sentinel(child, port)
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < limit, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}
