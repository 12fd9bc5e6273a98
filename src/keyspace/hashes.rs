//! Hashes: fields and values. A small one is packed (field, value, field, value ..), in the order in which the fields
//! came; a large one is a [`Map`].

use super::hash::Key;
use super::map::{self, Held, Limits, Map};
use super::packed;
use super::string::StrRef;
use super::value::{COMPACT, CONVERTED, Heap, Kind};
use super::write::DbMut;

/// A hash, for reading.
#[derive(Clone, Copy)]
pub struct HashRef<'a>(Body<'a>);

#[derive(Clone, Copy)]
enum Body<'a> {
    Packed(&'a [u8]),
    Large(&'a Map),
}

/// A large hash holds its values as strings are held, but never as integers.
fn text<'a>(value: StrRef<'a>) -> &'a [u8] {
    match value {
        StrRef::Bytes(bytes) => bytes,
        StrRef::Int(_) => b"",
    }
}

impl<'a> HashRef<'a> {
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        HashRef(Body::Packed(bytes))
    }

    pub(super) fn large(map: &'a Map) -> Self {
        HashRef(Body::Large(map))
    }

    fn is_compact(self) -> bool {
        match self.0 {
            Body::Packed(bytes) => packed::encoding(bytes) == COMPACT,
            Body::Large(map) => map.encoding == COMPACT,
        }
    }

    /// What it counts as once it is read: a listpack only has its fields counted, a hash table is built anew.
    pub(super) fn when_read(self, limits: Limits) -> u8 {
        let takes = match self.is_compact() {
            true => self.len() <= limits.entries,
            false => limits.hold(self.len(), self.iter().flat_map(|(field, value)| [field, value])),
        };
        if takes { COMPACT } else { CONVERTED }
    }

    /// Number of fields.
    pub fn len(self) -> usize {
        match self.0 {
            Body::Packed(bytes) => packed::count(bytes) / 2,
            Body::Large(map) => map.db.len() as usize,
        }
    }

    /// Never true for a hash that a key holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn get(self, field: &[u8]) -> Option<&'a [u8]> {
        match self.0 {
            Body::Packed(bytes) => {
                let (_, at, _) = find(bytes, field)?;
                Some(packed::item(bytes, at).0)
            }
            Body::Large(Map { db, .. }) => db.get(db.key(field))?.string().map(text),
        }
    }

    /// All fields with their values: a small hash in the order in which they came.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (packed, large) = match self.0 {
            Body::Packed(bytes) => (Some(packed::items(bytes)), None),
            Body::Large(map) => (None, Some(map.db.iter())),
        };
        let mut packed = packed.into_iter().flatten();
        let pairs = std::iter::from_fn(move || Some((packed.next()?, packed.next()?)));
        let large = large.into_iter().flatten();
        pairs.chain(large.map(|entry| (entry.key(), entry.string().map_or(&b""[..], text))))
    }

    /// A field by chance, all about equally likely. `random` gives 64 random bits a call.
    pub fn random(self, mut random: impl FnMut() -> u64) -> Option<(&'a [u8], &'a [u8])> {
        match self.0 {
            Body::Packed(_) if self.is_empty() => None,
            Body::Packed(_) => self.iter().nth(random() as usize % self.len()),
            Body::Large(map) => map.db.random(random).map(|entry| (entry.key(), entry.string().map_or(&b""[..], text))),
        }
    }

    /// Visits some fields and gives the cursor to go on with, 0 at the end (see [`super::Db::scan`]). A small hash is
    /// visited as a whole.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&'a [u8], &'a [u8])) -> u64 {
        match self.0 {
            Body::Packed(_) => {
                self.iter().for_each(|(field, value)| visit(field, value));
                0
            }
            Body::Large(Map { db, .. }) => {
                db.scan(cursor, count, |entry| visit(entry.key(), entry.string().map_or(&b""[..], text)))
            }
        }
    }
}

