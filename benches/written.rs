//! Bytes given to the disk per byte of payload, beside redis-server's append-only file: ten minutes of the same random
//! writes, at the same pace, into collections of a million members. Rewrites and checkpoints come as they come.
//!
//! `cargo bench --bench written`; SECONDS (600) and RATE (5000 writes a second) set its length.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use std::time::{Duration, Instant};
use support::{Make, Server, feed, large, setting};

fn main() {
    let (seconds, rate) = (setting("SECONDS", 600), setting("RATE", 5_000));
    let servers = [Make::Redis, Make::Regent].map(|make| {
        let server = Server::start(make, &["--appendonly", "yes", "--save", ""]);
        large::build(server.port);
        server
    });
    let before = servers.each_ref().map(Server::written);
    let (mut payload, mut done) = (0, 0);
    let began = Instant::now();
    for second in 1..=seconds {
        for server in &servers {
            feed(server.port, done, done + rate, |at, request| {
                large::change(at, request);
            });
        }
        payload += (done..done + rate).map(|at| large::change(at, &mut String::new())).sum::<u64>();
        done += rate;
        std::thread::sleep(Duration::from_secs(second).saturating_sub(began.elapsed()));
    }
    println!("{:<8} {:>12} {:>12} {:>8}", "", "payload MB", "written MB", "ratio");
    for (server, before) in servers.iter().zip(before) {
        let written = server.written() - before;
        println!(
            "{:<8} {:>12.1} {:>12.1} {:>8.2}",
            server.name,
            payload as f64 / 1e6,
            written as f64 / 1e6,
            written as f64 / payload as f64
        );
    }
}
