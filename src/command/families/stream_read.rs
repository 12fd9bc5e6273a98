//! Streams: reading what is new, alone or as a consumer of a group, and waiting for it.
//!
//! Replicas are fed what became pending, entry by entry, as an XCLAIM that says it all; behind it how far the group has
//! read. Redis leaves that to what the XCLAIM implies, and does not tell its replicas when a consumer that has nothing to
//! get came into being, nor how often it has read its history: here a node that comes back knows what it has said.

use super::stream::{held, read, tell_entries, tell_entry, tell_id};
use super::stream_words::id;
use crate::base::{IdText, Millis, StreamId};
use crate::command::spec::{BLOCKING, Group, KeySpec, MOVABLE_KEYS, READONLY, Spec, WRITE, key_word, spec};
use crate::command::{Args, Class, Cx, Outcome, OwnedArgs, Refusal, Wait};
use crate::keyspace::{Group as Consumers, GroupMut, Key, Kind, Pending};

const BEHIND_READ: &[KeySpec] = &[key_word("STREAMS", 1, 2, &["RO", "access"])];
const BEHIND_READGROUP: &[KeySpec] = &[key_word("STREAMS", 4, 2, &["RO", "access"])];

pub const ROWS: &[Spec] = &[
    spec("xread", -4, READONLY.or(BLOCKING).or(MOVABLE_KEYS), Group::Stream, |cx, args| xread(cx, args, false))
        .keys(BEHIND_READ)
        .doc(
            "5.0.0",
            "Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a message is \
             available otherwise.",
        ),
    spec("xreadgroup", -7, WRITE.or(BLOCKING).or(MOVABLE_KEYS), Group::Stream, |cx, args| xread(cx, args, true))
        .keys(BEHIND_READGROUP)
        .doc(
            "5.0.0",
            "Returns new or historical messages from a stream for a consumer in a group. Blocks until a message is \
             available otherwise.",
        ),
];

/// What a request says.
struct Wish<'a> {
    count: usize,
    timeout: Option<Millis>,
    group: Option<(&'a [u8], &'a [u8])>,
    acknowledged: bool,
    keys: Vec<&'a [u8]>,
    /// Where the first id stands.
    ids_at: usize,
}

