//! DEBUG, for tests and for the curious: only where `enable-debug-command` allows it.

use super::config::is_local;
use super::help::help;
use super::object::{idle_seconds, references, shares_numbers};
use crate::base::Millis;
use crate::base::number::{parse_f64, parse_i64};
use crate::command::spec::{ADMIN, Group, LOADING, NOSCRIPT, STALE, Spec, spec};
use crate::command::transfer;
use crate::command::{Args, Ask, Blocked, Cx, Outcome, PEAK_RESET, Refusal};
use crate::config::bytes_with_unit;
use crate::keyspace::{Digest, EntryRef};
use crate::rdb::Checksum;
use crate::resp::Proto;

pub const ROWS: &[Spec] = &[spec("debug", -2, ADMIN.or(NOSCRIPT).or(LOADING).or(STALE), Group::Server, debug)
    .doc("1.0.0", "A container for debugging commands.")];

const NOT_ALLOWED: &str = "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run \
                           it from a local connection, otherwise you need to set this option in the configuration \
                           file, and then restart the server.";

const HELP: &[&str] = &[
    "CHANGE-REPL-ID",
    "    Change the replication IDs of the instance.",
    "    Dangerous: should be used only for testing the replication subsystem.",
    "DIGEST",
    "    Output a hex signature representing the current DB content.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Output a hex signature of the values of all the specified keys.",
    "ERROR <string>",
    "    Return a Redis protocol error with <string> as message. Useful for clients",
    "    unit tests to simulate Redis errors.",
    "LOADAOF",
    "    Write a checkpoint and reload the keyspace from disk.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "OBJECT <key>",
    "    Show low level info about `key` and associated value.",
    "PANIC",
    "    Crash the server simulating a panic.",
    "PAUSE-CRON <0|1>",
    "    Stop what the server does by itself now and then, or go on with it: expiry,",
    "    eviction, rates, idle clients. Deadlines of blocked clients and links go on.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> string keys named key:<num>. If <prefix> is specified then",
    "    it is used instead of the 'key' prefix. They go through the replication",
    "    stream as any other write.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type. <type> can be: string,",
    "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
    "    true, false.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Takes a size, and does nothing: a long element of a list stands in a leaf of",
    "    its own by the size of a leaf.",
    "RELOAD",
    "    Write a checkpoint and reload the keyspace from disk.",
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
    "    Setting it to 1 lets scripts call commands that are not for scripts, but for",
    "    those of transactions, subscriptions and other scripts.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Enables or disables checksum checks of the payload of RESTORE.",
    "SLEEP <seconds>",
    "    Stop the server for <seconds>. Decimals allowed.",
];

/// DEBUG subcommand [argument ...]
fn debug(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let local = is_local(cx.client());
    if !cx.server.config.settings.enable_debug_command.allows(local) {
        return Err(Refusal::err(NOT_ALLOWED));
    }
    let name = args.bytes()?;
    match (name.to_ascii_lowercase().as_slice(), args.left()) {
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
        (b"digest", 0) => {
            let digest = cx.server.keyspace.digest();
            cx.reply().simple(&hex(digest));
            Ok(())
        }
        (b"digest-value", _) => digest_value(cx, args),
        (b"object", 1 | 2) => object(cx, args),
        (b"populate", 1..=3) => populate(cx, args),
        (b"set-active-expire", 1) => {
            cx.server.active_expire = args.bytes()? != b"0";
            ok(cx)
        }
        (b"set-disable-deny-scripts", 1) => {
            cx.server.scripting.deny_ignored = args.bytes()? != b"0";
            ok(cx)
        }
        (b"pause-cron", 1) => {
            cx.server.cron_paused = args.bytes()? != b"0";
            ok(cx)
        }
        (b"set-skip-checksum-validation", 1) => {
            cx.server.payload_checksum = if args.bytes()? == b"0" { Checksum::Check } else { Checksum::Skip };
            ok(cx)
        }
        (b"replybuffer", 2) => {
            reply_buffer(cx, args)?;
            ok(cx)
        }
        (b"quicklist-packed-threshold", 1) => {
            let size = std::str::from_utf8(args.bytes()?).ok().and_then(bytes_with_unit);
            let size = size.filter(|size| (0..1 << 32).contains(size));
            size.ok_or_else(|| Refusal::err("argument must be a memory value bigger than 1 and smaller than 4gb"))?;
            ok(cx)
        }
        (b"reload" | b"loadaof", _) => {
            if !cx.may_block() {
                return Err(Refusal::err("DEBUG RELOAD is not allowed inside a transaction"));
            }
            let slot = cx.slot;
            cx.ask(Ask::Reload { slot });
            cx.block(Blocked::Checkpoint);
            Ok(())
        }
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
        (b"protocol", 1) => protocol(cx, args.bytes()?),
        (b"segfault" | b"panic", 0) => {
            cx.ask(Ask::Die);
            Ok(())
        }
        _ => Err(Refusal::err(format!(
            "unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
            String::from_utf8_lossy(&name[..name.len().min(128)])
        ))),
    }
}

fn ok(cx: &mut Cx<'_>) -> Outcome {
    cx.reply().ok();
    Ok(())
}

/// As `atoi` reads it: what is no number is off.
fn is_on(args: &mut Args<'_>) -> Result<bool, Refusal> {
    Ok(parse_i64(args.bytes()?).is_some_and(|number| number != 0))
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

fn hex(digest: Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// DEBUG DIGEST-VALUE [key ...]
fn digest_value(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply().array(args.left());
    while let Some(key) = args.maybe() {
        let key = cx.key(key);
        let digest = cx.peek(key, |entry, _| entry.digest()).unwrap_or_default();
        cx.reply().simple(&hex(digest));
    }
    Ok(())
}

/// DEBUG OBJECT key \[FAST\]
fn object(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let fast = args.take("fast");
    let now = cx.now;
    let entry = cx.server.keyspace.db(cx.db as usize).get(key).ok_or(Refusal::NoSuchKey)?;
    let len = match fast {
        true => String::new(),
        false => format!(" serializedlength:{}", serialized_len(entry)),
    };
    let text = format!(
        "Value at:{:p} refcount:{} encoding:{}{len} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        references(entry, shares_numbers(cx.server)),
        entry.encoding(),
        entry.access(),
        idle_seconds(entry, now, cx.server.mono),
    );
    cx.reply().simple(&text);
    Ok(())
}

/// Bytes of the value in an RDB file.
fn serialized_len(entry: EntryRef<'_>) -> usize {
    const FRAME: usize = 1 + 2 + 8; // DUMP's type, version and checksum
    transfer::dump(entry.value()).len() - FRAME
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

/// DEBUG PROTOCOL type: for the tests of clients.
#[expect(clippy::approx_constant, reason = "the number that Redis gives")]
fn protocol(cx: &mut Cx<'_>, kind: &[u8]) -> Outcome {
    let resp3 = cx.proto == Proto::Resp3;
    let mut reply = cx.reply();
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(3.141),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.bool(number == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                reply.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if resp3 => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"push" => return Err(Refusal::err("RESP2 is not supported by this command")),
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        b"verbatim" => reply.verbatim("txt", "This is a verbatim\nstring"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        _ => {
            return Err(Refusal::err(
                "Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|\
                 attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
