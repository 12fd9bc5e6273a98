//! Streams: consumer groups and what is pending in them.

use super::help::help;
use super::stream::{change, held, read, tell_id};
use super::stream_read::{change_group, see};
use super::stream_words::{any_id, bounds, id};
use crate::base::StreamId;
use crate::command::spec::{
    DENYOOM, FAST, Flags, Group, KeySpec, LOADING, NONE, READONLY, STALE, Spec, WRITE, key, spec,
};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{Key, Kind, Pending};

const INSERT: &[KeySpec] = &[key(2, &["RW", "insert"])];
const UPDATE: &[KeySpec] = &[key(2, &["RW", "update"])];
const DELETE: &[KeySpec] = &[key(2, &["RW", "delete"])];
const MAKES: Flags = WRITE.or(DENYOOM);

const fn sub(name: &'static str, arity: i16, flags: Flags, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, flags, Group::Stream, run).sub_of("xgroup")
}

pub const ROWS: &[Spec] = &[
    spec("xgroup", -2, NONE, Group::Stream, |_, _| Err(Refusal::Syntax))
        .with(&[
            sub("create", -5, MAKES, create).keys(INSERT).doc("5.0.0", "Creates a consumer group."),
            sub("createconsumer", 5, MAKES, create_consumer)
                .keys(INSERT)
                .doc("6.2.0", "Creates a consumer in a consumer group."),
            sub("delconsumer", 5, WRITE, delete_consumer)
                .keys(DELETE)
                .doc("5.0.0", "Deletes a consumer from a consumer group."),
            sub("destroy", 4, WRITE, destroy).keys(DELETE).doc("5.0.0", "Destroys a consumer group."),
            sub("help", 2, LOADING.or(STALE), |cx, _| help(cx, HELP))
                .doc("5.0.0", "Returns helpful text about the different subcommands."),
            sub("setid", -5, WRITE, set_id)
                .keys(UPDATE)
                .doc("5.0.0", "Sets the last-delivered ID of a consumer group."),
        ])
        .doc("5.0.0", "A container for consumer groups commands."),
    spec("xack", -4, WRITE.or(FAST), Group::Stream, xack).keys(&[key(1, &["RW", "update"])]).doc(
        "5.0.0",
        "Returns the number of messages that were successfully acknowledged by the consumer group member of a stream.",
    ),
    spec("xpending", -3, READONLY, Group::Stream, xpending)
        .keys(&[key(1, &["RO", "access"])])
        .doc("5.0.0", "Returns the information and entries from a stream consumer group's pending entries list."),
];

const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
];

/// A container's subcommand that was given words that it does not take.
pub fn unknown(cx: &Cx<'_>, args: &Args<'_>) -> Refusal {
    let (name, sub) = (cx.spec.parent.unwrap_or(cx.spec.name).to_uppercase(), args.at(1));
    let sub = String::from_utf8_lossy(&sub[..sub.len().min(128)]);
    Refusal::err(format!("unknown subcommand or wrong number of arguments for '{sub}'. Try {name} HELP."))
}

/// What CREATE and SETID are told besides.
#[derive(Default)]
struct Options {
    make: bool,
    read: Option<u64>,
}

impl Options {
    fn read(cx: &Cx<'_>, args: &mut Args<'_>, creates: bool) -> Result<Options, Refusal> {
        let mut options = Options::default();
        args.skip(3);
        while args.left() > 0 {
            if creates && args.take("mkstream") {
                options.make = true;
            } else if args.left() > 1 && args.take("entriesread") {
                options.read = match args.int()? {
                    -1 => None,
                    ..0 => return Err(Refusal::err("value for ENTRIESREAD must be positive or -1")),
                    read => Some(read as u64),
                };
            } else {
                return Err(unknown(cx, args));
            }
        }
        Ok(options)
    }
}

/// The stream of a group must be there.
fn stream_there(cx: &mut Cx<'_>, key: Key<'_>) -> Result<(), Refusal> {
    match cx.writing_kind(key, Kind::Stream)? {
        true => Ok(()),
        false => Err(Refusal::err(
            "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
             option to create an empty stream automatically.",
        )),
    }
}

