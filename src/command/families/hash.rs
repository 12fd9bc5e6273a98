//! Hashes: HSET, HGET, HINCRBY, HSCAN and their kin.

use super::random::{Picks, count_word, draw, picks};
use super::scan;
use crate::base::extended::Extended;
use crate::base::number::parse_i64;
use crate::command::spec::{DENYOOM, FAST, Flags, Group, KeySpec, READONLY, Spec, WRITE, key, spec};
use crate::command::transfer::Sizes;
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{HashMut, HashRef, Key, Kind};
use crate::resp::{Proto, Writer};

const STORE: Flags = WRITE.or(DENYOOM).or(FAST);
const QUICK: Flags = READONLY.or(FAST);

const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const LOOK: &[KeySpec] = &[key(1, &["RO"])];
const UPDATE: &[KeySpec] = &[key(1, &["RW", "update"])];
const CHANGE: &[KeySpec] = &[key(1, &["RW", "access", "update"])];

pub const ROWS: &[Spec] = &[
    spec("hset", -4, STORE, Group::Hash, |cx, args| hset(cx, args, Answer::Count))
        .keys(UPDATE)
        .doc("2.0.0", "Creates or modifies the value of a field in a hash."),
    spec("hmset", -4, STORE, Group::Hash, |cx, args| hset(cx, args, Answer::Ok))
        .keys(UPDATE)
        .doc("2.0.0", "Sets the values of multiple fields."),
    spec("hsetnx", 4, STORE, Group::Hash, hsetnx)
        .keys(&[key(1, &["RW", "insert"])])
        .doc("2.0.0", "Sets the value of a field in a hash only when the field doesn't exist."),
    spec("hget", 3, QUICK, Group::Hash, hget).keys(READ).doc("2.0.0", "Returns the value of a field in a hash."),
    spec("hmget", -3, QUICK, Group::Hash, hmget).keys(READ).doc("2.0.0", "Returns the values of all fields in a hash."),
    spec("hdel", -3, WRITE.or(FAST), Group::Hash, hdel).keys(&[key(1, &["RW", "delete"])]).doc(
        "2.0.0",
        "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
    ),
    spec("hlen", 2, QUICK, Group::Hash, hlen).keys(LOOK).doc("2.0.0", "Returns the number of fields in a hash."),
    spec("hstrlen", 3, QUICK, Group::Hash, hstrlen).keys(LOOK).doc("3.2.0", "Returns the length of the value of a field."),
    spec("hexists", 3, QUICK, Group::Hash, hexists)
        .keys(LOOK)
        .doc("2.0.0", "Determines whether a field exists in a hash."),
    spec("hgetall", 2, READONLY, Group::Hash, |cx, args| list(cx, args, Part::Pairs))
        .keys(READ)
        .doc("2.0.0", "Returns all fields and values in a hash."),
    spec("hkeys", 2, READONLY, Group::Hash, |cx, args| list(cx, args, Part::Fields))
        .keys(READ)
        .doc("2.0.0", "Returns all fields in a hash."),
    spec("hvals", 2, READONLY, Group::Hash, |cx, args| list(cx, args, Part::Values))
        .keys(READ)
        .doc("2.0.0", "Returns all values in a hash."),
    spec("hincrby", 4, STORE, Group::Hash, hincrby).keys(CHANGE).doc(
        "2.0.0",
        "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.",
    ),
    spec("hincrbyfloat", 4, STORE, Group::Hash, hincrbyfloat).keys(CHANGE).doc(
        "2.6.0",
        "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.",
    ),
    spec("hrandfield", -2, READONLY, Group::Hash, hrandfield)
        .keys(READ)
        .doc("6.2.0", "Returns one or more random fields from a hash."),
    spec("hscan", -3, READONLY, Group::Hash, hscan).keys(READ).doc("2.8.0", "Iterates over fields and values of a hash."),
];

/// Looks a hash up to read it.
fn read<R>(
    cx: &mut Cx<'_>,
    key: Key<'_>,
    found: impl FnOnce(HashRef<'_>, Writer<'_>) -> R,
) -> Result<Option<R>, Refusal> {
    let result = cx.read(key, |entry, reply| entry.hash().map(|hash| found(hash, reply)).ok_or(Refusal::WrongType));
    result.transpose()
}

/// A hash to change, made where there is none: the caller puts a field in.
fn write<'k, R>(cx: &mut Cx<'_>, key: Key<'k>, change: impl FnOnce(HashMut<'_, '_>) -> R) -> R {
    let limits = Sizes::of(&cx.server.config.settings).hash;
    let mut db = cx.server.keyspace.db_mut(cx.db as usize);
    change(db.hash_or_new(key, limits))
}

/// Says that so many fields of a hash have changed; `there`: whether it was there before.
fn tell(cx: &mut Cx<'_>, key: Key<'_>, changes: u64, there: bool, event: &'static str) {
    cx.changed_by(key.bytes, changes);
    if !there {
        cx.born(key.bytes);
    }
    cx.notify(Class::Hash, event, key.bytes);
}

