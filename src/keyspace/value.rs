//! What a key can hold: the types, what stands in a box of its own, and how a reader sees it.
//!
//! A type adds a variant to [`Kind`], [`Heap`] and [`Value`], and a file of its own.

use super::chain::Chain;
use super::checkpoint::Core;
use super::hashes::HashRef;
use super::lists::ListRef;
use super::map::Map;
use super::nested::Nested;
use super::packed;
use super::sets::SetRef;
use super::stream::Stream;
use super::streams::{self, StreamRef};
use super::string::{Raw, StrRef, inline_encoding};
use super::zsets::{self, Ranked, ZsetRef};
use crate::base::number::parse_i64;
use crate::keyspace::entry::{Entry, Stored};

/// A type, by Redis' numbers (`OBJ_STRING` and so on), which DEBUG DIGEST mixes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Str = 0,
    List = 1,
    Set = 2,
    Zset = 3,
    Hash = 4,
    Stream = 6,
}

impl Kind {
    /// Of the flags of an entry; no other bits are ever written there.
    pub(super) fn of_bits(bits: u32) -> Kind {
        match bits {
            1 => Kind::List,
            2 => Kind::Set,
            3 => Kind::Zset,
            4 => Kind::Hash,
            6 => Kind::Stream,
            _ => Kind::Str,
        }
    }

    /// Of a byte in a page.
    pub(super) fn of_byte(byte: u8) -> Option<Kind> {
        match byte {
            1 => Some(Kind::List),
            2 => Some(Kind::Set),
            3 => Some(Kind::Zset),
            4 => Some(Kind::Hash),
            6 => Some(Kind::Stream),
            _ => None,
        }
    }

    /// What TYPE answers.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Str => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
        }
    }
}

/// A value that has a box of its own.
pub(super) enum Heap {
    Raw(Raw),
    List(Box<Chain>),
    Set(Box<Map>),
    Zset(Box<Ranked>),
    Hash(Box<Map>),
    Stream(Box<Stream>),
}

impl Heap {
    pub(super) fn of_text(bytes: Vec<u8>) -> Self {
        Heap::Raw(Raw::new(bytes, 0))
    }

    pub(super) fn loaded(bytes: Vec<u8>, blob: u64) -> Self {
        Heap::Raw(Raw::new(bytes, blob))
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Heap::Raw(_) => Kind::Str,
            Heap::List(_) => Kind::List,
            Heap::Set(_) => Kind::Set,
            Heap::Zset(_) => Kind::Zset,
            Heap::Hash(_) => Kind::Hash,
            Heap::Stream(_) => Kind::Stream,
        }
    }

    pub(super) fn raw(&self) -> Option<&Raw> {
        match self {
            Heap::Raw(raw) => Some(raw),
            _ => None,
        }
    }

    pub(super) fn raw_mut(&mut self) -> Option<&mut Raw> {
        match self {
            Heap::Raw(raw) => Some(raw),
            _ => None,
        }
    }

    /// A large collection counts as another encoding from now on. A string and a stream have but one.
    pub(super) fn set_encoding(&mut self, encoding: u8) {
        match self {
            Heap::List(chain) => chain.encoding = encoding,
            Heap::Set(map) | Heap::Hash(map) => map.encoding = encoding,
            Heap::Zset(ranked) => ranked.map.encoding = encoding,
            Heap::Raw(_) | Heap::Stream(_) => unreachable!("the caller saw a collection with encodings"),
        }
    }

    /// The pages of its own that a large collection has.
    pub(super) fn nested(&self) -> Option<&dyn Nested> {
        match self {
            Heap::Raw(_) => None,
            Heap::List(chain) => Some(&**chain),
            Heap::Zset(ranked) => Some(&ranked.map.db),
            Heap::Set(map) | Heap::Hash(map) => Some(&map.db),
            Heap::Stream(stream) => Some(&**stream),
        }
    }

    pub(super) fn nested_mut(&mut self) -> Option<&mut dyn Nested> {
        match self {
            Heap::Raw(_) => None,
            Heap::List(chain) => Some(&mut **chain),
            Heap::Zset(ranked) => Some(&mut ranked.map.db),
            Heap::Set(map) | Heap::Hash(map) => Some(&mut map.db),
            Heap::Stream(stream) => Some(&mut **stream),
        }
    }

    /// The same value, which shares nothing with this one.
    pub(super) fn duplicate(&self, core: &mut Core) -> Heap {
        match self {
            Heap::Raw(raw) => Heap::of_text(raw.bytes().to_vec()),
            Heap::List(chain) => Heap::List(Box::new(chain.duplicate(core))),
            Heap::Set(map) => Heap::Set(Box::new(map.duplicate(core))),
            Heap::Zset(ranked) => Heap::Zset(Box::new(ranked.duplicate(core))),
            Heap::Hash(map) => Heap::Hash(Box::new(map.duplicate(core))),
            Heap::Stream(stream) => Heap::Stream(Box::new(stream.duplicate(core))),
        }
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory(&self) -> usize {
        match self {
            Heap::Raw(raw) => raw.memory(),
            Heap::List(chain) => chain.memory(),
            Heap::Zset(ranked) => ranked.map.memory() + ranked.order.memory(),
            Heap::Set(map) | Heap::Hash(map) => map.memory(),
            Heap::Stream(stream) => stream.memory(),
        }
    }

    /// Whether freeing it takes long enough to leave it to another thread.
    pub(super) fn is_bulky(&self) -> bool {
        match self {
            Heap::Raw(raw) => raw.memory() > BULKY_BYTES,
            Heap::List(chain) => chain.len() > BULKY_ELEMENTS,
            Heap::Zset(ranked) => ranked.map.db.len() > BULKY_ELEMENTS,
            Heap::Set(map) | Heap::Hash(map) => map.db.len() > BULKY_ELEMENTS,
            Heap::Stream(stream) => stream.pieces() > BULKY_ELEMENTS,
        }
    }
}

