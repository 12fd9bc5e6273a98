//! Large collections that consist of parts with a checkpoint page each: the leaves of a list, and what a stream is made of.
//!
//! A part has a [`Mark`] of its own; the collection's [`Books`] list, by name, the parts that have changed since the last
//! checkpoint began and those that the running one has yet to take. A name that is listed and whose part is gone, or
//! was handed over already, is passed over. Whoever changes a part marks it first: see `touch` of the two.

use super::checkpoint::{Change, Core, SKIP_COST};
use super::nested::Nested;
use super::table::Mark;
use std::mem;

/// What is to be written of one collection, and what it is called in the store.
pub(super) struct Books<P> {
    space: u32,
    dirty: Vec<P>,
    /// Of the running checkpoint; those before `taken` were looked at.
    pending: Vec<P>,
    taken: usize,
    /// The checkpoint that `pending` is of.
    round: u64,
    /// Whether a checkpoint may hold pages of the space.
    stored: bool,
}

impl<P> Books<P> {
    /// Of a collection whose pages are yet to come.
    pub(super) fn hollow(space: u32) -> Self {
        Books { space, dirty: Vec::new(), pending: Vec::new(), taken: 0, round: 0, stored: false }
    }

    /// Of a new collection, in a space of its own.
    pub(super) fn new(core: &mut Core) -> Self {
        Books { round: core.round, ..Books::hollow(core.new_space()) }
    }

    pub(super) fn space(&self) -> u32 {
        self.space
    }

    /// Its pages have come.
    pub(super) fn loaded(&mut self) {
        self.stored = true;
    }

    /// A part has been marked as changed.
    pub(super) fn changed(&mut self, round: u64, part: P) {
        self.rotate(round);
        self.dirty.push(part);
    }

    /// All parts were marked and get new names: the list of them begins anew.
    pub(super) fn rename_all(&mut self, round: u64) {
        self.rotate(round);
        self.dirty.clear();
        (self.pending, self.taken) = (Vec::new(), 0);
    }

    fn rotate(&mut self, round: u64) {
        if self.round != round {
            debug_assert!(!self.owes(), "the checkpoint before took it all, or gave it back");
            self.round = round;
            self.pending = mem::take(&mut self.dirty);
            self.taken = 0;
            self.stored |= !self.pending.is_empty();
        }
    }

    fn owes(&self) -> bool {
        self.taken < self.pending.len()
    }
}

/// A collection with such parts.
pub(super) trait InParts: Send {
    /// The name of a part.
    type Part: Copy;
    fn books(&self) -> &Books<Self::Part>;
    fn books_mut(&mut self) -> &mut Books<Self::Part>;
    /// The mark of a part and the number of its page; `None` for one that is gone.
    fn mark_of(&mut self, part: Self::Part) -> Option<(&mut Mark, u64)>;
    /// The page of a part that is there.
    fn write(&self, part: Self::Part) -> Vec<u8>;
}

impl<C: InParts> Nested for C {
    fn space(&self) -> u32 {
        self.books().space
    }

    fn rotate(&mut self, round: u64) {
        self.books_mut().rotate(round);
    }

    fn owes(&self) -> bool {
        self.books().owes()
    }

    fn dirty_pages(&self) -> usize {
        self.books().dirty.len()
    }

    fn is_stored(&self) -> bool {
        self.books().stored
    }

    fn take_pages(&mut self, core: &mut Core, left: &mut isize, out: &mut Vec<Change>) -> bool {
        let owed = core.mark.other();
        while *left > 0 {
            let books = self.books_mut();
            let Some(&part) = books.pending.get(books.taken) else { break };
            books.taken += 1;
            match self.mark_of(part) {
                Some((mark, page)) if *mark == owed => {
                    *mark = Mark::Clean;
                    let change = Change::Page { space: self.books().space, page, bytes: self.write(part) };
                    *left -= change.bytes() as isize;
                    out.push(change);
                }
                _ => *left -= SKIP_COST,
            }
        }
        !self.books().owes()
    }

    fn take_back(&mut self, core: &mut Core) {
        self.books_mut().rotate(core.round);
        for part in mem::take(&mut self.books_mut().pending) {
            if let Some((mark, _)) = self.mark_of(part)
                && *mark != core.mark
            {
                *mark = core.mark;
                self.books_mut().dirty.push(part);
            }
        }
        self.books_mut().taken = 0;
    }
}
