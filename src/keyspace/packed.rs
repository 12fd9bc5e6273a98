//! A small collection in one run of bytes, as it lies in its entry and in its page.
//!
//! ```text
//! 0  u8      encoding: which of Redis' encodings it counts as (`value::COMPACT`, `CONVERTED`, ..)
//! 1  u16 LE  number of items
//! 3  items   one behind the other: length (one byte below 128, else two: low 7 bits | 0x80, the rest), bytes
//! ```
//! What an item is, the type says: a hash has fields and values in turn. Bytes of a page are checked once, by
//! [`is_sound`]; from then on reading trusts them.

/// Where the items begin.
pub(super) const HEAD: usize = 3;
/// The longest item: its length has 15 bits.
pub(super) const ITEM_BYTES_MAX: usize = 0x7fff;

/// One without items.
pub(super) fn empty(encoding: u8) -> [u8; HEAD] {
    [encoding, 0, 0]
}

pub(super) fn encoding(bytes: &[u8]) -> u8 {
    bytes[0]
}

pub(super) fn count(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([bytes[1], bytes[2]]))
}

pub(super) fn set_count(bytes: &mut [u8], count: usize) {
    let count = u16::try_from(count).expect("items have two bytes each, and all of them fit an entry");
    bytes[1..HEAD].copy_from_slice(&count.to_le_bytes());
}

/// What an item takes.
pub(super) fn item_bytes(len: usize) -> usize {
    len + if len < 128 { 1 } else { 2 }
}

/// The item at a place, and the place behind it.
#[inline]
pub(super) fn item(bytes: &[u8], at: usize) -> (&[u8], usize) {
    let first = bytes[at];
    let (start, len) = match first < 0x80 {
        true => (at + 1, usize::from(first)),
        false => (at + 2, usize::from(first & 0x7f) | usize::from(bytes[at + 1]) << 7),
    };
    (&bytes[start..start + len], start + len)
}

/// Puts items in at a place; the count is left alone.
pub(super) fn insert(bytes: &mut Vec<u8>, at: usize, items: &[&[u8]]) {
    replace(bytes, at, at, items);
}

/// Replaces what lies between two places by items; the count is left alone.
pub(super) fn replace(bytes: &mut Vec<u8>, from: usize, to: usize, items: &[&[u8]]) {
    let wanted: usize = items.iter().map(|item| item_bytes(item.len())).sum();
    let (old, behind) = (bytes.len(), bytes.len() - to);
    if wanted > to - from {
        bytes.resize(old + wanted - (to - from), 0);
    }
    bytes.copy_within(to..to + behind, from + wanted);
    bytes.truncate(from + wanted + behind);
    let mut at = from;
    for item in items {
        debug_assert!(item.len() <= ITEM_BYTES_MAX);
        match item.len() {
            len @ 0..128 => {
                bytes[at] = len as u8;
                at += 1;
            }
            len => {
                bytes[at] = len as u8 | 0x80;
                bytes[at + 1] = (len >> 7) as u8;
                at += 2;
            }
        }
        bytes[at..at + item.len()].copy_from_slice(item);
        at += item.len();
    }
}

/// All items.
pub(super) fn items(bytes: &[u8]) -> Items<'_> {
    Items { bytes, at: HEAD }
}

/// See [`items`].
#[derive(Clone)]
pub(super) struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let (item, next) = item(self.bytes, self.at);
        self.at = next;
        Some(item)
    }
}

/// Whether bytes from a page hold as many whole items as they say, and no more.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    if bytes.len() < HEAD {
        return false;
    }
    let (mut at, mut found) = (HEAD, 0);
    while at < bytes.len() {
        let len = match bytes[at] {
            first @ 0..0x80 => 1 + usize::from(first),
            first => match bytes.get(at + 1) {
                Some(&second) => 2 + (usize::from(first & 0x7f) | usize::from(second) << 7),
                None => return false,
            },
        };
        at += len;
        found += 1;
    }
    at == bytes.len() && found == count(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_go_in_and_out() {
        let mut bytes = empty(1).to_vec();
        let long = vec![b'x'; 300];
        let mut twin: Vec<Vec<u8>> = Vec::new();
        for (at, text) in [(0, &b"b"[..]), (0, b"a"), (2, &long), (1, b""), (4, &long[..128]), (2, &long[..127])] {
            let place = (0..at).fold(HEAD, |place, _| item(&bytes, place).1);
            insert(&mut bytes, place, &[text]);
            twin.insert(at, text.to_vec());
            set_count(&mut bytes, twin.len());
            assert_eq!(items(&bytes).map(<[u8]>::to_vec).collect::<Vec<_>>(), twin);
            assert!(is_sound(&bytes) && encoding(&bytes) == 1);
        }
        let (_, second) = item(&bytes, HEAD);
        let (_, fourth) = item(&bytes, item(&bytes, second).1);
        replace(&mut bytes, second, fourth, &[b"new"]);
        twin.splice(1..3, [b"new".to_vec()]);
        set_count(&mut bytes, twin.len());
        assert_eq!(items(&bytes).map(<[u8]>::to_vec).collect::<Vec<_>>(), twin);
        for cut in 0..bytes.len() {
            assert!(!is_sound(&bytes[..cut]), "cut at {cut}");
        }
    }
}
