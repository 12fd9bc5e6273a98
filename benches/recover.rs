//! Time to ready after `kill -9`, beside redis-server with its AOF: 3M keys of 100 B.
//!
//! `cargo bench --bench recover`; KEYS (3000000) and REPS (3) set its length.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use std::time::Duration;
use support::{Make, Server, fill, median, setting};

fn main() {
    let (keys, reps) = (setting("KEYS", 3_000_000), setting("REPS", 3));
    println!("{:<8} {:>10} {:>14} {:>14}", "", "keys", "ready after s", "peer's share");
    let mut redis = None;
    for make in [Make::Redis, Make::Regent] {
        let mut server = Server::start(make, &["--appendonly", "yes", "--save", ""]);
        fill(server.port, 0, keys, 100);
        let mut times = Vec::new();
        for _ in 0..reps {
            server.kill();
            server.restart(make);
            times.push(server.wait_ready(Duration::from_secs(300)).as_secs_f64());
        }
        let time = median(&mut times);
        let share = time / *redis.get_or_insert(time);
        println!("{:<8} {keys:>10} {time:>14.2} {share:>14.2}", make.name());
    }
}
