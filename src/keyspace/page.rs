//! The bytes of a checkpoint page: one sub-table, packed.
//!
//! ```text
//! page    u8 version (1), varint space, varint page, u8 depth, u32 LE prefix, varint number of records, records
//! record  u8 tag: kind (1 integer, 2 bytes, 3 blob, 4 small collection, 5 large one) | 0x80 with a deadline
//!                 | 0x40 with the time of its last use | 0x20 with a count of its uses
//!         [i64 LE deadline, ms], [u24 LE access bits], varint key length, key
//!         integer: zigzag varint     bytes: varint length, bytes     blob: varint blob, varint length
//!         small: u8 type, varint length, bytes as in the entry     large: u8 type, u8 encoding, varint space
//! ```
//! The pages of a large hash have the same form, in its own space: a record is a field.
//! A string above 16 KiB is a blob: the page names it, and its bytes are handed over by themselves, once. No checksum
//! here: the store has one for all that it keeps. A reader takes any bytes and answers with a [`PageError`] at worst, and
//! needs no keyspace: an RDB can be made of a checkpoint on another thread.

use super::entry::{Entry, INLINE_BYTES_MAX, Stored};
use super::nested::Nested;
use super::string::Raw;
use super::table::{DEPTH_MAX, Table, prefix_mask};
use super::usage::{Access, Noted};
use super::value::{Heap, Kind, Value};
use crate::base::Millis;
use std::fmt;

const VERSION: u8 = 1;
const INTEGER: u8 = 1;
const BYTES: u8 = 2;
const BLOB: u8 = 3;
const SMALL: u8 = 4;
const LARGE: u8 = 5;
const WITH_DEADLINE: u8 = 0x80;
const WITH_TIME: u8 = 0x40;
const WITH_COUNT: u8 = 0x20;
/// The smallest record: tag, key length, a one byte integer.
const RECORD_BYTES_MIN: usize = 3;

/// Why pages do not make a keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageError {
    /// The page has another version than this build writes.
    Version(u8),
    /// The page ends within a field, `at` bytes from its start.
    Truncated { at: usize },
    /// No record begins with this byte.
    Tag { at: usize, tag: u8 },
    /// A number that does not fit its field.
    Number { at: usize },
    /// Bytes are left behind the last record.
    Trailing { at: usize },
    /// The header names an impossible part of the hashes.
    Prefix { depth: u8, prefix: u32 },
    /// The manifest knows no such space.
    Space(u32),
    /// Two pages of a space hold the same hashes.
    Overlap { space: u32, page: u64 },
    /// A space has another number of pages than the manifest says.
    Count { space: u32, expected: u64, found: u64 },
    /// Some hashes of a space are in no page.
    Gap { space: u32, prefix: u32 },
    /// A key is in a page twice.
    Twice { page: u64 },
    /// A page names a blob that is not there, or has another length.
    Blob { page: u64, blob: u64 },
    /// A small collection whose items do not add up.
    Collection { at: usize },
    /// No record names the space of a large collection, or two do, or it has no pages.
    Nested { space: u32 },
    /// The manifest contradicts itself.
    Manifest(&'static str),
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PageError::Version(version) => write!(f, "page format {version}, this build reads {VERSION}"),
            PageError::Truncated { at } => write!(f, "page ends within a field at byte {at}"),
            PageError::Tag { at, tag } => write!(f, "unknown record type {tag:#04x} at byte {at}"),
            PageError::Number { at } => write!(f, "number out of range at byte {at}"),
            PageError::Trailing { at } => write!(f, "bytes behind the last record from byte {at} on"),
            PageError::Prefix { depth, prefix } => write!(f, "impossible hash prefix {prefix:#010x} of {depth} bits"),
            PageError::Space(space) => write!(f, "space {space} is not in the manifest"),
            PageError::Overlap { space, page } => write!(f, "page {page} of space {space} overlaps another"),
            PageError::Count { space, expected, found } => {
                write!(f, "space {space} has {found} pages where the manifest says {expected}")
            }
            PageError::Gap { space, prefix } => {
                write!(f, "no page of space {space} holds hashes from {prefix:#010x} on")
            }
            PageError::Twice { page } => write!(f, "page {page} holds a key twice"),
            PageError::Blob { page, blob } => write!(f, "blob {blob} of page {page} is missing or of another length"),
            PageError::Collection { at } => write!(f, "a collection whose items do not add up at byte {at}"),
            PageError::Nested { space } => {
                write!(f, "the collection of space {space} and its pages do not find together")
            }
            PageError::Manifest(what) => write!(f, "keyspace manifest: {what}"),
        }
    }
}

