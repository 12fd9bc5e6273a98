//! A node of a stream: some entries in one listpack, as Redis lays them out.
//!
//! ```text
//! master  live entries, deleted ones, number of fields, their names, 0
//! entry   flags (1: deleted, 2: the master's fields), milliseconds and number beyond the node's id,
//!         [number of fields unless they are the master's], names (unless ..) and values in turn,
//!         how many elements that were: to be read backward
//! ```
//! The first entry of a node gives it the id and the field names. An entry that is deleted stays, marked, until the whole
//! node goes.

use super::listpack;
use super::string::StrRef;
use crate::base::StreamId;
use std::ops::ControlFlow;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// When a new node begins (`stream-node-max-bytes`, `stream-node-max-entries`; 0 for no limit but the largest node).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    pub bytes: usize,
    pub entries: usize,
}

/// The largest node, and the most bytes that the words of one entry may have.
pub const NODE_BYTES_MAX: usize = 1 << 30;

/// A node, for reading; its bytes are sound.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    id: StreamId,
    bytes: &'a [u8],
}

/// What stands in front of the entries.
#[derive(Clone, Copy)]
struct Master {
    live: i64,
    deleted: i64,
    fields: usize,
    names_at: usize,
}

impl Master {
    fn of(bytes: &[u8], base: usize) -> Master {
        let (live, at) = listpack::get_int(bytes, base + listpack::HEADER);
        let (deleted, at) = listpack::get_int(bytes, at);
        let (fields, names_at) = listpack::get_int(bytes, at);
        Master { live, deleted, fields: fields as usize, names_at }
    }
}

fn skip(bytes: &[u8], at: usize, elements: usize) -> usize {
    (0..elements).fold(at, |at, _| listpack::get(bytes, at).1)
}

fn beyond(id: StreamId, ms: i64, seq: i64) -> StreamId {
    StreamId { ms: id.ms.wrapping_add(ms as u64), seq: id.seq.wrapping_add(seq as u64) }
}

/// One entry of a node.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub id: StreamId,
    pub(super) deleted: bool,
    /// Number of its fields.
    pub fields: usize,
    bytes: &'a [u8],
    /// Where its flags stand.
    pub(super) at: usize,
    /// The master's names, where they are its own.
    names_at: Option<usize>,
    values_at: usize,
}

impl<'a> Entry<'a> {
    /// Fields with their values.
    pub fn pairs(self) -> impl Iterator<Item = (StrRef<'a>, StrRef<'a>)> {
        let (mut name_at, mut at) = (self.names_at, self.values_at);
        (0..self.fields).map(move |_| {
            let name = match &mut name_at {
                Some(place) => {
                    let (name, next) = listpack::get(self.bytes, *place);
                    *place = next;
                    name
                }
                None => {
                    let (name, next) = listpack::get(self.bytes, at);
                    at = next;
                    name
                }
            };
            let (value, next) = listpack::get(self.bytes, at);
            at = next;
            (name, value)
        })
    }

    /// The place behind it.
    fn end(&self) -> usize {
        let elements = if self.names_at.is_some() { self.fields } else { 2 * self.fields };
        skip(self.bytes, self.values_at, elements + 1)
    }
}

impl<'a> Node<'a> {
    pub(super) fn new(id: StreamId, bytes: &'a [u8]) -> Self {
        Node { id, bytes }
    }

    /// Its id: that of its first entry.
    pub fn id(self) -> StreamId {
        self.id
    }

    /// The listpack.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    fn entry(self, master: &Master, at: usize) -> Entry<'a> {
        let (flags, next) = listpack::get_int(self.bytes, at);
        let (ms, next) = listpack::get_int(self.bytes, next);
        let (seq, next) = listpack::get_int(self.bytes, next);
        let (fields, names_at, values_at) = match flags & SAME_FIELDS {
            0 => {
                let (fields, next) = listpack::get_int(self.bytes, next);
                (fields as usize, None, next)
            }
            _ => (master.fields, Some(master.names_at), next),
        };
        let (id, deleted) = (beyond(self.id, ms, seq), flags & DELETED != 0);
        Entry { id, deleted, fields, bytes: self.bytes, at, names_at, values_at }
    }

    /// All entries in their order, deleted ones too.
    pub(super) fn entries(self) -> impl Iterator<Item = Entry<'a>> {
        let master = Master::of(self.bytes, 0);
        let mut at = skip(self.bytes, master.names_at, master.fields + 1);
        std::iter::from_fn(move || {
            if listpack::is_end(self.bytes, at) {
                return None;
            }
            let entry = self.entry(&master, at);
            at = entry.end();
            Some(entry)
        })
    }

    /// The same from the last one on.
    pub(super) fn entries_back(self) -> impl Iterator<Item = Entry<'a>> {
        let master = Master::of(self.bytes, 0);
        let mut end = self.bytes.len() - 1;
        std::iter::from_fn(move || {
            let count_at = listpack::before(self.bytes, end);
            let (elements, _) = listpack::get_int(self.bytes, count_at);
            if elements == 0 {
                return None;
            }
            end = (0..elements).fold(count_at, |at, _| listpack::before(self.bytes, at));
            Some(self.entry(&master, end))
        })
    }

    /// Entries that are not deleted.
    pub(super) fn live(self) -> u64 {
        Master::of(self.bytes, 0).live as u64
    }

    /// The id of its last entry, deleted or not.
    pub(super) fn last_id(self) -> StreamId {
        self.entries_back().next().map_or(self.id, |entry| entry.id)
    }
}

