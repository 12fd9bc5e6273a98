//! Sets. A small one is packed: integers in their order (Redis' intset, as decimal text), other members in the order in
//! which they came; a large one is a [`Map`] without values.

use super::db::{Db, EntryRef};
use super::hash::{Hasher, Key};
use super::map::{self, Held, Limits, Map};
use super::packed;
use super::value::{COMPACT, CONVERTED, Heap, INTEGERS, Kind};
use super::write::DbMut;
use crate::base::number::parse_i64;
use std::cmp::Ordering;

/// A set, for reading.
#[derive(Clone, Copy)]
pub struct SetRef<'a>(Body<'a>);

#[derive(Clone, Copy)]
enum Body<'a> {
    Packed(&'a [u8]),
    Large(&'a Map),
}

/// Which of its encodings a set counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetForm {
    Intset,
    Listpack,
    Hashtable,
}

impl SetForm {
    fn byte(self) -> u8 {
        match self {
            SetForm::Intset => INTEGERS,
            SetForm::Listpack => COMPACT,
            SetForm::Hashtable => CONVERTED,
        }
    }

    fn of(byte: u8) -> SetForm {
        match byte {
            INTEGERS => SetForm::Intset,
            COMPACT => SetForm::Listpack,
            _ => SetForm::Hashtable,
        }
    }
}

/// Up to when sets count as compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLimits {
    /// Members of an intset.
    pub integers: usize,
    /// Of a listpack.
    pub listpack: Limits,
}

impl SetLimits {
    /// The form that Redis gives a new set whose first member is this, where so many are to come.
    pub fn form(&self, first: &[u8], members: usize) -> SetForm {
        match () {
            () if members <= self.integers && parse_i64(first).is_some() => SetForm::Intset,
            () if members <= self.listpack.entries => SetForm::Listpack,
            () => SetForm::Hashtable,
        }
    }

    /// The form of a set of `len` members, the longest of `longest` bytes, once `member` comes to it.
    fn form_with(&self, form: SetForm, len: usize, longest: impl FnOnce() -> usize, member: &[u8]) -> SetForm {
        let fits = || len < self.listpack.entries && member.len() <= self.listpack.bytes;
        match form {
            SetForm::Intset if parse_i64(member).is_some() => match len < self.integers {
                true => SetForm::Intset,
                false => SetForm::Hashtable,
            },
            SetForm::Intset if fits() && longest() <= self.listpack.bytes => SetForm::Listpack,
            SetForm::Listpack if fits() => SetForm::Listpack,
            _ => SetForm::Hashtable,
        }
    }
}

/// The order of integers in canonical decimal form.
fn by_number(a: &[u8], b: &[u8]) -> Ordering {
    match (a[0] == b'-', b[0] == b'-') {
        (false, false) => (a.len(), a).cmp(&(b.len(), b)),
        (true, true) => (b.len(), b).cmp(&(a.len(), a)),
        (negative, _) => {
            if negative {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
    }
}

/// The members of a small set, which are integers, in the order of an intset.
pub(super) fn in_order(bytes: &[u8]) -> Vec<u8> {
    let mut members: Vec<&[u8]> = packed::items(bytes).collect();
    members.sort_by(|a, b| by_number(a, b));
    let mut ordered = packed::empty(INTEGERS).to_vec();
    packed::insert(&mut ordered, packed::HEAD, &members);
    packed::set_count(&mut ordered, members.len());
    ordered
}

/// Where a member begins and ends; for an intset that lacks it, where it belongs.
fn find(bytes: &[u8], member: &[u8]) -> Result<(usize, usize), usize> {
    let ordered = packed::encoding(bytes) == INTEGERS && parse_i64(member).is_some();
    let mut at = packed::HEAD;
    while at < bytes.len() {
        let (held, next) = packed::item(bytes, at);
        if held == member {
            return Ok((at, next));
        }
        if ordered && by_number(held, member) == Ordering::Greater {
            return Err(at);
        }
        at = next;
    }
    Err(at)
}

impl<'a> SetRef<'a> {
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        SetRef(Body::Packed(bytes))
    }

    pub(super) fn large(map: &'a Map) -> Self {
        SetRef(Body::Large(map))
    }

    /// Number of members.
    pub fn len(self) -> usize {
        match self.0 {
            Body::Packed(bytes) => packed::count(bytes),
            Body::Large(map) => map.db.len() as usize,
        }
    }

    /// Never true for a set that a key holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Which of its encodings it counts as.
    pub fn form(self) -> SetForm {
        SetForm::of(match self.0 {
            Body::Packed(bytes) => packed::encoding(bytes),
            Body::Large(map) => map.encoding,
        })
    }

    /// What it counts as once it is read: an intset or a listpack only has its members counted, a hash table is built
    /// anew. Redis begins that with an intset, and leaves a table where there are too many for one.
    pub(super) fn when_read(self, limits: SetLimits) -> u8 {
        let form = match self.form() {
            form @ SetForm::Intset if self.len() <= limits.integers => form,
            form @ SetForm::Listpack if self.len() <= limits.listpack.entries => form,
            SetForm::Hashtable if self.len() <= limits.integers => match () {
                () if self.iter().all(|member| parse_i64(member).is_some()) => SetForm::Intset,
                () if limits.listpack.hold(self.len(), self.iter()) => SetForm::Listpack,
                () => SetForm::Hashtable,
            },
            _ => SetForm::Hashtable,
        };
        form.byte()
    }

    /// Whether this is a member.
    pub fn contains(self, member: &[u8]) -> bool {
        match self.0 {
            Body::Packed(bytes) => find(bytes, member).is_ok(),
            Body::Large(Map { db, .. }) => db.contains(db.key(member)),
        }
    }

    /// All members: those of a small intset in their order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let (packed, large) = match self.0 {
            Body::Packed(bytes) => (Some(packed::items(bytes)), None),
            Body::Large(map) => (None, Some(map.db.iter())),
        };
        packed.into_iter().flatten().chain(large.into_iter().flatten().map(EntryRef::key))
    }

    /// A member by chance, all about equally likely. `random` gives 64 random bits a call.
    pub fn random(self, mut random: impl FnMut() -> u64) -> Option<&'a [u8]> {
        match self.0 {
            Body::Packed(_) if self.is_empty() => None,
            Body::Packed(_) => self.iter().nth(random() as usize % self.len()),
            Body::Large(map) => map.db.random(random).map(EntryRef::key),
        }
    }

    /// Visits some members and gives the cursor to go on with, 0 at the end (see [`Db::scan`]). A small set is visited as
    /// a whole.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&'a [u8])) -> u64 {
        match self.0 {
            Body::Packed(_) => {
                self.iter().for_each(visit);
                0
            }
            Body::Large(map) => Db::scan(&map.db, cursor, count, |entry| visit(entry.key())),
        }
    }
}

