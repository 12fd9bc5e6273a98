//! Replies of other servers: decoded by `redis_protocol`, after a check that makes its bytes safe to decode.
//!
//! The crate's decoders recurse as deep as the peer says and know no limit of length. So a frame is walked first, without
//! recursion: only one that is whole, shallow and of honest lengths reaches the crate. An unfinished frame costs that
//! walk again when more bytes are there; a large string is one step of it.

use crate::base::limits::{FRAME_DEPTH_MAX, FRAME_ITEMS_MAX, INLINE_BYTES_MAX, STRING_BYTES_MAX};
use crate::base::number::parse_i64;
use memchr::memmem;
use redis_protocol::resp2::decode::decode_range as decode_resp2;
use redis_protocol::resp2::types::RangeFrame as Range2;
use redis_protocol::resp3::decode::complete::decode_range as decode_resp3;
use redis_protocol::resp3::types::RangeFrame as Range3;
use std::fmt;

/// A reply, or a message that a server pushed. Attributes are dropped; nulls of all kinds are `Null`.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// `+text`; bytes that are not UTF-8 are replaced.
    Simple(String),
    /// `-text` or `!`, with its code (`NOAUTH ...`).
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Frame>),
    /// In the order of the wire.
    Map(Vec<(Frame, Frame)>),
    Set(Vec<Frame>),
    Push(Vec<Frame>),
    Double(f64),
    Bool(bool),
    /// The digits.
    BigNumber(String),
    /// Text for people, without its format.
    Verbatim(Vec<u8>),
}

