//! The keyspace: databases of keys, values and deadlines, and which checkpoint pages changed. No IO; time and luck are
//! arguments.
//!
//! It does not apply expiry by itself (an entry is seen until a caller removes it, since a replica must not), knows no
//! clients and no commands, and imports `base` only.
//!
//! ```text
//!  key -> hash ─ top bits ─> directory slot ─> sub-table (<= 224 thin pointers) ─> entry: header|key|deadline|value
//!                                                │ one page: number, dirty mark        │
//!                                                │                  small: packed ─────┤
//!                                                │                  large: a box ──────┴─> pages in a space of its own
//!  checkpoint_begin ─> checkpoint_slice.. ───────┴─> Change::{Page, Blob, Drop} ─> store ─> Loader ─> Keyspace
//! ```
//!
//! # Collections
//! What Redis names an encoding (`listpack`, `hashtable`, ..) is a mark that follows Redis' thresholds; how a collection
//! lies in memory is decided by its size alone.
//! - *Small*, up to 16 KiB: packed into its entry, one item behind the other, in the order that Redis' listpack has
//!   (`packed`). Looking something up walks over it. Its page is that of its key.
//! - *Large*: a box of its own, whose pages lie in a space that its record names. A hash or set is a table of tables like a
//!   database ([`Db`]), with a field or member for each key: no big table ever doubles at once, a scan's cursor is a place
//!   in the order of hashes, and each sub-table is a page. A list is a chain of leaves of 4 KiB, each a page, found by
//!   adding up lengths (`chain`). A sorted set is a table from member to score, which is what its pages hold, and beside
//!   it an order of (score, pointer to the member's entry) in leaves of 128, found by counting or by comparing (`order`).
//! - A stream is small without groups, up to 4 KiB in one node; else a large one, whose nodes are Redis' own listpacks, each a
//!   page, as are the leaves of what its groups have pending (`stream`). It may be empty, unlike the others.
//! - Each page of a large collection has a mark of its own: a write to a part dirties that part, and a page that the running
//!   checkpoint has yet to take is serialised by the first write to it. A checkpoint finds collections with changed
//!   pages through the sub-tables that hold their entries (`nested`); one that is removed meanwhile lives on until its
//!   pages are taken.
//! - A collection never goes back to small, but for lists, which Redis takes back too. Its last element takes the key with
//!   it; the caller sees to that.
//! - The mark is made anew where a store is read, by the thresholds of that moment, as Redis does (`sizes`).
//!
//! Invariants
//! 1. A keyspace behaves as a plain map from (database, key) to (value, deadline), counts and digests included:
//!    `tests::behaves_as_a_plain_map`.
//! 2. The changes of a checkpoint, applied to the image before it, are exactly the keyspace at its begin, whatever was
//!    written, flushed or swapped before the last slice, and whatever was aborted before: `tests::images_are_exact`.
//! 3. A scan visits each entry that is there all the time, and ends: `tests::a_scan_misses_nothing`.
//! 4. Spaces, pages and blobs are never numbered twice; a blob's bytes never change: in `images_are_exact`.
//! 5. Any bytes given as a page are read or refused, without a panic: `tests::no_page_panics`.
//! 6. A page of records that fit (16 KiB values, keys of ordinary size) stays below 64 KiB: in `images_are_exact`.
//! 7. Memory follows the number of entries, however many come and go: `tests::coming_and_going_does_not_grow_tables`.
//! 8. Digests are those of DEBUG DIGEST: `tests::digests_are_those_of_redis`, made by redis-server 7.0.15, and the scripts.
//! 9. The first three hold for collections of every type and size: `collection_tests`.
//! 10. A write to a part of a large collection dirties that part only:
//!     `collection_tests::writing_to_a_part_of_a_large_collection_rewrites_that_part`,
//!     `stream_tests::a_change_of_a_large_stream_rewrites_its_part`.
//! 11. What a collection counts as once it is read follows the limits of the moment, and makes no page dirty: `sizes_tests`.
//!
//! Files, in reading order: `hash` (the keyed hash), `entry` (one allocation per key; the unsafe code), `value` (the
//! types), `usage` (the access bits), `string`, `packed` (small collections), `table` (a sub-table), `db` (directory, reading, SCAN), `sample` (luck), `write` (all
//! changes, splits, deadlines that are due), `map` (large hashes and sets; how a small collection changes and grows),
//! `hashes`, `sets`, `chain` and `lists`, `order` and `zsets`; streams: `listpack`, `stream_node`, `stream_head`,
//! `stream_group`, `stream`, `stream_page`, `streams`; `page` (the bytes of a page), `checkpoint`, `nested` and `parts`
//! (handing over), `load` (back) with `sizes` (what is compact then), `digest` (DEBUG DIGEST).
//!
//! Why so: one table for all keys stops the loop for 90 to 180 ms when a million keys double; sub-tables split in
//! microseconds, and one that is a page needs no other bookkeeping of what changed. Redis' fork for snapshots costs
//! memory and a pause; serialising a page at its first write during a checkpoint costs at most that page. Merging
//! sub-tables again was left out: empty ones cost 64 bytes and a few on disk, and the next flush forgets them.
//!
//! Tests: `cargo test --lib keyspace::`.

