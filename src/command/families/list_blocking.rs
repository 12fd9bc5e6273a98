//! Lists: commands that wait for an element. They are fed as what they did, without the waiting.

use super::list::{MOVE, Many, end_word, pop_many, shift, take};
use crate::base::Millis;
use crate::command::spec::{BLOCKING, DENYOOM, Group, KeySpec, MOVABLE_KEYS, Place, Spec, WRITE, keys_counted, spec};
use crate::command::{Args, Cx, Outcome};
use crate::keyspace::{End, Kind};

/// All words but the last.
const KEYS: &[KeySpec] =
    &[KeySpec { flags: &["RW", "access", "delete"], place: Place::Range { first: 1, last: -2, step: 1 } }];

pub const ROWS: &[Spec] = &[
    spec("blpop", -3, WRITE.or(BLOCKING), Group::List, |cx, args| pop(cx, args, End::Left)).keys(KEYS).doc(
        "2.0.0",
        "Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the \
         list if the last element was popped.",
    ),
    spec("brpop", -3, WRITE.or(BLOCKING), Group::List, |cx, args| pop(cx, args, End::Right)).keys(KEYS).doc(
        "2.0.0",
        "Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the \
         list if the last element was popped.",
    ),
    spec("brpoplpush", 4, WRITE.or(DENYOOM).or(BLOCKING), Group::List, brpoplpush).keys(MOVE).doc(
        "2.2.0",
        "Pops an element from a list, pushes it to another list and returns it. Block until an element is available \
         otherwise. Deletes the list if the last element was popped.",
    ),
    spec("blmove", 6, WRITE.or(DENYOOM).or(BLOCKING), Group::List, blmove).keys(MOVE).doc(
        "6.2.0",
        "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available \
         otherwise. Deletes the list if the last element was moved.",
    ),
    spec("blmpop", -5, WRITE.or(BLOCKING).or(MOVABLE_KEYS), Group::List, blmpop)
        .keys(&[keys_counted(2, &["RW", "access", "delete"])])
        .doc(
            "7.0.0",
            "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes \
             the list if the last element was popped.",
        ),
];

/// BLPOP key [key ...] timeout, BRPOP key [key ...] timeout
fn pop(cx: &mut Cx<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let count = args.left() - 1;
    let names: Vec<&[u8]> = args.all().skip(1).take(count).collect();
    args.skip(count);
    let timeout = args.timeout()?;
    for name in &names {
        let key = cx.key(name);
        if cx.writing_kind(key, Kind::List)? {
            let taken = take(cx, key, end, 1);
            cx.feed(&[if end == End::Left { b"LPOP" } else { b"RPOP" }, key.bytes]);
            let mut reply = cx.reply();
            reply.array(2);
            reply.bulk(key.bytes);
            reply.bulk(&taken[0]);
            return Ok(());
        }
    }
    wait(cx, args, names, timeout);
    Ok(())
}

fn wait(cx: &mut Cx<'_>, args: &Args<'_>, keys: Vec<&[u8]>, timeout: Millis) {
    if !cx.await_keys(args, keys, Kind::List, timeout) {
        cx.reply().null_array();
    }
}

/// BRPOPLPUSH source destination timeout
fn brpoplpush(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    let timeout = args.timeout()?;
    if !shift(cx, (from, End::Right), (to, End::Left), &[b"RPOPLPUSH", from.bytes, to.bytes])? {
        wait_to_move(cx, args, from.bytes, timeout);
    }
    Ok(())
}

/// BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout
fn blmove(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    let ends = (end_word(args)?, end_word(args)?);
    let timeout = args.timeout()?;
    let words = [b"LMOVE", from.bytes, to.bytes, args.at(3), args.at(4)];
    if !shift(cx, (from, ends.0), (to, ends.1), &words)? {
        wait_to_move(cx, args, from.bytes, timeout);
    }
    Ok(())
}

fn wait_to_move(cx: &mut Cx<'_>, args: &Args<'_>, from: &[u8], timeout: Millis) {
    if !cx.await_keys(args, vec![from], Kind::List, timeout) {
        cx.reply().null();
    }
}

/// BLMPOP timeout numkeys key [key ...] LEFT | RIGHT \[COUNT count\]
fn blmpop(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let timeout = args.bytes()?;
    let many = Many::of(args)?;
    let timeout = Args::timeout_of(timeout)?;
    if !pop_many(cx, &many)? {
        wait(cx, args, many.keys, timeout);
    }
    Ok(())
}
