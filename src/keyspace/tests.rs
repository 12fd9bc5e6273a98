//! The keyspace against a plain map, and its checkpoints against a copy of that map.

use super::collection_tests::sizes;
use super::table::TABLE_ENTRIES_MAX;
use super::*;
use crate::base::{Dice, Millis};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What these tests draw.
pub(super) trait Draws {
    fn bytes(&mut self, len: u64) -> Vec<u8>;
    /// Keys of few sizes, and few enough of them that they meet again.
    fn key(&mut self, keys: u64) -> Vec<u8>;
    fn text(&mut self) -> Vec<u8>;
    fn deadline(&mut self) -> Option<Millis>;
}

impl Draws for Dice {
    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let fill = self.roll();
        (0..len).map(|i| (fill >> (i % 8 * 8)) as u8 ^ i as u8).collect()
    }

    fn key(&mut self, keys: u64) -> Vec<u8> {
        let n = self.below(keys);
        if n == 0 { vec![b'k'; 300] } else { format!("key:{n}").into_bytes() }
    }

    fn text(&mut self) -> Vec<u8> {
        match self.below(100) {
            0..30 => (self.roll() as i64 >> self.below(64)).to_string().into_bytes(),
            30..80 => {
                let len = self.below(50);
                self.bytes(len)
            }
            80..95 => {
                let len = self.below(700);
                self.bytes(len)
            }
            95..98 => {
                let len = 15_000 + self.below(3_000);
                self.bytes(len)
            }
            _ => {
                let len = self.below(50_000);
                self.bytes(len)
            }
        }
    }

    fn deadline(&mut self) -> Option<Millis> {
        (!self.one_in(3)).then(|| Millis(self.below(1000) as i64))
    }
}

type Twin = Vec<BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>>;

const DATABASES: usize = 3;

/// One random command, on both.
fn step(dice: &mut Dice, keys: u64, ks: &mut Keyspace, twin: &mut Twin) {
    let index = if dice.one_in(4) { dice.below(DATABASES as u64) as usize } else { 0 };
    let name = dice.key(keys);
    let key = ks.key(&name);
    let map = &mut twin[index];
    let mut db = ks.db_mut(index);
    match dice.below(1000) {
        0..400 => {
            let (text, deadline) = (dice.text(), dice.deadline());
            db.set_string(key, &text, deadline);
            map.insert(name, (text, deadline));
        }
        400..450 => {
            let number = dice.roll() as i64;
            db.set_int(key, number);
            map.entry(name).or_default().0 = number.to_string().into_bytes();
        }
        450..550 => {
            let text = dice.text();
            let len = db.string_mut(key).map(|string| string.append(&text));
            let twin = map.get_mut(&name).map(|(old, _)| {
                old.extend_from_slice(&text);
                old.len()
            });
            assert_eq!(len, twin);
        }
        550..600 => {
            let offset = if dice.one_in(10) { dice.below(30_000) } else { dice.below(60) } as usize;
            let len = dice.below(40);
            let text = dice.bytes(len);
            let len = db.string_mut(key).map(|string| string.set_range(offset, &text));
            let twin = map.get_mut(&name).map(|(old, _)| {
                old.resize(old.len().max(offset + text.len()), 0);
                old[offset..offset + text.len()].copy_from_slice(&text);
                old.len()
            });
            assert_eq!(len, twin);
        }
        600..650 => {
            let text = dice.text();
            if let Some(string) = db.string_mut(key) {
                string.overwrite(&text);
            }
            map.entry(name.clone()).and_modify(|(old, _)| *old = text);
        }
        650..700 => {
            let deadline = dice.deadline();
            assert_eq!(db.set_deadline(key, deadline), map.contains_key(&name));
            map.entry(name).and_modify(|(_, old)| *old = deadline);
        }
        700..850 => {
            let was = db.remove(key);
            assert_eq!(was.map(|it| it.entry().string().expect("a string").to_vec()), map.remove(&name).map(|it| it.0));
        }
        850..900 => {
            let other = dice.key(keys);
            let other_key = ks.key(&other);
            assert_eq!(ks.db_mut(index).rename(key, other_key), map.contains_key(&name));
            if let Some(value) = map.remove(&name) {
                map.insert(other, value);
            }
        }
        900..930 => {
            let other = dice.below(DATABASES as u64) as usize;
            if let Some(detached) = db.remove(key) {
                ks.db_mut(other).put(key, detached);
            }
            if let Some(value) = map.remove(&name) {
                twin[other].insert(name, value);
            }
        }
        930..960 => {
            let now = Millis(dice.below(200) as i64);
            let mut due = Vec::new();
            let more = db.due(now, 1 + dice.below(20) as usize, &mut due);
            for name in &due {
                assert!(map.remove(name).is_some_and(|(_, deadline)| deadline <= Some(now)));
                let key = ks.key(name);
                assert!(ks.db_mut(index).remove(key).is_some());
            }
            if !more {
                assert!(map.values().all(|(_, deadline)| deadline.is_none_or(|deadline| deadline > now)));
            }
        }
        960..990 => {
            let other = dice.below(DATABASES as u64) as usize;
            ks.swap(index, other);
            twin.swap(index, other);
        }
        990..997 => {
            ks.flush(index);
            map.clear();
        }
        997 if dice.one_in(4) => {
            ks.flush_all();
            twin.iter_mut().for_each(BTreeMap::clear);
        }
        _ => {}
    }
}

