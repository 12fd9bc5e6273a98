//! A large list: leaves of some KiB in a row, each a checkpoint page of its own.
//!
//! ```text
//! Chain ── groups (<= 128 leaves, with the number of their elements) ── leaf: label, page, mark, elements
//! leaf     elements one behind the other: varint length, bytes, length of both once more, to be read backward
//! page     u8 version (2), varint space, varint page, u128 LE label, varint number of elements, elements
//! ```
//! An index is found by adding up groups, then leaves, then walking one leaf: for a million elements some 25 + 128 + 200
//! short steps. Labels rise along the chain, so that pages need no other order: a leaf between two others takes the middle
//! of their labels, and only where there is none left do all leaves get new ones.

use super::checkpoint::{Change, Core, Dropped};
use super::page::{self, PageError};
use super::parts::{Books, InParts};
use super::table::Mark;

pub(super) const LEAF_VERSION: u8 = 2;
/// A leaf that would grow beyond this splits, or a new one begins, unless it has one element only.
const LEAF_BYTES: usize = 4096;
const GROUP_LEAVES_MAX: usize = 128;
/// Between the labels of leaves that were put behind each other.
const STRIDE: u128 = 1 << 64;
const MIDDLE: u128 = 1 << 127;

/// Some elements.
pub(super) struct Leaf {
    /// The elements lie behind `start`; what is before it was popped, or is room.
    bytes: Vec<u8>,
    start: u32,
    len: u32,
    page: u64,
    label: Label,
    mark: Mark,
}

/// A label in memory: a leaf has 64 bytes, and would have 80 with the alignment of the number.
#[derive(Clone, Copy)]
#[repr(Rust, packed(8))]
struct Label(u128);

/// What a length takes.
fn varint_bytes(len: usize) -> usize {
    (usize::BITS - len.leading_zeros()).div_ceil(7).max(1) as usize
}

/// What an element takes, its lengths included.
fn framed_bytes(element: &[u8]) -> usize {
    let forward = varint_bytes(element.len()) + element.len();
    forward + varint_bytes(forward)
}

/// Appends an element.
fn push_element(out: &mut Vec<u8>, element: &[u8]) {
    let before = out.len();
    page::push_varint(out, element.len() as u64);
    out.extend_from_slice(element);
    let total = out.len() - before;
    let groups = varint_bytes(total);
    for group in (0..groups).rev() {
        let more = if group + 1 < groups { 0x80 } else { 0 };
        out.push((total >> (7 * group)) as u8 & 0x7f | more);
    }
}

