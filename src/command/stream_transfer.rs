//! Streams between the keyspace and the RDB format.

use crate::base::StreamId;
use crate::keyspace::{Group, StreamHead, StreamMut, StreamRef};
use crate::rdb::stream::{self as parts, StreamPart};

/// Puts a part in behind those that came before it; `None` where it does not fit them.
pub fn load(stream: &mut StreamMut<'_, '_>, part: &StreamPart) -> Option<()> {
    let fits = match part {
        StreamPart::Node(id, bytes) => stream.load_node(*id, bytes),
        StreamPart::Head(head) => {
            let (length, last) = (head.length, head.last);
            let first =
                stream.get().range(StreamId::MIN..=StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id);
            let head = match &head.counted {
                Some(counted) => {
                    StreamHead { length, added: counted.added, last, first, max_deleted: counted.max_deleted }
                }
                None => StreamHead { length, added: length, last, first, max_deleted: StreamId::MIN },
            };
            let held: u64 = stream.get().live();
            let fits = held == length && stream.get().top().is_none_or(|top| top <= last);
            stream.set_head(head);
            fits
        }
        StreamPart::Group(group) => {
            let read = match group.read {
                Some(u64::MAX) => None,
                Some(read) => Some(read),
                None => stream.get().head().read_up_to(group.last),
            };
            stream.add_group(&group.name, group.last, read)
        }
        StreamPart::Pending(pending) => {
            stream.newest_group()?.load_pending(pending.id, pending.delivered, pending.count)
        }
        StreamPart::Consumers(_) => true,
        StreamPart::Consumer(consumer) => {
            let mut group = stream.newest_group()?;
            let fresh = group.get().consumer_number(&consumer.name).is_none();
            if fresh {
                group.add_consumer(&consumer.name, consumer.seen, consumer.active);
            }
            fresh
        }
        StreamPart::Owned(id) => stream.newest_group()?.load_owned(*id),
    };
    fits.then_some(())
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
