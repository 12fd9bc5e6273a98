//! The order of a large sorted set: its members by score, then by name, with their ranks.
//!
//! ```text
//! Order ── groups (<= 128 leaves, with the number of their members) ── leaf: <= 128 of (score, place of the member)
//! ```
//! A rank is found by adding up groups, then leaves: for a million members some 100 + 128 short steps. Members are not
//! copied: an element points to the entry of the member in the set's table, which neither moves nor changes as long as
//! the member is in the order (`KeyPtr`). Nothing of this is on disk: the table's pages hold the scores.

use super::entry::{Entry, KeyPtr};
use std::cmp::Ordering;

const LEAF_MAX: usize = 128;
const GROUP_MAX: usize = 128;
/// How full leaves and groups are when they are built in one go.
const FILL: usize = 96;
/// A leaf of fewer elements is joined with the next one, if both leave room.
const LEAF_FEW: usize = 24;

#[derive(Clone, Copy)]
struct Element {
    score: f64,
    member: KeyPtr,
}

impl Element {
    fn member(&self) -> &[u8] {
        // SAFETY: the entry lives as long as the order holds this (the contract of `insert`, `Order::of` and `remove`).
        unsafe { self.member.key() }
    }

    fn cmp(&self, score: f64, member: &[u8]) -> Ordering {
        // No score is NaN, and -0 is where 0 is.
        self.score.partial_cmp(&score).unwrap_or(Ordering::Equal).then_with(|| self.member().cmp(member))
    }
}

type Leaf = Vec<Element>;

