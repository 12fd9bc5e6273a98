//! Memory beside redis-server, both durable: the slope of the resident memory between two sizes of one shape, so that what
//! an empty server takes does not count (it is told apart).
//!
//! `cargo bench --bench memory`; ROWS (all) names shapes: `ROWS=strings,zset`.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use support::{Make, Server, feed, words};

struct Shape {
    name: &'static str,
    /// One more of these...
    unit: &'static str,
    /// ...is made by these requests.
    write: fn(u64, &mut String),
    sizes: [u64; 2],
}

const SHAPES: [Shape; 5] = [
    Shape {
        name: "strings",
        unit: "key of 16 B + 32 B",
        write: |at, request| words(request, &["SET", &format!("key:{at:012}"), &"x".repeat(32)]),
        sizes: [1_000_000, 4_000_000],
    },
    Shape {
        name: "hashes",
        unit: "small hash of 5 fields",
        write: |at, request| {
            let name = format!("user {at}");
            let (mail, born) = (format!("user{at}@example.com"), format!("{}", at % 30_000));
            let fields = ["name", &name, "mail", &mail, "born", &born, "visits", "17", "plan", "basic"];
            words(request, &[&["HSET", &format!("user:{at:012}")], &fields[..]].concat());
        },
        sizes: [250_000, 1_000_000],
    },
    Shape {
        name: "zset",
        unit: "member of one sorted set",
        write: |at, request| words(request, &["ZADD", "zset", &scattered(at).to_string(), &format!("member:{at:012}")]),
        sizes: [250_000, 1_000_000],
    },
    Shape {
        name: "list",
        unit: "element of one list",
        write: |at, request| words(request, &["RPUSH", "list", &format!("element:{at:012}")]),
        sizes: [250_000, 1_000_000],
    },
    Shape {
        name: "streams",
        unit: "stream of 10 entries",
        write: |at, request| {
            for entry in 0..10 {
                let (sensor, value) = (format!("sensor-{}", entry % 3), scattered(at * 10 + entry).to_string());
                words(request, &["XADD", &format!("stream:{at:012}"), "*", "sensor", &sensor, "value", &value]);
            }
        },
        sizes: [25_000, 100_000],
    },
];

/// A number that says nothing about its neighbours, below a million.
fn scattered(at: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44
}

fn main() {
    let wanted = std::env::var("ROWS").unwrap_or_default();
    println!("{:<8} {:<8} {:>9} {:>9} {:>9} {:>10}  per", "", "", "empty MB", "small MB", "large MB", "slope B");
    for shape in SHAPES.iter().filter(|shape| wanted.is_empty() || wanted.split(',').any(|name| name == shape.name)) {
        let mut slopes = Vec::new();
        for make in [Make::Redis, Make::Regent] {
            let server = Server::start(make, &["--appendonly", "yes", "--save", ""]);
            let empty = server.rss();
            let [small, large] = shape.sizes;
            feed(server.port, 0, small, shape.write);
            let less = settled(&server);
            feed(server.port, small, large, shape.write);
            let more = settled(&server);
            let mb = |bytes: u64| bytes as f64 / 1e6;
            let slope = (more as f64 - less as f64) / (large - small) as f64;
            let (name, make) = (shape.name, make.name());
            println!(
                "{name:<8} {make:<8} {:>9.1} {:>9.1} {:>9.1} {slope:>10.1}  {}",
                mb(empty),
                mb(less),
                mb(more),
                shape.unit
            );
            slopes.push(slope);
        }
        println!("{:<8} {:<8} {:>40.2}", shape.name, "ratio", slopes[1] / slopes[0]);
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