pub(super) fn digest(ks: &Keyspace) -> String {
    ks.digest().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Equal to the twin, and sound inside.
fn check(ks: &Keyspace, twin: &Twin) {
    let mut spaces = HashSet::new();
    let mut pages = HashSet::new();
    for (db, map) in ks.dbs().zip(twin) {
        assert_eq!(db.len(), map.len() as u64);
        assert_eq!(db.iter().count(), map.len());
        for (name, (text, deadline)) in map {
            let entry = db.get(ks.key(name)).unwrap_or_else(|| panic!("{} is there", name.escape_ascii()));
            assert_eq!((entry.key(), entry.deadline()), (&name[..], *deadline));
            assert_eq!(entry.string().expect("a string").to_vec(), *text);
        }
        let deadlines: Vec<i64> = map.values().filter_map(|(_, deadline)| deadline.map(|it| it.0)).collect();
        assert_eq!(db.expires(), deadlines.len() as u64);
        let mean = deadlines.iter().sum::<i64>().checked_div(deadlines.len() as i64).unwrap_or(0);
        assert_eq!(db.avg_ttl(Millis(0)), Millis(mean));
        assert!(deadlines.iter().all(|&ms| db.next_deadline().is_some_and(|bound| bound.0 <= ms)));
        assert!(spaces.insert(db.space()));
        check_tables(db, &mut pages);
    }
}

fn check_tables(db: &Db, pages: &mut HashSet<u64>) {
    assert_eq!(db.directory.len(), 1 << db.depth);
    let mut index = BTreeSet::new();
    for (number, table) in db.tables.iter().enumerate() {
        assert!(pages.insert(table.page));
        assert!(table.entries.len() <= TABLE_ENTRIES_MAX);
        let sum = table.entries.iter().map(page::record_bytes).sum::<u32>();
        assert_eq!(table.bytes, sum);
        let deadlines = table.entries.iter().filter_map(|entry| entry.deadline());
        assert_eq!(table.expires as usize, deadlines.clone().count());
        assert!(deadlines.map(|it| it.0).min().unwrap_or(i64::MAX) >= table.earliest);
        assert!(table.entries.iter().all(|entry| table.holds(db.hasher.hash(entry.key()))));
        if table.earliest != i64::MAX {
            index.insert((table.earliest, number as u32));
        }
        let listed = db.dirty.contains(&(number as u32));
        let pending = db.pending[db.taken..].contains(&(number as u32));
        assert!(listed || pending || table.mark == table::Mark::Clean);
    }
    assert_eq!(index, db.due_index);
    for (slot, &number) in db.directory.iter().enumerate() {
        let hash = ((slot as u64) << 1 | 1) << (63 - db.depth);
        assert!(db.tables.get(number).holds(hash));
    }
    assert_eq!(db.dirty.iter().collect::<HashSet<_>>().len(), db.dirty.len());
}

fn empty() -> (Keyspace, Twin) {
    (Keyspace::new(DATABASES, [1, 2, 3, 4]), vec![BTreeMap::new(); DATABASES])
}

#[test]
fn behaves_as_a_plain_map() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let (mut ks, mut twin) = empty();
        let keys = [30, 3000][seed as usize % 2];
        for _ in 0..3000 {
            step(&mut dice, keys, &mut ks, &mut twin);
        }
        check(&ks, &twin);
    }
}

