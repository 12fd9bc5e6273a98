//! Streams: adding, trimming, deleting and reading entries. Waiting for them is in `stream_read`, consumer groups are in
//! `stream_group`, `stream_claim` and `stream_info`.

use super::stream_words::{Asked, Options, Trimming, bounds, id};
use crate::base::{IdText, StreamId};
use crate::command::spec::{DENYOOM, FAST, Group, KeySpec, READONLY, Spec, WRITE, key, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{Keep, Key, Kind, NODE_BYTES_MAX, StreamEntry, StreamHead, StreamMut, StreamRef};
use crate::resp::Writer;

const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const UPDATE: &[KeySpec] = &[key(1, &["RW", "update"])];
const DELETE: &[KeySpec] = &[key(1, &["RW", "delete"])];

pub const ROWS: &[Spec] = &[
    spec("xadd", -5, WRITE.or(DENYOOM).or(FAST), Group::Stream, xadd)
        .keys(UPDATE)
        .doc("5.0.0", "Appends a new message to a stream. Creates the key if it doesn't exist."),
    spec("xlen", 2, READONLY.or(FAST), Group::Stream, xlen)
        .keys(&[key(1, &["RO"])])
        .doc("5.0.0", "Return the number of messages in a stream."),
    spec("xrange", -4, READONLY, Group::Stream, |cx, args| range(cx, args, Way::Forward))
        .keys(READ)
        .doc("5.0.0", "Returns the messages from a stream within a range of IDs."),
    spec("xrevrange", -4, READONLY, Group::Stream, |cx, args| range(cx, args, Way::Back))
        .keys(READ)
        .doc("5.0.0", "Returns the messages from a stream within a range of IDs in reverse order."),
    spec("xdel", -3, WRITE.or(FAST), Group::Stream, xdel)
        .keys(DELETE)
        .doc("5.0.0", "Returns the number of messages after removing them from a stream."),
    spec("xtrim", -4, WRITE, Group::Stream, xtrim)
        .keys(DELETE)
        .doc("5.0.0", "Deletes messages from the beginning of a stream."),
    spec("xsetid", -3, WRITE.or(DENYOOM).or(FAST), Group::Stream, xsetid)
        .keys(UPDATE)
        .doc("5.0.0", "An internal command for replicating stream values."),
];

/// Looks a stream up to read it.
pub fn read<R>(
    cx: &mut Cx<'_>,
    key: Key<'_>,
    found: impl FnOnce(StreamRef<'_>, Writer<'_>) -> R,
) -> Result<Option<R>, Refusal> {
    cx.read(key, |entry, reply| entry.stream().map(|stream| found(stream, reply)).ok_or(Refusal::WrongType)).transpose()
}

/// The stream of a key whose type was checked.
pub fn held<'c>(cx: &'c Cx<'_>, key: Key<'_>) -> StreamRef<'c> {
    let entry = cx.server.keyspace.db(cx.db as usize).get(key);
    entry.and_then(|entry| entry.stream()).expect("its type was checked")
}

/// Changes a stream, made empty where there is none; its type was checked.
pub fn change<R>(cx: &mut Cx<'_>, key: Key<'_>, change: impl FnOnce(&mut StreamMut<'_, '_>) -> R) -> R {
    let mut db = cx.server.keyspace.db_mut(cx.db as usize);
    let mut stream = db.stream_or_new(key);
    change(&mut stream)
}

/// An entry: its id, its fields and values.
pub fn tell_entry(reply: &mut Writer<'_>, entry: StreamEntry<'_>) {
    let mut digits = Default::default();
    reply.array(2);
    reply.bulk(entry.id.text(&mut IdText::default()));
    reply.array(2 * entry.fields);
    for (name, value) in entry.pairs() {
        reply.bulk(name.bytes(&mut digits));
        reply.bulk(value.bytes(&mut digits));
    }
}

/// An array of entries, of which nobody knows yet how many they are.
pub fn tell_entries<'e>(reply: &mut Writer<'_>, entries: impl Iterator<Item = StreamEntry<'e>>) {
    let (at, mut count) = (reply.len(), 0);
    for entry in entries {
        tell_entry(reply, entry);
        count += 1;
    }
    reply.array_at(at, count);
}

