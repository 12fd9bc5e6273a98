//! How long a replica is away after a `kill -9`, and what is sent to bring it back, beside redis-server: 300 MB of data,
//! `appendonly yes`. First the replica is killed and started again, then the master.
//!
//! `cargo bench --bench resync`; KEYS (2500000, of 16 B + 100 B) sets the size.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use std::time::{Duration, Instant};
use support::{Make, Server, fill, setting};

fn main() {
    let keys = setting("KEYS", 2_500_000);
    println!("{:<8} {:<9} {:>10} {:>8} {:>8} {:>14}", "", "killed", "back s", "full", "partial", "bytes sent");
    for make in [Make::Redis, Make::Regent] {
        let base = ["--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0"];
        let mut master = Server::start(make, &base);
        fill(master.port, 0, keys, 100);
        let port = master.port.to_string();
        let args: Vec<&str> =
            base.iter().copied().chain(["--replicaof", &format!("127.0.0.1 {port}")].map(leak)).collect();
        let mut replica = Server::start(make, &args);
        in_step(&replica);
        let before = counters(&master);
        replica.kill();
        replica.restart(make);
        let began = Instant::now();
        in_step(&replica);
        row(make, "replica", began, before, counters(&master));
        master.kill();
        master.restart(make);
        let began = Instant::now();
        master.wait_ready(Duration::from_secs(300));
        in_step(&replica);
        row(make, "master", began, [0; 3], counters(&master));
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_string().into_boxed_str())
}

/// Until the link is up.
fn in_step(replica: &Server) {
    let limit = Instant::now() + Duration::from_secs(300);
    while replica.info("master_link_status") != "up" {
        assert!(Instant::now() < limit, "the link does not come up");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Full copies, partial ones, bytes sent to replicas.
fn counters(master: &Server) -> [u64; 3] {
    ["sync_full", "sync_partial_ok", "total_net_repl_output_bytes"].map(|field| master.info(field).parse().unwrap_or(0))
}

fn row(make: Make, killed: &str, began: Instant, before: [u64; 3], after: [u64; 3]) {
    let [full, partial, bytes] = [0, 1, 2].map(|i| after[i].saturating_sub(before[i]));
    let seconds = began.elapsed().as_secs_f64();
    println!("{:<8} {killed:<9} {seconds:>10.2} {full:>8} {partial:>8} {bytes:>14}", make.name());
}