/// Changes one key.
fn with(ks: &mut Keyspace, index: usize, name: &[u8], change: impl FnOnce(DbMut<'_>, Key<'_>)) {
    let key = ks.key(name);
    change(ks.db_mut(index), key);
}

#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) pages: HashMap<(u32, u64), Vec<u8>>,
    pub(super) blobs: HashMap<(u32, u64), Vec<u8>>,
}

impl Image {
    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        // Their order is said not to matter: drops last finds a drop of what is written.
        let (drops, writes): (Vec<_>, Vec<_>) = changes.into_iter().partition(|it| matches!(it, Change::Drop(_)));
        for change in writes.into_iter().chain(drops) {
            match change {
                Change::Page { space, page, bytes } => {
                    self.pages.insert((space, page), bytes);
                }
                Change::Blob { space, blob, bytes } => {
                    let old = self.blobs.insert((space, blob), bytes.to_vec());
                    assert!(old.is_none(), "blob {blob} was handed over twice");
                }
                Change::Drop(Dropped::Page { space, page }) => {
                    self.pages.remove(&(space, page));
                }
                Change::Drop(Dropped::Blob { space, blob }) => {
                    self.blobs.remove(&(space, blob));
                }
                Change::Drop(Dropped::Space { space }) => {
                    self.pages.retain(|&(other, _), _| other != space);
                    self.blobs.retain(|&(other, _), _| other != space);
                }
            }
        }
    }

    pub(super) fn load(&self, manifest: &Manifest) -> Result<Keyspace, PageError> {
        self.load_by(manifest, sizes())
    }

    pub(super) fn load_by(&self, manifest: &Manifest, sizes: Sizes) -> Result<Keyspace, PageError> {
        let mut loader = Loader::new(manifest, sizes)?;
        for page in self.pages.values() {
            loader.page(page, |space, blob| self.blobs.get(&(space, blob)).cloned())?;
        }
        loader.finish()
    }

    /// No blob is left that no page names.
    fn check(&self) {
        let mut named = HashSet::new();
        for bytes in self.pages.values() {
            let mut page = PageReader::new(bytes).expect("a page");
            let (mut short, space) = (true, page.space);
            while let Some(record) = page.next_record().expect("a record") {
                short &= record.key.len() <= 300;
                if let RecordValue::Blob { blob, len } = record.value {
                    assert_eq!(self.blobs[&(space, blob)].len() as u64, len);
                    assert!(named.insert((space, blob)));
                }
            }
            assert!(!short || bytes.len() <= 64 * 1024, "a page of {} bytes", bytes.len());
        }
        assert_eq!(named, self.blobs.keys().copied().collect());
    }
}

