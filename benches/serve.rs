//! Server CPU per million requests beside redis-server, both with `appendonly yes` and `appendfsync everysec`.
//!
//! `cargo bench --bench serve`; REPS (5) and REQUESTS (300000) set its length. The load generator shares the machine, so
//! requests per second say little; CPU seconds of all the server's threads are the figure.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod support;

use support::{Make, Server, benchmark, median, setting};

fn main() {
    let (reps, requests) = (setting("REPS", 5), setting("REQUESTS", 300_000));
    let args = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""];
    let servers = [Server::start(Make::Redis, &args), Server::start(Make::Regent, &args)];
    println!(
        "{:<6} {:>4} {:>14} {:>14} {:>7} {:>8} {:>12} {:>12}",
        "", "P", "redis s/M", "regent s/M", "ratio", "reach", "redis r/s", "regent r/s"
    );
    for (command, reach) in [("set", [1.0, 0.75, 0.6]), ("get", [0.95, 0.75, 0.65])] {
        for (pipeline, reach) in [1, 16, 100].into_iter().zip(reach) {
            let count = if pipeline == 1 { requests } else { requests * 4 };
            let (mut cpu, mut rate) = ([vec![], vec![]], [vec![], vec![]]);
            for _ in 0..reps {
                for (index, server) in servers.iter().enumerate() {
                    let before = server.cpu();
                    let (count, pipeline) = (count.to_string(), pipeline.to_string());
                    let args = ["-t", command, "-n", &count, "-P", &pipeline, "-c", "50", "-r", "100000", "-d", "3"];
                    rate[index].push(benchmark(server.port, &args));
                    cpu[index].push((server.cpu() - before) / count.parse::<f64>().expect("a number") * 1e6);
                }
            }
            let [redis, regent] = cpu.each_mut().map(|values| median(values));
            let [redis_rate, regent_rate] = rate.each_mut().map(|values| median(values));
            println!(
                "{command:<6} {pipeline:>4} {redis:>14.2} {regent:>14.2} {:>7.2} {reach:>8.2} {redis_rate:>12.0} {regent_rate:>12.0}",
                regent / redis
            );
        }
    }
}
