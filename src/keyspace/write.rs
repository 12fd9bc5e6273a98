//! One database, for writing: every change passes through here, so that counts, deadlines, page sizes and dirty marks
//! stay right and a running checkpoint sees nothing of it.

use super::checkpoint::Core;
use super::db::{Db, EntryRef, HOLE, Place};
use super::entry::{Entry, INLINE_BYTES_MAX, NewValue, Stored};
use super::hash::Key;
use super::nested::Nested;
use super::string::grow;
use super::table::{DEPTH_MAX, Mark, TABLE_PAGE_BYTES_MAX, Table};
use super::value::Heap;
use crate::base::Millis;
use std::ops::Deref;

/// One database, for writing; reads as [`Db`].
pub struct DbMut<'a> {
    pub(super) db: &'a mut Db,
    pub(super) core: &'a mut Core,
}

impl Deref for DbMut<'_> {
    type Target = Db;
    fn deref(&self) -> &Db {
        self.db
    }
}

/// An entry that was taken out. Dropping it frees it; a bulky one may be sent to another thread for that.
pub struct Detached(Entry);

impl Detached {
    /// What it held.
    pub fn entry(&self) -> EntryRef<'_> {
        EntryRef::new(&self.0)
    }

    /// Whether freeing it takes long enough to leave it to another thread.
    pub fn is_bulky(&self) -> bool {
        matches!(self.0.value(), Stored::Heap(heap) if heap.is_bulky())
    }
}

impl EntryRef<'_> {
    /// The same under another key; a large collection in a space of its own.
    pub(super) fn duplicate(self, core: &mut Core, key: Key<'_>) -> Detached {
        let value = match self.stored() {
            Stored::Int(number) => NewValue::Int(number),
            Stored::Inline { bytes, .. } => NewValue::Inline(bytes),
            Stored::Packed { kind, bytes } => NewValue::Packed(kind, bytes),
            Stored::Heap(heap) => NewValue::Heap(Box::new(heap.duplicate(core))),
        };
        let entry = Entry::new(key.bytes, self.deadline(), value);
        entry.set_access(core.clock);
        Detached(entry)
    }
}

/// A boxed value that was overwritten. Dropping it frees it, here or on another thread.
pub struct OldValue(Box<Heap>);

impl OldValue {
    /// Bytes that dropping it frees, roughly.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}

impl<'a> DbMut<'a> {
    /// Sets a key to a string, whatever it held, with this deadline or none. As Redis, decimal integers are held as such.
    /// Gives back a large overwritten value.
    pub fn set_string(&mut self, key: Key<'_>, bytes: &[u8], deadline: Option<Millis>) -> Option<OldValue> {
        self.set(key, NewValue::string(bytes), deadline)
    }

    /// Sets a key to an integer, whatever it held; the deadline stays.
    pub fn set_int(&mut self, key: Key<'_>, number: i64) -> Option<OldValue> {
        match self.db.find(key) {
            Some(place) => self.overwrite(place, NewValue::Int(number)),
            None => self.set(key, NewValue::Int(number), None),
        }
    }

    /// Sets a key to bytes that never count as an integer nor as short: bitmaps, HyperLogLogs.
    pub fn set_raw(&mut self, key: Key<'_>, bytes: Vec<u8>, deadline: Option<Millis>) -> Option<OldValue> {
        let len = bytes.len();
        if len > INLINE_BYTES_MAX {
            return self.set(key, NewValue::Heap(Box::new(Heap::of_text(bytes))), deadline);
        }
        let old = self.set(key, NewValue::Inline(&bytes), deadline);
        if let Some(string) = self.string_mut(key) {
            string.edit(len, |_| ());
        }
        old
    }

    /// Sets a key to these bytes as they are: the fields of a large collection.
    pub(super) fn set_text(&mut self, key: Key<'_>, bytes: &[u8]) {
        self.set(key, NewValue::text(bytes), None);
    }

    fn set(&mut self, key: Key<'_>, value: NewValue<'_>, deadline: Option<Millis>) -> Option<OldValue> {
        let (clock, counts) = (self.core.clock, self.core.counts);
        match self.db.find(key) {
            Some(place) => {
                let old = self.change(place, |entry| {
                    let old = entry.store(deadline, value);
                    if !counts {
                        entry.set_access(clock);
                    }
                    old
                });
                old.map(OldValue)
            }
            None => {
                let entry = Entry::new(key.bytes, deadline, value);
                entry.set_access(clock);
                self.insert(key.hash, entry);
                None
            }
        }
    }