mod chain;
mod checkpoint;
mod db;
mod digest;
mod entry;
mod figures;
mod hash;
mod hashes;
mod listpack;
mod lists;
mod load;
mod map;
mod nested;
mod order;
mod packed;
mod page;
mod parts;
mod sample;
mod sets;
mod sizes;
mod stream;
mod stream_group;
mod stream_head;
mod stream_node;
mod stream_page;
mod streams;
mod string;
mod table;
mod usage;
mod value;
mod write;
mod zsets;

#[cfg(test)]
mod collection_tests;
#[cfg(test)]
mod sizes_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;

pub use chain::LeafPage;
pub use checkpoint::{Change, Dropped, Manifest, Slice};
pub use db::{Db, EntryRef};
pub use digest::Digest;
pub use entry::KEY_BYTES_MAX;
pub use figures::TableFigures;
pub use hash::{Key, Seed};
pub use hashes::{HashMut, HashRef};
pub use lists::{End, ListLimits, ListMut, ListRef};
pub use load::Loader;
pub use map::Limits;
pub use page::{PageError, PageReader, Record, RecordValue};
pub use sets::{SetForm, SetLimits, SetMut, SetRef};
pub use sizes::Sizes;
pub use stream::{Keep, Trim};
pub use stream_group::{Consumer, Group, Pending};
pub use stream_head::StreamHead;
pub use stream_node::{Entry as StreamEntry, NODE_BYTES_MAX, Node, NodeLimits};
pub use stream_page::{StreamLeaf, StreamPage, StreamPart, StreamTrunk};
pub use streams::{GroupMut, StreamMut, StreamRef};
pub use string::{Digits, StrRef};
pub use usage::{Access, FREQUENCY_OF_NEW, Frequencies, Noted, access_clock, frequency_bits, seconds_since};
pub use value::{Kind, Value};
pub use write::{DbMut, Detached, OldValue, StringMut};
pub use zsets::{ZsetMut, ZsetRef};

use crate::base::Millis;
use checkpoint::Core;
use hash::Hasher;
use nested::Retired;

/// All databases of a node.
pub struct Keyspace {
    core: Core,
    dbs: Vec<Db>,
    /// What a checkpoint is done with.
    garbage: Vec<Retired>,
}

/// Databases that were flushed, collections that were removed. Dropping it frees their entries, which takes time: send it
/// to another thread.
pub struct Garbage(Vec<Retired>);

impl Garbage {
    fn of(retired: Vec<Retired>) -> Option<Garbage> {
        (!retired.is_empty()).then_some(Garbage(retired))
    }

    /// Keys that dropping it frees.
    pub fn len(&self) -> u64 {
        self.0.iter().map(Retired::len).sum()
    }