/// The element at a place, and the place behind it.
#[inline]
fn element_at(bytes: &[u8], at: usize) -> (&[u8], usize) {
    let (mut len, mut shift, mut start) = (0, 0, at);
    loop {
        let byte = bytes[start];
        start += 1;
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let back = varint_bytes(start - at + len);
    (&bytes[start..start + len], start + len + back)
}

/// Where the element begins that ends at a place.
#[inline]
fn element_before(bytes: &[u8], end: usize) -> usize {
    let (mut total, mut shift, mut at) = (0, 0, end);
    loop {
        at -= 1;
        total |= usize::from(bytes[at] & 0x7f) << shift;
        shift += 7;
        if bytes[at] < 0x80 {
            return at - total;
        }
    }
}

impl Leaf {
    fn new(page: u64, label: u128) -> Leaf {
        Leaf { bytes: Vec::new(), start: 0, len: 0, page, label: Label(label), mark: Mark::Clean }
    }

    fn start(&self) -> usize {
        self.start as usize
    }

    fn len(&self) -> usize {
        self.len as usize
    }

    fn used(&self) -> usize {
        self.bytes.len() - self.start()
    }

    /// The place of an element; that of the end for `len`.
    fn place(&self, index: usize) -> usize {
        if index <= self.len() / 2 {
            (0..index).fold(self.start(), |at, _| element_at(&self.bytes, at).1)
        } else {
            (index..self.len()).fold(self.bytes.len(), |end, _| element_before(&self.bytes, end))
        }
    }

    fn insert(&mut self, index: usize, element: &[u8]) {
        if index == self.len() {
            self.reserve(framed_bytes(element));
            push_element(&mut self.bytes, element);
        } else {
            let mut new = Vec::with_capacity(framed_bytes(element));
            push_element(&mut new, element);
            if index == 0 {
                if self.start() < new.len() {
                    self.make_room(new.len());
                }
                self.start -= new.len() as u32;
                let start = self.start();
                self.bytes[start..start + new.len()].copy_from_slice(&new);
            } else {
                self.reserve(new.len());
                let at = self.place(index);
                self.bytes.splice(at..at, new);
            }
        }
        self.len += 1;
    }

    /// Makes sure that so many bytes more fit in; places in the leaf may change. It doubles up to the full size of a leaf
    /// and no further (a vector by itself would leave a fifth of each full leaf unused), but for the head of a queue,
    /// where what was popped is given back by and by.
    fn reserve(&mut self, more: usize) {
        const POPPED: usize = LEAF_BYTES / 4;
        if self.bytes.len() + more > LEAF_BYTES && self.start() >= POPPED {
            self.bytes.drain(..self.start());
            self.start = 0;
        }
        let wanted = self.bytes.len() + more;
        if wanted > self.bytes.capacity() {
            let target = match wanted > LEAF_BYTES {
                true if self.start() > 0 => wanted + POPPED,
                true => wanted,
                false => wanted.max((2 * self.bytes.capacity()).min(LEAF_BYTES)),
            };
            self.bytes.reserve_exact(target - self.bytes.len());
        }
    }

    /// Room in front for so many bytes, and for half of what is there besides, so that pushing there is cheap; up to the
    /// leaf's full size.
    fn make_room(&mut self, bytes: usize) {
        let used = self.used();
        let room = (bytes + used / 2).min(LEAF_BYTES.saturating_sub(used)).max(bytes);
        let mut moved = Vec::with_capacity(room + used);
        moved.resize(room, 0);
        moved.extend_from_slice(&self.bytes[self.start()..]);
        (self.bytes, self.start) = (moved, room as u32);
    }

    /// Takes elements out.
    fn remove(&mut self, from: usize, count: usize) {
        let (start, end) = (self.place(from), self.place(from + count));
        if from == 0 {
            self.start = end as u32;
            if self.start() > LEAF_BYTES.max(self.used()) {
                self.bytes.drain(..self.start());
                self.start = 0;
            }
        } else {
            self.bytes.drain(start..end);
        }
        self.len -= count as u32;
    }

    fn replace(&mut self, index: usize, element: &[u8]) {
        let start = self.place(index);
        let end = element_at(&self.bytes, start).1;
        let mut new = Vec::with_capacity(framed_bytes(element));
        push_element(&mut new, element);
        self.bytes.splice(start..end, new);
    }

    fn write(&self, space: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.used() + 40);
        out.push(LEAF_VERSION);
        page::push_varint(&mut out, u64::from(space));
        page::push_varint(&mut out, self.page);
        out.extend_from_slice(&self.label.0.to_le_bytes());
        page::push_varint(&mut out, self.len() as u64);
        out.extend_from_slice(&self.bytes[self.start()..]);
        out
    }

    /// Of a page, which is read or refused.
    pub(super) fn read(page: &LeafPage<'_>) -> Result<Leaf, PageError> {
        let (bytes, broken) = (page.bytes, PageError::Collection { at: 0 });
        let (mut at, mut len) = (0, 0);
        while at < bytes.len() {
            let mut rest = page::Bytes::new(&bytes[at..]);
            let element = rest.sized()?;
            let mut expected = Vec::with_capacity(framed_bytes(element));
            push_element(&mut expected, element);
            if !bytes[at..].starts_with(&expected) {
                return Err(broken);
            }
            at += expected.len();
            len += 1;
        }
        if len == 0 || u64::from(len) != page.elements {
            return Err(broken);
        }
        Ok(Leaf { bytes: bytes.to_vec(), start: 0, len, page: page.page, label: Label(page.label), mark: Mark::Clean })
    }

    pub(super) fn label(&self) -> u128 {
        self.label.0
    }

    fn elements(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.start();
        std::iter::from_fn(move || {
            if at == self.bytes.len() {
                return None;
            }
            let (element, next) = element_at(&self.bytes, at);
            at = next;
            Some(element)
        })
    }

    fn elements_back(&self) -> impl Iterator<Item = &[u8]> {
        let mut end = self.bytes.len();
        std::iter::from_fn(move || {
            if end == self.start() {
                return None;
            }
            end = element_before(&self.bytes, end);
            Some(element_at(&self.bytes, end).0)
        })
    }
}

