//! Deadlines of keys: the EXPIRE and TTL families. A deadline is fed as PEXPIREAT, one that has passed as DEL.

use crate::base::Millis;
use crate::command::spec::{Categories, FAST, Flags, Group, KeySpec, READONLY, Spec, WRITE, key, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use smallvec::SmallVec;

const WRITES: Flags = WRITE.or(FAST);
const READS: Flags = READONLY.or(FAST);

const CHANGED: &[KeySpec] = &[key(1, &["RW", "update"])];
const TOLD: &[KeySpec] = &[key(1, &["RO", "access"])];

const fn sets(row: Spec) -> Spec {
    row.keys(CHANGED).acl(Categories::KEYSPACE)
}

const fn tells(row: Spec) -> Spec {
    row.keys(TOLD).acl(Categories::KEYSPACE)
}

pub const ROWS: &[Spec] = &[
    sets(spec("expire", -3, WRITES, Group::Generic, |cx, args| expire(cx, args, Given::Seconds, "expire")))
        .doc("1.0.0", "Sets the expiration time of a key in seconds."),
    sets(spec("pexpire", -3, WRITES, Group::Generic, |cx, args| expire(cx, args, Given::Millis, "pexpire")))
        .doc("2.6.0", "Sets the expiration time of a key in milliseconds."),
    sets(spec("expireat", -3, WRITES, Group::Generic, |cx, args| expire(cx, args, Given::UnixSeconds, "expireat")))
        .doc("1.2.0", "Sets the expiration time of a key to a Unix timestamp."),
    sets(spec("pexpireat", -3, WRITES, Group::Generic, |cx, args| expire(cx, args, Given::UnixMillis, "pexpireat")))
        .doc("2.6.0", "Sets the expiration time of a key to a Unix milliseconds timestamp."),
    tells(spec("ttl", 2, READS, Group::Generic, |cx, args| {
        tell(cx, args, |deadline, now| (deadline.since(now).0 + 500) / 1000)
    }))
    .doc("1.0.0", "Returns the expiration time in seconds of a key."),
    tells(spec("pttl", 2, READS, Group::Generic, |cx, args| tell(cx, args, |deadline, now| deadline.since(now).0)))
        .doc("2.6.0", "Returns the expiration time in milliseconds of a key."),
    tells(spec("expiretime", 2, READS, Group::Generic, |cx, args| {
        tell(cx, args, |deadline, _| (deadline.0.saturating_add(500)) / 1000)
    }))
    .doc("7.0.0", "Returns the expiration time of a key as a Unix timestamp."),
    tells(spec("pexpiretime", 2, READS, Group::Generic, |cx, args| tell(cx, args, |deadline, _| deadline.0)))
        .doc("7.0.0", "Returns the expiration time of a key as a Unix milliseconds timestamp."),
    sets(spec("persist", 2, WRITES, Group::Generic, persist)).doc("2.2.0", "Removes the expiration time of a key."),
];

/// How a command gives the time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

/// NX, XX, GT, LT.
#[derive(Clone, Copy, Default)]
struct Conditions {
    none: bool,
    some: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn read(args: &mut Args<'_>) -> Result<Self, Refusal> {
        let mut conditions = Conditions::default();
        while let Some(word) = args.maybe() {
            match word.to_ascii_lowercase().as_slice() {
                b"nx" => conditions.none = true,
                b"xx" => conditions.some = true,
                b"gt" => conditions.later = true,
                b"lt" => conditions.earlier = true,
                _ => return Err(Refusal::err(format!("Unsupported option {}", String::from_utf8_lossy(word)))),
            }
        }
        let Conditions { none, some, later, earlier } = conditions;
        if none && (some || later || earlier) {
            return Err(Refusal::err("NX and XX, GT or LT options at the same time are not compatible"));
        }
        if later && earlier {
            return Err(Refusal::err("GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// A key without a deadline lives for ever: nothing is later, everything is earlier.
    fn hold(self, held: Option<Millis>, new: Millis) -> bool {
        !(self.none && held.is_some()
            || self.some && held.is_none()
            || self.later && held.is_none_or(|held| new <= held)
            || self.earlier && held.is_some_and(|held| new >= held))
    }
}

/// EXPIRE key seconds [NX | XX | GT | LT], and PEXPIRE, EXPIREAT, PEXPIREAT
fn expire(cx: &mut Cx<'_>, args: &mut Args<'_>, given: Given, command: &'static str) -> Outcome {
    let key = cx.key(args.bytes()?);
    let word = args.bytes()?;
    let conditions = Conditions::read(args)?;
    let number = crate::base::number::parse_i64(word).ok_or(Refusal::NotInteger)?;
    let factor = if matches!(given, Given::Seconds | Given::UnixSeconds) { 1000 } else { 1 };
    let start = if matches!(given, Given::Seconds | Given::Millis) { cx.now.0 } else { 0 };
    let deadline = number.checked_mul(factor).and_then(|ms| ms.checked_add(start));
    let deadline = Millis(deadline.ok_or(Refusal::ExpireTime(command))?);
    let held = cx.writing(key, |entry| entry.deadline());
    if !held.is_some_and(|held| conditions.hold(held, deadline)) {
        cx.reply().int(0);
        return Ok(());
    }
    if cx.is_past(deadline) {
        cx.remove_past(key);
    } else {
        cx.server.keyspace.db_mut(cx.db as usize).set_deadline(key, Some(deadline));
        cx.deadline_set(cx.db, key.bytes);
        cx.changed(key.bytes);
        cx.notify(Class::Generic, "expire", key.bytes);
        let mut digits = itoa::Buffer::new();
        let mut words: SmallVec<[&[u8]; 8]> = args.all().collect();
        if given != Given::UnixMillis {
            words[0] = b"PEXPIREAT";
            words[2] = digits.format(deadline.0).as_bytes();
        }
        cx.feed(&words);
    }
    cx.reply().int(1);
    Ok(())
}

/// TTL key and its kin: -2 without the key, -1 without a deadline.
fn tell(cx: &mut Cx<'_>, args: &mut Args<'_>, form: fn(Millis, Millis) -> i64) -> Outcome {
    let key = cx.key(args.bytes()?);
    let now = cx.now;
    let told = cx.glance(key, |entry, _| entry.deadline().map_or(-1, |deadline| form(deadline, now)));
    cx.reply().int(told.unwrap_or(-2));
    Ok(())
}

/// PERSIST key
fn persist(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let had = cx.writing(key, |entry| entry.deadline()).flatten().is_some();
    if had {
        cx.server.keyspace.db_mut(cx.db as usize).set_deadline(key, None);
        cx.changed(key.bytes);
        cx.notify(Class::Generic, "persist", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(had));
    Ok(())
}
