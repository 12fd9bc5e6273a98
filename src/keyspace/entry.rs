//! One key with its value and deadline in one allocation. All unsafe code of the keyspace stands in this file, but for
//! the call of [`KeyPtr::key`] in `order`.
//!
//! ```text
//! offset 0   u32  meta      low 8 bits: flags; high 24 bits: access clock (LRU time or LFU counters)
//!        4   u32  key_len   bytes
//!        8   u16  tail      bytes of the allocation behind the key
//!       10   u16  value_len bytes of an inline value
//!       12        key
//!       12 + key_len        the tail: [i64 deadline in ms, when flagged] value [slack]
//! ```
//! The value is an `i64`, inline bytes (a string, or a small collection by the [`Kind`] in the flags), or a pointer to a
//! boxed [`Heap`], by two bits of the flags; numbers behind the key are unaligned. Invariants:
//! 1. the allocation has `HEADER + key_len + tail` bytes, aligned to 8, and belongs to this `Entry` alone;
//! 2. deadline (if flagged) and value fit into `tail`; `key_len` and `tail` never change;
//! 3. with kind `HEAP` the pointer came from `Box::into_raw` and is owned by the entry.
//!
//! The access clock may change through a shared reference: nobody holds a reference into the header, and the type is
//! not `Sync`. Checked by the tests below, and by the model in `tests.rs`.

use super::value::{Heap, Kind};
use crate::base::Millis;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::slice;

const HEADER: usize = 12;
const TAIL_AT: usize = 8;
const VALUE_LEN_AT: usize = 10;
const DEADLINE_BYTES: usize = 8;

/// The largest string that stands inside its entry; a larger one, or one that grew, has a box of its own.
pub(super) const INLINE_BYTES_MAX: usize = 16 * 1024;
/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = u32::MAX as usize;

const KIND: u32 = 0b11;
const KIND_INT: u32 = 0;
const KIND_INLINE: u32 = 1;
const KIND_HEAP: u32 = 2;
const DEADLINE: u32 = 1 << 2;
/// The inline string was changed in place: Redis would hold it as `raw`.
const GROWN: u32 = 1 << 3;
/// Which type the inline bytes are of.
const TYPE_SHIFT: u32 = 4;
const TYPE: u32 = 0b111 << TYPE_SHIFT;
const FLAG_BITS: u32 = 8;

/// A value on its way into an entry.
pub(super) enum NewValue<'a> {
    Int(i64),
    /// At most [`INLINE_BYTES_MAX`].
    Inline(&'a [u8]),
    /// A small collection, at most [`INLINE_BYTES_MAX`].
    Packed(Kind, &'a [u8]),
    Heap(Box<Heap>),
}

impl NewValue<'_> {
    fn bytes(&self) -> usize {
        match self {
            NewValue::Int(_) | NewValue::Heap(_) => 8,
            NewValue::Inline(bytes) | NewValue::Packed(_, bytes) => bytes.len(),
        }
    }
}

/// A value as it lies in an entry.
pub(super) enum Stored<'a> {
    Int(i64),
    Inline {
        bytes: &'a [u8],
        grown: bool,
    },
    /// A small collection.
    Packed {
        kind: Kind,
        bytes: &'a [u8],
    },
    Heap(&'a Heap),
}

pub(super) struct Entry(NonNull<u8>);

// SAFETY: the allocation is owned by this value alone (invariant 1), and what it holds (bytes, Box<Heap>) is Send.
unsafe impl Send for Entry {}
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Heap>();
};

/// The size that is asked for: the allocator's own classes (four steps to each doubling), so that slack is usable.
fn class(bytes: usize) -> usize {
    let step = if bytes <= 128 || bytes > 32 * 1024 { 16 } else { bytes.next_power_of_two() / 8 };
    bytes.next_multiple_of(step)
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).expect("a key and a short value fit into an address space")
}

impl Entry {
    pub(super) fn new(key: &[u8], deadline: Option<Millis>, value: NewValue<'_>) -> Self {
        assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes", key.len());
        assert!(value.bytes() <= INLINE_BYTES_MAX);
        let wanted = HEADER + key.len() + deadline.map_or(0, |_| DEADLINE_BYTES) + value.bytes();
        let size = class(wanted);
        let tail = u16::try_from(size - HEADER - key.len()).expect("slack is below a quarter of a small allocation");
        // SAFETY: the layout is not empty.
        let raw = unsafe { alloc(layout(size)) };
        let Some(pointer) = NonNull::new(raw) else { handle_alloc_error(layout(size)) };
        // SAFETY: header and key lie within the `size` bytes just allocated and are written before they are read.
        unsafe {
            pointer.cast::<u32>().write(KIND_INT);
            pointer.add(4).cast::<u32>().write(key.len() as u32);
            pointer.add(TAIL_AT).cast::<u16>().write(tail);
            pointer.add(VALUE_LEN_AT).cast::<u16>().write(0);
            pointer.add(HEADER).copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
        }
        let mut entry = Entry(pointer);
        entry.write(deadline, value);
        entry
    }

