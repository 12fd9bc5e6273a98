//! Sorted sets: adding, looking at and taking out members. Ranges are in `zset_range`, combinations in `zset_combine`.

use super::list::{count_option, numbered_keys};
use super::random::{Picks, count_word, draw, picks};
use super::scan;
use crate::base::Millis;
use crate::base::number::push_f64;
use crate::command::spec::{
    BLOCKING, DENYOOM, FAST, Flags, Group, KeySpec, MOVABLE_KEYS, Place, READONLY, Spec, WRITE, key, keys_counted, spec,
};
use crate::command::transfer::Sizes;
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{Key, Kind, ZsetMut, ZsetRef};
use crate::resp::{Proto, Writer};

const STORE: Flags = WRITE.or(DENYOOM).or(FAST);
const QUICK: Flags = READONLY.or(FAST);
const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const LOOK: &[KeySpec] = &[key(1, &["RO"])];
const UPDATE: &[KeySpec] = &[key(1, &["RW", "update"])];
const POP: &[KeySpec] = &[key(1, &["RW", "access", "delete"])];
/// All words but the last.
const POP_ALL: &[KeySpec] =
    &[KeySpec { flags: &["RW", "access", "delete"], place: Place::Range { first: 1, last: -2, step: 1 } }];

pub const ROWS: &[Spec] = &[
    spec("zadd", -4, STORE, Group::SortedSet, zadd).keys(UPDATE).doc(
        "1.2.0",
        "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.",
    ),
    spec("zincrby", 4, STORE, Group::SortedSet, zincrby)
        .keys(&[key(1, &["RW", "access", "update"])])
        .doc("1.2.0", "Increments the score of a member in a sorted set."),
    spec("zrem", -3, WRITE.or(FAST), Group::SortedSet, zrem).keys(&[key(1, &["RW", "delete"])]).doc(
        "1.2.0",
        "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.",
    ),
    spec("zcard", 2, QUICK, Group::SortedSet, zcard)
        .keys(LOOK)
        .doc("1.2.0", "Returns the number of members in a sorted set."),
    spec("zscore", 3, QUICK, Group::SortedSet, zscore)
        .keys(READ)
        .doc("1.2.0", "Returns the score of a member in a sorted set."),
    spec("zmscore", -3, QUICK, Group::SortedSet, zmscore)
        .keys(READ)
        .doc("6.2.0", "Returns the score of one or more members in a sorted set."),
    spec("zrank", -3, QUICK, Group::SortedSet, |cx, args| zrank(cx, args, Way::Up))
        .keys(READ)
        .doc("2.0.0", "Returns the index of a member in a sorted set ordered by ascending scores."),
    spec("zrevrank", -3, QUICK, Group::SortedSet, |cx, args| zrank(cx, args, Way::Down))
        .keys(READ)
        .doc("2.0.0", "Returns the index of a member in a sorted set ordered by descending scores."),
    spec("zrandmember", -2, READONLY, Group::SortedSet, zrandmember)
        .keys(READ)
        .doc("6.2.0", "Returns one or more random members from a sorted set."),
    spec("zscan", -3, READONLY, Group::SortedSet, zscan)
        .keys(READ)
        .doc("2.8.0", "Iterates over members and scores of a sorted set."),
    spec("zpopmin", -2, WRITE.or(FAST), Group::SortedSet, |cx, args| zpop(cx, args, Way::Up)).keys(POP).doc(
        "5.0.0",
        "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last \
         member was popped.",
    ),
    spec("zpopmax", -2, WRITE.or(FAST), Group::SortedSet, |cx, args| zpop(cx, args, Way::Down)).keys(POP).doc(
        "5.0.0",
        "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last \
         member was popped.",
    ),
    spec("zmpop", -4, WRITE.or(MOVABLE_KEYS), Group::SortedSet, zmpop)
        .keys(&[keys_counted(1, &["RW", "access", "delete"])])
        .doc(
            "7.0.0",
            "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes \
             the sorted set if the last member was popped.",
        ),
    spec("bzpopmin", -3, WRITE.or(FAST).or(BLOCKING), Group::SortedSet, |cx, args| bzpop(cx, args, Way::Up))
        .keys(POP_ALL)
        .doc(
            "5.0.0",
            "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member \
             available otherwise.  Deletes the sorted set if the last element was popped.",
        ),
    spec("bzpopmax", -3, WRITE.or(FAST).or(BLOCKING), Group::SortedSet, |cx, args| bzpop(cx, args, Way::Down))
        .keys(POP_ALL)
        .doc(
            "5.0.0",
            "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member \
             available otherwise.  Deletes the sorted set if the last element was popped.",
        ),
    spec("bzmpop", -5, WRITE.or(BLOCKING).or(MOVABLE_KEYS), Group::SortedSet, bzmpop)
        .keys(&[keys_counted(2, &["RW", "access", "delete"])])
        .doc(
            "7.0.0",
            "Removes and returns a member by score from one or more sorted sets. Blocks until a member is available \
             otherwise. Deletes the sorted set if the last element was popped.",
        ),
];

