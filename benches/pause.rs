//! The longest pause that a client sees while 10M keys go in and checkpoints run, beside redis-server: a client that asks
//! every millisecond. What the machine itself stalls (a timer of the same client, no server involved) is told apart.
//!
//! `cargo bench --bench pause`; KEYS (10000000) sets its length.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Make, Server, fill, setting};

static DONE: AtomicBool = AtomicBool::new(false);

fn main() {
    let keys = setting("KEYS", 10_000_000);
    println!("{:<8} {:>12} {:>12} {:>12} {:>16}", "", "p99 ms", "p99.9 ms", "longest ms", "machine's own ms");
    for make in [Make::Redis, Make::Regent] {
        let server = Server::start(make, &["--appendonly", "yes", "--save", ""]);
        DONE.store(false, Ordering::Relaxed);
        let port = server.port;
        let client = std::thread::spawn(move || ask_every_millisecond(port));
        fill(port, 0, keys, 32);
        DONE.store(true, Ordering::Relaxed);
        let (mut waits, machine) = client.join().expect("the client");
        waits.sort_by(f64::total_cmp);
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        println!("{:<8} {:>12.2} {:>12.2} {:>12.2} {machine:>16.2}", make.name(), at(0.99), at(0.999), at(1.0));
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
