//! XINFO: a stream, its groups and their consumers as they are.

use super::help::help;
use super::stream::{read, tell_entries, tell_entry, tell_id};
use super::stream_group::{no_such_group, unknown};
use crate::base::StreamId;
use crate::command::spec::{Group, KeySpec, LOADING, NONE, READONLY, STALE, Spec, key, spec};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::keyspace::{Group as Consumers, StreamHead, StreamRef};
use crate::resp::Writer;

const KEY: &[KeySpec] = &[key(2, &["RO", "access"])];

const fn sub(name: &'static str, arity: i16, run: crate::command::spec::Run) -> Spec {
    spec(name, arity, READONLY, Group::Stream, run).keys(KEY).sub_of("xinfo")
}

pub const ROWS: &[Spec] = &[spec("xinfo", -2, NONE, Group::Stream, |_, _| Err(Refusal::Syntax))
    .with(&[
        sub("consumers", 4, consumers).doc("5.0.0", "Returns a list of the consumers in a consumer group."),
        sub("groups", 3, groups).doc("5.0.0", "Returns a list of the consumer groups of a stream."),
        spec("help", 2, LOADING.or(STALE), Group::Stream, |cx, _| help(cx, HELP))
            .sub_of("xinfo")
            .doc("5.0.0", "Returns helpful text about the different subcommands."),
        sub("stream", -3, stream).doc("5.0.0", "Returns information about a stream."),
    ])
    .doc("5.0.0", "A container for stream introspection commands.")];

const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Show consumers of <groupname>.",
    "GROUPS <key>",
    "    Show the stream consumer groups.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Show information about the stream.",
];

fn number(reply: &mut Writer<'_>, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.int(value);
}

fn place(reply: &mut Writer<'_>, name: &str, value: StreamId) {
    reply.bulk(name.as_bytes());
    tell_id(reply, value);
}

fn maybe(reply: &mut Writer<'_>, name: &str, value: Option<i64>) {
    reply.bulk(name.as_bytes());
    match value {
        Some(value) => reply.int(value),
        None => reply.null(),
    }
}

/// How far a group has come.
fn progress(reply: &mut Writer<'_>, head: &StreamHead, group: &Consumers) {
    place(reply, "last-delivered-id", group.last);
    maybe(reply, "entries-read", group.read.map(|read| read as i64));
    maybe(reply, "lag", head.lag(group.last, group.read));
}

/// XINFO CONSUMERS key group
fn consumers(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name) = (cx.key(args.bytes()?), args.bytes()?);
    let now = cx.now.0;
    let found = read(cx, key, |stream, mut reply| {
        let group = stream.group(name)?;
        reply.array(group.consumers().len());
        for (_, consumer) in group.consumers() {
            reply.map(4);
            reply.bulk(b"name");
            reply.bulk(&consumer.name);
            number(&mut reply, "pending", consumer.pending() as i64);
            number(&mut reply, "idle", now.saturating_sub(consumer.seen).max(0));
            let inactive = if consumer.active == -1 { -1 } else { now.saturating_sub(consumer.active) };
            number(&mut reply, "inactive", inactive);
        }
        Some(())
    })?;
    match found {
        None => Err(Refusal::NoSuchKey),
        Some(None) => Err(no_such_group(key, name)),
        Some(Some(())) => Ok(()),
    }
}

/// XINFO GROUPS key
fn groups(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let found = read(cx, key, |stream, mut reply| {
        reply.array(stream.groups().len());
        for group in stream.groups() {
            reply.map(6);
            reply.bulk(b"name");
            reply.bulk(&group.name);
            number(&mut reply, "consumers", group.consumers().len() as i64);
            number(&mut reply, "pending", group.pending() as i64);
            progress(&mut reply, &stream.head(), group);
        }
    })?;
    found.ok_or(Refusal::NoSuchKey)
}

/// XINFO STREAM key \[FULL \[COUNT count\]\]
fn stream(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    if read(cx, key, |_, _| ())?.is_none() {
        return Err(Refusal::NoSuchKey);
    }
    let mut full = None;
    if args.left() > 0 {
        let fits = matches!(args.left(), 1 | 3) && args.take("full") && (args.left() == 0 || args.take("count"));
        if !fits {
            return Err(unknown(cx, args));
        }
        let count = if args.left() > 0 { args.int()? } else { 10 };
        full = Some(match count {
            ..0 => 10,
            0 => usize::MAX,
            count => count as usize,
        });
    }
    let _ = read(cx, key, |stream, mut reply| tell(&mut reply, stream, full));
    Ok(())
}

