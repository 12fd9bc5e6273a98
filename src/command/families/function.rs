//! FUNCTION, FCALL, FCALL_RO: libraries of functions, which are a part of the data. They go to the log and the replicas as
//! they were asked for, and into every checkpoint and full copy.

use super::help::help;
use super::script::keys;
use crate::base::glob;
use crate::command::Called;
use crate::command::scripting::Policy;
use crate::command::spec::{
    ALLOW_BUSY, DENYOOM, Flags, Group, LOADING, MAY_REPLICATE, MOVABLE_KEYS, NO_MANDATORY_KEYS, NONE, NOSCRIPT,
    READONLY, SKIP_MONITOR, STALE, Spec, WRITE, keys_counted, spec,
};
use crate::command::{Args, Cx, Outcome, Refusal};

const RUNS: Flags = NOSCRIPT.or(SKIP_MONITOR).or(MAY_REPLICATE).or(NO_MANDATORY_KEYS).or(STALE).or(MOVABLE_KEYS);
const RUNS_RO: Flags = NOSCRIPT.or(SKIP_MONITOR).or(NO_MANDATORY_KEYS).or(STALE).or(READONLY).or(MOVABLE_KEYS);
const CHANGES: Flags = NOSCRIPT.or(WRITE);

pub const ROWS: &[Spec] = &[
    spec("fcall", -3, RUNS, Group::Scripting, fcall)
        .keys(&[keys_counted(2, &["RW", "access", "update"])])
        .doc("7.0.0", "Invokes a function."),
    spec("fcall_ro", -3, RUNS_RO, Group::Scripting, fcall_ro)
        .keys(&[keys_counted(2, &["RO", "access"])])
        .doc("7.0.0", "Invokes a read-only function."),
    spec("function", -2, NONE, Group::Scripting, |_, _| Err(Refusal::Syntax))
        .doc("7.0.0", "A container for commands on libraries of functions.")
        .with(&[
            sub("delete", 3, CHANGES, delete).doc("7.0.0", "Deletes a library and its functions."),
            sub("dump", 2, NOSCRIPT, dump).doc("7.0.0", "Dumps all libraries into a serialized binary payload."),
            sub("flush", -2, CHANGES, flush).doc("7.0.0", "Deletes all libraries and functions."),
            sub("help", 2, LOADING.or(STALE), show_help).doc("7.0.0", "Returns helpful text about the subcommands."),
            sub("kill", 2, NOSCRIPT.or(ALLOW_BUSY), kill).doc("7.0.0", "Ends the function that is running."),
            sub("list", -2, NOSCRIPT, list).doc("7.0.0", "Returns information about all libraries."),
            sub("load", -3, CHANGES.or(DENYOOM), load).doc("7.0.0", "Creates a library."),
            sub("restore", -3, CHANGES.or(DENYOOM), restore).doc("7.0.0", "Restores all libraries from a payload."),
            sub("stats", 2, NOSCRIPT.or(ALLOW_BUSY), stats)
                .doc("7.0.0", "Returns information about a running function."),
        ]),
];

const fn sub(name: &'static str, arity: i16, flags: Flags, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, flags, Group::Scripting, run).sub_of("function")
}

/// FCALL function numkeys [key ...] [arg ...]
fn fcall(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    call(cx, args, false)
}

/// FCALL_RO function numkeys [key ...] [arg ...]
fn fcall_ro(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    call(cx, args, true)
}

fn call(cx: &mut Cx<'_>, args: &Args<'_>, ro: bool) -> Outcome {
    let function = cx.server.scripting.libraries.function(args.at(1)).cloned();
    let function = function.ok_or_else(|| Refusal::err("Function not found"))?;
    let keys = keys(args, Refusal::err("Bad number of keys provided"))?;
    cx.run_script(&Called::Function(function), keys, args, ro)
}

/// What has changed is fed as it was asked for.
fn changed(cx: &mut Cx<'_>, args: &Args<'_>) {
    cx.server.dirty += 1;
    cx.feed_request(args);
}

fn too_many(args: &Args<'_>) -> Refusal {
    let sub = String::from_utf8_lossy(args.at(1));
    Refusal::err(format!("unknown subcommand or wrong number of arguments for '{sub}'. Try FUNCTION HELP."))
}

/// `FUNCTION LOAD [REPLACE] code`
fn load(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut replace = false;
    while args.left() > 1 {
        if !args.take("replace") {
            let option = String::from_utf8_lossy(args.bytes()?).into_owned();
            return Err(Refusal::err(format!("Unknown option given: {option}")));
        }
        replace = true;
    }
    let code = args.maybe().ok_or_else(|| Refusal::err("Function code is missing"))?;
    let limited = !cx.obeys();
    let name = cx.server.load_library(code, replace, limited).map_err(Refusal::err)?;
    changed(cx, args);
    cx.reply().bulk(name.as_bytes());
    Ok(())
}