/// What HSET and HMSET reply.
enum Answer {
    Count,
    Ok,
}

/// HSET key field value [field value ...], HMSET key field value [field value ...]
fn hset(cx: &mut Cx<'_>, args: &mut Args<'_>, answer: Answer) -> Outcome {
    let key = cx.key(args.bytes()?);
    if !args.left().is_multiple_of(2) {
        return Err(Refusal::Arity(cx.spec.full_name()));
    }
    let there = cx.writing_kind(key, Kind::Hash)?;
    let (mut pairs, fields) = (*args, args.left() / 2);
    let created = write(cx, key, |mut hash| {
        hash.expect(fields);
        let mut created = 0;
        while let (Some(field), Some(value)) = (pairs.maybe(), pairs.maybe()) {
            created += i64::from(hash.set(field, value));
        }
        created
    });
    tell(cx, key, fields as u64, there, "hset");
    cx.feed_request(args);
    match answer {
        Answer::Count => cx.reply().int(created),
        Answer::Ok => cx.reply().ok(),
    }
    Ok(())
}

/// HSETNX key field value
fn hsetnx(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (field, value) = (args.bytes()?, args.bytes()?);
    let there = cx.writing_kind(key, Kind::Hash)?;
    let set = held(cx, key, |hash| hash.get(field).is_some()) != Some(true);
    if set {
        write(cx, key, |mut hash| hash.set(field, value));
        tell(cx, key, 1, there, "hset");
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(set));
    Ok(())
}

/// Looks at a hash that is to be changed; the caller has checked its type.
fn held<R>(cx: &Cx<'_>, key: Key<'_>, look: impl FnOnce(HashRef<'_>) -> R) -> Option<R> {
    cx.server.keyspace.db(cx.db as usize).get(key)?.hash().map(look)
}

/// HGET key field
fn hget(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let field = args.bytes()?;
    let found = read(cx, key, |hash, mut reply| match hash.get(field) {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    })?;
    if found.is_none() {
        cx.reply().null();
    }
    Ok(())
}

/// HMGET key field [field ...]
fn hmget(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut fields = *args;
    let found = read(cx, key, |hash, mut reply| {
        reply.array(fields.left());
        while let Some(field) = fields.maybe() {
            match hash.get(field) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            }
        }
    })?;
    if found.is_none() {
        let mut reply = cx.reply();
        reply.array(args.left());
        (0..args.left()).for_each(|_| reply.null());
    }
    Ok(())
}

/// HDEL key field [field ...]
fn hdel(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut removed = 0;
    if cx.writing_kind(key, Kind::Hash)? {
        let mut fields = *args;
        let limits = Sizes::of(&cx.server.config.settings).hash;
        let mut db = cx.server.keyspace.db_mut(cx.db as usize);
        let mut empty = false;
        if let Some(mut hash) = db.hash_mut(key, limits) {
            while let Some(field) = fields.maybe().filter(|_| !empty) {
                removed += u64::from(hash.remove(field));
                empty = hash.get().is_empty();
            }
        }
        if empty {
            cx.remove_emptied(key);
        }
    }
    if removed > 0 {
        cx.changed_by(key.bytes, removed);
        cx.notify(Class::Hash, "hdel", key.bytes);
        cx.emptied(key);
        cx.feed_request(args);
    }
    cx.reply().int(removed as i64);
    Ok(())
}

/// HLEN key
fn hlen(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let len = read(cx, key, |hash, _| hash.len())?;
    cx.reply().int(len.unwrap_or(0) as i64);
    Ok(())
}

/// HSTRLEN key field
fn hstrlen(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let field = args.bytes()?;
    let len = read(cx, key, |hash, _| hash.get(field).map_or(0, <[u8]>::len))?;
    cx.reply().int(len.unwrap_or(0) as i64);
    Ok(())
}

/// HEXISTS key field
fn hexists(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let field = args.bytes()?;
    let there = read(cx, key, |hash, _| hash.get(field).is_some())?;
    cx.reply().int(i64::from(there == Some(true)));
    Ok(())
}

/// What is told of each field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Pairs,
    Fields,
    Values,
}

/// HGETALL key, HKEYS key, HVALS key
fn list(cx: &mut Cx<'_>, args: &mut Args<'_>, part: Part) -> Outcome {
    let key = cx.key(args.bytes()?);
    let found = read(cx, key, |hash, mut reply| {
        match part {
            Part::Pairs => reply.map(hash.len()),
            Part::Fields | Part::Values => reply.array(hash.len()),
        }
        for (field, value) in hash.iter() {
            if part != Part::Values {
                reply.bulk(field);
            }
            if part != Part::Fields {
                reply.bulk(value);
            }
        }
    })?;
    match (found, part) {
        (Some(()), _) => {}
        (None, Part::Pairs) => cx.reply().map(0),
        (None, _) => cx.reply().array(0),
    }
    Ok(())
}

