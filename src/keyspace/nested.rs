//! Large collections have pages of their own: how they take part in checkpoints.
//!
//! A large collection belongs to the entry that holds it, wherever that goes. Its pages lie in a space of its own, whose
//! number the entry's record names. A checkpoint finds it through the sub-table that its entry lies in: one that may hold
//! collections with changed pages stands in its database's `nested_dirty`, and from the checkpoint's begin on in
//! `nested_pending`. Being listed for nothing does no harm. A collection turns its own list of changed pages into one of
//! pages to be taken by itself, the first time that the checkpoint or a write comes by ([`Nested::rotate`]): beginning a
//! checkpoint takes no time, however many collections there are.

use super::checkpoint::{Change, Core};
use super::db::Db;
use super::string::Raw;
use super::table::Mark;
use super::value::Heap;

/// What has pages of its own.
pub(super) trait Nested: Send {
    /// Its number, never used twice.
    fn space(&self) -> u32;
    /// Makes what has changed before the round's checkpoint began its business, once a round.
    fn rotate(&mut self, round: u64);
    /// Whether the last round's checkpoint has yet to take pages of it.
    fn owes(&self) -> bool;
    /// Pages that changed since the last checkpoint began.
    fn dirty_pages(&self) -> usize;
    /// Whether a checkpoint may hold pages of it.
    fn is_stored(&self) -> bool;
    /// Hands over pages until `left` is used up; whether all is handed over.
    fn take_pages(&mut self, core: &mut Core, left: &mut isize, out: &mut Vec<Change>) -> bool;
    /// The running checkpoint is given up: what it was handed counts as changed again.
    fn take_back(&mut self, core: &mut Core);
}

/// What was removed while the running checkpoint still has to take pages of it.
pub(super) enum Retired {
    Db(Box<Db>),
    Value(Box<Heap>),
}

impl Retired {
    pub(super) fn nested(&mut self) -> &mut dyn Nested {
        match self {
            Retired::Db(db) => &mut **db,
            Retired::Value(heap) => heap.nested_mut().expect("only what has pages is retired"),
        }
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory(&self) -> usize {
        match self {
            Retired::Db(db) => db.memory(),
            Retired::Value(heap) => heap.memory(),
        }
    }

    /// Entries of databases.
    pub(super) fn len(&self) -> u64 {
        match self {
            Retired::Db(db) => db.len(),
            Retired::Value(_) => 0,
        }
    }
}

impl Nested for Db {
    fn space(&self) -> u32 {
        self.id
    }

    fn rotate(&mut self, round: u64) {
        if self.round != round {
            debug_assert!(!self.owes(), "the checkpoint before took it all, or gave it back");
            self.round = round;
            self.pending = std::mem::take(&mut self.dirty);
            self.nested_pending = std::mem::take(&mut self.nested_dirty);
            (self.taken, self.nested_taken) = (0, 0);
            self.stored |= !self.pending.is_empty();
        }
    }

    fn owes(&self) -> bool {
        self.taken < self.pending.len() || self.nested_taken < self.nested_pending.len()
    }

    fn is_stored(&self) -> bool {
        self.stored
    }

    fn dirty_pages(&self) -> usize {
        Db::dirty_pages(self)
    }

    fn take_pages(&mut self, core: &mut Core, left: &mut isize, out: &mut Vec<Change>) -> bool {
        self.take_own_pages(core, left, out) && self.take_nested(core, left, out)
    }