/// Runs checkpoints in slices while commands go on; loads each image and holds it against the copy made at its begin.
fn checkpoints(seed: u64, rounds: usize) {
    let mut dice = Dice(seed);
    let (mut ks, mut twin) = empty();
    let mut image = Image::default();
    let keys = [40, 600, 3000][seed as usize % 3];
    for _ in 0..rounds {
        let before = [20, 200, 2000][dice.below(3) as usize];
        (0..before).for_each(|_| step(&mut dice, keys, &mut ks, &mut twin));
        let at_begin = twin.clone();
        let manifest = ks.checkpoint_begin();
        let mut changes = Vec::new();
        let (pace, bytes_max) = (dice.below(60), 1 + dice.below(200_000) as usize);
        let abort = dice.one_in(4);
        loop {
            (0..dice.below(pace + 1)).for_each(|_| step(&mut dice, keys, &mut ks, &mut twin));
            if ks.checkpoint_slice(bytes_max, &mut changes) == Slice::Done || abort && dice.one_in(5) {
                break;
            }
        }
        (0..dice.below(pace + 1)).for_each(|_| step(&mut dice, keys, &mut ks, &mut twin));
        check(&ks, &twin);
        if abort {
            ks.checkpoint_abort();
            check(&ks, &twin);
            continue;
        }
        assert_eq!(ks.checkpoint_aside_bytes(), 0);
        ks.checkpoint_end();
        image.apply(changes);
        image.check();
        let loaded = image.load(&manifest).unwrap_or_else(|error| panic!("{error}"));
        check(&loaded, &at_begin);
        assert_eq!(loaded.dirty_pages(), 0);
        if dice.one_in(4) {
            // A crash: go on from the image.
            (ks, twin) = (loaded, at_begin);
        }
        check(&ks, &twin);
    }
}

#[test]
fn images_are_exact() {
    for seed in 0..200 {
        checkpoints(seed, 6);
    }
}

#[test]
fn a_checkpoint_of_nothing_hands_over_nothing() {
    let (mut ks, _) = empty();
    let key = ks.key(b"k");
    ks.db_mut(0).set_string(key, b"v", None);
    for expected in [1, 0] {
        let mut changes = Vec::new();
        ks.checkpoint_begin();
        assert_eq!(ks.checkpoint_slice(1 << 20, &mut changes), Slice::Done);
        ks.checkpoint_end();
        assert_eq!(changes.len(), expected);
    }
}

#[test]
fn pages_of_another_hash_are_taken_in_and_written_anew() {
    let mut dice = Dice(7);
    let (mut ks, mut twin) = empty();
    (0..3000).for_each(|_| step(&mut dice, 2000, &mut ks, &mut twin));
    let mut image = Image::default();
    let mut manifest = ks.checkpoint_begin();
    let mut changes = Vec::new();
    while ks.checkpoint_slice(1, &mut changes) == Slice::More {}
    image.apply(changes);
    manifest.seed = [9; 4];
    let mut ks = image.load(&manifest).expect("pages");
    check(&ks, &twin);
    let manifest = ks.checkpoint_begin();
    let mut changes = Vec::new();
    while ks.checkpoint_slice(1, &mut changes) == Slice::More {}
    image.apply(changes);
    let ks = image.load(&manifest).expect("pages");
    check(&ks, &twin);
    assert_eq!(ks.dirty_pages(), 0);
    assert_eq!(image.pages.len(), ks.dbs().map(Db::pages).sum::<usize>() - ks.dbs().filter(|db| !db.stored).count());
}

#[test]
fn a_scan_misses_nothing() {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let (mut ks, _) = empty();
        let stays = |i: u64| format!("stays:{i}").into_bytes();
        for i in 0..500 {
            with(&mut ks, 0, &stays(i), |mut db, key| drop(db.set_int(key, 1)));
        }
        let (mut cursor, mut seen) = (0, HashSet::new());
        let count = 1 + dice.below(30) as usize;
        for call in 0.. {
            assert!(call < 20_000, "the scan does not end");
            let mut visited = 0;
            cursor = ks.db(0).scan(cursor, count, |entry| {
                visited += 1;
                seen.insert(entry.key().to_vec());
            });
            assert!(visited <= count);
            if cursor == 0 {
                break;
            }
            for _ in 0..dice.below(200) {
                let name = format!("comes and goes:{}", dice.below(4000)).into_bytes();
                let key = ks.key(&name);
                match dice.one_in(2) {
                    true => drop(ks.db_mut(0).set_int(key, 1)),
                    false => drop(ks.db_mut(0).remove(key)),
                }
            }
        }
        assert!((0..500).all(|i| seen.contains(&stays(i))));
    }
    let (ks, _) = empty();
    assert_eq!(ks.db(0).scan(u64::MAX, 10, |_| panic!("there is nothing")), 0);
}

