//! The RDB format: how Redis writes a keyspace down, on disk and for a replica's full copy.
//!
//! Bytes to items and back; no IO, no clock, no keyspace. The format is Redis' own
//! (<https://rdb.fnordig.de/file_format.html>; versions 1 to 12 are read, version 10, that of Redis 7.0, is written).
//!
//! ```text
//! header  aux*  functions*  ( select-db  sizes  ( [expire] type key value )* )*  end  crc64
//! ```
//!
//! [`Decoder`] is pushed bytes as they come and hands out [`Event`]s; [`Encoder`] appends to a buffer that the caller
//! may empty between two calls. Neither ever holds more than one string, or one small collection: a large one comes in parts.
//!
//! Invariants:
//! 1. A length in the file makes no memory: an item is buffered as its bytes arrive
//!    (`decode::tests::hostile_lengths_take_no_memory`).
//! 2. Events do not depend on how the bytes are cut (`decode::tests::cut_at_every_byte`).
//! 3. A file that is cut, changed or of another kind is refused with the offset of the trouble; it never panics
//!    (`decode::tests::every_cut_and_every_flip_is_noticed`, `tests/fuzz_wire.rs`).
//! 4. Real Redis reads what is written here, and the other way round, to the same keyspace (`tests/rdb_redis.rs`).
//!
//! Reading order: [`Event`] and [`RdbError`] here, `cursor` (lengths and strings), `string`, `collection` (lists, sets,
//! sorted sets, hashes), `stream`, `compact` (the runs of bytes that small ones are written as), `lzf` (compressed strings),
//! `decode`, `encode`, `dump` (one value alone: DUMP, RESTORE),
//! `functions` (FUNCTION DUMP).
//!
//! Why a push parser: a full copy arrives through a socket that the node's one thread reads; it cannot wait in the
//! middle of an item. The crates for RDB read from a blocking reader, and write nothing.
//!
//! Tests: `cargo test --lib rdb::`, `cargo test --test fuzz_wire`, `cargo test --test rdb_redis`.

mod collection;
mod compact;
mod cursor;
mod decode;
mod dump;
mod encode;
mod functions;
mod lzf;
pub mod stream;
mod string;

pub use collection::Elements;
pub use decode::Decoder;
pub use dump::{Checksum, DumpError, dump, dump_string, restore};
pub use encode::{Encoder, Origin};
pub use functions::{dump_functions, restore_functions};

use crate::base::Millis;
use std::fmt;

/// The version written; the newest that Redis 7.0 reads.
pub const VERSION: u32 = 10;
/// The newest version read.
pub const VERSION_MAX: u32 = 12;

/// A value of a key, or a part of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    /// Members with their scores; never NaN.
    Zset(Vec<(Vec<u8>, f64)>),
    /// Fields with their values.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    /// Its parts in their order.
    Stream(Vec<stream::StreamPart>),
}

/// The types of collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    List,
    Set,
    Zset,
    Hash,
    Stream,
}

impl Value {
    /// The word for its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Zset(_) => "sorted set",
            Value::Hash(_) => "hash",
            Value::Stream(_) => "stream",
        }
    }
}

/// How a key was used, where the writer's `maxmemory-policy` goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// Not for so long.
    Idle { seconds: u64 },
    /// So often, as a logarithmic counter.
    Frequency(u8),
}

/// A key with its value, or with the first part of it: [`Event::More`] brings the rest. A collection may be empty, which
/// Redis leaves out.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub key: Vec<u8>,
    /// The deadline on the wall clock, Unix milliseconds. It may be past: whether the item still counts is for the caller
    /// to say (a master drops it, a replica keeps it until its master says DEL).
    pub expire: Option<Millis>,
    pub used: Option<Used>,
    pub value: Value,
}

/// What a file holds, in its order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Header {
        version: u32,
    },
    /// A fact about the file: `redis-ver`, `ctime`, `repl-id` and so on. Unknown ones are to be ignored.
    Aux {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    /// The items that follow belong to this database.
    SelectDb(u32),
    /// How many keys the database has, and how many of them with a deadline. Hints: nothing proves them.
    Sizes {
        keys: u64,
        expires: u64,
    },
    Item(Item),
    /// More of the collection that the last item began.
    More(Value),
    /// The source of a library of functions.
    Function(Vec<u8>),
    /// The end, checksum included: all before it is whole.
    End,
}

/// Why bytes are no RDB that can be read here. Offsets are bytes from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RdbError {
    /// The first bytes are not `REDIS` and four digits.
    NotRdb,
    /// Newer than [`VERSION_MAX`], or 0.
    Version { version: u32 },
    /// A type of value that exists in Redis but not here (yet).
    UnsupportedType { name: &'static str, key: Vec<u8>, offset: u64 },
    /// Data of a module, which only that module can read.
    Module { name: String, offset: u64 },
    /// A type or an operation that no version of the format knows.
    UnknownType { kind: u8, offset: u64 },
    /// Bytes that contradict the format.
    Corrupt { what: &'static str, offset: u64 },
    /// The file as a whole is not what was written.
    Checksum { expected: u64, found: u64, offset: u64 },
    /// It ended before its end mark.
    Truncated { offset: u64 },
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RdbError::NotRdb => write!(f, "RDB: no RDB file (it does not start with REDIS and a version)"),
            RdbError::Version { version } => {
                write!(f, "RDB: version {version} is not read here, only 1 to {VERSION_MAX}")
            }
            RdbError::UnsupportedType { name, key, offset } => {
                write!(
                    f,
                    "RDB: key '{}' at offset {offset} holds a {name}, which is not served here",
                    key.escape_ascii()
                )
            }
            RdbError::Module { name, offset } => {
                write!(f, "RDB: data of the module '{name}' at offset {offset}; modules are not served here")
            }
            RdbError::UnknownType { kind, offset } => write!(f, "RDB: unknown type {kind} at offset {offset}"),
            RdbError::Corrupt { what, offset } => write!(f, "RDB: {what} at offset {offset}"),
            RdbError::Checksum { expected, found, offset } => {
                write!(f, "RDB: checksum {found:016x} at offset {offset}, but the data before it has {expected:016x}")
            }
            RdbError::Truncated { offset } => write!(f, "RDB: the file ends at offset {offset}, before its end mark"),
        }
    }
}

impl std::error::Error for RdbError {}

/// The numbers by which the format knows operations and types.
mod code {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    pub const FUNCTION_PRE_RELEASE: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_S: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const END: u8 = 255;
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const STREAM_LISTPACKS_3: u8 = 21;

    /// The word for a type that Redis has, whatever its encoding.
    pub fn type_name(kind: u8) -> Option<&'static str> {
        Some(match kind {
            0 => "string",
            1 | 10 | 14 | 18 => "list",
            2 | 11 | 20 => "set",
            3 | 5 | 12 | 17 => "sorted set",
            4 | 9 | 13 | 16 | 22..=25 => "hash",
            6 | 7 => "module value",
            15 | 19 | 21 => "stream",
            _ => return None,
        })
    }
}

/// The checksum of the format: CRC-64 of Jones, started at 0.
fn crc64() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Redis)
}