/// The page of a leaf, for whoever needs no keyspace.
pub struct LeafPage<'a> {
    /// The space that it belongs to.
    pub space: u32,
    /// Its number.
    pub page: u64,
    /// Where it stands among the leaves of its list.
    pub label: u128,
    /// How many elements it says to have.
    pub elements: u64,
    bytes: &'a [u8],
}

impl<'a> LeafPage<'a> {
    /// Whether a page is one of these.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.first() == Some(&LEAF_VERSION)
    }

    /// Reads the header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PageError> {
        let mut reader = page::Bytes::new(bytes);
        match reader.byte()? {
            LEAF_VERSION => {}
            other => return Err(PageError::Version(other)),
        }
        let space = u32::try_from(reader.varint()?).map_err(|_| PageError::Number { at: 1 })?;
        let page = reader.varint()?;
        let label = u128::from_le_bytes(reader.array()?);
        let elements = reader.varint()?;
        Ok(LeafPage { space, page, label, elements, bytes: reader.rest() })
    }

    /// The elements in their order, each read or refused.
    pub fn each(&self, mut element: impl FnMut(&[u8])) -> Result<(), PageError> {
        Leaf::read(self)?.elements().for_each(&mut element);
        Ok(())
    }
}

struct Group {
    len: u64,
    leaves: Vec<Leaf>,
}

/// See the module.
pub(super) struct Chain {
    groups: Vec<Group>,
    len: u64,
    pub(super) encoding: u8,
    pub(super) excess: Excess,
    books: Books<u128>,
}

/// So many bytes have to go from a list before Redis' listpack of it can be as small as that: a lower bound, so that a
/// list which shrinks is measured anew only now and then. Whoever measures sets it; what is removed is taken off.
#[derive(Clone, Copy, Default)]
pub(super) struct Excess {
    pub(super) above: usize,
    pub(super) bytes: usize,
}

/// What an element takes in a listpack besides its own bytes, at most.
pub(super) const LISTPACK_ELEMENT: usize = 11;

/// A leaf's place.
#[derive(Clone, Copy)]
struct At {
    group: usize,
    leaf: usize,
}

impl Chain {
    pub(super) fn new(core: &mut Core, encoding: u8) -> Chain {
        Chain { groups: Vec::new(), len: 0, encoding, excess: Excess::default(), books: Books::new(core) }
    }

    pub(super) fn hollow(space: u32, encoding: u8) -> Chain {
        Chain { groups: Vec::new(), len: 0, encoding, excess: Excess::default(), books: Books::hollow(space) }
    }

    /// Puts the leaves in that its pages held.
    pub(super) fn load(&mut self, mut leaves: Vec<Leaf>) -> bool {
        leaves.sort_unstable_by_key(Leaf::label);
        let distinct = leaves.windows(2).all(|two| two[0].label() < two[1].label());
        self.len = leaves.iter().map(|leaf| leaf.len() as u64).sum();
        self.books.loaded();
        let mut leaves = leaves.into_iter().peekable();
        while leaves.peek().is_some() {
            let leaves: Vec<Leaf> = leaves.by_ref().take(GROUP_LEAVES_MAX * 3 / 4).collect();
            self.groups.push(Group { len: leaves.iter().map(|leaf| leaf.len() as u64).sum(), leaves });
        }
        distinct && self.len > 0
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn memory(&self) -> usize {
        let leaves = self.groups.iter().flat_map(|group| &group.leaves);
        size_of::<Chain>() + leaves.map(|leaf| size_of::<Leaf>() + leaf.bytes.capacity()).sum::<usize>()
    }

    /// Elements and bytes of each leaf.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (usize, usize)> {
        self.groups.iter().flat_map(|group| &group.leaves).map(|leaf| (leaf.len(), leaf.used()))
    }

    /// Bytes of all elements, about, as soon as they are more than `enough`.
    pub(super) fn bytes(&self, enough: usize) -> usize {
        let mut sum = 0;
        for leaf in self.groups.iter().flat_map(|group| &group.leaves) {
            sum += leaf.used();
            if sum > enough {
                break;
            }
        }
        sum
    }