/// A node without entries at the end of a vector, with these field names.
pub(super) fn create<'f>(bytes: &mut Vec<u8>, names: impl ExactSizeIterator<Item = &'f [u8]>) {
    let (base, count) = (bytes.len(), names.len());
    listpack::create(bytes);
    listpack::open(bytes);
    for number in [0, 0, count as i64] {
        listpack::push_int(bytes, number);
    }
    names.for_each(|name| listpack::push(bytes, name));
    listpack::push_int(bytes, 0);
    listpack::close(bytes, base, count + 4);
}

/// Whether an entry whose words have so many bytes still goes into a node.
pub(super) fn has_room(bytes: &[u8], base: usize, more: usize, limits: NodeLimits) -> bool {
    let most = if limits.bytes == 0 { NODE_BYTES_MAX } else { limits.bytes.min(NODE_BYTES_MAX) };
    if bytes.len() - base + more >= most {
        return false;
    }
    let master = Master::of(bytes, base);
    limits.entries == 0 || ((master.live + master.deleted) as usize) < limits.entries
}

/// Appends an entry; `pair` gives its fields with their values.
pub(super) fn append<'f>(
    bytes: &mut Vec<u8>,
    base: usize,
    node: StreamId,
    id: StreamId,
    fields: usize,
    pair: impl Fn(usize) -> (&'f [u8], &'f [u8]),
) {
    let master = Master::of(bytes, base);
    let mut names_at = master.names_at;
    let same = fields == master.fields
        && (0..fields).all(|index| {
            let (name, next) = listpack::get(bytes, names_at);
            names_at = next;
            name.bytes(&mut Default::default()) == pair(index).0
        });
    listpack::open(bytes);
    listpack::push_int(bytes, if same { SAME_FIELDS } else { 0 });
    listpack::push_int(bytes, id.ms.wrapping_sub(node.ms) as i64);
    listpack::push_int(bytes, id.seq.wrapping_sub(node.seq) as i64);
    if !same {
        listpack::push_int(bytes, fields as i64);
    }
    for index in 0..fields {
        let (name, value) = pair(index);
        if !same {
            listpack::push(bytes, name);
        }
        listpack::push(bytes, value);
    }
    let elements = if same { fields + 3 } else { 2 * fields + 4 };
    listpack::push_int(bytes, elements as i64);
    listpack::close(bytes, base, elements + 1);
    listpack::set_int(bytes, base, base + listpack::HEADER, master.live + 1);
}

