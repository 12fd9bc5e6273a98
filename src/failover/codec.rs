//! How records and messages of the group are written: one leading version byte, then bincode 1.3, and nothing after.
//!
//! A reader refuses what it does not know, by version, rather than guess; the bytes are bounded before they are read.

use crate::base::limits::GROUP_RECORD_BYTES_MAX;
use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// The version that this build writes.
pub const VERSION: u8 = 1;

/// Bytes that are no record of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    Empty,
    /// Written by another version.
    Version(u8),
    /// The body cannot be read.
    Body(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Empty => f.write_str("an empty record"),
            CodecError::Version(version) => write!(f, "a record of version {version}; this build reads {VERSION}"),
            CodecError::Body(why) => write!(f, "an unreadable record: {why}"),
        }
    }
}

impl std::error::Error for CodecError {}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(GROUP_RECORD_BYTES_MAX).with_varint_encoding().reject_trailing_bytes()
}

/// The record's bytes, version first. `Body` for one beyond `GROUP_RECORD_BYTES_MAX`.
pub fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![VERSION];
    options().serialize_into(&mut bytes, record).map_err(|e| CodecError::Body(e.to_string()))?;
    Ok(bytes)
}

/// Reads what [`encode`] wrote.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes {
        [] => Err(CodecError::Empty),
        [VERSION, body @ ..] => options().deserialize(body).map_err(|e| CodecError::Body(e.to_string())),
        [version, ..] => Err(CodecError::Version(*version)),
    }
}