/// Where a field, its value and what is behind it begin.
fn find(bytes: &[u8], field: &[u8]) -> Option<(usize, usize, usize)> {
    let mut at = packed::HEAD;
    while at < bytes.len() {
        let (name, value_at) = packed::item(bytes, at);
        let (_, next) = packed::item(bytes, value_at);
        if name == field {
            return Some((at, value_at, next));
        }
        at = next;
    }
    None
}

/// A hash that is being changed.
pub struct HashMut<'a, 'b> {
    held: Held<'a, 'b>,
    limits: Limits,
}

impl<'b> DbMut<'b> {
    /// The hash of a key, made empty where there is nothing: the caller has checked the type, and puts a field in.
    pub fn hash_or_new<'a>(&'a mut self, key: Key<'a>, limits: Limits) -> HashMut<'a, 'b> {
        HashMut { held: Held::find_or_make(self, key, Kind::Hash, COMPACT), limits }
    }

    /// The hash of a key; the caller has checked the type, and removes the key when the last field has gone.
    pub fn hash_mut<'a>(&'a mut self, key: Key<'a>, limits: Limits) -> Option<HashMut<'a, 'b>> {
        Some(HashMut { held: Held::find(self, key)?, limits })
    }
}

impl HashMut<'_, '_> {
    /// The hash as it is now.
    pub fn get(&self) -> HashRef<'_> {
        super::db::EntryRef::new(self.held.entry()).hash().expect("the caller has checked the type")
    }

    /// So many fields are about to come: where they are too many for the compact encoding it is left at once.
    pub fn expect(&mut self, fields: usize) {
        if fields > self.limits.entries && self.held.packed().is_some_and(|bytes| packed::encoding(bytes) == COMPACT) {
            self.held.change_packed(|bytes| bytes[0] = CONVERTED, grown);
        }
    }

    /// Sets a field; whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let Limits { entries, bytes: bytes_max } = self.limits;
        let long = field.len() > bytes_max || value.len() > bytes_max;
        let Some(bytes) = self.held.packed() else {
            let (heap, core) = self.held.large();
            let Heap::Hash(map) = heap else { unreachable!("the caller has checked the type") };
            let new = map::put(map, core, field, value);
            if long || map.db.len() > entries as u64 {
                self.leave_compact();
            }
            return new;
        };
        let found = find(bytes, field);
        if field.len().max(value.len()) > packed::ITEM_BYTES_MAX {
            self.held.enlarge(grown);
            return self.set(field, value);
        }
        self.held.change_packed(
            |bytes| {
                match found {
                    Some((_, at, next)) => packed::replace(bytes, at, next, &[value]),
                    None => {
                        packed::insert(bytes, bytes.len(), &[field, value]);
                        let count = packed::count(bytes) + 2;
                        packed::set_count(bytes, count);
                    }
                }
                if long || packed::count(bytes) / 2 > entries {
                    bytes[0] = CONVERTED;
                }
            },
            grown,
        );
        found.is_none()
    }

    /// A large hash may still count as compact, by limits beyond those of one allocation.
    fn leave_compact(&mut self) {
        if let super::entry::Stored::Heap(Heap::Hash(map)) = self.held.entry().value()
            && map.encoding == COMPACT
        {
            self.held.set_encoding(CONVERTED);
        }
    }

    /// Takes a field out; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some(bytes) = self.held.packed() else {
            let (heap, core) = self.held.large();
            let Heap::Hash(map) = heap else { unreachable!("the caller has checked the type") };
            return map::take(map, core, field);
        };
        let Some((at, _, next)) = find(bytes, field) else { return false };
        self.held.change_packed(
            |bytes| {
                packed::replace(bytes, at, next, &[]);
                let count = packed::count(bytes) - 2;
                packed::set_count(bytes, count);
            },
            grown,
        );
        true
    }
}

/// A large hash of a small one's bytes.
fn grown(core: &mut super::checkpoint::Core, hasher: super::hash::Hasher, bytes: &[u8]) -> Heap {
    let mut map = Map::new(core, hasher, packed::encoding(bytes));
    for (field, value) in HashRef::packed(bytes).iter() {
        map::put(&mut map, core, field, value);
    }
    Heap::Hash(Box::new(map))
}
