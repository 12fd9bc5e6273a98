//! Strings: how they lie in an entry (integer, embedded, raw), how they are read, and how a large one is kept.
//!
//! A later type adds a variant to [`Heap`] and [`Value`] and a file like this one.

use super::entry::{Entry, INLINE_BYTES_MAX, NewValue, Stored};
use crate::base::number::parse_i64;
use std::sync::Arc;

/// Up to here a string that was never changed in place is `embstr` (`OBJ_ENCODING_EMBSTR_SIZE_LIMIT` of Redis).
const EMBSTR_BYTES_MAX: usize = 44;

/// A value that has a box of its own.
pub(super) enum Heap {
    Raw(Raw),
}

/// A string that is large or grew. Its bytes are shared with a running checkpoint, not copied for it: a change while
/// the checkpoint still holds them copies them first (`Arc::make_mut`).
pub(super) struct Raw {
    bytes: Arc<Vec<u8>>,
    /// The id under which a checkpoint has these very bytes, 0 for none.
    blob: u64,
}

impl Heap {
    pub(super) fn raw(bytes: Vec<u8>) -> Self {
        Heap::Raw(Raw { bytes: Arc::new(bytes), blob: 0 })
    }

    pub(super) fn loaded(bytes: Vec<u8>, blob: u64) -> Self {
        Heap::Raw(Raw { bytes: Arc::new(bytes), blob })
    }

    pub(super) fn string(&self) -> &Raw {
        let Heap::Raw(raw) = self;
        raw
    }

    pub(super) fn string_mut(&mut self) -> &mut Raw {
        let Heap::Raw(raw) = self;
        raw
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory(&self) -> usize {
        size_of::<Heap>() + 48 + self.string().bytes.capacity()
    }
}

impl Raw {
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
            false => NewValue::Heap(Box::new(Heap::raw(bytes.to_vec()))),
        }
    }
}

/// A value, by its type.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `TYPE` says `string`.
    Str(StrRef<'a>),
}

impl Value<'_> {
    /// What TYPE answers.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Str(_) => "string",
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

/// What OBJECT ENCODING answers.
pub(super) fn encoding(entry: &Entry) -> &'static str {
    match entry.value() {
        Stored::Int(_) => "int",
        Stored::Inline { bytes, grown: false } if bytes.len() <= EMBSTR_BYTES_MAX => "embstr",
        Stored::Inline { .. } | Stored::Heap(Heap::Raw(_)) => "raw",
    }
}

/// Makes the entry's string at least `len` bytes long (padded with zeros) and gives it for writing, with room to grow.
pub(super) fn grow(entry: &mut Entry, len: usize) -> &mut [u8] {
    let mut digits = Digits::default();
    let (now, inline) = match entry.value() {
        Stored::Int(number) => (StrRef::Int(number).len(), false),
        Stored::Inline { bytes, .. } => (bytes.len(), true),
        Stored::Heap(heap) => (heap.string().bytes().len(), false),
    };
    let len = len.max(now);
    if inline && entry.inline_mut(len).is_some() {
        return entry.inline_mut(len).expect("it had room a line above");
    }
    if entry.heap_mut().is_none() {
        let held = match entry.value() {
            Stored::Int(number) => StrRef::Int(number).bytes(&mut digits),
            Stored::Inline { bytes, .. } => bytes,
            Stored::Heap(_) => unreachable!("it has no box"),
        };
        let mut bytes = Vec::with_capacity(len + len / 2);
        bytes.extend_from_slice(held);
        entry.store(entry.deadline(), NewValue::Heap(Box::new(Heap::raw(bytes))));
    }
    let bytes = entry.heap_mut().expect("boxed above").string_mut().bytes_mut();
    bytes.resize(len, 0);
    bytes
}
