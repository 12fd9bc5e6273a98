//! Records as bytes: a version byte, then bincode. One place, since bincode's two ways of encoding do not read each
//! other and a version byte that some records lack is of no use.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// The version of all records that this program writes.
const VERSION: u8 = 1;

/// Why a record was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// Written by another version of the program.
    Version(u8),
    /// Not what was written.
    Broken(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Version(found) => write!(f, "record version {found} is unknown"),
            CodecError::Broken(why) => write!(f, "not a record: {why}"),
        }
    }
}

/// The bytes of a record.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut out = vec![VERSION];
    bincode::serialize_into(&mut out, record).expect("records have no maps of unknown length and memory does not fail");
    out
}

/// Reads a record. Lengths inside are bounded by the bytes that are there.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes {
        [VERSION, rest @ ..] => bincode::deserialize(rest).map_err(|error| CodecError::Broken(error.to_string())),
        [other, ..] => Err(CodecError::Version(*other)),
        [] => Err(CodecError::Broken("empty".into())),
    }
}