fn tell(reply: &mut Writer<'_>, stream: StreamRef<'_>, full: Option<usize>) {
    let head = stream.head();
    reply.map(if full.is_some() { 9 } else { 10 });
    number(reply, "length", head.length as i64);
    number(reply, "radix-tree-keys", stream.node_count() as i64);
    let ids = stream.nodes(StreamId::MIN..=StreamId::MAX).map(|node| node.id().to_bytes());
    number(reply, "radix-tree-nodes", radix_nodes(ids) as i64);
    place(reply, "last-generated-id", head.last);
    place(reply, "max-deleted-entry-id", head.max_deleted);
    number(reply, "entries-added", head.added as i64);
    place(reply, "recorded-first-entry-id", head.first);
    let all = StreamId::MIN..=StreamId::MAX;
    let Some(count) = full else {
        number(reply, "groups", stream.groups().len() as i64);
        let ends = [("first-entry", stream.range(all.clone()).next()), ("last-entry", stream.range_back(all).next())];
        for (name, entry) in ends {
            reply.bulk(name.as_bytes());
            match entry {
                Some(entry) => tell_entry(reply, entry),
                None => reply.null(),
            }
        }
        return;
    };
    reply.bulk(b"entries");
    tell_entries(reply, stream.range(all).take(count));
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    stream.groups().iter().for_each(|group| tell_group(reply, &head, group, count));
}

fn tell_group(reply: &mut Writer<'_>, head: &StreamHead, group: &Consumers, count: usize) {
    reply.map(7);
    reply.bulk(b"name");
    reply.bulk(&group.name);
    progress(reply, head, group);
    number(reply, "pel-count", group.pending() as i64);
    reply.bulk(b"pending");
    reply.array(usize::try_from(group.pending()).unwrap_or(usize::MAX).min(count));
    for pending in group.pending_from(StreamId::MIN).take(count) {
        reply.array(4);
        tell_id(reply, pending.id);
        reply.bulk(group.consumer(pending.consumer).map_or(b"", |consumer| &consumer.name));
        reply.int(pending.delivered);
        reply.int(pending.count as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    for (consumer_number, consumer) in group.consumers() {
        reply.map(5);
        reply.bulk(b"name");
        reply.bulk(&consumer.name);
        number(reply, "seen-time", consumer.seen);
        number(reply, "active-time", consumer.active);
        number(reply, "pel-count", consumer.pending() as i64);
        reply.bulk(b"pending");
        reply.array(consumer.pending().min(count));
        for pending in group.pending_of(consumer_number, StreamId::MIN).take(count) {
            reply.array(3);
            tell_id(reply, pending.id);
            reply.int(pending.delivered);
            reply.int(pending.count as i64);
        }
    }
}

/// How many nodes Redis' radix tree has for these keys, which rise: leaves, branches, and the runs of single bytes in
/// front of both.
fn radix_nodes(mut keys: impl Iterator<Item = [u8; 16]>) -> usize {
    let Some(mut before) = keys.next() else { return 1 };
    let run = |from: Option<usize>, to: usize| usize::from(to > from.map_or(0, |from| from + 1));
    // The depths of the branches that lead to the last key.
    let mut branches: Vec<usize> = Vec::new();
    let mut nodes = 0;
    for key in keys {
        let depth = before.iter().zip(&key).take_while(|(one, other)| one == other).count();
        let parent = branches.last().map_or(depth, |&last| last.max(depth));
        nodes += 1 + run(Some(parent), 16);
        while branches.last().is_some_and(|&last| last > depth) {
            let last = branches.pop().unwrap_or(depth);
            let parent = branches.last().map_or(depth, |&next| next.max(depth));
            nodes += 1 + run(Some(parent), last);
        }
        if branches.last() != Some(&depth) {
            branches.push(depth);
        }
        before = key;
    }
    nodes += 1 + run(branches.last().copied(), 16);
    while let Some(last) = branches.pop() {
        nodes += 1 + run(branches.last().copied(), last);
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radix_tree_of_redis() {
        let nodes = |ids: &[(u64, u64)]| radix_nodes(ids.iter().map(|&(ms, seq)| StreamId { ms, seq }.to_bytes()));
        assert_eq!(nodes(&[]), 1);
        assert_eq!(nodes(&[(1, 1)]), 2);
        assert_eq!(nodes(&[(1, 0), (2, 0)]), 6);
        assert_eq!(nodes(&[(1, 1), (1, 2)]), 4);
    }
}
