//! Lists. A small one is packed; a large one is a [`Chain`].

use super::chain::{Chain, Excess, LISTPACK_ELEMENT};
use super::checkpoint::Core;
use super::db::EntryRef;
use super::entry::{NewValue, Stored};
use super::hash::{Hasher, Key};
use super::map::Held;
use super::packed;
use super::value::{COMPACT, CONVERTED, Heap, Kind};
use super::write::DbMut;
use crate::base::number::parse_i64;

/// A list, for reading.
#[derive(Clone, Copy)]
pub struct ListRef<'a>(Body<'a>);

#[derive(Clone, Copy)]
enum Body<'a> {
    Packed(&'a [u8]),
    Large(&'a Chain),
}

/// Up to when a list counts as compact (`list-max-listpack-size`): bytes of a listpack, or elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    bytes: usize,
    elements: usize,
}

/// Redis' limit where only elements are counted.
const SAFE_BYTES: usize = 8192;

impl ListLimits {
    /// Of the directive's value: -1 to -5 for 4 to 64 KiB, else a number of elements.
    pub fn of(size: i64) -> ListLimits {
        match size {
            ..0 => ListLimits { bytes: 2048 << size.unsigned_abs().min(5), elements: usize::MAX },
            _ => ListLimits { bytes: usize::MAX, elements: size.max(1) as usize },
        }
    }

    fn exceeded_by(&self, bytes: usize, elements: usize) -> bool {
        match self.bytes {
            usize::MAX => bytes > SAFE_BYTES || elements > self.elements,
            most => bytes > most,
        }
    }

    /// A quicklist may count as compact again at half the limit.
    fn half(&self) -> ListLimits {
        ListLimits { bytes: self.bytes / 2, elements: self.elements / 2 }
    }
}

/// What an element takes in a listpack of Redis.
fn listpack_bytes(element: &[u8]) -> usize {
    let number = if element.len() <= 20 { parse_i64(element) } else { None };
    let own = match number {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-32_768..=32_767) => 3,
        Some(-8_388_608..=8_388_607) => 4,
        Some(number) if i32::try_from(number).is_ok() => 5,
        Some(_) => 9,
        None => {
            element.len()
                + if element.len() < 64 {
                    1
                } else if element.len() < 4096 {
                    2
                } else {
                    5
                }
        }
    };
    own + match own {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        _ => 4,
    }
}

/// What Redis' listpack has besides its elements.
const LISTPACK_FRAME: usize = 7;

/// The most that a number's digits shrink to there: 2 of 5 bytes.
const SHRINKS_TO: (usize, usize) = (2, 5);

impl<'a> ListRef<'a> {
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        ListRef(Body::Packed(bytes))
    }

    pub(super) fn large(chain: &'a Chain) -> Self {
        ListRef(Body::Large(chain))
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        match self.0 {
            Body::Packed(bytes) => packed::count(bytes),
            Body::Large(chain) => chain.len() as usize,
        }
    }

    /// Never true for a list that a key holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub(super) fn is_compact(self) -> bool {
        match self.0 {
            Body::Packed(bytes) => packed::encoding(bytes) == COMPACT,
            Body::Large(chain) => chain.encoding == COMPACT,
        }
    }

    /// An element.
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        match self.0 {
            Body::Packed(bytes) => packed::items(bytes).nth(index),
            Body::Large(chain) => (index < self.len()).then(|| chain.get(index as u64)),
        }
    }

    /// The elements from an index on.
    pub fn iter_from(self, index: usize) -> impl Iterator<Item = &'a [u8]> {
        let (packed, large) = match self.0 {
            Body::Packed(bytes) => (Some(packed::items(bytes).skip(index)), None),
            Body::Large(chain) => (None, Some(chain.iter_from(index as u64))),
        };
        packed.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// All elements from the last one on.
    pub fn iter_back(self) -> impl Iterator<Item = &'a [u8]> {
        let (packed, large) = match self.0 {
            Body::Packed(bytes) => {
                let items: Vec<&[u8]> = packed::items(bytes).collect();
                (Some(items.into_iter().rev()), None)
            }
            Body::Large(chain) => (None, Some(chain.iter_back())),
        };
        packed.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// What it counts as once it is read. In a file Redis' listpack is a quicklist of one node, and a quicklist of one
    /// node that the limits take is a listpack. How many nodes Redis would have, nobody knows here: those of one filled
    /// anew are taken.
    pub(super) fn when_read(self, limits: ListLimits) -> u8 {
        let fits = match limits.bytes {
            // Where elements are counted, bytes only limit how many share a node: a single one may have any size.
            usize::MAX => {
                let one_node = || self.is_compact() || self.len() == 1 || self.fits(SAFE_BYTES);
                self.len() <= limits.elements && one_node()
            }
            most => self.fits(most),
        };
        if fits { COMPACT } else { CONVERTED }
    }

    /// Whether Redis' listpack would have no more bytes than that.
    fn fits(self, bytes_max: usize) -> bool {
        self.listpack_bytes_at_most().is_some_and(|bytes| bytes <= bytes_max)
            || self.listpack_bytes(bytes_max) <= bytes_max
    }

    /// No fewer bytes than Redis' listpack would have, for a small list, without a look at its elements.
    fn listpack_bytes_at_most(self) -> Option<usize> {
        match self.0 {
            Body::Packed(bytes) => Some(bytes.len() + LISTPACK_ELEMENT * self.len() + LISTPACK_FRAME),
            Body::Large(_) => None,
        }
    }

    /// Bytes as Redis' listpack would have, exact up to about `enough`.
    pub(super) fn listpack_bytes(self, enough: usize) -> usize {
        let mut sum = LISTPACK_FRAME;
        for element in self.iter_from(0) {
            sum += listpack_bytes(element);
            if sum > enough {
                break;
            }
        }
        sum
    }
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// A list that is being changed.
pub struct ListMut<'a, 'b> {
    held: Held<'a, 'b>,
    limits: ListLimits,
}

