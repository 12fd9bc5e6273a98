//! Sets: SADD, SPOP, SINTER, SUNIONSTORE, SSCAN and their kin.

use super::random::{Picks, count_word, draw, picks};
use super::scan;
use crate::command::access::del_word;
use crate::command::spec::{
    DENYOOM, FAST, Group, KeySpec, MOVABLE_KEYS, READONLY, Spec, WRITE, key, keys_counted, keys_from, spec,
};
use crate::command::transfer::Sizes;
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{Key, Kind, SetForm, SetRef};
use crate::resp::Writer;
use ahash::RandomState;
use hashbrown::HashSet;

const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const LOOK: &[KeySpec] = &[key(1, &["RO"])];
const READ_ALL: &[KeySpec] = &[keys_from(1, 1, &["RO", "access"])];
/// With the flag that Redis has for it.
const STORE_INTER: &[KeySpec] = &[key(1, &["RW", "update"]), STORE_OF_ALL[1]];
const STORE_OF_ALL: &[KeySpec] = &[key(1, &["OW", "update"]), keys_from(2, 1, &["RO", "access"])];

pub const ROWS: &[Spec] = &[
    spec("sadd", -3, WRITE.or(DENYOOM).or(FAST), Group::Set, sadd)
        .keys(&[key(1, &["RW", "insert"])])
        .doc("1.0.0", "Adds one or more members to a set. Creates the key if it doesn't exist."),
    spec("srem", -3, WRITE.or(FAST), Group::Set, srem)
        .keys(&[key(1, &["RW", "delete"])])
        .doc("1.0.0", "Removes one or more members from a set. Deletes the set if the last member was removed."),
    spec("smove", 4, WRITE.or(FAST), Group::Set, smove)
        .keys(&[key(1, &["RW", "access", "delete"]), key(2, &["RW", "insert"])])
        .doc("1.0.0", "Moves a member from one set to another."),
    spec("sismember", 3, READONLY.or(FAST), Group::Set, sismember)
        .keys(LOOK)
        .doc("1.0.0", "Determines whether a member belongs to a set."),
    spec("smismember", -3, READONLY.or(FAST), Group::Set, smismember)
        .keys(READ)
        .doc("6.2.0", "Determines whether multiple members belong to a set."),
    spec("scard", 2, READONLY.or(FAST), Group::Set, scard)
        .keys(LOOK)
        .doc("1.0.0", "Returns the number of members in a set."),
    spec("spop", -2, WRITE.or(FAST), Group::Set, spop)
        .keys(&[key(1, &["RW", "access", "delete"])])
        .doc("1.0.0", "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped."),
    spec("srandmember", -2, READONLY, Group::Set, srandmember)
        .keys(READ)
        .doc("1.0.0", "Get one or multiple random members from a set."),
    spec("smembers", 2, READONLY, Group::Set, smembers).keys(READ).doc("1.0.0", "Returns all members of a set."),
    spec("sscan", -3, READONLY, Group::Set, sscan).keys(READ).doc("2.8.0", "Iterates over members of a set."),
    spec("sinter", -2, READONLY, Group::Set, |cx, args| combine(cx, args, Combination::Inter))
        .keys(READ_ALL)
        .doc("1.0.0", "Returns the intersect of multiple sets."),
    spec("sunion", -2, READONLY, Group::Set, |cx, args| combine(cx, args, Combination::Union))
        .keys(READ_ALL)
        .doc("1.0.0", "Returns the union of multiple sets."),
    spec("sdiff", -2, READONLY, Group::Set, |cx, args| combine(cx, args, Combination::Diff))
        .keys(READ_ALL)
        .doc("1.0.0", "Returns the difference of multiple sets."),
    spec("sinterstore", -3, WRITE.or(DENYOOM), Group::Set, |cx, args| store(cx, args, Combination::Inter))
        .keys(STORE_INTER)
        .doc("1.0.0", "Stores the intersect of multiple sets in a key."),
    spec("sunionstore", -3, WRITE.or(DENYOOM), Group::Set, |cx, args| store(cx, args, Combination::Union))
        .keys(STORE_OF_ALL)
        .doc("1.0.0", "Stores the union of multiple sets in a key."),
    spec("sdiffstore", -3, WRITE.or(DENYOOM), Group::Set, |cx, args| store(cx, args, Combination::Diff))
        .keys(STORE_OF_ALL)
        .doc("1.0.0", "Stores the difference of multiple sets in a key."),
    spec("sintercard", -3, READONLY.or(MOVABLE_KEYS), Group::Set, sintercard)
        .keys(&[keys_counted(1, &["RO", "access"])])
        .doc("7.0.0", "Returns the number of members of the intersect of multiple sets."),
];