    /// Has its beginning brought into the cache. Where many are read one after the other, the memory works on several at
    /// once then, instead of one.
    #[inline]
    pub(super) fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint to the processor, which reads nothing for us.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.0.as_ptr().cast::<i8>());
        }
    }

    #[inline]
    fn meta(&self) -> u32 {
        // SAFETY: the header was written by `new`; offset 0 is aligned.
        unsafe { self.0.cast::<u32>().read() }
    }

    #[inline]
    fn set_meta(&self, meta: u32) {
        // SAFETY: as `meta`; no reference into the header exists, and the type is not Sync.
        unsafe { self.0.cast::<u32>().write(meta) }
    }

    #[inline]
    fn key_len(&self) -> usize {
        // SAFETY: written by `new`, aligned.
        unsafe { self.0.add(4).cast::<u32>().read() as usize }
    }

    #[inline]
    fn tail(&self) -> usize {
        // SAFETY: written by `new`, aligned.
        unsafe { usize::from(self.0.add(TAIL_AT).cast::<u16>().read()) }
    }

    #[inline]
    fn value_len(&self) -> usize {
        // SAFETY: written by `new`, aligned.
        unsafe { usize::from(self.0.add(VALUE_LEN_AT).cast::<u16>().read()) }
    }

    #[inline]
    fn set_value_len(&mut self, len: usize) {
        debug_assert!(len <= self.tail());
        // SAFETY: within the header, aligned; `&mut self` excludes readers.
        unsafe { self.0.add(VALUE_LEN_AT).cast::<u16>().write(len as u16) }
    }

    #[inline]
    fn value_at(&self) -> NonNull<u8> {
        let deadline = if self.meta() & DEADLINE != 0 { DEADLINE_BYTES } else { 0 };
        // SAFETY: within the allocation by invariant 2.
        unsafe { self.0.add(HEADER + self.key_len() + deadline) }
    }

    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        // SAFETY: `key_len` bytes behind the header were written by `new` and never change.
        unsafe { slice::from_raw_parts(self.0.add(HEADER).as_ptr(), self.key_len()) }
    }

    #[inline]
    pub(super) fn deadline(&self) -> Option<Millis> {
        if self.meta() & DEADLINE == 0 {
            return None;
        }
        // SAFETY: flagged, so the deadline stands behind the key (invariant 2).
        Some(Millis(unsafe { self.0.add(HEADER + self.key_len()).cast::<i64>().read_unaligned() }))
    }

    #[inline]
    pub(super) fn value(&self) -> Stored<'_> {
        let at = self.value_at();
        let meta = self.meta();
        // SAFETY: the kind says what was written at `at` (invariants 2 and 3); the borrow of self keeps it.
        unsafe {
            match meta & KIND {
                KIND_INT => Stored::Int(at.cast::<i64>().read_unaligned()),
                KIND_INLINE => {
                    let bytes = slice::from_raw_parts(at.as_ptr(), self.value_len());
                    match Kind::of_bits((meta & TYPE) >> TYPE_SHIFT) {
                        Kind::Str => Stored::Inline { bytes, grown: meta & GROWN != 0 },
                        kind => Stored::Packed { kind, bytes },
                    }
                }
                _ => Stored::Heap(&*at.cast::<*mut Heap>().read_unaligned()),
            }
        }
    }

    pub(super) fn heap_mut(&mut self) -> Option<&mut Heap> {
        if self.meta() & KIND != KIND_HEAP {
            return None;
        }
        // SAFETY: kind HEAP owns the box (invariant 3); `&mut self` makes the access unique.
        Some(unsafe { &mut *self.value_at().cast::<*mut Heap>().read_unaligned() })
    }

    /// Takes the boxed value out; the integer 0 stays in its place.
    pub(super) fn take_heap(&mut self) -> Option<Box<Heap>> {
        if self.meta() & KIND != KIND_HEAP {
            return None;
        }
        let at = self.value_at();
        self.set_meta(self.meta() & !KIND | KIND_INT);
        // SAFETY: the kind was HEAP, so the pointer is a box of ours (invariant 3); the kind changed, so it is read once.
        unsafe {
            let boxed = Box::from_raw(at.cast::<*mut Heap>().read_unaligned());
            at.cast::<i64>().write_unaligned(0);
            Some(boxed)
        }
    }

    /// Writes deadline and value over the tail. They fit, and no boxed value is there any more.
    fn write(&mut self, deadline: Option<Millis>, value: NewValue<'_>) {
        debug_assert!(self.meta() & KIND != KIND_HEAP);
        let needed = deadline.map_or(0, |_| DEADLINE_BYTES) + value.bytes();
        assert!(needed <= self.tail());
        let kind = match value {
            NewValue::Int(_) => KIND_INT,
            NewValue::Inline(_) => KIND_INLINE,
            NewValue::Packed(kind, _) => KIND_INLINE | (kind as u32) << TYPE_SHIFT,
            NewValue::Heap(_) => KIND_HEAP,
        };
        let flag = if deadline.is_some() { DEADLINE } else { 0 };
        self.set_meta(self.meta() & !(KIND | GROWN | DEADLINE | TYPE) | kind | flag);
        // SAFETY: `needed` bytes fit into the tail (asserted); a borrowed value cannot overlap memory behind `&mut self`.
        unsafe {
            if let Some(Millis(ms)) = deadline {
                self.0.add(HEADER + self.key_len()).cast::<i64>().write_unaligned(ms);
            }
            let at = self.value_at();
            match value {
                NewValue::Int(number) => at.cast::<i64>().write_unaligned(number),
                NewValue::Inline(bytes) | NewValue::Packed(_, bytes) => {
                    at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
                    self.set_value_len(bytes.len());
                }
                NewValue::Heap(boxed) => at.cast::<*mut Heap>().write_unaligned(Box::into_raw(boxed)),
            }
        }
    }

    /// Replaces value and deadline, in the same allocation where that is not wasteful. Gives back a boxed old value.
    pub(super) fn store(&mut self, deadline: Option<Millis>, value: NewValue<'_>) -> Option<Box<Heap>> {
        let old = self.take_heap();
        let size = self.size();
        let wanted = HEADER + self.key_len() + deadline.map_or(0, |_| DEADLINE_BYTES) + value.bytes();
        if wanted <= size && (class(wanted) == size || wanted + size / 4 >= size) {
            self.write(deadline, value);
        } else {
            let fresh = Entry::new(self.key(), deadline, value);
            fresh.set_access(self.access());
            *self = fresh;
        }
        old
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Millis>) {
        let had = self.meta() & DEADLINE != 0;
        let value_bytes = if self.meta() & KIND == KIND_INLINE { self.value_len() } else { 8 };
        match deadline {
            Some(Millis(ms)) if had || DEADLINE_BYTES + value_bytes <= self.tail() => {
                let from = self.value_at();
                self.set_meta(self.meta() | DEADLINE);
                let to = self.value_at();
                // SAFETY: source and target lie in the tail: the value fits behind the deadline (checked, invariant 2).
                unsafe {
                    to.copy_from(from, value_bytes);
                    self.0.add(HEADER + self.key_len()).cast::<i64>().write_unaligned(ms);
                }
            }
            None if had => {
                let from = self.value_at();
                self.set_meta(self.meta() & !DEADLINE);
                // SAFETY: as above; the value moves to the front.
                unsafe { self.value_at().copy_from(from, value_bytes) };
            }
            None => {}
            Some(_) => {
                let grown = self.meta() & GROWN;
                let heap = self.take_heap();
                let value = match (heap, self.value()) {
                    (Some(heap), _) => NewValue::Heap(heap),
                    (None, Stored::Int(number)) => NewValue::Int(number),
                    (None, Stored::Inline { bytes, .. }) => NewValue::Inline(bytes),
                    (None, Stored::Packed { kind, bytes }) => NewValue::Packed(kind, bytes),
                    (None, Stored::Heap(_)) => unreachable!("it was taken out"),
                };
                let fresh = Entry::new(self.key(), deadline, value);
                fresh.set_meta(fresh.meta() | grown);
                fresh.set_access(self.access());
                *self = fresh;
            }
        }
    }

    /// Makes an inline value `len` bytes long (new ones are zero) and gives it for writing; `None` where it is not
    /// inline or has no room. From then on the value counts as grown.
    pub(super) fn inline_mut(&mut self, len: usize) -> Option<&mut [u8]> {
        let deadline = if self.meta() & DEADLINE != 0 { DEADLINE_BYTES } else { 0 };
        if self.meta() & KIND != KIND_INLINE || deadline + len > self.tail() || len > INLINE_BYTES_MAX {
            return None;
        }
        let old = self.value_len();
        self.set_meta(self.meta() | GROWN);
        self.set_value_len(len);
        let at = self.value_at();
        // SAFETY: `len` bytes fit into the tail (checked); the part beyond the old value is written before it is given.
        unsafe {
            if len > old {
                at.add(old).write_bytes(0, len - old);
            }
            Some(slice::from_raw_parts_mut(at.as_ptr(), len))
        }
    }

    /// 24 bits for eviction: LRU time or LFU counters.
    pub(super) fn access(&self) -> u32 {
        self.meta() >> FLAG_BITS
    }

    pub(super) fn set_access(&self, bits: u32) {
        self.set_meta(self.meta() & ((1 << FLAG_BITS) - 1) | bits << FLAG_BITS);
    }

    /// Bytes of the allocation.
    pub(super) fn size(&self) -> usize {
        HEADER + self.key_len() + self.tail()
    }
}

