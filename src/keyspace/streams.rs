//! Streams. A small one, without groups and of one node at most, lies in its entry; a large one is a [`Stream`].
//!
//! ```text
//! small  u8 0, u64 LE length, u64 LE added, ids (16 bytes): last, first, largest deleted; [id of the node, listpack]
//! ```
//! Unlike other collections a stream may be empty.

use super::checkpoint::Core;
use super::db::EntryRef;
use super::entry::Stored;
use super::hash::{Hasher, Key};
use super::map::Held;
use super::stream::{Stream, Trim};
use super::stream_group::{Group, NOBODY, Pending};
use super::stream_head::StreamHead;
use super::stream_node::{self, Entry, Node, NodeLimits};
use super::value::{Heap, Kind};
use super::write::DbMut;
use crate::base::StreamId;
use std::ops::RangeInclusive;

const HEAD: usize = 1 + 2 * 8 + 3 * 16;
const LISTPACK: usize = HEAD + 16;
/// A small stream that would take more becomes large: from here on, changing it costs more than a page of its own.
const SMALL_BYTES_MAX: usize = 4096;

/// A stream, for reading.
#[derive(Clone, Copy)]
pub struct StreamRef<'a>(Body<'a>);

#[derive(Clone, Copy)]
enum Body<'a> {
    Packed(&'a [u8]),
    Large(&'a Stream),
}

/// An empty small stream.
fn empty() -> [u8; HEAD] {
    [0; HEAD]
}

fn read_head(bytes: &[u8]) -> StreamHead {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let id = |at: usize| StreamId::of_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"));
    StreamHead { length: number(1), added: number(9), last: id(17), first: id(33), max_deleted: id(49) }
}

fn write_head(bytes: &mut [u8], head: &StreamHead) {
    bytes[1..9].copy_from_slice(&head.length.to_le_bytes());
    bytes[9..17].copy_from_slice(&head.added.to_le_bytes());
    for (at, id) in [(17, head.last), (33, head.first), (49, head.max_deleted)] {
        bytes[at..at + 16].copy_from_slice(&id.to_bytes());
    }
}

fn node_id(bytes: &[u8]) -> Option<StreamId> {
    let id = bytes.get(HEAD..LISTPACK)?;
    Some(StreamId::of_bytes(id.try_into().expect("sixteen bytes")))
}

fn node(bytes: &[u8]) -> Option<Node<'_>> {
    Some(Node::new(node_id(bytes)?, &bytes[LISTPACK..]))
}

/// Whether bytes from a page are a small stream.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    if bytes.len() < HEAD || bytes[0] != 0 {
        return false;
    }
    let head = read_head(bytes);
    match node_id(bytes) {
        None => bytes.len() == HEAD && head.length == 0,
        Some(id) => {
            stream_node::is_sound(id, &bytes[LISTPACK..]) && {
                let node = Node::new(id, &bytes[LISTPACK..]);
                node.live() == head.length && node.last_id() <= head.last
            }
        }
    }
}