    /// Bytes that dropping it frees, roughly.
    pub fn memory(&self) -> usize {
        self.0.iter().map(Retired::memory).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Garbage>();
    is_send::<Detached>();
    is_send::<OldValue>();
    is_send::<Keyspace>();
};

impl Keyspace {
    /// Empty databases. The seed is random, and belongs to the data set for ever.
    pub fn new(databases: usize, seed: Seed) -> Self {
        let mut core = Core::new(seed);
        let hasher = Hasher::new(seed);
        let dbs = (0..databases).map(|_| Db::new(core.new_space(), hasher, core.new_page())).collect();
        Keyspace { core, dbs, garbage: Vec::new() }
    }

    /// The seed of the hash.
    pub fn seed(&self) -> Seed {
        self.core.seed
    }

    /// A key with its hash, for any of the databases: make it once per command.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Hasher::new(self.core.seed).key(bytes)
    }

    /// Which time it is for the access bits of entries that are made or overwritten from now on: clocks, or counters
    /// (`counts`), which an entry keeps when it is overwritten.
    #[inline]
    pub fn set_time(&mut self, now: Millis, counts: bool) {
        self.core.counts = counts;
        self.core.clock = if counts { frequency_bits(FREQUENCY_OF_NEW, now) } else { access_clock(now) };
    }

    /// From now on an element of a large list that takes more than so many bytes stands in a leaf of its own; `None`: only
    /// where it fits none with others.
    pub fn set_alone_bytes(&mut self, bytes: Option<usize>) {
        self.core.alone_bytes = bytes.unwrap_or(usize::MAX);
    }

    /// Number of databases.
    pub fn databases(&self) -> usize {
        self.dbs.len()
    }

    /// Makes sure that there are at least so many databases (a loaded keyspace may have had fewer).
    pub fn grow_databases(&mut self, databases: usize) {
        let hasher = Hasher::new(self.core.seed);
        while self.dbs.len() < databases {
            self.dbs.push(Db::new(self.core.new_space(), hasher, self.core.new_page()));
        }
    }

    /// A database, for reading. Panics beyond [`Keyspace::databases`], as the next ones do.
    #[inline]
    pub fn db(&self, index: usize) -> &Db {
        &self.dbs[index]
    }

    /// A database, for writing.
    #[inline]
    pub fn db_mut(&mut self, index: usize) -> DbMut<'_> {
        DbMut { db: &mut self.dbs[index], core: &mut self.core }
    }

    /// All databases, by number.
    pub fn dbs(&self) -> impl Iterator<Item = &Db> {
        self.dbs.iter()
    }

    /// Number of entries of all databases.
    pub fn len(&self) -> u64 {
        self.dbs.iter().map(Db::len).sum()
    }

    /// Whether all databases are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exchanges two databases (SWAPDB).
    pub fn swap(&mut self, a: usize, b: usize) {
        self.dbs.swap(a, b);
    }

    /// Copies an entry with its deadline to another key, over what is there, which comes back. Takes time with the size
    /// of the value.
    pub fn copy(&mut self, from: (usize, Key<'_>), to: (usize, Key<'_>)) -> Option<Detached> {
        let entry = self.dbs[from.0].get(from.1)?.duplicate(&mut self.core, to.1);
        self.db_mut(to.0).put(to.1, entry)
    }

    /// Empties a database (FLUSHDB): it gets a new space. What was in it comes back, to be dropped where it does not
    /// hurt; during a checkpoint it may come later, by [`Keyspace::take_garbage`].
    pub fn flush(&mut self, index: usize) -> Option<Garbage> {
        let db = &mut self.dbs[index];
        if db.is_empty() && !db.stored && db.dirty.is_empty() {
            return None;
        }
        let fresh = Db::new(self.core.new_space(), db.hasher, self.core.new_page());
        let old = std::mem::replace(db, fresh);
        let mut garbage = Vec::new();
        self.core.retire_db(old, &mut garbage);
        Garbage::of(garbage)
    }

    /// Empties all databases (FLUSHALL), as [`Keyspace::flush`].
    pub fn flush_all(&mut self) -> Option<Garbage> {
        let old = (0..self.dbs.len()).filter_map(|index| self.flush(index));
        Garbage::of(old.flat_map(|garbage| garbage.0).collect())
    }
}