/// Whether low or high scores come first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// Looks a sorted set up to read it.
pub fn read<R>(
    cx: &mut Cx<'_>,
    key: Key<'_>,
    found: impl FnOnce(ZsetRef<'_>, Writer<'_>) -> R,
) -> Result<Option<R>, Refusal> {
    let result = cx.read(key, |entry, reply| entry.zset().map(|set| found(set, reply)).ok_or(Refusal::WrongType));
    result.transpose()
}

/// The sorted set of a key that is to be changed; the caller has checked its type.
pub fn held<'c>(cx: &'c Cx<'_>, key: Key<'_>) -> ZsetRef<'c> {
    let entry = cx.server.keyspace.db(cx.db as usize).get(key);
    entry.and_then(|entry| entry.zset()).expect("its type was checked")
}

/// Changes a sorted set, made empty where there is none. With its last member the key goes.
pub fn change<R>(cx: &mut Cx<'_>, key: Key<'_>, compact: bool, change: impl FnOnce(&mut ZsetMut<'_, '_>) -> R) -> R {
    let limits = Sizes::of(&cx.server.config.settings).zset;
    let mut db = cx.server.keyspace.db_mut(cx.db as usize);
    let mut set = db.zset_or_new(key, compact, limits);
    let result = change(&mut set);
    if set.get().is_empty() {
        cx.remove_emptied(key);
    }
    result
}

/// Writes members with or without their scores: in pairs for RESP3, else one behind the other.
pub fn tell_members<'m>(
    reply: &mut Writer<'_>,
    proto: Proto,
    scores: bool,
    count: usize,
    members: impl Iterator<Item = (&'m [u8], f64)>,
) {
    reply.array(if scores && proto == Proto::Resp2 { 2 * count } else { count });
    for member in members {
        tell_member(reply, proto, scores, member);
    }
}

fn tell_member(reply: &mut Writer<'_>, proto: Proto, scores: bool, (member, score): (&[u8], f64)) {
    if scores && proto == Proto::Resp3 {
        reply.array(2);
    }
    reply.bulk(member);
    if scores {
        reply.double(score);
    }
}

/// The options of ZADD.
#[derive(Clone, Copy, Default)]
struct Terms {
    missing: bool,
    there: bool,
    greater: bool,
    less: bool,
    changed: bool,
    add: bool,
}

impl Terms {
    /// The score that a member is to have; `None` where the terms leave it as it is.
    fn score(self, old: Option<f64>, given: f64) -> Result<Option<f64>, Refusal> {
        let Some(old) = old else { return Ok((!self.there).then_some(given)) };
        if self.missing {
            return Ok(None);
        }
        let score = if self.add { old + given } else { given };
        if score.is_nan() {
            return Err(Refusal::err("resulting score is not a number (NaN)"));
        }
        let stays = self.less && score >= old || self.greater && score <= old;
        Ok((!stays).then_some(score))
    }
}

/// ZADD key \[NX | XX\] \[GT | LT\] \[CH\] \[INCR\] score member [score member ...]
pub fn zadd(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut terms = Terms::default();
    loop {
        let terms = match () {
            () if args.take("nx") => &mut terms.missing,
            () if args.take("xx") => &mut terms.there,
            () if args.take("gt") => &mut terms.greater,
            () if args.take("lt") => &mut terms.less,
            () if args.take("ch") => &mut terms.changed,
            () if args.take("incr") => &mut terms.add,
            () => break,
        };
        *terms = true;
    }
    put(cx, args, key, terms)
}

/// ZINCRBY key increment member
fn zincrby(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    put(cx, args, key, Terms { add: true, ..Terms::default() })
}

