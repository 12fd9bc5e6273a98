//! Sorted sets: ranges by rank, by score and by name, told, counted, stored and removed.
//!
//! Whatever a range is given by, it is a range of ranks in the end.

use super::zset::{Way, change, held, read, tell_members};
use crate::base::number::parse_f64;
use crate::command::spec::{DENYOOM, FAST, Group, KeySpec, READONLY, Spec, WRITE, key, spec};
use crate::command::transfer::Sizes;
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{Key, Kind, ZsetRef};
use std::ops::Range;

const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const DELETE: &[KeySpec] = &[key(1, &["RW", "delete"])];

const fn range(name: &'static str, run: crate::command::spec::Run) -> Spec {
    spec(name, -4, READONLY, Group::SortedSet, run).keys(READ)
}

const fn removal(name: &'static str, run: crate::command::spec::Run) -> Spec {
    spec(name, 4, WRITE, Group::SortedSet, run).keys(DELETE)
}

pub const ROWS: &[Spec] = &[
    range("zrange", |cx, args| tell(cx, args, Form::default()))
        .doc("1.2.0", "Returns members in a sorted set within a range of indexes."),
    range("zrevrange", |cx, args| tell(cx, args, Form { by: Some(By::Rank), way: Some(Way::Down) }))
        .doc("1.2.0", "Returns members in a sorted set within a range of indexes in reverse order."),
    range("zrangebyscore", |cx, args| tell(cx, args, Form { by: Some(By::Score), way: Some(Way::Up) }))
        .doc("1.0.5", "Returns members in a sorted set within a range of scores."),
    range("zrevrangebyscore", |cx, args| tell(cx, args, Form { by: Some(By::Score), way: Some(Way::Down) }))
        .doc("2.2.0", "Returns members in a sorted set within a range of scores in reverse order."),
    range("zrangebylex", |cx, args| tell(cx, args, Form { by: Some(By::Name), way: Some(Way::Up) }))
        .doc("2.8.9", "Returns members in a sorted set within a lexicographical range."),
    range("zrevrangebylex", |cx, args| tell(cx, args, Form { by: Some(By::Name), way: Some(Way::Down) }))
        .doc("2.8.9", "Returns members in a sorted set within a lexicographical range in reverse order."),
    spec("zrangestore", -5, WRITE.or(DENYOOM), Group::SortedSet, store)
        .keys(&[key(1, &["OW", "update"]), key(2, &["RO", "access"])])
        .doc("6.2.0", "Stores a range of members from sorted set in a key."),
    spec("zcount", 4, READONLY.or(FAST), Group::SortedSet, |cx, args| count(cx, args, By::Score))
        .keys(READ)
        .doc("2.0.0", "Returns the count of members in a sorted set that have scores within a range."),
    spec("zlexcount", 4, READONLY.or(FAST), Group::SortedSet, |cx, args| count(cx, args, By::Name))
        .keys(READ)
        .doc("2.8.9", "Returns the number of members in a sorted set within a lexicographical range."),
    removal("zremrangebyrank", |cx, args| remove(cx, args, By::Rank)).doc(
        "2.0.0",
        "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.",
    ),
    removal("zremrangebyscore", |cx, args| remove(cx, args, By::Score)).doc(
        "1.2.0",
        "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.",
    ),
    removal("zremrangebylex", |cx, args| remove(cx, args, By::Name)).doc(
        "2.8.9",
        "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were \
         removed.",
    ),
];

/// What a range is given by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Name,
}

/// What the command's name says; its options say the rest.
#[derive(Clone, Copy, Default)]
struct Form {
    by: Option<By>,
    way: Option<Way>,
}

/// The two ends of a range.
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(Score, Score),
    Names(Name<'a>, Name<'a>),
}

#[derive(Clone, Copy)]
struct Score {
    value: f64,
    open: bool,
}

#[derive(Clone, Copy)]
enum Name<'a> {
    Least,
    Greatest,
    At { name: &'a [u8], open: bool },
}

