//! MEMORY: what keys cost, and where the node's memory goes. What is told for people is written in [`mod@doctor`].

mod doctor;

use super::help::help;
use super::info::memory::{dataset, overhead, peak, ratio};
use crate::command::spec::{Group, LOADING, NONE, READONLY, STALE, Spec, key, spec};
use crate::command::{Args, Cx, Kind, Outcome, Refusal};

pub const ROWS: &[Spec] = &[spec("memory", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
    .with(&[
        spec("doctor", 2, NONE, Group::Server, doctor)
            .sub_of("memory")
            .doc("4.0.0", "Outputs a memory problems report."),
        spec("help", 2, LOADING.or(STALE), Group::Server, |cx, _| help(cx, HELP))
            .sub_of("memory")
            .doc("4.0.0", "Returns helpful text about the different subcommands."),
        spec("malloc-stats", 2, NONE, Group::Server, malloc_stats)
            .sub_of("memory")
            .doc("4.0.0", "Returns the allocator statistics."),
        spec("purge", 2, NONE, Group::Server, purge)
            .sub_of("memory")
            .doc("4.0.0", "Asks the allocator to release memory."),
        spec("stats", 2, NONE, Group::Server, stats)
            .sub_of("memory")
            .doc("4.0.0", "Returns details about memory usage."),
        spec("usage", -3, READONLY, Group::Server, usage)
            .keys(&[key(2, &["RO"])])
            .sub_of("memory")
            .doc("4.0.0", "Estimates the memory usage of a key."),
    ])
    .doc("4.0.0", "A container for memory diagnostics commands.")];

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return memory problems reports.",
    "MALLOC-STATS",
    "    Return internal statistics report from the memory allocator.",
    "PURGE",
    "    Attempt to purge dirty pages for reclamation by the allocator.",
    "STATS",
    "    Return information about the memory usage of the server.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value. Large collections are",
    "    sampled, by as many entries as it takes, whatever <count> says.",
];

/// MEMORY USAGE key \[SAMPLES count\]
fn usage(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    while args.left() > 0 {
        let fits = args.left() > 1 && args.take("samples") && args.int()? >= 0;
        if !fits {
            return Err(Refusal::Syntax);
        }
    }
    match cx.peek(key, |entry, _| entry.memory()) {
        Some(bytes) => cx.reply().int(bytes as i64),
        None => cx.reply().null(),
    }
    Ok(())
}

/// A figure of MEMORY STATS.
enum Figure {
    Bytes(u64),
    Difference(i64),
    Share(f64),
}

/// MEMORY STATS
fn stats(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    use Figure::{Bytes, Difference, Share};
    let server = &*cx.server;
    let view = server.memory;
    let keys: u64 = server.keyspace.dbs().map(|db| db.len()).sum();
    let data = view.used.saturating_sub(view.startup);
    let difference = |a: u64, b: u64| Difference(a as i64 - b as i64);
    let percent = |part: u64, whole: u64| Share(100.0 * ratio(part, whole));
    let figures = [
        ("peak.allocated", Bytes(peak(server))),
        ("total.allocated", Bytes(view.used)),
        ("startup.allocated", Bytes(view.startup)),
        ("replication.backlog", Bytes(server.stream.backlog().memory_bytes() as u64)),
        ("clients.slaves", Bytes(server.memory_of_clients(Kind::Replica))),
        ("clients.normal", Bytes(server.memory_of_clients(Kind::Normal))),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(0)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
        ("overhead.total", Bytes(overhead(server))),
        ("keys.count", Bytes(keys)),
        ("keys.bytes-per-key", Bytes(data.checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Bytes(dataset(server))),
        ("dataset.percentage", percent(dataset(server).min(data), data)),
        ("peak.percentage", percent(view.used, peak(server))),
        ("allocator.allocated", Bytes(view.allocated)),
        ("allocator.active", Bytes(view.active)),
        ("allocator.resident", Bytes(view.resident)),
        ("allocator-fragmentation.ratio", Share(ratio(view.active, view.allocated))),
        ("allocator-fragmentation.bytes", difference(view.active, view.allocated)),
        ("allocator-rss.ratio", Share(ratio(view.resident, view.active))),
        ("allocator-rss.bytes", difference(view.resident, view.active)),
        ("rss-overhead.ratio", Share(ratio(view.rss, view.resident))),
        ("rss-overhead.bytes", difference(view.rss, view.resident)),
        ("fragmentation", Share(ratio(view.rss, view.used))),
        ("fragmentation.bytes", difference(view.rss, view.used)),
    ];
    let dbs = server.keyspace.dbs().enumerate().filter(|(_, db)| !db.is_empty());
    let dbs: Vec<_> = dbs.map(|(index, db)| (format!("db.{index}"), db.overhead_bytes())).collect();
    let mut reply = cx.reply();
    reply.map(figures.len() + dbs.len());
    for (name, bytes) in dbs {
        reply.bulk(name.as_bytes());
        reply.map(3);
        // Deadlines stand in the entries, and are found by the same tables.
        for (part, bytes) in [("main", bytes), ("expires", 0), ("slot-to-keys", 0)] {
            reply.bulk(format!("overhead.hashtable.{part}").as_bytes());
            reply.int(bytes as i64);
        }
    }
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        match figure {
            Bytes(bytes) => reply.int(bytes as i64),
            Difference(bytes) => reply.int(bytes),
            Share(share) => reply.double(share),
        }
    }
    Ok(())
}

/// MEMORY DOCTOR
fn doctor(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let text = doctor::report(cx.server);
    cx.reply().verbatim("txt", &text);
    Ok(())
}

/// MEMORY MALLOC-STATS
fn malloc_stats(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    match cx.server.memory.report {
        Some(report) => cx.reply().verbatim("txt", &report()),
        None => cx.reply().bulk(b"Stats not supported for the current allocator"),
    }
    Ok(())
}

/// MEMORY PURGE
fn purge(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    if cx.server.memory.purge.is_some_and(|purge| !purge()) {
        return Err(Refusal::err("Error purging dirty pages"));
    }
    cx.reply().ok();
    Ok(())
}
