//! Collections against plain maps, small and large, through checkpoints, flushes, renames and copies.

use super::stream_tests::{self, StreamModel};
use super::tests::{Draws, Image};
use super::*;
use crate::base::number::parse_i64;
use crate::base::{Dice, Millis};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a key holds, the simple way.
#[derive(Clone, Debug, PartialEq)]
enum Model {
    Str(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    List(Vec<Vec<u8>>),
    Zset(BTreeMap<Vec<u8>, i64>),
    Stream(StreamModel),
}

type Twin = Vec<BTreeMap<Vec<u8>, (Model, Option<Millis>)>>;

const DATABASES: usize = 3;
/// Small, so that collections change their form often.
const LIMITS: Limits = Limits { entries: 8, bytes: 40 };
const SET_LIMITS: SetLimits = SetLimits { integers: 12, listpack: LIMITS };

/// By which stores are read.
pub(super) fn sizes() -> Sizes {
    Sizes { list: ListLimits::of(8), set: SET_LIMITS, zset: LIMITS, hash: LIMITS }
}

fn name(dice: &mut Dice, names: u64) -> Vec<u8> {
    format!("name:{}", dice.below(names)).into_bytes()
}

fn value(dice: &mut Dice) -> Vec<u8> {
    let len = match dice.below(200) {
        0 => 10_000 + dice.below(40_000),
        1..5 => dice.below(3000),
        _ => dice.below(30),
    };
    dice.bytes(len)
}

/// Changes one collection, some elements at a time.
fn change_hash(dice: &mut Dice, db: &mut DbMut<'_>, key: Key<'_>, model: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    let many = if dice.one_in(20) { dice.below(3000) } else { dice.below(20) };
    let (names, growing) = (1 + dice.below(4000), !dice.one_in(3));
    let mut hash = db.hash_or_new(key, LIMITS);
    for _ in 0..=many {
        let field = name(dice, names);
        if growing || model.len() < 2 {
            let value = value(dice);
            let new = hash.set(&field, &value);
            assert_eq!(new, model.insert(field, value).is_none());
        } else {
            assert_eq!(hash.remove(&field), model.remove(&field).is_some());
        }
        assert_eq!(hash.get().len(), model.len());
    }
}

fn change_set(dice: &mut Dice, db: &mut DbMut<'_>, key: Key<'_>, model: &mut BTreeSet<Vec<u8>>) {
    let many = if dice.one_in(20) { dice.below(3000) } else { dice.below(20) };
    let (names, growing, integers) = (1 + dice.below(4000), !dice.one_in(3), !dice.one_in(3));
    let mut set = db.set_or_new(key, SetForm::Intset, SET_LIMITS);
    for _ in 0..=many {
        let member = match dice.below(100) {
            0..10 => value(dice),
            _ if integers => (dice.below(names) as i64 - 20).to_string().into_bytes(),
            _ => name(dice, names),
        };
        if growing || model.len() < 2 {
            assert_eq!(set.add(&member), model.insert(member));
        } else {
            assert_eq!(set.remove(&member), model.remove(&member));
        }
        assert_eq!(set.get().len(), model.len());
    }
}

fn change_list(dice: &mut Dice, db: &mut DbMut<'_>, key: Key<'_>, model: &mut Vec<Vec<u8>>) {
    let many = if dice.one_in(20) { dice.below(3000) } else { dice.below(20) };
    let (growing, everywhere, one_place) = (!dice.one_in(3), dice.one_in(3), dice.below(1000) as usize);
    // With half of the limit, where a quicklist counts as compact again.
    let (limit, bytes, elements) =
        [(-1, 2048, usize::MAX), (8, usize::MAX, 4), (100, usize::MAX, 50)][dice.below(3) as usize];
    let mut list = db.list_or_new(key, ListLimits::of(limit));
    let settle = |list: &mut ListMut<'_, '_>| {
        list.settle();
        let now = list.get();
        let is_short = now.len() <= elements && now.listpack_bytes(usize::MAX) <= bytes;
        assert!(now.is_compact() || !is_short, "{} elements are left as a quicklist", now.len());
    };
    for _ in 0..=many {
        let element = value(dice);
        let place = match dice.below(if everywhere { 6 } else { 3 }) {
            0 => 0,
            1 => model.len(),
            2 => one_place.min(model.len()),
            _ => dice.below(model.len() as u64 + 1) as usize,
        };
        if growing || model.len() < 2 {
            list.expect(std::iter::once(&element[..]));
            list.insert(place, &element);
            model.insert(place, element);
        } else if dice.one_in(5) {
            let place = place.min(model.len() - 1);
            list.set(place, &element);
            model[place] = element;
            settle(&mut list);
        } else {
            let place = place.min(model.len() - 1);
            let count = if dice.one_in(50) { dice.below(500) as usize } else { 1 };
            let count = count.min(model.len() - place).min(model.len() - 1);
            list.remove(place, count);
            model.drain(place..place + count);
            settle(&mut list);
        }
        assert_eq!(list.get().len(), model.len());
    }
}

fn change_zset(dice: &mut Dice, db: &mut DbMut<'_>, key: Key<'_>, model: &mut BTreeMap<Vec<u8>, i64>) {
    let many = if dice.one_in(20) { dice.below(3000) } else { dice.below(20) };
    let (names, growing, scores) = (1 + dice.below(4000), !dice.one_in(3), 1 + dice.below(500));
    let mut set = db.zset_or_new(key, true, LIMITS);
    for step in 0..=many {
        let member = if dice.one_in(50) { value(dice) } else { name(dice, names) };
        if growing || model.len() < 2 {
            let score = if growing && dice.one_in(2) { step as i64 } else { dice.below(scores) as i64 - 20 };
            assert_eq!(set.put(&member, score as f64), model.insert(member, score).is_none());
        } else {
            assert_eq!(set.remove(&member), model.remove(&member).is_some());
        }
        assert_eq!(set.get().len(), model.len());
    }
}

fn check_zset(set: ZsetRef<'_>, model: &BTreeMap<Vec<u8>, i64>) {
    let mut order: Vec<(i64, &[u8])> = model.iter().map(|(member, score)| (*score, &member[..])).collect();
    order.sort();
    let held = |(member, score)| (score as i64, member);
    assert!(set.iter_from(0).map(held).eq(order.iter().copied()));
    assert!(set.iter_below(set.len()).map(held).eq(order.iter().rev().copied()));
    for at in [0, 1, order.len() / 3, order.len() / 2, order.len() - 1] {
        assert!(set.iter_from(at).map(held).take(5).eq(order.iter().skip(at).take(5).copied()));
        assert!(set.iter_below(at).map(held).take(5).eq(order[..at].iter().rev().take(5).copied()));
        let Some(&(score, member)) = order.get(at) else { continue };
        assert_eq!((set.rank(member), set.score(member)), (Some(at), Some(score as f64)));
        let below = order.iter().take_while(|(other, _)| *other < score).count();
        assert_eq!(set.count(|other, _| other < score as f64), below);
    }
    assert_eq!((set.rank(b"nobody"), set.score(b"nobody")), (None, None));
}

fn step(dice: &mut Dice, keys: u64, ks: &mut Keyspace, twin: &mut Twin) {
    let index = if dice.one_in(4) { dice.below(DATABASES as u64) as usize } else { 0 };
    let name = format!("key:{}", dice.below(keys)).into_bytes();
    let other = format!("key:{}", dice.below(keys)).into_bytes();
    let to = dice.below(DATABASES as u64) as usize;
    let (key, other_key) = (ks.key(&name), ks.key(&other));
    match dice.below(100) {
        0..50 => {
            let new = match dice.below(5) {
                0 => Model::Hash(BTreeMap::new()),
                1 => Model::List(Vec::new()),
                2 => Model::Zset(BTreeMap::new()),
                3 => Model::Stream(StreamModel::default()),
                _ => Model::Set(BTreeSet::new()),
            };
            let (held, _) = twin[index].entry(name.clone()).or_insert((new, None));
            match held {
                Model::List(model) => change_list(dice, &mut ks.db_mut(index), key, model),
                Model::Zset(model) => change_zset(dice, &mut ks.db_mut(index), key, model),
                Model::Set(model) => change_set(dice, &mut ks.db_mut(index), key, model),
                Model::Hash(model) => change_hash(dice, &mut ks.db_mut(index), key, model),
                Model::Stream(model) => stream_tests::change(dice, &mut ks.db_mut(index), key, model),
                Model::Str(_) => {}
            }
        }
        50..60 => {
            let (text, deadline) = (value(dice), dice.deadline());
            ks.db_mut(index).set_string(key, &text, deadline);
            twin[index].insert(name, (Model::Str(text), deadline));
        }
        60..68 => {
            assert_eq!(ks.db_mut(index).remove(key).is_some(), twin[index].remove(&name).is_some());
        }
        68..76 => {
            let deadline = dice.deadline();
            ks.db_mut(index).set_deadline(key, deadline);
            twin[index].entry(name).and_modify(|(_, old)| *old = deadline);
        }
        76..84 => {
            ks.db_mut(index).rename(key, other_key);
            if let Some(value) = twin[index].remove(&name) {
                twin[index].insert(other, value);
            }
        }
        84..90 => {
            if let Some(detached) = ks.db_mut(index).detach(key) {
                ks.db_mut(to).put(key, detached);
            }
            if let Some(value) = twin[index].remove(&name) {
                twin[to].insert(name, value);
            }
        }
        90..95 if index != to || name != other => {
            ks.copy((index, key), (to, other_key));
            if let Some(value) = twin[index].get(&name).cloned() {
                twin[to].insert(other, value);
            }
        }
        95..97 => {
            ks.swap(index, to);
            twin.swap(index, to);
        }
        97 if dice.one_in(3) => {
            ks.flush(index);
            twin[index].clear();
        }
        _ => {}
    }
}

fn check(ks: &Keyspace, twin: &Twin) {
    for (db, map) in ks.dbs().zip(twin) {
        assert_eq!(db.len(), map.len() as u64);
        let mut spaces = HashSet::new();
        for (name, (model, deadline)) in map {
            let entry = db.get(ks.key(name)).unwrap_or_else(|| panic!("{} is there", name.escape_ascii()));
            assert_eq!((entry.key(), entry.deadline()), (&name[..], *deadline));
            match (model, entry.value()) {
                (Model::Str(text), Value::Str(held)) => assert_eq!(held.to_vec(), *text),
                (Model::Hash(model), Value::Hash(hash)) => {
                    let held: BTreeMap<_, _> = hash.iter().map(|(field, it)| (field.to_vec(), it.to_vec())).collect();
                    assert_eq!(held, *model);
                    assert_eq!(hash.iter().count(), hash.len());
                    assert!(model.iter().all(|(field, it)| hash.get(field) == Some(it)));
                    let big = model.len() > LIMITS.entries
                        || model.iter().any(|(field, it)| field.len().max(it.len()) > LIMITS.bytes);
                    assert!(!big || entry.encoding() == "hashtable");
                }
                (Model::Set(model), Value::Set(set)) => {
                    assert_eq!(set.iter().map(<[u8]>::to_vec).collect::<BTreeSet<_>>(), *model);
                    assert_eq!(set.iter().count(), set.len());
                    assert!(model.iter().all(|member| set.contains(member)));
                    let numbers = set.iter().map(parse_i64).collect::<Option<Vec<_>>>();
                    let small = set.len() <= SET_LIMITS.integers;
                    // One that a start has made an intset of may be a table.
                    let sorted = |it: Vec<_>| it.is_sorted() || !matches!(entry.stored(), entry::Stored::Packed { .. });
                    assert!(set.form() != SetForm::Intset || small && numbers.is_some_and(sorted));
                }
                (Model::Stream(model), Value::Stream(stream)) => stream_tests::check(stream, model),
                (Model::Zset(model), Value::Zset(set)) => check_zset(set, model),
                (Model::List(model), Value::List(list)) => {
                    assert!(list.iter_from(0).eq(model.iter().map(Vec::as_slice)));
                    assert!(list.iter_back().eq(model.iter().rev().map(Vec::as_slice)));
                    for at in [0, 1, model.len() / 3, model.len() / 2, model.len() - 1, model.len()] {
                        assert_eq!(list.get(at), model.get(at).map(Vec::as_slice));
                        assert!(list.iter_from(at).take(5).eq(model.iter().skip(at).take(5).map(Vec::as_slice)));
                    }
                }
                _ => panic!("another type"),
            }
            if let entry::Stored::Heap(heap) = entry.stored()
                && let Some(nested) = heap.nested()
            {
                assert!(spaces.insert(nested.space()));
            }
        }
        assert_eq!(spaces, db.nested_spaces.iter().copied().collect());
    }
}

fn empty() -> (Keyspace, Twin) {
    (Keyspace::new(DATABASES, [1, 2, 3, 4]), vec![BTreeMap::new(); DATABASES])
}

#[test]
fn collections_behave_as_plain_ones() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let (mut ks, mut twin) = empty();
        for _ in 0..400 {
            step(&mut dice, [10, 100][seed as usize % 2], &mut ks, &mut twin);
        }
        check(&ks, &twin);
    }
}

