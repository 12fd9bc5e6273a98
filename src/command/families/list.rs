//! Lists: pushing, popping, reading and changing them. What blocks is in `list_blocking`.

use crate::command::spec::{
    DENYOOM, FAST, Flags, Group, KeySpec, MOVABLE_KEYS, READONLY, Spec, WRITE, key, keys_counted, spec,
};
use crate::command::transfer::Sizes;
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{End, Key, Kind, ListMut, ListRef};
use crate::resp::Writer;
use std::ops::Range;

const STORE: Flags = WRITE.or(DENYOOM);
const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const INSERT: &[KeySpec] = &[key(1, &["RW", "insert"])];
const DELETE: &[KeySpec] = &[key(1, &["RW", "delete"])];
const POP: &[KeySpec] = &[key(1, &["RW", "access", "delete"])];
pub const MOVE: &[KeySpec] = &[key(1, &["RW", "access", "delete"]), key(2, &["RW", "insert"])];

pub const ROWS: &[Spec] = &[
    spec("lpush", -3, STORE.or(FAST), Group::List, |cx, args| push(cx, args, End::Left, Where::Anywhere))
        .keys(INSERT)
        .doc("1.0.0", "Prepends one or more elements to a list. Creates the key if it doesn't exist."),
    spec("rpush", -3, STORE.or(FAST), Group::List, |cx, args| push(cx, args, End::Right, Where::Anywhere))
        .keys(INSERT)
        .doc("1.0.0", "Appends one or more elements to a list. Creates the key if it doesn't exist."),
    spec("lpushx", -3, STORE.or(FAST), Group::List, |cx, args| push(cx, args, End::Left, Where::There))
        .keys(INSERT)
        .doc("2.2.0", "Prepends one or more elements to a list only when the list exists."),
    spec("rpushx", -3, STORE.or(FAST), Group::List, |cx, args| push(cx, args, End::Right, Where::There))
        .keys(INSERT)
        .doc("2.2.0", "Appends an element to a list only when the list exists."),
    spec("lpop", -2, WRITE.or(FAST), Group::List, |cx, args| pop(cx, args, End::Left)).keys(POP).doc(
        "1.0.0",
        "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.",
    ),
    spec("rpop", -2, WRITE.or(FAST), Group::List, |cx, args| pop(cx, args, End::Right)).keys(POP).doc(
        "1.0.0",
        "Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
    ),
    spec("llen", 2, READONLY.or(FAST), Group::List, llen)
        .keys(&[key(1, &["RO"])])
        .doc("1.0.0", "Returns the length of a list."),
    spec("lindex", 3, READONLY, Group::List, lindex)
        .keys(READ)
        .doc("1.0.0", "Returns an element from a list by its index."),
    spec("lrange", 4, READONLY, Group::List, lrange)
        .keys(READ)
        .doc("1.0.0", "Returns a range of elements from a list."),
    spec("lpos", -3, READONLY, Group::List, lpos)
        .keys(READ)
        .doc("6.0.6", "Returns the index of matching elements in a list."),
    spec("lset", 4, STORE, Group::List, lset)
        .keys(&[key(1, &["RW", "update"])])
        .doc("1.0.0", "Sets the value of an element in a list by its index."),
    spec("linsert", 5, STORE, Group::List, linsert)
        .keys(INSERT)
        .doc("2.2.0", "Inserts an element before or after another element in a list."),
    spec("lrem", 4, WRITE, Group::List, lrem)
        .keys(DELETE)
        .doc("1.0.0", "Removes elements from a list. Deletes the list if the last element was removed."),
    spec("ltrim", 4, WRITE, Group::List, ltrim)
        .keys(DELETE)
        .doc("1.0.0", "Removes elements from both ends a list. Deletes the list if all elements were trimmed."),
    spec("rpoplpush", 3, STORE, Group::List, rpoplpush).keys(MOVE).doc(
        "1.2.0",
        "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last \
         element was popped.",
    ),
    spec("lmove", 5, STORE, Group::List, lmove).keys(MOVE).doc(
        "6.2.0",
        "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last \
         element was moved.",
    ),
    spec("lmpop", -4, WRITE.or(MOVABLE_KEYS), Group::List, lmpop)
        .keys(&[keys_counted(1, &["RW", "access", "delete"])])
        .doc(
            "7.0.0",
            "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.",
        ),
];

