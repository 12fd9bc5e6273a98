//! One database: the directory from hash prefixes to sub-tables, and all that only reads.
//!
//! Extendible hashing: the directory has one slot for each value of the top `depth` bits of a hash; a sub-table of lesser
//! depth stands in several slots. A split moves half of one sub-table and changes its slots; now and then the directory
//! doubles, which copies four bytes a slot.

use super::entry::{Entry, Stored};
use super::hash::{Hasher, Key};
use super::hashes::HashRef;
use super::nested::Nested;
use super::sets::SetRef;
use super::string::StrRef;
use super::table::{Mark, Table, Tables};
use super::value::{Value, encoding};
use crate::base::Millis;
use std::collections::BTreeSet;

/// A slot that no sub-table stands in yet (only while pages are loaded).
pub(super) const HOLE: u32 = u32::MAX;

/// One database, for reading. Expiry is not applied: an entry is seen until it is removed.
pub struct Db {
    /// Which space this is: a number that no other database ever had in this keyspace.
    pub(super) id: u32,
    pub(super) hasher: Hasher,
    pub(super) depth: u8,
    pub(super) directory: Vec<u32>,
    pub(super) tables: Tables,
    pub(super) len: u64,
    pub(super) expires: u64,
    pub(super) deadline_sum: i128,
    /// (earliest deadline in ms, sub-table) of each sub-table that has deadlines.
    pub(super) due_index: BTreeSet<(i64, u32)>,
    /// Sub-tables changed since the last checkpoint began.
    pub(super) dirty: Vec<u32>,
    /// Sub-tables of the running checkpoint; those before `taken` were looked at.
    pub(super) pending: Vec<u32>,
    pub(super) taken: usize,
    /// The same for sub-tables that may hold large collections with changed pages (see `nested`).
    pub(super) nested_dirty: Vec<u32>,
    pub(super) nested_pending: Vec<u32>,
    pub(super) nested_taken: usize,
    /// The spaces of its large collections.
    pub(super) nested_spaces: BTreeSet<u32>,
    /// The checkpoint that `pending` is of.
    pub(super) round: u64,
    /// Whether a checkpoint may hold pages of this space.
    pub(super) stored: bool,
    /// It is a large collection: its entries are not used one by one.
    pub(super) inner: bool,
}

/// Where an entry is, until the next change.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) table: u32,
    pub(super) bucket: usize,
}

/// One entry, for reading.
#[derive(Clone, Copy)]
pub struct EntryRef<'a>(&'a Entry);

impl<'a> EntryRef<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        EntryRef(entry)
    }

    /// The key.
    pub fn key(self) -> &'a [u8] {
        self.0.key()
    }

    /// When it expires, on the wall clock.
    pub fn deadline(self) -> Option<Millis> {
        self.0.deadline()
    }

    pub(super) fn stored(self) -> Stored<'a> {
        self.0.value()
    }

    /// The value, by type.
    pub fn value(self) -> Value<'a> {
        Value::of(self.0)
    }

    /// The value as a string; `None` for another type (the caller answers WRONGTYPE).
    pub fn string(self) -> Option<StrRef<'a>> {
        match self.value() {
            Value::Str(string) => Some(string),
            _ => None,
        }
    }

    /// The value as a hash; `None` for another type.
    pub fn hash(self) -> Option<HashRef<'a>> {
        match self.value() {
            Value::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    /// The value as a set; `None` for another type.
    pub fn set(self) -> Option<SetRef<'a>> {
        match self.value() {
            Value::Set(set) => Some(set),
            _ => None,
        }
    }

    /// What OBJECT ENCODING answers: `int`, `embstr`, `raw`, `listpack` and so on.
    pub fn encoding(self) -> &'static str {
        encoding(self.0)
    }

    /// The 24 bits kept for eviction.
    pub fn access(self) -> u32 {
        self.0.access()
    }

    /// Sets the low 24 bits. This is no change of the value: nothing becomes dirty.
    pub fn set_access(self, bits: u32) {
        self.0.set_access(bits & 0xff_ffff);
    }

    /// Bytes of memory that the entry takes, roughly: allocations, and its share of the sub-table.
    pub fn memory(self) -> usize {
        let boxed = match self.0.value() {
            Stored::Heap(heap) => heap.memory(),
            _ => 0,
        };
        self.0.size() + boxed + BUCKET_BYTES
    }
}

impl Db {
    pub(super) fn new(id: u32, hasher: Hasher, page: u64) -> Self {
        let mut db = Db::hollow(id, hasher);
        db.directory[0] = db.tables.push(Table::new(page, 0, 0, Mark::Clean, 0));
        db
    }

    /// A database whose directory is one hole.
    pub(super) fn hollow(id: u32, hasher: Hasher) -> Self {
        Db {
            id,
            hasher,
            depth: 0,
            directory: vec![HOLE],
            tables: Tables::default(),
            len: 0,
            expires: 0,
            deadline_sum: 0,
            due_index: BTreeSet::new(),
            dirty: Vec::new(),
            pending: Vec::new(),
            taken: 0,
            nested_dirty: Vec::new(),
            nested_pending: Vec::new(),
            nested_taken: 0,
            nested_spaces: BTreeSet::new(),
            round: 0,
            stored: false,
            inner: false,
        }
    }

    /// Notes that access bits have changed of an entry that has this key.
    pub fn note_use(&self, key: Key<'_>) {
        self.tables.get(self.table_of(key.hash)).used.set(true);
    }

