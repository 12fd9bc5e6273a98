//! What a collection counts as once it is read, for each type both ways.

use super::collection_tests::sizes;
use super::tests::Image;
use super::*;

/// One key of each way to be a collection, and what it counts as when it is read by other sizes.
type Case = (&'static str, fn(&mut DbMut<'_>, Key<'_>), fn(&mut Sizes), [&'static str; 2]);

fn push(db: &mut DbMut<'_>, key: Key<'_>, size: i64, count: usize, element: &[u8]) {
    let mut list = db.list_or_new(key, ListLimits::of(size));
    for _ in 0..count {
        list.expect(std::iter::once(element));
        list.push(End::Right, element);
    }
}

fn add(db: &mut DbMut<'_>, key: Key<'_>, members: impl Iterator<Item = String>) {
    let mut set = db.set_or_new(key, SetForm::Intset, sizes().set);
    members.for_each(|member| assert!(set.add(member.as_bytes())));
}

fn set(db: &mut DbMut<'_>, key: Key<'_>, fields: usize, value: &[u8]) {
    let mut hash = db.hash_or_new(key, sizes().hash);
    (0..fields).for_each(|field| assert!(hash.set(format!("field:{field}").as_bytes(), value)));
}

fn put(db: &mut DbMut<'_>, key: Key<'_>, members: usize) {
    let mut set = db.zset_or_new(key, true, sizes().zset);
    (0..members).for_each(|member| assert!(set.put(format!("member:{member}").as_bytes(), member as f64)));
}

fn drop_fields(db: &mut DbMut<'_>, key: Key<'_>, from: usize, to: usize) {
    let mut hash = db.hash_or_new(key, sizes().hash);
    (from..to).for_each(|field| assert!(hash.remove(format!("field:{field}").as_bytes())));
}

fn drop_members(db: &mut DbMut<'_>, key: Key<'_>, from: usize, to: usize) {
    db.zset_or_new(key, true, sizes().zset).remove_ranks(from..to);
}

fn drop_numbers(db: &mut DbMut<'_>, key: Key<'_>, numbers: impl Iterator<Item = String>) {
    let mut set = db.set_or_new(key, SetForm::Intset, sizes().set);
    numbers.for_each(|number| assert!(set.remove(number.as_bytes())));
}

const LONG: [u8; 60] = [b'x'; 60];
static VAST: [u8; 30_000] = [b'x'; 30_000];
const SAME: fn(&mut Sizes) = |_| {};

fn numbers(count: i64) -> impl Iterator<Item = String> {
    (0..count).map(|number| (number * 7 % 1000 - 50).to_string())
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("name:{number}"))
}

