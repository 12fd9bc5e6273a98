//! The keys that clients may have in caches of their own, each with who read it.
//!
//! A row lives until its key changes, whoever is gone by then: a client is named by its slot and its id, and the id tells
//! whether the slot is still its own. Rows stand in an array, so that one of them can be taken by luck.

use super::client::Slot;
use ahash::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

/// A client, which may be gone: then another one may have its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    pub slot: Slot,
    pub id: u64,
}

/// Who read a key, by their ids.
pub type Readers = SmallVec<[Who; 1]>;

struct Row {
    key: Box<[u8]>,
    readers: Readers,
}

/// See the module.
#[derive(Default)]
pub struct Tracked {
    rows: Vec<Row>,
    /// The place of each key's row.
    places: HashTable<usize>,
    hasher: RandomState,
    /// Readers of all rows together.
    items: usize,
}

impl Tracked {
    /// How many keys are in it.
    pub fn keys(&self) -> usize {
        self.rows.len()
    }

    /// How many pairs of a key and a reader.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Bytes, about: the names of the keys are not looked at.
    pub fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.places.capacity() * size_of::<usize>()
    }

    /// A client has read a key.
    pub fn add(&mut self, key: &[u8], who: Who) {
        let Tracked { rows, places, hasher, items } = self;
        let hash = hasher.hash_one(key);
        let place = match places.find(hash, |&place| *rows[place].key == *key) {
            Some(&place) => place,
            None => {
                rows.push(Row { key: key.into(), readers: Readers::new() });
                let place = rows.len() - 1;
                places.insert_unique(hash, place, |&place| hasher.hash_one(&*rows[place].key));
                place
            }
        };
        let readers = &mut rows[place].readers;
        if let Err(at) = readers.binary_search_by_key(&who.id, |reader| reader.id) {
            readers.insert(at, who);
            *items += 1;
        }
    }

    /// A key has changed: who read it. From then on nobody did.
    pub fn take(&mut self, key: &[u8]) -> Option<Readers> {
        let hash = self.hasher.hash_one(key);
        let entry = self.places.find_entry(hash, |&place| *self.rows[place].key == *key).ok()?;
        let (place, _) = entry.remove();
        Some(self.take_row(place).readers)
    }

    /// Any key, chosen by a random number.
    pub fn take_any(&mut self, random: u64) -> Option<(Box<[u8]>, Readers)> {
        let place = random.checked_rem(self.rows.len() as u64)? as usize;
        let hash = self.hasher.hash_one(&*self.rows[place].key);
        if let Ok(entry) = self.places.find_entry(hash, |&other| other == place) {
            entry.remove();
        }
        let row = self.take_row(place);
        Some((row.key, row.readers))
    }

    /// Takes a row out that no place names any more; the last one moves there.
    fn take_row(&mut self, place: usize) -> Row {
        let last = self.rows.len() - 1;
        if place != last {
            let hash = self.hasher.hash_one(&*self.rows[last].key);
            let moved = self.places.find_mut(hash, |&other| other == last);
            *moved.expect("each row has its place") = place;
        }
        let row = self.rows.swap_remove(place);
        self.items -= row.readers.len();
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Dice;
    use std::collections::{BTreeMap, BTreeSet};

    /// Beside a plain map, over thousands of random steps.
    #[test]
    fn a_plain_map_agrees() {
        let (mut table, mut twin, mut dice) = (Tracked::default(), BTreeMap::<Vec<u8>, BTreeSet<u64>>::new(), Dice(3));
        for _ in 0..20_000 {
            let key = (dice.roll() % 50).to_string().into_bytes();
            let ids = |readers: Readers| readers.iter().map(|who| who.id).collect::<BTreeSet<u64>>();
            match dice.roll() % 10 {
                0..7 => {
                    let id = dice.roll() % 20;
                    table.add(&key, Who { slot: id as usize, id });
                    twin.entry(key).or_default().insert(id);
                }
                7..9 => assert_eq!(table.take(&key).map(ids), twin.remove(&key)),
                _ => {
                    let taken = table.take_any(dice.roll());
                    let expected = taken.as_ref().and_then(|(key, _)| twin.remove(&**key));
                    assert_eq!(taken.map(|(_, readers)| ids(readers)), expected);
                }
            }
            assert_eq!(table.keys(), twin.len());
            assert_eq!(table.items(), twin.values().map(BTreeSet::len).sum::<usize>());
        }
        assert!(table.keys() > 0);
    }
}