/// Adds the pairs of score and member that are left.
fn put(cx: &mut Cx<'_>, args: &mut Args<'_>, key: Key<'_>, terms: Terms) -> Outcome {
    if args.left() == 0 || !args.left().is_multiple_of(2) {
        return Err(Refusal::Syntax);
    }
    if terms.missing && terms.there {
        return Err(Refusal::err("XX and NX options at the same time are not compatible"));
    }
    if terms.missing && (terms.greater || terms.less) || terms.greater && terms.less {
        return Err(Refusal::err("GT, LT, and/or NX options at the same time are not compatible"));
    }
    if terms.add && args.left() > 2 {
        return Err(Refusal::err("INCR option supports a single increment-element pair"));
    }
    let mut pairs = Vec::with_capacity(args.left() / 2);
    while args.left() > 0 {
        pairs.push((args.float()?, args.bytes()?));
    }
    let there = cx.writing_kind(key, Kind::Zset)?;
    let (mut added, mut updated, mut last, mut refused) = (0, 0, None, Ok(()));
    if there || !terms.there {
        let limits = Sizes::of(&cx.server.config.settings).zset;
        let longest = pairs.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
        let compact = pairs.len() <= limits.entries && longest <= limits.bytes;
        change(cx, key, compact, |set| {
            set.expect(pairs.len());
            for &(given, member) in &pairs {
                let old = set.get().score(member);
                match terms.score(old, given) {
                    Ok(score) => {
                        last = score;
                        let Some(score) = score.filter(|&score| old != Some(score)) else { continue };
                        set.put(member, score);
                        match old {
                            None => added += 1,
                            Some(_) => updated += 1,
                        }
                    }
                    Err(refusal) => {
                        refused = Err(refusal);
                        return;
                    }
                }
            }
        });
    }
    if added + updated > 0 {
        cx.changed_by(key.bytes, added + updated);
        if !there {
            cx.born(key.bytes);
        }
        cx.notify(Class::Zset, if terms.add { "zincr" } else { "zadd" }, key.bytes);
        cx.feed_request(args);
    }
    refused?;
    match (terms.add, last) {
        (true, Some(score)) => cx.reply().double(score),
        (true, None) => cx.reply().null(),
        (false, _) => cx.reply().int((added + if terms.changed { updated } else { 0 }) as i64),
    }
    Ok(())
}

/// ZREM key member [member ...]
fn zrem(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut removed = 0;
    if cx.writing_kind(key, Kind::Zset)? {
        let members = args.all().skip(2);
        removed = change(cx, key, true, |set| members.map(|member| u64::from(set.remove(member))).sum());
    }
    if removed > 0 {
        cx.changed_by(key.bytes, removed);
        cx.notify(Class::Zset, "zrem", key.bytes);
        cx.emptied(key);
        cx.feed_request(args);
    }
    cx.reply().int(removed as i64);
    Ok(())
}

/// ZCARD key
fn zcard(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let len = read(cx, key, |set, _| set.len())?;
    cx.reply().int(len.unwrap_or(0) as i64);
    Ok(())
}

/// ZSCORE key member
fn zscore(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let member = args.bytes()?;
    match read(cx, key, |set, _| set.score(member))?.flatten() {
        Some(score) => cx.reply().double(score),
        None => cx.reply().null(),
    }
    Ok(())
}

/// ZMSCORE key member [member ...]
fn zmscore(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let members: Vec<&[u8]> = args.all().skip(2).collect();
    let scores = read(cx, key, |set, _| members.iter().map(|member| set.score(member)).collect::<Vec<_>>())?;
    let mut reply = cx.reply();
    reply.array(members.len());
    for score in scores.unwrap_or_else(|| vec![None; members.len()]) {
        match score {
            Some(score) => reply.double(score),
            None => reply.null(),
        }
    }
    Ok(())
}