    fn overwrite(&mut self, place: Place, value: NewValue<'_>) -> Option<OldValue> {
        self.change(place, |entry| entry.store(entry.deadline(), value)).map(OldValue)
    }

    /// The string of a key, to change it in place; `None` where there is no entry (the caller has checked its type).
    pub fn string_mut(&mut self, key: Key<'_>) -> Option<StringMut<'_, 'a>> {
        let place = self.db.find(key)?;
        Some(StringMut { db: self, place })
    }

    /// Sets or clears a deadline; `false` where there is no entry.
    pub fn set_deadline(&mut self, key: Key<'_>, deadline: Option<Millis>) -> bool {
        let Some(place) = self.db.find(key) else { return false };
        if self.db.entry(place).deadline() != deadline {
            self.edit(place, |entry| entry.set_deadline(deadline));
        }
        true
    }

    /// Takes an entry out for good.
    pub fn remove(&mut self, key: Key<'_>) -> Option<Detached> {
        let Detached(mut entry) = self.detach(key)?;
        self.core.forget(self.db.id, &mut entry);
        Some(Detached(entry))
    }

    /// Takes an entry out that is to be [`DbMut::put`] elsewhere.
    pub fn detach(&mut self, key: Key<'_>) -> Option<Detached> {
        let place = self.db.find(key)?;
        self.touch(place.table);
        let table = self.db.tables.get_mut(place.table);
        let found = table.entries.get_bucket_entry(place.bucket).ok()?;
        let (mut entry, _) = found.remove();
        table.uncount(&entry);
        table.shrink(self.db.hasher);
        self.db.len -= 1;
        if let Some(deadline) = entry.deadline() {
            self.db.expires -= 1;
            self.db.deadline_sum -= i128::from(deadline.0);
        }
        if let Some(heap) = entry.heap_mut() {
            // A large collection keeps its pages, wherever it goes; a blob belongs to the space that it is in.
            match heap.raw_mut() {
                Some(raw) => self.core.forget_blob(self.db.id, raw),
                None => drop(heap.nested().map(|nested| self.db.nested_spaces.remove(&nested.space()))),
            }
        }
        Some(Detached(entry))
    }

    /// Puts a detached entry under this key, over what is there: RENAME, MOVE (to another database of this keyspace). It
    /// counts as one that was used now, as in Redis.
    pub fn put(&mut self, key: Key<'_>, mut detached: Detached) -> Option<Detached> {
        let old = self.remove(key);
        let deadline = detached.0.deadline();
        let heap = detached.0.take_heap();
        let value = match (heap, detached.0.value()) {
            (Some(heap), _) => NewValue::Heap(heap),
            (None, Stored::Int(number)) => NewValue::Int(number),
            (None, Stored::Inline { bytes, .. }) => NewValue::Inline(bytes),
            (None, Stored::Packed { kind, bytes }) => NewValue::Packed(kind, bytes),
            (None, Stored::Heap(_)) => unreachable!("it was taken out"),
        };
        let entry = Entry::new(key.bytes, deadline, value);
        entry.set_access(self.core.clock);
        self.insert(key.hash, entry);
        old
    }

    /// Moves an entry to another name, over what is there; `false` where there is none.
    pub fn rename(&mut self, from: Key<'_>, to: Key<'_>) -> bool {
        let Some(detached) = self.detach(from) else { return false };
        self.put(to, detached);
        true
    }

    /// Adds an entry whose key is not there.
    pub(super) fn insert(&mut self, hash: u64, mut entry: Entry) {
        let mut number = self.db.table_of(hash);
        while self.db.tables.get(number).is_full() && self.split(number) {
            number = self.db.table_of(hash);
        }
        self.touch(number);
        self.db.len += 1;
        if let Some(deadline) = entry.deadline() {
            self.db.expires += 1;
            self.db.deadline_sum += i128::from(deadline.0);
            self.db.lower(number, deadline.0);
        }
        let hasher = self.db.hasher;
        let nested = entry.heap_mut().and_then(Heap::nested_mut);
        let nested = nested.map(|nested| (nested.space(), self.core.debt(nested)));
        self.db.tables.get_mut(number).insert(hash, entry, hasher);
        if let Some((space, debt)) = nested {
            self.db.adopt_nested(self.core, number, space, debt);
        }
        self.split_if_large(number);
    }

