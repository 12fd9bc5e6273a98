//! A large hash or set: a table of tables like a database's, in a space of its own, and the one way by which a small
//! collection is changed and becomes a large one.

use super::checkpoint::Core;
use super::db::{Db, Place};
use super::entry::{Entry, INLINE_BYTES_MAX, NewValue, Stored};
use super::hash::Key;
use super::nested::Debt;
use super::packed;
use super::string::StrRef;
use super::value::{COMPACT, Heap, Kind};
use super::write::DbMut;

/// Up to when a collection counts as compact (`*-max-listpack-entries`, `*-max-listpack-value`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements, or pairs of field and value.
    pub entries: usize,
    /// Bytes of one element.
    pub bytes: usize,
}

impl Limits {
    /// Whether so many count as compact, where these are the elements.
    pub(super) fn hold<'e>(&self, count: usize, mut elements: impl Iterator<Item = &'e [u8]>) -> bool {
        count <= self.entries && elements.all(|element| element.len() <= self.bytes)
    }
}

/// The most elements of a small collection that does not count as compact any more: from here on looking at all of them
/// takes longer than a hash.
const CONVERTED_ITEMS_MAX: usize = 128;

/// A large collection found by hash.
pub(super) struct Map {
    pub(super) db: Db,
    pub(super) encoding: u8,
}

impl Map {
    /// Empty, in a space of its own. It is not to stay empty: its first write makes its first page.
    pub(super) fn new(core: &mut Core, hasher: super::hash::Hasher, encoding: u8) -> Map {
        let mut db = Db::new(core.new_space(), hasher, core.new_page());
        (db.round, db.inner) = (core.round, true);
        Map { db, encoding }
    }

    /// The same, in a space of its own.
    pub(super) fn duplicate(&self, core: &mut Core) -> Map {
        let mut copy = Map::new(core, self.db.hasher, self.encoding);
        for entry in self.db.iter() {
            if let Some(StrRef::Bytes(value)) = entry.string() {
                put(&mut copy, core, entry.key(), value);
            }
        }
        copy
    }

    /// Bytes of memory, roughly: by some of its entries.
    pub(super) fn memory(&self) -> usize {
        size_of::<Map>() + self.db.memory()
    }
}

/// A collection being changed: where its entry is.
pub(super) struct Held<'a, 'b> {
    pub(super) db: &'a mut DbMut<'b>,
    key: Key<'a>,
    place: Place,
}

impl<'a, 'b> Held<'a, 'b> {
    /// The collection of a key, made empty where there is none. The caller has checked the type, and leaves none empty.
    pub(super) fn find_or_make(db: &'a mut DbMut<'b>, key: Key<'a>, kind: Kind, encoding: u8) -> Self {
        Self::find_or_put(db, key, kind, &packed::empty(encoding))
    }

    /// The same; `fresh` is an empty one.
    pub(super) fn find_or_put(db: &'a mut DbMut<'b>, key: Key<'a>, kind: Kind, fresh: &[u8]) -> Self {
        let place = match db.db.find(key) {
            Some(place) => place,
            None => {
                let entry = Entry::new(key.bytes, None, NewValue::Packed(kind, fresh));
                entry.set_access(db.core.clock);
                db.insert(key.hash, entry);
                db.db.find(key).expect("inserted above")
            }
        };
        Held { db, key, place }
    }

    /// The collection of a key.
    pub(super) fn find(db: &'a mut DbMut<'b>, key: Key<'a>) -> Option<Self> {
        let place = db.db.find(key)?;
        Some(Held { db, key, place })
    }

    pub(super) fn entry(&self) -> &Entry {
        self.db.db.entry(self.place)
    }

