//! Keys whatever they hold: DEL, EXISTS, RENAME, KEYS, SCAN, FLUSHALL and so on. Deadlines are in `expire`.

use crate::base::glob;
use crate::command::access::is_due;
use crate::command::spec::{
    Categories, FAST, Flags, Group, LOADING, READONLY, STALE, Spec, WRITE, key, keys_from, spec,
};
use crate::command::{Args, Ask, Blocked, Class, Cx, LocalDeadlines, Origin, Outcome, Refusal, Trash};
use crate::keyspace::Garbage;

const KEYSPACE: Categories = Categories::KEYSPACE;
const PERILOUS: Categories = Categories::KEYSPACE.or(Categories::DANGEROUS);
const QUICK: Flags = READONLY.or(FAST);

pub const ROWS: &[Spec] = &[
    spec("del", -2, WRITE, Group::Generic, |cx, args| {
        let lazy = cx.server.config.settings.lazyfree_lazy_user_del;
        remove(cx, args, lazy)
    })
    .keys(&[keys_from(1, 1, &["RM", "delete"])])
    .acl(KEYSPACE)
    .doc("1.0.0", "Deletes one or more keys."),
    spec("unlink", -2, WRITE.or(FAST), Group::Generic, |cx, args| remove(cx, args, true))
        .keys(&[keys_from(1, 1, &["RM", "delete"])])
        .acl(KEYSPACE)
        .doc("4.0.0", "Asynchronously deletes one or more keys."),
    spec("exists", -2, QUICK, Group::Generic, exists)
        .keys(&[keys_from(1, 1, &["RO"])])
        .acl(KEYSPACE)
        .doc("1.0.0", "Determines whether one or more keys exist."),
    spec("touch", -2, QUICK, Group::Generic, touch).keys(&[keys_from(1, 1, &["RO"])]).acl(KEYSPACE).doc(
        "3.2.1",
        "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
    ),
    spec("type", 2, QUICK, Group::Generic, type_of)
        .keys(&[key(1, &["RO"])])
        .acl(KEYSPACE)
        .doc("1.0.0", "Determines the type of value stored at a key."),
    spec("rename", 3, WRITE, Group::Generic, |cx, args| rename(cx, args, false))
        .keys(&[key(1, &["RW", "access", "delete"]), key(2, &["OW", "update"])])
        .acl(KEYSPACE)
        .doc("1.0.0", "Renames a key and overwrites the destination."),
    spec("renamenx", 3, WRITE.or(FAST), Group::Generic, |cx, args| rename(cx, args, true))
        .keys(&[key(1, &["RW", "access", "delete"]), key(2, &["OW", "insert"])])
        .acl(KEYSPACE)
        .doc("1.0.0", "Renames a key only when the target key name doesn't exist."),
    spec("keys", 2, READONLY, Group::Generic, keys)
        .acl(PERILOUS)
        .doc("1.0.0", "Returns all key names that match a pattern."),
    spec("randomkey", 1, READONLY, Group::Generic, randomkey)
        .acl(KEYSPACE)
        .doc("1.0.0", "Returns a random key name from the database."),
    spec("dbsize", 1, QUICK, Group::Server, dbsize)
        .acl(KEYSPACE)
        .doc("1.0.0", "Returns the number of keys in the database."),
    spec("flushdb", -1, WRITE, Group::Server, |cx, args| flush(cx, args, Extent::Selected))
        .acl(PERILOUS)
        .doc("1.0.0", "Remove all keys from the current database."),
    spec("flushall", -1, WRITE, Group::Server, |cx, args| flush(cx, args, Extent::All))
        .acl(PERILOUS)
        .doc("1.0.0", "Removes all keys from all databases."),
    spec("select", 2, LOADING.or(STALE).or(FAST), Group::Connection, select)
        .doc("1.0.0", "Changes the selected database."),
    spec("swapdb", 3, WRITE.or(FAST), Group::Server, swapdb).acl(PERILOUS).doc("4.0.0", "Swaps two Redis databases."),
    spec("move", 3, WRITE.or(FAST), Group::Generic, move_key)
        .keys(&[key(1, &["RW", "access", "update"])])
        .acl(KEYSPACE)
        .doc("1.0.0", "Moves a key to another database."),
    spec("copy", -3, WRITE.or(crate::command::spec::DENYOOM), Group::Generic, copy)
        .keys(&[key(1, &["RO", "access"]), key(2, &["OW", "update"])])
        .acl(KEYSPACE)
        .doc("6.2.0", "Copies the value of a key to a new key."),
];

/// DEL key [key ...], UNLINK key [key ...]
fn remove(cx: &mut Cx<'_>, args: &mut Args<'_>, lazy: bool) -> Outcome {
    let mut removed = 0;
    while let Some(key) = args.maybe() {
        let key = cx.key(key);
        if cx.is_there(key) && cx.remove(key, lazy) {
            cx.notify(Class::Generic, "del", key.bytes);
            removed += 1;
        }
    }
    if removed > 0 {
        cx.feed_request(args);
    }
    cx.reply().int(removed);
    Ok(())
}

