//! DEBUG, for tests and for the curious: only where `enable-debug-command` allows it.
//!
//! What Redis has here for its own insides alone (STRUCTSIZE, SDSLEN, MALLCTL, the cluster's links) is not known here.

mod protocol;
mod shown;

use super::config::is_local;
use super::help::help;
use crate::base::number::{parse_f64, parse_i64};
use crate::base::{Millis, glob};
use crate::command::spec::{ADMIN, Group, LOADING, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Ask, Blocked, Cx, Outcome, PEAK_RESET, Refusal, Reload};
use crate::config::bytes_with_unit;
use crate::rdb::Checksum;

pub const ROWS: &[Spec] = &[spec("debug", -2, ADMIN.or(NOSCRIPT).or(LOADING).or(STALE), Group::Server, debug)
    .doc("1.0.0", "A container for debugging commands.")];

const NOT_ALLOWED: &str = "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run \
                           it from a local connection, otherwise you need to set this option in the configuration \
                           file, and then restart the server.";

/// What needs no keyspace, and may be asked for while a start reads the store.
const AT_A_START: &[&[u8]] =
    &[b"help", b"sleep", b"log", b"error", b"protocol", b"segfault", b"panic", b"assert", b"oom"];

const HELP: &[&str] = &[
    "AOF-FLUSH-SLEEP <microsec>",
    "    Server will sleep before appending to the log, this is used for testing.",
    "ASSERT",
    "    Crash by assertion failed.",
    "CHANGE-REPL-ID",
    "    Change the replication IDs of the instance.",
    "    Dangerous: should be used only for testing the replication subsystem.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Like CONFIG REWRITE but writes all configuration options, including",
    "    keywords not listed in original configuration file or default values.",
    "DIGEST",
    "    Output a hex signature representing the current DB content.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Output a hex signature of the values of all the specified keys.",
    "ERROR <string>",
    "    Return a Redis protocol error with <string> as message. Useful for clients",
    "    unit tests to simulate Redis errors.",
    "HTSTATS <dbid> [full]",
    "    Return hash table statistics of the specified Redis database.",
    "HTSTATS-KEY <key> [full]",
    "    Like HTSTATS but for the hash table stored at <key>'s value.",
    "LEAK <string>",
    "    Create a memory leak of the input string.",
    "LISTPACK <key>",
    "    Write the elements of a value with the listpack encoding to the log.",
    "LOADAOF",
    "    Reload the keyspace from disk: from the last checkpoint and the log behind",
    "    it, as a restart does. Without a log a checkpoint is written first.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "OBJECT <key> [fast]",
    "    Show low level info about `key` and associated value. With \"fast\", the",
    "    length in an RDB file is left out.",
    "OOM",
    "    Crash the server simulating an out-of-memory error.",
    "PANIC",
    "    Crash the server simulating a panic.",
    "PAUSE-CRON <0|1>",
    "    Stop periodic cron job processing.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> string keys named key:<num>. If <prefix> is specified then",
    "    it is used instead of the 'key' prefix. They go through the replication",
    "    stream as any other write.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type. <type> can be: string,",
    "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
    "    true, false.",
    "QUICKLIST <key> [<0|1>]",
    "    Write the leaves of a list to the log, and with 1 their elements.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    From now on an element of a large list that takes more than <size> gets a",
    "    leaf of its own. 0 restores the default: an element that fits none.",
    "RELOAD [option ...]",
    "    Write a checkpoint and the RDB file, and reload the keyspace from disk.",
    "    Valid <option> values:",
    "    * MERGE: conflicting keys and libraries are taken from the RDB file.",
    "    * NOFLUSH: what is there stays and the RDB file is added to it. Refused",
    "      without MERGE where keys or libraries conflict.",
    "    * NOSAVE: the data set is loaded from the RDB file that is there.",
    "    With NOFLUSH or NOSAVE a new history begins, and replicas copy it all.",
    "REPLICATE <word> [<word> ...]",
    "    Replicates the provided command to replicas, allowing data divergence.",
    "REPLYBUFFER PEAK-RESET-TIME <NEVER|RESET|time>",
    "    Sets the time (in milliseconds) to wait between client reply buffer peak resets.",
    "    In case NEVER is provided the last observed peak will never be reset",
    "    In case RESET is provided the peak reset time will be restored to the default value",
    "REPLYBUFFER RESIZING <0|1>",
    "    Enable or disable the reply buffer resize cron job",
    "SEGFAULT",
    "    Crash the server with sigsegv.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Setting it to 0 disables expiring keys in background when they are not",
    "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
    "    default.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Setting it to 1 lets scripts call commands that are denied to them, but for",
    "    those of scripts, transactions and subscriptions.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Enables or disables checksum checks for RDB files and RESTORE's payload.",
    "SLEEP <seconds>",
    "    Stop the server for <seconds>. Decimals allowed.",
    "STRINGMATCH-TEST",
    "    Run a fuzz tester against the matcher of patterns.",
];