impl<'a> StreamRef<'a> {
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        StreamRef(Body::Packed(bytes))
    }

    pub(super) fn large(stream: &'a Stream) -> Self {
        StreamRef(Body::Large(stream))
    }

    /// Its counters and ids.
    pub fn head(self) -> StreamHead {
        match self.0 {
            Body::Packed(bytes) => read_head(bytes),
            Body::Large(stream) => *stream.head(),
        }
    }

    /// Its consumer groups in the order of their names.
    pub fn groups(self) -> &'a [Group] {
        match self.0 {
            Body::Packed(_) => &[],
            Body::Large(stream) => stream.groups(),
        }
    }

    /// A consumer group.
    pub fn group(self, name: &[u8]) -> Option<&'a Group> {
        match self.0 {
            Body::Packed(_) => None,
            Body::Large(stream) => stream.group_at(name).ok().map(|at| &stream.groups()[at]),
        }
    }

    /// How many nodes it has.
    pub fn node_count(self) -> usize {
        match self.0 {
            Body::Packed(bytes) => usize::from(bytes.len() > HEAD),
            Body::Large(stream) => stream.node_count(),
        }
    }

    /// The nodes that may hold entries of a range.
    pub fn nodes(self, range: RangeInclusive<StreamId>) -> impl DoubleEndedIterator<Item = Node<'a>> {
        let (packed, large) = match self.0 {
            Body::Packed(bytes) => (node(bytes), None),
            Body::Large(stream) => (None, Some(stream.nodes(range))),
        };
        packed.into_iter().chain(large.into_iter().flatten())
    }

    /// The entries of a range.
    pub fn range(self, range: RangeInclusive<StreamId>) -> impl Iterator<Item = Entry<'a>> {
        let (start, end) = (*range.start(), *range.end());
        let entries = self.nodes(range).flat_map(Node::entries);
        let entries = entries.skip_while(move |entry| entry.id < start).take_while(move |entry| entry.id <= end);
        entries.filter(|entry| !entry.deleted)
    }

    /// The same from the last one on.
    pub fn range_back(self, range: RangeInclusive<StreamId>) -> impl Iterator<Item = Entry<'a>> {
        let (start, end) = (*range.start(), *range.end());
        let entries = self.nodes(range).rev().flat_map(Node::entries_back);
        let entries = entries.skip_while(move |entry| entry.id > end).take_while(move |entry| entry.id >= start);
        entries.filter(|entry| !entry.deleted)
    }

    /// How many entries its nodes hold: its length, unless it is being read from a copy.
    pub fn live(self) -> u64 {
        self.nodes(StreamId::MIN..=StreamId::MAX).map(Node::live).sum()
    }

    /// An entry.
    pub fn get(self, id: StreamId) -> Option<Entry<'a>> {
        self.range(id..=id).next()
    }

    /// The id of its last entry.
    pub fn top(self) -> Option<StreamId> {
        self.range_back(StreamId::MIN..=StreamId::MAX).next().map(|entry| entry.id)
    }

    /// The id of the first entry of its first node, deleted or not.
    pub fn first_ever(self) -> Option<StreamId> {
        let mut nodes = self.nodes(StreamId::MIN..=StreamId::MAX);
        nodes.find_map(|node| node.entries().next()).map(|entry| entry.id)
    }
}

/// A stream that is being changed.
pub struct StreamMut<'a, 'b> {
    held: Held<'a, 'b>,
}

impl<'b> DbMut<'b> {
    /// The stream of a key, made empty where there is nothing: the caller has checked the type.
    pub fn stream_or_new<'a>(&'a mut self, key: Key<'a>) -> StreamMut<'a, 'b> {
        StreamMut { held: Held::find_or_put(self, key, Kind::Stream, &empty()) }
    }

    /// The stream of a key; the caller has checked the type.
    pub fn stream_mut<'a>(&'a mut self, key: Key<'a>) -> Option<StreamMut<'a, 'b>> {
        Some(StreamMut { held: Held::find(self, key)? })
    }
}

/// A large stream of a small one's bytes.
fn grown(core: &mut Core, _: Hasher, bytes: &[u8]) -> Heap {
    let mut stream = Stream::new(core);
    if let Some(id) = node_id(bytes) {
        stream.load_node(core, id, bytes[LISTPACK..].to_vec());
    }
    stream.set_head(core, read_head(bytes));
    Heap::Stream(Box::new(stream))
}

