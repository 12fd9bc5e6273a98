//! What a stream knows of itself besides its entries, and what follows from it: how far a group is behind.

use crate::base::StreamId;

/// The counters and ids of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamHead {
    /// Entries that it holds.
    pub length: u64,
    /// Entries that it ever got.
    pub added: u64,
    /// The last id that it gave.
    pub last: StreamId,
    /// The id of its first entry; zero without entries.
    pub first: StreamId,
    /// The largest id that XDEL removed.
    pub max_deleted: StreamId,
}

impl StreamHead {
    /// An entry of this id came.
    pub(super) fn append(&mut self, id: StreamId) {
        (self.length, self.added, self.last) = (self.length + 1, self.added.wrapping_add(1), id);
        if self.length == 1 {
            self.first = id;
        }
    }

    /// Whether an entry at or behind this id was deleted out of the middle.
    fn has_gap_from(&self, start: StreamId) -> bool {
        self.length > 0
            && self.max_deleted != StreamId::MIN
            && self.first <= self.max_deleted
            && start <= self.max_deleted
    }

    /// How many entries the stream got up to this id; `None` where that cannot be told any more.
    pub fn read_up_to(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if (self.length == 0 && id <= self.last) || id == self.last {
            return Some(self.added);
        }
        if id > self.last || (self.max_deleted != StreamId::MIN && self.max_deleted >= self.first) {
            return None;
        }
        let before = self.added.wrapping_sub(self.length);
        match id.cmp(&self.first) {
            std::cmp::Ordering::Less => Some(before),
            std::cmp::Ordering::Equal => Some(before.wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// A group's counter of entries read when it goes on to this id, from what it was.
    pub fn read_further(&self, read: Option<u64>, id: StreamId) -> Option<u64> {
        match read {
            Some(read) if !self.has_gap_from(id) => Some(read.wrapping_add(1)),
            read if self.added == 0 => read,
            _ => self.read_up_to(id),
        }
    }

    /// How many entries a group has yet to read.
    pub fn lag(&self, last: StreamId, read: Option<u64>) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        let read = match read {
            Some(read) if !self.has_gap_from(last) => Some(read),
            _ => self.read_up_to(last),
        };
        read.map(|read| self.added.wrapping_sub(read) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    #[test]
    fn the_lag_is_known_while_nothing_was_deleted_ahead() {
        let mut head = StreamHead { length: 5, added: 5, last: id(5), first: id(1), max_deleted: StreamId::MIN };
        assert_eq!(head.lag(StreamId::MIN, Some(0)), Some(5));
        assert_eq!((head.lag(id(2), Some(2)), head.lag(id(2), None), head.lag(id(5), None)), (Some(3), None, Some(0)));
        assert_eq!((head.lag(id(1), None), head.lag(id(9), None)), (Some(4), None));
        (head.length, head.max_deleted) = (4, id(3));
        assert_eq!((head.lag(id(2), Some(2)), head.lag(id(4), Some(4))), (None, Some(1)));
        assert_eq!(head.read_further(Some(2), id(3)), None);
        assert_eq!(head.read_further(None, id(5)), Some(5));
        assert_eq!(StreamHead::default().lag(id(7), None), Some(0));
    }
}
