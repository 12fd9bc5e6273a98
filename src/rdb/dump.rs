//! One value alone, as DUMP gives it and RESTORE takes it: its type and bytes, the version, a checksum.

use super::collection::{self, Elements, Left};
use super::cursor::{Cursor, Read, Stop};
use super::{RdbError, Shape, VERSION, VERSION_MAX, Value, code, crc64, string};

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

/// The payload of DUMP for a string.
pub fn dump_string(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![code::STRING];
    string::write(&mut out, bytes, false);
    seal(out)
}

/// The payload of DUMP for a collection of so many elements (pairs, in a hash).
pub fn dump(shape: Shape, elements: u64, write: impl FnOnce(&mut Elements<'_>)) -> Vec<u8> {
    let mut out = vec![shape.code()];
    string::write_length(&mut out, elements);
    write(&mut Elements::new(&mut out, false));
    seal(out)
}

pub(super) fn seal(mut out: Vec<u8>) -> Vec<u8> {
    out.extend((VERSION as u16).to_le_bytes());
    let mut crc = crc64();
    crc.update(&out);
    out.extend(crc.finalize().to_le_bytes());
    out
}

/// What stands in front of the version and the checksum, if they are right.
pub(super) fn open(payload: &[u8], checksum: Checksum) -> Option<&[u8]> {
    let (body, footer) = payload.split_at(payload.len().checked_sub(FOOTER_BYTES)?);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let is_whole = || {
        let mut crc = crc64();
        crc.update(&payload[..payload.len() - 8]);
        footer[2..] == crc.finalize().to_le_bytes()
    };
    (u32::from(version) <= VERSION_MAX && (checksum == Checksum::Skip || is_whole())).then_some(body)
}

/// Whether the checksum of a payload is looked at: for tests it need not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    #[default]
    Check,
    Skip,
}

/// Reads the payload of RESTORE.
///
/// # Errors
/// See [`DumpError`].
pub fn restore(payload: &[u8], checksum: Checksum) -> Result<Value, DumpError> {
    let body = open(payload, checksum).ok_or(DumpError::Footer)?;
    let bad = |what, offset| DumpError::Value(RdbError::Corrupt { what, offset });
    let mut from = Cursor::new(body, 0);
    let read = from.byte().and_then(|kind| match kind {
        code::STRING => string::read(&mut from).map(Value::String),
        kind => whole(kind, &mut from),
    });
    match read {
        Ok(value) if from.at() == body.len() => Ok(value),
        Ok(_) => Err(bad("bytes behind the value", from.offset())),
        Err(Stop::More(_)) => Err(bad("a value that is cut off", from.offset())),
        Err(Stop::Bad(error)) => Err(DumpError::Value(error)),
    }
}

/// A collection to its end. An empty one is bad data, as in Redis.
fn whole(kind: u8, from: &mut Cursor<'_>) -> Read<Value> {
    let Some(mut left) = Left::open(kind, from)? else {
        return Err(Stop::Bad(match code::type_name(kind) {
            Some(name) => RdbError::UnsupportedType { name, key: Vec::new(), offset: 0 },
            None => RdbError::UnknownType { kind, offset: 0 },
        }));
    };
    let mut value = left.part(from)?;
    while !left.is_empty() {
        let more = left.part(from)?;
        collection::join(&mut value, more);
    }
    if value.is_empty() {
        return from.corrupt("an empty collection");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for bytes in [&b""[..], b"12", b"text", &[b'x'; 1000]] {
            let payload = dump_string(bytes);
            assert_eq!(restore(&payload, Checksum::Check), Ok(Value::String(bytes.to_vec())));
            for cut in 0..payload.len() {
                assert_eq!(restore(&payload[..cut], Checksum::Check), Err(DumpError::Footer), "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_payload_of_redis() {
        // DUMP of Redis 7.0.15 after SET k 10.
        let payload = b"\0\xc0\n\n\0n\x9fWE\x0e\xaec\xbb";
        assert_eq!(dump_string(b"10"), payload);
        assert_eq!(restore(payload, Checksum::Check), Ok(Value::String(b"10".to_vec())));
    }

    #[test]
    fn values_that_do_not_fit_their_payload() {
        let sealed = |body: &[u8], version: u16| {
            let mut payload = body.to_vec();
            payload.extend(version.to_le_bytes());
            let mut crc = crc64();
            crc.update(&payload);
            payload.extend(crc.finalize().to_le_bytes());
            restore(&payload, Checksum::Check)
        };
        assert_eq!(sealed(b"\0\x01a", 10), Ok(Value::String(b"a".to_vec())));
        assert_eq!(sealed(b"\0\x01a", 13), Err(DumpError::Footer));
        for body in [
            &b""[..],
            b"\0",
            b"\0\x02a",
            b"\0\x01ab",
            b"\x08\x01a",
            b"\x01\x01a",
            b"\0\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(matches!(sealed(body, 10), Err(DumpError::Value(_))), "{}", body.escape_ascii());
        }
    }
}
