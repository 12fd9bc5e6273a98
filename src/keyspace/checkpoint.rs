//! Checkpoints: which pages have changed, and how they are handed over in slices while writes go on.
//!
//! A checkpoint's image is the keyspace at the moment of [`Keyspace::checkpoint_begin`]. It is handed over as [`Change`]s
//! to the image before it. A sub-table that the running checkpoint has yet to take is serialised by the first write to
//! it, before that write, and waits `aside` for the next slice. A database that is flushed meanwhile is retired: it lives
//! on until its pages are taken, and so is a large collection that is removed. A large string is not copied but shared, so the first change of it while the storage
//! thread still holds it copies it.

use super::db::Db;
use super::hash::Seed;
use super::nested::{Nested, Retired};
use super::page;
use super::string::Raw;
use super::table::Mark;
use super::usage::Noted;
use super::{Garbage, Keyspace};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// What the keyspace adds to a checkpoint's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The seed of the hash: pages are cut along hash prefixes.
    pub seed: Seed,
    /// The space of each database, by its number.
    pub spaces: Vec<u32>,
    /// How many pages each of them has in the image, so that none can be lost unseen.
    pub pages: Vec<u64>,
    /// The next space; a lower bound (loading raises it above those that it sees, as the two below).
    pub next_space: u32,
    /// The next page.
    pub next_page: u64,
    /// The next blob.
    pub next_blob: u64,
}

/// One step from the last checkpoint's image to the one being made. Their order does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The page is new or has these bytes now.
    Page { space: u32, page: u64, bytes: Vec<u8> },
    /// The blob is new; it never changes.
    Blob { space: u32, blob: u64, bytes: Arc<Vec<u8>> },
    /// Something is no part of the image any more.
    Drop(Dropped),
}

/// What a new image does without. It may name things that no checkpoint ever held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// One page.
    Page { space: u32, page: u64 },
    /// One blob.
    Blob { space: u32, blob: u64 },
    /// All pages and blobs of a space.
    Space { space: u32 },
}

impl Change {
    /// Bytes to be written, about.
    pub fn bytes(&self) -> usize {
        match self {
            Change::Page { bytes, .. } => bytes.len() + 16,
            Change::Blob { bytes, .. } => bytes.len() + 16,
            Change::Drop(_) => 16,
        }
    }
}

/// Whether a checkpoint has more to hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Slice {
    /// Ask again.
    More,
    /// That was all; tell by [`Keyspace::checkpoint_end`] when it is durable, or by `checkpoint_abort`.
    Done,
}

/// What it counts to find that a page was set aside already: so that a slice over many of them is bounded too.
pub(super) const SKIP_COST: isize = 64;

/// What all databases share.
pub(super) struct Core {
    pub(super) seed: Seed,
    pub(super) next_space: u32,
    pub(super) next_page: u64,
    pub(super) next_blob: u64,
    /// The access bits that new and overwritten entries get.
    pub(super) clock: u32,
    /// They are counters, not clocks: an overwritten entry keeps its own.
    pub(super) counts: bool,
    /// What pages tell of them.
    pub(super) noted: Noted,
    /// The colour of what changed since the last checkpoint began.
    pub(super) mark: Mark,
    /// Checkpoints begun so far.
    pub(super) round: u64,
    /// An element of a large list that takes more than this gets a leaf of its own, whatever room there is.
    pub(super) alone_bytes: usize,
    /// Room to change a small collection in.
    pub(super) scratch: Vec<u8>,
    /// For the next checkpoint.
    pub(super) drops: Vec<Dropped>,
    /// Blobs that were handed to aborted checkpoints: no store has them for sure.
    void: Vec<Range<u64>>,
    running: Option<Running>,
}

struct Running {
    aside: VecDeque<Change>,
    aside_bytes: usize,
    drops: Vec<Dropped>,
    drops_taken: usize,
    retired: Vec<Retired>,
    retired_bytes: usize,
    first_blob: u64,
}

impl Core {
    pub(super) fn new(seed: Seed) -> Self {
        Core {
            seed,
            next_space: 0,
            next_page: 0,
            next_blob: 1,
            clock: 0,
            counts: false,
            noted: Noted::Nothing,
            mark: Mark::Red,
            round: 0,
            alone_bytes: usize::MAX,
            scratch: Vec::new(),
            drops: Vec::new(),
            void: Vec::new(),
            running: None,
        }
    }

    pub(super) fn new_page(&mut self) -> u64 {
        self.next_page += 1;
        self.next_page - 1
    }

    pub(super) fn new_space(&mut self) -> u32 {
        let space = self.next_space;
        self.next_space =
            space.checked_add(1).expect("a data set has had four billion databases and large collections");
        space
    }

