//! DUMP and RESTORE: one value as bytes, the way it stands in an RDB file.

use crate::base::Millis;
use crate::command::spec::{ASKING, Categories, DENYOOM, Group, READONLY, Spec, WRITE, key, spec};
use crate::command::transfer::{self, Sizes};
use crate::command::{Args, Class, Cx, Outcome, Refusal, access};
use crate::rdb::{self, Checksum, DumpError, Used};

pub const ROWS: &[Spec] = &[
    spec("dump", 2, READONLY, Group::Generic, dump)
        .keys(&[key(1, &["RO", "access"])])
        .acl(Categories::KEYSPACE)
        .doc("2.6.0", "Returns a serialized representation of the value stored at a key."),
    spec("restore", -4, WRITE.or(DENYOOM), Group::Generic, restore)
        .keys(&[key(1, &["OW", "update"])])
        .acl(Categories::KEYSPACE.or(Categories::DANGEROUS))
        .doc("2.6.0", "Creates a key from the serialized representation of a value."),
    spec("restore-asking", -4, WRITE.or(DENYOOM).or(ASKING), Group::Server, restore)
        .keys(&[key(1, &["OW", "update"])])
        .acl(Categories::KEYSPACE.or(Categories::DANGEROUS))
        .doc("3.0.0", "An internal command for migrating keys in a cluster."),
];

/// DUMP key
fn dump(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    if cx.read(key, |entry, mut reply| reply.bulk(&transfer::dump(entry.value()))).is_none() {
        cx.reply().null();
    }
    Ok(())
}

/// What RESTORE is told besides.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<i64>,
    frequency: Option<u8>,
}

impl Options {
    fn used(&self) -> Option<Used> {
        let idle = self.idle_seconds.map(|seconds| Used::Idle { seconds: seconds as u64 });
        idle.or(self.frequency.map(Used::Frequency))
    }

    fn read(args: &mut Args<'_>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        while args.left() > 0 {
            if args.take("replace") {
                options.replace = true;
            } else if args.take("absttl") {
                options.absolute = true;
            } else if args.left() > 1 && options.frequency.is_none() && args.take("idletime") {
                let seconds = Some(args.int()?).filter(|&seconds| seconds >= 0);
                options.idle_seconds =
                    Some(seconds.ok_or_else(|| Refusal::err("Invalid IDLETIME value, must be >= 0"))?);
            } else if args.left() > 1 && options.idle_seconds.is_none() && args.take("freq") {
                let counter = u8::try_from(args.int()?);
                let counter = counter.map_err(|_| Refusal::err("Invalid FREQ value, must be >= 0 and <= 255"))?;
                options.frequency = Some(counter);
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }
}

/// RESTORE key ttl serialized-value \[REPLACE\] \[ABSTTL\] \[IDLETIME seconds\] \[FREQ frequency\]
///
/// Replicas are fed the deadline, not the span.
fn restore(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, ttl, payload) = (cx.key(args.bytes()?), args.bytes()?, args.bytes()?);
    let options = Options::read(args)?;
    let there = cx.is_there(key);
    if there && !options.replace {
        return Err(Refusal::Text("BUSYKEY Target key name already exists.".into()));
    }
    let ttl = crate::base::number::parse_i64(ttl).ok_or(Refusal::NotInteger)?;
    if ttl < 0 {
        return Err(Refusal::err("Invalid TTL value, must be >= 0"));
    }
    let hidden = cx.server.config.settings.hide_user_data_from_log;
    let bad = |why: &dyn std::fmt::Display| {
        let name = if hidden { "*redacted*".into() } else { key.bytes.escape_ascii().to_string() };
        tracing::warn!("RESTORE '{name}': {why}");
        Refusal::err("Bad data format")
    };
    // What is obeyed was taken before, and stands in a log with checksums of its own.
    let checksum = if cx.obeys() { Checksum::Skip } else { cx.server.switches.checksum };
    let value = rdb::restore(payload, checksum).map_err(|error| match error {
        DumpError::Footer => Refusal::err("DUMP payload version or checksum are wrong"),
        DumpError::Value(error) => bad(&error),
    })?;
    let deadline = match ttl {
        0 => None,
        at if options.absolute => Some(Millis(at)),
        span => Some(Millis(cx.now.0.saturating_add(span))),
    };
    if deadline.is_some_and(|deadline| cx.is_past(deadline)) {
        let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
        if there && cx.remove(key, lazy) {
            cx.notify(Class::Generic, "del", key.bytes);
            cx.feed(&[access::del_word(lazy), key.bytes]);
        }
        cx.reply().ok();
        return Ok(());
    }
    let sizes = Sizes::of(&cx.server.config.settings);
    let old = cx.server.keyspace.db_mut(cx.db as usize).detach(key);
    if let Err(why) = transfer::load(&mut cx.server.keyspace, sizes, cx.db, key, deadline, &value) {
        // The parts fit, the whole does not (a member twice): as if nothing had been asked.
        let mut db = cx.server.keyspace.db_mut(cx.db as usize);
        db.remove(key);
        if let Some(old) = old {
            db.put(key, old);
        }
        return Err(bad(&why));
    }
    if let Some(old) = old {
        let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
        cx.server.free(old, lazy);
    }
    if let Some(used) = options.used() {
        transfer::mark_used(&cx.server.keyspace, cx.server.config.settings.maxmemory_policy, cx.db, key, used, cx.now);
    }
    cx.deadline_set(cx.db, key.bytes);
    cx.changed(key.bytes);
    cx.born(key.bytes);
    cx.notify(Class::Generic, "restore", key.bytes);
    match deadline {
        Some(deadline) if !options.absolute => {
            let mut digits = itoa::Buffer::new();
            let mut words = cx.words(args);
            words[2] = digits.format(deadline.0).as_bytes();
            words.push(b"ABSTTL");
            cx.feed(&words);
        }
        _ => cx.feed_request(args),
    }
    cx.reply().ok();
    Ok(())
}