/// EXISTS key [key ...]: a key named twice counts twice.
fn exists(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut there = 0;
    while let Some(key) = args.maybe() {
        let key = cx.key(key);
        there += i64::from(cx.glance(key, |_, _| ()).is_some());
    }
    cx.reply().int(there);
    Ok(())
}

/// TOUCH key [key ...]
fn touch(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut there = 0;
    // It touches for those as well who said CLIENT NO-TOUCH: that is what it is for.
    let quiet = std::mem::take(&mut cx.client().no_touch);
    while let Some(key) = args.maybe() {
        let key = cx.key(key);
        there += i64::from(cx.read(key, |_, _| ()).is_some());
    }
    cx.client().no_touch = quiet;
    cx.reply().int(there);
    Ok(())
}

/// TYPE key
fn type_of(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let name = cx.glance(key, |entry, _| entry.value().type_name());
    cx.reply().simple(name.unwrap_or("none"));
    Ok(())
}

/// RENAME key newkey, RENAMENX key newkey
fn rename(cx: &mut Cx<'_>, args: &mut Args<'_>, only_new: bool) -> Outcome {
    let (from, to) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    if !cx.is_there(from) {
        return Err(Refusal::NoSuchKey);
    }
    let same = from.bytes == to.bytes;
    if only_new && (same || cx.is_there(to)) {
        cx.reply().int(0);
        return Ok(());
    }
    if !same {
        let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
        cx.expire_before_write(to);
        if let Some(old) = cx.server.keyspace.db_mut(cx.db as usize).remove(to) {
            cx.server.free(old, lazy);
        }
        cx.server.keyspace.db_mut(cx.db as usize).rename(from, to);
        cx.deadline_set(cx.db, to.bytes);
        cx.changed(from.bytes);
        cx.changed(to.bytes);
        cx.born(to.bytes);
        cx.notify(Class::Generic, "rename_from", from.bytes);
        cx.notify(Class::Generic, "rename_to", to.bytes);
        cx.feed_request(args);
    }
    match only_new {
        true => cx.reply().int(1),
        false => cx.reply().ok(),
    }
    Ok(())
}

/// KEYS pattern
fn keys(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let pattern = args.bytes()?;
    let (now, obeys) = (cx.now, cx.obeys());
    let mut room = cx.reply_bytes_max(true);
    let db = cx.server.keyspace.db(cx.db as usize);
    let found: Vec<&[u8]> = db
        .iter()
        .filter(|&entry| {
            (obeys || !is_due(entry, now)) && (pattern == b"*" || glob::matches(pattern, entry.key(), false))
        })
        .map(|entry| entry.key())
        .take_while(|key| {
            room = room.saturating_sub(key.len() + HEADER_BYTES);
            room > 0
        })
        .collect();
    if room == 0 {
        cx.server.over_output_limit(cx.slot);
        return Ok(());
    }
    crate::resp::Writer::new(&mut cx.out, cx.proto).bulks(&found);
    Ok(())
}

/// What a name of a few bytes takes in a reply beside them.
const HEADER_BYTES: usize = b"$99\r\n\r\n".len();

/// How many keys RANDOMKEY looks at on a node that may not remove those that are due.
const RANDOM_KEY_TRIES: usize = 100;

/// RANDOMKEY
fn randomkey(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    for _ in 0..RANDOM_KEY_TRIES {
        let crate::command::Server { keyspace, dice, .. } = &mut *cx.server;
        let Some(entry) = keyspace.db(cx.db as usize).random(|| dice.roll()) else { break };
        if !is_due(entry, cx.now) {
            crate::resp::Writer::new(&mut cx.out, cx.proto).bulk(entry.key());
            return Ok(());
        }
        let key = entry.key().to_vec();
        let key = cx.key(&key);
        cx.server.expire(cx.db, key, false);
        cx.end_unit();
    }
    cx.reply().null();
    Ok(())
}

/// DBSIZE: keys that are due and have not been removed yet count, as in Redis.
fn dbsize(cx: &mut Cx<'_>, _args: &mut Args<'_>) -> Outcome {
    let len = cx.server.keyspace.db(cx.db as usize).len();
    cx.reply().int(len as i64);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Selected,
    All,
}

