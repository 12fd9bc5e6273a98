//! The longest pause that a client sees beside redis-server: a client that asks every millisecond, while others write.
//! What the machine itself stalls (a timer of the same client, no server involved) is told apart.
//!
//! - `keys`: 10M keys go in, and checkpoints (rewrites) come as they come;
//! - `large`: collections of a million members are written at random, while one checkpoint (rewrite) follows the other.
//!
//! `cargo bench --bench pause`; KEYS (10000000) and SECONDS (60, of `large`) set its length, ROWS (both) names rows.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Make, Server, ask, feed, fill, large, setting};

static DONE: AtomicBool = AtomicBool::new(false);

fn main() {
    let wanted = std::env::var("ROWS").unwrap_or_default();
    println!("{:<6} {:<8} {:>9} {:>9} {:>11} {:>17}", "", "", "p99 ms", "p99.9 ms", "longest ms", "machine's own ms");
    type Load = fn(&Server);
    let rows: [(&str, Load); 2] =
        [("keys", |server| fill(server.port, 0, setting("KEYS", 10_000_000), 32)), ("large", write_while_it_saves)];
    for (name, load) in
        rows.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.split(',').any(|row| row == *name))
    {
        for make in [Make::Redis, Make::Regent] {
            let server = Server::start(make, &["--appendonly", "yes", "--save", ""]);
            if name == "large" {
                large::build(server.port);
            }
            DONE.store(false, Ordering::Relaxed);
            let port = server.port;
            let client = std::thread::spawn(move || ask_every_millisecond(port));
            load(&server);
            DONE.store(true, Ordering::Relaxed);
            let (mut waits, machine) = client.join().expect("the client");
            waits.sort_by(f64::total_cmp);
            let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
            println!(
                "{name:<6} {:<8} {:>9.2} {:>9.2} {:>11.2} {machine:>17.2}",
                make.name(),
                at(0.99),
                at(0.999),
                at(1.0)
            );
        }
    }
}

/// Random writes, about 10,000 a second; as soon as one checkpoint is over the next is asked for.
fn write_while_it_saves(server: &Server) {
    let until = Instant::now() + Duration::from_secs(setting("SECONDS", 60));
    let mut done = 0;
    while Instant::now() < until {
        if server.info("aof_rewrite_in_progress") != "1" {
            ask(server.port, &["BGREWRITEAOF"]).expect("the server answers");
        }
        feed(server.port, done, done + 1_000, |at, request| {
            large::change(at, request);
        });
        done += 1_000;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Milliseconds per PING, and the longest that a sleep of one millisecond took beyond it.
fn ask_every_millisecond(port: u16) -> (Vec<f64>, f64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    let (mut waits, mut machine) = (Vec::new(), 0.0_f64);
    let mut reply = [0; 64];
    while !DONE.load(Ordering::Relaxed) {
        let began = Instant::now();
        stream.write_all(b"PING\r\n").expect("the server reads");
        let count = stream.read(&mut reply).expect("the server answers");
        assert!(count > 0, "the server has closed");
        waits.push(began.elapsed().as_secs_f64() * 1000.0);
        let slept = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        machine = machine.max(slept.elapsed().as_secs_f64() * 1000.0 - 1.0);
    }
    (waits, machine)
}
