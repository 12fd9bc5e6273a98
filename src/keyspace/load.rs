//! From pages back to a keyspace.
//!
//! Pages come in any order; each becomes a sub-table with its number and stands in the directory where its header says.
//! A record whose hash does not belong there (the hash function changed since) is a misfit: the page is given up, and its
//! entries are inserted like new ones at the end, dirty. After loading, nothing else is dirty.
//!
//! What a collection counts as follows the limits of the moment, as where Redis reads a file ([`Sizes::when_read`]). That
//! changes names only, and makes no page dirty: a page has the old name until it is written for another reason. Until
//! then each start comes to the new one again.

use super::Keyspace;
use super::chain::{Chain, Leaf, LeafPage};
use super::checkpoint::{Core, Dropped, Manifest};
use super::db::{Db, HOLE};
use super::entry::{Entry, INLINE_BYTES_MAX, NewValue};
use super::map::Map;
use super::nested::Nested;
use super::page::{PageError, PageReader, RecordValue};
use super::sizes::Sizes;
use super::stream::Stream;
use super::stream_page::{Parts, StreamPage};
use super::table::{DEPTH_MAX, Mark, Table};
use super::usage::Noted;
use super::value::{Heap, Kind, Value};
use super::write::DbMut;
use super::zsets::Ranked;
use std::collections::{HashMap, HashSet};

/// A keyspace in the making.
pub struct Loader {
    core: Core,
    sizes: Sizes,
    /// The databases, and behind them the large collections whose pages have come.
    dbs: Vec<Db>,
    databases: usize,
    /// Pages that each of them has had, and is to have.
    pages: Vec<(u64, u64)>,
    /// Which of `dbs` a space is.
    by_space: HashMap<u32, usize>,
    /// Leaves of large lists, by their space.
    leaves: HashMap<u32, Vec<Leaf>>,
    /// Pages of large streams, by their space.
    streams: HashMap<u32, Parts>,
    /// Keys of databases whose records name a large collection.
    claims: Vec<(usize, Vec<u8>)>,
    /// Entries of pages whose hashes are not ours, by database or collection.
    misfits: Vec<(usize, u64, Entry)>,
}

impl Loader {
    /// Begins with what a checkpoint's manifest says; collections will count as what these sizes make of them.
    pub fn new(manifest: &Manifest, sizes: Sizes) -> Result<Self, PageError> {
        let mut core = Core::new(manifest.seed);
        core.next_space = manifest.next_space;
        core.next_page = manifest.next_page;
        core.next_blob = manifest.next_blob.max(1);
        let hasher = super::hash::Hasher::new(manifest.seed);
        let mut by_space = HashMap::new();
        let mut dbs = Vec::with_capacity(manifest.spaces.len());
        for (index, &space) in manifest.spaces.iter().enumerate() {
            if by_space.insert(space, index).is_some() {
                return Err(PageError::Manifest("two databases have one space"));
            }
            let after = space.checked_add(1).ok_or(PageError::Manifest("a space number is out of range"))?;
            core.next_space = core.next_space.max(after);
            dbs.push(Db::hollow(space, hasher));
        }
        if manifest.pages.len() != dbs.len() {
            return Err(PageError::Manifest("it does not count the pages of each space"));
        }
        let pages = manifest.pages.iter().map(|&expected| (0, expected)).collect();
        let databases = dbs.len();
        Ok(Loader {
            core,
            sizes,
            dbs,
            databases,
            pages,
            by_space,
            leaves: HashMap::new(),
            streams: HashMap::new(),
            claims: Vec::new(),
            misfits: Vec::new(),
        })
    }

    /// Which access bits the keyspace goes by: those that pages tell are taken.
    pub fn noting(mut self, noted: Noted) -> Self {
        self.core.noted = noted;
        self
    }