fn checkpoints(seed: u64) {
    let mut dice = Dice(seed);
    let (mut ks, mut twin) = empty();
    let mut image = Image::default();
    let keys = [6, 60, 600][seed as usize % 3];
    for _ in 0..6 {
        (0..[2, 20, 200][dice.below(3) as usize]).for_each(|_| step(&mut dice, keys, &mut ks, &mut twin));
        let at_begin = twin.clone();
        let manifest = ks.checkpoint_begin();
        let mut changes = Vec::new();
        let (pace, bytes_max) = (dice.below(6), 1 + dice.below(100_000) as usize);
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
            continue;
        }
        ks.checkpoint_end();
        image.apply(changes);
        let loaded = image.load(&manifest).unwrap_or_else(|error| panic!("{error}; seed {seed}"));
        check(&loaded, &at_begin);
        assert_eq!(loaded.dirty_pages(), 0);
        if dice.one_in(4) {
            (ks, twin) = (loaded, at_begin);
        }
    }
}

#[test]
fn images_with_collections_are_exact() {
    for seed in 0..150 {
        checkpoints(seed);
    }
}

/// A page of a collection is written anew only if it was changed.
#[test]
fn writing_to_a_part_of_a_large_collection_rewrites_that_part() {
    let (mut ks, _) = empty();
    let key = ks.key(b"large");
    for i in 0..20_000u32 {
        ks.db_mut(0).hash_or_new(key, LIMITS).set(format!("field:{i}").as_bytes(), &[b'x'; 20]);
    }
    let take = |ks: &mut Keyspace| {
        let mut changes = Vec::new();
        ks.checkpoint_begin();
        while ks.checkpoint_slice(10_000, &mut changes) == Slice::More {}
        ks.checkpoint_end();
        (changes.len(), changes.iter().map(Change::bytes).max().unwrap_or(0))
    };
    let (pages, largest) = take(&mut ks);
    assert!(pages > 90 && largest < 16 * 1024, "{pages} pages of up to {largest} bytes");
    assert_eq!(take(&mut ks), (0, 0));
    ks.db_mut(0).hash_or_new(key, LIMITS).set(b"field:77", b"new");
    assert_eq!(take(&mut ks).0, 1);
}