#[test]
fn coming_and_going_does_not_grow_tables() {
    let mut dice = Dice(4);
    let (mut ks, _) = empty();
    let mut there: Vec<u64> = (0..150 * 16).collect();
    for &i in &there {
        with(&mut ks, 0, &i.to_le_bytes(), |mut db, key| drop(db.set_int(key, 1)));
    }
    for i in 10_000..400_000u64 {
        let at = dice.below(there.len() as u64) as usize;
        let out = std::mem::replace(&mut there[at], i);
        with(&mut ks, 0, &out.to_le_bytes(), |mut db, key| drop(db.remove(key)));
        with(&mut ks, 0, &i.to_le_bytes(), |mut db, key| drop(db.set_int(key, 1)));
    }
    let buckets: usize = ks.db(0).tables.iter().map(|table| table.entries.num_buckets()).sum();
    assert!(buckets <= ks.db(0).pages() * 200, "{buckets} buckets in {} tables", ks.db(0).pages());
}

#[test]
fn random_finds_every_entry_and_the_last_one() {
    let mut dice = Dice(1);
    let (mut ks, _) = empty();
    assert!(ks.db(0).random(|| dice.roll()).is_none());
    for i in 0..20_000 {
        with(&mut ks, 0, format!("{i}").as_bytes(), |mut db, key| drop(db.set_int(key, i)));
    }
    for i in 50..20_000 {
        with(&mut ks, 0, format!("{i}").as_bytes(), |mut db, key| drop(db.remove(key)));
    }
    let mut seen = HashMap::<_, u32>::new();
    for _ in 0..5_000 {
        *seen.entry(ks.db(0).random(|| dice.roll()).expect("fifty").key().to_vec()).or_default() += 1;
    }
    assert_eq!(seen.len(), 50);
    for i in 1..50 {
        with(&mut ks, 0, format!("{i}").as_bytes(), |mut db, key| drop(db.remove(key)));
    }
    assert_eq!(ks.db(0).random(|| dice.roll()).expect("the last").key(), b"0");
}

#[test]
fn encodings_are_as_redis_names_them() {
    let (mut ks, _) = empty();
    let key = ks.key(b"k");
    let long = [b'x'; 45];
    for (text, encoding) in [
        (&b"12"[..], "int"),
        (b"-9223372036854775808", "int"),
        (b"012", "embstr"),
        (b"", "embstr"),
        (&long[1..], "embstr"),
        (&long, "raw"),
        (&[b'x'; 20_000], "raw"),
    ] {
        ks.db_mut(0).set_string(key, text, Some(Millis(1)));
        let entry = ks.db(0).get(key).expect("set above");
        assert_eq!((entry.encoding(), entry.string().expect("a string").len()), (encoding, text.len()));
    }
    for text in [&b"12"[..], b"ab"] {
        ks.db_mut(0).set_string(key, text, None);
        ks.db_mut(0).string_mut(key).expect("set above").append(b"3");
        ks.db_mut(0).set_deadline(key, Some(Millis(5)));
        assert_eq!(ks.db(0).get(key).expect("set above").encoding(), "raw");
    }
}

fn some_pages() -> (Image, Manifest) {
    let mut dice = Dice(3);
    let (mut ks, mut twin) = empty();
    while ks.db(0).pages() < 4 {
        step(&mut dice, 3000, &mut ks, &mut twin);
    }
    let manifest = ks.checkpoint_begin();
    let (mut image, mut changes) = (Image::default(), Vec::new());
    while ks.checkpoint_slice(1, &mut changes) == Slice::More {}
    image.apply(changes);
    (image, manifest)
}