/// The limits are 8 entries of 40 bytes, 12 integers, 8 elements of a list.
const CASES: &[Case] = &[
    (
        "a short quicklist",
        |db, key| {
            push(db, key, 8, 9, b"a");
            db.list_or_new(key, ListLimits::of(8)).remove(0, 1);
        },
        SAME,
        ["quicklist", "listpack"],
    ),
    (
        "a long listpack",
        |db, key| push(db, key, 8, 8, b"a"),
        |to| to.list = ListLimits::of(7),
        ["listpack", "quicklist"],
    ),
    ("a listpack at the limit", |db, key| push(db, key, 8, 8, b"a"), SAME, ["listpack", "listpack"]),
    (
        "a chain that became short",
        |db, key| {
            push(db, key, 8, 500, &LONG);
            db.list_or_new(key, ListLimits::of(8)).remove(0, 495);
        },
        SAME,
        ["quicklist", "listpack"],
    ),
    ("a chain", |db, key| push(db, key, 8, 500, &LONG), SAME, ["quicklist", "quicklist"]),
    (
        "a list of few bytes",
        |db, key| push(db, key, 8, 50, &LONG),
        |to| to.list = ListLimits::of(-1),
        ["quicklist", "listpack"],
    ),
    (
        "a list of many bytes",
        |db, key| push(db, key, 100, 70, &LONG),
        |to| to.list = ListLimits::of(-1),
        ["listpack", "quicklist"],
    ),
    ("one vast element", |db, key| push(db, key, 8, 1, &VAST), SAME, ["quicklist", "listpack"]),
    (
        "one too vast for bytes",
        |db, key| push(db, key, 8, 1, &VAST),
        |to| to.list = ListLimits::of(-2),
        ["quicklist", "quicklist"],
    ),
    ("two vast elements", |db, key| push(db, key, 8, 2, &VAST), SAME, ["quicklist", "quicklist"]),
    ("a listpack whose bytes do not count", |db, key| push(db, key, -5, 2, &VAST), SAME, ["listpack", "listpack"]),
    (
        "a hash that was long",
        |db, key| {
            set(db, key, 9, b"v");
            drop_fields(db, key, 8, 9);
        },
        SAME,
        ["hashtable", "listpack"],
    ),
    ("a hash with a long value", |db, key| set(db, key, 2, &LONG), SAME, ["hashtable", "hashtable"]),
    (
        "a hash whose values may be longer",
        |db, key| set(db, key, 2, &LONG),
        |to| to.hash.bytes = 60,
        ["hashtable", "listpack"],
    ),
    ("a hash of too many", |db, key| set(db, key, 8, b"v"), |to| to.hash.entries = 7, ["listpack", "hashtable"]),
    ("a hash only counted", |db, key| set(db, key, 8, b"v"), |to| to.hash.bytes = 0, ["listpack", "listpack"]),
    (
        "a table that became small",
        |db, key| {
            set(db, key, 900, b"v");
            drop_fields(db, key, 8, 900);
        },
        SAME,
        ["hashtable", "listpack"],
    ),
    (
        "a table with a long value",
        |db, key| {
            set(db, key, 900, &LONG);
            drop_fields(db, key, 2, 900);
        },
        SAME,
        ["hashtable", "hashtable"],
    ),
    ("a table", |db, key| set(db, key, 900, b"v"), SAME, ["hashtable", "hashtable"]),
    (
        "a table within the limits",
        |db, key| set(db, key, 900, b"v"),
        |to| to.hash.entries = 900,
        ["hashtable", "listpack"],
    ),
    (
        "a sorted set that was long",
        |db, key| {
            put(db, key, 9);
            drop_members(db, key, 0, 1);
        },
        SAME,
        ["skiplist", "listpack"],
    ),
    ("a sorted set of too many", |db, key| put(db, key, 8), |to| to.zset.entries = 7, ["listpack", "skiplist"]),
    ("a sorted set only counted", |db, key| put(db, key, 8), |to| to.zset.bytes = 0, ["listpack", "listpack"]),
    (
        "a sorted set with a long member",
        |db, key| put(db, key, 9),
        |to| to.zset = Limits { entries: 9, bytes: 7 },
        ["skiplist", "skiplist"],
    ),
    (
        "an order that became small",
        |db, key| {
            put(db, key, 900);
            drop_members(db, key, 8, 900);
        },
        SAME,
        ["skiplist", "listpack"],
    ),
    ("an order", |db, key| put(db, key, 900), SAME, ["skiplist", "skiplist"]),
    ("an intset", |db, key| add(db, key, numbers(12)), SAME, ["intset", "intset"]),
    (
        "an intset of too many, never a listpack",
        |db, key| add(db, key, numbers(8)),
        |to| to.set.integers = 7,
        ["intset", "hashtable"],
    ),
    (
        "a set of integers that was long",
        |db, key| {
            add(db, key, numbers(13));
            drop_numbers(db, key, numbers(1));
        },
        SAME,
        ["hashtable", "intset"],
    ),
    (
        "a table of integers that became small",
        |db, key| {
            add(db, key, numbers(900));
            drop_numbers(db, key, numbers(900).skip(12));
        },
        SAME,
        ["hashtable", "intset"],
    ),
    (
        "a set of a name fewer",
        |db, key| {
            add(db, key, numbers(8).chain(names(1)));
            drop_numbers(db, key, numbers(1));
        },
        SAME,
        ["hashtable", "listpack"],
    ),
    (
        "a listpack of integers stays one",
        |db, key| {
            add(db, key, numbers(7).chain(names(1)));
            drop_numbers(db, key, names(1));
        },
        SAME,
        ["listpack", "listpack"],
    ),
    (
        "a listpack of too many",
        |db, key| add(db, key, names(8)),
        |to| to.set.listpack.entries = 7,
        ["listpack", "hashtable"],
    ),
    (
        "a set with a long member",
        |db, key| add(db, key, names(9)),
        |to| to.set.listpack = Limits { entries: 9, bytes: 5 },
        ["hashtable", "hashtable"],
    ),
    (
        "a table of more than an intset has",
        |db, key| add(db, key, names(9)),
        |to| {
            to.set = SetLimits { integers: 8, listpack: Limits { entries: 9, bytes: 40 } };
        },
        ["hashtable", "hashtable"],
    ),
];