/// An id as a bulk string.
pub fn tell_id(reply: &mut Writer<'_>, id: StreamId) {
    reply.bulk(id.text(&mut IdText::default()));
}

/// XADD key \[NOMKSTREAM\] \[MAXLEN | MINID \[= | ~\] threshold \[LIMIT count\]\] * | id field value [field value ...]
///
/// Fed with the id that it got, and with what an approximate trimming has left.
fn xadd(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = Options::read(cx, args, true)?;
    let first = options.id_at + 1;
    let words = args.len().saturating_sub(first);
    if words < 2 || words % 2 == 1 {
        return Err(Refusal::Arity("xadd".into()));
    }
    if options.asked == Asked::Id(StreamId::MIN) {
        return Err(Refusal::err("The ID specified in XADD must be greater than 0-0"));
    }
    let key = cx.key(args.at(1));
    let there = cx.writing_kind(key, Kind::Stream)?;
    if !there && options.no_make {
        cx.reply().null();
        return Ok(());
    }
    let last = if there { held(cx, key).head().last } else { StreamId::MIN };
    if last == StreamId::MAX {
        return Err(Refusal::err("The stream has exhausted the last possible ID, unable to add more items"));
    }
    let id = options.asked.next(last, cx.now).filter(|&id| id > last);
    let id =
        id.ok_or_else(|| Refusal::err("The ID specified in XADD is equal or smaller than the target stream top item"))?;
    let pair = |index: usize| (args.at(first + 2 * index), args.at(first + 2 * index + 1));
    if args.all().skip(first).map(<[u8]>::len).sum::<usize>() > NODE_BYTES_MAX {
        return Err(Refusal::err("Elements are too large to be stored"));
    }
    let limits = options.nodes;
    let (trimmed, kept) = change(cx, key, |stream| {
        stream.add(limits, id, words / 2, pair);
        options.trimming.as_ref().map_or((0, None), |trimming| trimming.apply(stream))
    });
    if !there {
        cx.born(key.bytes);
    }
    cx.changed(key.bytes);
    cx.notify(Class::Stream, "xadd", key.bytes);
    if trimmed > 0 {
        cx.notify(Class::Stream, "xtrim", key.bytes);
    }
    let mut room = IdText::default();
    let text = id.text(&mut room);
    let asked = (options.id_at, if matches!(options.asked, Asked::Id(_)) { args.at(options.id_at) } else { text });
    feed(cx, args, Some(asked), options.trimming.as_ref(), kept.as_deref());
    cx.reply().bulk(text);
    Ok(())
}

/// Feeds XADD or XTRIM with its id, and exactly trimmed.
fn feed(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    id: Option<(usize, &[u8])>,
    trimming: Option<&Trimming>,
    kept: Option<&[u8]>,
) {
    let threshold_at = trimming.filter(|_| kept.is_some()).map(|trimming| trimming.at);
    let words = args.all().enumerate().map(|(at, word)| match (id, threshold_at, kept) {
        (Some((id_at, text)), ..) if at == id_at => text,
        (_, Some(threshold_at), _) if at + 1 == threshold_at => b"=",
        (_, Some(threshold_at), Some(kept)) if at == threshold_at => kept,
        _ => word,
    });
    cx.feed_words(words);
}

impl Trimming {
    /// Trims; how many entries that took, and for an approximate trimming the threshold that does exactly the same.
    pub fn apply(&self, stream: &mut StreamMut<'_, '_>) -> (u64, Option<Vec<u8>>) {
        let gone = stream.trim(&self.trim);
        let kept = self.trim.nodes_only.then(|| match self.trim.keep {
            Keep::Length(_) => stream.get().head().length.to_string().into_bytes(),
            Keep::From(_) => stream.get().first_ever().unwrap_or(StreamId::MAX).to_string().into_bytes(),
        });
        (gone, kept)
    }
}

/// XLEN key
fn xlen(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let length = read(cx, key, |stream, _| stream.head().length)?;
    cx.reply().int(length.unwrap_or(0) as i64);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Back,
}

