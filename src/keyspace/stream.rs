//! A large stream: nodes and leaves of pending entries that are checkpoint pages of their own, and a trunk.
//!
//! ```text
//! Stream ── nodes by id ── listpack (`stream_node`)          a page each: appending rewrites the last one
//!        ── groups ── leaves of pending entries by bound     a page each (`stream_group`)
//!        └─ trunk: the head, the groups and their consumers  one page
//! ```
//! Every change of a part goes through [`Stream::touch`] before it happens.

use super::checkpoint::{Change, Core, Dropped};
use super::parts::{Books, InParts};
use super::stream_group::{Group, Leaf, Pending};
use super::stream_head::StreamHead;
use super::stream_node::{self, Entry, Node, NodeLimits};
use super::stream_page::{self, Part, Parts};
use super::table::Mark;
use crate::base::StreamId;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

/// A node in memory.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) page: u64,
    pub(super) mark: Mark,
}

/// See the module.
pub(super) struct Stream {
    head: StreamHead,
    nodes: BTreeMap<StreamId, Held>,
    /// In the order of their names.
    groups: Vec<Group>,
    next_group: u32,
    page: u64,
    mark: Mark,
    books: Books<Part>,
}

/// What is to be left of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub keep: Keep,
    /// Only whole nodes go.
    pub nodes_only: bool,
    /// Not more entries than this may go; 0 for all.
    pub limit: u64,
}

/// See [`Trim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many entries, the last ones.
    Length(u64),
    /// Entries from this id on.
    From(StreamId),
}

impl Trim {
    /// Whether a node goes as a whole, from a stream of this length.
    pub(super) fn takes_node(&self, length: u64, node: Node<'_>) -> bool {
        match self.keep {
            Keep::Length(length_max) => length - node.live() >= length_max,
            Keep::From(id) => node.last_id() < id,
        }
    }

    /// Whether nothing more is to go from a stream of this length.
    pub(super) fn is_done(&self, length: u64) -> bool {
        matches!(self.keep, Keep::Length(length_max) if length <= length_max)
    }

    /// Deletes from the front of a node what is to go; how many that are.
    pub(super) fn within(&self, length: u64, bytes: &mut Vec<u8>, base: usize, node: StreamId) -> u64 {
        let mut left = length;
        stream_node::delete(bytes, base, node, |entry| {
            let stays = match self.keep {
                Keep::Length(length_max) => left <= length_max,
                Keep::From(id) => entry.id >= id,
            };
            left -= u64::from(!entry.deleted && !stays);
            if stays { ControlFlow::Break(()) } else { ControlFlow::Continue(true) }
        })
    }
}

impl Stream {
    pub(super) fn new(core: &mut Core) -> Stream {
        let books = Books::new(core);
        let mut stream = Stream { page: core.new_page(), books, ..Stream::hollow(0) };
        stream.touch(core, Part::Trunk);
        stream
    }

    /// One that its pages are to come into.
    pub(super) fn hollow(space: u32) -> Stream {
        Stream {
            head: StreamHead::default(),
            nodes: BTreeMap::new(),
            groups: Vec::new(),
            next_group: 0,
            page: 0,
            mark: Mark::Clean,
            books: Books::hollow(space),
        }
    }

    /// Puts in what its pages held; whether they make a stream.
    pub(super) fn load(&mut self, parts: Parts) -> bool {
        let Parts { trunk: Some((page, trunk)), nodes, leaves } = parts else { return false };
        self.page = page;
        self.books.loaded();
        self.head = trunk.head;
        self.next_group = trunk.next_group;
        self.groups = trunk.groups;
        let rising = self.groups.windows(2).all(|two| two[0].name < two[1].name);
        let numbered = self.groups.iter().all(|group| group.number < self.next_group);
        if !rising || !numbered {
            return false;
        }
        for (number, bound, leaf) in leaves {
            let group = self.groups.iter_mut().find(|group| group.number == number);
            if !group.is_some_and(|group| group.load_leaf(bound, leaf)) {
                return false;
            }
        }
        for (id, node) in nodes {
            if self.nodes.insert(id, node).is_some() {
                return false;
            }
        }
        let mut before = None;
        let mut length = 0;
        for (&id, held) in &self.nodes {
            let node = Node::new(id, &held.bytes);
            if before.is_some_and(|before| id <= before) {
                return false;
            }
            (before, length) = (Some(node.last_id()), length + node.live());
        }
        length == self.head.length && before.is_none_or(|last| last <= self.head.last)
    }

