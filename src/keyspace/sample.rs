//! Entries by chance: RANDOMKEY, and what eviction chooses among.
//!
//! Sub-tables are small and lie in the order of hashes, which is no order of keys: a few entries that stand together from
//! a random place on are as good as so many drawn one by one, and cost one walk.

use super::db::{Db, EntryRef};
use super::table::Table;

const RANDOM_TRIES: usize = 200;
const TABLE_BUCKETS_FAIR: usize = 256;
/// Sub-tables that a sample looks at, at most, before it takes the first that has what is wanted.
const SAMPLE_TABLES_MAX: usize = 64;

impl Db {
    /// One entry by chance: nearly all are equally likely. `random` gives 64 random bits a call.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<EntryRef<'_>> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..RANDOM_TRIES {
            let dice = random();
            let table = self.tables.get(self.directory[dice as usize % self.directory.len()]);
            let bucket = (dice >> 40) as usize % TABLE_BUCKETS_FAIR;
            if let Some(entry) = table.entries.get_bucket(bucket) {
                return Some(EntryRef::new(entry));
            }
        }
        // Sparse: the first sub-table with entries behind a random slot, and a random one of its entries.
        let start = random() as usize % self.directory.len();
        let slots = self.directory[start..].iter().chain(&self.directory[..start]);
        let table = slots.map(|&number| self.tables.get(number)).find(|table| !table.entries.is_empty())?;
        table.entries.iter().nth(random() as usize % table.entries.len()).map(EntryRef::new)
    }

    /// About `count` entries from a random place on, or as many as there are; only those with a deadline where `volatile`
    /// is set. At least one, where there is one. `random` gives 64 random bits a call.
    pub fn sample<'s>(
        &'s self,
        volatile: bool,
        count: usize,
        mut random: impl FnMut() -> u64,
        mut visit: impl FnMut(EntryRef<'s>),
    ) {
        if (if volatile { self.expires } else { self.len }) == 0 {
            return;
        }
        let mut left = count;
        let (mut last, mut slot) = (None, random() as usize % self.directory.len());
        for step in 0..SAMPLE_TABLES_MAX.min(self.directory.len()) {
            let number = self.directory[slot];
            slot = (slot + 1) % self.directory.len();
            if last.replace(number) == Some(number) {
                continue; // a sub-table of few bits stands in several slots
            }
            let table = self.tables.get(number);
            let from = if step == 0 { random() as usize } else { 0 };
            left = walk(table, volatile, from, left, &mut visit);
            if left == 0 {
                return;
            }
        }
        if left < count {
            return;
        }
        // Sparse: the next sub-table that has one, in the order of hashes or of deadlines.
        let has_one = |table: &&Table| if volatile { table.expires > 0 } else { !table.entries.is_empty() };
        let (dice, bucket) = (random(), random() as usize);
        let table = if volatile {
            self.by_deadline(dice).map(|number| self.tables.get(number)).find(has_one)
        } else {
            let slots = self.directory[slot..].iter().chain(&self.directory[..slot]);
            slots.map(|&number| self.tables.get(number)).find(has_one)
        };
        if let Some(table) = table {
            walk(table, volatile, bucket, count, &mut visit);
        }
    }

    /// The sub-tables with deadlines, from one on whose earliest lies behind a random time between the first and the last.
    fn by_deadline(&self, dice: u64) -> impl Iterator<Item = u32> + '_ {
        let first = self.due_index.first().map_or(0, |&(ms, _)| ms);
        let last = self.due_index.last().map_or(0, |&(ms, _)| ms);
        let span = last.wrapping_sub(first) as u64;
        let pivot = first.wrapping_add((dice % span.saturating_add(1).max(1)) as i64);
        self.due_index.range((pivot, 0)..).chain(self.due_index.range(..(pivot, 0))).map(|&(_, number)| number)
    }
}

/// Visits entries of one sub-table from a bucket on, around; how many of `left` are still wanted.
fn walk<'s>(
    table: &'s Table,
    volatile: bool,
    from: usize,
    mut left: usize,
    visit: &mut impl FnMut(EntryRef<'s>),
) -> usize {
    let buckets = table.entries.num_buckets();
    if table.entries.is_empty() || (volatile && table.expires == 0) {
        return left;
    }
    for bucket in (0..buckets).map(|step| (from % buckets + step) % buckets) {
        if left == 0 {
            break;
        }
        let Some(entry) = table.entries.get_bucket(bucket) else { continue };
        if !volatile || entry.deadline().is_some() {
            visit(EntryRef::new(entry));
            left -= 1;
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use crate::base::{Dice, Millis};
    use crate::keyspace::Keyspace;
    use std::collections::BTreeSet;

    fn sampled(keyspace: &Keyspace, volatile: bool, count: usize, dice: &mut Dice) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        keyspace.db(0).sample(volatile, count, || dice.roll(), |entry| keys.push(entry.key().to_vec()));
        keys
    }

    #[test]
    fn a_sample_has_what_is_asked_for_and_every_key_has_its_turn() {
        let mut keyspace = Keyspace::new(1, [7; 4]);
        let mut dice = Dice(3);
        assert!(sampled(&keyspace, false, 5, &mut dice).is_empty());
        for i in 0..3000 {
            let name = format!("key:{i}");
            let key = keyspace.key(name.as_bytes());
            keyspace.db_mut(0).set_string(key, b"v", (i % 300 == 0).then_some(Millis(1_000_000 + i)));
        }
        let (mut seen, mut volatiles) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..20_000 {
            let five = sampled(&keyspace, false, 5, &mut dice);
            assert_eq!(five.len(), 5);
            seen.extend(five);
            let some = sampled(&keyspace, true, 3, &mut dice);
            assert!((1..=3).contains(&some.len()));
            volatiles.extend(some);
        }
        assert!(seen.len() > 2990, "{}", seen.len());
        assert_eq!(volatiles.len(), 10);
    }

    #[test]
    fn one_key_among_many_empty_tables_is_found() {
        let mut keyspace = Keyspace::new(1, [9; 4]);
        let mut dice = Dice(4);
        let names: Vec<String> = (0..20_000).map(|i| format!("key:{i}")).collect();
        for name in &names {
            let key = keyspace.key(name.as_bytes());
            keyspace.db_mut(0).set_string(key, b"v", Some(Millis(5)));
        }
        for name in &names[1..] {
            let key = keyspace.key(name.as_bytes());
            keyspace.db_mut(0).remove(key);
        }
        for volatile in [false, true] {
            assert_eq!(sampled(&keyspace, volatile, 5, &mut dice), [names[0].as_bytes()]);
        }
    }
}