impl std::error::Error for PageError {}

/// What the record of an entry takes in a page, about; a function of key, value and deadline only.
pub(super) fn record_bytes(entry: &Entry) -> u32 {
    let value = match entry.value() {
        Stored::Int(_) => 4,
        Stored::Inline { bytes, .. } => bytes.len() + 2,
        Stored::Packed { bytes, .. } => bytes.len() + 3,
        Stored::Heap(Heap::Raw(raw)) if !raw.is_blob() => raw.bytes().len() + 2,
        Stored::Heap(_) => 8,
    };
    // Clamped, so that the sum of a sub-table fits 32 bits whatever the keys are.
    let key = entry.key().len().min(1 << 20);
    (2 + key + value + if entry.deadline().is_some() { 8 } else { 0 }) as u32
}

/// The page of a sub-table. `name_blob` is asked for the id of each blob before it is written.
pub(super) fn write(
    space: u32,
    table: &mut Table,
    noted: Noted,
    mut name_blob: impl FnMut(&mut Raw) -> u64,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(table.bytes as usize + table.entries.len() * 4 + 32);
    out.push(VERSION);
    push_varint(&mut out, u64::from(space));
    push_varint(&mut out, table.page);
    out.push(table.depth);
    out.extend_from_slice(&table.prefix.to_le_bytes());
    push_varint(&mut out, table.entries.len() as u64);
    table.entries.iter().for_each(Entry::prefetch);
    for entry in table.entries.iter_mut() {
        let blob = match entry.heap_mut() {
            Some(Heap::Raw(raw)) if raw.is_blob() => name_blob(raw),
            _ => 0,
        };
        let deadline = entry.deadline();
        let value = entry.value();
        let tag = match &value {
            Stored::Int(_) => INTEGER,
            Stored::Inline { .. } => BYTES,
            Stored::Packed { .. } => SMALL,
            Stored::Heap(Heap::Raw(_)) => {
                if blob == 0 {
                    BYTES
                } else {
                    BLOB
                }
            }
            Stored::Heap(_) => LARGE,
        };
        let with = match noted {
            _ if entry.access() == 0 => 0,
            Noted::Nothing => 0,
            Noted::Times => WITH_TIME,
            Noted::Counts => WITH_COUNT,
        };
        out.push(tag | with | deadline.map_or(0, |_| WITH_DEADLINE));
        if let Some(Millis(ms)) = deadline {
            out.extend_from_slice(&ms.to_le_bytes());
        }
        if with != 0 {
            out.extend_from_slice(&entry.access().to_le_bytes()[..3]);
        }
        push_bytes(&mut out, entry.key());
        match value {
            Stored::Int(number) => push_varint(&mut out, (number << 1 ^ number >> 63) as u64),
            Stored::Inline { bytes, .. } => push_bytes(&mut out, bytes),
            Stored::Packed { kind, bytes } => {
                out.push(kind as u8);
                push_bytes(&mut out, bytes);
            }
            Stored::Heap(Heap::Raw(raw)) if blob == 0 => push_bytes(&mut out, raw.bytes()),
            Stored::Heap(Heap::Raw(raw)) => {
                push_varint(&mut out, blob);
                push_varint(&mut out, raw.bytes().len() as u64);
            }
            Stored::Heap(Heap::List(chain)) => {
                out.extend_from_slice(&[Kind::List as u8, chain.encoding]);
                push_varint(&mut out, u64::from(chain.space()));
            }
            Stored::Heap(Heap::Zset(ranked)) => {
                out.extend_from_slice(&[Kind::Zset as u8, ranked.map.encoding]);
                push_varint(&mut out, u64::from(ranked.map.db.space()));
            }
            Stored::Heap(Heap::Stream(stream)) => {
                out.extend_from_slice(&[Kind::Stream as u8, 0]);
                push_varint(&mut out, u64::from(stream.space()));
            }
            Stored::Heap(heap @ (Heap::Set(map) | Heap::Hash(map))) => {
                out.extend_from_slice(&[heap.kind() as u8, map.encoding]);
                push_varint(&mut out, u64::from(map.db.space()));
            }
        }
    }
    out
}

pub(super) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a page record by record.
pub struct PageReader<'a> {
    from: Bytes<'a>,
    left: usize,
    /// The space that the page belongs to.
    pub space: u32,
    /// Its number.
    pub page: u64,
    pub(super) depth: u8,
    pub(super) prefix: u32,
}

/// One entry of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key.
    pub key: &'a [u8],
    /// When it expires, on the wall clock.
    pub deadline: Option<Millis>,
    /// How it was used, where the page tells it.
    pub access: Option<Access>,
    /// What it holds.
    pub value: RecordValue<'a>,
}

