//! The pages of a large stream.
//!
//! ```text
//! page     u8 version (3), varint space, varint page, u8 part
//! 0 trunk  length, added, ids: last, first, largest deleted; next group; groups:
//!            number, name, id, entries read + 1 (0: unknown), consumers: number, name, seen, active (zigzag)
//! 1 node   id, listpack
//! 2 leaf   group, bound, pending: id, consumer, delivered (zigzag), count
//! ```
//! Numbers are varints, an id is two of them, a name and a list have their length in front. A reader takes any bytes and
//! answers with a [`PageError`] at worst.

use super::page::{Bytes, PageError, push_bytes, push_varint};
use super::stream::Held;
use super::stream_group::{Consumer, Group, Leaf, NOBODY, Pending};
use super::stream_head::StreamHead;
use super::stream_node;
use super::table::Mark;
use crate::base::StreamId;

const STREAM_VERSION: u8 = 3;
const TRUNK: u8 = 0;
const NODE: u8 = 1;
const LEAF: u8 = 2;

/// What has a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Trunk,
    Node(StreamId),
    /// A leaf of a group, by its bound.
    Pending(u32, StreamId),
}

/// What the pages of one stream held.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) trunk: Option<(u64, StreamTrunk)>,
    pub(super) nodes: Vec<(StreamId, Held)>,
    pub(super) leaves: Vec<(u32, StreamId, Leaf)>,
}

/// A stream but for its entries and what is pending.
pub struct StreamTrunk {
    pub head: StreamHead,
    pub(super) next_group: u32,
    /// Without anything pending, until [`StreamTrunk::load`].
    pub groups: Vec<Group>,
}

/// Some pending entries of a group, as their page has them.
pub struct StreamLeaf {
    group: u32,
    bound: StreamId,
    entries: Vec<Pending>,
}

/// The page of a part of a stream, read.
pub struct StreamPage<'a> {
    /// The space that it belongs to.
    pub space: u32,
    /// Its number.
    pub page: u64,
    pub part: StreamPart<'a>,
}

/// See [`StreamPage`].
pub enum StreamPart<'a> {
    Trunk(StreamTrunk),
    /// A sound node.
    Node(StreamId, &'a [u8]),
    Leaf(StreamLeaf),
}

fn push_id(out: &mut Vec<u8>, id: StreamId) {
    push_varint(out, id.ms);
    push_varint(out, id.seq);
}

fn push_signed(out: &mut Vec<u8>, number: i64) {
    push_varint(out, (number << 1 ^ number >> 63) as u64);
}

fn begin(space: u32, page: u64, part: u8, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 40);
    out.push(STREAM_VERSION);
    push_varint(&mut out, u64::from(space));
    push_varint(&mut out, page);
    out.push(part);
    out
}

pub(super) fn write_trunk(space: u32, page: u64, head: &StreamHead, next_group: u32, groups: &[Group]) -> Vec<u8> {
    let mut out = begin(space, page, TRUNK, 60);
    push_varint(&mut out, head.length);
    push_varint(&mut out, head.added);
    [head.last, head.first, head.max_deleted].into_iter().for_each(|id| push_id(&mut out, id));
    push_varint(&mut out, u64::from(next_group));
    push_varint(&mut out, groups.len() as u64);
    for group in groups {
        push_varint(&mut out, u64::from(group.number));
        push_bytes(&mut out, &group.name);
        push_id(&mut out, group.last);
        push_varint(&mut out, u64::from(group.read.is_some()));
        push_varint(&mut out, group.read.unwrap_or(0));
        push_varint(&mut out, group.consumers.len() as u64);
        for (&number, consumer) in &group.consumers {
            push_varint(&mut out, u64::from(number));
            push_bytes(&mut out, &consumer.name);
            push_signed(&mut out, consumer.seen);
            push_signed(&mut out, consumer.active);
        }
    }
    out
}

pub(super) fn write_node(space: u32, held: &Held, id: StreamId) -> Vec<u8> {
    let mut out = begin(space, held.page, NODE, held.bytes.len());
    push_id(&mut out, id);
    out.extend_from_slice(&held.bytes);
    out
}

pub(super) fn write_leaf(space: u32, group: u32, bound: StreamId, leaf: &Leaf) -> Vec<u8> {
    let mut out = begin(space, leaf.page, LEAF, leaf.entries.len() * 20);
    push_varint(&mut out, u64::from(group));
    push_id(&mut out, bound);
    push_varint(&mut out, leaf.entries.len() as u64);
    for pending in &leaf.entries {
        push_id(&mut out, pending.id);
        push_varint(&mut out, u64::from(pending.consumer));
        push_signed(&mut out, pending.delivered);
        push_varint(&mut out, pending.count);
    }
    out
}

