//! Listpacks, as Redis writes them: the form in which the nodes of a stream lie in memory, in their pages and in RDB files.
//!
//! ```text
//! u32 LE bytes of all, u16 LE number of elements (0xffff: not counted), elements, 0xff
//! element  encoding with the data: an integer of 1, 2, 3, 4, 5 or 9 bytes, or a text behind its length
//!          bytes of the former, seven bits each, to be read backward
//! ```
//! A listpack stands at the end of a vector, from `base` on, so that a small stream can have it in its entry. Bytes from
//! elsewhere go through [`checked`] once; reading trusts them from then on.

use super::string::StrRef;
use crate::base::number::parse_i64;

/// Where the elements begin.
pub(super) const HEADER: usize = 6;
const END: u8 = 0xff;
const UNCOUNTED: u16 = u16::MAX;

/// An empty listpack at the end of a vector.
pub(super) fn create(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&[HEADER as u8 + 1, 0, 0, 0, 0, 0, END]);
}

/// Takes the end mark off, for elements to be pushed; [`close`] puts it back.
pub(super) fn open(bytes: &mut Vec<u8>) {
    let end = bytes.pop();
    debug_assert_eq!(end, Some(END));
}

/// See [`open`]; `added` is how many elements came.
pub(super) fn close(bytes: &mut Vec<u8>, base: usize, added: usize) {
    bytes.push(END);
    let count = u16::from_le_bytes([bytes[base + 4], bytes[base + 5]]);
    if count != UNCOUNTED {
        let count = usize::from(count) + added;
        let count = u16::try_from(count).unwrap_or(UNCOUNTED);
        bytes[base + 4..base + 6].copy_from_slice(&count.to_le_bytes());
    }
    set_total(bytes, base);
}

fn set_total(bytes: &mut [u8], base: usize) {
    let total = u32::try_from(bytes.len() - base).expect("a node takes no more than 1 GiB, and one element");
    bytes[base..base + 4].copy_from_slice(&total.to_le_bytes());
}

/// Bytes of the way back over an element of so many.
fn back_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

fn push_back(bytes: &mut Vec<u8>, len: usize) {
    let groups = back_bytes(len);
    (0..groups).rev().for_each(|group| bytes.push(back_byte(len, group, groups)));
}

/// One byte of it, counted from the last one.
fn back_byte(len: usize, group: usize, groups: usize) -> u8 {
    let more = if group + 1 < groups { 0x80 } else { 0 };
    (len >> (7 * group)) as u8 & 0x7f | more
}

/// Pushes an element; a number in its decimal form becomes one.
pub(super) fn push(bytes: &mut Vec<u8>, text: &[u8]) {
    if text.len() <= 20
        && let Some(number) = parse_i64(text)
    {
        return push_int(bytes, number);
    }
    let head = match text.len() {
        len @ 0..64 => {
            bytes.push(0x80 | len as u8);
            1
        }
        len @ 64..4096 => {
            bytes.extend_from_slice(&[0xe0 | (len >> 8) as u8, len as u8]);
            2
        }
        len => {
            bytes.push(0xf0);
            bytes.extend_from_slice(&(len as u32).to_le_bytes());
            5
        }
    };
    bytes.extend_from_slice(text);
    push_back(bytes, head + text.len());
}

/// Pushes a number.
pub(super) fn push_int(bytes: &mut Vec<u8>, number: i64) {
    let before = bytes.len();
    let wide = number.to_le_bytes();
    match number {
        0..=127 => bytes.push(number as u8),
        -4096..=4095 => bytes.extend_from_slice(&[0xc0 | (number >> 8) as u8 & 0x1f, number as u8]),
        -32_768..=32_767 => {
            bytes.push(0xf1);
            bytes.extend_from_slice(&wide[..2]);
        }
        -8_388_608..=8_388_607 => {
            bytes.push(0xf2);
            bytes.extend_from_slice(&wide[..3]);
        }
        -2_147_483_648..=2_147_483_647 => {
            bytes.push(0xf3);
            bytes.extend_from_slice(&wide[..4]);
        }
        _ => {
            bytes.push(0xf4);
            bytes.extend_from_slice(&wide);
        }
    }
    let len = bytes.len() - before;
    push_back(bytes, len);
}

/// The element at a place and its length without the way back; `None` at the end mark, or where nothing sound stands.
#[inline]
fn parse(bytes: &[u8], at: usize) -> Option<(StrRef<'_>, usize)> {
    let int = |len: usize| {
        let raw = bytes.get(at + 1..at + 1 + len)?;
        let negative = raw[len - 1] & 0x80 != 0;
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..len].copy_from_slice(raw);
        Some((StrRef::Int(i64::from_le_bytes(wide)), 1 + len))
    };
    let text = |head: usize, len: usize| {
        let end = at.checked_add(head)?.checked_add(len)?;
        Some((StrRef::Bytes(bytes.get(at + head..end)?), head + len))
    };
    let byte = |offset: usize| bytes.get(at + offset).copied().map(usize::from);
    match *bytes.get(at)? {
        first @ 0..0x80 => Some((StrRef::Int(i64::from(first)), 1)),
        first @ 0x80..0xc0 => text(1, usize::from(first & 0x3f)),
        first @ 0xc0..0xe0 => {
            let low = i64::from(first & 0x1f) << 8 | byte(1)? as i64;
            Some((StrRef::Int(if low >= 1 << 12 { low - (1 << 13) } else { low }), 2))
        }
        first @ 0xe0..0xf0 => text(2, usize::from(first & 0x0f) << 8 | byte(1)?),
        0xf0 => {
            let len = u32::from_le_bytes(bytes.get(at + 1..at + 5)?.try_into().ok()?);
            text(5, len as usize)
        }
        0xf1 => int(2),
        0xf2 => int(3),
        0xf3 => int(4),
        0xf4 => int(8),
        _ => None,
    }
}