/// ZRANK key member \[WITHSCORE\], ZREVRANK key member \[WITHSCORE\]
fn zrank(cx: &mut Cx<'_>, args: &mut Args<'_>, way: Way) -> Outcome {
    let key = cx.key(args.bytes()?);
    let member = args.bytes()?;
    let with_score = match args.left() {
        0 => false,
        1 if args.take("withscore") => true,
        1 => return Err(Refusal::Syntax),
        _ => return Err(Refusal::Arity(cx.spec.full_name())),
    };
    let found = read(cx, key, |set, _| {
        let (score, rank) = (set.score(member)?, set.rank(member)?);
        Some((if way == Way::Up { rank } else { set.len() - 1 - rank }, score))
    })?;
    let mut reply = cx.reply();
    match (found.flatten(), with_score) {
        (Some((rank, _)), false) => reply.int(rank as i64),
        (Some((rank, score)), true) => {
            reply.array(2);
            reply.int(rank as i64);
            reply.double(score);
        }
        (None, false) => reply.null(),
        (None, true) => reply.null_array(),
    }
    Ok(())
}

/// ZRANDMEMBER key \[count \[WITHSCORES\]\]
fn zrandmember(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut dice = cx.server.dice.clone();
    if args.left() == 0 {
        let found = read(cx, key, |set, mut reply| match set.random(|| dice.roll()) {
            Some((member, _)) => reply.bulk(member),
            None => reply.null(),
        })?;
        cx.server.dice = dice;
        if found.is_none() {
            cx.reply().null();
        }
        return Ok(());
    }
    let wanted = count_word(args)?;
    let scores = match args.left() {
        0 => false,
        1 if args.take("withscores") => true,
        _ => return Err(Refusal::Syntax),
    };
    if scores && wanted.words() > (i64::MAX / 2) as u64 {
        return Err(Refusal::err("value is out of range"));
    }
    let proto = cx.proto;
    let most = cx.reply_bytes_max(false);
    let found = read(cx, key, |set, mut reply| match picks(wanted, set.len(), || dice.roll()) {
        Picks::All => tell_members(&mut reply, proto, scores, set.len(), set.iter_from(0)),
        Picks::Places(places) => {
            let members = places.iter().filter_map(|&place| set.iter_from(place).next());
            tell_members(&mut reply, proto, scores, places.len(), members);
        }
        Picks::Tries(count) => {
            let mut drawn = Vec::with_capacity(count);
            draw(count, || set.random(|| dice.roll()), |member| drawn.push(member));
            tell_members(&mut reply, proto, scores, count, drawn.into_iter());
        }
        Picks::Repeated(times) => {
            reply.array(if scores && proto == Proto::Resp2 { 2 * times } else { times });
            for _ in 0..times {
                if let Some(member) = set.random(|| dice.roll()) {
                    tell_member(&mut reply, proto, scores, member);
                }
                if reply.len() > most {
                    break;
                }
            }
        }
    })?;
    cx.server.dice = dice;
    if found.is_none() {
        cx.reply().array(0);
    }
    Ok(())
}

/// ZSCAN key cursor \[MATCH pattern\] \[COUNT count\]
fn zscan(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let cursor = scan::cursor(args)?;
    let found = read(cx, key, |set, mut reply| {
        let options = scan::Options::of(args, scan::Scanned::Scores)?;
        let mut found: Vec<(&[u8], Option<Vec<u8>>)> = Vec::new();
        let next = set.scan(cursor, options.count, |member, score| {
            if options.fits(member) {
                let digits = options.values.then(|| {
                    let mut digits = Vec::new();
                    push_f64(&mut digits, score);
                    digits
                });
                found.push((member, digits));
            }
        });
        let words = found.iter().flat_map(|(member, score)| [Some(*member), score.as_deref()]).flatten();
        let words: Vec<&[u8]> = words.collect();
        scan::tell(&mut reply, next, &words);
        Ok(())
    })?;
    match found {
        Some(outcome) => outcome,
        None => {
            scan::tell(&mut cx.reply(), 0, &[]);
            Ok(())
        }
    }
}

/// Takes members from an end; the caller has checked the type.
fn take(cx: &mut Cx<'_>, key: Key<'_>, way: Way, count: usize) -> Vec<(Vec<u8>, f64)> {
    let set = held(cx, key);
    let (len, count) = (set.len(), count.min(set.len()));
    let own = |(member, score): (&[u8], f64)| (member.to_vec(), score);
    let taken: Vec<(Vec<u8>, f64)> = match way {
        Way::Up => set.iter_from(0).take(count).map(own).collect(),
        Way::Down => set.iter_below(len).take(count).map(own).collect(),
    };
    change(cx, key, true, |set| {
        for (member, _) in &taken {
            set.remove(member);
        }
    });
    cx.changed_by(key.bytes, count as u64);
    cx.notify(Class::Zset, if way == Way::Up { "zpopmin" } else { "zpopmax" }, key.bytes);
    cx.emptied(key);
    taken
}