    /// The leaf of an element and its index in there.
    fn locate(&self, index: u64) -> (At, usize) {
        debug_assert!(index < self.len);
        let (mut group, mut left) = (0, index);
        if index >= self.len / 2 {
            let mut before = self.len;
            group = self.groups.len();
            while before > index {
                group -= 1;
                before -= self.groups[group].len;
            }
            left = index - before;
        } else {
            while left >= self.groups[group].len {
                left -= self.groups[group].len;
                group += 1;
            }
        }
        let (held, mut left) = (&self.groups[group], left as usize);
        let mut leaf = 0;
        if left as u64 >= held.len / 2 {
            let mut before = held.len as usize;
            leaf = held.leaves.len();
            while before > left {
                leaf -= 1;
                before -= held.leaves[leaf].len();
            }
            left -= before;
        } else {
            while left >= held.leaves[leaf].len() {
                left -= held.leaves[leaf].len();
                leaf += 1;
            }
        }
        (At { group, leaf }, left)
    }

    fn leaf(&self, at: At) -> &Leaf {
        &self.groups[at.group].leaves[at.leaf]
    }

    pub(super) fn get(&self, index: u64) -> &[u8] {
        let (at, index) = self.locate(index);
        let leaf = self.leaf(at);
        element_at(&leaf.bytes, leaf.place(index)).0
    }

    /// The elements from an index on.
    pub(super) fn iter_from(&self, index: u64) -> impl Iterator<Item = &[u8]> {
        let start = (index < self.len).then(|| self.locate(index));
        let (group, leaf, skipped) = start.map_or((self.groups.len(), 0, 0), |(at, index)| (at.group, at.leaf, index));
        let first = self.groups.get(group).map_or(&[][..], |held| &held.leaves[leaf..]);
        let rest = self.groups.get(group + 1..).unwrap_or_default();
        first.iter().chain(rest.iter().flat_map(|group| &group.leaves)).flat_map(Leaf::elements).skip(skipped)
    }

    /// All elements from the last one on.
    pub(super) fn iter_back(&self) -> impl Iterator<Item = &[u8]> {
        let leaves = self.groups.iter().rev().flat_map(|group| group.leaves.iter().rev());
        leaves.flat_map(Leaf::elements_back)
    }

    /// Before any change of a leaf: hands its page to a running checkpoint that has yet to take it, and marks it.
    fn touch(&mut self, core: &mut Core, at: At) {
        let leaf = &mut self.groups[at.group].leaves[at.leaf];
        if leaf.mark == core.mark {
            return;
        }
        if leaf.mark != Mark::Clean {
            let space = self.books.space();
            core.put_aside(Change::Page { space, page: leaf.page, bytes: leaf.write(space) });
        }
        leaf.mark = core.mark;
        self.books.changed(core.round, leaf.label());
    }

    pub(super) fn insert(&mut self, core: &mut Core, index: u64, element: &[u8]) {
        let wanted = framed_bytes(element);
        let (at, place) = match index {
            _ if self.len == 0 => (self.add_leaf(core, At { group: 0, leaf: 0 }), 0),
            0 => (At { group: 0, leaf: 0 }, 0),
            index if index == self.len => {
                let group = self.groups.len() - 1;
                let at = At { group, leaf: self.groups[group].leaves.len() - 1 };
                (at, self.leaf(at).len())
            }
            index => self.locate(index),
        };
        let alone = core.alone_bytes;
        let has_room = |leaf: &Leaf| {
            let shares = wanted <= alone && (leaf.len > 1 || leaf.used() <= alone);
            leaf.len == 0 || shares && leaf.used() + wanted <= LEAF_BYTES
        };
        if has_room(self.leaf(at)) {
            return self.put(core, at, place, element);
        }
        let len = self.leaf(at).len();
        let behind = match place {
            0 => at,
            _ if place == len => At { leaf: at.leaf + 1, ..at },
            // In the middle: the rest moves into a leaf of its own.
            _ => self.split(core, at, place),
        };
        if let Some(before) = self.before(behind)
            && has_room(self.leaf(before))
        {
            return self.put(core, before, self.leaf(before).len(), element);
        }
        if place != len && has_room(self.leaf(behind)) {
            return self.put(core, behind, 0, element);
        }
        let own = self.add_leaf(core, behind);
        self.put(core, own, 0, element);
    }

