//! A debugger command on the wire: an array of strings, of at most 1024 words with at most 1024 bytes each.

use crate::base::number::parse_i64;
use memchr::{memchr, memmem};

const WORDS_MAX: i64 = 1024;
const WORD_BYTES_MAX: i64 = 1024;

/// What the bytes of a client come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    Words(Vec<Vec<u8>>),
    /// More is to come.
    Partial,
    /// They are no command.
    Broken,
}

/// Reads the first command. As in Redis, what stands in front of it is passed over.
pub fn parse(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        return Parsed::Partial;
    }
    let Some(start) = memchr(b'*', bytes) else { return Parsed::Broken };
    let mut rest = &bytes[start..];
    let count = match take_length(&mut rest, b'*', WORDS_MAX) {
        Ok(count) => count,
        Err(parsed) => return parsed,
    };
    let mut words = Vec::new();
    while words.len() < count {
        let length = match take_length(&mut rest, b'$', WORD_BYTES_MAX) {
            Ok(length) => length,
            Err(parsed) => return parsed,
        };
        match (rest.get(..length), rest.get(length..length + 2)) {
            (Some(word), Some(b"\r\n")) => words.push(word.to_vec()),
            (_, None) => return Parsed::Partial,
            _ => return Parsed::Broken,
        }
        rest = &rest[length + 2..];
    }
    Parsed::Words(words)
}

/// A line of a sign and a number from 1 on.
fn take_length(rest: &mut &[u8], sign: u8, max: i64) -> Result<usize, Parsed> {
    match rest.first() {
        None => return Err(Parsed::Partial),
        Some(first) if *first != sign => return Err(Parsed::Broken),
        Some(_) => {}
    }
    let Some(end) = memmem::find(rest, b"\r\n") else { return Err(Parsed::Partial) };
    let number = parse_i64(&rest[1..end]).filter(|number| (1..=max).contains(number)).ok_or(Parsed::Broken)?;
    *rest = &rest[end + 2..];
    Ok(number as usize)
}