fn command_of(way: Way) -> &'static [u8] {
    if way == Way::Up { b"ZPOPMIN" } else { b"ZPOPMAX" }
}

fn pairs(taken: &[(Vec<u8>, f64)]) -> impl Iterator<Item = (&[u8], f64)> {
    taken.iter().map(|(member, score)| (&member[..], *score))
}

/// ZPOPMIN key \[count\], ZPOPMAX key \[count\]
fn zpop(cx: &mut Cx<'_>, args: &mut Args<'_>, way: Way) -> Outcome {
    let key = cx.key(args.bytes()?);
    let count = match args.left() {
        0 => None,
        1 => Some(args.positive()?),
        _ => return Err(Refusal::Syntax),
    };
    if !cx.writing_kind(key, Kind::Zset)? || count == Some(0) {
        cx.reply().array(0);
        return Ok(());
    }
    let taken = take(cx, key, way, usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX));
    cx.feed_request(args);
    // In RESP3 pairs are nested only where a count was given.
    let proto = if count.is_some() { cx.proto } else { Proto::Resp2 };
    tell_members(&mut cx.reply(), proto, true, taken.len(), pairs(&taken));
    Ok(())
}

/// Which keys ZMPOP and BZMPOP look at, and what they take.
struct Many<'a> {
    keys: Vec<&'a [u8]>,
    way: Way,
    count: usize,
}

impl<'a> Many<'a> {
    /// numkeys key [key ...] MIN | MAX \[COUNT count\]
    fn of(args: &mut Args<'a>) -> Result<Many<'a>, Refusal> {
        let (keys, way) = numbered_keys(args, |args| match args.take("min") {
            true => Ok(Way::Up),
            false if args.take("max") => Ok(Way::Down),
            false => Err(Refusal::Syntax),
        })?;
        let count = count_option(args)?;
        Ok(Many { keys, way, count })
    }

    /// Pops from the first key that holds something; `false` where none does.
    fn pop(&self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        for name in &self.keys {
            let key = cx.key(name);
            if !cx.writing_kind(key, Kind::Zset)? {
                continue;
            }
            let taken = take(cx, key, self.way, self.count);
            cx.feed(&[command_of(self.way), key.bytes, itoa::Buffer::new().format(taken.len()).as_bytes()]);
            let mut reply = cx.reply();
            reply.array(2);
            reply.bulk(key.bytes);
            reply.array(taken.len());
            for (member, score) in &taken {
                reply.array(2);
                reply.bulk(member);
                reply.double(*score);
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// ZMPOP numkeys key [key ...] MIN | MAX \[COUNT count\]
fn zmpop(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if !Many::of(args)?.pop(cx)? {
        cx.reply().null_array();
    }
    Ok(())
}

/// BZPOPMIN key [key ...] timeout, BZPOPMAX key [key ...] timeout
fn bzpop(cx: &mut Cx<'_>, args: &mut Args<'_>, way: Way) -> Outcome {
    let count = args.left() - 1;
    let names: Vec<&[u8]> = args.all().skip(1).take(count).collect();
    args.skip(count);
    let timeout = args.timeout()?;
    for name in &names {
        let key = cx.key(name);
        if cx.writing_kind(key, Kind::Zset)? {
            let taken = take(cx, key, way, 1);
            cx.feed(&[command_of(way), key.bytes]);
            let mut reply = cx.reply();
            reply.array(3);
            reply.bulk(key.bytes);
            reply.bulk(&taken[0].0);
            reply.double(taken[0].1);
            return Ok(());
        }
    }
    wait(cx, args, names, timeout);
    Ok(())
}

fn wait(cx: &mut Cx<'_>, args: &Args<'_>, keys: Vec<&[u8]>, timeout: Millis) {
    if !cx.await_keys(args, keys, Kind::Zset, timeout) {
        cx.reply().null_array();
    }
}

/// BZMPOP timeout numkeys key [key ...] MIN | MAX \[COUNT count\]
fn bzmpop(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let timeout = args.bytes()?;
    let many = Many::of(args)?;
    let timeout = Args::timeout_of(timeout)?;
    if !many.pop(cx)? {
        wait(cx, args, many.keys, timeout);
    }
    Ok(())
}
