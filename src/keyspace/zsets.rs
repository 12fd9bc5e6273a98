//! Sorted sets. A small one is packed (member, score of eight bytes, member ..) in order; a large one is a [`Map`] from
//! member to score with an [`Order`] beside it.

use super::checkpoint::Core;
use super::db::EntryRef;
use super::entry::Stored;
use super::hash::{Hasher, Key};
use super::map::{self, Held, Limits, Map};
use super::order::Order;
use super::packed;
use super::string::StrRef;
use super::value::{COMPACT, CONVERTED, Heap, Kind};
use super::write::DbMut;
use std::cmp::Ordering;
use std::ops::Range;

/// A large sorted set.
pub(super) struct Ranked {
    // The order points into the entries of the map, and goes first.
    pub(super) order: Order,
    pub(super) map: Map,
}

impl Ranked {
    pub(super) fn new(map: Map) -> Ranked {
        Ranked { order: Order::default(), map }
    }

    /// The order of what the pages held; `false` where a score is none.
    pub(super) fn rebuild(&mut self) -> bool {
        self.order = Order::default();
        let sound = self.map.db.iter().all(|entry| score_of(entry).is_some_and(|score| !score.is_nan()));
        if sound {
            self.order = Order::of(
                self.map.db.raw_entries().map(|entry| (entry, score_of(EntryRef::new(entry)).expect("checked above"))),
            );
        }
        sound
    }

    pub(super) fn duplicate(&self, core: &mut Core) -> Ranked {
        let mut copy = Ranked::new(self.map.duplicate(core));
        copy.rebuild();
        copy
    }

    fn put(&mut self, core: &mut Core, member: &[u8], score: f64) -> bool {
        let key = self.map.db.key(member);
        let old = self.map.db.get(key).and_then(score_of);
        if let Some(old) = old {
            self.order.remove(old, member);
        }
        map::put(&mut self.map, core, member, &score.to_le_bytes());
        let place = self.map.db.find(self.map.db.key(member)).expect("put above");
        self.order.insert(self.map.db.entry(place), score);
        old.is_none()
    }

    fn take(&mut self, core: &mut Core, member: &[u8]) -> bool {
        let key = self.map.db.key(member);
        let Some(old) = self.map.db.get(key).and_then(score_of) else { return false };
        self.order.remove(old, member);
        map::take(&mut self.map, core, member)
    }
}

fn score_of(entry: EntryRef<'_>) -> Option<f64> {
    match entry.string()? {
        StrRef::Bytes(bytes) => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
        StrRef::Int(_) => None,
    }
}

/// A sorted set, for reading.
#[derive(Clone, Copy)]
pub struct ZsetRef<'a>(Body<'a>);

#[derive(Clone, Copy)]
enum Body<'a> {
    Packed(&'a [u8]),
    Large(&'a Ranked),
}

fn score_bytes(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(bytes.try_into().expect("the score of a sound sorted set"))
}

/// Members and scores of a small one.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], f64)> {
    let mut items = packed::items(bytes);
    std::iter::from_fn(move || Some((items.next()?, score_bytes(items.next()?))))
}

/// Whether packed bytes are members and scores that are numbers, in order.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let scores = packed::items(bytes).skip(1).step_by(2);
    packed::count(bytes).is_multiple_of(2)
        && scores.clone().all(|score| score.len() == 8 && !score_bytes(score).is_nan())
        && pairs(bytes).zip(pairs(bytes).skip(1)).all(|(a, b)| in_order(a, b).is_lt())
}

fn in_order(a: (&[u8], f64), b: (&[u8], f64)) -> Ordering {
    a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal).then_with(|| a.0.cmp(b.0))
}