impl StreamMut<'_, '_> {
    /// The stream as it is now.
    pub fn get(&self) -> StreamRef<'_> {
        EntryRef::new(self.held.entry()).stream().expect("the caller has checked the type")
    }

    /// As a large one, whatever it was.
    fn large(&mut self) -> (&mut Stream, &mut Core) {
        if self.held.packed().is_some() {
            self.held.enlarge(grown);
        }
        match self.held.large() {
            (Heap::Stream(stream), core) => (stream, core),
            _ => unreachable!("the caller has checked the type"),
        }
    }

    fn set_small_head(&mut self, head: &StreamHead) {
        self.held.change_packed(|bytes| write_head(bytes, head), grown);
    }

    /// Appends an entry of an id beyond the last one; `pair` gives its fields with their values.
    pub fn add<'f>(
        &mut self,
        limits: NodeLimits,
        id: StreamId,
        fields: usize,
        pair: impl Fn(usize) -> (&'f [u8], &'f [u8]),
    ) {
        let mut words = 0;
        for index in 0..fields {
            let (name, value) = pair(index);
            words += name.len() + value.len();
        }
        if let Some(bytes) = self.held.packed() {
            // No word takes more than eleven bytes besides its own.
            let most = bytes.len() + words + 22 * fields + LISTPACK;
            let has_room = bytes.len() == HEAD || stream_node::has_room(bytes, LISTPACK, words, limits);
            if has_room && most <= SMALL_BYTES_MAX {
                let append = |bytes: &mut Vec<u8>| {
                    let mut head = read_head(bytes);
                    let node = node_id(bytes).unwrap_or_else(|| {
                        bytes.extend_from_slice(&id.to_bytes());
                        stream_node::create(bytes, (0..fields).map(|index| pair(index).0));
                        id
                    });
                    stream_node::append(bytes, LISTPACK, node, id, fields, &pair);
                    head.append(id);
                    write_head(bytes, &head);
                };
                return self.held.change_packed(append, grown);
            }
        }
        let (stream, core) = self.large();
        stream.add(core, limits, id, words, fields, pair);
    }

    /// Takes entries off the front; how many.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let Some(bytes) = self.held.packed() else {
            let (stream, core) = self.large();
            return stream.trim(core, trim);
        };
        let mut head = read_head(bytes);
        let Some(node) = node(bytes) else { return 0 };
        let live = node.live();
        if trim.is_done(head.length) || (trim.limit > 0 && live > trim.limit) {
            return 0;
        }
        let whole = trim.takes_node(head.length, node);
        if !whole && trim.nodes_only {
            return 0;
        }
        let mut gone = live;
        self.held.change_packed(
            |bytes| {
                match (whole, node_id(bytes)) {
                    (false, Some(id)) => gone = trim.within(head.length, bytes, LISTPACK, id),
                    _ => bytes.truncate(HEAD),
                }
                head.length -= gone;
                if gone > 0 {
                    head.first = first_live(bytes);
                }
                write_head(bytes, &head);
            },
            grown,
        );
        gone
    }

    /// Deletes an entry out of the middle; whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(bytes) = self.held.packed() else {
            let (stream, core) = self.large();
            return stream.delete(core, id);
        };
        let Some(node) = node(bytes).filter(|_| self.get().get(id).is_some()) else { return false };
        let (node, last) = (node.id(), node.live() == 1);
        self.held.change_packed(
            |bytes| {
                if last {
                    bytes.truncate(HEAD);
                } else {
                    stream_node::delete(bytes, LISTPACK, node, |entry| stream_node::only(entry, id));
                }
                let mut head = read_head(bytes);
                head.length -= 1;
                if id == head.first {
                    head.first = first_live(bytes);
                }
                head.max_deleted = head.max_deleted.max(id);
                write_head(bytes, &head);
            },
            grown,
        );
        true
    }

    /// Replaces its counters and ids (XSETID, a copy); they fit its entries.
    pub fn set_head(&mut self, head: StreamHead) {
        if self.held.packed().is_some() {
            return self.set_small_head(&head);
        }
        let (stream, core) = self.large();
        stream.set_head(core, head);
    }

    /// Puts a whole node in behind the others, of a copy; whether it is sound and belongs there. The head comes later.
    pub fn load_node(&mut self, id: StreamId, bytes: &[u8]) -> bool {
        if !stream_node::is_sound(id, bytes) {
            return false;
        }
        if Node::new(id, bytes).live() == 0 {
            return true;
        }
        if self.held.packed().is_some_and(|held| held.len() == HEAD) && LISTPACK + bytes.len() <= SMALL_BYTES_MAX {
            let load = |small: &mut Vec<u8>| {
                small.extend_from_slice(&id.to_bytes());
                small.extend_from_slice(bytes);
            };
            self.held.change_packed(load, grown);
            return true;
        }
        let (stream, core) = self.large();
        stream.load_node(core, id, bytes.to_vec())
    }

    /// Adds a group; whether it is new.
    pub fn add_group(&mut self, name: &[u8], last: StreamId, read: Option<u64>) -> bool {
        let (stream, core) = self.large();
        stream.add_group(core, name, last, read)
    }

    /// Takes a group out; whether it was there.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let (stream, core) = self.large();
        stream.remove_group(core, name)
    }

    /// A group, to change it.
    pub fn group(&mut self, name: &[u8]) -> Option<GroupMut<'_>> {
        let (stream, core) = self.large();
        let at = stream.group_at(name).ok()?;
        Some(GroupMut { stream, core, at })
    }

    /// The group that was added last, of a copy that is being read.
    pub fn newest_group(&mut self) -> Option<GroupMut<'_>> {
        let (stream, core) = self.large();
        let at = (0..stream.groups().len()).max_by_key(|&at| stream.groups()[at].number)?;
        Some(GroupMut { stream, core, at })
    }
}