    /// Serialises a sub-table that the running checkpoint has yet to take and that is about to change.
    pub(super) fn set_aside(&mut self, db: &mut Db, number: u32) {
        let mut changes = Vec::new();
        self.serialise(db, number, &mut changes);
        changes.into_iter().for_each(|change| self.put_aside(change));
    }

    /// A page as it was at the running checkpoint's begin.
    pub(super) fn put_aside(&mut self, change: Change) {
        let running = self.running.as_mut().expect("only a running checkpoint leaves the other colour");
        running.aside_bytes += change.bytes();
        running.aside.push_back(change);
    }

    fn serialise(&mut self, db: &mut Db, number: u32, out: &mut Vec<Change>) {
        let (space, table) = (db.id, db.tables.get_mut(number));
        let noted = if db.inner { Noted::Nothing } else { self.noted };
        table.used.set(false);
        let name_blob = |raw: &mut Raw| {
            if raw.blob() == 0 || self.void.iter().any(|range| range.contains(&raw.blob())) {
                raw.set_blob(self.next_blob);
                self.next_blob += 1;
                out.push(Change::Blob { space, blob: raw.blob(), bytes: raw.share() });
            }
            raw.blob()
        };
        let bytes = page::write(space, table, noted, name_blob);
        out.push(Change::Page { space, page: table.page, bytes });
    }

    /// Takes what goes into the running checkpoint's care.
    pub(super) fn retire(&mut self, retired: Retired) {
        let running = self.running.as_mut().expect("only a running checkpoint cares");
        running.retired_bytes += retired.memory();
        running.retired.push(retired);
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// A database goes: into the running checkpoint's care if it still has to take pages of it.
    pub(super) fn retire_db(&mut self, db: Db, garbage: &mut Vec<Retired>) {
        if db.stored {
            self.drops.push(Dropped::Space { space: db.id });
        }
        self.drops.extend(db.nested_spaces.iter().map(|&space| Dropped::Space { space }));
        let owes = self.is_running() && db.owes();
        let retired = Retired::Db(Box::new(db));
        if owes { self.retire(retired) } else { garbage.push(retired) }
    }
}

impl Db {
    /// Hands over pages until `out` has `bytes_max` (by `left`). `true` if all of this database's own are handed over.
    pub(super) fn take_own_pages(&mut self, core: &mut Core, left: &mut isize, out: &mut Vec<Change>) -> bool {
        while self.taken < self.pending.len() && *left > 0 {
            let number = self.pending[self.taken];
            self.taken += 1;
            if self.tables.get(number).mark == core.mark.other() {
                let before = out.len();
                core.serialise(self, number, out);
                self.tables.get_mut(number).mark = Mark::Clean;
                *left -= out[before..].iter().map(Change::bytes).sum::<usize>() as isize;
            } else {
                *left -= SKIP_COST;
            }
        }
        self.taken == self.pending.len()
    }
}

impl Keyspace {
    /// What pages tell of entries' access bits from now on. Where that changes, all of them have to tell it: see
    /// [`Keyspace::renew_accesses`].
    pub fn note_accesses(&mut self, noted: Noted) {
        if std::mem::replace(&mut self.core.noted, noted) != noted {
            let tables = self.dbs.iter().flat_map(|db| db.tables.iter());
            tables.filter(|table| !table.entries.is_empty()).for_each(|table| table.used.set(true));
        }
    }

    /// For a checkpoint that a file is to be made of: pages of which only access bits have changed count as changed. Not
    /// while a checkpoint is running. Takes some ns for each page.
    pub fn renew_accesses(&mut self) {
        assert!(self.core.running.is_none(), "the running checkpoint has its pages");
        if self.core.noted == Noted::Nothing {
            return;
        }
        for db in &mut self.dbs {
            for number in 0..db.tables.len() as u32 {
                let table = db.tables.get_mut(number);
                if table.used.get() && table.mark != self.core.mark {
                    table.mark = self.core.mark;
                    db.dirty.push(number);
                }
            }
        }
    }

    /// Begins a checkpoint whose image is the keyspace of this moment. Takes no time. A second one must wait for
    /// [`Keyspace::checkpoint_end`] or [`Keyspace::checkpoint_abort`].
    pub fn checkpoint_begin(&mut self) -> Manifest {
        assert!(self.core.running.is_none(), "one checkpoint at a time");
        self.core.mark = self.core.mark.other();
        self.core.round += 1;
        for db in &mut self.dbs {
            db.rotate(self.core.round);
        }
        self.core.running = Some(Running {
            aside: VecDeque::new(),
            aside_bytes: 0,
            drops: std::mem::take(&mut self.core.drops),
            drops_taken: 0,
            retired: Vec::new(),
            retired_bytes: 0,
            first_blob: self.core.next_blob,
        });
        self.manifest()
    }

