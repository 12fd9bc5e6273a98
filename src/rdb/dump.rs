//! One value alone, as DUMP gives it and RESTORE takes it: its type and bytes, the version, a checksum.

use super::cursor::{Cursor, Stop};
use super::{RdbError, VERSION, VERSION_MAX, Value, ValueRef, code, crc64, string};

/// The version (2 bytes) and the checksum (8) behind the value.
const FOOTER_BYTES: usize = 10;

/// Why a payload is not restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpError {
    /// `DUMP payload version or checksum are wrong` in Redis' words.
    Footer,
    /// `Bad data format`: the checksum fits, the value does not.
    Value(RdbError),
}

/// The payload of DUMP.
pub fn dump(value: ValueRef<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        ValueRef::String(bytes) => {
            out.push(code::STRING);
            string::write(&mut out, bytes, false);
        }
    }
    out.extend((VERSION as u16).to_le_bytes());
    let mut crc = crc64();
    crc.update(&out);
    out.extend(crc.finalize().to_le_bytes());
    out
}

/// Reads the payload of RESTORE.
///
/// # Errors
/// See [`DumpError`].
pub fn restore(payload: &[u8]) -> Result<Value, DumpError> {
    let Some(body) = payload.len().checked_sub(FOOTER_BYTES) else { return Err(DumpError::Footer) };
    let (body, footer) = payload.split_at(body);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let mut crc = crc64();
    crc.update(&payload[..payload.len() - 8]);
    let sum = crc.finalize().to_le_bytes();
    let unchecked = footer[2..] == [0; 8];
    if u32::from(version) > VERSION_MAX || (footer[2..] != sum && !unchecked) {
        return Err(DumpError::Footer);
    }
    let bad = |what, offset| DumpError::Value(RdbError::Corrupt { what, offset });
    let mut from = Cursor::new(body, 0);
    let read = match from.byte() {
        Ok(code::STRING) => string::read(&mut from).map(Value::String),
        Ok(kind) => Err(Stop::Bad(match code::type_name(kind) {
            Some(name) => RdbError::UnsupportedType { name, key: Vec::new(), offset: 0 },
            None => RdbError::UnknownType { kind, offset: 0 },
        })),
        Err(stop) => Err(stop),
    };
    match read {
        Ok(value) if from.at() == body.len() => Ok(value),
        Ok(_) => Err(bad("bytes behind the value", from.offset())),
        Err(Stop::More(_)) => Err(bad("a value that is cut off", from.offset())),
        Err(Stop::Bad(error)) => Err(DumpError::Value(error)),
    }
}