impl<'a> Bounds<'a> {
    fn of(by: By, low: &'a [u8], high: &'a [u8]) -> Result<Bounds<'a>, Refusal> {
        Ok(match by {
            By::Rank => {
                let rank = |word| crate::base::number::parse_i64(word).ok_or(Refusal::NotInteger);
                Bounds::Ranks(rank(low)?, rank(high)?)
            }
            By::Score => match (score(low), score(high)) {
                (Some(low), Some(high)) => Bounds::Scores(low, high),
                _ => return Err(Refusal::err("min or max is not a float")),
            },
            By::Name => match (name(low), name(high)) {
                (Some(low), Some(high)) => Bounds::Names(low, high),
                _ => return Err(Refusal::err("min or max not valid string range item")),
            },
        })
    }

    /// The ranks within them, counted from the lowest score. `way`: from which end ranks are counted.
    fn ranks(&self, set: ZsetRef<'_>, way: Way) -> Range<usize> {
        let len = set.len();
        let (start, end) = match *self {
            Bounds::Ranks(first, last) => {
                let from_end = |index: i64| if index < 0 { index.saturating_add(len as i64) } else { index };
                let first = usize::try_from(from_end(first).max(0)).unwrap_or(usize::MAX);
                let end = usize::try_from(from_end(last).saturating_add(1)).unwrap_or(0).min(len);
                let (first, end) = (first.min(end), end);
                match way {
                    Way::Up => (first, end),
                    Way::Down => (len - end, len - first),
                }
            }
            Bounds::Scores(low, high) => {
                let below = |score: f64, _: &[u8]| score < low.value || low.open && score == low.value;
                let within = |score: f64, _: &[u8]| score < high.value || !high.open && score == high.value;
                (set.count(below), set.count(within))
            }
            Bounds::Names(low, high) => {
                let below = |_: f64, member: &[u8]| match low {
                    Name::Least => false,
                    Name::Greatest => true,
                    Name::At { name, open } => member < name || open && member == name,
                };
                let within = |_: f64, member: &[u8]| match high {
                    Name::Least => false,
                    Name::Greatest => true,
                    Name::At { name, open } => member < name || !open && member == name,
                };
                (set.count(below), set.count(within))
            }
        };
        start..end.max(start)
    }
}

/// `5`, `(5`, `-inf`
fn score(word: &[u8]) -> Option<Score> {
    let (open, digits) = match word.strip_prefix(b"(") {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    Some(Score { value: parse_f64(digits)?, open })
}

/// `[name`, `(name`, `-`, `+`
fn name(word: &[u8]) -> Option<Name<'_>> {
    match word {
        b"-" => Some(Name::Least),
        b"+" => Some(Name::Greatest),
        [b'[', name @ ..] => Some(Name::At { name, open: false }),
        [b'(', name @ ..] => Some(Name::At { name, open: true }),
        _ => None,
    }
}

/// A range as a command gives it, its words and options read.
struct Query<'a> {
    key: Key<'a>,
    bounds: Bounds<'a>,
    way: Way,
    scores: bool,
    offset: i64,
    limit: i64,
}