impl Frame {
    /// The bytes of a string of any kind; `None` for errors and all else.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Frame::Simple(text) | Frame::BigNumber(text) => Some(text.as_bytes()),
            Frame::Bulk(bytes) | Frame::Verbatim(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push message.
    pub fn items(&self) -> Option<&[Frame]> {
        match self {
            Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => Some(items),
            _ => None,
        }
    }

    /// An integer, or a string that is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Frame::Int(value) => Some(*value),
            other => other.text().and_then(parse_i64),
        }
    }

    /// The text of an error.
    pub fn error(&self) -> Option<&str> {
        match self {
            Frame::Error(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is `+OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Frame::Simple(text) if text == "OK")
    }
}

/// Why the bytes of a peer are no frame; the link must end. Places are bytes from the start of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Nested deeper than `FRAME_DEPTH_MAX`.
    TooDeep { at: usize },
    /// A line, a string or an aggregate beyond its limit, or of a length that is no number.
    Length { at: usize },
    /// A first byte of no known kind, or no line end where one belongs.
    Syntax { at: usize },
    /// Refused by the decoder.
    Content(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooDeep { at } => write!(f, "reply nested deeper than {FRAME_DEPTH_MAX} at byte {at}"),
            FrameError::Length { at } => write!(f, "reply with an invalid length at byte {at}"),
            FrameError::Syntax { at } => write!(f, "reply that is no valid RESP at byte {at}"),
            FrameError::Content(why) => write!(f, "reply with invalid content: {why}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Reads the frame at the start of `buf`, RESP2 or RESP3: the frame and how many bytes it took, or `None` if it is not
/// whole yet.
///
/// # Errors
/// See [`FrameError`]. Nothing larger than `buf` is allocated on the way.
pub fn decode(buf: &[u8]) -> Result<Option<(Frame, usize)>, FrameError> {
    let Some(walked) = walk(buf)? else { return Ok(None) };
    let bytes = &buf[walked.start..walked.end];
    let frame = match walked.dialect {
        Dialect::Resp2 => match decode_resp2(bytes) {
            Ok(Some((frame, len))) if len == bytes.len() => from_resp2(frame, bytes),
            Ok(_) => return Err(FrameError::Content("length differs".to_owned())),
            Err(error) => return Err(FrameError::Content(error.to_string())),
        },
        Dialect::Resp3 => match decode_resp3(bytes) {
            Ok(Some((frame, len))) if len == bytes.len() => from_resp3(frame, bytes),
            Ok(_) => return Err(FrameError::Content("length differs".to_owned())),
            Err(error) => return Err(FrameError::Content(error.to_string())),
        },
    };
    Ok(Some((frame, walked.end)))
}

/// Which decoder reads a frame: `$-1` and `*-1` are known to RESP2's only, and most kinds to RESP3's only.
#[derive(Clone, Copy)]
enum Dialect {
    Resp2,
    Resp3,
}

struct Walked {
    /// Where the frame starts, behind attributes.
    start: usize,
    end: usize,
    dialect: Dialect,
}

/// One aggregate on the way down.
struct Level {
    left: usize,
    /// Attributes precede a frame and are none themselves.
    attribute: bool,
}

/// Walks one frame from its first to its last byte; `None` if it is not whole.
fn walk(buf: &[u8]) -> Result<Option<Walked>, FrameError> {
    let mut levels: Vec<Level> = Vec::new();
    let (mut start, mut at) = (0, 0);
    let (mut resp3, mut resp2_null) = (false, None);
    loop {
        let Some(&kind) = buf.get(at) else { return Ok(None) };
        let head = at;
        let Some((line, behind)) = line(buf, at)? else { return Ok(None) };
        at = behind;
        let limited = |max: i64| match parse_i64(line) {
            Some(len) if (0..=max).contains(&len) => Ok(len as usize),
            _ => Err(FrameError::Length { at: head }),
        };
        let items = match kind {
            b'+' | b'-' | b':' => 0,
            b',' | b'#' | b'_' | b'(' => {
                resp3 = true;
                0
            }
            b'$' | b'*' if line == b"-1" => {
                resp2_null.get_or_insert(head);
                0
            }
            b'$' | b'!' | b'=' => {
                resp3 |= kind != b'$';
                let end = at + limited(STRING_BYTES_MAX as i64)?;
                match buf.get(end..end + 2) {
                    Some(b"\r\n") => at = end + 2,
                    Some(_) => return Err(FrameError::Syntax { at: end }),
                    None => return Ok(None),
                }
                0
            }
            b'*' => limited(FRAME_ITEMS_MAX)?,
            b'~' | b'>' => {
                resp3 = true;
                limited(FRAME_ITEMS_MAX)?
            }
            b'%' | b'|' => {
                resp3 = true;
                limited(FRAME_ITEMS_MAX)? * 2
            }
            _ => return Err(FrameError::Syntax { at: head }),
        };
        let attribute = kind == b'|';
        if items > 0 || attribute {
            if levels.len() == FRAME_DEPTH_MAX {
                return Err(FrameError::TooDeep { at: head });
            }
            levels.push(Level { left: items, attribute });
        } else if let Some(level) = levels.last_mut() {
            level.left -= 1;
        }
        // An aggregate that is through counts as one element of the one above; an attribute does not.
        while let Some(Level { left: 0, attribute }) = levels.last() {
            let attribute = *attribute;
            levels.pop();
            match levels.last_mut() {
                Some(_) if attribute => break,
                Some(above) => above.left -= 1,
                None if attribute => {
                    (start, resp3, resp2_null) = (at, false, None);
                    break;
                }
                None => {}
            }
        }
        let whole = levels.is_empty() && start < at;
        if whole {
            let dialect = match (resp3, resp2_null) {
                (true, Some(at)) => return Err(FrameError::Syntax { at }),
                (true, None) => Dialect::Resp3,
                (false, _) => Dialect::Resp2,
            };
            return Ok(Some(Walked { start, end: at, dialect }));
        }
    }
}

/// The line at `at` without its first byte, and the place behind it.
fn line(buf: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    let window = &buf[at + 1..buf.len().min(at + 1 + INLINE_BYTES_MAX)];
    match memmem::find(window, b"\r\n") {
        Some(len) => Ok(Some((&window[..len], at + 1 + len + 2))),
        None if window.len() == INLINE_BYTES_MAX => Err(FrameError::Length { at }),
        None => Ok(None),
    }
}

fn lossy(bytes: &[u8], (start, end): (usize, usize)) -> String {
    String::from_utf8_lossy(&bytes[start..end]).into_owned()
}

fn from_resp2(frame: Range2, bytes: &[u8]) -> Frame {
    match frame {
        Range2::SimpleString(range) => Frame::Simple(lossy(bytes, range)),
        Range2::Error(range) => Frame::Error(lossy(bytes, range)),
        Range2::Integer(value) => Frame::Int(value),
        Range2::BulkString((start, end)) => Frame::Bulk(bytes[start..end].to_vec()),
        Range2::Array(items) => Frame::Array(items.into_iter().map(|item| from_resp2(item, bytes)).collect()),
        Range2::Null => Frame::Null,
    }
}

fn from_resp3(frame: Range3, bytes: &[u8]) -> Frame {
    let all = |items: Vec<Range3>| items.into_iter().map(|item| from_resp3(item, bytes)).collect();
    match frame {
        Range3::SimpleString { data, .. } => Frame::Simple(lossy(bytes, data)),
        Range3::SimpleError { data, .. } | Range3::BlobError { data, .. } => Frame::Error(lossy(bytes, data)),
        Range3::Number { data, .. } => Frame::Int(data),
        Range3::Double { data, .. } => Frame::Double(data),
        Range3::Boolean { data, .. } => Frame::Bool(data),
        Range3::BigNumber { data, .. } => Frame::BigNumber(lossy(bytes, data)),
        Range3::BlobString { data: (start, end), .. } | Range3::ChunkedString((start, end)) => {
            Frame::Bulk(bytes[start..end].to_vec())
        }
        Range3::VerbatimString { data: (start, end), .. } => Frame::Verbatim(bytes[start..end].to_vec()),
        Range3::Array { data, .. } => Frame::Array(all(data)),
        Range3::Push { data, .. } => Frame::Push(all(data)),
        Range3::Set { data, .. } => Frame::Set(data.into_iter().map(|item| from_resp3(item, bytes)).collect()),
        // The crate fills its map from the last pair to the first.
        Range3::Map { data, .. } => Frame::Map(
            data.into_iter().rev().map(|(key, value)| (from_resp3(key, bytes), from_resp3(value, bytes))).collect(),
        ),
        Range3::Null | Range3::Hello { .. } => Frame::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Frame {
        let (frame, len) = decode(bytes).expect("valid").expect("whole");
        assert_eq!(len, bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let two = [bytes, b"+next\r\n"].concat();
        assert_eq!(decode(&two), Ok(Some((frame.clone(), bytes.len()))));
        frame
    }

    fn bulk(text: &str) -> Frame {
        Frame::Bulk(text.into())
    }

    #[test]
    fn frames_of_both_protocols() {
        assert_eq!(one(b"+OK\r\n"), Frame::Simple("OK".into()));
        assert!(one(b"+OK\r\n").is_ok());
        assert_eq!(one(b"-ERR x\r\n").error(), Some("ERR x"));
        assert_eq!(one(b":-5\r\n"), Frame::Int(-5));
        assert_eq!(one(b"$3\r\na\r\n\r\n"), Frame::Bulk(b"a\r\n".to_vec()));
        assert_eq!(one(b"$0\r\n\r\n"), bulk(""));
        for null in [&b"$-1\r\n"[..], b"*-1\r\n", b"_\r\n"] {
            assert_eq!(one(null), Frame::Null);
        }
        assert_eq!(one(b"*0\r\n"), Frame::Array(vec![]));
        assert_eq!(
            one(b"*3\r\n*1\r\n$1\r\na\r\n*0\r\n$-1\r\n"),
            Frame::Array(vec![Frame::Array(vec![bulk("a")]), Frame::Array(vec![]), Frame::Null])
        );
        let map = one(b"%2\r\n$1\r\nz\r\n:1\r\n$1\r\na\r\n*1\r\n#t\r\n");
        assert_eq!(
            map,
            Frame::Map(vec![(bulk("z"), Frame::Int(1)), (bulk("a"), Frame::Array(vec![Frame::Bool(true)]))])
        );
        assert_eq!(one(b"%0\r\n"), Frame::Map(vec![]));
        assert_eq!(one(b"~2\r\n:1\r\n:2\r\n"), Frame::Set(vec![Frame::Int(1), Frame::Int(2)]));
        assert_eq!(one(b">2\r\n+a\r\n_\r\n"), Frame::Push(vec![Frame::Simple("a".into()), Frame::Null]));
        assert_eq!(one(b",-1.5e3\r\n"), Frame::Double(-1500.0));
        assert_eq!(one(b",inf\r\n"), Frame::Double(f64::INFINITY));
        assert_eq!(one(b"(123456789012345678901\r\n"), Frame::BigNumber("123456789012345678901".into()));
        assert_eq!(one(b"!7\r\nERR a b\r\n"), Frame::Error("ERR a b".into()));
        assert_eq!(one(b"=8\r\ntxt:some\r\n"), Frame::Verbatim(b"some".to_vec()));
        assert_eq!(one(b"|1\r\n+a\r\n:1\r\n:2\r\n"), Frame::Int(2));
        assert_eq!(one(b"|1\r\n+a\r\n:1\r\n$-1\r\n"), Frame::Null);
        assert_eq!(one(b"|0\r\n:2\r\n"), Frame::Int(2));
        assert_eq!(one(b"*2\r\n|1\r\n+a\r\n:1\r\n:2\r\n:3\r\n"), Frame::Array(vec![Frame::Int(2), Frame::Int(3)]));
    }

    #[test]
    fn hostile_lengths_and_depths() {
        let cases: [(Vec<u8>, FrameError); 13] = [
            (b"*1\r\n".repeat(10_000), FrameError::TooDeep { at: 32 * 4 }),
            (b"%1\r\n".repeat(10_000), FrameError::TooDeep { at: 32 * 4 }),
            (b"|0\r\n*1\r\n".repeat(40), FrameError::TooDeep { at: 32 * 8 }),
            (b"*2147483647\r\n".to_vec(), FrameError::Length { at: 0 }),
            (b"%1000000000000\r\n".to_vec(), FrameError::Length { at: 0 }),
            (b"$9223372036854775807\r\n".to_vec(), FrameError::Length { at: 0 }),
            (b"$-2\r\n".to_vec(), FrameError::Length { at: 0 }),
            (b"*x\r\n".to_vec(), FrameError::Length { at: 0 }),
            ([b"+", &b"a".repeat(70_000)[..]].concat(), FrameError::Length { at: 0 }),
            (b"HELLO 3\r\n".to_vec(), FrameError::Syntax { at: 0 }),
            (b"*1\r\n?".iter().copied().chain(*b"\r\n").collect(), FrameError::Syntax { at: 4 }),
            (b"$1\r\naXX".to_vec(), FrameError::Syntax { at: 5 }),
            (b">2\r\n+a\r\n$-1\r\n".to_vec(), FrameError::Syntax { at: 8 }),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode(&bytes), Err(error), "{}", bytes[..bytes.len().min(40)].escape_ascii());
        }
        for bytes in [&b":x\r\n"[..], b"#x\r\n", b",x\r\n", b"=2\r\nab\r\n", b"%1\r\n*0\r\n:1\r\n"] {
            assert!(matches!(decode(bytes), Err(FrameError::Content(_))), "{}", bytes.escape_ascii());
        }
    }
}