struct Group {
    len: usize,
    leaves: Vec<Leaf>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Order {
    groups: Vec<Group>,
    len: usize,
}

impl Order {
    /// Of all entries of a table, which outlive the order. A score is never NaN.
    pub(super) fn of<'e>(entries: impl Iterator<Item = (&'e Entry, f64)>) -> Order {
        let mut all: Vec<Element> = entries.map(|(entry, score)| Element { score, member: entry.key_ptr() }).collect();
        all.sort_unstable_by(|a, b| a.cmp(b.score, b.member()));
        let len = all.len();
        let leaves: Vec<Leaf> = all.chunks(FILL).map(<[Element]>::to_vec).collect();
        let mut groups = Vec::new();
        let mut leaves = leaves.into_iter().peekable();
        while leaves.peek().is_some() {
            let leaves: Vec<Leaf> = leaves.by_ref().take(FILL).collect();
            groups.push(Group { len: leaves.iter().map(Vec::len).sum(), leaves });
        }
        Order { groups, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory(&self) -> usize {
        let leaves = self.groups.iter().flat_map(|group| &group.leaves);
        leaves.map(|leaf| leaf.capacity() * size_of::<Element>() + size_of::<Leaf>()).sum()
    }

    /// Where the first element is that `before` does not hold for (elements for which it holds come first): group, leaf,
    /// index.
    fn locate(&self, before: impl Fn(&Element) -> bool) -> (usize, usize, usize) {
        let group = self.groups.partition_point(|group| before(&group.leaves[0][0])).saturating_sub(1);
        let Some(held) = self.groups.get(group) else { return (0, 0, 0) };
        let leaf = held.leaves.partition_point(|leaf| before(&leaf[0])).saturating_sub(1);
        (group, leaf, held.leaves[leaf].partition_point(before))
    }

    fn rank_at(&self, (group, leaf, index): (usize, usize, usize)) -> usize {
        let groups: usize = self.groups[..group].iter().map(|group| group.len).sum();
        let leaves = self.groups.get(group).map_or(&[][..], |group| &group.leaves[..leaf]);
        groups + leaves.iter().map(Vec::len).sum::<usize>() + index
    }

    /// How many elements `before` holds for; those come first.
    pub(super) fn count(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.rank_at(self.locate(|element| before(element.score, element.member())))
    }

    /// How many elements stand before a member with its score.
    pub(super) fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.rank_at(self.locate(|element| element.cmp(score, member).is_lt()))
    }

    /// Adds a member that is not there, by its entry, which outlives its place in here.
    pub(super) fn insert(&mut self, entry: &Entry, score: f64) {
        let element = Element { score, member: entry.key_ptr() };
        let (group, mut leaf, mut index) = self.locate(|held| held.cmp(element.score, entry.key()).is_lt());
        self.len += 1;
        let Some(held) = self.groups.get_mut(group) else {
            self.groups.push(Group { len: 1, leaves: vec![vec![element]] });
            return;
        };
        held.len += 1;
        if held.leaves[leaf].len() == LEAF_MAX {
            // Rising scores fill leaves to the brim; others split them.
            let at_end = leaf + 1 == held.leaves.len() && index == LEAF_MAX;
            let moved = held.leaves[leaf].split_off(if at_end { LEAF_MAX } else { LEAF_MAX / 2 });
            held.leaves[leaf].shrink_to_fit();
            let half = held.leaves[leaf].len();
            held.leaves.insert(leaf + 1, moved);
            if index >= half && (at_end || index > half) {
                (leaf, index) = (leaf + 1, index - half);
            }
        }
        let target = &mut held.leaves[leaf];
        if target.len() == target.capacity() {
            // By a quarter, not twice as much.
            target.reserve_exact((target.len() / 4).max(4).min(LEAF_MAX - target.len()));
        }
        target.insert(index, element);
        if held.leaves.len() > GROUP_MAX {
            let at_end = group + 1 == self.groups.len() && leaf + 1 == self.groups[group].leaves.len();
            let held = &mut self.groups[group];
            let moved = held.leaves.split_off(if at_end { GROUP_MAX } else { GROUP_MAX / 2 });
            let len = moved.iter().map(Vec::len).sum();
            held.len -= len;
            self.groups.insert(group + 1, Group { len, leaves: moved });
        }
    }

    /// Takes a member out, which is there with this score. Its entry may go from now on.
    pub(super) fn remove(&mut self, score: f64, member: &[u8]) {
        let place = self.locate(|element| element.cmp(score, member).is_lt());
        // The first element that is not before it may open the next leaf.
        let (group, leaf, index) = self.settled(place);
        let held = &mut self.groups[group];
        debug_assert!(held.leaves[leaf][index].cmp(score, member).is_eq());
        held.leaves[leaf].remove(index);
        held.len -= 1;
        self.len -= 1;
        if held.leaves[leaf].is_empty() {
            held.leaves.remove(leaf);
        } else if held.leaves[leaf].len() < LEAF_FEW
            && held.leaves.get(leaf + 1).is_some_and(|next| next.len() < LEAF_MAX / 2)
        {
            let next = held.leaves.remove(leaf + 1);
            held.leaves[leaf].extend(next);
        }
        if held.leaves.is_empty() {
            self.groups.remove(group);
        }
    }

    /// A place behind the last element of a leaf is that of the next leaf's first one.
    fn settled(&self, (group, leaf, index): (usize, usize, usize)) -> (usize, usize, usize) {
        match self.groups.get(group) {
            Some(held) if index < held.leaves[leaf].len() => (group, leaf, index),
            Some(held) if leaf + 1 < held.leaves.len() => (group, leaf + 1, 0),
            _ => (group + 1, 0, 0),
        }
    }

    fn at_rank(&self, rank: usize) -> (usize, usize, usize) {
        let (mut group, mut left) = (0, rank);
        while group < self.groups.len() && left >= self.groups[group].len {
            left -= self.groups[group].len;
            group += 1;
        }
        let Some(held) = self.groups.get(group) else { return (group, 0, 0) };
        let mut leaf = 0;
        while left >= held.leaves[leaf].len() {
            left -= held.leaves[leaf].len();
            leaf += 1;
        }
        (group, leaf, left)
    }

    /// The elements from a rank on.
    pub(super) fn iter_from(&self, rank: usize) -> impl Iterator<Item = (&[u8], f64)> {
        let (group, leaf, index) = self.at_rank(rank);
        let first = self.groups.get(group).map_or(&[][..], |held| &held.leaves[leaf..]);
        let rest = self.groups.get(group + 1..).unwrap_or_default();
        let leaves = first.iter().chain(rest.iter().flat_map(|group| &group.leaves));
        leaves.flatten().skip(index).map(|element| (element.member(), element.score))
    }

    /// The elements from before a rank on, downward.
    pub(super) fn iter_below(&self, rank: usize) -> impl Iterator<Item = (&[u8], f64)> {
        let (group, leaf, index) = self.at_rank(rank);
        let held = self.groups.get(group);
        let part = held.map_or(&[][..], |held| &held.leaves[leaf][..index]);
        let before = held.map_or(&[][..], |held| &held.leaves[..leaf]);
        let groups = self.groups[..group.min(self.groups.len())].iter().rev();
        let leaves = before.iter().rev().chain(groups.flat_map(|group| group.leaves.iter().rev()));
        let elements = part.iter().rev().chain(leaves.flat_map(|leaf| leaf.iter().rev()));
        elements.map(|element| (element.member(), element.score))
    }
}