impl<'a> Query<'a> {
    /// key min max and the options behind them.
    fn of(cx: &Cx<'_>, args: &mut Args<'a>, form: Form, storing: bool) -> Result<Query<'a>, Refusal> {
        let key = cx.key(args.bytes()?);
        let (low, high) = (args.bytes()?, args.bytes()?);
        let Form { mut by, mut way } = form;
        let (mut scores, mut offset, mut limit) = (false, 0, -1);
        while args.left() > 0 {
            if !storing && args.take("withscores") {
                scores = true;
            } else if args.left() > 2 && args.take("limit") {
                (offset, limit) = (args.int()?, args.int()?);
            } else if way.is_none() && args.take("rev") {
                way = Some(Way::Down);
            } else if by.is_none() && args.take("bylex") {
                by = Some(By::Name);
            } else if by.is_none() && args.take("byscore") {
                by = Some(By::Score);
            } else {
                return Err(Refusal::Syntax);
            }
        }
        let (by, way) = (by.unwrap_or(By::Rank), way.unwrap_or(Way::Up));
        if limit != -1 && by == By::Rank {
            return Err(Refusal::err(
                "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores && by == By::Name {
            return Err(Refusal::err("syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        // Scores and names are given as max and min where the order is reversed.
        let (low, high) = if way == Way::Down && by != By::Rank { (high, low) } else { (low, high) };
        Ok(Query { key, bounds: Bounds::of(by, low, high)?, way, scores, offset, limit })
    }

    /// The ranks that are wanted; the members come from the low end or from the high one, as `way` says.
    fn ranks(&self, set: ZsetRef<'_>) -> Range<usize> {
        let all = self.bounds.ranks(set, self.way);
        let Ok(offset) = usize::try_from(self.offset) else { return 0..0 };
        let left = all.len().saturating_sub(offset);
        let count = usize::try_from(self.limit).map_or(left, |limit| left.min(limit));
        match self.way {
            Way::Up => {
                let start = (all.start + offset.min(all.len())).min(all.end);
                start..start + count
            }
            Way::Down => {
                let end = all.end - offset.min(all.len());
                end - count..end
            }
        }
    }
}

/// ZRANGE key start stop \[BYSCORE | BYLEX\] \[REV\] \[LIMIT offset count\] \[WITHSCORES\] and the five older forms
fn tell(cx: &mut Cx<'_>, args: &mut Args<'_>, form: Form) -> Outcome {
    let query = Query::of(cx, args, form, false)?;
    let proto = cx.proto;
    let found = read(cx, query.key, |set, mut reply| {
        let ranks = query.ranks(set);
        match query.way {
            Way::Up => {
                let members = set.iter_from(ranks.start).take(ranks.len());
                tell_members(&mut reply, proto, query.scores, ranks.len(), members);
            }
            Way::Down => {
                let members = set.iter_below(ranks.end).take(ranks.len());
                tell_members(&mut reply, proto, query.scores, ranks.len(), members);
            }
        }
    })?;
    if found.is_none() {
        cx.reply().array(0);
    }
    Ok(())
}

/// ZRANGESTORE dst src min max \[BYSCORE | BYLEX\] \[REV\] \[LIMIT offset count\]
fn store(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let to = cx.key(args.bytes()?);
    let query = Query::of(cx, args, Form::default(), true)?;
    let members = read(cx, query.key, |set, _| {
        let ranks = query.ranks(set);
        let members = set.iter_from(ranks.start).take(ranks.len());
        members.map(|(member, score)| (member.to_vec(), score)).collect::<Vec<_>>()
    })?;
    let compact = |len: usize, limits: crate::keyspace::Limits| len <= limits.entries;
    replace(cx, args, to, &members.unwrap_or_default(), "zrangestore", compact)
}

/// Puts members in the place of what a key holds, which is told as `event`; none remove it. Replies with their number.
pub fn replace(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    to: Key<'_>,
    members: &[(Vec<u8>, f64)],
    event: &'static str,
    compact: impl FnOnce(usize, crate::keyspace::Limits) -> bool,
) -> Outcome {
    let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
    let replaced = cx.is_there(to) && cx.remove(to, lazy);
    if !members.is_empty() {
        cx.writing_kind(to, Kind::Zset)?;
        let compact = compact(members.len(), Sizes::of(&cx.server.config.settings).zset);
        change(cx, to, compact, |set| {
            for (member, score) in members {
                set.put(member, *score);
            }
        });
        cx.changed(to.bytes);
        if !replaced {
            cx.born(to.bytes);
        }
        cx.notify(Class::Zset, event, to.bytes);
    } else if replaced {
        cx.notify(Class::Generic, "del", to.bytes);
    }
    if replaced || !members.is_empty() {
        cx.feed_request(args);
    }
    cx.reply().int(members.len() as i64);
    Ok(())
}

/// ZCOUNT key min max, ZLEXCOUNT key min max
fn count(cx: &mut Cx<'_>, args: &mut Args<'_>, by: By) -> Outcome {
    let key = cx.key(args.bytes()?);
    let bounds = Bounds::of(by, args.bytes()?, args.bytes()?)?;
    let count = read(cx, key, |set, _| bounds.ranks(set, Way::Up).len())?;
    cx.reply().int(count.unwrap_or(0) as i64);
    Ok(())
}

/// ZREMRANGEBYRANK key start stop, ZREMRANGEBYSCORE key min max, ZREMRANGEBYLEX key min max
fn remove(cx: &mut Cx<'_>, args: &mut Args<'_>, by: By) -> Outcome {
    let key = cx.key(args.bytes()?);
    let bounds = Bounds::of(by, args.bytes()?, args.bytes()?)?;
    let mut removed = 0;
    if cx.writing_kind(key, Kind::Zset)? {
        let ranks = bounds.ranks(held(cx, key), Way::Up);
        removed = ranks.len();
        if removed > 0 {
            change(cx, key, true, |set| set.remove_ranks(ranks));
            cx.changed_by(key.bytes, removed as u64);
            cx.notify(Class::Zset, cx.spec.name, key.bytes);
            cx.emptied(key);
            cx.feed_request(args);
        }
    }
    cx.reply().int(removed as i64);
    Ok(())
}
