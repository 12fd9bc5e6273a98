//! EVAL, EVALSHA, their read-only kin, and SCRIPT. What runs a script is `scripting`.

use super::help::help;
use crate::base::number::parse_i64;
use crate::command::Called;
use crate::command::spec::{
    ALLOW_BUSY, Flags, Group, LOADING, MAY_REPLICATE, MOVABLE_KEYS, NO_MANDATORY_KEYS, NONE, NOSCRIPT, READONLY,
    SKIP_MONITOR, STALE, Spec, keys_counted, spec,
};
use crate::command::{Args, Cx, Debugs, Outcome, Refusal};

const RUNS: Flags = NOSCRIPT.or(SKIP_MONITOR).or(MAY_REPLICATE).or(NO_MANDATORY_KEYS).or(STALE).or(MOVABLE_KEYS);
const RUNS_RO: Flags = NOSCRIPT.or(SKIP_MONITOR).or(NO_MANDATORY_KEYS).or(STALE).or(READONLY).or(MOVABLE_KEYS);

pub const ROWS: &[Spec] = &[
    spec("eval", -3, RUNS, Group::Scripting, eval)
        .keys(&[keys_counted(2, &["RW", "access", "update"])])
        .doc("2.6.0", "Executes a server-side Lua script."),
    spec("eval_ro", -3, RUNS_RO, Group::Scripting, eval_ro)
        .keys(&[keys_counted(2, &["RO", "access"])])
        .doc("7.0.0", "Executes a read-only server-side Lua script."),
    spec("evalsha", -3, RUNS, Group::Scripting, evalsha)
        .keys(&[keys_counted(2, &["RW", "access", "update"])])
        .doc("2.6.0", "Executes a server-side Lua script by its SHA1 digest."),
    spec("evalsha_ro", -3, RUNS_RO, Group::Scripting, evalsha_ro)
        .keys(&[keys_counted(2, &["RO", "access"])])
        .doc("7.0.0", "Executes a read-only server-side Lua script by its SHA1 digest."),
    spec("script", -2, NONE, Group::Scripting, |_, _| Err(Refusal::Syntax))
        .doc("2.6.0", "A container for commands on the cache of scripts.")
        .with(&[
            sub("debug", 3, NOSCRIPT, debug).doc("3.2.0", "Sets the debug mode of server-side Lua scripts."),
            sub("exists", -3, NOSCRIPT, exists).doc("2.6.0", "Says which scripts are in the cache."),
            sub("flush", -2, NOSCRIPT, flush).doc("2.6.0", "Removes all scripts from the cache."),
            sub("help", 2, LOADING.or(STALE), show_help).doc("5.0.0", "Returns helpful text about the subcommands."),
            sub("kill", 2, NOSCRIPT.or(ALLOW_BUSY), kill).doc("2.6.0", "Ends the script that is running."),
            sub("load", 3, NOSCRIPT.or(STALE), load).doc("2.6.0", "Puts a script into the cache."),
            sub("show", 3, NOSCRIPT, show).doc("8.0.0", "Returns the text of a script in the cache."),
        ]),
];

const fn sub(name: &'static str, arity: i16, flags: Flags, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, flags, Group::Scripting, run).sub_of("script")
}

/// EVAL script numkeys [key ...] [arg ...]
fn eval(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    by_text(cx, args, false)
}

/// EVAL_RO script numkeys [key ...] [arg ...]
fn eval_ro(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    by_text(cx, args, true)
}

/// EVALSHA sha1 numkeys [key ...] [arg ...]
fn evalsha(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    by_sha(cx, args, false)
}

/// EVALSHA_RO sha1 numkeys [key ...] [arg ...]
fn evalsha_ro(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    by_sha(cx, args, true)
}

fn by_text(cx: &mut Cx<'_>, args: &Args<'_>, ro: bool) -> Outcome {
    let keys = keys(args, Refusal::NotInteger);
    if cx.client().debugs.is_some() {
        return cx.debug_script(keys, args, ro);
    }
    let keys = keys?;
    let script = cx.server.scripting.define(args.at(1), false)?;
    cx.run_script(&Called::Script(script), keys, args, ro)
}

fn by_sha(cx: &mut Cx<'_>, args: &Args<'_>, ro: bool) -> Outcome {
    let sha = args.at(1);
    if sha.len() != 40 {
        return Err(missing());
    }
    if cx.client().debugs.is_some() {
        return Err(Refusal::err("Please use EVAL instead of EVALSHA for debugging"));
    }
    let keys = keys(args, Refusal::NotInteger)?;
    let script = cx.server.scripting.script(sha).ok_or_else(missing)?;
    cx.run_script(&Called::Script(script), keys, args, ro)
}

fn missing() -> Refusal {
    Refusal::Text("NOSCRIPT No matching script. Please use EVAL.".into())
}

/// How many of the words behind the third are keys.
pub fn keys(args: &Args<'_>, no_number: Refusal) -> Result<usize, Refusal> {
    let keys = parse_i64(args.at(2)).ok_or(no_number)?;
    if keys > args.len() as i64 - 3 {
        return Err(Refusal::err("Number of keys can't be greater than number of args"));
    }
    usize::try_from(keys).map_err(|_| Refusal::err("Number of keys can't be negative"))
}

/// SCRIPT LOAD script
fn load(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let script = cx.server.scripting.define(args.bytes()?, true)?;
    cx.reply().bulk(script.sha.as_bytes());
    Ok(())
}

/// SCRIPT SHOW sha1: as in Valkey 8.
fn show(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let script = cx.server.scripting.script(args.bytes()?).ok_or_else(missing)?;
    cx.reply().bulk(&script.text);
    Ok(())
}

/// SCRIPT EXISTS sha1 [sha1 ...]
fn exists(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply().array(args.left());
    while let Some(sha) = args.maybe() {
        let there = cx.server.scripting.has_script(sha);
        cx.reply().int(there.into());
    }
    Ok(())
}

/// SCRIPT FLUSH [ASYNC | SYNC]: both are the same here, the machine of scripts is small.
fn flush(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let known = args.left() == 0 || args.take("sync") || args.take("async");
    if !known || args.left() > 0 {
        return Err(Refusal::err("SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    cx.server.scripting.flush_scripts();
    cx.reply().ok();
    Ok(())
}

/// SCRIPT KILL
fn kill(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    cx.server.scripting.kill(true)?;
    cx.reply().ok();
    Ok(())
}

/// SCRIPT DEBUG YES | SYNC | NO: the next EVAL is a session of the debugger, or not. Where Redis forks for YES, here
/// writes are refused in the session.
fn debug(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if cx.has_pending_replies() {
        return Err(Refusal::err("SCRIPT DEBUG must be called outside a pipeline"));
    }
    let debugs = match () {
        () if args.take("no") => None,
        () if args.take("yes") => Some(Debugs::WritesNothing),
        () if args.take("sync") => Some(Debugs::Live),
        () => return Err(Refusal::err("Use SCRIPT DEBUG YES/SYNC/NO")),
    };
    cx.client().debugs = debugs;
    cx.reply().ok();
    Ok(())
}

/// SCRIPT HELP
fn show_help(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    help(
        cx,
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Debug the next script of this connection: SYNC on the data, YES without writing.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Say which scripts are in the cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Remove all scripts from the cache.",
            "KILL",
            "    End the script that is running, unless it has written.",
            "LOAD <script>",
            "    Put a script into the cache without running it.",
            "SHOW <sha1>",
            "    Return the text of a script in the cache.",
        ],
    )
}
