//! LATENCY: the spikes of events, and how long each command takes. What is told for people is written in [`report`].

mod report;

use super::help::help;
use crate::command::spec::{ADMIN, Flags, Group, LOADING, NONE, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, CommandStat, Cx, Outcome, Refusal};
use std::collections::BTreeMap;

pub const ROWS: &[Spec] = &[spec("latency", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
    .doc("2.8.13", "A container for latency diagnostics commands.")
    .with(SUBS)];

const OPERATOR: Flags = ADMIN.or(NOSCRIPT).or(LOADING).or(STALE);

const fn sub(name: &'static str, arity: i16, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, OPERATOR, Group::Server, run).sub_of("latency")
}

const SUBS: &[Spec] = &[
    sub("doctor", 2, doctor).doc("2.8.13", "Returns a human-readable latency analysis report."),
    sub("graph", 3, graph).doc("2.8.13", "Returns a latency graph for an event."),
    spec("help", 2, LOADING.or(STALE), Group::Server, |cx, _| help(cx, HELP))
        .sub_of("latency")
        .doc("2.8.13", "Returns helpful text about the different subcommands."),
    sub("histogram", -2, histogram)
        .doc("7.0.0", "Returns the cumulative distribution of latencies of a subset or all commands."),
    sub("history", 3, history).doc("2.8.13", "Returns timestamp-latency samples for an event."),
    sub("latest", 2, latest).doc("2.8.13", "Returns the latest latency samples for all events."),
    sub("reset", -2, reset).doc("2.8.13", "Resets the latency data for one or more events."),
];

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "GRAPH <event>",
    "    Return an ASCII latency graph for the <event> class.",
    "HISTORY <event>",
    "    Return time-latency samples for the <event> class.",
    "LATEST",
    "    Return the latest latency samples for all events.",
    "RESET [<event> ...]",
    "    Reset latency data of one or more <event> classes.",
    "    (default: reset all data for all event classes)",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of commands latency in histogram format.",
];

/// LATENCY LATEST: name, second, milliseconds and the worst of each event.
fn latest(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let Cx { server, out, proto, .. } = cx;
    let mut reply = crate::resp::Writer::new(out, *proto);
    let events = server.latency.events();
    reply.array(events.len());
    for (name, spikes) in events {
        let (second, ms) = spikes.samples().next_back().unwrap_or_default();
        reply.array(4);
        reply.bulk(name.as_bytes());
        reply.int(second);
        reply.int(ms as i64);
        reply.int(spikes.worst_ms as i64);
    }
    Ok(())
}

/// LATENCY HISTORY event
fn history(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.bytes()?;
    let Cx { server, out, proto, .. } = cx;
    let mut reply = crate::resp::Writer::new(out, *proto);
    let Some((_, spikes)) = server.latency.event(name) else {
        reply.array(0);
        return Ok(());
    };
    reply.array(spikes.samples().len());
    for (second, ms) in spikes.samples() {
        reply.array(2);
        reply.int(second);
        reply.int(ms as i64);
    }
    Ok(())
}

/// LATENCY RESET \[event ...\]
fn reset(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut count = 0;
    if args.left() == 0 {
        count = cx.server.latency.reset(None);
    }
    while let Some(name) = args.maybe() {
        count += cx.server.latency.reset(Some(name));
    }
    cx.reply().int(count as i64);
    Ok(())
}

/// LATENCY GRAPH event
fn graph(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.bytes()?;
    let Some((event, spikes)) = cx.server.latency.event(name) else {
        let name = String::from_utf8_lossy(name);
        return Err(Refusal::err(format_args!("No samples available for event '{name}'")));
    };
    let text = report::graph(event, spikes, cx.now);
    cx.reply().verbatim("txt", &text);
    Ok(())
}

/// LATENCY DOCTOR
fn doctor(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let text = report::doctor(&cx.server.latency, &cx.server.config.settings, cx.now);
    cx.reply().verbatim("txt", &text);
    Ok(())
}

/// LATENCY HISTOGRAM \[command ...\]: a container's name stands for its subcommands; what has not run is left out.
fn histogram(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut wanted: Vec<&'static Spec> = Vec::new();
    while let Some(name) = args.maybe() {
        if let Some(spec) = cx.server.names.full(name) {
            wanted.push(spec);
            wanted.extend(spec.subs);
        }
    }
    let all = args.len() == 2;
    let is_wanted = |spec: &'static Spec| all || wanted.iter().any(|row| std::ptr::eq(*row, spec));
    let Cx { server, out, proto, .. } = cx;
    let mut reply = crate::resp::Writer::new(out, *proto);
    let stats = server.stats.by_command.iter().filter(|(key, _)| is_wanted(key.0));
    let stats: BTreeMap<String, &CommandStat> = stats.map(|(key, stat)| (key.0.full_name(), stat)).collect();
    let counted: Vec<_> = stats.iter().filter_map(|(name, stat)| Some((name, stat.latency.as_ref()?))).collect();
    reply.map(counted.len());
    for (name, latency) in counted {
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(latency.total() as i64);
        reply.bulk(b"histogram_usec");
        let steps = latency.cumulative();
        reply.map(steps.len());
        for (us, count) in steps {
            reply.int(us as i64);
            reply.int(count as i64);
        }
    }
    Ok(())
}
