//! SLOWLOG: the requests that took long. MONITOR: all requests, as they are executed.

use super::help::help;
use crate::base::number::parse_i64;
use crate::command::spec::{ADMIN, Flags, Group, LOADING, NONE, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal};

const OPERATOR: Flags = ADMIN.or(LOADING).or(STALE);

pub const ROWS: &[Spec] = &[
    spec("slowlog", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
        .doc("2.2.12", "A container for slow log commands.")
        .with(&[
            spec("get", -2, OPERATOR, Group::Server, get)
                .sub_of("slowlog")
                .doc("2.2.12", "Returns the slow log's entries."),
            spec("help", 2, LOADING.or(STALE), Group::Server, |cx, _| help(cx, HELP))
                .sub_of("slowlog")
                .doc("6.2.0", "Returns helpful text about the different subcommands."),
            spec("len", 2, OPERATOR, Group::Server, len)
                .sub_of("slowlog")
                .doc("2.2.12", "Returns the number of entries in the slow log."),
            spec("reset", 2, OPERATOR, Group::Server, reset)
                .sub_of("slowlog")
                .doc("2.2.12", "Clears all entries from the slow log."),
        ]),
    spec("monitor", 1, OPERATOR.or(NOSCRIPT), Group::Server, monitor)
        .doc("1.0.0", "Listens for all requests received by the server in real-time."),
];

const HELP: &[&str] = &[
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
];

/// SLOWLOG GET \[count\]: newest first; -1 is all.
fn get(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    const DEFAULT: usize = 10;
    if args.left() > 1 {
        let text = "unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.";
        return Err(Refusal::err(text));
    }
    let count = match args.maybe() {
        None => DEFAULT,
        Some(word) => match parse_i64(word) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => count as usize,
            _ => return Err(Refusal::err("count should be greater than or equal to -1")),
        },
    };
    let Cx { server, out, proto, .. } = cx;
    let mut reply = crate::resp::Writer::new(out, *proto);
    let entries = server.slowlog.entries();
    reply.array(entries.len().min(count));
    for entry in entries.take(count) {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int(entry.time.seconds());
        reply.int(entry.took_us as i64);
        reply.bulks(&entry.words);
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(())
}

/// SLOWLOG LEN
fn len(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let len = cx.server.slowlog.entries().len();
    cx.reply().int(len as i64);
    Ok(())
}

/// SLOWLOG RESET
fn reset(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.slowlog.clear();
    cx.reply().ok();
    Ok(())
}

/// MONITOR
fn monitor(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    if !cx.may_block() {
        return Err(Refusal::err("MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if !cx.server.is_monitor(cx.slot) {
        cx.server.join_monitors(cx.slot);
        cx.reply().ok();
    }
    Ok(())
}
