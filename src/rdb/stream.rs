//! Streams of the format: nodes as listpacks, the head, and the consumer groups with what is pending in them.
//!
//! ```text
//! nodes: id (16 bytes, as a string), listpack   length, last id   [from 2 on: first id, largest deleted id, entries added]
//! groups: name, last id, [from 2 on: entries read]
//!         pending: id (16 bytes), delivered (8 bytes), count
//!         consumers: name, seen (8 bytes), [from 3 on: active], ids of what is pending for it (16 bytes each)
//! ```
//! It comes in parts, in this order; the form that Redis 7.0 writes is written. A listpack is handed on as it is: whoever
//! takes it looks at it.

use super::cursor::{Cursor, Read};
use super::{code, string};
use crate::base::StreamId;

/// A part of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamPart {
    Node(StreamId, Vec<u8>),
    Head(Head),
    Group(Group),
    Pending(Pending),
    /// How many consumers of the last group follow.
    Consumers(u64),
    Consumer(Consumer),
    /// An entry that is pending for the last consumer.
    Owned(StreamId),
}

/// What a stream knows of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub length: u64,
    pub last: StreamId,
    /// Before 7.0 the rest was not written.
    pub counted: Option<Counted>,
    /// How many are to follow.
    pub groups: u64,
}

/// See [`Head`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    pub first: StreamId,
    pub max_deleted: StreamId,
    pub added: u64,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub name: Vec<u8>,
    pub last: StreamId,
    /// Entries read up to there, `u64::MAX` where nobody knows; not written before 7.0.
    pub read: Option<u64>,
    /// How many entries of it are pending; they follow.
    pub pending: u64,
}

/// An entry that is pending in the last group.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    pub id: StreamId,
    pub delivered: i64,
    pub count: u64,
}

/// A consumer of the last group.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    pub name: Vec<u8>,
    pub seen: i64,
    pub active: i64,
    /// How many entries are pending for it.
    pub owned: u64,
}

/// What of a stream is still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    kind: u8,
    nodes: u64,
    head: bool,
    groups: u64,
    pending: u64,
    /// Whether the number of consumers comes next.
    counting: bool,
    consumers: u64,
    owned: u64,
    /// Pending entries of the group that no consumer has claimed yet.
    unclaimed: u64,
}

impl Left {
    /// Reads what stands in front of the nodes.
    pub fn open(kind: u8, from: &mut Cursor<'_>) -> Read<Left> {
        let nodes = from.length()?;
        let (groups, pending, consumers, owned, unclaimed) = (0, 0, 0, 0, 0);
        Ok(Left { kind, nodes, head: true, groups, pending, counting: false, consumers, owned, unclaimed })
    }

    pub fn is_empty(&self) -> bool {
        !self.head && !self.counting && self.groups == 0 && self.consumers == 0 && self.owned == 0
    }

    /// The next part.
    pub fn next(&mut self, from: &mut Cursor<'_>) -> Read<StreamPart> {
        Ok(if self.nodes > 0 {
            self.nodes -= 1;
            let id = from.string()?;
            let Ok(id) = <[u8; 16]>::try_from(&id[..]) else { return from.corrupt("a node without an id") };
            StreamPart::Node(StreamId::of_bytes(id), from.string()?.into_owned())
        } else if self.head {
            self.head = false;
            let (length, last) = (from.length()?, id(from)?);
            let counted = match self.kind {
                code::STREAM_LISTPACKS => None,
                _ => Some(Counted { first: id(from)?, max_deleted: id(from)?, added: from.length()? }),
            };
            self.groups = from.length()?;
            StreamPart::Head(Head { length, last, counted, groups: self.groups })
        } else if self.pending > 0 {
            self.pending -= 1;
            let id = StreamId::of_bytes(from.array()?);
            let delivered = i64::from_le_bytes(from.array()?);
            StreamPart::Pending(Pending { id, delivered, count: from.length()? })
        } else if self.counting {
            self.counting = false;
            self.consumers = from.length()?;
            self.claimed(from)?;
            StreamPart::Consumers(self.consumers)
        } else if self.owned > 0 {
            self.owned -= 1;
            StreamPart::Owned(StreamId::of_bytes(from.array()?))
        } else if self.consumers > 0 {
            self.consumers -= 1;
            let name = from.string()?.into_owned();
            let seen = i64::from_le_bytes(from.array()?);
            let active = match self.kind {
                code::STREAM_LISTPACKS_3 => i64::from_le_bytes(from.array()?),
                _ => seen,
            };
            self.owned = from.length()?;
            match self.unclaimed.checked_sub(self.owned) {
                Some(left) => self.unclaimed = left,
                None => return from.corrupt("a consumer of more than is pending"),
            }
            self.claimed(from)?;
            StreamPart::Consumer(Consumer { name, seen, active, owned: self.owned })
        } else {
            self.groups = self.groups.saturating_sub(1);
            let (name, last) = (from.string()?.into_owned(), id(from)?);
            let read = match self.kind {
                code::STREAM_LISTPACKS => None,
                _ => Some(from.length()?),
            };
            self.pending = from.length()?;
            (self.unclaimed, self.counting) = (self.pending, true);
            StreamPart::Group(Group { name, last, read, pending: self.pending })
        })
    }

    /// Behind the last consumer nothing is nobody's.
    fn claimed(&self, from: &Cursor<'_>) -> Read<()> {
        match self.consumers == 0 && self.unclaimed > 0 {
            true => from.corrupt("pending entries of no consumer"),
            false => Ok(()),
        }
    }
}

fn id(from: &mut Cursor<'_>) -> Read<StreamId> {
    Ok(StreamId { ms: from.length()?, seq: from.length()? })
}

/// Writes a part; how many nodes there are stands in front of the first one.
pub(super) fn write(out: &mut Vec<u8>, part: &StreamPart, compress: bool) {
    let id = |out: &mut Vec<u8>, id: StreamId| {
        string::write_length(out, id.ms);
        string::write_length(out, id.seq);
    };
    match part {
        StreamPart::Node(node, bytes) => {
            string::write(out, &node.to_bytes(), false);
            string::write(out, bytes, compress);
        }
        StreamPart::Head(head) => {
            string::write_length(out, head.length);
            id(out, head.last);
            let Counted { first, max_deleted, added } = head.counted.clone().unwrap_or_default();
            id(out, first);
            id(out, max_deleted);
            string::write_length(out, added);
            string::write_length(out, head.groups);
        }
        StreamPart::Group(group) => {
            string::write(out, &group.name, compress);
            id(out, group.last);
            string::write_length(out, group.read.unwrap_or(u64::MAX));
            string::write_length(out, group.pending);
        }
        StreamPart::Pending(pending) => {
            out.extend_from_slice(&pending.id.to_bytes());
            out.extend_from_slice(&pending.delivered.to_le_bytes());
            string::write_length(out, pending.count);
        }
        StreamPart::Consumers(count) => string::write_length(out, *count),
        StreamPart::Consumer(consumer) => {
            string::write(out, &consumer.name, compress);
            out.extend_from_slice(&consumer.seen.to_le_bytes());
            string::write_length(out, consumer.owned);
        }
        StreamPart::Owned(id) => out.extend_from_slice(&id.to_bytes()),
    }
}