    pub(super) fn double_directory(&mut self) {
        let mut wider = Vec::with_capacity(2 * self.directory.len());
        self.directory.iter().for_each(|&number| wider.extend_from_slice(&[number, number]));
        self.directory = wider;
        self.depth += 1;
    }

    #[inline]
    pub(super) fn slot(&self, hash: u64) -> usize {
        ((hash >> 1) >> (63 - self.depth)) as usize
    }

    #[inline]
    pub(super) fn table_of(&self, hash: u64) -> u32 {
        self.directory[self.slot(hash)]
    }

    #[inline]
    pub(super) fn find(&self, key: Key<'_>) -> Option<Place> {
        let table = self.table_of(key.hash);
        Some(Place { table, bucket: self.tables.get(table).find(key.hash, key.bytes)? })
    }

    #[inline]
    pub(super) fn entry(&self, place: Place) -> &Entry {
        self.tables.get(place.table).entries.get_bucket(place.bucket).expect("a place names a full bucket")
    }

    /// The space's number: unique in the keyspace, new after each flush.
    pub fn space(&self) -> u32 {
        self.id
    }

    /// A key with its hash, for any database of the keyspace.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        self.hasher.key(bytes)
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let table = self.tables.get(self.table_of(key.hash));
        Some(EntryRef(table.entries.get_bucket(table.find(key.hash, key.bytes)?)?))
    }

    /// Whether there is an entry.
    pub fn contains(&self, key: Key<'_>) -> bool {
        self.find(key).is_some()
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory, roughly: by some of its entries.
    pub(super) fn memory(&self) -> usize {
        let sample: Vec<usize> = self.iter().take(MEMORY_SAMPLE).map(EntryRef::memory).collect();
        let mean = sample.iter().sum::<usize>().checked_div(sample.len()).unwrap_or(0);
        self.pages() * TABLE_BYTES + mean * self.len() as usize
    }

    /// Bytes of the tables that find the entries, roughly.
    pub fn overhead_bytes(&self) -> u64 {
        (self.pages() * TABLE_BYTES) as u64 + self.len() * BUCKET_BYTES as u64
    }

    /// Number of entries that have a deadline.
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// Mean time to live of the entries that have a deadline; zero if there are none or most of them are due.
    pub fn avg_ttl(&self, now: Millis) -> Millis {
        let mean = self.deadline_sum.checked_div(i128::from(self.expires)).unwrap_or(0);
        Millis(i64::try_from(mean).unwrap_or(i64::MAX)).since(now)
    }

    /// A lower bound of all deadlines, `None` without deadlines.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.due_index.first().map(|&(ms, _)| Millis(ms))
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.tables.iter().flat_map(|table| table.entries.iter()).map(EntryRef)
    }

    pub(super) fn raw_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter()
    }

    pub(super) fn raw_entries(&self) -> impl Iterator<Item = &Entry> {
        self.tables.iter().flat_map(|table| table.entries.iter())
    }

    /// Visits some entries; gives the cursor to go on with, 0 at the end. A scan from 0 to 0 visits every entry that is
    /// there all the time at least once. The cursor is a place in the order of hashes (63 bits), so that splits do not
    /// disturb it. About `count` entries are visited; a call looks at `10 * count` sub-tables at most.
    pub fn scan<'s>(&'s self, cursor: u64, count: usize, mut visit: impl FnMut(EntryRef<'s>)) -> u64 {
        let mut at = cursor;
        let mut left = count.max(1);
        let mut found: Vec<(u64, &Entry)> = Vec::new();
        for _ in 0..count.saturating_mul(10).max(10) {
            if at >= SCAN_END {
                return 0;
            }
            let table = self.tables.get(self.table_of(at << 1));
            found.clear();
            let places = table.entries.iter().map(|entry| (self.hasher.hash(entry.key()) >> 1, entry));
            found.extend(places.filter(|&(place, _)| place >= at));
            if found.len() > left {
                // Those up to the `left`-th and all that share its place.
                let (_, &mut (last, _), _) = found.select_nth_unstable_by_key(left - 1, |&(place, _)| place);
                found.iter().filter(|&&(place, _)| place <= last).for_each(|&(_, entry)| visit(EntryRef(entry)));
                return if last + 1 < SCAN_END { last + 1 } else { 0 };
            }
            found.iter().for_each(|&(_, entry)| visit(EntryRef(entry)));
            left -= found.len();
            at = (u64::from(table.prefix) << 31) + (1 << (63 - table.depth));
            if left == 0 {
                break;
            }
        }
        if at < SCAN_END { at } else { 0 }
    }

    /// Pages that changed since the last checkpoint began, those of large collections included.
    pub(super) fn dirty_pages(&self) -> usize {
        let held = self.nested_dirty.iter().flat_map(|&number| &self.tables.get(number).entries);
        let nested = held.filter_map(|entry| match entry.value() {
            Stored::Heap(heap) => heap.nested().map(Nested::dirty_pages),
            _ => None,
        });
        self.dirty.len() + nested.sum::<usize>()
    }

    /// Number of checkpoint pages.
    pub fn pages(&self) -> usize {
        self.tables.len()
    }
}

const SCAN_END: u64 = 1 << 63;
const MEMORY_SAMPLE: usize = 32;
/// What a sub-table takes, its places in lists and directory included.
const TABLE_BYTES: usize = 72;
/// An entry's share of its sub-table: tables are half full.
const BUCKET_BYTES: usize = 17;
