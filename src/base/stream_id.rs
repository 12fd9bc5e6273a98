//! The ids of stream entries.

use std::fmt;

/// Milliseconds and a number within the millisecond; entries are in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// A longer word is no id.
const TEXT_BYTES_MAX: usize = 127;

impl StreamId {
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The id behind this one.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    /// The id in front of this one.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }

    /// Of `ms` or `ms-seq`; where the second part is not said it is `missing`.
    pub fn parse(text: &[u8], missing: u64) -> Option<StreamId> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        match text.iter().position(|&byte| byte == b'-') {
            Some(at) => Some(StreamId { ms: unsigned(&text[..at])?, seq: unsigned(&text[at + 1..])? }),
            None => Some(StreamId { ms: unsigned(text)?, seq: missing }),
        }
    }

    /// Sixteen bytes in the order of the ids.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// Of [`StreamId::to_bytes`].
    pub fn of_bytes(bytes: [u8; 16]) -> StreamId {
        let both = u128::from_be_bytes(bytes);
        StreamId { ms: (both >> 64) as u64, seq: both as u64 }
    }

    /// The text in `room`, without an allocation.
    pub fn text(self, room: &mut IdText) -> &[u8] {
        let mut digits = itoa::Buffer::new();
        room.len = 0;
        room.add(digits.format(self.ms).as_bytes());
        room.add(b"-");
        room.add(digits.format(self.seq).as_bytes());
        &room.bytes[..room.len]
    }
}

/// Room for an id as text: twice twenty digits and a dash.
pub struct IdText {
    bytes: [u8; 41],
    len: usize,
}

impl Default for IdText {
    fn default() -> Self {
        IdText { bytes: [0; 41], len: 0 }
    }
}

impl IdText {
    fn add(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }
}

/// As C reads an unsigned number, which is how Redis takes these: blanks and a plus in front and zeros do no harm.
fn unsigned(text: &[u8]) -> Option<u64> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !blank(byte))?;
    let digits = text[start..].strip_prefix(b"+").unwrap_or(&text[start..]);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        for (text, read) in [
            ("5", Some(id(5, 7))),
            ("5-6", Some(id(5, 6))),
            ("007-+1", Some(id(7, 1))),
            ("18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            ("18446744073709551616-0", None),
            ("", None),
            ("-", None),
            ("5-", None),
            ("-5", None),
            ("5--1", None),
            ("5-6-7", None),
            ("5-*", None),
            ("5x", None),
        ] {
            assert_eq!(StreamId::parse(text.as_bytes(), 7), read, "{text}");
        }
    }

    #[test]
    fn neighbours() {
        assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
        assert_eq!(id(2, 0).previous(), Some(id(1, u64::MAX)));
        assert_eq!((StreamId::MAX.next(), StreamId::MIN.previous()), (None, None));
        assert_eq!(StreamId::of_bytes(id(3, 4).to_bytes()), id(3, 4));
        assert_eq!(StreamId::MAX.text(&mut IdText::default()), StreamId::MAX.to_string().as_bytes());
    }
}
