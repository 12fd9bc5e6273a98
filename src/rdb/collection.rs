//! Lists, sets, sorted sets and hashes of the format (streams have a file of their own). They are written element by element, which every version of Redis
//! reads, and read in all forms: element by element, in the parts of a quicklist, or as one compact run of bytes.

use super::compact::{self, Pairs};
use super::cursor::{Cursor, Read};
use super::stream::{self, StreamPart};
use super::{Shape, Value, code, string};

/// A part holds so many elements, or fewer as soon as they have so many bytes: where it ends does not depend on how the
/// bytes come.
const PART_ELEMENTS: u64 = 512;
const PART_BYTES: usize = 64 * 1024;

impl Shape {
    /// The type's number in what is written.
    pub(super) fn code(self) -> u8 {
        match self {
            Shape::List => code::LIST,
            Shape::Set => code::SET,
            Shape::Zset => code::ZSET_2,
            Shape::Hash => code::HASH,
            Shape::Stream => code::STREAM_LISTPACKS_2,
        }
    }
}

impl Value {
    /// Whether it is a collection, or a part of one, that has nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::String(_) => false,
            Value::List(elements) | Value::Set(elements) => elements.is_empty(),
            Value::Zset(members) => members.is_empty(),
            Value::Hash(fields) => fields.is_empty(),
            Value::Stream(parts) => parts.is_empty(),
        }
    }

    /// For a collection: its type, and how many elements (pairs in a hash, nodes in a stream) it has.
    pub fn shape(&self) -> Option<(Shape, usize)> {
        Some(match self {
            Value::String(_) => return None,
            Value::List(elements) => (Shape::List, elements.len()),
            Value::Set(members) => (Shape::Set, members.len()),
            Value::Zset(members) => (Shape::Zset, members.len()),
            Value::Hash(fields) => (Shape::Hash, fields.len()),
            Value::Stream(parts) => {
                (Shape::Stream, parts.iter().filter(|part| matches!(part, StreamPart::Node(..))).count())
            }
        })
    }
}

/// Writes the elements of a collection.
pub struct Elements<'a> {
    out: &'a mut Vec<u8>,
    compress: bool,
}

impl<'a> Elements<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, compress: bool) -> Self {
        Elements { out, compress }
    }

    /// An element of a list, a member of a set.
    pub fn element(&mut self, bytes: &[u8]) {
        string::write(self.out, bytes, self.compress);
    }

    /// A field of a hash.
    pub fn pair(&mut self, field: &[u8], value: &[u8]) {
        self.element(field);
        self.element(value);
    }

    /// A member of a sorted set.
    pub fn scored(&mut self, member: &[u8], score: f64) {
        self.element(member);
        self.out.extend(score.to_le_bytes());
    }

    /// A part of a stream.
    pub fn part(&mut self, part: &StreamPart) {
        stream::write(self.out, part, self.compress);
    }

    /// All of a value as the decoder gives it.
    pub fn all(&mut self, value: &Value) {
        match value {
            Value::String(_) => {}
            Value::List(elements) | Value::Set(elements) => elements.iter().for_each(|element| self.element(element)),
            Value::Zset(members) => members.iter().for_each(|(member, score)| self.scored(member, *score)),
            Value::Hash(fields) => fields.iter().for_each(|(field, value)| self.pair(field, value)),
            Value::Stream(parts) => parts.iter().for_each(|part| self.part(part)),
        }
    }

    /// How many bytes were gathered, for a caller that wants to empty the buffer.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }
}

/// Adds a later part of the same collection.
pub(super) fn join(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::List(all), Value::List(mut more)) | (Value::Set(all), Value::Set(mut more)) => all.append(&mut more),
        (Value::Zset(all), Value::Zset(mut more)) => all.append(&mut more),
        (Value::Hash(all), Value::Hash(mut more)) => all.append(&mut more),
        (Value::Stream(all), Value::Stream(mut more)) => all.append(&mut more),
        _ => unreachable!("parts of one collection are of one type"),
    }
}

/// What of a collection is still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    form: Form,
    /// Elements, pairs, or parts of a quicklist; of a stream, whether there are any.
    left: u64,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    List,
    Set,
    /// Scores as text, or as eight bytes.
    Zset {
        binary: bool,
    },
    Hash,
    Quicklist,
    Quicklist2,
    /// All in one string.
    Compact(u8),
    Stream(stream::Left),
}