    pub(super) fn head(&self) -> &StreamHead {
        &self.head
    }

    /// Replaces what the stream knows of itself.
    pub(super) fn set_head(&mut self, core: &mut Core, head: StreamHead) {
        self.touch(core, Part::Trunk);
        self.head = head;
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(super) fn group_at(&self, name: &[u8]) -> Result<usize, usize> {
        self.groups.binary_search_by(|group| (*group.name).cmp(name))
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes that may hold entries of a range, first to last or back.
    pub(super) fn nodes(&self, range: RangeInclusive<StreamId>) -> impl DoubleEndedIterator<Item = Node<'_>> {
        let first = self.nodes.range(..=*range.start()).next_back().map_or(*range.start(), |(&id, _)| id);
        let last = *range.end();
        let nodes = (first <= last).then(|| self.nodes.range(first..=last));
        nodes.into_iter().flatten().map(|(&id, held)| Node::new(id, &held.bytes))
    }

    /// Before any change of a part: hands its page to a running checkpoint that has yet to take it, and marks it.
    fn touch(&mut self, core: &mut Core, part: Part) {
        let Some((mark, page)) = self.mark_of(part) else { return };
        let before = *mark;
        if before == core.mark {
            return;
        }
        if before != Mark::Clean {
            let bytes = self.write(part);
            core.put_aside(Change::Page { space: self.books.space(), page, bytes });
        }
        if let Some((mark, _)) = self.mark_of(part) {
            *mark = core.mark;
        }
        self.books.changed(core.round, part);
    }

    fn drop_page(&self, core: &mut Core, page: u64) {
        core.drops.push(Dropped::Page { space: self.books.space(), page });
    }

    // ------------------------------------------------------------------ entries

    /// Appends an entry of an id beyond the last one; its words have `bytes` bytes.
    pub(super) fn add<'f>(
        &mut self,
        core: &mut Core,
        limits: NodeLimits,
        id: StreamId,
        bytes: usize,
        fields: usize,
        pair: impl Fn(usize) -> (&'f [u8], &'f [u8]),
    ) {
        self.touch(core, Part::Trunk);
        let last = self.nodes.last_entry().map(|last| {
            let held = last.into_mut();
            (stream_node::has_room(&held.bytes, 0, bytes, limits), held)
        });
        let node = match last {
            Some((true, _)) => *self.nodes.last_key_value().expect("seen above").0,
            full => {
                if let Some((_, held)) = full {
                    held.bytes.shrink_to_fit();
                }
                let mut bytes = Vec::new();
                stream_node::create(&mut bytes, (0..fields).map(|index| pair(index).0));
                self.put_node(core, id, bytes);
                id
            }
        };
        self.touch(core, Part::Node(node));
        let held = self.nodes.get_mut(&node).expect("found or made above");
        stream_node::append(&mut held.bytes, 0, node, id, fields, pair);
        self.head.append(id);
    }

    fn put_node(&mut self, core: &mut Core, id: StreamId, bytes: Vec<u8>) {
        let held = Held { bytes, page: core.new_page(), mark: Mark::Clean };
        self.nodes.insert(id, held);
        self.touch(core, Part::Node(id));
    }

    fn remove_node(&mut self, core: &mut Core, id: StreamId) {
        self.touch(core, Part::Node(id));
        if let Some(held) = self.nodes.remove(&id) {
            self.drop_page(core, held.page);
        }
    }

    /// Puts a whole node in behind the others; whether it belongs there. The head is the caller's to set.
    pub(super) fn load_node(&mut self, core: &mut Core, id: StreamId, bytes: Vec<u8>) -> bool {
        let behind = |(&before, held): (&StreamId, &Held)| Node::new(before, &held.bytes).last_id() < id;
        if !self.nodes.last_key_value().is_none_or(behind) {
            return false;
        }
        self.put_node(core, id, bytes);
        true
    }

