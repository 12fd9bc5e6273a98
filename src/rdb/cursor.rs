//! Reading from bytes of which the rest may be still to come: lengths, numbers and strings of the format.

use super::{RdbError, lzf};
use std::borrow::Cow;

/// Why a read stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The buffer must hold at least so many bytes (counted from its start) before another attempt can do better.
    More(usize),
    Bad(RdbError),
}

pub(super) type Read<T> = Result<T, Stop>;

/// A place in a buffer that starts at `origin` of the file.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    origin: u64,
}

/// A length, or how a string is encoded instead.
enum Length {
    Plain(u64),
    Encoded(u8),
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], origin: u64) -> Self {
        Cursor { bytes, at: 0, origin }
    }

    /// How many bytes were read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The place in the file.
    pub fn offset(&self) -> u64 {
        self.origin + self.at as u64
    }

    pub fn corrupt<T>(&self, what: &'static str) -> Read<T> {
        Err(Stop::Bad(RdbError::Corrupt { what, offset: self.offset() }))
    }

    pub fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let Some(end) = self.at.checked_add(len) else { return self.corrupt("a length beyond all memory") };
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More(end))?;
        self.at = end;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn byte(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn any_length(&mut self) -> Read<Length> {
        let first = self.byte()?;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(u64::from(first)),
            (1, _) => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            (2, 0x80) => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            (2, 0x81) => Length::Plain(u64::from_be_bytes(self.array()?)),
            (3, _) => Length::Encoded(first & 0x3f),
            _ => return self.corrupt("an unknown form of length"),
        })
    }

    /// A length, or another number written as one.
    pub fn length(&mut self) -> Read<u64> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => self.corrupt("an encoded string where a length belongs"),
        }
    }

    /// A length as one of memory.
    fn size(&mut self) -> Read<usize> {
        let length = self.length()?;
        self.checked(length)
    }

    fn checked(&self, length: u64) -> Read<usize> {
        match usize::try_from(length) {
            Ok(size) if size <= isize::MAX as usize => Ok(size),
            _ => self.corrupt("a length beyond all memory"),
        }
    }

    /// A string in any of its forms: as it is, as a number, or compressed.
    pub fn string(&mut self) -> Read<Cow<'a, [u8]>> {
        let number = |value: i64| Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec());
        Ok(match self.any_length()? {
            Length::Plain(length) => {
                let size = self.checked(length)?;
                Cow::Borrowed(self.take(size)?)
            }
            Length::Encoded(0) => number(i64::from(i8::from_le_bytes(self.array()?))),
            Length::Encoded(1) => number(i64::from(i16::from_le_bytes(self.array()?))),
            Length::Encoded(2) => number(i64::from(i32::from_le_bytes(self.array()?))),
            Length::Encoded(3) => {
                let packed = self.size()?;
                let plain = self.size()?;
                let packed = self.take(packed)?;
                match lzf::unpack(packed, plain) {
                    Some(bytes) => Cow::Owned(bytes),
                    None => return self.corrupt("a compressed string that does not unpack"),
                }
            }
            Length::Encoded(_) => return self.corrupt("an unknown encoding of a string"),
        })
    }
}
