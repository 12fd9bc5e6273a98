//! The runs of bytes that Redis writes small collections as: listpacks, and the ziplists, intsets and zipmaps of older
//! versions. They are read into elements; a run that does not add up is `None`, without a panic.

/// Fields with values, members with scores.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A place in a run.
struct Run<'a> {
    bytes: &'a [u8],
}

impl<'a> Run<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// A little-endian integer with its sign.
    fn int(&mut self, len: usize) -> Option<Vec<u8>> {
        let bytes = self.take(len)?;
        let negative = bytes[len - 1] & 0x80 != 0;
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..len].copy_from_slice(bytes);
        Some(number(i64::from_le_bytes(wide)))
    }

    /// Whether the length of an element of a listpack stands behind it, as it is read backward: seven bits a byte, the
    /// lowest last, all but the first one marked.
    fn ends_with_length(&mut self, len: usize) -> Option<bool> {
        let bytes = match len {
            0..=127 => 1,
            128..16383 => 2,
            16383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        };
        let groups = self.take(bytes)?.iter().enumerate();
        let mut told = 0;
        for (at, &byte) in groups {
            if (byte & 0x80 != 0) != (at > 0) {
                return Some(false);
            }
            told = told << 7 | usize::from(byte & 0x7f);
        }
        Some(told == len)
    }

    fn text(&mut self, len: usize) -> Option<Vec<u8>> {
        self.take(len).map(<[u8]>::to_vec)
    }
}

fn number(value: i64) -> Vec<u8> {
    itoa::Buffer::new().format(value).as_bytes().to_vec()
}

/// Elements two by two.
pub(super) fn pairs(elements: Vec<Vec<u8>>) -> Option<Pairs> {
    let mut pairs = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let Some(first) = elements.next() {
        pairs.push((first, elements.next()?));
    }
    Some(pairs)
}

/// A listpack: u32 bytes, u16 count, elements (encoding, data, length for reading backward), 0xff.
pub(super) fn listpack(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut run = Run { bytes };
    if u32::from_le_bytes(run.take(4)?.try_into().ok()?) as usize != bytes.len() {
        return None;
    }
    let count = u16::from_le_bytes(run.take(2)?.try_into().ok()?);
    let mut elements = Vec::new();
    loop {
        let before = run.bytes.len();
        let element = match run.byte()? {
            0xff => break,
            first @ 0..0x80 => number(i64::from(first)),
            first @ 0x80..0xc0 => run.text(usize::from(first & 0x3f))?,
            first @ 0xc0..0xe0 => {
                let low = i64::from(first & 0x1f) << 8 | i64::from(run.byte()?);
                number(if low >= 1 << 12 { low - (1 << 13) } else { low })
            }
            first @ 0xe0..0xf0 => {
                let len = usize::from(first & 0x0f) << 8 | usize::from(run.byte()?);
                run.text(len)?
            }
            0xf0 => {
                let len = u32::from_le_bytes(run.take(4)?.try_into().ok()?);
                run.text(len as usize)?
            }
            0xf1 => run.int(2)?,
            0xf2 => run.int(3)?,
            0xf3 => run.int(4)?,
            0xf4 => run.int(8)?,
            _ => return None,
        };
        if !run.ends_with_length(before - run.bytes.len())? {
            return None;
        }
        elements.push(element);
    }
    (run.bytes.is_empty() && (count == u16::MAX || usize::from(count) == elements.len())).then_some(elements)
}

/// A ziplist: u32 bytes, u32 place of the last element, u16 count, elements (length of the one before, encoding, data),
/// 0xff.
pub(super) fn ziplist(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut run = Run { bytes };
    if u32::from_le_bytes(run.take(4)?.try_into().ok()?) as usize != bytes.len() {
        return None;
    }
    let last = u32::from_le_bytes(run.take(4)?.try_into().ok()?) as usize;
    let count = u16::from_le_bytes(run.take(2)?.try_into().ok()?);
    let mut elements = Vec::new();
    let (mut start, mut before) = (bytes.len() - run.bytes.len(), 0);
    loop {
        let at = bytes.len() - run.bytes.len();
        let told = match run.byte()? {
            0xff => break,
            0xfe => u32::from_le_bytes(run.take(4)?.try_into().ok()?) as usize,
            short => usize::from(short),
        };
        if told != before {
            return None;
        }
        start = at;
        let first = run.byte()?;
        elements.push(match first {
            0..0x40 => run.text(usize::from(first))?,
            0x40..0x80 => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(run.byte()?);
                run.text(len)?
            }
            0x80 => {
                let len = u32::from_be_bytes(run.take(4)?.try_into().ok()?);
                run.text(len as usize)?
            }
            0xc0 => run.int(2)?,
            0xd0 => run.int(4)?,
            0xe0 => run.int(8)?,
            0xf0 => run.int(3)?,
            0xfe => run.int(1)?,
            0xf1..=0xfd => number(i64::from(first & 0x0f) - 1),
            _ => return None,
        });
        before = bytes.len() - run.bytes.len() - at;
    }
    (start == last && run.bytes.is_empty() && (count == u16::MAX || usize::from(count) == elements.len()))
        .then_some(elements)
}