/// Labels are given out without end, wherever elements come in.
#[test]
fn a_list_grows_at_one_place() {
    let (mut ks, _) = empty();
    let key = ks.key(b"list");
    let mut db = ks.db_mut(0);
    let mut list = db.list_or_new(key, ListLimits::of(8));
    let mut model = std::collections::VecDeque::new();
    for i in 0..40_000u32 {
        let element = format!("element {i}").into_bytes();
        let place = if i < 100 { i as usize } else { 50 };
        list.expect(std::iter::once(&element[..]));
        list.insert(place, &element);
        model.insert(place, element);
    }
    assert!(list.get().iter_from(0).eq(model.iter().map(Vec::as_slice)));
    list.remove(10, 39_000);
    model.drain(10..39_010);
    assert!(list.get().iter_back().eq(model.iter().rev().map(Vec::as_slice)));
}

#[test]
fn no_page_with_collections_panics() {
    let mut dice = Dice(5);
    let (mut ks, mut twin) = empty();
    (0..300).for_each(|_| step(&mut dice, 30, &mut ks, &mut twin));
    let manifest = ks.checkpoint_begin();
    let (mut image, mut changes) = (Image::default(), Vec::new());
    while ks.checkpoint_slice(1 << 20, &mut changes) == Slice::More {}
    image.apply(changes);
    for &id in image.pages.keys().collect::<Vec<_>>().iter().take(200) {
        for _ in 0..10 {
            let mut broken = image.clone();
            let page = broken.pages.get_mut(id).expect("a page");
            for _ in 0..=dice.below(3) {
                let at = dice.below(page.len() as u64) as usize;
                page[at] = dice.roll() as u8;
            }
            if let Ok(loaded) = broken.load(&manifest) {
                // What is read in spite of it can be walked through.
                loaded.digest();
            }
        }
    }
}