/// The value of a [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordValue<'a> {
    /// A string: the decimal form of a number.
    Int(i64),
    /// A string.
    Bytes(&'a [u8]),
    /// A string that is a blob of its own, with its length in bytes.
    Blob { blob: u64, len: u64 },
    /// A small collection (see `packed`); sound.
    Small { kind: Kind, bytes: &'a [u8] },
    /// A large collection, whose contents are the pages of a space.
    Large { kind: Kind, encoding: u8, space: u32 },
}

impl<'a> PageReader<'a> {
    /// Reads the header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PageError> {
        let mut page = PageReader { from: Bytes::new(bytes), left: 0, space: 0, page: 0, depth: 0, prefix: 0 };
        match page.from.byte()? {
            VERSION => {}
            other => return Err(PageError::Version(other)),
        }
        page.space = u32::try_from(page.from.varint()?).map_err(|_| PageError::Number { at: 1 })?;
        page.page = page.from.varint()?;
        page.depth = page.from.byte()?;
        page.prefix = u32::from_le_bytes(page.from.array()?);
        if page.depth > DEPTH_MAX || page.prefix & !prefix_mask(page.depth) != 0 {
            return Err(PageError::Prefix { depth: page.depth, prefix: page.prefix });
        }
        let count = page.from.varint()?;
        if count > (bytes.len() - page.from.at) as u64 / RECORD_BYTES_MIN as u64 {
            return Err(PageError::Truncated { at: bytes.len() });
        }
        page.left = count as usize;
        Ok(page)
    }

    /// Records that are still to be read; the page is long enough to hold them.
    pub fn records_left(&self) -> usize {
        self.left
    }

    /// The next record, `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<Record<'a>>, PageError> {
        if self.left == 0 {
            return match self.from.at == self.from.bytes.len() {
                true => Ok(None),
                false => Err(PageError::Trailing { at: self.from.at }),
            };
        }
        self.left -= 1;
        let start = self.from.at;
        let tag = self.from.byte()?;
        let deadline = match tag & WITH_DEADLINE {
            0 => None,
            _ => Some(Millis(i64::from_le_bytes(self.from.array()?))),
        };
        let noted = match tag & (WITH_TIME | WITH_COUNT) {
            0 => Noted::Nothing,
            WITH_TIME => Noted::Times,
            WITH_COUNT => Noted::Counts,
            _ => return Err(PageError::Tag { at: start, tag }),
        };
        let mut access = None;
        if noted != Noted::Nothing {
            let [low, middle, high] = self.from.array()?;
            access = Access::of(noted, u32::from_le_bytes([low, middle, high, 0]));
        }
        let key = self.from.sized()?;
        let value = match tag & !(WITH_DEADLINE | WITH_TIME | WITH_COUNT) {
            INTEGER => {
                let zigzag = self.from.varint()?;
                RecordValue::Int((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
            }
            BYTES => RecordValue::Bytes(self.from.sized()?),
            BLOB => RecordValue::Blob { blob: self.from.varint()?, len: self.from.varint()? },
            SMALL => {
                let (kind, at) = (self.kind()?, self.from.at);
                let bytes = self.from.sized()?;
                if bytes.len() > INLINE_BYTES_MAX || !Value::is_sound(kind, bytes) {
                    return Err(PageError::Collection { at });
                }
                RecordValue::Small { kind, bytes }
            }
            LARGE => {
                let (kind, encoding, at) = (self.kind()?, self.from.byte()?, self.from.at);
                let space = u32::try_from(self.from.varint()?).map_err(|_| PageError::Number { at })?;
                RecordValue::Large { kind, encoding, space }
            }
            _ => return Err(PageError::Tag { at: start, tag }),
        };
        Ok(Some(Record { key, deadline, access, value }))
    }

    fn kind(&mut self) -> Result<Kind, PageError> {
        let at = self.from.at;
        let byte = self.from.byte()?;
        Kind::of_byte(byte).ok_or(PageError::Tag { at, tag: byte })
    }
}

/// A place in bytes of which any may be wrong.
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Bytes { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PageError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or(PageError::Truncated { at: self.at })?;
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PageError> {
        Ok(self.take(N)?.try_into().expect("the length asked for"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, PageError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn sized(&mut self) -> Result<&'a [u8], PageError> {
        let at = self.at;
        let len = usize::try_from(self.varint()?).map_err(|_| PageError::Number { at })?;
        self.take(len)
    }

    pub(super) fn varint(&mut self) -> Result<u64, PageError> {
        let start = self.at;
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(PageError::Number { at: start })
    }
}