impl Left {
    /// Reads what stands in front of the elements; `None` for a type that is no such collection.
    pub fn open(kind: u8, from: &mut Cursor<'_>) -> Read<Option<Left>> {
        let form = match kind {
            code::LIST => Form::List,
            code::SET => Form::Set,
            code::ZSET => Form::Zset { binary: false },
            code::ZSET_2 => Form::Zset { binary: true },
            code::HASH => Form::Hash,
            code::LIST_QUICKLIST => Form::Quicklist,
            code::LIST_QUICKLIST_2 => Form::Quicklist2,
            code::HASH_ZIPMAP
            | code::LIST_ZIPLIST
            | code::SET_INTSET
            | code::ZSET_ZIPLIST
            | code::HASH_ZIPLIST
            | code::HASH_LISTPACK
            | code::ZSET_LISTPACK
            | code::SET_LISTPACK => return Ok(Some(Left { form: Form::Compact(kind), left: 1 })),
            code::STREAM_LISTPACKS | code::STREAM_LISTPACKS_2 | code::STREAM_LISTPACKS_3 => {
                return Ok(Some(Left { form: Form::Stream(stream::Left::open(kind, from)?), left: 1 }));
            }
            _ => return Ok(None),
        };
        Ok(Some(Left { form, left: from.length()? }))
    }

    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next elements; none where there are none, or where a part of a list is written as an empty one. On `More` nothing has happened, but to
    /// `from`.
    pub fn part(&mut self, from: &mut Cursor<'_>) -> Read<Value> {
        let bytes = |from: &mut Cursor<'_>| Ok(from.string()?.into_owned());
        if let Form::Stream(left) = &mut self.form {
            let (mut parts, start) = (Vec::new(), from.at());
            while !left.is_empty() && parts.len() < PART_ELEMENTS as usize && from.at() - start < PART_BYTES {
                parts.push(left.next(from)?);
            }
            self.left = u64::from(!left.is_empty());
            return Ok(Value::Stream(parts));
        }
        Ok(match self.form {
            Form::Stream(_) => unreachable!("read above"),
            Form::List => Value::List(self.elements(from, bytes)?),
            Form::Set => Value::Set(self.elements(from, bytes)?),
            Form::Hash => Value::Hash(self.elements(from, |from| Ok((bytes(from)?, bytes(from)?)))?),
            Form::Zset { binary } => Value::Zset(self.elements(from, |from| Ok((bytes(from)?, score(from, binary)?)))?),
            Form::Quicklist | Form::Quicklist2 if self.left == 0 => Value::List(Vec::new()),
            Form::Quicklist => {
                let node = from.string()?;
                self.left -= 1;
                Value::List(sound(from, compact::ziplist(&node), "Ziplist integrity check failed")?)
            }
            Form::Quicklist2 => {
                let container = from.length()?;
                let node = from.string()?;
                self.left -= 1;
                match container {
                    1 if node.is_empty() => return from.corrupt("an empty element in a node of its own"),
                    1 => Value::List(vec![node.into_owned()]),
                    2 => Value::List(sound(from, compact::listpack(&node), "Listpack integrity check failed")?),
                    _ => return from.corrupt("Quicklist integrity check failed: an unknown kind of node"),
                }
            }
            Form::Compact(kind) => {
                let run = from.string()?;
                self.left = 0;
                return compact_value(kind, &run, from);
            }
        })
    }

    fn elements<T>(&mut self, from: &mut Cursor<'_>, mut read: impl FnMut(&mut Cursor<'_>) -> Read<T>) -> Read<Vec<T>> {
        let (mut elements, start) = (Vec::new(), from.at());
        while (elements.len() as u64) < self.left.min(PART_ELEMENTS) && from.at() - start < PART_BYTES {
            elements.push(read(from)?);
        }
        self.left -= elements.len() as u64;
        Ok(elements)
    }
}

fn score(from: &mut Cursor<'_>, binary: bool) -> Read<f64> {
    let score = match binary {
        true => f64::from_le_bytes(from.array()?),
        false => match from.byte()? {
            253 => f64::NAN,
            254 => f64::INFINITY,
            255 => f64::NEG_INFINITY,
            len => {
                let text = from.take(usize::from(len))?;
                std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
            }
        },
    };
    if score.is_nan() { from.corrupt("a score that is no number") } else { Ok(score) }
}

fn sound<T>(from: &Cursor<'_>, read: Option<T>, what: &'static str) -> Read<T> {
    match read {
        Some(value) => Ok(value),
        None => from.corrupt(what),
    }
}

/// A collection that is one string; it may be empty.
fn compact_value(kind: u8, run: &[u8], from: &Cursor<'_>) -> Read<Value> {
    let (value, what) = match kind {
        code::LIST_ZIPLIST => (compact::ziplist(run).map(Value::List), "List ziplist integrity check failed"),
        code::SET_INTSET => (compact::intset(run).map(Value::Set), "Intset integrity check failed"),
        code::SET_LISTPACK => (compact::listpack(run).map(Value::Set), "Set listpack integrity check failed"),
        code::HASH_ZIPMAP => (compact::zipmap(run).map(Value::Hash), "Zipmap integrity check failed"),
        code::HASH_ZIPLIST => {
            (compact::ziplist(run).and_then(compact::pairs).map(Value::Hash), "Hash ziplist integrity check failed")
        }
        code::HASH_LISTPACK => {
            (compact::listpack(run).and_then(compact::pairs).map(Value::Hash), "Hash listpack integrity check failed")
        }
        code::ZSET_ZIPLIST => {
            let pairs = compact::ziplist(run).and_then(compact::pairs);
            (pairs.and_then(scored).map(Value::Zset), "Zset ziplist integrity check failed")
        }
        _ => {
            let pairs = compact::listpack(run).and_then(compact::pairs);
            (pairs.and_then(scored).map(Value::Zset), "Zset listpack integrity check failed")
        }
    };
    sound(from, value, what)
}

fn scored(pairs: Pairs) -> Option<Vec<(Vec<u8>, f64)>> {
    pairs
        .into_iter()
        .map(|(member, score)| {
            let score: f64 = std::str::from_utf8(&score).ok()?.parse().ok()?;
            (!score.is_nan()).then_some((member, score))
        })
        .collect()
}