    /// The bytes of a small collection.
    pub(super) fn packed(&self) -> Option<&[u8]> {
        match self.entry().value() {
            Stored::Packed { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Changes the bytes of a small collection. They may outgrow an entry: then `grown` makes a large one of them.
    pub(super) fn change_packed(
        &mut self,
        change: impl FnOnce(&mut Vec<u8>),
        grown: impl FnOnce(&mut Core, super::hash::Hasher, &[u8]) -> Heap,
    ) {
        let mut room = std::mem::take(&mut self.db.core.scratch);
        let Stored::Packed { kind, bytes } = self.entry().value() else { unreachable!("the caller saw a small one") };
        room.clear();
        room.extend_from_slice(bytes);
        change(&mut room);
        self.store(kind, &room, grown);
        room.shrink_to(INLINE_BYTES_MAX);
        self.db.core.scratch = room;
    }

    /// Makes a large collection of a small one.
    pub(super) fn enlarge(&mut self, grown: impl FnOnce(&mut Core, super::hash::Hasher, &[u8]) -> Heap) {
        let bytes = self.packed().expect("the caller saw a small one").to_vec();
        self.store_large(&bytes, grown);
    }

    /// A large collection counts as another encoding from now on.
    pub(super) fn set_encoding(&mut self, encoding: u8) {
        self.db.edit(self.place, |entry| entry.heap_mut().expect("the caller saw a large one").set_encoding(encoding));
    }

    /// Puts a small value in the place of a large collection.
    pub(super) fn replace_large(&mut self, value: NewValue<'_>) {
        self.db.change(self.place, |entry| {
            entry.store(entry.deadline(), value);
        });
        self.find_again();
    }

    fn store(&mut self, kind: Kind, bytes: &[u8], grown: impl FnOnce(&mut Core, super::hash::Hasher, &[u8]) -> Heap) {
        let small = bytes.len() <= INLINE_BYTES_MAX
            && (packed::encoding(bytes) == COMPACT || packed::count(bytes) <= CONVERTED_ITEMS_MAX);
        if !small {
            return self.store_large(bytes, grown);
        }
        let pages = self.db.db.pages();
        self.db.edit(self.place, |entry| {
            entry.store(entry.deadline(), NewValue::Packed(kind, bytes));
        });
        if self.db.db.pages() != pages {
            self.find_again();
        }
    }

    fn store_large(&mut self, bytes: &[u8], grown: impl FnOnce(&mut Core, super::hash::Hasher, &[u8]) -> Heap) {
        let mut heap = grown(self.db.core, self.db.db.hasher, bytes);
        let space = heap.nested_mut().map(|nested| nested.space()).expect("a large collection has a space");
        self.db.edit(self.place, |entry| {
            entry.store(entry.deadline(), NewValue::Heap(Box::new(heap)));
        });
        self.find_again();
        self.db.db.adopt_nested(self.db.core, self.place.table, space, Debt::None);
    }

    /// The sub-table has split.
    fn find_again(&mut self) {
        self.place = self.db.db.find(self.key).expect("it was changed, not removed");
    }

    /// The large collection, for writing: its pages see to their own marks.
    pub(super) fn large(&mut self) -> (&mut Heap, &mut Core) {
        let DbMut { db, core } = &mut *self.db;
        db.list_nested(self.place.table, core.mark);
        let table = db.tables.get_mut(self.place.table);
        let entry = table.entries.get_bucket_mut(self.place.bucket).expect("a place names a full bucket");
        (entry.heap_mut().expect("a large collection is boxed"), core)
    }
}

/// Puts a field or member into a large collection, over what is there; whether it is new.
pub(super) fn put(map: &mut Map, core: &mut Core, name: &[u8], value: &[u8]) -> bool {
    let (key, before) = (map.db.key(name), map.db.len());
    DbMut { db: &mut map.db, core }.set_text(key, value);
    map.db.len() > before
}

/// Takes one out; whether it was there.
pub(super) fn take(map: &mut Map, core: &mut Core, name: &[u8]) -> bool {
    let key = map.db.key(name);
    DbMut { db: &mut map.db, core }.remove(key).is_some()
}