impl<'b> DbMut<'b> {
    /// The list of a key, made empty where there is nothing: the caller has checked the type, and puts an element in.
    pub fn list_or_new<'a>(&'a mut self, key: Key<'a>, limits: ListLimits) -> ListMut<'a, 'b> {
        ListMut { held: Held::find_or_make(self, key, Kind::List, COMPACT), limits }
    }

    /// The list of a key; the caller has checked the type, and removes the key when the last element has gone.
    pub fn list_mut<'a>(&'a mut self, key: Key<'a>, limits: ListLimits) -> Option<ListMut<'a, 'b>> {
        Some(ListMut { held: Held::find(self, key)?, limits })
    }
}

impl ListMut<'_, '_> {
    /// The list as it is now.
    pub fn get(&self) -> ListRef<'_> {
        EntryRef::new(self.held.entry()).list().expect("the caller has checked the type")
    }

    /// These elements are about to come: where they are too many for a listpack, the list is a quicklist at once.
    pub fn expect<'e>(&mut self, elements: impl Iterator<Item = &'e [u8]>) {
        if !self.get().is_compact() {
            return;
        }
        let (count, added) = elements.fold((0, 0), |(count, bytes), it| (count + 1, bytes + it.len()));
        let (list, limits) = (self.get(), self.limits);
        let rough = list.listpack_bytes_at_most().unwrap_or(usize::MAX);
        let enough = if limits.bytes == usize::MAX { SAFE_BYTES } else { limits.bytes };
        let exact = || if rough.saturating_add(added) <= enough { 0 } else { list.listpack_bytes(enough) };
        if limits.exceeded_by(exact().saturating_add(added), list.len() + count) {
            self.set_encoding(CONVERTED);
        }
    }

    fn set_encoding(&mut self, encoding: u8) {
        match self.held.packed() {
            Some(_) => self.held.change_packed(|bytes| bytes[0] = encoding, grown),
            None => self.held.set_encoding(encoding),
        }
    }

    /// Puts an element in front of that at an index (or behind the last). [`ListMut::expect`] comes first.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        if let Some(bytes) = self.held.packed() {
            if element.len() <= packed::ITEM_BYTES_MAX {
                let at = place(bytes, index);
                return self.held.change_packed(
                    |bytes| {
                        packed::insert(bytes, at, &[element]);
                        let count = packed::count(bytes) + 1;
                        packed::set_count(bytes, count);
                    },
                    grown,
                );
            }
            self.held.enlarge(grown);
        }
        let (chain, core) = self.large();
        chain.insert(core, index as u64, element);
    }

    fn large(&mut self) -> (&mut Chain, &mut Core) {
        let (heap, core) = self.held.large();
        match heap {
            Heap::List(chain) => (chain, core),
            _ => unreachable!("the caller has checked the type"),
        }
    }

    /// Puts an element at an end.
    pub fn push(&mut self, end: End, element: &[u8]) {
        let index = if end == End::Left { 0 } else { self.get().len() };
        self.insert(index, element);
    }

    /// Takes elements out, from an index on.
    pub fn remove(&mut self, index: usize, count: usize) {
        if count == 0 {
            return;
        }
        match self.held.packed() {
            Some(bytes) => {
                let (from, to) = (place(bytes, index), place(bytes, index + count));
                self.held.change_packed(
                    |bytes| {
                        packed::replace(bytes, from, to, &[]);
                        let left = packed::count(bytes) - count;
                        packed::set_count(bytes, left);
                    },
                    grown,
                );
            }
            None => {
                let (chain, core) = self.large();
                chain.remove(core, index as u64, count as u64);
            }
        }
    }

    /// Replaces an element.
    pub fn set(&mut self, index: usize, element: &[u8]) {
        self.expect(std::iter::once(element));
        if let Some(bytes) = self.held.packed() {
            if element.len() <= packed::ITEM_BYTES_MAX {
                let (from, to) = (place(bytes, index), place(bytes, index + 1));
                return self.held.change_packed(|bytes| packed::replace(bytes, from, to, &[element]), grown);
            }
            self.held.enlarge(grown);
        }
        let (chain, core) = self.large();
        chain.set(core, index as u64, element);
    }

    /// Counts as Redis' does once it is read: all of it, or a part.
    pub fn settle_read(&mut self) {
        let (encoding, compact) = (self.get().when_read(self.limits), self.get().is_compact());
        if (encoding == COMPACT) != compact {
            self.set_encoding(encoding);
        }
    }

    /// Whether Redis' listpack of it would have more bytes.
    fn takes_more_than(&mut self, bytes: usize) -> bool {
        let list = self.get();
        let Body::Large(chain) = list.0 else { return list.listpack_bytes(bytes) > bytes };
        if chain.excess.bytes > 0 && chain.excess.above == bytes {
            return true;
        }
        let surely = bytes.saturating_mul(SHRINKS_TO.1) / SHRINKS_TO.0;
        if list.len() > bytes || chain.bytes(surely) > surely {
            return true;
        }
        let excess = list.listpack_bytes(usize::MAX).saturating_sub(bytes);
        self.large().0.excess = Excess { above: bytes, bytes: excess };
        excess > 0
    }

    /// A quicklist that has become short counts as a listpack again, at half the limit. Its owner calls this behind a
    /// command that may have made it shorter, unless it is empty.
    pub fn settle(&mut self) {
        let (list, half) = (self.get(), self.limits.half());
        let by_bytes = self.limits.bytes != usize::MAX;
        if list.is_compact() || list.len() > half.elements || (by_bytes && self.takes_more_than(half.bytes)) {
            return;
        }
        let list = self.get();
        if let Body::Large(chain) = list.0
            && chain.bytes(PACKED_AGAIN_BYTES) <= PACKED_AGAIN_BYTES
        {
            let mut bytes = packed::empty(COMPACT).to_vec();
            let count = list.len();
            for element in list.iter_from(0) {
                let at = bytes.len();
                packed::insert(&mut bytes, at, &[element]);
            }
            packed::set_count(&mut bytes, count);
            self.held.replace_large(NewValue::Packed(Kind::List, &bytes));
            return;
        }
        self.set_encoding(COMPACT);
    }
}

/// A large list of no more than this is packed again when it counts as compact.
const PACKED_AGAIN_BYTES: usize = 8 * 1024;

/// Where an element of a small list begins.
fn place(bytes: &[u8], index: usize) -> usize {
    match index == packed::count(bytes) {
        true => bytes.len(),
        false => (0..index).fold(packed::HEAD, |at, _| packed::item(bytes, at).1),
    }
}

/// A large list of a small one's bytes.
fn grown(core: &mut Core, _: Hasher, bytes: &[u8]) -> Heap {
    let mut chain = Chain::new(core, packed::encoding(bytes));
    for element in packed::items(bytes) {
        let end = chain.len();
        chain.insert(core, end, element);
    }
    Heap::List(Box::new(chain))
}

impl<'a> EntryRef<'a> {
    /// The value as a list; `None` for another type.
    pub fn list(self) -> Option<ListRef<'a>> {
        match self.stored() {
            Stored::Packed { kind: Kind::List, bytes } => Some(ListRef::packed(bytes)),
            Stored::Heap(Heap::List(chain)) => Some(ListRef::large(chain)),
            _ => None,
        }
    }
}
