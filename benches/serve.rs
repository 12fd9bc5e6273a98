//! Server CPU per million requests beside redis-server, both with `appendonly yes` and `appendfsync everysec`.
//!
//! `cargo bench --bench serve`; REPS (5) and REQUESTS (300000) set its length, ROWS (all) names rows: `ROWS=SET,ZADD`. The
//! load generator shares the machine, so requests per second say little; CPU seconds of all the server's threads are the
//! figure. Every run of a row starts from an emptied keyspace and the row's own seed, which is not counted.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use support::{Make, Server, ask, benchmark, median, setting};

/// Pipelines, and how many times more requests a run has at each: short ones would drown in the clock's ticks (10 ms).
const PIPELINES: [(u64, u64); 3] = [(1, 1), (16, 4), (100, 4)];

struct Row {
    name: &'static str,
    /// What redis-benchmark sends; `__rand_int__` is one of 100000.
    words: &'static str,
    seed: Seed,
    /// At most this many times redis-server's CPU, per pipeline; none: not run at it.
    reach: [Option<f64>; 3],
    /// A run has so many times fewer requests, since one request is many elements of work.
    weight: u64,
}

/// What stands in the keyspace before a run.
enum Seed {
    Nothing,
    /// As many requests of this as the run has.
    AsMany(&'static str),
    /// So many of this.
    Some(u64, &'static str),
}

const STRINGS: [Option<f64>; 3] = [Some(1.0), Some(0.75), Some(0.6)];
const READS: [Option<f64>; 3] = [Some(0.95), Some(0.75), Some(0.65)];
const ALL: [Option<f64>; 3] = [Some(0.95), Some(0.75), None];

const fn row(name: &'static str, words: &'static str) -> Row {
    Row { name, words, seed: Seed::Nothing, reach: ALL, weight: 1 }
}

const ROWS: [Row; 14] = [
    Row { reach: STRINGS, ..row("SET", "SET key:__rand_int__ xxx") },
    Row { reach: READS, seed: Seed::Some(300_000, "SET key:__rand_int__ xxx"), ..row("GET", "GET key:__rand_int__") },
    row("INCR", "INCR counter:__rand_int__"),
    row("LPUSH", "LPUSH list xxx"),
    Row { seed: Seed::AsMany("LPUSH list xxx"), ..row("RPOP", "RPOP list") },
    row("SADD", "SADD set element:__rand_int__"),
    row("HSET", "HSET hash element:__rand_int__ xxx"),
    row("ZADD", "ZADD zset __rand_int__ element:__rand_int__"),
    // A million possible names, so that there is one for nearly every request.
    Row {
        seed: Seed::AsMany("ZADD zset __rand_int__ element:__rand_int__:__rand_int__"),
        ..row("ZPOPMIN", "ZPOPMIN zset")
    },
    Row { seed: Seed::Some(100_000, "LPUSH list xxx"), weight: 4, ..row("LRANGE_100", "LRANGE list 0 99") },
    Row { seed: Seed::Some(100_000, "LPUSH list xxx"), weight: 10, ..row("LRANGE_600", "LRANGE list 0 599") },
    Row {
        weight: 4,
        ..row(
            "MSET",
            "MSET key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx \
             key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx \
             key:__rand_int__ xxx key:__rand_int__ xxx",
        )
    },
    row("XADD", "XADD stream * field data"),
    row("EVAL", "EVAL return(redis.call('incr',KEYS[1])) 1 counter:__rand_int__"),
];

fn main() {
    let (reps, requests) = (setting("REPS", 5), setting("REQUESTS", 300_000));
    let wanted = std::env::var("ROWS").unwrap_or_default();
    let args = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""];
    let servers = [Server::start(Make::Redis, &args), Server::start(Make::Regent, &args)];
    println!(
        "{:<10} {:>4} {:>10} {:>10} {:>7} {:>7} {:>11} {:>11}",
        "", "P", "redis s/M", "regent s/M", "ratio", "reach", "redis r/s", "regent r/s"
    );
    for row in ROWS.iter().filter(|row| wanted.is_empty() || wanted.split(',').any(|name| name == row.name)) {
        for ((pipeline, times), reach) in PIPELINES.into_iter().zip(row.reach) {
            let Some(reach) = reach else { continue };
            let count = requests * times / row.weight;
            let (mut cpu, mut rate) = ([vec![], vec![]], [vec![], vec![]]);
            for _ in 0..reps {
                for (index, server) in servers.iter().enumerate() {
                    seed(server, row, count);
                    let before = server.cpu();
                    rate[index].push(run(server, row.words, count, pipeline));
                    cpu[index].push((server.cpu() - before) / count as f64 * 1e6);
                }
            }
            let [redis, regent] = cpu.each_mut().map(|values| median(values));
            let [redis_rate, regent_rate] = rate.each_mut().map(|values| median(values));
            println!(
                "{:<10} {pipeline:>4} {redis:>10.2} {regent:>10.2} {:>7.2} {reach:>7.2} {redis_rate:>11.0} {regent_rate:>11.0}",
                row.name,
                regent / redis
            );
        }
    }
}

fn seed(server: &Server, row: &Row, count: u64) {
    ask(server.port, &["FLUSHALL"]).expect("the server answers");
    match row.seed {
        Seed::Nothing => {}
        Seed::AsMany(words) => drop(run(server, words, count, 100)),
        Seed::Some(seeds, words) => drop(run(server, words, seeds, 100)),
    }
}

/// Requests per second.
fn run(server: &Server, words: &str, count: u64, pipeline: u64) -> f64 {
    let (count, pipeline) = (count.to_string(), pipeline.to_string());
    let mut args = vec!["-n", &count, "-P", &pipeline, "-c", "50", "-r", "100000"];
    args.extend(words.split_whitespace());
    benchmark(server.port, &args)
}
