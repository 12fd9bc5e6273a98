//! Streams: a consumer takes over what is pending for another.

use super::stream::{held, read, tell_entry, tell_id};
use super::stream_group::no_such_key;
use super::stream_read::{change_group, feed_claim_as, feed_group, see};
use super::stream_words::{id, start};
use crate::base::{StreamId, number};
use crate::command::spec::{FAST, Group, Spec, WRITE, key, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{Key, Pending};

pub const ROWS: &[Spec] = &[
    spec("xclaim", -6, WRITE.or(FAST), Group::Stream, xclaim).keys(&[key(1, &["RW", "update"])]).doc(
        "5.0.0",
        "Changes, or acquires, ownership of a message in a consumer group, as if the message was delivered a consumer \
         group member.",
    ),
    spec("xautoclaim", -6, WRITE.or(FAST), Group::Stream, xautoclaim).keys(&[key(1, &["RW", "delete"])]).doc(
        "6.2.0",
        "Changes, or acquires, ownership of messages in a consumer group, as if the messages were delivered to as \
         consumer group member.",
    ),
];

fn int_or(word: &[u8], text: &'static str) -> Result<i64, Refusal> {
    number::parse_i64(word).ok_or_else(|| Refusal::err(text))
}

/// A claim that is being made.
struct Claim<'c> {
    key: Key<'c>,
    group: &'c [u8],
    consumer: &'c [u8],
    number: u32,
    /// The consumer is new, and nothing that was fed names it.
    unnamed: bool,
    just_ids: bool,
    count: usize,
}

impl<'c> Claim<'c> {
    /// Begins it: the consumer is seen, or comes into being.
    fn begin(cx: &mut Cx<'_>, key: Key<'c>, group: &'c [u8], consumer: &'c [u8], just_ids: bool, seen: i64) -> Self {
        let (number, fresh) = change_group(cx, key, group, |group| see(group, consumer, seen));
        if fresh {
            cx.counted(1);
            cx.notify(Class::Stream, "xgroup-createconsumer", key.bytes);
        }
        Claim { key, group, consumer, number, unnamed: fresh, just_ids, count: 0 }
    }

    fn pending(&self, cx: &Cx<'_>, id: StreamId) -> Option<Pending> {
        held(cx, self.key).group(self.group)?.pending_at(id).copied()
    }

    fn is_there(&self, cx: &Cx<'_>, id: StreamId) -> bool {
        held(cx, self.key).get(id).is_some()
    }

    /// What is pending of an entry that was deleted goes.
    fn forget(&self, cx: &mut Cx<'_>, pending: &Pending, text: &[u8]) {
        feed_claim_as(cx, self.key, self.group, pending, text);
        change_group(cx, self.key, self.group, |group| group.take(pending.id));
        cx.counted(1);
    }

    /// The consumer has it from now on.
    fn take(&mut self, cx: &mut Cx<'_>, pending: Pending, active: i64, text: &[u8]) {
        let pending = Pending { consumer: self.number, ..pending };
        change_group(cx, self.key, self.group, |group| {
            group.put(pending);
            group.serve(self.number, active);
        });
        let just_ids = self.just_ids;
        let _ = read(cx, self.key, |stream, mut reply| match stream.get(pending.id) {
            Some(entry) if !just_ids => tell_entry(&mut reply, entry),
            _ => tell_id(&mut reply, pending.id),
        });
        self.count += 1;
        self.unnamed = false;
        feed_claim_as(cx, self.key, self.group, &pending, text);
        cx.counted(1);
    }

    /// Replicas learn of a new consumer that got nothing too.
    fn end(&self, cx: &mut Cx<'_>) {
        if self.unnamed {
            cx.feed(&[b"XGROUP", b"CREATECONSUMER", self.key.bytes, self.group, self.consumer]);
        }
    }
}

/// What XCLAIM is told besides.
#[derive(Default)]
struct Options {
    force: bool,
    just_ids: bool,
    delivered: Option<i64>,
    count: Option<i64>,
    last: StreamId,
}

impl Options {
    fn read(cx: &Cx<'_>, args: &mut Args<'_>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        while args.left() > 0 {
            if args.take("force") {
                options.force = true;
            } else if args.take("justid") {
                options.just_ids = true;
            } else if args.left() > 1 && args.take("idle") {
                let idle = int_or(args.bytes()?, "Invalid IDLE option argument for XCLAIM")?;
                options.delivered = Some(cx.now.0.wrapping_sub(idle));
            } else if args.left() > 1 && args.take("time") {
                options.delivered = Some(int_or(args.bytes()?, "Invalid TIME option argument for XCLAIM")?);
            } else if args.left() > 1 && args.take("retrycount") {
                options.count = Some(int_or(args.bytes()?, "Invalid RETRYCOUNT option argument for XCLAIM")?);
            } else if args.left() > 1 && args.take("lastid") {
                options.last = id(args.bytes()?)?;
            } else {
                let word = String::from_utf8_lossy(args.bytes()?);
                return Err(Refusal::err(format!("Unrecognized XCLAIM option '{word}'")));
            }
        }
        Ok(options)
    }

    /// When the entries count as delivered. What is obeyed is believed; a client's clock may be wrong.
    fn delivered(&self, cx: &Cx<'_>) -> i64 {
        match self.delivered {
            Some(at) if cx.obeys() || (0..=cx.now.0).contains(&at) => at,
            _ => cx.now.0,
        }
    }
}