#[test]
fn what_is_wrong_with_an_image_is_named() {
    let (image, manifest) = some_pages();
    let error = |image: &Image| image.load(&manifest).map(|_| ()).expect_err("refused").to_string();
    let most = *manifest.pages.iter().max().expect("databases");
    let space = manifest.spaces[manifest.pages.iter().position(|&n| n == most).expect("the one with most")];
    let (&first, page) = image.pages.iter().find(|(it, page)| it.0 == space && page.len() > 2000).expect("a page");
    let mut broken = image.clone();
    broken.pages.remove(&first);
    assert!(error(&broken).contains("pages where the manifest says"), "{}", error(&broken));
    let fewer =
        Manifest { pages: manifest.pages.iter().map(|&n| n - u64::from(n == most)).collect(), ..manifest.clone() };
    assert!(matches!(broken.load(&fewer), Err(PageError::Gap { .. })));
    broken.pages.insert(first, [&[9], &page[1..]].concat());
    assert_eq!(error(&broken), "page format 9, this build reads 1");
    broken.pages.insert(first, page[..page.len() - 1].to_vec());
    assert!(error(&broken).contains("page ends within a field at byte"), "{}", error(&broken));
    broken.pages.insert(first, [page, &b"x"[..]].concat());
    assert!(error(&broken).contains("bytes behind the last record"), "{}", error(&broken));
    broken.pages.insert(first, page.clone());
    broken.pages.insert((9, 9), page.clone());
    assert!(error(&broken).contains("overlaps another"), "{}", error(&broken));
    let mut broken = image.clone();
    assert!(!broken.blobs.is_empty());
    broken.blobs.clear();
    assert!(error(&broken).contains("is missing or of another length"), "{}", error(&broken));
    let other = Manifest { spaces: vec![77], pages: vec![0], ..manifest.clone() };
    assert!(image.load(&other).is_err());
    let uncounted = Manifest { pages: vec![], ..manifest.clone() };
    assert!(matches!(image.load(&uncounted), Err(PageError::Manifest(_))));
    let twice = Manifest { spaces: vec![7, 7], pages: vec![0, 0], ..manifest.clone() };
    assert!(matches!(image.load(&twice), Err(PageError::Manifest(_))));
}

#[test]
fn no_page_panics() {
    let (image, manifest) = some_pages();
    let mut dice = Dice(11);
    for page in image.pages.values() {
        for _ in 0..300 {
            let mut page = page.clone();
            for _ in 0..=dice.below(3) {
                let at = if dice.one_in(2) { dice.below(40) } else { dice.below(page.len() as u64) } as usize;
                let len = page.len();
                page[at.min(len - 1)] = dice.roll() as u8;
            }
            page.truncate(if dice.one_in(3) { dice.below(page.len() as u64) as usize } else { usize::MAX });
            let mut loader = Loader::new(&manifest, sizes()).expect("the manifest");
            if loader.page(&page, |space, blob| image.blobs.get(&(space, blob)).cloned()).is_ok() {
                drop(loader.finish());
            }
        }
    }
}

#[test]
fn digests_are_those_of_redis() {
    // Made by the same commands on redis-server 7.0.15, with DEBUG DIGEST and DEBUG DIGEST-VALUE.
    let mut ks = Keyspace::new(16, [5; 4]);
    assert_eq!(digest(&ks), "0".repeat(40));
    for (index, name, text, deadline) in [
        (0, "a", "1", None),
        (0, "b", "hello", Some(Millis(4_102_444_800_000))),
        (0, "c", "", None),
        (9, "a", "x", None),
    ] {
        with(&mut ks, index, name.as_bytes(), |mut db, key| drop(db.set_string(key, text.as_bytes(), deadline)));
    }
    with(&mut ks, 0, b"a", |mut db, key| assert_eq!(db.string_mut(key).expect("set above").append(b"2"), 2));
    assert_eq!(digest(&ks), "6d6a7834b42f59867d7aad031b31031f21bf33a0");
    let value = ks.db(0).get(ks.key(b"b")).expect("set above").digest();
    assert_eq!(value.map(|byte| format!("{byte:02x}")).concat(), "d037c4eb8a8b36b602fbced4000daeab0714c1e3");
}