/// Looks a list up to read it.
fn read<R>(
    cx: &mut Cx<'_>,
    key: Key<'_>,
    found: impl FnOnce(ListRef<'_>, Writer<'_>) -> R,
) -> Result<Option<R>, Refusal> {
    let result = cx.read(key, |entry, reply| entry.list().map(|list| found(list, reply)).ok_or(Refusal::WrongType));
    result.transpose()
}

/// The list of a key that is to be changed; the caller has checked its type.
fn held<'c>(cx: &'c Cx<'_>, key: Key<'_>) -> ListRef<'c> {
    let entry = cx.server.keyspace.db(cx.db as usize).get(key);
    entry.and_then(|entry| entry.list()).expect("its type was checked")
}

/// Changes a list, made empty where there is none. With its last element the key goes.
fn change<R>(cx: &mut Cx<'_>, key: Key<'_>, change: impl FnOnce(&mut ListMut<'_, '_>) -> R) -> R {
    let limits = Sizes::of(&cx.server.config.settings).list;
    let mut db = cx.server.keyspace.db_mut(cx.db as usize);
    let mut list = db.list_or_new(key, limits);
    let result = change(&mut list);
    if list.get().is_empty() {
        cx.remove_emptied(key);
    }
    result
}

/// The event of a push to an end, and of a pop from it.
fn push_event(end: End) -> &'static str {
    if end == End::Left { "lpush" } else { "rpush" }
}

fn pop_event(end: End) -> &'static str {
    if end == End::Left { "lpop" } else { "rpop" }
}

/// A list of these elements, at least one; nothing is in its way but what is due and unseen.
pub fn make(cx: &mut Cx<'_>, key: Key<'_>, elements: &[Vec<u8>]) {
    cx.remove_emptied(key);
    change(cx, key, |list| {
        list.expect(elements.iter().map(Vec::as_slice));
        elements.iter().for_each(|element| list.push(End::Right, element));
    });
    cx.changed_by(key.bytes, elements.len() as u64);
}

/// Whether a push makes a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Anywhere,
    There,
}

/// LPUSH key element [element ...], RPUSH, LPUSHX, RPUSHX
fn push(cx: &mut Cx<'_>, args: &mut Args<'_>, end: End, place: Where) -> Outcome {
    let key = cx.key(args.bytes()?);
    let there = cx.writing_kind(key, Kind::List)?;
    if !there && place == Where::There {
        cx.reply().int(0);
        return Ok(());
    }
    let elements = args.all().skip(2);
    let count = elements.len();
    let len = change(cx, key, |list| {
        list.expect(args.all().skip(2));
        elements.for_each(|element| list.push(end, element));
        list.get().len()
    });
    cx.changed_by(key.bytes, count as u64);
    if !there {
        cx.born(key.bytes);
    }
    cx.notify(Class::List, push_event(end), key.bytes);
    cx.feed_request(args);
    cx.reply().int(len as i64);
    Ok(())
}

/// Takes elements from an end; replies with them, the outermost first.
pub fn take(cx: &mut Cx<'_>, key: Key<'_>, end: End, count: usize) -> Vec<Vec<u8>> {
    let list = held(cx, key);
    let (len, count) = (list.len(), count.min(list.len()));
    let taken: Vec<Vec<u8>> = match end {
        End::Left => list.iter_from(0).take(count).map(<[u8]>::to_vec).collect(),
        End::Right if count == 1 => vec![list.get(len - 1).expect("the last one").to_vec()],
        End::Right => list.iter_back().take(count).map(<[u8]>::to_vec).collect(),
    };
    remove(cx, key, if end == End::Left { 0..count } else { len - count..len });
    cx.changed_by(key.bytes, count as u64);
    cx.notify(Class::List, pop_event(end), key.bytes);
    cx.emptied(key);
    taken
}

fn remove(cx: &mut Cx<'_>, key: Key<'_>, elements: Range<usize>) {
    if elements.is_empty() {
        return;
    }
    change(cx, key, |list| {
        if elements.len() < list.get().len() {
            list.remove(elements.start, elements.len());
            list.settle();
        } else {
            list.remove(0, elements.len());
        }
    });
}