    /// Adds a page; the number of keys in it. `blob` gives the bytes of a blob of the page's space.
    pub fn page(&mut self, bytes: &[u8], mut blob: impl FnMut(u32, u64) -> Option<Vec<u8>>) -> Result<u64, PageError> {
        if LeafPage::is_one(bytes) {
            return self.leaf(&LeafPage::new(bytes)?).map(|()| 0);
        }
        if StreamPage::is_one(bytes) {
            return self.stream_part(StreamPage::new(bytes)?).map(|()| 0);
        }
        let mut page = PageReader::new(bytes)?;
        let index = self.index_of(page.space)?;
        let after = page.page.checked_add(1).ok_or(PageError::Number { at: 1 })?;
        self.core.next_page = self.core.next_page.max(after);
        self.pages[index].0 += 1;
        let hasher = self.dbs[index].hasher;
        let mut table = Table::new(page.page, page.prefix, page.depth, Mark::Clean, page.records_left());
        let mut fits = true;
        while let Some(record) = page.next_record()? {
            let nested = index >= self.databases;
            let small;
            let value = match record.value {
                RecordValue::Int(_) | RecordValue::Small { .. } | RecordValue::Large { .. } if nested => {
                    return Err(PageError::Nested { space: page.space });
                }
                RecordValue::Int(number) => NewValue::Int(number),
                RecordValue::Bytes(bytes) if bytes.len() <= INLINE_BYTES_MAX => NewValue::Inline(bytes),
                RecordValue::Bytes(bytes) => NewValue::text(bytes),
                RecordValue::Blob { blob: id, len } => {
                    let wrong = PageError::Blob { page: page.page, blob: id };
                    let bytes = blob(page.space, id).filter(|bytes| bytes.len() as u64 == len).ok_or(wrong)?;
                    self.core.next_blob = self.core.next_blob.max(id.saturating_add(1));
                    NewValue::Heap(Box::new(Heap::loaded(bytes, id)))
                }
                RecordValue::Small { kind, bytes } => {
                    small = self.sizes.small_when_read(kind, bytes);
                    NewValue::Packed(kind, &small)
                }
                RecordValue::Large { kind, encoding, space } => {
                    self.claims.push((index, record.key.to_vec()));
                    let db = Db::hollow(space, hasher);
                    NewValue::Heap(Box::new(match kind {
                        Kind::List => Heap::List(Box::new(Chain::hollow(space, encoding))),
                        Kind::Set => Heap::Set(Box::new(Map { db, encoding })),
                        Kind::Zset => Heap::Zset(Box::new(Ranked::new(Map { db, encoding }))),
                        Kind::Hash => Heap::Hash(Box::new(Map { db, encoding })),
                        Kind::Stream => Heap::Stream(Box::new(Stream::hollow(space))),
                        Kind::Str => return Err(PageError::Nested { space }),
                    }))
                }
            };
            let hash = hasher.hash(record.key);
            fits &= table.holds(hash);
            if table.find(hash, record.key).is_some() {
                return Err(PageError::Twice { page: page.page });
            }
            let entry = Entry::new(record.key, record.deadline, value);
            if let Some(access) = record.access.filter(|access| access.noted() == self.core.noted) {
                entry.set_access(access.bits());
            }
            table.insert(hash, entry, hasher);
        }
        let keys = if index < self.databases { table.entries.len() as u64 } else { 0 };
        match fits {
            true => self.adopt(index, table)?,
            false => self.give_up(index, table),
        }
        Ok(keys)
    }

    /// Adds the page of a leaf.
    fn leaf(&mut self, page: &LeafPage<'_>) -> Result<(), PageError> {
        self.number(page.space, page.page)?;
        self.leaves.entry(page.space).or_default().push(Leaf::read(page)?);
        Ok(())
    }

    /// Adds the page of a part of a stream.
    fn stream_part(&mut self, part: StreamPage<'_>) -> Result<(), PageError> {
        let space = part.space;
        self.number(space, part.page)?;
        match part.join(self.streams.entry(space).or_default()) {
            true => Ok(()),
            false => Err(PageError::Nested { space }),
        }
    }

    /// New spaces and pages are numbered behind this one.
    fn number(&mut self, space: u32, page: u64) -> Result<(), PageError> {
        let next = space.checked_add(1).ok_or(PageError::Space(space))?;
        let after = page.checked_add(1).ok_or(PageError::Number { at: 1 })?;
        self.core.next_space = self.core.next_space.max(next);
        self.core.next_page = self.core.next_page.max(after);
        Ok(())
    }

    /// A space that is no database's is a collection's, which a record names: before this page, or later.
    fn index_of(&mut self, space: u32) -> Result<usize, PageError> {
        if let Some(&index) = self.by_space.get(&space) {
            return Ok(index);
        }
        let after = space.checked_add(1).ok_or(PageError::Space(space))?;
        self.core.next_space = self.core.next_space.max(after);
        let index = self.dbs.len();
        let mut db = Db::hollow(space, super::hash::Hasher::new(self.core.seed));
        db.inner = true;
        self.dbs.push(db);
        self.pages.push((0, 0));
        self.by_space.insert(space, index);
        Ok(index)
    }

    fn adopt(&mut self, index: usize, table: Table) -> Result<(), PageError> {
        let db = &mut self.dbs[index];
        while db.depth < table.depth {
            db.double_directory();
        }
        let first = db.slot(u64::from(table.prefix) << 32);
        let slots = first..first + (1usize << (db.depth - table.depth));
        if db.directory[slots.clone()].iter().any(|&number| number != HOLE) {
            return Err(PageError::Overlap { space: db.id, page: table.page });
        }
        db.stored = true;
        db.len += table.entries.len() as u64;
        db.expires += u64::from(table.expires);
        if table.expires > 0 {
            let deadlines = table.entries.iter().filter_map(Entry::deadline);
            db.deadline_sum += deadlines.map(|deadline| i128::from(deadline.0)).sum::<i128>();
        }
        let earliest = table.earliest;
        let number = db.tables.push(table);
        if earliest != i64::MAX {
            db.due_index.insert((earliest, number));
        }
        db.directory[slots].fill(number);
        Ok(())
    }

    fn give_up(&mut self, index: usize, mut table: Table) {
        let db = &mut self.dbs[index];
        db.stored = true;
        self.core.drops.push(Dropped::Page { space: db.id, page: table.page });
        self.misfits.extend(table.entries.drain().map(|entry| (index, table.page, entry)));
    }

