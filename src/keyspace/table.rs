//! A sub-table: the entries whose hashes share their top `depth` bits. It is the unit that splits and one checkpoint page.
//!
//! Small on purpose: growing one, splitting one or serialising one takes microseconds, so that no single write pauses.

use super::entry::Entry;
use super::hash::{Hasher, spread};
use super::nested::Nested;
use super::page;
use super::value::Heap;
use hashbrown::HashTable;
use std::cell::Cell;

/// hashbrown fills seven eighths of 256 buckets: one more entry would double them.
pub(super) const TABLE_ENTRIES_MAX: usize = 224;
/// A sub-table of more page bytes than this splits, as long as it has two entries. With the largest record that is
/// not a blob (16 KiB and its key) on top, a page of ordinary keys stays below 64 KiB.
pub(super) const TABLE_PAGE_BYTES_MAX: u32 = 32 * 1024;
/// The most hash bits that a directory may look at.
pub(super) const DEPTH_MAX: u8 = 28;

/// Which checkpoint a sub-table still has to go into. Two colours alternate: those of the colour in use were changed
/// since the last checkpoint began, those of the other one belong to the checkpoint that is running. So a checkpoint
/// begins by changing one colour, without touching a sub-table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Clean,
    Red,
    Blue,
}

impl Mark {
    pub(super) fn other(self) -> Mark {
        match self {
            Mark::Clean => unreachable!("a colour in use is never Clean"),
            Mark::Red => Mark::Blue,
            Mark::Blue => Mark::Red,
        }
    }
}

pub(super) struct Table {
    pub(super) entries: HashTable<Entry>,
    /// The page's number, never reused.
    pub(super) page: u64,
    /// No deadline in here is earlier, ms.
    pub(super) earliest: i64,
    /// The shared top bits of the hashes, left-aligned.
    pub(super) prefix: u32,
    /// What the records of its page take, wrapping (see `page::record_bytes`).
    pub(super) bytes: u32,
    /// Entries that have a deadline.
    pub(super) expires: u32,
    pub(super) depth: u8,
    pub(super) mark: Mark,
    /// The colour under which it was listed last for large collections in it.
    pub(super) nested: Mark,
    /// Access bits of entries have changed since its page was written last.
    pub(super) used: Cell<bool>,
}

// One cache line: a lookup reads the directory, this, the bucket and the entry.
const _: () = assert!(size_of::<Table>() == 64);

impl Table {
    pub(super) fn new(page: u64, prefix: u32, depth: u8, mark: Mark, capacity: usize) -> Self {
        let entries = HashTable::with_capacity(capacity);
        Table {
            entries,
            page,
            earliest: i64::MAX,
            prefix,
            bytes: 0,
            expires: 0,
            depth,
            mark,
            nested: Mark::Clean,
            used: Cell::new(false),
        }
    }

    /// The large collections in it.
    pub(super) fn nested(&mut self) -> impl Iterator<Item = &mut dyn Nested> {
        self.entries.iter_mut().filter_map(|entry| entry.heap_mut().and_then(Heap::nested_mut))
    }

    /// The bucket of a key.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.entries.find_bucket_index(spread(hash), |entry| entry.key() == key)
    }

    /// Puts an entry in whose key is not there. Gives the bucket.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry, hasher: Hasher) -> usize {
        self.count(&entry);
        self.sweep_tombstones(hasher);
        let rehash = |entry: &Entry| spread(hasher.hash(entry.key()));
        self.entries.insert_unique(spread(hash), entry, rehash).bucket_index()
    }

    /// Whether it has to split before another entry comes in: it is full, or nearly so with removed entries' tombstones
    /// for the rest (then hashbrown would double it, and steady coming and going would double the memory of all).
    pub(super) fn is_full(&self) -> bool {
        let len = self.entries.len();
        len >= TABLE_ENTRIES_MAX || (len == self.entries.capacity() && len > TABLE_ENTRIES_MAX / 4 * 3)
    }

    /// Full, but with tombstones among it: built anew with room for an eighth more, where hashbrown might double it.
    fn sweep_tombstones(&mut self, hasher: Hasher) {
        let (len, full) = (self.entries.len(), self.entries.num_buckets() / 8 * 7);
        if len == self.entries.capacity() && len < full {
            let old = std::mem::replace(&mut self.entries, HashTable::with_capacity(len + len / 8 + 1));
            let rehash = |entry: &Entry| spread(hasher.hash(entry.key()));
            for entry in old {
                self.entries.insert_unique(rehash(&entry), entry, rehash);
            }
        }
    }

    /// Adds an entry to the sums.
    pub(super) fn count(&mut self, entry: &Entry) {
        self.bytes = self.bytes.wrapping_add(page::record_bytes(entry));
        if let Some(deadline) = entry.deadline() {
            self.expires += 1;
            self.earliest = self.earliest.min(deadline.0);
        }
    }

    /// Takes an entry out of the sums.
    pub(super) fn uncount(&mut self, entry: &Entry) {
        self.bytes = self.bytes.wrapping_sub(page::record_bytes(entry));
        self.expires -= u32::from(entry.deadline().is_some());
    }

    /// Gives memory back when most entries have gone.
    pub(super) fn shrink(&mut self, hasher: Hasher) {
        let (len, capacity) = (self.entries.len(), self.entries.capacity());
        if len == 0 || (capacity > 14 && len < capacity / 4) {
            self.entries.shrink_to(len * 3 / 2, |entry| spread(hasher.hash(entry.key())));
        }
    }

    /// Whether a hash belongs in here.
    pub(super) fn holds(&self, hash: u64) -> bool {
        (hash >> 32) as u32 & prefix_mask(self.depth) == self.prefix
    }
}

/// The top `depth` bits of 32.
pub(super) fn prefix_mask(depth: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(depth)).unwrap_or(0)
}

/// The sub-tables of one database: an arena in chunks, so that adding one never moves the others.
#[derive(Default)]
pub(super) struct Tables {
    chunks: Vec<Vec<Table>>,
}

const CHUNK: usize = 256;

impl Tables {
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Adds a sub-table and gives its number.
    pub(super) fn push(&mut self, table: Table) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(if self.chunks.is_empty() { 1 } else { CHUNK }));
        }
        self.chunks.last_mut().expect("pushed above").push(table);
        (self.len() - 1) as u32
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &Table {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut Table {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Table> {
        self.chunks.iter().flatten()
    }
}
