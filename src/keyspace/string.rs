//! Strings: how they lie in an entry (integer, embedded, raw), how they are read, and how a large one is kept.

use super::entry::{Entry, INLINE_BYTES_MAX, NewValue, Stored};
use super::value::Heap;
use crate::base::number::parse_i64;
use std::sync::Arc;

/// Up to here a string that was never changed in place is `embstr` (`OBJ_ENCODING_EMBSTR_SIZE_LIMIT` of Redis).
const EMBSTR_BYTES_MAX: usize = 44;

/// A string that is large or grew. Its bytes are shared with a running checkpoint, not copied for it: a change while
/// the checkpoint still holds them copies them first (`Arc::make_mut`).
pub(super) struct Raw {
    bytes: Arc<Vec<u8>>,
    /// The id under which a checkpoint has these very bytes, 0 for none.
    blob: u64,
}

impl Raw {
    pub(super) fn new(bytes: Vec<u8>, blob: u64) -> Self {
        Raw { bytes: Arc::new(bytes), blob }
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory(&self) -> usize {
        64 + self.bytes.capacity()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes for another owner to read.
    pub(super) fn share(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.bytes)
    }

    /// The bytes for writing.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        Arc::make_mut(&mut self.bytes)
    }

    /// Whether a page refers to this string instead of holding it.
    pub(super) fn is_blob(&self) -> bool {
        self.bytes.len() > INLINE_BYTES_MAX
    }

    pub(super) fn blob(&self) -> u64 {
        self.blob
    }

    pub(super) fn set_blob(&mut self, blob: u64) {
        self.blob = blob;
    }
}

impl<'a> NewValue<'a> {
    /// Redis' choice: an integer where the text is exactly its decimal form, else the bytes.
    pub(super) fn string(bytes: &'a [u8]) -> Self {
        if bytes.len() <= 20
            && let Some(number) = parse_i64(bytes)
        {
            return NewValue::Int(number);
        }
        NewValue::text(bytes)
    }

    /// The bytes as they are.
    pub(super) fn text(bytes: &'a [u8]) -> Self {
        match bytes.len() <= INLINE_BYTES_MAX {
            true => NewValue::Inline(bytes),
            false => NewValue::Heap(Box::new(Heap::of_text(bytes.to_vec()))),
        }
    }
}

/// A string value as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrRef<'a> {
    /// The text is this number's decimal form.
    Int(i64),
    /// The text.
    Bytes(&'a [u8]),
}

/// Room for the digits of an integer, on the stack.
#[derive(Default)]
pub struct Digits(itoa::Buffer);

impl<'a> StrRef<'a> {
    /// The text; an integer is written into `digits`.
    pub fn bytes<'b>(self, digits: &'b mut Digits) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            StrRef::Int(number) => digits.0.format(number).as_bytes(),
            StrRef::Bytes(bytes) => bytes,
        }
    }

    /// The text in a vector of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.bytes(&mut Digits::default()).to_vec()
    }

    /// The length of the text, bytes.
    pub fn len(self) -> usize {
        self.bytes(&mut Digits::default()).len()
    }

    /// Whether the text is empty.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// What OBJECT ENCODING answers for a string in an entry.
pub(super) fn inline_encoding(bytes: &[u8], grown: bool) -> &'static str {
    if grown || bytes.len() > EMBSTR_BYTES_MAX { "raw" } else { "embstr" }
}

/// Makes the entry's string at least `len` bytes long (padded with zeros) and gives it for writing, with room to grow.
pub(super) fn grow(entry: &mut Entry, len: usize) -> &mut [u8] {
    let mut digits = Digits::default();
    let (now, inline) = match entry.value() {
        Stored::Int(number) => (StrRef::Int(number).len(), false),
        Stored::Inline { bytes, .. } => (bytes.len(), true),
        Stored::Heap(heap) => (heap.raw().map_or(0, |raw| raw.bytes().len()), false),
        Stored::Packed { .. } => (0, false),
    };
    let len = len.max(now);
    if inline && entry.inline_mut(len).is_some() {
        return entry.inline_mut(len).expect("it had room a line above");
    }
    if entry.heap_mut().is_none() {
        let held = match entry.value() {
            Stored::Int(number) => StrRef::Int(number).bytes(&mut digits),
            Stored::Inline { bytes, .. } => bytes,
            Stored::Packed { .. } | Stored::Heap(_) => unreachable!("a string without a box"),
        };
        // One that is new is as long as it was asked to be; one that grows will grow again.
        let mut bytes = Vec::with_capacity(if now == 0 { len } else { len + len / 2 });
        bytes.extend_from_slice(held);
        entry.store(entry.deadline(), NewValue::Heap(Box::new(Heap::of_text(bytes))));
    }
    let raw = entry.heap_mut().and_then(Heap::raw_mut).expect("a boxed string");
    let bytes = raw.bytes_mut();
    bytes.resize(len, 0);
    bytes
}