/// DEBUG subcommand [argument ...]
fn debug(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let local = is_local(cx.client());
    if !cx.server.config.settings.enable_debug_command.allows(local) {
        return Err(Refusal::err(NOT_ALLOWED));
    }
    let name = args.bytes()?.to_ascii_lowercase();
    if cx.server.is_starting() && !AT_A_START.contains(&name.as_slice()) {
        return Err(Refusal::Loading);
    }
    match (name.as_slice(), args.left()) {
        (b"help", 0) => help(cx, HELP),
        (b"sleep", 1) => {
            const SECONDS_MAX: f64 = 1e9;
            let seconds = parse_f64(args.bytes()?).unwrap_or(0.0).clamp(0.0, SECONDS_MAX);
            // The turn sleeps at its end; for what it still does until then the time has passed.
            let span = Millis((seconds * 1000.0) as i64);
            cx.server.wall = cx.server.wall + span;
            cx.server.mono = cx.server.mono + span;
            cx.server.owed_us += span.0 as u64 * 1000;
            cx.ask(Ask::Sleep(span));
            ok(cx)
        }
        (b"digest", 0) => shown::digest(cx),
        (b"digest-value", _) => shown::digest_value(cx, args),
        (b"object", 1 | 2) => shown::object(cx, args),
        (b"htstats", 1 | 2) => shown::tables(cx, args),
        (b"htstats-key", 1 | 2) => shown::tables_of_key(cx, args),
        (b"listpack", 1) => shown::listpack(cx, args),
        (b"quicklist", 1 | 2) => shown::quicklist(cx, args),
        (b"populate", 1..=3) => populate(cx, args),
        (b"set-active-expire", 1) => {
            cx.server.switches.active_expire = is_on(args)?;
            ok(cx)
        }
        (b"set-skip-checksum-validation", 1) => {
            cx.server.switches.checksum = if is_on(args)? { Checksum::Skip } else { Checksum::Check };
            ok(cx)
        }
        (b"set-disable-deny-scripts", 1) => {
            cx.server.switches.scripts_may_more = is_on(args)?;
            ok(cx)
        }
        (b"pause-cron", 1) => {
            cx.server.switches.pause_cron = is_on(args)?;
            ok(cx)
        }
        (b"aof-flush-sleep", 1) => {
            cx.server.switches.append_sleep_us = number(args.bytes()?).unsigned_abs();
            ok(cx)
        }
        (b"quicklist-packed-threshold", 1) => {
            let size = std::str::from_utf8(args.bytes()?).ok().and_then(bytes_with_unit);
            let size = size.and_then(|size| usize::try_from(size).ok()).filter(|&size| size < 1 << 32);
            let wrong = || Refusal::err("argument must be a memory value bigger than 1 and smaller than 4gb");
            let size = size.ok_or_else(wrong)?;
            cx.server.keyspace.set_alone_bytes((size > 0).then_some(size));
            ok(cx)
        }
        (b"replybuffer", 2) => {
            reply_buffer(cx, args)?;
            ok(cx)
        }
        (b"reload", _) => reload(cx, args),
        (b"loadaof", _) => reload_by(cx, Reload::Log),
        (b"config-rewrite-force-all", 0) => rewrite_all(cx),
        (b"leak", 1) => {
            std::mem::forget(args.bytes()?.to_vec());
            ok(cx)
        }
        (b"stringmatch-test", 0) => match_anything(cx),
        (b"change-repl-id", 0) => {
            let replid = cx.server.fresh_id();
            cx.ask(Ask::NewHistory { replid });
            ok(cx)
        }
        (b"log", 1) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(args.bytes()?));
            ok(cx)
        }
        (b"error", 1) => Err(Refusal::Text(String::from_utf8_lossy(args.bytes()?).into_owned().into())),
        (b"replicate", 1..) => {
            let words: Vec<&[u8]> = args.all().skip(2).collect();
            cx.feed_plain(&words);
            ok(cx)
        }
        (b"protocol", 1) => protocol::protocol(cx, args.bytes()?),
        (b"segfault" | b"panic" | b"assert" | b"oom", 0) => {
            tracing::warn!("DEBUG {} ends the process.", String::from_utf8_lossy(&name).to_uppercase());
            cx.ask(Ask::Die);
            Ok(())
        }
        _ => {
            let word = args.at(1);
            let word = String::from_utf8_lossy(&word[..word.len().min(128)]);
            Err(Refusal::err(format_args!(
                "unknown subcommand or wrong number of arguments for '{word}'. Try DEBUG HELP."
            )))
        }
    }
}

fn ok(cx: &mut Cx<'_>) -> Outcome {
    cx.reply().ok();
    Ok(())
}