/// LPOP key \[count\], RPOP key \[count\]
fn pop(cx: &mut Cx<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let key = cx.key(args.bytes()?);
    let count = match args.left() {
        0 => None,
        1 => Some(args.positive()?),
        _ => return Err(Refusal::Arity(cx.spec.full_name())),
    };
    if !cx.writing_kind(key, Kind::List)? {
        match count {
            Some(_) => cx.reply().null_array(),
            None => cx.reply().null(),
        }
        return Ok(());
    }
    if count == Some(0) {
        cx.reply().array(0);
        return Ok(());
    }
    let taken = take(cx, key, end, usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX));
    cx.feed_request(args);
    match count {
        Some(_) => cx.reply().bulks(&taken),
        None => cx.reply().bulk(&taken[0]),
    }
    Ok(())
}

/// LLEN key
fn llen(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let len = read(cx, key, |list, _| list.len())?;
    cx.reply().int(len.unwrap_or(0) as i64);
    Ok(())
}

/// An index counted from the end where it is negative; `None` outside of the list.
fn index_in(len: usize, index: i64) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|&index| index < len)
}

/// The elements between two indices, both included, each counted from the end where it is negative.
fn range_in(len: usize, first: i64, last: i64) -> Range<usize> {
    let from_end = |index: i64| if index < 0 { index.saturating_add(len as i64) } else { index };
    let first = from_end(first).max(0) as usize;
    let end = usize::try_from(from_end(last).saturating_add(1)).unwrap_or(0).min(len);
    first.min(end)..end
}

/// LINDEX key index
fn lindex(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let found = read(cx, key, |list, mut reply| {
        match index_in(list.len(), args.int()?).and_then(|index| list.get(index)) {
            Some(element) => reply.bulk(element),
            None => reply.null(),
        }
        Ok(())
    })?;
    if found.is_none() {
        cx.reply().null();
    }
    found.unwrap_or(Ok(()))
}

/// LRANGE key start stop
fn lrange(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (first, last) = (args.int()?, args.int()?);
    let found = read(cx, key, |list, mut reply| {
        let range = range_in(list.len(), first, last);
        reply.array(range.len());
        list.iter_from(range.start).take(range.len()).for_each(|element| reply.bulk(element));
    })?;
    if found.is_none() {
        cx.reply().array(0);
    }
    Ok(())
}

/// LPOS key element \[RANK rank\] \[COUNT num-matches\] \[MAXLEN len\]
fn lpos(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let wanted = args.bytes()?;
    let (mut rank, mut count, mut most) = (1, None, 0);
    let or = |number: Result<u64, Refusal>, text: &'static str| number.map_err(|_| Refusal::err(text));
    while args.left() > 0 {
        if args.left() < 2 {
            return Err(Refusal::Syntax);
        } else if args.take("rank") {
            rank = args.int()?;
            if rank == i64::MIN {
                return Err(Refusal::err(format!("value is out of range, value must between -{0} and {0}", i64::MAX)));
            }
            if rank == 0 {
                return Err(Refusal::err(
                    "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
                     start from the end of the list",
                ));
            }
        } else if args.take("count") {
            count = Some(or(args.positive(), "COUNT can't be negative")?);
        } else if args.take("maxlen") {
            most = or(args.positive(), "MAXLEN can't be negative")?;
        } else {
            return Err(Refusal::Syntax);
        }
    }
    let most = if most == 0 { usize::MAX } else { most as usize };
    let matches = match count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count as usize,
    };
    let skipped = (rank.unsigned_abs() - 1) as usize;
    let found = read(cx, key, |list, _| {
        let len = list.len();
        let matching = |(_, element): &(usize, &[u8])| *element == wanted;
        let places: Vec<usize> = if rank > 0 {
            let elements = list.iter_from(0).enumerate().take(most).filter(matching);
            elements.map(|(index, _)| index).skip(skipped).take(matches).collect()
        } else {
            let elements = list.iter_back().enumerate().take(most).filter(matching);
            elements.map(|(index, _)| len - 1 - index).skip(skipped).take(matches).collect()
        };
        places
    })?;
    let mut reply = cx.reply();
    match (found.unwrap_or_default(), count) {
        (places, Some(_)) => {
            reply.array(places.len());
            places.into_iter().for_each(|place| reply.int(place as i64));
        }
        (places, None) => match places.first() {
            Some(&place) => reply.int(place as i64),
            None => reply.null(),
        },
    }
    Ok(())
}