fn id(from: &mut Bytes<'_>) -> Result<StreamId, PageError> {
    Ok(StreamId { ms: from.varint()?, seq: from.varint()? })
}

fn signed(from: &mut Bytes<'_>) -> Result<i64, PageError> {
    let zigzag = from.varint()?;
    Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

fn small(from: &mut Bytes<'_>) -> Result<u32, PageError> {
    let at = from.at();
    u32::try_from(from.varint()?).map_err(|_| PageError::Number { at })
}

impl<'a> StreamPage<'a> {
    /// Whether a page is one of these.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.first() == Some(&STREAM_VERSION)
    }

    /// Reads a page, or refuses it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PageError> {
        let mut from = Bytes::new(bytes);
        match from.byte()? {
            STREAM_VERSION => {}
            other => return Err(PageError::Version(other)),
        }
        let space = small(&mut from)?;
        let page = from.varint()?;
        let at = from.at();
        let part = match from.byte()? {
            TRUNK => StreamPart::Trunk(trunk(&mut from)?),
            NODE => {
                let id = id(&mut from)?;
                let (at, bytes) = (from.at(), from.rest());
                if !stream_node::is_sound(id, bytes) {
                    return Err(PageError::Collection { at });
                }
                return Ok(StreamPage { space, page, part: StreamPart::Node(id, bytes) });
            }
            LEAF => {
                let (group, bound) = (small(&mut from)?, id(&mut from)?);
                let mut entries = Vec::new();
                for _ in 0..from.varint()? {
                    let (id, consumer) = (id(&mut from)?, small(&mut from)?);
                    entries.push(Pending { id, consumer, delivered: signed(&mut from)?, count: from.varint()? });
                }
                StreamPart::Leaf(StreamLeaf { group, bound, entries })
            }
            tag => return Err(PageError::Tag { at, tag }),
        };
        match from.rest() {
            [] => Ok(StreamPage { space, page, part }),
            _ => Err(PageError::Trailing { at: from.at() }),
        }
    }

    /// Adds it to the other pages of its stream; whether it may be one of them.
    pub(super) fn join(self, parts: &mut Parts) -> bool {
        let (page, mark) = (self.page, Mark::Clean);
        match self.part {
            StreamPart::Trunk(trunk) => return parts.trunk.replace((page, trunk)).is_none(),
            StreamPart::Node(id, bytes) => parts.nodes.push((id, Held { bytes: bytes.to_vec(), page, mark })),
            StreamPart::Leaf(StreamLeaf { group, bound, entries }) => {
                parts.leaves.push((group, bound, Leaf { entries, page, mark }));
            }
        }
        true
    }
}

fn trunk(from: &mut Bytes<'_>) -> Result<StreamTrunk, PageError> {
    let (length, added) = (from.varint()?, from.varint()?);
    let head = StreamHead { length, added, last: id(from)?, first: id(from)?, max_deleted: id(from)? };
    let next_group = small(from)?;
    let mut groups = Vec::new();
    for _ in 0..from.varint()? {
        let (number, name, last) = (small(from)?, from.sized()?, id(from)?);
        let (known, read) = (from.varint()? != 0, from.varint()?);
        let mut group = Group::new(name, number, last, known.then_some(read));
        for _ in 0..from.varint()? {
            let at = from.at();
            let (number, name) = (small(from)?, from.sized()?);
            let consumer = Consumer::new(name, signed(from)?, signed(from)?);
            let twice = group.names.insert(name.into(), number).is_some();
            if group.consumers.insert(number, consumer).is_some() || twice || number == NOBODY {
                return Err(PageError::Collection { at });
            }
        }
        groups.push(group);
    }
    Ok(StreamTrunk { head, next_group, groups })
}

impl StreamTrunk {
    /// Puts in what is pending; whether it belongs to one of the groups.
    pub fn load(&mut self, leaf: StreamLeaf) -> bool {
        let StreamLeaf { group, bound, entries } = leaf;
        let group = self.groups.iter_mut().find(|held| held.number == group);
        group.is_some_and(|group| group.load_leaf(bound, Leaf { entries, page: 0, mark: Mark::Clean }))
    }
}