    fn before(&self, at: At) -> Option<At> {
        match at.leaf {
            0 => {
                let group = at.group.checked_sub(1)?;
                Some(At { group, leaf: self.groups[group].leaves.len() - 1 })
            }
            leaf => Some(At { leaf: leaf - 1, ..at }),
        }
    }

    fn put(&mut self, core: &mut Core, at: At, place: usize, element: &[u8]) {
        self.touch(core, at);
        let group = &mut self.groups[at.group];
        group.leaves[at.leaf].insert(place, element);
        group.len += 1;
        self.len += 1;
    }

    /// Makes an empty leaf in front of that at a place (or behind the last one of a group); gives where it is now.
    fn add_leaf(&mut self, core: &mut Core, at: At) -> At {
        if self.groups.is_empty() {
            self.groups.push(Group { len: 0, leaves: Vec::new() });
        }
        let label = match self.label_at(at) {
            Some(label) => label,
            None => {
                self.relabel(core);
                self.label_at(at).expect("labels are far apart now")
            }
        };
        let leaf = Leaf::new(core.new_page(), label);
        let groups = self.groups.len();
        let group = &mut self.groups[at.group];
        let at_end = at.group + 1 == groups && at.leaf == group.leaves.len();
        let at = if group.leaves.len() < GROUP_LEAVES_MAX {
            group.leaves.insert(at.leaf, leaf);
            at
        } else if at_end {
            self.groups.push(Group { len: 0, leaves: vec![leaf] });
            At { group: at.group + 1, leaf: 0 }
        } else {
            let moved = group.leaves.split_off(GROUP_LEAVES_MAX / 2);
            let len = moved.iter().map(|leaf| leaf.len() as u64).sum();
            group.len -= len;
            self.groups.insert(at.group + 1, Group { len, leaves: moved });
            let at = match at.leaf > GROUP_LEAVES_MAX / 2 {
                true => At { group: at.group + 1, leaf: at.leaf - GROUP_LEAVES_MAX / 2 },
                false => at,
            };
            self.groups[at.group].leaves.insert(at.leaf, leaf);
            at
        };
        self.touch(core, at);
        at
    }

    /// A label for a leaf in front of that at a place; `None` where none is left.
    fn label_at(&self, at: At) -> Option<u128> {
        let before = match at.leaf {
            0 => at.group.checked_sub(1).and_then(|group| self.groups[group].leaves.last()),
            leaf => self.groups[at.group].leaves.get(leaf - 1),
        };
        let here = self.groups[at.group].leaves.get(at.leaf);
        let here = here.or_else(|| self.groups.get(at.group + 1).and_then(|group| group.leaves.first()));
        match (before.map(Leaf::label), here.map(Leaf::label)) {
            (None, None) => Some(MIDDLE),
            (Some(before), None) => before.checked_add(STRIDE),
            (None, Some(here)) => here.checked_sub(STRIDE),
            (Some(before), Some(here)) => {
                let middle = before + (here - before) / 2;
                (middle > before).then_some(middle)
            }
        }
    }

    /// Labels far apart for all leaves. It rewrites all pages, and comes after some thousand inserts at one place.
    fn relabel(&mut self, core: &mut Core) {
        for group in 0..self.groups.len() {
            for leaf in 0..self.groups[group].leaves.len() {
                self.touch(core, At { group, leaf });
            }
        }
        let count: usize = self.groups.iter().map(|group| group.leaves.len()).sum();
        let mut label = MIDDLE - count as u128 / 2 * STRIDE;
        // All of them were handed over or set aside.
        self.books.rename_all(core.round);
        for leaf in self.groups.iter_mut().flat_map(|group| &mut group.leaves) {
            leaf.label = Label(label);
            self.books.changed(core.round, label);
            label += STRIDE;
        }
    }

    /// Moves what a leaf holds from an element on into a new leaf behind it; gives the new one's place.
    fn split(&mut self, core: &mut Core, at: At, place: usize) -> At {
        self.touch(core, at);
        let leaf = &mut self.groups[at.group].leaves[at.leaf];
        let byte = leaf.place(place);
        let bytes = leaf.bytes.split_off(byte);
        let moved = leaf.len() - place;
        leaf.len = place as u32;
        self.groups[at.group].len -= moved as u64;
        let behind = self.add_leaf(core, At { leaf: at.leaf + 1, ..at });
        let group = &mut self.groups[behind.group];
        (group.leaves[behind.leaf].bytes, group.leaves[behind.leaf].len) = (bytes, moved as u32);
        group.len += moved as u64;
        behind
    }

