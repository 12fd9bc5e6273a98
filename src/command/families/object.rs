//! OBJECT: how a value is held, and when it was used last.

use super::help::help;
use crate::base::Millis;
use crate::command::spec::{Categories, Flags, Group, KeySpec, LOADING, NONE, READONLY, STALE, Spec, key, spec};
use crate::command::{Args, Cx, Outcome, Refusal, Server};
use crate::keyspace::{EntryRef, StrRef, access_clock};

const KEY: &[KeySpec] = &[key(2, &["RO"])];

const fn sub(name: &'static str, run: crate::command::spec::Run) -> Spec {
    spec(name, 3, READONLY, Group::Generic, run).keys(KEY).acl(Categories::KEYSPACE).sub_of("object")
}

const ALWAYS: Flags = LOADING.or(STALE);

pub const ROWS: &[Spec] = &[spec("object", -2, NONE, Group::Generic, |_, _| Err(Refusal::Syntax))
    .with(&[
        sub("encoding", encoding).doc("2.2.3", "Returns the internal encoding of a Redis object."),
        sub("freq", freq).doc("4.0.0", "Returns the logarithmic access frequency counter of a Redis object."),
        sub("idletime", idletime).doc("2.2.3", "Returns the time since the last access to a Redis object."),
        sub("refcount", refcount).doc("2.2.3", "Returns the reference count of a value of a key."),
        spec("help", 2, ALWAYS, Group::Generic, |cx, _| help(cx, HELP))
            .acl(Categories::KEYSPACE)
            .sub_of("object")
            .doc("6.2.0", "Returns helpful text about the different subcommands."),
    ])
    .doc("2.2.3", "A container for object introspection commands.")];

const HELP: &[&str] = &[
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
];

/// Redis shares the objects of these numbers, and counts their references as endless.
const SHARED_NUMBERS: std::ops::Range<i64> = 0..10_000;
const SHARED_REFERENCES: i64 = i32::MAX as i64;

/// Seconds since an entry was used, by its access clock of 24 bits. One that was not used since it was loaded has none:
/// it has been idle for as long as the process runs.
pub(super) fn idle_seconds(entry: EntryRef<'_>, now: Millis, mono: Millis) -> i64 {
    match entry.access() {
        0 => mono.seconds(),
        used => i64::from(access_clock(now).wrapping_sub(used) & 0xff_ffff),
    }
}

/// Numbers have no objects of their own; where each key has a time or a count for eviction, Redis shares none.
pub(super) fn shares_numbers(server: &Server) -> bool {
    let settings = &server.config.settings;
    let policy = settings.maxmemory_policy;
    settings.maxmemory == 0 || !(policy.counts_uses() || policy.notes_time())
}

pub(super) fn references(entry: EntryRef<'_>, shares: bool) -> i64 {
    match entry.string() {
        Some(StrRef::Int(number)) if shares && SHARED_NUMBERS.contains(&number) => SHARED_REFERENCES,
        _ => 1,
    }
}

/// OBJECT ENCODING key
fn encoding(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    match cx.peek(key, |entry, _| entry.encoding()) {
        Some(name) => cx.reply().bulk(name.as_bytes()),
        None => cx.reply().null(),
    }
    Ok(())
}

/// OBJECT REFCOUNT key
fn refcount(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let shares = shares_numbers(cx.server);
    match cx.peek(key, |entry, _| references(entry, shares)) {
        Some(count) => cx.reply().int(count),
        None => cx.reply().null(),
    }
    Ok(())
}

/// OBJECT IDLETIME key
fn idletime(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (now, mono) = (cx.now, cx.server.mono);
    match cx.peek(key, |entry, _| idle_seconds(entry, now, mono)) {
        None => cx.reply().null(),
        Some(_) if cx.server.config.settings.maxmemory_policy.counts_uses() => {
            return Err(Refusal::err(format_args!(
                "An LFU maxmemory policy is selected, idle time not tracked. {SWITCHING}"
            )));
        }
        Some(seconds) => cx.reply().int(seconds),
    }
    Ok(())
}

/// OBJECT FREQ key
fn freq(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (now, frequencies) = (cx.now, cx.server.frequencies());
    match cx.peek(key, |entry, _| frequencies.of(entry.access(), now)) {
        None => cx.reply().null(),
        Some(_) if !cx.server.config.settings.maxmemory_policy.counts_uses() => {
            return Err(Refusal::err(format_args!(
                "An LFU maxmemory policy is not selected, access frequency not tracked. {SWITCHING}"
            )));
        }
        Some(count) => cx.reply().int(i64::from(count)),
    }
    Ok(())
}

const SWITCHING: &str = "Please note that when switching between policies at runtime LRU and LFU data will take some \
                         time to adjust.";
