//! How values become bytes, on disk and between peers: one version byte, then bincode 1.3 (fixed integers, little endian).
//!
//! bincode describes nothing: the order of fields is the format. A change of any recorded type is a new version byte.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::{fmt, io};

/// The format written now, and the only one read.
pub const VERSION: u8 = 1;

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord(pub String);

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRecord {}

impl From<BadRecord> for io::Error {
    fn from(why: BadRecord) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

/// Appends the record to `out`.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    out.push(VERSION);
    bincode::serialize_into(out, value).expect("every recorded type has a bincode form, and memory takes every write");
}

/// The record of a value.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Reads a record. Lengths inside are held against the bytes that are there, so hostile ones allocate nothing.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadRecord> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            bincode::deserialize(rest).map_err(|why| BadRecord(format!("does not decode: {why}")))
        }
        Some((version, _)) => Err(BadRecord(format!("has format {version}, this version reads {VERSION}"))),
        None => Err(BadRecord("is empty".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_is_wrong_with_it() {
        let bytes = encode(&(7u64, "seven".to_owned()));
        assert_eq!(decode::<(u64, String)>(&bytes), Ok((7, "seven".to_owned())));
        assert_eq!(decode::<u64>(&[]).unwrap_err().to_string(), "is empty");
        assert_eq!(decode::<u64>(&[9, 0]).unwrap_err().to_string(), "has format 9, this version reads 1");
        assert!(decode::<(u64, String)>(&bytes[..bytes.len() - 1]).is_err());
        let mut hostile = vec![VERSION];
        hostile.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<String>(&hostile).is_err(), "a length of 2^64-1 is refused, not allocated");
    }
}