impl<'a> ZsetRef<'a> {
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        ZsetRef(Body::Packed(bytes))
    }

    pub(super) fn large(ranked: &'a Ranked) -> Self {
        ZsetRef(Body::Large(ranked))
    }

    fn is_compact(self) -> bool {
        match self.0 {
            Body::Packed(bytes) => packed::encoding(bytes) == COMPACT,
            Body::Large(ranked) => ranked.map.encoding == COMPACT,
        }
    }

    /// What it counts as once it is read: a listpack only has its members counted, a skiplist is built anew.
    pub(super) fn when_read(self, limits: Limits) -> u8 {
        let takes = if self.is_compact() { self.len() <= limits.entries } else { self.fits(limits) };
        if takes { COMPACT } else { CONVERTED }
    }

    /// Whether a new one of these members would count as compact.
    fn fits(self, limits: Limits) -> bool {
        limits.hold(self.len(), self.iter_from(0).map(|(member, _)| member))
    }

    /// Number of members.
    pub fn len(self) -> usize {
        match self.0 {
            Body::Packed(bytes) => packed::count(bytes) / 2,
            Body::Large(ranked) => ranked.order.len(),
        }
    }

    /// Never true for a sorted set that a key holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self.0 {
            Body::Packed(bytes) => pairs(bytes).find(|(name, _)| *name == member).map(|(_, score)| score),
            Body::Large(Ranked { map, .. }) => map.db.get(map.db.key(member)).and_then(score_of),
        }
    }

    /// How many members stand before this one.
    pub fn rank(self, member: &[u8]) -> Option<usize> {
        match self.0 {
            Body::Packed(bytes) => pairs(bytes).position(|(name, _)| name == member),
            Body::Large(ranked) => Some(ranked.order.rank(self.score(member)?, member)),
        }
    }

    /// How many members `before` holds for, which is given score and member; those must come first.
    pub fn count(self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self.0 {
            Body::Packed(bytes) => pairs(bytes).take_while(|&(member, score)| before(score, member)).count(),
            Body::Large(ranked) => ranked.order.count(before),
        }
    }

    /// Members with their scores, from a rank on.
    pub fn iter_from(self, rank: usize) -> impl Iterator<Item = (&'a [u8], f64)> {
        let (packed, large) = match self.0 {
            Body::Packed(bytes) => (Some(pairs(bytes).skip(rank)), None),
            Body::Large(ranked) => (None, Some(ranked.order.iter_from(rank))),
        };
        packed.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// Members with their scores, downward from before a rank.
    pub fn iter_below(self, rank: usize) -> impl Iterator<Item = (&'a [u8], f64)> {
        let (packed, large) = match self.0 {
            Body::Packed(bytes) => {
                let below: Vec<(&[u8], f64)> = pairs(bytes).take(rank).collect();
                (Some(below.into_iter().rev()), None)
            }
            Body::Large(ranked) => (None, Some(ranked.order.iter_below(rank))),
        };
        packed.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// A member by chance, all about equally likely. `random` gives 64 random bits a call.
    pub fn random(self, mut random: impl FnMut() -> u64) -> Option<(&'a [u8], f64)> {
        let rank = random().checked_rem(self.len() as u64)?;
        self.iter_from(rank as usize).next()
    }

    /// Visits some members and gives the cursor to go on with, 0 at the end (see [`super::Db::scan`]). A small one is
    /// visited as a whole.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&'a [u8], f64)) -> u64 {
        match self.0 {
            Body::Packed(bytes) => {
                pairs(bytes).for_each(|(member, score)| visit(member, score));
                0
            }
            Body::Large(ranked) => ranked.map.db.scan(cursor, count, |entry| {
                visit(entry.key(), score_of(entry).unwrap_or(0.0));
            }),
        }
    }
}

/// A sorted set that is being changed.
pub struct ZsetMut<'a, 'b> {
    held: Held<'a, 'b>,
    limits: Limits,
}

impl<'b> DbMut<'b> {
    /// The sorted set of a key, made empty where there is nothing (`compact`, or not): the caller has checked the type,
    /// and adds a member.
    pub fn zset_or_new<'a>(&'a mut self, key: Key<'a>, compact: bool, limits: Limits) -> ZsetMut<'a, 'b> {
        let encoding = if compact { COMPACT } else { CONVERTED };
        ZsetMut { held: Held::find_or_make(self, key, Kind::Zset, encoding), limits }
    }

    /// The sorted set of a key; the caller has checked the type, and removes the key when the last member has gone.
    pub fn zset_mut<'a>(&'a mut self, key: Key<'a>, limits: Limits) -> Option<ZsetMut<'a, 'b>> {
        Some(ZsetMut { held: Held::find(self, key)?, limits })
    }
}

