//! Numbers in strings: INCR, DECR and their kin, and INCRBYFLOAT.

use crate::base::extended::Extended;
use crate::command::spec::{DENYOOM, FAST, Flags, Group, KeySpec, Spec, WRITE, key, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{Digits, Key, StrRef};

const FLAGS: Flags = WRITE.or(DENYOOM).or(FAST);

const KEY: &[KeySpec] = &[key(1, &["RW", "access", "update"])];

pub const ROWS: &[Spec] = &[
    spec("incr", 2, FLAGS, Group::String, |cx, args| add(cx, args, Step::Fixed(1))).keys(KEY).doc(
        "1.0.0",
        "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
    ),
    spec("decr", 2, FLAGS, Group::String, |cx, args| add(cx, args, Step::Fixed(-1))).keys(KEY).doc(
        "1.0.0",
        "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
    ),
    spec("incrby", 3, FLAGS, Group::String, |cx, args| add(cx, args, Step::Plus)).keys(KEY).doc(
        "1.0.0",
        "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
    ),
    spec("decrby", 3, FLAGS, Group::String, |cx, args| add(cx, args, Step::Minus)).keys(KEY).doc(
        "1.0.0",
        "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
    ),
    spec("incrbyfloat", 3, FLAGS, Group::String, incrbyfloat).keys(KEY).doc(
        "2.6.0",
        "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
    ),
];

/// What is added.
#[derive(Clone, Copy)]
enum Step {
    Fixed(i64),
    /// The next word, or its negation.
    Plus,
    Minus,
}

/// INCR key, DECR key, INCRBY key increment, DECRBY key decrement
fn add(cx: &mut Cx<'_>, args: &mut Args<'_>, step: Step) -> Outcome {
    let key = cx.key(args.bytes()?);
    let step = match step {
        Step::Fixed(step) => step,
        Step::Plus => args.int()?,
        Step::Minus => args.int()?.checked_neg().ok_or_else(|| Refusal::err("decrement would overflow"))?,
    };
    let held = cx.writing(key, |entry| match entry.string() {
        None => Err(Refusal::WrongType),
        Some(StrRef::Int(number)) => Ok(number),
        Some(StrRef::Bytes(bytes)) => crate::base::number::parse_i64(bytes).ok_or(Refusal::NotInteger),
    });
    let there = held.is_some();
    let sum = held.unwrap_or(Ok(0))?.checked_add(step).ok_or(Refusal::Overflow)?;
    if there {
        if let Some(old) = cx.server.keyspace.db_mut(cx.db as usize).set_int(key, sum) {
            cx.free_value(old);
        }
        cx.changed(key.bytes);
    } else {
        cx.put(key, itoa::Buffer::new().format(sum).as_bytes(), None);
    }
    cx.notify(Class::String, "incrby", key.bytes);
    cx.feed_request(args);
    cx.reply().int(sum);
    Ok(())
}

/// INCRBYFLOAT key increment: fed as the result, since adding the same twice may round differently elsewhere.
fn incrbyfloat(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key: Key<'_> = cx.key(args.bytes()?);
    let step = args.bytes()?;
    let held = cx.writing(key, |entry| {
        let mut digits = Digits::default();
        let text = entry.string().ok_or(Refusal::WrongType)?.bytes(&mut digits);
        Ok((Extended::parse(text).ok_or(Refusal::NotFloat)?, entry.deadline()))
    });
    let (held, deadline) = held.unwrap_or(Ok((Extended::ZERO, None)))?;
    let step = Extended::parse(step).ok_or(Refusal::NotFloat)?;
    let sum = held + step;
    if !sum.is_finite() {
        return Err(Refusal::err("increment would produce NaN or Infinity"));
    }
    let text = sum.to_string();
    cx.put(key, text.as_bytes(), deadline);
    cx.notify(Class::String, "incrbyfloat", key.bytes);
    cx.feed(&[b"SET", key.bytes, text.as_bytes(), b"KEEPTTL"]);
    cx.reply().bulk(text.as_bytes());
    Ok(())
}