impl<'a> Wish<'a> {
    fn read(args: &mut Args<'a>, grouped: bool, now: Millis) -> Result<Wish<'a>, Refusal> {
        let mut wish =
            Wish { count: usize::MAX, timeout: None, group: None, acknowledged: false, keys: Vec::new(), ids_at: 0 };
        let only = |option: &str| {
            Refusal::err(format!("The {option} option is only supported by XREADGROUP. You called XREAD instead."))
        };
        while args.left() > 0 {
            if args.left() > 1 && args.take("block") {
                wish.timeout = Some(args.timeout_ms(now)?);
            } else if args.left() > 1 && args.take("count") {
                let count = args.int()?;
                wish.count = usize::try_from(count).ok().filter(|&count| count > 0).unwrap_or(usize::MAX);
            } else if args.left() > 1 && args.take("streams") {
                let words = args.left();
                if words % 2 == 1 {
                    let (name, sign) = if grouped { ("xreadgroup", '>') } else { ("xread", '$') };
                    return Err(Refusal::err(format!(
                        "Unbalanced '{name}' list of streams: for each stream key an ID or '{sign}' must be specified."
                    )));
                }
                wish.ids_at = args.len() - words / 2;
                wish.keys = (0..words / 2).map(|_| args.bytes()).collect::<Result<_, _>>()?;
                args.skip(words / 2);
            } else if args.left() > 2 && args.take("group") {
                if !grouped {
                    return Err(only("GROUP"));
                }
                wish.group = Some((args.bytes()?, args.bytes()?));
            } else if args.take("noack") {
                if !grouped {
                    return Err(only("NOACK"));
                }
                wish.acknowledged = true;
            } else {
                return Err(Refusal::Syntax);
            }
        }
        if wish.ids_at == 0 {
            return Err(Refusal::Syntax);
        }
        if grouped && wish.group.is_none() {
            return Err(Refusal::err("Missing GROUP option for XREADGROUP"));
        }
        Ok(wish)
    }
}

/// `>`: what no consumer of the group has got.
const NEW: StreamId = StreamId::MAX;

/// XREAD \[COUNT count\] \[BLOCK milliseconds\] STREAMS key [key ...] id [id ...]; `+` is the last entry, as in Redis 7.4.
///
/// XREADGROUP GROUP group consumer \[COUNT count\] \[BLOCK milliseconds\] \[NOACK\] STREAMS key [key ...] id [id ...]
fn xread(cx: &mut Cx<'_>, args: &mut Args<'_>, grouped: bool) -> Outcome {
    let wish = Wish::read(args, grouped, cx.now)?;
    let mut ids = Vec::with_capacity(wish.keys.len());
    for (at, name) in wish.keys.iter().enumerate() {
        ids.push(behind(cx, name, args.at(wish.ids_at + at), wish.group.map(|(group, _)| group))?);
    }
    let (at, mut served) = (cx.out.len(), 0);
    for (name, &after) in wish.keys.iter().zip(&ids) {
        let key = cx.key(name);
        let hit = match wish.group {
            None => read_new(cx, key, after, wish.count),
            Some((group, consumer)) => Consuming { key, group, consumer, wish: &wish }.read(cx, after),
        };
        served += usize::from(hit);
    }
    if served > 0 {
        cx.reply().map_at(at, served);
        return Ok(());
    }
    let waits = wish.timeout.is_some_and(|timeout| {
        // From now on, `$` is where the stream was.
        let mut rooms: Vec<IdText> = ids.iter().map(|_| IdText::default()).collect();
        let mut texts = ids.iter().zip(&mut rooms).map(|(id, room)| id.text(room));
        let words = args.all().enumerate().map(|(at, word)| match at.checked_sub(wish.ids_at) {
            Some(_) => {
                let text = texts.next().expect("as many ids as keys");
                if word == b"$" { text } else { word }
            }
            None => word,
        });
        let request = OwnedArgs::of(words);
        let wait = Wait { kind: Kind::Stream, even_gone: grouped, timeout };
        cx.await_keys_with(request, &wish.keys, wait)
    });
    if !waits {
        cx.reply().null_array();
    }
    Ok(())
}

/// The id behind which a stream is to be read.
fn behind(cx: &mut Cx<'_>, name: &[u8], word: &[u8], group: Option<&[u8]>) -> Result<StreamId, Refusal> {
    let key = cx.key(name);
    let found = read(cx, key, |stream, _| {
        let there = group.is_none_or(|group| stream.group(group).is_some());
        (stream.head().last, stream.top(), there)
    })?;
    if let Some(group) = group
        && !found.is_some_and(|(_, _, there)| there)
    {
        return Err(Refusal::Text(
            format!(
                "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(group)
            )
            .into(),
        ));
    }
    match word {
        b"$" if group.is_some() => Err(Refusal::err(
            "The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
             specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
        )),
        b"$" => Ok(found.map_or(StreamId::MIN, |(last, ..)| last)),
        // Asked again when an entry comes, it is that one.
        b"+" if group.is_none() => Ok(match found {
            Some((_, Some(top), _)) => top.previous().unwrap_or(StreamId::MIN),
            Some((last, None, _)) => last,
            None => StreamId::MIN,
        }),
        b">" if group.is_none() => Err(Refusal::err(
            "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        b">" => Ok(NEW),
        word => id(word),
    }
}

fn open(cx: &mut Cx<'_>, name: &[u8]) {
    let mut reply = cx.reply();
    if reply.proto == crate::resp::Proto::Resp2 {
        reply.array(2);
    }
    reply.bulk(name);
}

/// Tells the entries behind an id; whether there are any.
fn read_new(cx: &mut Cx<'_>, key: Key<'_>, after: StreamId, count: usize) -> bool {
    let top = cx.read(key, |entry, _| entry.stream().and_then(|stream| stream.top())).flatten();
    let Some(start) = after.next().filter(|_| top.is_some_and(|top| top > after)) else { return false };
    open(cx, key.bytes);
    let _ = read(cx, key, |stream, mut reply| {
        tell_entries(&mut reply, stream.range(start..=StreamId::MAX).take(count));
    });
    true
}

/// A consumer that reads a stream.
struct Consuming<'c, 'a> {
    key: Key<'c>,
    group: &'c [u8],
    consumer: &'c [u8],
    wish: &'c Wish<'a>,
}

impl Consuming<'_, '_> {
    fn change<R>(&self, cx: &mut Cx<'_>, change: impl FnOnce(&mut GroupMut<'_>) -> R) -> R {
        change_group(cx, self.key, self.group, change)
    }

    /// Tells what is new behind what the group has read, or the consumer's own history; whether there is anything to tell.
    fn read(&self, cx: &mut Cx<'_>, after: StreamId) -> bool {
        // What is due goes with the look-up.
        if cx.read(self.key, |_, _| ()).is_none() {
            return false;
        }
        let stream = held(cx, self.key);
        let last = stream.group(self.group).expect("seen above").last;
        let new = after == NEW && stream.top().is_some_and(|top| top > last);
        let now = cx.now.0;
        let (number, fresh) = self.change(cx, |group| see(group, self.consumer, now));
        if fresh {
            cx.counted(1);
            cx.notify(Class::Stream, "xgroup-createconsumer", self.key.bytes);
            // Where it gets something to acknowledge, that says that it is there.
            if self.wish.acknowledged || !new {
                cx.feed(&[b"XGROUP", b"CREATECONSUMER", self.key.bytes, self.group, self.consumer]);
            }
        }
        if new {
            self.read_new(cx, number, last);
        } else if after != NEW {
            self.read_history(cx, number, after);
        } else {
            return false;
        }
        cx.counted(1);
        true
    }

    fn read_new(&self, cx: &mut Cx<'_>, number: u32, last: StreamId) {
        open(cx, self.key.bytes);
        let start = last.next().expect("an id is behind it");
        let mut ids = Vec::new();
        let _ = read(cx, self.key, |stream, mut reply| {
            let entries = stream.range(start..=StreamId::MAX).take(self.wish.count);
            tell_entries(&mut reply, entries.inspect(|entry| ids.push(entry.id)));
        });
        let head = held(cx, self.key).head();
        let now = cx.now.0;
        for &id in &ids {
            let noted = !self.wish.acknowledged;
            let pending = self.change(cx, |group| {
                let read = head.read_further(group.get().read, id);
                group.set(id, read);
                let pending = Pending { id, delivered: now, count: 1, consumer: number };
                if noted {
                    group.put(pending);
                    group.serve(number, now);
                }
                pending
            });
            if noted {
                feed_claim(cx, self.key, self.group, &pending);
            }
        }
        feed_group(cx, self.key, self.group);
    }

    fn read_history(&self, cx: &mut Cx<'_>, number: u32, after: StreamId) {
        open(cx, self.key.bytes);
        let stream = held(cx, self.key);
        let group = stream.group(self.group).expect("seen above");
        let start = after.next().unwrap_or(StreamId::MAX);
        let history: Vec<Pending> = group.pending_of(number, start).take(self.wish.count).copied().collect();
        let now = cx.now.0;
        let mut again = Vec::new();
        let _ = read(cx, self.key, |stream, mut reply| {
            reply.array(history.len());
            for pending in &history {
                match stream.get(pending.id) {
                    Some(entry) => {
                        tell_entry(&mut reply, entry);
                        again.push(Pending { delivered: now, count: pending.count.saturating_add(1), ..*pending });
                    }
                    None => {
                        reply.array(2);
                        tell_id(&mut reply, pending.id);
                        reply.null_array();
                    }
                }
            }
        });
        for pending in again {
            self.change(cx, |group| group.put(pending));
            feed_claim(cx, self.key, self.group, &pending);
        }
    }
}

/// Changes a group that is there.
pub fn change_group<R>(cx: &mut Cx<'_>, key: Key<'_>, name: &[u8], change: impl FnOnce(&mut GroupMut<'_>) -> R) -> R {
    super::stream::change(cx, key, |stream| {
        let mut group = stream.group(name).expect("the caller has looked it up");
        change(&mut group)
    })
}

/// Notes that a consumer was seen, and makes it where there is none; its number, and whether it is new.
pub fn see(group: &mut GroupMut<'_>, name: &[u8], now: i64) -> (u32, bool) {
    match group.get().consumer_number(name) {
        Some(number) => {
            group.see(number, now);
            (number, false)
        }
        None => (group.add_consumer(name, now, -1), true),
    }
}

/// Feeds what is pending as it is now.
pub fn feed_claim(cx: &mut Cx<'_>, key: Key<'_>, name: &[u8], pending: &Pending) {
    feed_claim_as(cx, key, name, pending, pending.id.text(&mut IdText::default()));
}

/// The same; `id` as the request had it.
pub fn feed_claim_as(cx: &mut Cx<'_>, key: Key<'_>, name: &[u8], pending: &Pending, id: &[u8]) {
    let Some(group) = held(cx, key).group(name) else { return };
    let consumer = group.consumer(pending.consumer).map_or(Vec::new(), |consumer| consumer.name.to_vec());
    let (mut delivered, mut count, mut last) = (itoa::Buffer::new(), itoa::Buffer::new(), IdText::default());
    let last = group.last.text(&mut last);
    cx.feed(&[
        b"XCLAIM",
        key.bytes,
        name,
        &consumer,
        b"0",
        id,
        b"TIME",
        delivered.format(pending.delivered).as_bytes(),
        b"RETRYCOUNT",
        count.format(pending.count).as_bytes(),
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        last,
    ]);
}

/// Feeds how far a group has read.
pub fn feed_group(cx: &mut Cx<'_>, key: Key<'_>, name: &[u8]) {
    let Some(group): Option<&Consumers> = held(cx, key).group(name) else { return };
    let (mut last, mut read) = (IdText::default(), itoa::Buffer::new());
    let last = group.last.text(&mut last);
    let read = read.format(group.read.map_or(-1, |read| read as i64)).as_bytes();
    cx.feed(&[b"XGROUP", b"SETID", key.bytes, name, last, b"ENTRIESREAD", read]);
}