/// The element at a place, and the place behind it.
#[inline]
pub(super) fn get(bytes: &[u8], at: usize) -> (StrRef<'_>, usize) {
    let (element, len) = parse(bytes, at).expect("a sound listpack");
    (element, at + len + back_bytes(len))
}

/// The number at a place, and the place behind it.
#[inline]
pub(super) fn get_int(bytes: &[u8], at: usize) -> (i64, usize) {
    match get(bytes, at) {
        (StrRef::Int(number), next) => (number, next),
        (StrRef::Bytes(_), _) => unreachable!("a sound node has a number here"),
    }
}

/// As [`get`], of bytes that may be anything.
pub(super) fn checked(bytes: &[u8], at: usize) -> Option<(StrRef<'_>, usize)> {
    let (element, len) = parse(bytes, at)?;
    let groups = back_bytes(len);
    let back = bytes.get(at + len..at + len + groups)?;
    let fits = (0..groups).all(|group| back[groups - 1 - group] == back_byte(len, group, groups));
    fits.then_some((element, at + len + groups))
}

/// Where the element begins that ends at a place.
#[inline]
pub(super) fn before(bytes: &[u8], end: usize) -> usize {
    let (mut len, mut shift, mut at) = (0, 0, end);
    loop {
        at -= 1;
        len |= usize::from(bytes[at] & 0x7f) << shift;
        shift += 7;
        if bytes[at] < 0x80 {
            return at - len;
        }
    }
}

/// Whether there is no further element at a place.
#[inline]
pub(super) fn is_end(bytes: &[u8], at: usize) -> bool {
    at + 1 == bytes.len()
}

/// Whether a header fits its bytes, of which any may be wrong; elements go through [`checked`].
pub(super) fn has_sound_frame(bytes: &[u8]) -> bool {
    bytes.len() > HEADER
        && bytes.last() == Some(&END)
        && bytes[..4] == u32::try_from(bytes.len()).map_or([0; 4], u32::to_le_bytes)
}

/// Whether a header counts so many elements.
pub(super) fn counts(bytes: &[u8], elements: usize) -> bool {
    let count = u16::from_le_bytes([bytes[4], bytes[5]]);
    count == UNCOUNTED || usize::from(count) == elements
}

/// Puts a number in the place of the one at `at`.
pub(super) fn set_int(bytes: &mut Vec<u8>, base: usize, at: usize, number: i64) {
    // Counters are small for the most part.
    if bytes[at] < 0x80 && (0..0x80).contains(&number) {
        bytes[at] = number as u8;
        return;
    }
    let old = get_int(bytes, at).1 - at;
    let mut new = Vec::with_capacity(10);
    push_int(&mut new, number);
    if new.len() == old {
        bytes[at..at + old].copy_from_slice(&new);
    } else {
        bytes.splice(at..at + old, new);
        set_total(bytes, base);
    }
}

#[cfg(test)]
mod tests {
    use super::super::string::Digits;
    use super::*;

    #[test]
    fn every_kind_of_element_there_and_back() {
        let long = vec![b'x'; 5000];
        let longer = vec![b'y'; 20_000];
        let numbers = [0, 127, 128, -1, 4095, -4096, 4096, 32_767, -32_769, 8_388_608, -8_388_609, 1 << 40, i64::MIN];
        let mut texts: Vec<Vec<u8>> = numbers.iter().map(|number| number.to_string().into_bytes()).collect();
        texts
            .extend([&b""[..], b"007", b"text", &long[..63], &long[..64], &long[..126], &long, &longer].map(Vec::from));
        for base in [0, 9] {
            let mut bytes = vec![b'b'; base];
            create(&mut bytes);
            for text in &texts {
                open(&mut bytes);
                push(&mut bytes, text);
                close(&mut bytes, base, 1);
            }
            assert!(has_sound_frame(&bytes[base..]) && counts(&bytes[base..], texts.len()));
            let (mut at, mut starts) = (base + HEADER, Vec::new());
            for text in &texts {
                let (element, next) = checked(&bytes, at).expect("sound");
                assert_eq!(element.bytes(&mut Digits::default()), text);
                assert_eq!(get(&bytes, at).1, next);
                starts.push(at);
                at = next;
            }
            assert!(is_end(&bytes, at));
            for &start in starts.iter().rev() {
                at = before(&bytes, at);
                assert_eq!(at, start);
            }
            set_int(&mut bytes, base, starts[1], 70_000);
            assert!(has_sound_frame(&bytes[base..]));
            assert_eq!(get_int(&bytes, starts[1]).0, 70_000);
            for cut in 0..bytes.len() - base {
                assert!(!has_sound_frame(&bytes[base..base + cut]), "cut at {cut}");
            }
        }
    }
}