/// A set that is being changed.
pub struct SetMut<'a, 'b> {
    held: Held<'a, 'b>,
    limits: SetLimits,
}

impl<'b> DbMut<'b> {
    /// The set of a key, made empty in this form where there is nothing: the caller has checked the type, and adds a
    /// member.
    pub fn set_or_new<'a>(&'a mut self, key: Key<'a>, form: SetForm, limits: SetLimits) -> SetMut<'a, 'b> {
        SetMut { held: Held::find_or_make(self, key, Kind::Set, form.byte()), limits }
    }

    /// The set of a key; the caller has checked the type, and removes the key when the last member has gone.
    pub fn set_mut<'a>(&'a mut self, key: Key<'a>, limits: SetLimits) -> Option<SetMut<'a, 'b>> {
        Some(SetMut { held: Held::find(self, key)?, limits })
    }
}

impl SetMut<'_, '_> {
    /// The set as it is now.
    pub fn get(&self) -> SetRef<'_> {
        EntryRef::new(self.held.entry()).set().expect("the caller has checked the type")
    }

    /// So many members are about to come: where they are too many for its form, that is left at once.
    pub fn expect(&mut self, members: usize) {
        let over = match self.get().form() {
            SetForm::Intset => members > self.limits.integers,
            SetForm::Listpack => members > self.limits.listpack.entries,
            SetForm::Hashtable => false,
        };
        if over {
            self.set_form(SetForm::Hashtable);
        }
    }

    fn set_form(&mut self, form: SetForm) {
        match self.held.packed() {
            Some(_) => self.held.change_packed(|bytes| bytes[0] = form.byte(), grown),
            None => self.held.set_encoding(form.byte()),
        }
    }

    /// Adds a member; whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let Some(bytes) = self.held.packed() else { return self.add_to_large(member) };
        let Err(place) = find(bytes, member) else { return false };
        if member.len() > packed::ITEM_BYTES_MAX {
            self.held.enlarge(grown);
            return self.add_to_large(member);
        }
        let (set, limits) = (self.get(), self.limits);
        let longest = || set.iter().map(<[u8]>::len).max().unwrap_or(0);
        let form = limits.form_with(set.form(), set.len(), longest, member);
        self.held.change_packed(
            |bytes| {
                packed::insert(bytes, place, &[member]);
                let count = packed::count(bytes) + 1;
                packed::set_count(bytes, count);
                bytes[0] = form.byte();
            },
            grown,
        );
        true
    }

    /// A large set may still count as compact, by limits beyond those of one allocation.
    fn add_to_large(&mut self, member: &[u8]) -> bool {
        let (set, limits) = (self.get(), self.limits);
        let (before, len) = (set.form(), set.len());
        if before == SetForm::Hashtable {
            let (heap, core) = self.held.large();
            let Heap::Set(map) = heap else { unreachable!("the caller has checked the type") };
            return map::put(map, core, member, b"");
        }
        let longest = || set.iter().map(<[u8]>::len).max().unwrap_or(0);
        let after = limits.form_with(before, len, longest, member);
        let (heap, core) = self.held.large();
        let Heap::Set(map) = heap else { unreachable!("the caller has checked the type") };
        let new = map::put(map, core, member, b"");
        if new && after != before {
            self.set_form(after);
        }
        new
    }

    /// Takes a member out; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(bytes) = self.held.packed() else {
            let (heap, core) = self.held.large();
            let Heap::Set(map) = heap else { unreachable!("the caller has checked the type") };
            return map::take(map, core, member);
        };
        let Ok((at, next)) = find(bytes, member) else { return false };
        self.held.change_packed(
            |bytes| {
                packed::replace(bytes, at, next, &[]);
                let count = packed::count(bytes) - 1;
                packed::set_count(bytes, count);
            },
            grown,
        );
        true
    }
}

/// A large set of a small one's bytes.
fn grown(core: &mut super::checkpoint::Core, hasher: Hasher, bytes: &[u8]) -> Heap {
    let mut map = Map::new(core, hasher, packed::encoding(bytes));
    for member in packed::items(bytes) {
        map::put(&mut map, core, member, b"");
    }
    Heap::Set(Box::new(map))
}