    pub(super) fn set(&mut self, core: &mut Core, index: u64, element: &[u8]) {
        self.excess = Excess::default();
        let (at, place) = self.locate(index);
        let leaf = self.leaf(at);
        let held = element_at(&leaf.bytes, leaf.place(place)).0.len();
        let wanted = framed_bytes(element);
        if leaf.len > 1 && (wanted > core.alone_bytes || leaf.used() - held + wanted > LEAF_BYTES) {
            self.remove(core, index, 1);
            return self.insert(core, index, element);
        }
        self.touch(core, at);
        self.groups[at.group].leaves[at.leaf].replace(place, element);
    }

    /// Takes elements out, from an index on.
    pub(super) fn remove(&mut self, core: &mut Core, index: u64, count: u64) {
        if self.excess.bytes > 0 {
            let gone = self.iter_from(index).take(count as usize).map(|element| element.len() + LISTPACK_ELEMENT).sum();
            self.excess.bytes = self.excess.bytes.saturating_sub(gone);
        }
        let mut left = count;
        while left > 0 {
            let (at, place) = self.locate(index);
            let here = (self.leaf(at).len() - place).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.touch(core, at);
            let group = &mut self.groups[at.group];
            if here == group.leaves[at.leaf].len() {
                let gone = group.leaves.remove(at.leaf);
                core.drops.push(Dropped::Page { space: self.books.space(), page: gone.page });
            } else {
                group.leaves[at.leaf].remove(place, here);
            }
            group.len -= here as u64;
            self.len -= here as u64;
            left -= here as u64;
            if group.leaves.is_empty() {
                self.groups.remove(at.group);
            } else if left == 0 {
                self.merge(core, at);
            }
        }
    }

    /// Joins a leaf that has become nearly empty with the one behind it, within the group.
    fn merge(&mut self, core: &mut Core, at: At) {
        let leaves = &self.groups[at.group].leaves;
        let (Some(leaf), Some(next)) = (leaves.get(at.leaf), leaves.get(at.leaf + 1)) else { return };
        let at_an_end = at.group == 0 && at.leaf == 0;
        let alone = |leaf: &Leaf| leaf.len == 1 && leaf.used() > core.alone_bytes;
        if alone(leaf) || alone(next) {
            return;
        }
        if at_an_end || leaf.used() > LEAF_BYTES / 4 || leaf.used() + next.used() > LEAF_BYTES / 2 {
            return;
        }
        self.touch(core, at);
        self.touch(core, At { leaf: at.leaf + 1, ..at });
        let leaves = &mut self.groups[at.group].leaves;
        let gone = leaves.remove(at.leaf + 1);
        leaves[at.leaf].bytes.extend_from_slice(&gone.bytes[gone.start()..]);
        leaves[at.leaf].len += gone.len;
        core.drops.push(Dropped::Page { space: self.books.space(), page: gone.page });
    }

    pub(super) fn duplicate(&self, core: &mut Core) -> Chain {
        let mut copy = Chain::new(core, self.encoding);
        for element in self.iter_from(0) {
            copy.insert(core, copy.len, element);
        }
        copy
    }

    fn find_label(&self, label: u128) -> Option<At> {
        let group = self.groups.partition_point(|group| group.leaves[0].label() <= label).checked_sub(1)?;
        let leaf = self.groups[group].leaves.binary_search_by_key(&label, Leaf::label).ok()?;
        Some(At { group, leaf })
    }
}

impl InParts for Chain {
    /// A leaf, by its label.
    type Part = u128;

    fn books(&self) -> &Books<u128> {
        &self.books
    }

    fn books_mut(&mut self) -> &mut Books<u128> {
        &mut self.books
    }

    fn mark_of(&mut self, label: u128) -> Option<(&mut Mark, u64)> {
        let At { group, leaf } = self.find_label(label)?;
        let leaf = &mut self.groups[group].leaves[leaf];
        Some((&mut leaf.mark, leaf.page))
    }

    fn write(&self, label: u128) -> Vec<u8> {
        let at = self.find_label(label).expect("a leaf that is there");
        self.leaf(at).write(self.books.space())
    }
}