/// XRANGE key start end \[COUNT count\], XREVRANGE key end start \[COUNT count\]
fn range(cx: &mut Cx<'_>, args: &mut Args<'_>, way: Way) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (one, other) = (args.bytes()?, args.bytes()?);
    let (start, end) = if way == Way::Forward { (one, other) } else { (other, one) };
    let range = bounds(start, end)?;
    let mut count = None;
    while args.left() > 0 {
        if args.left() < 2 || !args.take("count") {
            return Err(Refusal::Syntax);
        }
        count = Some(args.int()?.max(0) as usize);
    }
    let found = read(cx, key, |stream, mut reply| {
        let most = count.unwrap_or(usize::MAX);
        if most == 0 {
            reply.null_array();
        } else if way == Way::Forward {
            tell_entries(&mut reply, stream.range(range).take(most));
        } else {
            tell_entries(&mut reply, stream.range_back(range).take(most));
        }
    })?;
    if found.is_none() {
        cx.reply().array(0);
    }
    Ok(())
}

/// XDEL key id [id ...]
fn xdel(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    if !cx.writing_kind(key, Kind::Stream)? {
        cx.reply().int(0);
        return Ok(());
    }
    let ids: Vec<StreamId> = args.all().skip(2).map(id).collect::<Result<_, _>>()?;
    let deleted = change(cx, key, |stream| ids.iter().filter(|&&id| stream.delete(id)).count());
    if deleted > 0 {
        cx.changed_by(key.bytes, deleted as u64);
        cx.notify(Class::Stream, "xdel", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(deleted as i64);
    Ok(())
}

/// XTRIM key MAXLEN | MINID \[= | ~\] threshold \[LIMIT count\]
fn xtrim(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = Options::read(cx, args, false)?;
    let key = cx.key(args.at(1));
    let trimming = options.trimming.as_ref();
    if !cx.writing_kind(key, Kind::Stream)? {
        cx.reply().int(0);
        return Ok(());
    }
    let (gone, kept) = change(cx, key, |stream| trimming.map_or((0, None), |trimming| trimming.apply(stream)));
    if gone > 0 {
        cx.changed_by(key.bytes, gone);
        cx.notify(Class::Stream, "xtrim", key.bytes);
        feed(cx, args, None, trimming, kept.as_deref());
    }
    cx.reply().int(gone as i64);
    Ok(())
}

/// XSETID key last-id \[ENTRIESADDED entries-added\] \[MAXDELETEDID max-deleted-id\]
fn xsetid(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, last) = (cx.key(args.bytes()?), id(args.bytes()?)?);
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    while args.left() > 0 {
        if args.left() < 2 {
            return Err(Refusal::Syntax);
        } else if args.take("entriesadded") {
            let number = args.int()?;
            let number = u64::try_from(number).map_err(|_| Refusal::err("entries_added must be positive"))?;
            added = Some(number);
        } else if args.take("maxdeletedid") {
            max_deleted = id(args.bytes()?)?;
            if last < max_deleted {
                let text = "The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
                return Err(Refusal::err(text));
            }
        } else {
            return Err(Refusal::Syntax);
        }
    }
    if !cx.writing_kind(key, Kind::Stream)? {
        return Err(Refusal::NoSuchKey);
    }
    let stream = held(cx, key);
    let head = stream.head();
    if last < head.max_deleted {
        return Err(Refusal::err("The ID specified in XSETID is smaller than current max_deleted_entry_id"));
    }
    if stream.top().is_some_and(|top| last < top) {
        return Err(Refusal::err("The ID specified in XSETID is smaller than the target stream top item"));
    }
    if head.length > 0 && added.is_some_and(|added| head.length > added) {
        return Err(Refusal::err("The entries_added specified in XSETID is smaller than the target stream length"));
    }
    let max_deleted = if max_deleted == StreamId::MIN { head.max_deleted } else { max_deleted };
    let head = StreamHead { last, added: added.unwrap_or(head.added), max_deleted, ..head };
    change(cx, key, |stream| stream.set_head(head));
    cx.counted(1);
    cx.notify(Class::Stream, "xsetid", key.bytes);
    cx.feed_request(args);
    cx.reply().ok();
    Ok(())
}
