//! Consumer groups in memory: who has been given which entry and has yet to acknowledge it.
//!
//! What is pending lies in leaves of up to 128 in the order of ids, each a page of its own; a leaf is found by its lower
//! bound, which it keeps, and the first one's is zero. Consumers have numbers within their group, so that what is pending
//! names them in four bytes; each knows its ids besides, which is made anew at a start. When a consumer was last seen is
//! no change of the stream, as the access clock of a key is none: its page carries what it was when it was written.

use super::table::Mark;
use crate::base::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// From here on a leaf splits.
const LEAF_ENTRIES_MAX: usize = 128;

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: StreamId,
    /// When it was delivered last, Unix milliseconds.
    pub delivered: i64,
    /// How often.
    pub count: u64,
    /// The number of the consumer that has it.
    pub consumer: u32,
}

/// Nobody's number: while a copy is read, what is pending comes before who has it.
pub(super) const NOBODY: u32 = u32::MAX;

/// Some pending entries.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) entries: Vec<Pending>,
    pub(super) page: u64,
    pub(super) mark: Mark,
}

/// One who reads through a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub name: Box<[u8]>,
    /// When it last asked, and when it last got something (-1: never), Unix milliseconds.
    pub seen: i64,
    pub active: i64,
    pub(super) ids: BTreeSet<StreamId>,
}

impl Consumer {
    pub(super) fn new(name: &[u8], seen: i64, active: i64) -> Consumer {
        Consumer { name: name.into(), seen, active, ids: BTreeSet::new() }
    }

    /// How many entries it has yet to acknowledge.
    pub fn pending(&self) -> usize {
        self.ids.len()
    }
}

/// A consumer group.
#[derive(Clone)]
pub struct Group {
    pub name: Box<[u8]>,
    /// Its number within the stream, never used twice.
    pub(super) number: u32,
    /// The id that was delivered last.
    pub last: StreamId,
    /// How many entries of the stream stand up to there, if that is known.
    pub read: Option<u64>,
    pub(super) consumers: BTreeMap<u32, Consumer>,
    pub(super) names: BTreeMap<Box<[u8]>, u32>,
    pub(super) leaves: BTreeMap<StreamId, Leaf>,
    pub(super) pending: u64,
}

impl Group {
    pub(super) fn new(name: &[u8], number: u32, last: StreamId, read: Option<u64>) -> Group {
        Group {
            name: name.into(),
            number,
            last,
            read,
            consumers: BTreeMap::new(),
            names: BTreeMap::new(),
            leaves: BTreeMap::new(),
            pending: 0,
        }
    }

    /// The number of a consumer.
    pub fn consumer_number(&self, name: &[u8]) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// A consumer by its number.
    pub fn consumer(&self, number: u32) -> Option<&Consumer> {
        self.consumers.get(&number)
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (u32, &Consumer)> {
        self.names.values().map(|number| (*number, &self.consumers[number]))
    }

    /// How many entries are pending.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// What is pending from an id on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = &Pending> {
        let first = self.leaves.range(..=start).next_back().map_or(StreamId::MIN, |(&bound, _)| bound);
        let leaves = self.leaves.range(first..).map(|(_, leaf)| &leaf.entries);
        leaves.flat_map(move |entries| {
            let skipped = entries.partition_point(|pending| pending.id < start);
            &entries[skipped..]
        })
    }

    /// The last that is pending.
    pub fn last_pending(&self) -> Option<&Pending> {
        self.leaves.values().next_back().and_then(|leaf| leaf.entries.last())
    }

    /// What one consumer has to acknowledge, from an id on.
    pub fn pending_of(&self, consumer: u32, start: StreamId) -> impl Iterator<Item = &Pending> {
        let ids = self.consumers.get(&consumer).map(|consumer| consumer.ids.range(start..));
        ids.into_iter().flatten().map(|&id| self.pending_at(id).expect("a consumer's entry is pending"))
    }

    /// A pending entry.
    pub fn pending_at(&self, id: StreamId) -> Option<&Pending> {
        let entries = &self.leaves.range(..=id).next_back()?.1.entries;
        entries.binary_search_by_key(&id, |pending| pending.id).ok().map(|at| &entries[at])
    }

    /// Adds a consumer, under a number that none has.
    pub(super) fn add_consumer(&mut self, name: &[u8], seen: i64, active: i64) -> u32 {
        let number = self.consumers.last_key_value().map_or(0, |(&last, _)| last + 1);
        assert!(number != NOBODY, "a group has had four billion consumers at a time");
        self.names.insert(name.into(), number);
        self.consumers.insert(number, Consumer::new(name, seen, active));
        number
    }

