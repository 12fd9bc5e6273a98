//! Strings as wholes: SET, GET and their kin. Parts of strings are in `substring`, numbers in `counter`.
//!
//! Replicas and the log are fed absolute deadlines (`PXAT`), so that neither their clocks nor the link's delay matter.

use crate::base::Millis;
use crate::command::spec::{DENYOOM, FAST, Group, READONLY, Spec, WRITE, key, keys_from, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{EntryRef, Key, StrRef};
use crate::resp::Writer;

const STORE: crate::command::spec::Flags = WRITE.or(DENYOOM);

pub const ROWS: &[Spec] = &[
    spec("set", -3, STORE, Group::String, set)
        .keys(&[key(1, &["RW", "access", "update", "variable_flags"])])
        .doc("1.0.0", "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist."),
    spec("get", 2, READONLY.or(FAST), Group::String, get)
        .keys(&[key(1, &["RO", "access"])])
        .doc("1.0.0", "Returns the string value of a key."),
    spec("setnx", 3, STORE.or(FAST), Group::String, setnx)
        .keys(&[key(1, &["OW", "insert"])])
        .doc("1.0.0", "Set the string value of a key only when the key doesn't exist."),
    spec("setex", 4, STORE, Group::String, |cx, args| set_for(cx, args, "setex", Unit::Seconds))
        .keys(&[key(1, &["OW", "update"])])
        .doc("2.0.0", "Sets the string value and expiration time of a key. Creates the key if it doesn't exist."),
    spec("psetex", 4, STORE, Group::String, |cx, args| set_for(cx, args, "psetex", Unit::Milliseconds))
        .keys(&[key(1, &["OW", "update"])])
        .doc(
            "2.6.0",
            "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
        ),
    spec("getset", 3, STORE.or(FAST), Group::String, getset)
        .keys(&[key(1, &["RW", "access", "update"])])
        .doc("1.0.0", "Returns the previous string value of a key after setting it to a new value."),
    spec("getdel", 2, WRITE.or(FAST), Group::String, getdel)
        .keys(&[key(1, &["RW", "access", "delete"])])
        .doc("6.2.0", "Returns the string value of a key after deleting the key."),
    spec("getex", -2, WRITE.or(FAST), Group::String, getex)
        .keys(&[key(1, &["RW", "access", "update"])])
        .doc("6.2.0", "Returns the string value of a key after setting its expiration time."),
    spec("mget", -2, READONLY.or(FAST), Group::String, mget)
        .keys(&[keys_from(1, 1, &["RO", "access"])])
        .doc("1.0.0", "Atomically returns the string values of one or more keys."),
    spec("mset", -3, STORE, Group::String, mset)
        .keys(&[keys_from(1, 2, &["OW", "update"])])
        .doc("1.0.1", "Atomically creates or modifies the string values of one or more keys."),
    spec("msetnx", -3, STORE, Group::String, msetnx)
        .keys(&[keys_from(1, 2, &["OW", "insert"])])
        .doc("1.0.1", "Atomically modifies the string values of one or more keys only when all keys don't exist."),
];

/// In which unit a time was given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// A time that a command gives for a key's end.
#[derive(Clone, Copy)]
struct Ttl<'a> {
    word: &'a [u8],
    unit: Unit,
    absolute: bool,
}

impl Ttl<'_> {
    /// The deadline on the wall clock.
    fn deadline(self, now: Millis, command: &'static str) -> Result<Millis, Refusal> {
        let value = crate::base::number::parse_i64(self.word).ok_or(Refusal::NotInteger)?;
        let factor = if self.unit == Unit::Seconds { 1000 } else { 1 };
        let start = if self.absolute { 0 } else { now.0 };
        let deadline = value.checked_mul(factor).and_then(|ms| ms.checked_add(start));
        match deadline {
            Some(deadline) if value > 0 && deadline > 0 => Ok(Millis(deadline)),
            _ => Err(Refusal::ExpireTime(command)),
        }
    }
}

/// What becomes of a key's deadline.
#[derive(Clone, Copy)]
enum Fate<'a> {
    /// None was named: SET clears the deadline, GETEX leaves it.
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Clear,
    At(Ttl<'a>),
}

