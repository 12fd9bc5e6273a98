//! Streams between the keyspace and the RDB format.

use crate::base::StreamId;
use crate::keyspace::{Group, GroupMut, StreamHead, StreamMut, StreamRef};
use crate::rdb::stream::{self as parts, StreamPart};

/// Puts a part in behind those that came before it.
///
/// # Errors
/// Why it does not fit them.
pub fn load(stream: &mut StreamMut<'_, '_>, part: &StreamPart) -> Result<(), &'static str> {
    let (fits, trouble) = match part {
        StreamPart::Node(id, bytes) => (stream.load_node(*id, bytes), "Stream listpack integrity check failed"),
        StreamPart::Head(head) => (load_head(stream, head), "Stream length inconsistent with its entries"),
        StreamPart::Group(group) => {
            let read = match group.read {
                Some(u64::MAX) => None,
                Some(read) => Some(read),
                None => stream.get().head().read_up_to(group.last),
            };
            (stream.add_group(&group.name, group.last, read), "Duplicated consumer group name")
        }
        StreamPart::Pending(pending) => {
            let group = stream.newest_group();
            let load = |mut group: GroupMut<'_>| group.load_pending(pending.id, pending.delivered, pending.count);
            (group.is_some_and(load), "Duplicated pending entry of a group")
        }
        StreamPart::Consumers(_) => (true, ""),
        StreamPart::Consumer(consumer) => {
            let load = |mut group: GroupMut<'_>| {
                let fresh = group.get().consumer_number(&consumer.name).is_none();
                if fresh {
                    group.add_consumer(&consumer.name, consumer.seen, consumer.active);
                }
                fresh
            };
            (stream.newest_group().is_some_and(load), "Duplicate stream consumer detected")
        }
        StreamPart::Owned(id) => {
            let load = |mut group: GroupMut<'_>| group.load_owned(*id);
            (stream.newest_group().is_some_and(load), "An entry pending for a consumer is not pending in its group")
        }
    };
    if fits { Ok(()) } else { Err(trouble) }
}

/// Whether a head is that of the nodes that came before it.
fn load_head(stream: &mut StreamMut<'_, '_>, head: &parts::Head) -> bool {
    let (length, last) = (head.length, head.last);
    let first = stream.get().range(StreamId::MIN..=StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id);
    let head = match &head.counted {
        Some(counted) => StreamHead { length, added: counted.added, last, first, max_deleted: counted.max_deleted },
        None => StreamHead { length, added: length, last, first, max_deleted: StreamId::MIN },
    };
    let held: u64 = stream.get().live();
    let fits = held == length && stream.get().top().is_none_or(|top| top <= last);
    stream.set_head(head);
    fits
}

/// The nodes of a stream.
pub fn nodes(stream: StreamRef<'_>, mut each: impl FnMut(StreamPart)) {
    for node in stream.nodes(StreamId::MIN..=StreamId::MAX) {
        each(StreamPart::Node(node.id(), node.bytes().to_vec()));
    }
}