/// Looks a set up to read it.
fn read<R>(
    cx: &mut Cx<'_>,
    key: Key<'_>,
    found: impl FnOnce(SetRef<'_>, Writer<'_>) -> R,
) -> Result<Option<R>, Refusal> {
    let result = cx.read(key, |entry, reply| entry.set().map(|set| found(set, reply)).ok_or(Refusal::WrongType));
    result.transpose()
}

/// Adds members, to a set in this form where there is none; how many are new. The caller has checked the type.
fn add_all<'m>(cx: &mut Cx<'_>, key: Key<'_>, form: SetForm, members: impl ExactSizeIterator<Item = &'m [u8]>) -> u64 {
    let limits = Sizes::of(&cx.server.config.settings).set;
    let mut db = cx.server.keyspace.db_mut(cx.db as usize);
    let mut set = db.set_or_new(key, form, limits);
    set.expect(members.len());
    members.map(|member| u64::from(set.add(member))).sum()
}

/// Removes members, and the key with the last of them; how many were there. The caller has checked the type.
fn remove_all<'m>(cx: &mut Cx<'_>, key: Key<'_>, members: impl Iterator<Item = &'m [u8]>) -> u64 {
    let limits = Sizes::of(&cx.server.config.settings).set;
    let mut db = cx.server.keyspace.db_mut(cx.db as usize);
    let (mut removed, mut empty) = (0, false);
    if let Some(mut set) = db.set_mut(key, limits) {
        for member in members {
            removed += u64::from(set.remove(member));
            empty = set.get().is_empty();
            if empty {
                break;
            }
        }
    }
    if empty {
        cx.remove_emptied(key);
    }
    removed
}