impl<'a> Fate<'a> {
    /// Takes `option` if it says something about the deadline. Options that contradict each other are refused; the same
    /// one given twice is not: the last counts.
    fn take(&mut self, option: &[u8], args: &mut Args<'a>) -> Result<bool, Refusal> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let (unit, absolute) = match () {
            () if is("ex") => (Unit::Seconds, false),
            () if is("px") => (Unit::Milliseconds, false),
            () if is("exat") => (Unit::Seconds, true),
            () if is("pxat") => (Unit::Milliseconds, true),
            () => return Ok(false),
        };
        match *self {
            Fate::Unsaid => {}
            Fate::At(before) if (before.unit, before.absolute) == (unit, absolute) => {}
            _ => return Err(Refusal::Syntax),
        }
        *self = Fate::At(Ttl { word: args.bytes()?, unit, absolute });
        Ok(true)
    }
}

/// The options of SET.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Missing,
    There,
}

/// SET key value \[NX | XX\] \[GET\] \[EX seconds | PX milliseconds | EXAT unix-s | PXAT unix-ms | KEEPTTL\]
fn set(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let value = args.bytes()?;
    if args.left() == 0 {
        cx.expire_before_write(key);
        cx.put(key, value, None);
        cx.notify(Class::String, "set", key.bytes);
        cx.feed_request(args);
        cx.reply().ok();
        return Ok(());
    }
    let (mut when, mut get, mut fate) = (When::Always, false, Fate::Unsaid);
    while let Some(option) = args.maybe() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("nx") && when != When::There {
            when = When::Missing;
        } else if is("xx") && when != When::Missing {
            when = When::There;
        } else if is("get") {
            get = true;
        } else if is("keepttl") && matches!(fate, Fate::Unsaid | Fate::Keep) {
            fate = Fate::Keep;
        } else if !fate.take(option, args)? {
            return Err(Refusal::Syntax);
        }
    }
    let deadline = match fate {
        Fate::At(ttl) => Some(ttl.deadline(cx.now, "set")?),
        _ => None,
    };
    if get {
        tell(cx, key)?;
    }
    let held = cx.writing(key, |entry| entry.deadline());
    let stands = match when {
        When::Always => true,
        When::Missing => held.is_none(),
        When::There => held.is_some(),
    };
    if !stands {
        if !get {
            cx.reply().null();
        }
        return Ok(());
    }
    if deadline.is_some_and(|deadline| cx.is_past(deadline)) {
        if held.is_some() {
            cx.remove_past(key);
        }
        if !get {
            cx.reply().ok();
        }
        return Ok(());
    }
    let kept = if matches!(fate, Fate::Keep) { held.flatten() } else { None };
    cx.put(key, value, deadline.or(kept));
    cx.notify(Class::String, "set", key.bytes);
    if deadline.is_some() {
        cx.deadline_set(cx.db, key.bytes);
        cx.notify(Class::Generic, "expire", key.bytes);
    }
    let says_it = matches!(fate, Fate::At(ttl) if ttl.absolute && ttl.unit == Unit::Milliseconds) && args.len() == 5;
    match deadline {
        Some(_) if says_it => cx.feed_request(args),
        Some(deadline) => feed_set_until(cx, key, value, deadline),
        None if get => feed_without_get(cx, args),
        None => cx.feed_request(args),
    }
    if !get {
        cx.reply().ok();
    }
    Ok(())
}

fn feed_set_until(cx: &mut Cx<'_>, key: Key<'_>, value: &[u8], deadline: Millis) {
    let mut digits = itoa::Buffer::new();
    cx.feed(&[b"SET", key.bytes, value, b"PXAT", digits.format(deadline.0).as_bytes()]);
}

fn feed_without_get(cx: &mut Cx<'_>, args: &Args<'_>) {
    let mut words = cx.words(args);
    let mut at = 0;
    words.retain(|word| {
        at += 1;
        at <= 3 || !word.eq_ignore_ascii_case(b"get")
    });
    cx.feed(&words);
}