/// What comes behind the nodes.
pub fn rest(head: &StreamHead, groups: &[Group], mut each: impl FnMut(StreamPart)) {
    let StreamHead { length, added, last, first, max_deleted } = *head;
    let counted = Some(parts::Counted { first, max_deleted, added });
    each(StreamPart::Head(parts::Head { length, last, counted, groups: groups.len() as u64 }));
    for group in groups {
        let read = Some(group.read.unwrap_or(u64::MAX));
        let (name, last, pending) = (group.name.to_vec(), group.last, group.pending());
        each(StreamPart::Group(parts::Group { name, last, read, pending }));
        for pending in group.pending_from(StreamId::MIN) {
            let (id, delivered, count) = (pending.id, pending.delivered, pending.count);
            each(StreamPart::Pending(parts::Pending { id, delivered, count }));
        }
        each(StreamPart::Consumers(group.consumers().len() as u64));
        for (number, consumer) in group.consumers() {
            let (name, seen, active) = (consumer.name.to_vec(), consumer.seen, consumer.active);
            each(StreamPart::Consumer(parts::Consumer { name, seen, active, owned: consumer.pending() as u64 }));
            for pending in group.pending_of(number, StreamId::MIN) {
                each(StreamPart::Owned(pending.id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Dice;
    use crate::keyspace::{Keep, Keyspace, NodeLimits, Pending, Trim};
    use crate::rdb::{Checksum, Shape, Value, dump, restore};

    fn payload(keyspace: &Keyspace) -> Vec<u8> {
        let entry = keyspace.db(0).get(keyspace.key(b"s")).expect("it is there");
        let stream = entry.stream().expect("a stream");
        dump(Shape::Stream, stream.node_count() as u64, |to| {
            nodes(stream, |part| to.part(&part));
            rest(&stream.head(), stream.groups(), |part| to.part(&part));
        })
    }

    /// `None` where it was refused.
    fn loaded(payload: &[u8]) -> Option<Keyspace> {
        let Ok(Value::Stream(parts)) = restore(payload, Checksum::Check) else { return None };
        let mut keyspace = Keyspace::new(1, [1, 2, 3, 4]);
        let key = keyspace.key(b"s");
        let mut db = keyspace.db_mut(0);
        let mut stream = db.stream_or_new(key);
        parts.iter().try_for_each(|part| load(&mut stream, part)).ok()?;
        Some(keyspace)
    }

    fn filled(entries: u64) -> Keyspace {
        let mut keyspace = Keyspace::new(1, [1, 2, 3, 4]);
        let key = keyspace.key(b"s");
        let mut db = keyspace.db_mut(0);
        let mut stream = db.stream_or_new(key);
        let (limits, id) = (NodeLimits { bytes: 4096, entries: 20 }, |ms| StreamId { ms, seq: 3 });
        for ms in 1..=entries {
            stream.add(limits, id(ms), 2, |index| [(&b"field"[..], &b"value"[..]), (b"12", b"-4000")][index]);
        }
        stream.delete(id(2));
        if entries > 5 {
            stream.add_group(b"group", id(4), Some(3));
            stream.add_group(b"none", id(4), None);
            let mut group = stream.group(b"group").expect("added");
            for name in [&b"one"[..], b"two"] {
                let consumer = group.add_consumer(name, 7, 7);
                let ms = 1 + u64::from(consumer);
                group.put(Pending { id: id(ms), delivered: 5, count: 2, consumer });
            }
        }
        keyspace
    }

    #[test]
    fn a_stream_goes_there_and_back() {
        for entries in [1, 5, 100] {
            let keyspace = filled(entries);
            let payload = payload(&keyspace);
            let other = loaded(&payload).expect("sound");
            assert_eq!(other.digest(), keyspace.digest());
            assert_eq!(self::payload(&other), payload);
        }
    }

    /// Whatever is wrong with the bytes: they are refused, or make a stream that can be read and changed.
    #[test]
    fn no_payload_panics() {
        let mut dice = Dice(3);
        for entries in [5, 30] {
            let whole = payload(&filled(entries));
            for _ in 0..3000 {
                let mut body = whole[..whole.len() - 8].to_vec();
                for _ in 0..=dice.below(2) {
                    let at = dice.below(body.len() as u64) as usize;
                    body[at] = dice.roll() as u8;
                }
                let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Redis);
                crc.update(&body);
                body.extend(crc.finalize().to_le_bytes());
                let Some(mut keyspace) = loaded(&body) else { continue };
                keyspace.digest();
                payload(&keyspace);
                let key = keyspace.key(b"s");
                let mut db = keyspace.db_mut(0);
                let mut stream = db.stream_or_new(key);
                let top = stream.get().head().last;
                if let Some(next) = top.next() {
                    stream.add(NodeLimits { bytes: 4096, entries: 20 }, next, 1, |_| (b"a", b"b"));
                }
                stream.trim(&Trim { keep: Keep::Length(3), nodes_only: false, limit: 0 });
                assert_eq!(stream.get().live(), stream.get().head().length);
            }
        }
    }
}