/// HINCRBY key field increment
fn hincrby(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let field = args.bytes()?;
    let step = args.int()?;
    let there = cx.writing_kind(key, Kind::Hash)?;
    let number = |hash: HashRef<'_>| match hash.get(field) {
        None => Ok(0),
        Some(value) => parse_i64(value).ok_or_else(|| Refusal::err("hash value is not an integer")),
    };
    let sum = held(cx, key, number).unwrap_or(Ok(0))?.checked_add(step).ok_or(Refusal::Overflow)?;
    write(cx, key, |mut hash| hash.set(field, itoa::Buffer::new().format(sum).as_bytes()));
    tell(cx, key, 1, there, "hincrby");
    cx.feed_request(args);
    cx.reply().int(sum);
    Ok(())
}

/// HINCRBYFLOAT key field increment: fed as the result, since adding the same twice may round differently elsewhere.
fn hincrbyfloat(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let field = args.bytes()?;
    let step = Extended::parse(args.bytes()?).ok_or(Refusal::NotFloat)?;
    if !step.is_finite() {
        return Err(Refusal::err("value is NaN or Infinity"));
    }
    let there = cx.writing_kind(key, Kind::Hash)?;
    let number = |hash: HashRef<'_>| match hash.get(field) {
        None => Ok(Extended::ZERO),
        Some(value) => Extended::parse(value).ok_or_else(|| Refusal::err("hash value is not a float")),
    };
    let sum = held(cx, key, number).unwrap_or(Ok(Extended::ZERO))? + step;
    if !sum.is_finite() {
        return Err(Refusal::err("increment would produce NaN or Infinity"));
    }
    let text = sum.to_string();
    write(cx, key, |mut hash| hash.set(field, text.as_bytes()));
    tell(cx, key, 1, there, "hincrbyfloat");
    cx.feed(&[b"HSET", key.bytes, field, text.as_bytes()]);
    cx.reply().bulk(text.as_bytes());
    Ok(())
}

/// HRANDFIELD key \[count \[WITHVALUES\]\]
fn hrandfield(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    if args.left() == 0 {
        let mut dice = cx.server.dice.clone();
        let found = read(cx, key, |hash, mut reply| match hash.random(|| dice.roll()) {
            Some((field, _)) => reply.bulk(field),
            None => reply.null(),
        })?;
        cx.server.dice = dice;
        if found.is_none() {
            cx.reply().null();
        }
        return Ok(());
    }
    let wanted = count_word(args)?;
    let with_values = match args.left() {
        0 => false,
        1 if args.take("withvalues") => true,
        _ => return Err(Refusal::Syntax),
    };
    if with_values && wanted.words() > (i64::MAX / 2) as u64 {
        return Err(Refusal::err("value is out of range"));
    }
    let nested = with_values && cx.proto == Proto::Resp3;
    let most = cx.reply_bytes_max(false);
    let mut dice = cx.server.dice.clone();
    let found = read(cx, key, |hash, mut reply| {
        let tell = |reply: &mut Writer<'_>, (field, value): (&[u8], &[u8])| {
            if nested {
                reply.array(2);
            }
            reply.bulk(field);
            if with_values {
                reply.bulk(value);
            }
        };
        let head = |reply: &mut Writer<'_>, pairs: usize| {
            reply.array(if with_values && !nested { 2 * pairs } else { pairs });
        };
        match picks(wanted, hash.len(), || dice.roll()) {
            Picks::All => {
                head(&mut reply, hash.len());
                hash.iter().for_each(|pair| tell(&mut reply, pair));
            }
            Picks::Places(places) => {
                head(&mut reply, places.len());
                let all: Vec<_> = hash.iter().collect();
                places.into_iter().for_each(|place| tell(&mut reply, all[place]));
            }
            Picks::Tries(count) => {
                head(&mut reply, count);
                draw(count, || hash.random(|| dice.roll()), |pair| tell(&mut reply, pair));
            }
            Picks::Repeated(times) => {
                head(&mut reply, times);
                for _ in 0..times {
                    if let Some(pair) = hash.random(|| dice.roll()) {
                        tell(&mut reply, pair);
                    }
                    if reply.len() > most {
                        break;
                    }
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

/// HSCAN key cursor \[MATCH pattern\] \[COUNT count\] \[NOVALUES\]: the last option as in Valkey 8.
fn hscan(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let cursor = scan::cursor(args)?;
    let found = read(cx, key, |hash, mut reply| {
        let options = scan::Options::of(args, scan::Scanned::Hash)?;
        let mut found: Vec<&[u8]> = Vec::new();
        let next = hash.scan(cursor, options.count, |field, value| {
            if options.fits(field) {
                found.push(field);
                if options.values {
                    found.push(value);
                }
            }
        });
        scan::tell(&mut reply, next, &found);
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