/// FLUSHDB [ASYNC | SYNC], FLUSHALL [ASYNC | SYNC]: fed even where nothing was there, as in Redis.
///
/// Where there are save points, FLUSHALL leaves an empty dump: its client waits for it, the others do not.
fn flush(cx: &mut Cx<'_>, args: &mut Args<'_>, extent: Extent) -> Outcome {
    let lazy = match args.left() {
        0 => cx.server.config.settings.lazyfree_lazy_user_flush,
        1 if args.take("async") => true,
        1 if args.take("sync") => false,
        _ => return Err(Refusal::Syntax),
    };
    let dbs = match extent {
        Extent::Selected => cx.db..cx.db + 1,
        Extent::All => 0..cx.server.keyspace.databases() as u32,
    };
    for db in dbs {
        cx.server.break_watches_of(db, None);
        cx.server.awaited.all_changed(db);
        cx.server.dirty += cx.server.keyspace.db(db as usize).len();
        let old: Option<Garbage> = cx.server.keyspace.flush(db as usize);
        if let Some(old) = old.filter(|_| lazy) {
            cx.server.garbage.push(Trash::databases(old));
        }
    }
    if extent == Extent::All {
        cx.server.local_deadlines = LocalDeadlines::default();
    }
    cx.server.invalidate_all();
    cx.server.dirty += 1;
    cx.feed_request(args);
    if extent == Extent::All && !cx.server.config.settings.save.is_empty() && cx.origin != Origin::Log {
        let waits = cx.may_block();
        let waiting = waits.then(|| cx.server.waiter(cx.slot));
        cx.ask(Ask::Flushed { waiting });
        if waits {
            cx.block(Blocked::Flushed);
            return Ok(());
        }
    }
    cx.reply().ok();
    Ok(())
}

/// The next word as a number of 32 bits.
fn small_int(args: &mut Args<'_>) -> Result<i64, Refusal> {
    let number = args.int()?;
    if i32::try_from(number).is_ok() {
        return Ok(number);
    }
    Err(Refusal::err(format!("value is out of range, value must between {} and {}", i32::MIN, i32::MAX)))
}

/// The database of this number.
fn db_number(cx: &Cx<'_>, number: i64) -> Result<u32, Refusal> {
    let databases = cx.server.keyspace.databases() as i64;
    if (0..databases).contains(&number) { Ok(number as u32) } else { Err(Refusal::BadDb) }
}

/// SELECT index
fn select(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let number = small_int(args)?;
    cx.db = db_number(cx, number)?;
    cx.reply().ok();
    Ok(())
}

/// SWAPDB index1 index2
fn swapdb(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut number = |which: &str| small_int(args).map_err(|_| Refusal::err(format!("invalid {which} DB index")));
    let (a, b) = (number("first")?, number("second")?);
    let (a, b) = (db_number(cx, a)?, db_number(cx, b)?);
    if a != b {
        cx.server.break_watches_of(a, Some(b));
        cx.server.break_watches_of(b, Some(a));
        cx.server.keyspace.swap(a as usize, b as usize);
        cx.server.awaited.all_changed(a);
        cx.server.awaited.all_changed(b);
    }
    cx.server.dirty += 1;
    cx.feed_request(args);
    cx.reply().ok();
    Ok(())
}

/// MOVE key db
fn move_key(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let number = small_int(args)?;
    let to = db_number(cx, number)?;
    if to == cx.db {
        return Err(Refusal::err("source and destination objects are the same"));
    }
    let from = cx.db;
    let stands = cx.is_there(key) && !in_db(cx, to, |cx| cx.is_there(key));
    if stands && let Some(entry) = cx.server.keyspace.db_mut(from as usize).detach(key) {
        cx.server.keyspace.db_mut(to as usize).put(key, entry);
        cx.deadline_set(to, key.bytes);
        cx.changed_in(from, key.bytes);
        cx.changed_in(to, key.bytes);
        cx.notify_in(to, Class::New, "new", key.bytes);
        cx.notify_in(from, Class::Generic, "move_from", key.bytes);
        cx.notify_in(to, Class::Generic, "move_to", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(stands));
    Ok(())
}

/// COPY source destination \[DB number\] \[REPLACE\]
fn copy(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    let (mut db, mut replace) = (cx.db, false);
    while args.left() > 0 {
        if args.take("replace") {
            replace = true;
        } else if args.left() > 1 && args.take("db") {
            let number = small_int(args)?;
            db = db_number(cx, number)?;
        } else {
            return Err(Refusal::Syntax);
        }
    }
    if db == cx.db && from.bytes == to.bytes {
        return Err(Refusal::err("source and destination objects are the same"));
    }
    if cx.read(from, |_, _| ()).is_none() {
        cx.reply().int(0);
        return Ok(());
    }
    let source = cx.db;
    let done = in_db(cx, db, |cx| {
        let free = replace || !cx.is_there(to);
        if free {
            cx.expire_before_write(to);
            let old = cx.server.keyspace.copy((source as usize, from), (db as usize, to));
            if let Some(old) = old {
                let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
                cx.server.free(old, lazy);
            }
            cx.deadline_set(db, to.bytes);
            cx.changed(to.bytes);
            cx.born(to.bytes);
            cx.notify(Class::Generic, "copy_to", to.bytes);
        }
        free
    });
    if done {
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(done));
    Ok(())
}

/// Does something with another database selected.
fn in_db<R>(cx: &mut Cx<'_>, db: u32, act: impl FnOnce(&mut Cx<'_>) -> R) -> R {
    let before = std::mem::replace(&mut cx.db, db);
    let result = act(cx);
    cx.db = before;
    result
}