    /// Changes an entry's value (and deadline).
    pub(super) fn change<R>(&mut self, place: Place, change: impl FnOnce(&mut Entry) -> R) -> R {
        self.touch(place.table);
        let table = self.db.tables.get_mut(place.table);
        let entry = table.entries.get_bucket_mut(place.bucket).expect("a place names a full bucket");
        if entry.heap_mut().is_some() {
            self.forget(place);
        }
        self.edit(place, change)
    }

    /// What the checkpoints have of an entry's boxed value is history.
    #[cold]
    fn forget(&mut self, place: Place) {
        let table = self.db.tables.get_mut(place.table);
        let entry = table.entries.get_bucket_mut(place.bucket).expect("a place names a full bucket");
        let before = super::page::record_bytes(entry);
        if let Some(space) = self.core.forget(self.db.id, entry) {
            self.db.nested_spaces.remove(&space);
        }
        let after = super::page::record_bytes(entry);
        table.bytes = table.bytes.wrapping_sub(before).wrapping_add(after);
    }

    /// Changes an entry, but not the bytes of its boxed value. The place is not valid any more.
    pub(super) fn edit<R>(&mut self, place: Place, change: impl FnOnce(&mut Entry) -> R) -> R {
        self.touch(place.table);
        let table = self.db.tables.get_mut(place.table);
        let entry = table.entries.get_bucket_mut(place.bucket).expect("a place names a full bucket");
        let (bytes, deadline) = (super::page::record_bytes(entry), entry.deadline());
        let result = change(entry);
        let (bytes_now, deadline_now) = (super::page::record_bytes(entry), entry.deadline());
        if deadline != deadline_now {
            table.expires += u32::from(deadline_now.is_some());
            table.expires -= u32::from(deadline.is_some());
            self.db.recount_deadline(place.table, deadline, deadline_now);
        }
        if bytes != bytes_now {
            let table = self.db.tables.get_mut(place.table);
            table.bytes = table.bytes.wrapping_sub(bytes).wrapping_add(bytes_now);
            self.split_if_large(place.table);
        }
        result
    }

    /// Before any change of a sub-table: hands its page to a running checkpoint that has yet to take it, and marks it.
    #[inline]
    pub(super) fn touch(&mut self, number: u32) {
        let table = self.db.tables.get_mut(number);
        if table.mark != self.core.mark {
            self.core.mark_dirty(self.db, number);
        }
    }

    fn split_if_large(&mut self, number: u32) {
        let table = self.db.tables.get(number);
        if table.bytes > TABLE_PAGE_BYTES_MAX && table.entries.len() > 1 && self.may_split_for_bytes(number) {
            self.split(number);
        }
    }

    /// Large entries that share many hash bits could double the directory again and again; it grows with the number of
    /// sub-tables instead.
    fn may_split_for_bytes(&self, number: u32) -> bool {
        let table = self.db.tables.get(number);
        table.depth < self.db.depth || self.db.directory.len() <= 8 * self.db.tables.len().max(8)
    }

    /// Splits a sub-table by its next hash bit. The half of the zeros keeps the page, the other gets a new one. `false`
    /// where it has no bit left.
    fn split(&mut self, number: u32) -> bool {
        if self.db.tables.get(number).depth >= DEPTH_MAX {
            return false;
        }
        self.touch(number);
        let db = &mut *self.db;
        if db.tables.get(number).depth == db.depth {
            db.double_directory();
        }
        let hasher = db.hasher;
        let old = db.tables.get_mut(number);
        let (depth, prefix, page) = (old.depth + 1, old.prefix, old.page);
        let (earliest, len) = (old.earliest, old.entries.len());
        let bit = 1u64 << (64 - depth);
        let high_prefix = prefix | (bit >> 32) as u32;
        let mut low = Table::new(page, prefix, depth, self.core.mark, len / 2);
        let mut high = Table::new(self.core.new_page(), high_prefix, depth, self.core.mark, len / 2);
        for entry in old.entries.drain() {
            let hash = hasher.hash(entry.key());
            let half = if hash & bit == 0 { &mut low } else { &mut high };
            half.insert(hash, entry, hasher);
        }
        debug_assert!([&low, &high].iter().all(|half| half.bytes < u32::MAX / 2));
        let bounds = [low.earliest, high.earliest];
        let nested = old.nested;
        (low.nested, high.nested) = (nested, nested);
        *old = low;
        let high_number = db.tables.push(high);
        // What the running checkpoint has taken already counts again should it be given up.
        let mut taken = || self.core.is_running() && db.tables.get_mut(high_number).nested().next().is_some();
        if nested != Mark::Clean || taken() {
            db.list_half(self.core, high_number);
        }
        assert!(high_number != HOLE);
        db.due_index.remove(&(earliest, number));
        for (bound, number) in bounds.into_iter().zip([number, high_number]) {
            if bound != i64::MAX {
                db.due_index.insert((bound, number));
            }
        }
        // A dirty sub-table stands in the dirty list already; the new one is added.
        db.dirty.push(high_number);
        let slots = 1usize << (db.depth - depth);
        let first = db.slot(u64::from(high_prefix) << 32);
        db.directory[first..first + slots].fill(high_number);
        true
    }