/// SETNX key value
fn setnx(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let stands = !cx.is_there(key);
    if stands {
        cx.put(key, args.bytes()?, None);
        cx.notify(Class::String, "set", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(stands));
    Ok(())
}

/// SETEX key seconds value, PSETEX key milliseconds value
fn set_for(cx: &mut Cx<'_>, args: &mut Args<'_>, command: &'static str, unit: Unit) -> Outcome {
    let key = cx.key(args.bytes()?);
    let deadline = Ttl { word: args.bytes()?, unit, absolute: false }.deadline(cx.now, command)?;
    let value = args.bytes()?;
    cx.expire_before_write(key);
    cx.put(key, value, Some(deadline));
    cx.deadline_set(cx.db, key.bytes);
    cx.notify(Class::String, "set", key.bytes);
    cx.notify(Class::Generic, "expire", key.bytes);
    feed_set_until(cx, key, value, deadline);
    cx.reply().ok();
    Ok(())
}

/// GET key
fn get(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    tell(cx, key)?;
    Ok(())
}

/// Replies with a key's string or null; whether it is there.
fn tell(cx: &mut Cx<'_>, key: Key<'_>) -> Result<bool, Refusal> {
    match cx.read(key, write_string) {
        Some(written) => written.map(|()| true),
        None => {
            cx.reply().null();
            Ok(false)
        }
    }
}

fn write_string(entry: EntryRef<'_>, mut writer: Writer<'_>) -> Outcome {
    match entry.string().ok_or(Refusal::WrongType)? {
        StrRef::Int(number) => writer.bulk_int(number),
        StrRef::Bytes(bytes) => writer.bulk(bytes),
    }
    Ok(())
}

/// GETSET key value
fn getset(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let value = args.bytes()?;
    tell(cx, key)?;
    cx.expire_before_write(key);
    cx.put(key, value, None);
    cx.notify(Class::String, "set", key.bytes);
    cx.feed(&[b"SET", key.bytes, value]);
    Ok(())
}

/// GETDEL key
fn getdel(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    if tell(cx, key)? {
        let lazy = cx.server.config.settings.lazyfree_lazy_user_del;
        cx.remove(key, lazy);
        cx.notify(Class::Generic, "del", key.bytes);
        cx.feed(&[b"DEL", key.bytes]);
    }
    Ok(())
}

/// GETEX key [EX seconds | PX milliseconds | EXAT unix-s | PXAT unix-ms | PERSIST]
fn getex(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut fate = Fate::Unsaid;
    while let Some(option) = args.maybe() {
        if option.eq_ignore_ascii_case(b"persist") && matches!(fate, Fate::Unsaid | Fate::Clear) {
            fate = Fate::Clear;
        } else if !fate.take(option, args)? {
            return Err(Refusal::Syntax);
        }
    }
    if !tell(cx, key)? {
        return Ok(());
    }
    match fate {
        Fate::Unsaid | Fate::Keep => {}
        Fate::At(ttl) => {
            let deadline = ttl.deadline(cx.now, "getex")?;
            if ttl.absolute && cx.is_past(deadline) {
                cx.remove_past(key);
                return Ok(());
            }
            cx.server.keyspace.db_mut(cx.db as usize).set_deadline(key, Some(deadline));
            cx.deadline_set(cx.db, key.bytes);
            cx.changed(key.bytes);
            cx.notify(Class::Generic, "expire", key.bytes);
            cx.feed(&[b"PEXPIREAT", key.bytes, itoa::Buffer::new().format(deadline.0).as_bytes()]);
        }
        Fate::Clear => {
            if cx.writing(key, |entry| entry.deadline()).flatten().is_some() {
                cx.server.keyspace.db_mut(cx.db as usize).set_deadline(key, None);
                cx.changed(key.bytes);
                cx.notify(Class::Generic, "persist", key.bytes);
                cx.feed(&[b"PERSIST", key.bytes]);
            }
        }
    }
    Ok(())
}

/// MGET key [key ...]
fn mget(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply().array(args.left());
    while let Some(key) = args.maybe() {
        let key = cx.key(key);
        // A key of another type is null, too.
        if !matches!(cx.read(key, write_string), Some(Ok(()))) {
            cx.reply().null();
        }
    }
    Ok(())
}

/// MSET key value [key value ...]
fn mset(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    set_all(cx, *args, "mset")?;
    cx.feed_request(args);
    cx.reply().ok();
    Ok(())
}

/// MSETNX key value [key value ...]
fn msetnx(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut keys = *args;
    if !keys.left().is_multiple_of(2) {
        return Err(Refusal::Arity("msetnx".to_string()));
    }
    while let Some(key) = keys.maybe() {
        let key = cx.key(key);
        if cx.is_there(key) {
            cx.reply().int(0);
            return Ok(());
        }
        keys.skip(1);
    }
    set_all(cx, *args, "msetnx")?;
    cx.feed_request(args);
    cx.reply().int(1);
    Ok(())
}

fn set_all(cx: &mut Cx<'_>, mut pairs: Args<'_>, command: &str) -> Outcome {
    if !pairs.left().is_multiple_of(2) {
        return Err(Refusal::Arity(command.to_string()));
    }
    while let Some(key) = pairs.maybe() {
        let key = cx.key(key);
        cx.expire_before_write(key);
        cx.put(key, pairs.bytes()?, None);
        cx.notify(Class::String, "set", key.bytes);
    }
    Ok(())
}