/// From here on, unmapping memory is worth another thread.
const BULKY_BYTES: usize = 64 * 1024;
/// As Redis' `LAZYFREE_THRESHOLD`.
const BULKY_ELEMENTS: u64 = 64;

/// A value, by its type.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// `TYPE` says `string`.
    Str(StrRef<'a>),
    List(ListRef<'a>),
    Set(SetRef<'a>),
    Zset(ZsetRef<'a>),
    Hash(HashRef<'a>),
    Stream(StreamRef<'a>),
}

impl<'a> Value<'a> {
    pub(super) fn of(entry: &'a Entry) -> Value<'a> {
        match entry.value() {
            Stored::Int(number) => Value::Str(StrRef::Int(number)),
            Stored::Inline { bytes, .. } => Value::Str(StrRef::Bytes(bytes)),
            Stored::Packed { kind, bytes } => Value::of_small(kind, bytes),
            Stored::Heap(heap) => match heap {
                Heap::Raw(raw) => Value::Str(StrRef::Bytes(raw.bytes())),
                Heap::List(chain) => Value::List(ListRef::large(chain)),
                Heap::Set(map) => Value::Set(SetRef::large(map)),
                Heap::Zset(ranked) => Value::Zset(ZsetRef::large(ranked)),
                Heap::Hash(map) => Value::Hash(HashRef::large(map)),
                Heap::Stream(stream) => Value::Stream(StreamRef::large(stream)),
            },
        }
    }

    /// A small collection as it stands in a page or an entry; its bytes are sound.
    pub fn of_small(kind: Kind, bytes: &'a [u8]) -> Value<'a> {
        match kind {
            Kind::Str => Value::Str(StrRef::Bytes(bytes)),
            Kind::List => Value::List(ListRef::packed(bytes)),
            Kind::Set => Value::Set(SetRef::packed(bytes)),
            Kind::Zset => Value::Zset(ZsetRef::packed(bytes)),
            Kind::Hash => Value::Hash(HashRef::packed(bytes)),
            Kind::Stream => Value::Stream(StreamRef::packed(bytes)),
        }
    }

    /// Whether bytes from a page are a small collection of that type.
    pub(super) fn is_sound(kind: Kind, bytes: &[u8]) -> bool {
        if kind == Kind::Stream {
            return streams::is_sound(bytes);
        }
        packed::is_sound(bytes)
            && match kind {
                Kind::Str | Kind::Stream => false,
                // The order of an intset's members trusts that they are integers.
                Kind::Set if packed::encoding(bytes) == INTEGERS => {
                    packed::items(bytes).all(|member| parse_i64(member).is_some())
                }
                Kind::List | Kind::Set => true,
                Kind::Zset => zsets::is_sound(bytes),
                Kind::Hash => packed::count(bytes).is_multiple_of(2),
            }
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Str(_) => Kind::Str,
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::Zset(_) => Kind::Zset,
            Value::Hash(_) => Kind::Hash,
            Value::Stream(_) => Kind::Stream,
        }
    }

    /// What TYPE answers.
    pub fn type_name(&self) -> &'static str {
        self.kind().name()
    }
}

/// What OBJECT ENCODING answers.
pub(super) fn encoding(entry: &Entry) -> &'static str {
    match entry.value() {
        Stored::Int(_) => "int",
        Stored::Inline { bytes, grown } => inline_encoding(bytes, grown),
        Stored::Heap(Heap::Raw(_)) => "raw",
        Stored::Packed { kind, bytes } => encoding_name(kind, packed::encoding(bytes)),
        Stored::Heap(Heap::List(chain)) => encoding_name(Kind::List, chain.encoding),
        Stored::Heap(Heap::Set(map)) => encoding_name(Kind::Set, map.encoding),
        Stored::Heap(Heap::Zset(ranked)) => encoding_name(Kind::Zset, ranked.map.encoding),
        Stored::Heap(Heap::Hash(map)) => encoding_name(Kind::Hash, map.encoding),
        Stored::Heap(Heap::Stream(_)) => encoding_name(Kind::Stream, COMPACT),
    }
}

/// The compact form that Redis names first.
pub(super) const COMPACT: u8 = 0;
/// The other one. Commands take a list alone back from it, and a sorted set that is stored anew; a start takes any.
pub(super) const CONVERTED: u8 = 1;
/// A set of integers.
pub(super) const INTEGERS: u8 = 2;

fn encoding_name(kind: Kind, encoding: u8) -> &'static str {
    match (kind, encoding) {
        (Kind::Set, INTEGERS) => "intset",
        (Kind::List, CONVERTED) => "quicklist",
        (Kind::Hash | Kind::Set | Kind::List, COMPACT) => "listpack",
        (Kind::Hash | Kind::Set | Kind::List, _) => "hashtable",
        (Kind::Zset, COMPACT) => "listpack",
        (Kind::Zset, _) => "skiplist",
        (Kind::Stream, _) => "stream",
        (Kind::Str, _) => "raw",
    }
}