/// An intset: u32 bytes an integer, u32 count, integers in order.
pub(super) fn intset(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut run = Run { bytes };
    let width = u32::from_le_bytes(run.take(4)?.try_into().ok()?) as usize;
    let count = u32::from_le_bytes(run.take(4)?.try_into().ok()?) as usize;
    if !matches!(width, 2 | 4 | 8) || count == 0 || run.bytes.len() != count.checked_mul(width)? {
        return None;
    }
    (0..count).map(|_| run.int(width)).collect()
}

/// A zipmap (up to Redis 2.4): u8 count, then length, field, length, unused bytes, value, slack; 0xff.
pub(super) fn zipmap(bytes: &[u8]) -> Option<Pairs> {
    let mut run = Run { bytes };
    let count = run.byte()?;
    let mut pairs = Vec::new();
    loop {
        let len = |run: &mut Run<'_>| match run.byte()? {
            0xff => Some(None),
            0xfe => Some(Some(u32::from_le_bytes(run.take(4)?.try_into().ok()?) as usize)),
            len => Some(Some(usize::from(len))),
        };
        let Some(field_len) = len(&mut run)? else { break };
        let field = run.text(field_len)?;
        let value_len = len(&mut run)??;
        let slack = run.byte()?;
        let value = run.text(value_len)?;
        run.take(usize::from(slack))?;
        pairs.push((field, value));
    }
    let counted = count >= 0xfe || usize::from(count) == pairs.len();
    (run.bytes.is_empty() && counted && !pairs.is_empty()).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(elements: Vec<Vec<u8>>) -> Vec<String> {
        elements.into_iter().map(|element| String::from_utf8(element).expect("text")).collect()
    }

    #[test]
    fn a_zipmap_is_read() {
        let run = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world!!\xff";
        let read = zipmap(run).expect("sound");
        let pair = |field: &[u8], value: &[u8]| (field.to_vec(), value.to_vec());
        assert_eq!(read, [pair(b"foo", b"bar"), pair(b"hello", b"world")]);
    }

    #[test]
    fn a_ziplist_is_read_with_all_its_integers() {
        let mut run = vec![0; 10];
        run.extend(b"\x00\x02ab\x04\xfe\x80\x03\xf1\x02\xfd\x02\xc0\xff\x7f\x04\xf0\xff\xff\xff");
        run.extend(b"\x05\xd0\x00\x00\x00\x80\x06\xe0\x01\x00\x00\x00\x00\x00\x00\x00\xff");
        let len = run.len() as u32;
        run[..4].copy_from_slice(&len.to_le_bytes());
        run[8] = 8;
        run[4..8].copy_from_slice(&(len - 11).to_le_bytes());
        let expected = ["ab", "-128", "0", "12", "32767", "-1", "-2147483648", "1"];
        assert_eq!(texts(ziplist(&run).expect("sound")), expected);
        for cut in 0..run.len() {
            assert!(ziplist(&run[..cut]).is_none(), "cut at {cut}");
        }
        // Neither the place of the last element nor the length of the one before may be wrong.
        for at in [4, 14, 17] {
            let mut other = run.clone();
            other[at] += 1;
            assert!(ziplist(&other).is_none(), "changed at {at}");
        }
    }

    #[test]
    fn a_listpack_is_read_backward_too() {
        let run = b"\x0d\0\0\0\x03\0\x01\x01\x02\x01\x03\x01\xff";
        assert_eq!(texts(listpack(run).expect("sound")), ["1", "2", "3"]);
        let mut other = *run;
        other[9] = 2;
        assert!(listpack(&other).is_none());
        let long = [b"\x8f\0\0\0\x01\0\xe0\x84", &[b'x'; 132][..], b"\x01\x86\xff"].concat();
        assert_eq!(texts(listpack(&long).expect("sound")), ["x".repeat(132)]);
    }

    #[test]
    fn an_intset_is_read() {
        let run = b"\x02\0\0\0\x03\0\0\0\xfe\xff\x01\x00\x2c\x01";
        assert_eq!(texts(intset(run).expect("sound")), ["-2", "1", "300"]);
        assert!(intset(&run[..13]).is_none());
    }
}