/// LSET key index element
fn lset(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    if !cx.writing_kind(key, Kind::List)? {
        return Err(Refusal::NoSuchKey);
    }
    let (index, element) = (args.int()?, args.bytes()?);
    let index = index_in(held(cx, key).len(), index).ok_or(Refusal::OutOfRange)?;
    change(cx, key, |list| {
        list.set(index, element);
        list.settle();
    });
    cx.changed(key.bytes);
    cx.notify(Class::List, "lset", key.bytes);
    cx.feed_request(args);
    cx.reply().ok();
    Ok(())
}

/// LINSERT key BEFORE | AFTER pivot element
fn linsert(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let after = match args.take("before") {
        true => false,
        false if args.take("after") => true,
        false => return Err(Refusal::Syntax),
    };
    let (pivot, element) = (args.bytes()?, args.bytes()?);
    if !cx.writing_kind(key, Kind::List)? {
        cx.reply().int(0);
        return Ok(());
    }
    let Some(place) = held(cx, key).iter_from(0).position(|held| held == pivot) else {
        cx.reply().int(-1);
        return Ok(());
    };
    let len = change(cx, key, |list| {
        list.expect(std::iter::once(element));
        list.insert(place + usize::from(after), element);
        list.get().len()
    });
    cx.changed(key.bytes);
    cx.notify(Class::List, "linsert", key.bytes);
    cx.feed_request(args);
    cx.reply().int(len as i64);
    Ok(())
}

/// LREM key count element
fn lrem(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let count = match args.int()? {
        i64::MIN => {
            return Err(Refusal::err(format!("value is out of range, value must between -{0} and {0}", i64::MAX)));
        }
        count => count,
    };
    let wanted = args.bytes()?;
    if !cx.writing_kind(key, Kind::List)? {
        cx.reply().int(0);
        return Ok(());
    }
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let list = held(cx, key);
    let len = list.len();
    // From the last one on, so that removing one does not move the others.
    let places: Vec<usize> = if count < 0 {
        let elements = list.iter_back().enumerate().filter(|(_, element)| *element == wanted);
        elements.map(|(index, _)| len - 1 - index).take(most).collect()
    } else {
        let elements = list.iter_from(0).enumerate().filter(|(_, element)| *element == wanted);
        let mut places: Vec<usize> = elements.map(|(index, _)| index).take(most).collect();
        places.reverse();
        places
    };
    if !places.is_empty() {
        change(cx, key, |list| {
            places.iter().for_each(|&place| list.remove(place, 1));
            if !list.get().is_empty() {
                list.settle();
            }
        });
        cx.changed_by(key.bytes, places.len() as u64);
        cx.notify(Class::List, "lrem", key.bytes);
        cx.emptied(key);
        cx.feed_request(args);
    }
    cx.reply().int(places.len() as i64);
    Ok(())
}

/// LTRIM key start stop
fn ltrim(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (first, last) = (args.int()?, args.int()?);
    if cx.writing_kind(key, Kind::List)? {
        let len = held(cx, key).len();
        let kept = range_in(len, first, last);
        if kept.len() == len {
            cx.server.key_changed(cx.db, key.bytes, Some(cx.slot));
            cx.notify(Class::List, "ltrim", key.bytes);
            cx.reply().ok();
            return Ok(());
        }
        if kept.is_empty() {
            cx.remove_emptied(key);
        } else {
            change(cx, key, |list| {
                list.remove(kept.end, len - kept.end);
                list.remove(0, kept.start);
                list.settle();
            });
        }
        cx.changed_by(key.bytes, (len - kept.len()) as u64);
        cx.notify(Class::List, "ltrim", key.bytes);
        cx.emptied(key);
        cx.feed_request(args);
    }
    cx.reply().ok();
    Ok(())
}

/// The next word as an end of a list.
pub fn end_word(args: &mut Args<'_>) -> Result<End, Refusal> {
    match args.take("left") {
        true => Ok(End::Left),
        false if args.take("right") => Ok(End::Right),
        false => Err(Refusal::Syntax),
    }
}