/// The key of an entry, for an order beside the table that owns the entry.
#[derive(Clone, Copy)]
pub(super) struct KeyPtr(NonNull<u8>);

// SAFETY: it only reads the key, which never changes; whoever holds it goes where the entry goes.
unsafe impl Send for KeyPtr {}

impl Entry {
    pub(super) fn key_ptr(&self) -> KeyPtr {
        KeyPtr(self.0)
    }
}

impl KeyPtr {
    /// # Safety
    /// The entry that it came from must not have been dropped, nor replaced by a fresh allocation in `store` or
    /// `set_deadline` (values of one length and kind, without a deadline, are stored in place).
    pub(super) unsafe fn key<'a>(self) -> &'a [u8] {
        // SAFETY: by the contract above the allocation lives, and header and key in it never change.
        unsafe {
            let len = self.0.add(4).cast::<u32>().read() as usize;
            slice::from_raw_parts(self.0.add(HEADER).as_ptr(), len)
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        drop(self.take_heap());
        let size = self.size();
        // SAFETY: allocated by `new` with this very layout (invariant 1), and nobody else refers to it.
        unsafe { dealloc(self.0.as_ptr(), layout(size)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entry: &Entry) -> Vec<u8> {
        match entry.value() {
            Stored::Int(number) => number.to_string().into_bytes(),
            Stored::Inline { bytes, .. } | Stored::Packed { bytes, .. } => bytes.to_vec(),
            Stored::Heap(heap) => heap.raw().expect("a string").bytes().to_vec(),
        }
    }

    #[test]
    fn every_way_to_change_an_entry_keeps_the_rest() {
        let long = vec![b'x'; 700];
        let texts = [&b"-5"[..], b"", b"0123456789abcdef0123456789abcdef", &long, &long, b"packed"];
        let value = |i: usize| match i {
            0 => NewValue::Int(-5),
            4 => NewValue::Heap(Box::new(Heap::of_text(long.clone()))),
            5 => NewValue::Packed(Kind::Hash, texts[i]),
            _ => NewValue::Inline(texts[i]),
        };
        for key in [&b""[..], b"k", b"a key of 22 bytes here", &[b'y'; 5000], &[b'y'; 100_000]] {
            for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
                for deadlines in [[None, None], [None, Some(Millis(7))], [Some(Millis(6)), None]] {
                    let mut entry = Entry::new(key, deadlines[0], value(i));
                    entry.set_access(0xabcdef);
                    assert_eq!((&text(&entry)[..], entry.deadline()), (texts[i], deadlines[0]));
                    for deadline in [deadlines[1], Some(Millis(i64::MIN))] {
                        entry.set_deadline(deadline);
                        assert_eq!((&text(&entry)[..], entry.deadline()), (texts[i], deadline));
                    }
                    let old = entry.store(deadlines[0], value(j));
                    assert_eq!(old.is_some(), i == 4);
                    assert_eq!((&text(&entry)[..], entry.deadline()), (texts[j], deadlines[0]));
                    let packed = matches!(entry.value(), Stored::Packed { kind: Kind::Hash, .. });
                    assert_eq!(packed, j == 5);
                    assert_eq!((entry.key(), entry.access()), (key, 0xabcdef));
                }
            }
        }
    }

    #[test]
    fn a_value_of_the_same_size_stays_where_it_is() {
        let mut entry = Entry::new(b"key:000000000001", None, NewValue::Inline(&[b'a'; 32]));
        assert_eq!(entry.size(), 64);
        let before = entry.0;
        entry.store(None, NewValue::Inline(&[b'b'; 30]));
        entry.store(None, NewValue::Inline(&[b'b'; 36]));
        assert_eq!(entry.0, before);
        entry.store(None, NewValue::Inline(&[b'b'; 37]));
        assert_eq!(entry.size(), 80);
        entry.store(None, NewValue::Int(1));
        assert_eq!(entry.size(), 48);
    }

    #[test]
    fn inline_values_grow_into_their_slack_only() {
        let mut entry = Entry::new(b"k", None, NewValue::Inline(b"abc"));
        let room = entry.tail();
        entry.inline_mut(room).expect("the slack").copy_within(0..3, room - 3);
        assert!(matches!(entry.value(), Stored::Inline { grown: true, bytes } if bytes.ends_with(b"abc")));
        assert!(entry.inline_mut(room + 1).is_none());
    }
}