/// FUNCTION DELETE library
fn delete(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = String::from_utf8_lossy(args.bytes()?).into_owned();
    if !cx.server.scripting.remove_library(&name) {
        return Err(Refusal::err("Library not found"));
    }
    changed(cx, args);
    cx.reply().ok();
    Ok(())
}

/// FUNCTION FLUSH [ASYNC | SYNC]
fn flush(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() > 1 {
        return Err(too_many(args));
    }
    if args.left() > 0 && !args.take("sync") && !args.take("async") {
        return Err(Refusal::err("FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    cx.server.scripting.flush_functions();
    changed(cx, args);
    cx.reply().ok();
    Ok(())
}

/// `FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`
fn list(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    while args.left() > 0 {
        if !with_code && args.take("withcode") {
            with_code = true;
        } else if pattern.is_none() && args.take("libraryname") {
            let given = args.maybe().ok_or_else(|| Refusal::err("library name argument was not given"))?;
            pattern = Some(given);
        } else {
            let word = String::from_utf8_lossy(args.bytes()?).into_owned();
            return Err(Refusal::err(format!("Unknown argument {word}")));
        }
    }
    let libraries = cx.server.scripting.libraries.clone();
    let wanted = |name: &str| pattern.is_none_or(|pattern| glob::matches(pattern, name.as_bytes(), false));
    let shown: Vec<_> = libraries.iter().filter(|(name, _)| wanted(name)).collect();
    let mut reply = cx.reply();
    reply.array(shown.len());
    for (name, library) in shown {
        reply.map(3 + usize::from(with_code));
        reply.bulk(b"library_name");
        reply.bulk(name.as_bytes());
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        reply.array(library.functions.len());
        for function in &library.functions {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(function.name.as_bytes());
            reply.bulk(b"description");
            match &function.description {
                Some(description) => reply.bulk(description),
                None => reply.null(),
            }
            reply.bulk(b"flags");
            reply.set(function.flags.names().count());
            function.flags.names().for_each(|flag| reply.simple(flag));
        }
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(&library.code);
        }
    }
    Ok(())
}

/// FUNCTION DUMP
fn dump(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    let payload = cx.server.dump_libraries();
    cx.reply().bulk(&payload);
    Ok(())
}

/// FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]
fn restore(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let payload = args.bytes()?;
    if args.left() > 1 {
        return Err(too_many(args));
    }
    let policy = match args.left() {
        0 => Policy::Append,
        _ if args.take("append") => Policy::Append,
        _ if args.take("replace") => Policy::Replace,
        _ if args.take("flush") => Policy::Flush,
        _ => {
            return Err(Refusal::err("Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."));
        }
    };
    let limited = !cx.obeys();
    cx.server.restore_libraries(payload, policy, limited).map_err(Refusal::err)?;
    changed(cx, args);
    cx.reply().ok();
    Ok(())
}

/// FUNCTION STATS
fn stats(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    if let Some(refusal) = cx.server.scripting.busy_with_eval() {
        return Err(refusal);
    }
    let now_us = (cx.server.ticks)();
    let proto = cx.proto;
    let mut out = std::mem::take(&mut cx.out);
    let mut reply = crate::resp::Writer::new(&mut out, proto);
    reply.map(2);
    reply.bulk(b"running_script");
    match cx.server.scripting.shown() {
        None => reply.null(),
        Some((name, request, began_us)) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(name.as_bytes());
            reply.bulk(b"command");
            let words: Vec<&[u8]> = request.as_ref().map(|args| args.all().collect()).unwrap_or_default();
            reply.bulks(&words);
            reply.bulk(b"duration_ms");
            reply.int((now_us.saturating_sub(began_us) / 1000) as i64);
        }
    }
    let libraries = &cx.server.scripting.libraries;
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.int(libraries.len() as i64);
    reply.bulk(b"functions_count");
    reply.int(libraries.functions() as i64);
    cx.out = out;
    Ok(())
}

/// FUNCTION KILL
fn kill(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    cx.server.scripting.kill(false)?;
    cx.reply().ok();
    Ok(())
}

/// FUNCTION HELP
fn show_help(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    help(
        cx,
        &[
            "DELETE <library name>",
            "    Delete a library and its functions.",
            "DUMP",
            "    Return all libraries as a payload for FUNCTION RESTORE.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all libraries.",
            "KILL",
            "    End the function that is running, unless it has written.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    Describe the libraries and their functions.",
            "LOAD [REPLACE] <code>",
            "    Create a library from its code, or put it in another's place.",
            "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
            "    Create the libraries of a payload: in place of all others, beside them, or in place of those of the same",
            "    name. All of them, or none.",
            "STATS",
            "    Describe the function that is running, and count what there is.",
        ],
    )
}