/// XCLAIM key group consumer min-idle-time id [id ...] \[IDLE ms\] \[TIME unix-time-ms\] \[RETRYCOUNT count\] \[FORCE\]
/// \[JUSTID\] \[LASTID id\]
fn xclaim(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, consumer) = (cx.key(args.bytes()?), args.bytes()?, args.bytes()?);
    if read(cx, key, |stream, _| stream.group(name).is_some())? != Some(true) {
        return Err(no_such_key(key, name));
    }
    let idle_min = int_or(args.bytes()?, "Invalid min-idle-time argument for XCLAIM")?.max(0);
    let words: Vec<&[u8]> = args.all().skip(5).collect();
    let ids: Vec<StreamId> = words.iter().map_while(|word| id(word).ok()).collect();
    args.skip(ids.len());
    let options = Options::read(cx, args)?;
    let mut last_is_news = held(cx, key).group(name).is_some_and(|group| options.last > group.last);
    if last_is_news {
        change_group(cx, key, name, |group| {
            let read = group.get().read;
            group.set(options.last, read);
        });
    }
    let (delivered, now) = (options.delivered(cx), cx.now.0);
    // The stream knows no clock but what it says.
    let seen = if cx.obeys() { delivered } else { now };
    let mut claim = Claim::begin(cx, key, name, consumer, options.just_ids, seen);
    let at = cx.out.len();
    for (&id, word) in ids.iter().zip(words) {
        let pending = claim.pending(cx, id);
        if !claim.is_there(cx, id) {
            if let Some(pending) = pending {
                claim.forget(cx, &pending, word);
                last_is_news = false;
            }
            continue;
        }
        let pending = match pending {
            Some(pending) if now.saturating_sub(pending.delivered) < idle_min && idle_min > 0 => continue,
            Some(pending) => pending,
            None if options.force => Pending { id, delivered, count: 1, consumer: claim.number },
            None => continue,
        };
        let count = match options.count {
            Some(count @ 0..) => count as u64,
            _ if options.just_ids => pending.count,
            _ => pending.count.saturating_add(1),
        };
        claim.take(cx, Pending { delivered, count, ..pending }, seen, word);
        last_is_news = false;
    }
    claim.end(cx);
    if last_is_news {
        feed_group(cx, key, name);
        cx.counted(1);
    }
    let count = claim.count;
    cx.reply().array_at(at, count);
    Ok(())
}

/// So many pending entries are looked at for each that may be claimed.
const TRIES: u64 = 10;
/// As Redis has it.
const COUNT_MAX: i64 = i64::MAX / 16;

/// XAUTOCLAIM key group consumer min-idle-time start \[COUNT count\] \[JUSTID\]
fn xautoclaim(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, name, consumer) = (cx.key(args.bytes()?), args.bytes()?, args.bytes()?);
    let idle_min = int_or(args.bytes()?, "Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
    let mut next = start(args.bytes()?)?;
    let (mut count, mut just_ids) = (100, false);
    while args.left() > 0 {
        if args.left() > 1 && args.take("count") {
            let wanted = args.int().ok().filter(|wanted| (1..=COUNT_MAX).contains(wanted));
            count = wanted.ok_or_else(|| Refusal::err("COUNT must be > 0"))? as u64;
        } else if args.take("justid") {
            just_ids = true;
        } else {
            return Err(Refusal::Syntax);
        }
    }
    if read(cx, key, |stream, _| stream.group(name).is_some())? != Some(true) {
        return Err(no_such_key(key, name));
    }
    let now = cx.now.0;
    let mut claim = Claim::begin(cx, key, name, consumer, just_ids, now);
    let mut tries = count.saturating_mul(TRIES);
    let (at, mut deleted, mut cursor) = (cx.out.len(), Vec::new(), StreamId::MIN);
    loop {
        let group = held(cx, key).group(name).expect("seen above");
        let Some(&pending) = group.pending_from(next).next() else { break };
        if tries == 0 || count == 0 {
            cursor = pending.id;
            break;
        }
        tries -= 1;
        let behind = pending.id.next();
        if !claim.is_there(cx, pending.id) {
            let text = pending.id.to_string();
            claim.forget(cx, &pending, text.as_bytes());
            deleted.push(pending.id);
            count -= 1;
        } else if idle_min == 0 || now.saturating_sub(pending.delivered) >= idle_min {
            let times = pending.count.saturating_add(u64::from(!just_ids));
            let text = pending.id.to_string();
            claim.take(cx, Pending { delivered: now, count: times, ..pending }, now, text.as_bytes());
            count -= 1;
        }
        match behind {
            Some(behind) => next = behind,
            None => break,
        }
    }
    claim.end(cx);
    let claimed = claim.count;
    let mut reply = cx.reply();
    reply.array_at(at, claimed);
    let mut head = Vec::new();
    let mut front = crate::resp::Writer::new(&mut head, reply.proto);
    front.array(3);
    tell_id(&mut front, cursor);
    reply.out.splice(at..at, head);
    reply.array(deleted.len());
    deleted.into_iter().for_each(|id| tell_id(&mut reply, id));
    Ok(())
}