    /// Takes entries off the front; how many.
    pub(super) fn trim(&mut self, core: &mut Core, trim: &Trim) -> u64 {
        let mut gone = 0;
        while let Some((&id, held)) = self.nodes.first_key_value() {
            let node = Node::new(id, &held.bytes);
            let live = node.live();
            if trim.is_done(self.head.length) || (trim.limit > 0 && gone + live > trim.limit) {
                break;
            }
            if trim.takes_node(self.head.length, node) {
                self.remove_node(core, id);
                self.head.length -= live;
                gone += live;
                continue;
            }
            if !trim.nodes_only {
                self.touch(core, Part::Node(id));
                let length = self.head.length;
                let held = self.nodes.get_mut(&id).expect("the first node");
                let deleted = trim.within(length, &mut held.bytes, 0, id);
                self.head.length -= deleted;
                gone += deleted;
            }
            break;
        }
        if gone > 0 {
            self.touch(core, Part::Trunk);
            self.head.first = self.first_live();
        }
        gone
    }

    fn first_live(&self) -> StreamId {
        let nodes = self.nodes.iter().map(|(&id, held)| Node::new(id, &held.bytes));
        let first = nodes.flat_map(Node::entries).find(|entry: &Entry<'_>| !entry.deleted);
        first.map_or(StreamId::MIN, |entry| entry.id)
    }

    /// Deletes an entry out of the middle; whether it was there.
    pub(super) fn delete(&mut self, core: &mut Core, id: StreamId) -> bool {
        let Some((&node, held)) = self.nodes.range(..=id).next_back() else { return false };
        let found = Node::new(node, &held.bytes);
        if !found.entries().any(|entry| entry.id == id && !entry.deleted) {
            return false;
        }
        if found.live() == 1 {
            self.remove_node(core, node);
        } else {
            self.touch(core, Part::Node(node));
            let held = self.nodes.get_mut(&node).expect("found above");
            stream_node::delete(&mut held.bytes, 0, node, |entry| stream_node::only(entry, id));
        }
        self.touch(core, Part::Trunk);
        self.head.length -= 1;
        if id == self.head.first {
            self.head.first = self.first_live();
        }
        self.head.max_deleted = self.head.max_deleted.max(id);
        true
    }

    // ------------------------------------------------------------------ groups

    /// Adds a group; whether it is new.
    pub(super) fn add_group(&mut self, core: &mut Core, name: &[u8], last: StreamId, read: Option<u64>) -> bool {
        let Err(at) = self.group_at(name) else { return false };
        self.touch(core, Part::Trunk);
        let number = self.next_group;
        self.next_group = number.checked_add(1).expect("a stream has had four billion groups");
        self.groups.insert(at, Group::new(name, number, last, read));
        true
    }

    /// Takes a group out with all that is pending in it; whether it was there.
    pub(super) fn remove_group(&mut self, core: &mut Core, name: &[u8]) -> bool {
        let Ok(at) = self.group_at(name) else { return false };
        self.touch(core, Part::Trunk);
        let number = self.groups[at].number;
        let bounds: Vec<StreamId> = self.groups[at].leaves.keys().copied().collect();
        for bound in bounds {
            self.touch(core, Part::Pending(number, bound));
        }
        let group = self.groups.remove(at);
        group.leaves.values().for_each(|leaf| self.drop_page(core, leaf.page));
        true
    }

    /// A group for changing what stands in the trunk: its ids, its consumers.
    pub(super) fn change_group(&mut self, core: &mut Core, at: usize) -> &mut Group {
        self.touch(core, Part::Trunk);
        &mut self.groups[at]
    }

    /// A group for changing what is no change: when a consumer was seen.
    pub(super) fn see_group(&mut self, at: usize) -> &mut Group {
        &mut self.groups[at]
    }

    /// Notes an entry as pending, over what was noted of it.
    pub(super) fn put_pending(&mut self, core: &mut Core, at: usize, pending: Pending) {
        let (number, id) = (self.groups[at].number, pending.id);
        let mut bound = match self.groups[at].bound(id) {
            Some(bound) => bound,
            None => {
                let leaf = Leaf { entries: Vec::new(), page: core.new_page(), mark: Mark::Clean };
                self.groups[at].leaves.insert(StreamId::MIN, leaf);
                StreamId::MIN
            }
        };
        self.touch(core, Part::Pending(number, bound));
        if self.groups[at].pending_at(id).is_none()
            && let Some(new) = self.groups[at].splits_at(bound, id)
        {
            self.groups[at].split(bound, new, core.new_page());
            self.touch(core, Part::Pending(number, new));
            bound = if id < new { bound } else { new };
        }
        self.groups[at].put(bound, pending);
    }

    /// An entry is not pending any more; whether it was.
    pub(super) fn take_pending(&mut self, core: &mut Core, at: usize, id: StreamId) -> bool {
        if self.groups[at].pending_at(id).is_none() {
            return false;
        }
        let number = self.groups[at].number;
        let bound = self.groups[at].bound(id).expect("it is pending");
        self.touch(core, Part::Pending(number, bound));
        let empty = self.groups[at].take(bound, id);
        let before = match empty {
            true => None,
            false => self.groups[at].merges_into(bound),
        };
        if let Some(before) = before {
            self.touch(core, Part::Pending(number, before));
        }
        if empty || before.is_some() {
            let group = &mut self.groups[at];
            let mut gone = group.leaves.remove(&bound).expect("found above");
            if let Some(leaf) = before.and_then(|before| group.leaves.get_mut(&before)) {
                leaf.entries.append(&mut gone.entries);
            }
            self.drop_page(core, gone.page);
        }
        true
    }

    // ------------------------------------------------------------------ the whole

    pub(super) fn duplicate(&self, core: &mut Core) -> Stream {
        let mut copy = Stream::new(core);
        (copy.head, copy.groups, copy.next_group) = (self.head, self.groups.clone(), self.next_group);
        for (&id, held) in &self.nodes {
            copy.put_node(core, id, held.bytes.clone());
        }
        let mut parts = Vec::new();
        for group in &mut copy.groups {
            for (&bound, leaf) in &mut group.leaves {
                (leaf.page, leaf.mark) = (core.new_page(), Mark::Clean);
                parts.push(Part::Pending(group.number, bound));
            }
        }
        parts.into_iter().for_each(|part| copy.touch(core, part));
        copy
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory(&self) -> usize {
        let nodes: usize = self.nodes.values().map(|held| 80 + held.bytes.capacity()).sum();
        size_of::<Stream>() + nodes + self.groups.iter().map(Group::memory).sum::<usize>()
    }

    /// How many allocations it takes, about.
    pub(super) fn pieces(&self) -> u64 {
        self.nodes.len() as u64
            + self.groups.iter().map(|group| group.pending + group.consumers.len() as u64).sum::<u64>()
    }
}

impl InParts for Stream {
    type Part = Part;

    fn books(&self) -> &Books<Part> {
        &self.books
    }

    fn books_mut(&mut self) -> &mut Books<Part> {
        &mut self.books
    }

    fn mark_of(&mut self, part: Part) -> Option<(&mut Mark, u64)> {
        match part {
            Part::Trunk => Some((&mut self.mark, self.page)),
            Part::Node(id) => self.nodes.get_mut(&id).map(|held| (&mut held.mark, held.page)),
            Part::Pending(number, bound) => {
                let group = self.groups.iter_mut().find(|group| group.number == number)?;
                group.leaves.get_mut(&bound).map(|leaf| (&mut leaf.mark, leaf.page))
            }
        }
    }

    fn write(&self, part: Part) -> Vec<u8> {
        let space = self.books.space();
        match part {
            Part::Trunk => stream_page::write_trunk(space, self.page, &self.head, self.next_group, &self.groups),
            Part::Node(id) => stream_page::write_node(space, &self.nodes[&id], id),
            Part::Pending(number, bound) => {
                let group = self.groups.iter().find(|group| group.number == number).expect("a part that is there");
                stream_page::write_leaf(space, number, bound, &group.leaves[&bound])
            }
        }
    }
}
