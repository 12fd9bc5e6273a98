//! Values between the keyspace and the RDB format: full copies, DUMP and RESTORE.

use super::stream_transfer;
use crate::base::Millis;
use crate::config::{MaxmemoryPolicy, Settings};
use crate::keyspace::{
    Access, End, Frequencies, Key, Keyspace, Limits, ListLimits, SetForm, SetLimits, Value, access_clock,
    frequency_bits, seconds_since,
};
use crate::rdb::{self, Elements, Shape, Used};

pub use crate::keyspace::Sizes;

impl Sizes {
    /// As the settings say, which the keyspace does not know.
    pub fn of(settings: &Settings) -> Sizes {
        let limits = |entries: i64, bytes: u64| Limits { entries: entries as usize, bytes: bytes as usize };
        Sizes {
            list: ListLimits::of(settings.list_max_listpack_size),
            set: SetLimits {
                integers: settings.set_max_intset_entries as usize,
                listpack: limits(settings.set_max_listpack_entries, settings.set_max_listpack_value as u64),
            },
            zset: limits(settings.zset_max_listpack_entries, settings.zset_max_listpack_value),
            hash: limits(settings.hash_max_listpack_entries, settings.hash_max_listpack_value),
        }
    }
}

/// Puts a value as the decoder gives it under a key where there is nothing.
///
/// # Errors
/// What is wrong with the value; then a part of it may be there.
pub fn load(
    keyspace: &mut Keyspace,
    sizes: Sizes,
    db: u32,
    key: Key<'_>,
    deadline: Option<Millis>,
    value: &rdb::Value,
) -> Result<(), String> {
    if let rdb::Value::String(bytes) = value {
        keyspace.db_mut(db as usize).set_string(key, bytes, deadline);
        return Ok(());
    }
    load_more(keyspace, sizes, db, key, value)?;
    if deadline.is_some() {
        keyspace.db_mut(db as usize).set_deadline(key, deadline);
    }
    Ok(())
}

/// Adds a further part of a collection.
///
/// # Errors
/// As [`load`].
pub fn load_more(
    keyspace: &mut Keyspace,
    sizes: Sizes,
    db: u32,
    key: Key<'_>,
    value: &rdb::Value,
) -> Result<(), String> {
    let mut db = keyspace.db_mut(db as usize);
    let twice = |what: &str| {
        let (kind, key) = (value.type_name(), key.bytes.escape_ascii());
        format!("integrity check failed: the {kind} '{key}' holds a {what} twice")
    };
    match value {
        _ if value.is_empty() => {}
        rdb::Value::List(elements) => {
            let mut list = db.list_or_new(key, sizes.list);
            for element in elements {
                list.expect(std::iter::once(&element[..]));
                list.push(End::Right, element);
            }
            list.settle_read();
        }
        rdb::Value::Set(members) => {
            let mut set = db.set_or_new(key, SetForm::Intset, sizes.set);
            for member in members {
                if !set.add(member) {
                    return Err(twice("member"));
                }
            }
        }
        rdb::Value::Zset(members) => {
            let mut set = db.zset_or_new(key, true, sizes.zset);
            for (member, score) in members {
                if !set.put(member, *score) {
                    return Err(twice("member"));
                }
            }
        }
        rdb::Value::Hash(fields) => {
            let mut hash = db.hash_or_new(key, sizes.hash);
            for (field, value) in fields {
                if !hash.set(field, value) {
                    return Err(twice("field"));
                }
            }
        }
        rdb::Value::Stream(parts) => {
            let mut stream = db.stream_or_new(key);
            for part in parts {
                stream_transfer::load(&mut stream, part)
                    .map_err(|why| format!("the stream '{}' does not add up: {why}", key.bytes.escape_ascii()))?;
            }
        }
        rdb::Value::String(_) => return Err("a string has no parts".into()),
    }
    Ok(())
}

/// Marks a key as used in the way that a file or RESTORE tells, where that is what the policy goes by.
pub fn mark_used(keyspace: &Keyspace, policy: MaxmemoryPolicy, db: u32, key: Key<'_>, used: Used, now: Millis) {
    let bits = match used {
        Used::Idle { seconds } if !policy.counts_uses() => {
            let ago = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
            access_clock(Millis(now.0.saturating_sub(ago)))
        }
        Used::Frequency(counter) if policy.counts_uses() => frequency_bits(counter, now),
        _ => return,
    };
    if let Some(entry) = keyspace.db(db as usize).get(key) {
        entry.set_access(bits);
    }
}

/// How a key was used that has these access bits.
pub fn used(access: Access, frequencies: Frequencies, now: Millis) -> Used {
    match access {
        Access::Time(clock) => Used::Idle { seconds: u64::from(seconds_since(clock, now)) },
        Access::Count(bits) => Used::Frequency(frequencies.of(bits, now)),
    }
}

/// The payload of DUMP.
pub fn dump(value: Value<'_>) -> Vec<u8> {
    match value {
        Value::Str(string) => rdb::dump_string(string.bytes(&mut Default::default())),
        _ => {
            let (shape, elements) = shape(value);
            rdb::dump(shape, elements, |to| write(value, to))
        }
    }
}

/// The type of a collection, and how many elements, pairs or nodes it is written as.
pub fn shape(value: Value<'_>) -> (Shape, u64) {
    let (shape, elements) = match value {
        Value::Str(_) => unreachable!("a string is no collection"),
        Value::List(list) => (Shape::List, list.len()),
        Value::Set(set) => (Shape::Set, set.len()),
        Value::Zset(set) => (Shape::Zset, set.len()),
        Value::Hash(hash) => (Shape::Hash, hash.len()),
        Value::Stream(stream) => (Shape::Stream, stream.node_count()),
    };
    (shape, elements as u64)
}

/// Writes the elements of a collection.
pub fn write(value: Value<'_>, to: &mut Elements<'_>) {
    match value {
        Value::Str(_) => {}
        Value::List(list) => list.iter_from(0).for_each(|element| to.element(element)),
        Value::Set(set) => set.iter().for_each(|member| to.element(member)),
        Value::Zset(set) => set.iter_from(0).for_each(|(member, score)| to.scored(member, score)),
        Value::Hash(hash) => hash.iter().for_each(|(field, value)| to.pair(field, value)),
        Value::Stream(stream) => {
            stream_transfer::nodes(stream, |part| to.part(&part));
            stream_transfer::rest(&stream.head(), stream.groups(), |part| to.part(&part));
        }
    }
}