    /// The bound of the leaf that an id belongs to.
    pub(super) fn bound(&self, id: StreamId) -> Option<StreamId> {
        self.leaves.range(..=id).next_back().map(|(&bound, _)| bound)
    }

    /// Whether a leaf has to give some of its entries away before a new id comes in, and from which one on: those behind
    /// it, or none where the id is behind them all.
    pub(super) fn splits_at(&self, bound: StreamId, id: StreamId) -> Option<StreamId> {
        let entries = &self.leaves[&bound].entries;
        if entries.len() < LEAF_ENTRIES_MAX {
            return None;
        }
        match entries.last() {
            Some(last) if last.id < id => Some(id),
            _ => Some(entries[LEAF_ENTRIES_MAX / 2].id),
        }
    }

    /// Moves what a leaf holds from a new bound on into a leaf of that bound.
    pub(super) fn split(&mut self, bound: StreamId, new: StreamId, page: u64) {
        let entries = &mut self.leaves.get_mut(&bound).expect("the caller found it").entries;
        let at = entries.partition_point(|pending| pending.id < new);
        let moved = entries.split_off(at);
        entries.shrink_to_fit();
        self.leaves.insert(new, Leaf { entries: moved, page, mark: Mark::Clean });
    }

    /// Puts an entry into its leaf, over what is there of this id; the leaf has room.
    pub(super) fn put(&mut self, bound: StreamId, pending: Pending) {
        let entries = &mut self.leaves.get_mut(&bound).expect("the caller found it").entries;
        match entries.binary_search_by_key(&pending.id, |held| held.id) {
            Ok(at) => {
                let before = std::mem::replace(&mut entries[at], pending);
                if before.consumer != pending.consumer
                    && let Some(consumer) = self.consumers.get_mut(&before.consumer)
                {
                    consumer.ids.remove(&pending.id);
                }
            }
            Err(at) => {
                entries.insert(at, pending);
                self.pending += 1;
            }
        }
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.ids.insert(pending.id);
        }
    }

    /// Takes an entry out of its leaf; whether the leaf is empty now.
    pub(super) fn take(&mut self, bound: StreamId, id: StreamId) -> bool {
        let entries = &mut self.leaves.get_mut(&bound).expect("the caller found it").entries;
        if let Ok(at) = entries.binary_search_by_key(&id, |pending| pending.id) {
            let gone = entries.remove(at);
            self.pending -= 1;
            if let Some(consumer) = self.consumers.get_mut(&gone.consumer) {
                consumer.ids.remove(&id);
            }
        }
        if entries.len() < entries.capacity() / 4 {
            entries.shrink_to(entries.len() * 2);
        }
        entries.is_empty()
    }

    /// The leaf in front of this one, if both fit into half of one.
    pub(super) fn merges_into(&self, bound: StreamId) -> Option<StreamId> {
        let here = self.leaves[&bound].entries.len();
        let (&before, leaf) = self.leaves.range((Bound::Unbounded, Bound::Excluded(bound))).next_back()?;
        (here < LEAF_ENTRIES_MAX / 8 && here + leaf.entries.len() <= LEAF_ENTRIES_MAX / 2).then_some(before)
    }

    /// Puts a leaf in that its page held; whether it fits those that are there, and its consumers are known.
    pub(super) fn load_leaf(&mut self, bound: StreamId, leaf: Leaf) -> bool {
        let rising = leaf.entries.windows(2).all(|two| two[0].id < two[1].id);
        let (Some(first), Some(last)) = (leaf.entries.first(), leaf.entries.last()) else { return false };
        let ends_before = |next: Option<(&StreamId, &Leaf)>| next.is_none_or(|(&next, _)| last.id < next);
        let begins_behind = |before: Option<(&StreamId, &Leaf)>| {
            before.is_none_or(|(_, before)| before.entries.last().is_none_or(|last| last.id < bound))
        };
        if !rising
            || first.id < bound
            || self.leaves.contains_key(&bound)
            || !ends_before(self.leaves.range(bound..).next())
            || !begins_behind(self.leaves.range(..bound).next_back())
        {
            return false;
        }
        for pending in &leaf.entries {
            match self.consumers.get_mut(&pending.consumer) {
                Some(consumer) => consumer.ids.insert(pending.id),
                None => return false,
            };
        }
        self.pending += leaf.entries.len() as u64;
        self.leaves.insert(bound, leaf);
        true
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory(&self) -> usize {
        let consumers = self.consumers.values();
        let consumers: usize = consumers
            .map(|consumer| size_of::<Consumer>() + 2 * consumer.name.len() + 40 + 24 * consumer.ids.len())
            .sum();
        let leaves: usize = self.leaves.values().map(|leaf| 64 + leaf.entries.capacity() * size_of::<Pending>()).sum();
        size_of::<Group>() + self.name.len() + consumers + leaves
    }
}