impl ZsetMut<'_, '_> {
    /// The sorted set as it is now.
    pub fn get(&self) -> ZsetRef<'_> {
        EntryRef::new(self.held.entry()).zset().expect("the caller has checked the type")
    }

    fn is_compact(&self) -> bool {
        self.get().is_compact()
    }

    /// So many members are about to come: where they are too many for the compact encoding it is left at once.
    pub fn expect(&mut self, members: usize) {
        if members > self.limits.entries && self.is_compact() {
            self.leave_compact();
        }
    }

    fn leave_compact(&mut self) {
        match self.held.packed() {
            Some(_) => self.held.change_packed(|bytes| bytes[0] = CONVERTED, grown),
            None => self.held.set_encoding(CONVERTED),
        }
    }

    /// Adds a member, or gives it another score; whether it is new. The score is a number.
    pub fn put(&mut self, member: &[u8], score: f64) -> bool {
        debug_assert!(!score.is_nan());
        // A listpack of Redis holds -0 as the integer 0. Here every form does: which one it is may change with a start, and
        // what the log says has to come to the same.
        let score = score + 0.0;
        let old = self.get().score(member);
        let Limits { entries, bytes: bytes_max } = self.limits;
        let over = old.is_none() && (self.get().len() >= entries || member.len() > bytes_max);
        if member.len() > packed::ITEM_BYTES_MAX && self.held.packed().is_some() {
            self.held.enlarge(grown);
        }
        if self.held.packed().is_none() {
            if over && self.is_compact() {
                self.leave_compact();
            }
            let (ranked, core) = self.large();
            return ranked.put(core, member, score);
        }
        self.held.change_packed(
            |bytes| {
                if old.is_some() {
                    cut(bytes, member);
                }
                let mut at = packed::HEAD;
                while at < bytes.len() {
                    let (name, score_at) = packed::item(bytes, at);
                    let (held, next) = packed::item(bytes, score_at);
                    if in_order((name, score_bytes(held)), (member, score)).is_gt() {
                        break;
                    }
                    at = next;
                }
                packed::insert(bytes, at, &[member, &score.to_le_bytes()]);
                let count = packed::count(bytes) + 2;
                packed::set_count(bytes, count);
                if over {
                    bytes[0] = CONVERTED;
                }
            },
            grown,
        );
        old.is_none()
    }

    fn large(&mut self) -> (&mut Ranked, &mut Core) {
        let (heap, core) = self.held.large();
        match heap {
            Heap::Zset(ranked) => (ranked, core),
            _ => unreachable!("the caller has checked the type"),
        }
    }

    /// Takes a member out; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if self.held.packed().is_none() {
            let (ranked, core) = self.large();
            return ranked.take(core, member);
        }
        let there = self.get().score(member).is_some();
        if there {
            self.held.change_packed(|bytes| cut(bytes, member), grown);
        }
        there
    }

    /// Takes the members of these ranks out.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        let gone: Vec<Vec<u8>> =
            self.get().iter_from(ranks.start).take(ranks.len()).map(|(member, _)| member.to_vec()).collect();
        gone.iter().for_each(|member| {
            self.remove(member);
        });
    }

    /// One that fits the compact encoding counts as compact again: what a command has stored anew.
    pub fn settle(&mut self) {
        if !self.is_compact() && self.get().fits(self.limits) {
            match self.held.packed() {
                Some(_) => self.held.change_packed(|bytes| bytes[0] = COMPACT, grown),
                None => self.held.set_encoding(COMPACT),
            }
        }
    }
}

/// Takes a member out of packed bytes.
fn cut(bytes: &mut Vec<u8>, member: &[u8]) {
    let mut at = packed::HEAD;
    while at < bytes.len() {
        let (name, score_at) = packed::item(bytes, at);
        let next = packed::item(bytes, score_at).1;
        if name == member {
            packed::replace(bytes, at, next, &[]);
            let count = packed::count(bytes) - 2;
            packed::set_count(bytes, count);
            return;
        }
        at = next;
    }
}

/// A large sorted set of a small one's bytes.
fn grown(core: &mut Core, hasher: Hasher, bytes: &[u8]) -> Heap {
    let mut ranked = Ranked::new(Map::new(core, hasher, packed::encoding(bytes)));
    for (member, score) in pairs(bytes) {
        ranked.put(core, member, score);
    }
    Heap::Zset(Box::new(ranked))
}

impl<'a> EntryRef<'a> {
    /// The value as a sorted set; `None` for another type.
    pub fn zset(self) -> Option<ZsetRef<'a>> {
        match self.stored() {
            Stored::Packed { kind: Kind::Zset, bytes } => Some(ZsetRef::packed(bytes)),
            Stored::Heap(Heap::Zset(ranked)) => Some(ZsetRef::large(ranked)),
            _ => None,
        }
    }
}