    /// Hands over the next changes, about `bytes_max` of them but at least one, appended to `out`.
    pub fn checkpoint_slice(&mut self, bytes_max: usize, out: &mut Vec<Change>) -> Slice {
        let Some(running) = &mut self.core.running else { return Slice::Done };
        let mut left = isize::try_from(bytes_max).unwrap_or(isize::MAX).max(1);
        while left > 0
            && let Some(change) = running.aside.pop_front()
        {
            running.aside_bytes -= change.bytes();
            left -= change.bytes() as isize;
            out.push(change);
        }
        while left > 0
            && let Some(&dropped) = running.drops.get(running.drops_taken)
        {
            running.drops_taken += 1;
            left -= 16;
            out.push(Change::Drop(dropped));
        }
        let (core, mut rest) = (&mut self.core, 0);
        for db in &mut self.dbs {
            rest += usize::from(!db.take_pages(core, &mut left, out));
        }
        while left > 0
            && let Some(mut retired) = core.running.as_mut().and_then(|running| running.retired.pop())
        {
            let taken = retired.nested().take_pages(core, &mut left, out);
            let running = core.running.as_mut().expect("it was there a moment ago");
            if !taken {
                running.retired.push(retired);
                break;
            }
            running.retired_bytes = running.retired_bytes.saturating_sub(retired.memory());
            self.garbage.push(retired);
        }
        let Some(running) = &mut core.running else { return Slice::Done };
        rest += running.retired.len() + running.aside.len() + (running.drops.len() - running.drops_taken);
        if rest == 0 { Slice::Done } else { Slice::More }
    }

    /// Bytes that writes have set aside for the next slices.
    pub fn checkpoint_aside_bytes(&self) -> usize {
        self.core.running.as_ref().map_or(0, |running| running.aside_bytes)
    }

    /// Bytes that a running checkpoint takes here, beside what is in use without it: pages that writes have set aside, and
    /// what was removed since and is kept until it is taken.
    pub fn checkpoint_bytes(&self) -> usize {
        self.core.running.as_ref().map_or(0, |running| running.aside_bytes + running.retired_bytes)
    }

    /// Whether a checkpoint was begun and neither ended nor aborted.
    pub fn checkpoint_is_running(&self) -> bool {
        self.core.running.is_some()
    }

    /// The checkpoint that was handed over to its end is durable and current.
    pub fn checkpoint_end(&mut self) {
        let running = self.core.running.take().expect("a checkpoint is running");
        assert!(running.aside.is_empty() && running.retired.is_empty(), "the checkpoint was handed over to its end");
        for db in &mut self.dbs {
            assert!(!db.owes(), "the checkpoint was handed over to its end");
            (db.pending, db.nested_pending) = (Vec::new(), Vec::new());
            (db.taken, db.nested_taken) = (0, 0);
        }
    }

    /// Gives the running checkpoint up: the image before it stays the last one, and the next checkpoint hands over all
    /// that this one had to, and what changed since. Takes time with the number of its pages (some ns each).
    pub fn checkpoint_abort(&mut self) {
        let Some(mut running) = self.core.running.take() else { return };
        running.drops.append(&mut self.core.drops);
        self.core.drops = running.drops;
        if running.first_blob < self.core.next_blob {
            match self.core.void.last_mut() {
                Some(last) if last.end == running.first_blob => last.end = self.core.next_blob,
                _ => self.core.void.push(running.first_blob..self.core.next_blob),
            }
        }
        for db in &mut self.dbs {
            db.take_back(&mut self.core);
        }
        self.garbage.append(&mut running.retired);
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            seed: self.core.seed,
            spaces: self.dbs.iter().map(|db| db.id).collect(),
            pages: self.dbs.iter().map(|db| if db.stored { db.tables.len() as u64 } else { 0 }).collect(),
            next_space: self.core.next_space,
            next_page: self.core.next_page,
            next_blob: self.core.next_blob,
        }
    }

    /// Pages that changed since the last checkpoint began.
    pub fn dirty_pages(&self) -> usize {
        self.dbs.iter().map(Db::dirty_pages).sum()
    }

    /// Freed databases that were kept for a checkpoint; drop them where it does not hurt.
    pub fn take_garbage(&mut self) -> Option<Garbage> {
        Garbage::of(std::mem::take(&mut self.garbage))
    }
}