/// The id of the first entry of small bytes; zero without entries.
fn first_live(bytes: &[u8]) -> StreamId {
    let entries = node(bytes).into_iter().flat_map(Node::entries);
    entries.filter(|entry| !entry.deleted).map(|entry| entry.id).next().unwrap_or_default()
}

/// A consumer group that is being changed.
pub struct GroupMut<'a> {
    stream: &'a mut Stream,
    core: &'a mut Core,
    at: usize,
}

impl GroupMut<'_> {
    /// The group as it is now.
    pub fn get(&self) -> &Group {
        &self.stream.groups()[self.at]
    }

    /// Sets what was delivered last, and how many entries stand up to there.
    pub fn set(&mut self, last: StreamId, read: Option<u64>) {
        let group = self.stream.change_group(self.core, self.at);
        (group.last, group.read) = (last, read);
    }

    /// Adds a consumer that the group does not have; its number.
    pub fn add_consumer(&mut self, name: &[u8], seen: i64, active: i64) -> u32 {
        self.stream.change_group(self.core, self.at).add_consumer(name, seen, active)
    }

    /// Takes a consumer out with all that it has to acknowledge: how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.get().consumer_number(name)?;
        let ids: Vec<StreamId> = self.get().pending_of(number, StreamId::MIN).map(|pending| pending.id).collect();
        for &id in &ids {
            self.stream.take_pending(self.core, self.at, id);
        }
        let group = self.stream.change_group(self.core, self.at);
        group.consumers.remove(&number);
        group.names.remove(name);
        Some(ids.len())
    }

    /// A consumer was seen. That is no change of the stream.
    pub fn see(&mut self, consumer: u32, now: i64) {
        if let Some(consumer) = self.stream.see_group(self.at).consumers.get_mut(&consumer) {
            consumer.seen = now;
        }
    }

    /// A consumer got something.
    pub fn serve(&mut self, consumer: u32, now: i64) {
        if let Some(consumer) = self.stream.change_group(self.core, self.at).consumers.get_mut(&consumer) {
            consumer.active = now;
        }
    }

    /// Notes an entry as delivered, over what was noted of it; the consumer is one of the group's.
    pub fn put(&mut self, pending: Pending) {
        self.stream.put_pending(self.core, self.at, pending);
    }

    /// Forgets that an entry is pending; whether it was.
    pub fn take(&mut self, id: StreamId) -> bool {
        self.stream.take_pending(self.core, self.at, id)
    }

    /// Notes an entry as delivered to somebody who is yet to be read from the copy.
    pub fn load_pending(&mut self, id: StreamId, delivered: i64, count: u64) -> bool {
        let fresh = self.get().pending_at(id).is_none();
        self.put(Pending { id, delivered, count, consumer: NOBODY });
        fresh
    }

    /// The consumer that was added last has this entry; whether it was nobody's.
    pub fn load_owned(&mut self, id: StreamId) -> bool {
        let newest = self.get().consumers.last_key_value().map(|(&number, _)| number);
        let (Some(&pending), Some(consumer)) = (self.get().pending_at(id), newest) else { return false };
        self.put(Pending { consumer, ..pending });
        pending.consumer == NOBODY
    }
}

impl<'a> EntryRef<'a> {
    /// The value as a stream; `None` for another type.
    pub fn stream(self) -> Option<StreamRef<'a>> {
        match self.stored() {
            Stored::Packed { kind: Kind::Stream, bytes } => Some(StreamRef::packed(bytes)),
            Stored::Heap(Heap::Stream(stream)) => Some(StreamRef::large(stream)),
            _ => None,
        }
    }
}