/// SADD key member [member ...]
fn sadd(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let there = cx.writing_kind(key, Kind::Set)?;
    let members = args.all().skip(2);
    let form = Sizes::of(&cx.server.config.settings).set.form(args.at(2), members.len());
    let added = add_all(cx, key, form, members);
    if added > 0 {
        cx.changed_by(key.bytes, added);
        if !there {
            cx.born(key.bytes);
        }
        cx.notify(Class::Set, "sadd", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(added as i64);
    Ok(())
}

/// SREM key member [member ...]
fn srem(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let there = cx.writing_kind(key, Kind::Set)?;
    let removed = if there { remove_all(cx, key, args.all().skip(2)) } else { 0 };
    if removed > 0 {
        cx.changed_by(key.bytes, removed);
        cx.notify(Class::Set, "srem", key.bytes);
        cx.emptied(key);
        cx.feed_request(args);
    }
    cx.reply().int(removed as i64);
    Ok(())
}

/// SMOVE source destination member
fn smove(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    let member = args.bytes()?;
    let source = cx.writing(from, |entry| entry.set().map(|set| set.contains(member)));
    let Some(source) = source else {
        cx.reply().int(0);
        return Ok(());
    };
    let target = cx.writing(to, |entry| entry.set().is_some());
    let (Some(held), false) = (source, target == Some(false)) else { return Err(Refusal::WrongType) };
    if held && from.bytes != to.bytes {
        remove_all(cx, from, std::iter::once(member));
        cx.changed(from.bytes);
        cx.notify(Class::Set, "srem", from.bytes);
        cx.emptied(from);
        if !cx.writing_kind(to, Kind::Set)? {
            cx.born(to.bytes);
        }
        let form = Sizes::of(&cx.server.config.settings).set.form(member, 1);
        if add_all(cx, to, form, std::iter::once(member)) > 0 {
            cx.changed(to.bytes);
            cx.notify(Class::Set, "sadd", to.bytes);
        }
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(held));
    Ok(())
}

/// SISMEMBER key member
fn sismember(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let member = args.bytes()?;
    let held = read(cx, key, |set, _| set.contains(member))?;
    cx.reply().int(i64::from(held == Some(true)));
    Ok(())
}

/// SMISMEMBER key member [member ...]
fn smismember(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut members = *args;
    let found = read(cx, key, |set, mut reply| {
        reply.array(members.left());
        while let Some(member) = members.maybe() {
            reply.int(i64::from(set.contains(member)));
        }
    })?;
    if found.is_none() {
        let mut reply = cx.reply();
        reply.array(args.left());
        (0..args.left()).for_each(|_| reply.int(0));
    }
    Ok(())
}

/// SCARD key
fn scard(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let len = read(cx, key, |set, _| set.len())?;
    cx.reply().int(len.unwrap_or(0) as i64);
    Ok(())
}

/// SMEMBERS key
fn smembers(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let found = read(cx, key, |set, mut reply| {
        reply.set(set.len());
        set.iter().for_each(|member| reply.bulk(member));
    })?;
    if found.is_none() {
        cx.reply().set(0);
    }
    Ok(())
}

/// So many members of one SREM are fed together, as Redis does.
const FED_MEMBERS_MAX: usize = 1024;

/// SPOP key \[count\]: fed as what is removed.
fn spop(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let count = match args.left() {
        0 => None,
        1 => Some(args.positive()?),
        _ => return Err(Refusal::Syntax),
    };
    if !cx.writing_kind(key, Kind::Set)? {
        match count {
            Some(_) => cx.reply().set(0),
            None => cx.reply().null(),
        }
        return Ok(());
    }
    let mut dice = cx.server.dice.clone();
    let chosen: Vec<Vec<u8>> = {
        let entry = cx.server.keyspace.db(cx.db as usize).get(key);
        let set = entry.and_then(|entry| entry.set()).expect("its type was checked");
        match count {
            None => set.random(|| dice.roll()).map(<[u8]>::to_vec).into_iter().collect(),
            Some(count) => {
                choose(set, picks(super::random::Wanted::Distinct(count), set.len(), || dice.roll()), || {
                    set.random(|| dice.roll())
                })
            }
        }
    };
    cx.server.dice = dice;
    match count {
        None => cx.reply().bulk(&chosen[0]),
        Some(_) => {
            let mut reply = cx.reply();
            reply.set(chosen.len());
            chosen.iter().for_each(|member| reply.bulk(member));
        }
    }
    if chosen.is_empty() {
        return Ok(());
    }
    let len = cx.server.keyspace.db(cx.db as usize).get(key).and_then(|entry| entry.set()).map_or(0, SetRef::len);
    if count.is_some() && chosen.len() == len {
        let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
        cx.remove(key, lazy);
        cx.server.dirty += chosen.len() as u64 - 1;
        cx.notify(Class::Set, "spop", key.bytes);
        cx.notify(Class::Generic, "del", key.bytes);
        cx.feed(&[del_word(lazy), key.bytes]);
        return Ok(());
    }
    remove_all(cx, key, chosen.iter().map(Vec::as_slice));
    cx.changed_by(key.bytes, chosen.len() as u64);
    cx.notify(Class::Set, "spop", key.bytes);
    cx.emptied(key);
    for members in chosen.chunks(FED_MEMBERS_MAX) {
        let mut words: Vec<&[u8]> = vec![b"SREM", key.bytes];
        words.extend(members.iter().map(Vec::as_slice));
        cx.feed(&words);
    }
    Ok(())
}

/// The members that were picked, each once.
fn choose<'s>(set: SetRef<'s>, picks: Picks, mut one: impl FnMut() -> Option<&'s [u8]>) -> Vec<Vec<u8>> {
    let mut chosen = Vec::new();
    match picks {
        Picks::All => chosen.extend(set.iter().map(<[u8]>::to_vec)),
        Picks::Places(places) => {
            let mut places = places.into_iter().peekable();
            for (place, member) in set.iter().enumerate() {
                if places.next_if_eq(&place).is_some() {
                    chosen.push(member.to_vec());
                }
            }
        }
        Picks::Tries(count) => {
            draw(count, || one().map(|member| (member, ())), |(member, ())| chosen.push(member.to_vec()))
        }
        Picks::Repeated(_) => {}
    }
    chosen
}

/// SRANDMEMBER key \[count\]
fn srandmember(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let wanted = match args.left() {
        0 => None,
        1 => Some(count_word(args)?),
        _ => return Err(Refusal::Syntax),
    };
    let most = cx.reply_bytes_max(false);
    let mut dice = cx.server.dice.clone();
    let found = read(cx, key, |set, mut reply| {
        let Some(wanted) = wanted else {
            match set.random(|| dice.roll()) {
                Some(member) => reply.bulk(member),
                None => reply.null(),
            }
            return;
        };
        match picks(wanted, set.len(), || dice.roll()) {
            Picks::Repeated(times) => {
                reply.array(times);
                for _ in 0..times {
                    reply.bulk(set.random(|| dice.roll()).unwrap_or_default());
                    if reply.len() > most {
                        break;
                    }
                }
            }
            picks => reply.bulks(&choose(set, picks, || set.random(|| dice.roll()))),
        }
    })?;
    cx.server.dice = dice;
    match (found, wanted) {
        (Some(()), _) => {}
        (None, Some(_)) => cx.reply().array(0),
        (None, None) => cx.reply().null(),
    }
    Ok(())
}

/// SSCAN key cursor \[MATCH pattern\] \[COUNT count\]
fn sscan(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let cursor = scan::cursor(args)?;
    let found = read(cx, key, |set, mut reply| {
        let options = scan::Options::of(args, scan::Scanned::Members)?;
        let mut found: Vec<&[u8]> = Vec::new();
        let next = set.scan(cursor, options.count, |member| {
            if options.fits(member) {
                found.push(member);
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

/// What is made of several sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Combination {
    Inter,
    Union,
    Diff,
}

/// Looks all keys up; those that are there, in their order. All of them must be sets.
fn look_up<'k>(cx: &mut Cx<'_>, names: impl Iterator<Item = &'k [u8]>) -> Result<Vec<Option<Key<'k>>>, Refusal> {
    names
        .map(|name| {
            let key = cx.key(name);
            Ok(read(cx, key, |_, _| ())?.map(|()| key))
        })
        .collect()
}

/// The sets themselves.
fn sets<'c>(cx: &'c Cx<'_>, keys: &[Option<Key<'_>>]) -> Vec<Option<SetRef<'c>>> {
    let db = cx.server.keyspace.db(cx.db as usize);
    keys.iter().map(|key| key.and_then(|key| db.get(key)).and_then(|entry| entry.set())).collect()
}

/// The members of a combination.
fn members<'c>(sets: &[Option<SetRef<'c>>], combination: Combination) -> Vec<&'c [u8]> {
    match combination {
        Combination::Inter => intersection(sets, usize::MAX),
        Combination::Union => {
            let mut seen = HashSet::<&[u8], RandomState>::default();
            sets.iter().flatten().flat_map(|set| set.iter()).filter(|member| seen.insert(member)).collect()
        }
        Combination::Diff => {
            let Some(&Some(first)) = sets.first() else { return Vec::new() };
            let others: Vec<SetRef<'_>> = sets[1..].iter().flatten().copied().collect();
            first.iter().filter(|member| !others.iter().any(|set| set.contains(member))).collect()
        }
    }
}