    /// The next keys whose deadline is `now` or earlier, at most about `keys_max`, appended to `out`. `true` if more may
    /// be due. The caller removes each of them (and feeds the DEL): a key that was given here is not given again before
    /// its deadline changes. A call looks at 16 sub-tables at most.
    pub fn due(&mut self, now: Millis, keys_max: usize, out: &mut Vec<Vec<u8>>) -> bool {
        let mut left = keys_max;
        for _ in 0..DUE_TABLES_MAX {
            let Some(&(bound, number)) = self.db.due_index.first() else { return false };
            if bound > now.0 || left == 0 {
                return bound <= now.0;
            }
            let table = self.db.tables.get_mut(number);
            let mut rest = i64::MAX;
            for entry in &table.entries {
                match entry.deadline() {
                    Some(deadline) if deadline <= now && left > 0 => {
                        out.push(entry.key().to_vec());
                        left -= 1;
                    }
                    Some(deadline) => rest = rest.min(deadline.0),
                    None => {}
                }
            }
            table.earliest = rest;
            self.db.due_index.pop_first();
            if rest != i64::MAX {
                self.db.due_index.insert((rest, number));
            }
        }
        self.db.next_deadline().is_some_and(|bound| bound <= now)
    }
}

const DUE_TABLES_MAX: usize = 16;

impl Db {
    fn recount_deadline(&mut self, number: u32, old: Option<Millis>, new: Option<Millis>) {
        if let Some(deadline) = old {
            self.expires -= 1;
            self.deadline_sum -= i128::from(deadline.0);
        }
        if let Some(deadline) = new {
            self.expires += 1;
            self.deadline_sum += i128::from(deadline.0);
            self.lower(number, deadline.0);
        }
    }

    /// A deadline enters a sub-table.
    fn lower(&mut self, number: u32, ms: i64) {
        let table = self.tables.get_mut(number);
        if ms < table.earliest {
            self.due_index.remove(&(table.earliest, number));
            table.earliest = ms;
            self.due_index.insert((ms, number));
        }
    }
}

/// A string that is being changed in place; growing is amortised.
pub struct StringMut<'a, 'b> {
    db: &'a mut DbMut<'b>,
    place: Place,
}

impl StringMut<'_, '_> {
    /// Adds bytes at the end; gives the new length.
    pub fn append(self, bytes: &[u8]) -> usize {
        let at = EntryRef::new(self.db.entry(self.place)).string().map_or(0, |string| string.len());
        self.set_range(at, bytes)
    }

    /// Writes bytes from `offset` on, with zeros in between where the string was shorter; gives the new length. The
    /// caller has checked the sum against the limit of strings.
    pub fn set_range(self, offset: usize, bytes: &[u8]) -> usize {
        self.edit(offset + bytes.len(), |text| {
            text[offset..offset + bytes.len()].copy_from_slice(bytes);
            text.len()
        })
    }

    /// Gives the text for writing, with zeros at the end up to `len` bytes where it was shorter.
    pub fn edit<R>(self, len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> R {
        self.db.change(self.place, |entry| edit(grow(entry, len)))
    }

    /// Replaces the text; the deadline stays.
    pub fn overwrite(self, bytes: &[u8]) -> Option<OldValue> {
        self.db.overwrite(self.place, NewValue::string(bytes))
    }
}

impl Core {
    #[cold]
    pub(super) fn mark_dirty(&mut self, db: &mut Db, number: u32) {
        if db.tables.get(number).mark != Mark::Clean {
            self.set_aside(db, number);
        }
        db.rotate(self.round);
        db.tables.get_mut(number).mark = self.mark;
        db.dirty.push(number);
    }
}