/// A number as C's `atoi` reads it: the digits in front, 0 without any.
fn number(word: &[u8]) -> i64 {
    let digits = word.iter().enumerate().take_while(|&(at, byte)| byte.is_ascii_digit() || at == 0 && *byte == b'-');
    parse_i64(&word[..digits.count()]).unwrap_or(0)
}

fn is_on(args: &mut Args<'_>) -> Result<bool, Refusal> {
    Ok(number(args.bytes()?) != 0)
}

/// DEBUG REPLYBUFFER PEAK-RESET-TIME (NEVER | RESET | milliseconds) | RESIZING (0 | 1)
fn reply_buffer(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.take("peak-reset-time") {
        cx.server.client_care.peak_reset = match (args.take("never"), args.take("reset")) {
            (true, _) => None,
            (_, true) => Some(PEAK_RESET),
            _ => Some(Millis(args.int()?)).filter(|span| span.0 >= 0),
        };
    } else if args.take("resizing") {
        cx.server.client_care.resizing = is_on(args)?;
    } else {
        return Err(Refusal::err("unknown subcommand or wrong number of arguments for 'REPLYBUFFER'. Try DEBUG HELP."));
    }
    Ok(())
}

/// DEBUG RELOAD \[NOSAVE\] \[NOFLUSH\] \[MERGE\]
fn reload(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (mut save, mut flush, mut merge) = (true, true, false);
    while args.left() > 0 {
        match () {
            () if args.take("nosave") => save = false,
            () if args.take("noflush") => flush = false,
            () if args.take("merge") => merge = true,
            () => {
                return Err(Refusal::err("DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
            }
        }
    }
    let another_data_set = !save || !flush;
    if another_data_set && cx.server.is_replica() {
        return Err(Refusal::err(
            "DEBUG RELOAD with NOSAVE or NOFLUSH is for masters: a replica holds its master's data",
        ));
    }
    reload_by(cx, Reload::File { save, flush, merge })
}

fn reload_by(cx: &mut Cx<'_>, how: Reload) -> Outcome {
    if !cx.may_block() {
        return Err(Refusal::err("DEBUG RELOAD is not allowed inside a transaction"));
    }
    let waiter = cx.server.waiter(cx.slot);
    cx.ask(Ask::Reload { waiter, how });
    cx.block(Blocked::Checkpoint);
    Ok(())
}

/// DEBUG CONFIG-REWRITE-FORCE-ALL
fn rewrite_all(cx: &mut Cx<'_>) -> Outcome {
    cx.server.put_users_in_config().map_err(Refusal::err)?;
    let written = cx.server.config.rewrite_all();
    written.map_err(|error| Refusal::err(format_args!("CONFIG-REWRITE-FORCE-ALL failed: {error}")))?;
    ok(cx)
}

/// DEBUG STRINGMATCH-TEST: whether any pattern is too much for the matcher.
fn match_anything(cx: &mut Cx<'_>) -> Outcome {
    const ROUNDS: usize = 100_000;
    let dice = &mut cx.server.dice;
    let mut draw = |letters: &[u8], most: u64| -> Vec<u8> {
        let len = dice.below(most);
        (0..len).map(|_| letters[dice.below(letters.len() as u64) as usize]).collect()
    };
    for _ in 0..ROUNDS {
        let (pattern, text) = (draw(b"*?[]^-\\abc", 32), draw(b"abc-]^", 64));
        glob::matches(&pattern, &text, false);
    }
    cx.reply().simple("Apparently Redis did not crash: test passed");
    Ok(())
}

/// DEBUG POPULATE count \[prefix\] \[size\]. Other than in Redis the keys go through the stream, each as a unit of its own:
/// nothing is in the keyspace that the log does not know of.
fn populate(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let positive =
        |word: &[u8]| parse_i64(word).and_then(|number| usize::try_from(number).ok()).ok_or(Refusal::NotPositive);
    let count = positive(args.bytes()?)?;
    let prefix = args.maybe().unwrap_or(b"key");
    let size = if args.left() > 0 { positive(args.bytes()?)? } else { 0 };
    if cx.server.loading.is_some() {
        return Err(Refusal::Loading);
    }
    let (mut name, mut value) = (Vec::new(), Vec::new());
    for number in 0..count {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        name.clear();
        name.extend_from_slice(prefix);
        name.push(b':');
        name.extend_from_slice(digits);
        value.clear();
        value.extend_from_slice(b"value:");
        value.extend_from_slice(digits);
        if size > 0 {
            value.resize(size, 0);
        }
        let key = cx.key(&name);
        if cx.is_there(key) {
            continue;
        }
        cx.put(key, &value, None);
        cx.feed(&[b"SET", &name, &value]);
        cx.end_unit();
    }
    ok(cx)
}