/// The group must be there too.
fn group_there(cx: &mut Cx<'_>, key: Key<'_>, name: &[u8]) -> Result<(), Refusal> {
    stream_there(cx, key)?;
    match held(cx, key).group(name) {
        Some(_) => Ok(()),
        None => Err(no_such_group(key, name)),
    }
}

/// The group of a stream that is there.
pub fn no_such_group(key: Key<'_>, name: &[u8]) -> Refusal {
    let (name, key) = (String::from_utf8_lossy(name), String::from_utf8_lossy(key.bytes));
    Refusal::Text(format!("NOGROUP No such consumer group '{name}' for key name '{key}'").into())
}

/// The stream, or its group.
pub fn no_such_key(key: Key<'_>, name: &[u8]) -> Refusal {
    let (name, key) = (String::from_utf8_lossy(name), String::from_utf8_lossy(key.bytes));
    Refusal::Text(format!("NOGROUP No such key '{key}' or consumer group '{name}'").into())
}

/// XGROUP CREATE key group id | $ \[MKSTREAM\] \[ENTRIESREAD entries-read\]
fn create(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let Options { make, read } = Options::read(cx, args, true)?;
    let (key, name) = (cx.key(args.at(2)), args.at(3));
    let there = cx.writing_kind(key, Kind::Stream)?;
    if !there && !make {
        stream_there(cx, key)?;
    }
    if args.len() > 8 {
        return Err(unknown(cx, args));
    }
    let last = match args.at(4) {
        b"$" if there => held(cx, key).head().last,
        b"$" => StreamId::MIN,
        word => id(word)?,
    };
    if there && held(cx, key).group(name).is_some() {
        return Err(Refusal::Text("BUSYGROUP Consumer Group name already exists".into()));
    }
    change(cx, key, |stream| stream.add_group(name, last, read));
    if there {
        cx.counted(1);
    } else {
        cx.born(key.bytes);
        cx.changed(key.bytes);
    }
    cx.notify(Class::Stream, "xgroup-create", key.bytes);
    cx.feed_request(args);
    cx.reply().ok();
    Ok(())
}

/// XGROUP SETID key group id | $ \[ENTRIESREAD entries-read\]
fn set_id(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let Options { read, .. } = Options::read(cx, args, false)?;
    let (key, name) = (cx.key(args.at(2)), args.at(3));
    group_there(cx, key, name)?;
    if !matches!(args.len(), 5 | 7) {
        return Err(unknown(cx, args));
    }
    let last = match args.at(4) {
        b"$" => held(cx, key).head().last,
        word => any_id(word, 0)?,
    };
    change_group(cx, key, name, |group| group.set(last, read));
    cx.counted(1);
    cx.notify(Class::Stream, "xgroup-setid", key.bytes);
    cx.feed_request(args);
    cx.reply().ok();
    Ok(())
}