/// Marks the entries deleted for which `gone` says so, up to where it breaks; how many there were.
pub(super) fn delete(
    bytes: &mut Vec<u8>,
    base: usize,
    node: StreamId,
    mut gone: impl FnMut(Entry<'_>) -> ControlFlow<(), bool>,
) -> u64 {
    let mut places = Vec::new();
    for entry in Node::new(node, &bytes[base..]).entries() {
        match gone(entry) {
            ControlFlow::Break(()) => break,
            ControlFlow::Continue(true) if !entry.deleted => places.push(base + entry.at),
            ControlFlow::Continue(_) => {}
        }
    }
    for &place in &places {
        // As long as it was: the flags are small numbers.
        let flags = listpack::get_int(bytes, place).0 | DELETED;
        listpack::set_int(bytes, base, place, flags);
    }
    let Master { live, deleted, .. } = Master::of(bytes, base);
    let count = places.len() as i64;
    let live_at = base + listpack::HEADER;
    listpack::set_int(bytes, base, live_at, live - count);
    let deleted_at = listpack::get(bytes, live_at).1;
    listpack::set_int(bytes, base, deleted_at, deleted + count);
    places.len() as u64
}

/// For [`delete`]: the entry of one id.
pub(super) fn only(entry: Entry<'_>, id: StreamId) -> ControlFlow<(), bool> {
    if entry.id > id { ControlFlow::Break(()) } else { ControlFlow::Continue(entry.id == id) }
}

/// Whether bytes from elsewhere are a node of this id: whole, its counts right, its ids rising.
pub(super) fn is_sound(id: StreamId, bytes: &[u8]) -> bool {
    listpack::has_sound_frame(bytes) && check(id, bytes).is_some()
}

fn check(node: StreamId, bytes: &[u8]) -> Option<()> {
    let (mut at, mut elements) = (listpack::HEADER, 0);
    let mut next = || {
        let (element, next) = listpack::checked(bytes, at)?;
        (at, elements) = (next, elements + 1);
        Some((element, next))
    };
    let int = |element: (StrRef<'_>, usize)| match element.0 {
        StrRef::Int(number) => Some(number),
        StrRef::Bytes(_) => None,
    };
    let (live, deleted, fields) = (int(next()?)?, int(next()?)?, int(next()?)?);
    let small = |count: i64| usize::try_from(count).ok().filter(|&count| count <= bytes.len());
    let (mut left, mut dead, fields) = (small(live)?, small(deleted)?, small(fields)?);
    for _ in 0..fields {
        next()?;
    }
    if int(next()?)? != 0 {
        return None;
    }
    let mut before = None;
    while left + dead > 0 {
        let flags = int(next()?)?;
        let id = beyond(node, int(next()?)?, int(next()?)?);
        if !(0..4).contains(&flags) || id < node || before.is_some_and(|before| id <= before) {
            return None;
        }
        before = Some(id);
        let kind = if flags & DELETED == 0 { &mut left } else { &mut dead };
        *kind = kind.checked_sub(1)?;
        let (own, words) = match flags & SAME_FIELDS {
            0 => {
                let own = small(int(next()?)?)?;
                (2 * own + 4, 2 * own)
            }
            _ => (fields + 3, fields),
        };
        for _ in 0..words {
            next()?;
        }
        if int(next()?)? != own as i64 {
            return None;
        }
    }
    (listpack::is_end(bytes, at) && listpack::counts(bytes, elements)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    type Read = Vec<(StreamId, Vec<(Vec<u8>, Vec<u8>)>)>;

    fn read<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Read {
        let pair = |(name, value): (StrRef<'_>, StrRef<'_>)| (name.to_vec(), value.to_vec());
        entries.filter(|entry| !entry.deleted).map(|entry| (entry.id, entry.pairs().map(pair).collect())).collect()
    }

    #[test]
    fn entries_come_and_go() {
        for base in [0, 20] {
            let mut bytes = vec![7; base];
            create(&mut bytes, [&b"name"[..], b"12"].into_iter());
            let mut twin: Read = Vec::new();
            for number in 0..200u64 {
                let at = id(5 + number / 3, number);
                let value = number.to_string().into_bytes();
                let other = vec![b'v'; number as usize];
                let words: &[(&[u8], &[u8])] = match number % 3 {
                    0 => &[(b"name", &value), (b"12", &other)],
                    1 => &[(b"12", &value), (b"name", &other)],
                    _ => &[(b"name", &value)],
                };
                append(&mut bytes, base, id(5, 0), at, words.len(), |index| words[index]);
                twin.push((at, words.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()));
            }
            let check = |bytes: &[u8], twin: &Read| {
                let node = Node::new(id(5, 0), &bytes[base..]);
                assert!(is_sound(id(5, 0), node.bytes()));
                assert_eq!(&read(node.entries()), twin);
                assert!(read(node.entries_back()).iter().eq(twin.iter().rev()));
                assert_eq!(node.live(), twin.len() as u64);
                assert_eq!(node.last_id(), id(71, 199));
            };
            check(&bytes, &twin);
            let gone = delete(&mut bytes, base, id(5, 0), |entry| ControlFlow::Continue(entry.id.seq % 7 == 3));
            twin.retain(|entry| entry.0.seq % 7 != 3);
            assert_eq!(twin.len() as u64, 200 - gone);
            check(&bytes, &twin);
            for cut in 0..bytes.len() - base {
                assert!(!is_sound(id(5, 0), &bytes[base..base + cut]), "cut at {cut}");
            }
            // Whatever byte is wrong, reading what still counts as sound does not panic.
            for at in base..bytes.len() {
                let mut wrong = bytes[base..].to_vec();
                wrong[at - base] ^= 1 << (at % 8);
                if is_sound(id(5, 0), &wrong) {
                    let node = Node::new(id(5, 0), &wrong);
                    assert_eq!(read(node.entries()).len(), read(node.entries_back()).len());
                }
            }
        }
    }

    #[test]
    fn the_node_of_redis() {
        // DUMP of Redis 7.0.15 after XADD s 1-1 f v; XADD s 1-2 f 7; XADD s 2-1 g x; XDEL s 1-2.
        let mut bytes = Vec::new();
        create(&mut bytes, [&b"f"[..]].into_iter());
        append(&mut bytes, 0, id(1, 1), id(1, 1), 1, |_| (b"f", b"v"));
        append(&mut bytes, 0, id(1, 1), id(1, 2), 1, |_| (b"f", b"7"));
        append(&mut bytes, 0, id(1, 1), id(2, 1), 1, |_| (b"g", b"x"));
        delete(&mut bytes, 0, id(1, 1), |entry| ControlFlow::Continue(entry.id == id(1, 2)));
        let redis = b"7\x00\x00\x00\x16\x00\x02\x01\x01\x01\x01\x01\x81f\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\
            \x04\x01\x03\x01\x00\x01\x01\x01\x07\x01\x04\x01\x00\x01\x01\x01\x00\x01\x01\x01\x81g\x02\x81x\x02\x06\x01\xff";
        assert_eq!(bytes.escape_ascii().to_string(), redis.escape_ascii().to_string());
    }
}
