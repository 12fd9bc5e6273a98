//! Bytes a key beside redis-server: the slope of the resident memory from 1M to 4M keys of 16 B + 32 B, both durable.
//!
//! `cargo bench --bench memory`. The fixed part (what an empty server takes) does not count in a slope and is told apart.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use support::{Make, Server, fill};

fn main() {
    println!("{:<8} {:>12} {:>12} {:>12} {:>14}", "", "empty MB", "1M keys MB", "4M keys MB", "slope B/key");
    for make in [Make::Redis, Make::Regent] {
        let server = Server::start(make, &["--appendonly", "yes", "--save", ""]);
        let empty = server.rss();
        fill(server.port, 0, 1_000_000, 32);
        let one = settled(&server);
        fill(server.port, 1_000_000, 4_000_000, 32);
        let four = settled(&server);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let slope = (four as f64 - one as f64) / 3e6;
        println!("{:<8} {:>12.1} {:>12.1} {:>12.1} {slope:>14.1}", make.name(), mb(empty), mb(one), mb(four));
    }
}

/// The memory once background work (a rewrite, a checkpoint) is over, and the allocator has given back what it will.
fn settled(server: &Server) -> u64 {
    let mut last = u64::MAX;
    for _ in 0..60 {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let busy = ["aof_rewrite_in_progress", "rdb_bgsave_in_progress"].iter().any(|field| server.info(field) == "1");
        let rss = server.rss();
        if !busy && rss.abs_diff(last) < last / 1000 {
            break;
        }
        last = rss;
    }
    server.rss()
}