/// An element from one list to another, or within one; `false` where there is nothing to move. It replies and feeds
/// `words`.
pub fn shift(
    cx: &mut Cx<'_>,
    (from, from_end): (Key<'_>, End),
    (to, to_end): (Key<'_>, End),
    words: &[&[u8]],
) -> Result<bool, Refusal> {
    if !cx.writing_kind(from, Kind::List)? {
        return Ok(false);
    }
    let there = cx.writing_kind(to, Kind::List)?;
    let list = held(cx, from);
    let len = list.len();
    let index = if from_end == End::Left { 0 } else { len - 1 };
    let element = list.get(index).expect("within the list").to_vec();
    let arrive = |list: &mut ListMut<'_, '_>| {
        list.expect(std::iter::once(&element[..]));
        list.push(to_end, &element);
    };
    if from.bytes == to.bytes {
        change(cx, from, |list| {
            list.remove(index, 1);
            arrive(list);
        });
    } else {
        change(cx, to, arrive);
        remove(cx, from, index..index + 1);
    }
    cx.changed(from.bytes);
    cx.changed(to.bytes);
    cx.server.dirty -= 1; // it counts as one change
    if !there {
        cx.born(to.bytes);
    }
    cx.notify(Class::List, push_event(to_end), to.bytes);
    cx.notify(Class::List, pop_event(from_end), from.bytes);
    cx.emptied(from);
    cx.feed(words);
    cx.reply().bulk(&element);
    Ok(true)
}

/// RPOPLPUSH source destination
fn rpoplpush(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    let words = cx.words(args);
    if !shift(cx, (from, End::Right), (to, End::Left), &words)? {
        cx.reply().null();
    }
    Ok(())
}

/// LMOVE source destination LEFT | RIGHT LEFT | RIGHT
fn lmove(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    let (from_end, to_end) = (end_word(args)?, end_word(args)?);
    let words = cx.words(args);
    if !shift(cx, (from, from_end), (to, to_end), &words)? {
        cx.reply().null();
    }
    Ok(())
}

/// What LMPOP and BLMPOP have in common: keys, end and count.
pub struct Many<'a> {
    pub keys: Vec<&'a [u8]>,
    pub end: End,
    pub count: usize,
}

impl<'a> Many<'a> {
    /// numkeys key [key ...] LEFT | RIGHT \[COUNT count\]
    pub fn of(args: &mut Args<'a>) -> Result<Many<'a>, Refusal> {
        let (keys, end) = numbered_keys(args, end_word)?;
        let count = count_option(args)?;
        Ok(Many { keys, end, count })
    }
}

/// numkeys key [key ...] and the word behind them.
pub fn numbered_keys<'a, W>(
    args: &mut Args<'a>,
    word: impl FnOnce(&mut Args<'a>) -> Result<W, Refusal>,
) -> Result<(Vec<&'a [u8]>, W), Refusal> {
    let count = args.int().ok().filter(|&count| count > 0);
    let count = count.ok_or_else(|| Refusal::err("numkeys should be greater than 0"))?;
    if count >= args.left() as i64 {
        return Err(Refusal::Syntax);
    }
    let keys = (0..count).map(|_| args.bytes()).collect::<Result<_, _>>()?;
    Ok((keys, word(args)?))
}

/// \[COUNT count\], once.
pub fn count_option(args: &mut Args<'_>) -> Result<usize, Refusal> {
    let mut count = 1;
    if args.left() > 1 && args.take("count") {
        let number = args.int().ok().filter(|&number| number > 0);
        count = number.ok_or_else(|| Refusal::err("count should be greater than 0"))? as usize;
    }
    args.finish()?;
    Ok(count)
}

/// Pops from the first key that holds something; `false` where none does. Fed as LPOP or RPOP with what was taken.
pub fn pop_many(cx: &mut Cx<'_>, many: &Many<'_>) -> Result<bool, Refusal> {
    for name in &many.keys {
        let key = cx.key(name);
        if !cx.writing_kind(key, Kind::List)? {
            continue;
        }
        let taken = take(cx, key, many.end, many.count);
        let command: &[u8] = if many.end == End::Left { b"LPOP" } else { b"RPOP" };
        cx.feed(&[command, key.bytes, itoa::Buffer::new().format(taken.len()).as_bytes()]);
        let mut reply = cx.reply();
        reply.array(2);
        reply.bulk(key.bytes);
        reply.bulks(&taken);
        return Ok(true);
    }
    Ok(false)
}

/// LMPOP numkeys key [key ...] LEFT | RIGHT \[COUNT count\]
fn lmpop(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let many = Many::of(args)?;
    if !pop_many(cx, &many)? {
        cx.reply().null_array();
    }
    Ok(())
}