    /// The keyspace, when all pages are in: as many as the manifest counts, for all hashes of each space that has any.
    pub fn finish(self) -> Result<Keyspace, PageError> {
        let Loader { mut core, sizes, mut dbs, databases, pages, misfits, claims, mut leaves, mut streams, .. } = self;
        for (db, (found, expected)) in dbs.iter().zip(pages).take(databases) {
            if found != expected {
                return Err(PageError::Count { space: db.id, expected, found });
            }
        }
        let with_misfits: HashSet<usize> = misfits.iter().map(|&(index, ..)| index).collect();
        for (index, db) in dbs.iter_mut().enumerate() {
            let hole = db.directory.iter().position(|&number| number == HOLE);
            if let Some(hole) = hole
                && db.tables.len() > 0
                && !with_misfits.contains(&index)
            {
                let prefix = ((hole as u64) << (32 - db.depth)) as u32;
                return Err(PageError::Gap { space: db.id, prefix });
            }
            db.fill_holes(&mut core);
        }
        for (index, page, entry) in misfits {
            let mut db = DbMut { db: &mut dbs[index], core: &mut core };
            let key = db.hasher.key(entry.key());
            if db.contains(key) {
                return Err(PageError::Twice { page });
            }
            db.insert(key.hash, entry);
        }
        let mut nested: HashMap<u32, Db> = dbs.drain(databases..).map(|db| (db.id, db)).collect();
        for (index, name) in claims {
            dbs[index].claim(&core, sizes, &name, &mut nested, &mut leaves, &mut streams)?;
        }
        if let Some(&space) = nested.keys().chain(leaves.keys()).chain(streams.keys()).next() {
            return Err(PageError::Space(space));
        }
        Ok(Keyspace { core, dbs, garbage: Vec::new() })
    }
}

impl Db {
    /// Gives a key the large collection that its record names.
    fn claim(
        &mut self,
        core: &Core,
        sizes: Sizes,
        name: &[u8],
        nested: &mut HashMap<u32, Db>,
        leaves: &mut HashMap<u32, Vec<Leaf>>,
        streams: &mut HashMap<u32, Parts>,
    ) -> Result<(), PageError> {
        let place = self.find(self.hasher.key(name)).expect("it was loaded");
        let entry = self.tables.get_mut(place.table).entries.get_bucket_mut(place.bucket).expect("a full bucket");
        let (space, is_dirty) = match entry.heap_mut() {
            Some(Heap::Set(map) | Heap::Hash(map)) => {
                let space = map.db.id;
                map.db = nested.remove(&space).filter(|db| !db.is_empty()).ok_or(PageError::Nested { space })?;
                (space, !map.db.dirty.is_empty())
            }
            Some(Heap::Zset(ranked)) => {
                let space = ranked.map.db.id;
                ranked.map.db = nested.remove(&space).filter(|db| !db.is_empty()).ok_or(PageError::Nested { space })?;
                if !ranked.rebuild() {
                    return Err(PageError::Nested { space });
                }
                (space, !ranked.map.db.dirty.is_empty())
            }
            Some(Heap::List(chain)) => {
                let space = chain.space();
                let held = leaves.remove(&space).ok_or(PageError::Nested { space })?;
                if !chain.load(held) {
                    return Err(PageError::Nested { space });
                }
                (space, false)
            }
            Some(Heap::Stream(stream)) => {
                let space = stream.space();
                let parts = streams.remove(&space).ok_or(PageError::Nested { space })?;
                if !stream.load(parts) {
                    return Err(PageError::Nested { space });
                }
                (space, false)
            }
            _ => unreachable!("its record names a large collection"),
        };
        if let Some(encoding) = sizes.when_read(Value::of(entry)) {
            entry.heap_mut().expect("matched above").set_encoding(encoding);
        }
        self.nested_spaces.insert(space);
        if is_dirty {
            self.list_nested(place.table, core.mark);
        }
        Ok(())
    }
}

impl Db {
    /// Puts an empty sub-table into each hole, as large as can be. Where pages exist it has to become one as well.
    fn fill_holes(&mut self, core: &mut Core) {
        let mark = if self.tables.len() == 0 && !self.stored { Mark::Clean } else { core.mark };
        while let Some(first) = self.directory.iter().position(|&number| number == HOLE) {
            let mut depth = self.depth;
            loop {
                let slots = 1usize << (self.depth - depth);
                let wider = first % (2 * slots) == 0
                    && depth > 0
                    && self.directory[first..first + 2 * slots].iter().all(|&number| number == HOLE);
                if !wider {
                    break;
                }
                depth -= 1;
            }
            let slots = 1usize << (self.depth - depth);
            let prefix = ((first as u64) << (32 - self.depth)) as u32;
            let number = self.tables.push(Table::new(core.new_page(), prefix, depth, mark, 0));
            if mark != Mark::Clean {
                self.dirty.push(number);
            }
            self.directory[first..first + slots].fill(number);
        }
    }
}

const _: () = assert!(DEPTH_MAX < 32);
