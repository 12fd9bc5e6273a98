//! MEMORY: what keys cost.

use super::help::help;
use crate::command::spec::{Group, LOADING, NONE, READONLY, STALE, Spec, key, spec};
use crate::command::{Args, Cx, Outcome, Refusal};

pub const ROWS: &[Spec] = &[spec("memory", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
    .with(&[
        spec("help", 2, LOADING.or(STALE), Group::Server, |cx, _| help(cx, HELP))
            .sub_of("memory")
            .doc("4.0.0", "Returns helpful text about the different subcommands."),
        spec("usage", -3, READONLY, Group::Server, usage)
            .keys(&[key(2, &["RO"])])
            .sub_of("memory")
            .doc("4.0.0", "Estimates the memory usage of a key."),
    ])
    .doc("4.0.0", "A container for memory diagnostics commands.")];

const HELP: &[&str] = &[
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