fn image(ks: &mut Keyspace, image: &mut Image) -> Manifest {
    let (manifest, mut changes) = (ks.checkpoint_begin(), Vec::new());
    while ks.checkpoint_slice(usize::MAX, &mut changes) == Slice::More {}
    ks.checkpoint_end();
    image.apply(changes);
    manifest
}

fn encoding(ks: &Keyspace) -> &'static str {
    ks.db(0).get(ks.key(b"key")).expect("it was made").encoding()
}

#[test]
fn what_is_read_counts_by_the_limits_of_the_moment() {
    for (what, make, change, [before, after]) in CASES {
        let (mut ks, mut pages) = (Keyspace::new(1, [1, 2, 3, 4]), Image::default());
        let key = ks.key(b"key");
        make(&mut ks.db_mut(0), key);
        assert_eq!(encoding(&ks), *before, "{what}, as it was made");
        let manifest = image(&mut ks, &mut pages);
        let mut other = sizes();
        change(&mut other);
        let mut read = pages.load_by(&manifest, other).expect(what);
        assert_eq!(encoding(&read), *after, "{what}, read");
        assert_eq!(read.digest(), ks.digest(), "{what}");
        assert_eq!(read.dirty_pages(), 0, "{what}: a name is no change");
        assert_eq!(pages.load_by(&manifest, other).map(|read| encoding(&read)), Ok(*after), "{what}, read again");
        // A page that is written for another reason has the new name. What has the compact one is only counted.
        let key = read.key(b"key");
        read.db_mut(0).set_deadline(key, Some(crate::base::Millis(5_000_000_000_000)));
        let manifest = image(&mut read, &mut pages);
        (other.hash.bytes, other.zset.bytes, other.set.listpack.bytes) = (0, 0, 0);
        let last = pages.load_by(&manifest, other).expect(what);
        assert_eq!(encoding(&last), *after, "{what}, written and read");
    }
}

/// Lookups in an intset trust the order.
#[test]
fn what_becomes_an_intset_is_in_order() {
    let (mut ks, mut pages) = (Keyspace::new(1, [1, 2, 3, 4]), Image::default());
    let key = ks.key(b"key");
    add(&mut ks.db_mut(0), key, numbers(13).chain(["-100".to_string()]));
    drop_numbers(&mut ks.db_mut(0), key, numbers(3));
    let manifest = image(&mut ks, &mut pages);
    let mut read = pages.load(&manifest).expect("a sound image");
    let key = read.key(b"key");
    let held = |ks: &Keyspace| -> Vec<String> {
        let Some(Value::Set(set)) = ks.db(0).get(key).map(|entry| entry.value()) else { panic!("no set") };
        set.iter().map(|member| String::from_utf8_lossy(member).into_owned()).collect()
    };
    assert_eq!(held(&read), ["-100", "-29", "-22", "-15", "-8", "-1", "6", "13", "20", "27", "34"]);
    add(&mut read.db_mut(0), key, ["0", "-9"].map(String::from).into_iter());
    drop_numbers(&mut read.db_mut(0), key, numbers(13).skip(3));
    assert_eq!(held(&read), ["-100", "-9", "0"]);
}