/// XGROUP DESTROY key group. Who waits as one of its consumers is told.
fn destroy(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (cx.key(args.bytes()?), args.bytes()?);
    stream_there(cx, key)?;
    let there = held(cx, key).group(name).is_some();
    if there {
        change(cx, key, |stream| stream.remove_group(name));
        cx.counted(1);
        cx.wake(key.bytes);
        cx.notify(Class::Stream, "xgroup-destroy", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(there));
    Ok(())
}

/// XGROUP CREATECONSUMER key group consumer
fn create_consumer(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, consumer) = (cx.key(args.bytes()?), args.bytes()?, args.bytes()?);
    group_there(cx, key, name)?;
    let fresh = held(cx, key).group(name).is_some_and(|group| group.consumer_number(consumer).is_none());
    if fresh {
        let now = cx.now.0;
        change_group(cx, key, name, |group| see(group, consumer, now));
        cx.counted(1);
        cx.notify(Class::Stream, "xgroup-createconsumer", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(fresh));
    Ok(())
}

/// XGROUP DELCONSUMER key group consumer
fn delete_consumer(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, consumer) = (cx.key(args.bytes()?), args.bytes()?, args.bytes()?);
    group_there(cx, key, name)?;
    let pending = change_group(cx, key, name, |group| group.remove_consumer(consumer));
    if pending.is_some() {
        cx.counted(1);
        cx.notify(Class::Stream, "xgroup-delconsumer", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(pending.unwrap_or(0) as i64);
    Ok(())
}

/// XACK key group id [id ...]
fn xack(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (cx.key(args.bytes()?), args.bytes()?);
    let there = read(cx, key, |stream, _| stream.group(name).is_some())?;
    let mut acknowledged = 0;
    if there == Some(true) {
        let ids: Vec<StreamId> = args.all().skip(3).map(id).collect::<Result<_, _>>()?;
        acknowledged = change_group(cx, key, name, |group| ids.iter().filter(|&&id| group.take(id)).count());
    }
    if acknowledged > 0 {
        cx.counted(acknowledged as u64);
        cx.feed_request(args);
    }
    cx.reply().int(acknowledged as i64);
    Ok(())
}

/// XPENDING key group \[\[IDLE min-idle-time\] start end count \[consumer\]\]
fn xpending(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (cx.key(args.bytes()?), args.bytes()?);
    if args.len() == 3 {
        return pending_summary(cx, key, name);
    }
    if !(6..=9).contains(&args.len()) {
        return Err(Refusal::Syntax);
    }
    let mut idle_min = 0;
    if args.take("idle") {
        idle_min = args.int()?;
        if args.left() < 3 {
            return Err(Refusal::Syntax);
        }
    }
    let (first, last) = (args.bytes()?, args.bytes()?);
    let count = args.int()?.max(0) as usize;
    let range = bounds(first, last)?;
    let consumer = args.maybe();
    let now = cx.now.0;
    let found = read(cx, key, |stream, mut reply| {
        let Some(group) = stream.group(name) else { return false };
        let number = match consumer.map(|consumer| group.consumer_number(consumer)) {
            Some(None) => {
                reply.array(0);
                return true;
            }
            Some(number) => number,
            None => None,
        };
        let (start, end) = (*range.start(), *range.end());
        let all = number.is_none().then(|| group.pending_from(start));
        let own = number.map(|number| group.pending_of(number, start));
        let pending = all.into_iter().flatten().chain(own.into_iter().flatten());
        let pending = pending.take_while(|pending| pending.id <= end);
        let idle = |pending: &&Pending| idle_min == 0 || now.saturating_sub(pending.delivered) >= idle_min;
        let (at, mut told) = (reply.len(), 0);
        for pending in pending.filter(idle).take(count) {
            reply.array(4);
            tell_id(&mut reply, pending.id);
            reply.bulk(group.consumer(pending.consumer).map_or(b"", |consumer| &consumer.name));
            reply.int(now.saturating_sub(pending.delivered).max(0));
            reply.int(pending.count as i64);
            told += 1;
        }
        reply.array_at(at, told);
        true
    })?;
    match found {
        Some(true) => Ok(()),
        _ => Err(no_such_key(key, name)),
    }
}

fn pending_summary(cx: &mut Cx<'_>, key: Key<'_>, name: &[u8]) -> Outcome {
    let found = read(cx, key, |stream, mut reply| {
        let Some(group) = stream.group(name) else { return false };
        reply.array(4);
        reply.int(group.pending() as i64);
        match (group.pending_from(StreamId::MIN).next(), group.last_pending()) {
            (Some(first), Some(last)) => {
                tell_id(&mut reply, first.id);
                tell_id(&mut reply, last.id);
                let busy = || group.consumers().filter(|(_, consumer)| consumer.pending() > 0);
                reply.array(busy().count());
                for (_, consumer) in busy() {
                    reply.array(2);
                    reply.bulk(&consumer.name);
                    reply.bulk_int(consumer.pending() as i64);
                }
            }
            _ => {
                reply.null();
                reply.null();
                reply.null_array();
            }
        }
        true
    })?;
    match found {
        Some(true) => Ok(()),
        _ => Err(no_such_key(key, name)),
    }
}