    fn take_back(&mut self, core: &mut Core) {
        self.rotate(core.round);
        for number in std::mem::take(&mut self.pending) {
            let table = self.tables.get_mut(number);
            if table.mark != core.mark {
                table.mark = core.mark;
                self.dirty.push(number);
            }
        }
        for number in std::mem::take(&mut self.nested_pending) {
            let table = self.tables.get_mut(number);
            table.nested().for_each(|nested| nested.take_back(core));
            if table.nested != core.mark {
                table.nested = core.mark;
                self.nested_dirty.push(number);
            }
        }
        (self.taken, self.nested_taken) = (0, 0);
    }
}

impl Db {
    fn take_nested(&mut self, core: &mut Core, left: &mut isize, out: &mut Vec<Change>) -> bool {
        while let Some(&number) = self.nested_pending.get(self.nested_taken) {
            let table = self.tables.get_mut(number);
            let mut done = *left > 0;
            for nested in table.nested() {
                nested.rotate(core.round);
                done = done && (!nested.owes() || nested.take_pages(core, left, out));
            }
            if !done {
                return false;
            }
            if table.nested != core.mark {
                table.nested = Mark::Clean;
            }
            self.nested_taken += 1;
            *left -= super::checkpoint::SKIP_COST;
        }
        true
    }

    /// A sub-table holds a collection that has changed pages, or may have.
    #[inline]
    pub(super) fn list_nested(&mut self, number: u32, mark: Mark) {
        let table = self.tables.get_mut(number);
        if table.nested != mark {
            table.nested = mark;
            self.nested_dirty.push(number);
        }
    }

    /// An entry with a large collection has come into a sub-table.
    pub(super) fn adopt_nested(&mut self, core: &Core, number: u32, space: u32, debt: Debt) {
        self.nested_spaces.insert(space);
        self.list_nested(number, core.mark);
        self.list_pending(number, debt);
    }

    /// The half of a split sub-table that held large collections may hold some: it is listed as the other half is.
    pub(super) fn list_half(&mut self, core: &Core, number: u32) {
        self.nested_dirty.push(number);
        if core.is_running() {
            let owed = self.nested_taken < self.nested_pending.len();
            self.list_pending(number, if owed { Debt::Owed } else { Debt::Paid });
        }
    }

    /// Lists a sub-table for the running checkpoint: among those that it has yet to look at, or among those that it has
    /// looked at, which count again should it be given up.
    fn list_pending(&mut self, number: u32, debt: Debt) {
        if debt == Debt::None {
            return;
        }
        self.nested_pending.push(number);
        if debt == Debt::Paid {
            let last = self.nested_pending.len() - 1;
            self.nested_pending.swap(self.nested_taken, last);
            self.nested_taken += 1;
        }
    }
}

/// What the running checkpoint has to do with a collection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Debt {
    /// Nothing, or there is none.
    None,
    /// It has taken pages of it.
    Paid,
    /// It has yet to take pages of it.
    Owed,
}

impl Core {
    /// The value of an entry is about to go for good: what the checkpoints have of it is history.
    pub(super) fn forget(&mut self, db: u32, entry: &mut super::entry::Entry) -> Option<u32> {
        let heap = entry.heap_mut()?;
        if let Some(raw) = heap.raw_mut() {
            self.forget_blob(db, raw);
            return None;
        }
        let nested = heap.nested_mut()?;
        let space = nested.space();
        let owes = self.debt(nested) == Debt::Owed;
        if nested.is_stored() {
            self.drops.push(super::Dropped::Space { space });
        }
        if owes && let Some(heap) = entry.take_heap() {
            self.retire(Retired::Value(heap));
        }
        Some(space)
    }

    /// What the running checkpoint has to do with a collection.
    pub(super) fn debt(&self, nested: &mut dyn Nested) -> Debt {
        if !self.is_running() {
            return Debt::None;
        }
        nested.rotate(self.round);
        match nested.owes() {
            true => Debt::Owed,
            false => Debt::Paid,
        }
    }

    /// The bytes of a boxed string are about to change or go: the checkpoints' blob of it is history.
    pub(super) fn forget_blob(&mut self, space: u32, raw: &mut Raw) {
        if raw.blob() != 0 {
            self.drops.push(super::Dropped::Blob { space, blob: raw.blob() });
            raw.set_blob(0);
        }
    }
}