/// Members that are in all of the sets, at most so many.
fn intersection<'c>(sets: &[Option<SetRef<'c>>], most: usize) -> Vec<&'c [u8]> {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<SetRef<'_>>>>() else { return Vec::new() };
    sets.sort_by_key(|set| set.len());
    let Some((first, others)) = sets.split_first() else { return Vec::new() };
    first.iter().filter(|member| others.iter().all(|set| set.contains(member))).take(most).collect()
}

/// SINTER key [key ...], SUNION key [key ...], SDIFF key [key ...]
fn combine(cx: &mut Cx<'_>, args: &mut Args<'_>, combination: Combination) -> Outcome {
    let keys = look_up(cx, args.all().skip(1))?;
    let mut out = std::mem::take(&mut cx.out);
    let members = members(&sets(cx, &keys), combination);
    let mut reply = Writer::new(&mut out, cx.proto);
    reply.set(members.len());
    members.into_iter().for_each(|member| reply.bulk(member));
    cx.out = out;
    Ok(())
}

/// SINTERSTORE destination key [key ...], SUNIONSTORE destination key [key ...], SDIFFSTORE destination key [key ...]
fn store(cx: &mut Cx<'_>, args: &mut Args<'_>, combination: Combination) -> Outcome {
    let to = cx.key(args.bytes()?);
    let keys = look_up(cx, args.all().skip(2))?;
    let limits = Sizes::of(&cx.server.config.settings).set;
    let (members, form): (Vec<Vec<u8>>, SetForm) = {
        let sets = sets(cx, &keys);
        let members: Vec<Vec<u8>> = members(&sets, combination).into_iter().map(<[u8]>::to_vec).collect();
        // As in Redis an intersection is no larger than it has to be, and a union or difference keeps what it grew to.
        let integers = members.len() <= limits.integers
            && members.iter().all(|member| crate::base::number::parse_i64(member).is_some());
        let form = match combination == Combination::Inter && !integers {
            true => SetForm::Listpack,
            false => SetForm::Intset,
        };
        (members, form)
    };
    let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
    let replaced = cx.is_there(to) && cx.remove(to, lazy);
    if !members.is_empty() {
        cx.writing_kind(to, Kind::Set)?;
        let mut db = cx.server.keyspace.db_mut(cx.db as usize);
        let mut set = db.set_or_new(to, form, limits);
        for member in &members {
            set.add(member);
        }
        cx.changed(to.bytes);
        if !replaced {
            cx.born(to.bytes);
        }
        cx.notify(Class::Set, cx.spec.name, to.bytes);
    } else if replaced {
        cx.notify(Class::Generic, "del", to.bytes);
    }
    if replaced || !members.is_empty() {
        cx.feed_request(args);
    }
    cx.reply().int(members.len() as i64);
    Ok(())
}

/// SINTERCARD numkeys key [key ...] \[LIMIT limit\]
fn sintercard(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let count = args.int().ok().filter(|&count| count > 0);
    let count = count.ok_or_else(|| Refusal::err("numkeys should be greater than 0"))?;
    if count > args.left() as i64 {
        return Err(Refusal::err("Number of keys can't be greater than number of args"));
    }
    let names = args.all().skip(2).take(count as usize);
    args.skip(count as usize);
    let mut limit = 0;
    while args.left() > 0 {
        if !(args.left() > 1 && args.take("limit")) {
            return Err(Refusal::Syntax);
        }
        let number = args.int().ok().filter(|&number| number >= 0);
        limit = number.ok_or_else(|| Refusal::err("LIMIT can't be negative"))?;
    }
    let keys = look_up(cx, names)?;
    let most = if limit == 0 { usize::MAX } else { limit as usize };
    let len = intersection(&sets(cx, &keys), most).len();
    cx.reply().int(len as i64);
    Ok(())
}
