//! The incremental parser of requests: it marks where the arguments are and copies nothing.
//!
//! A server spends a good part of a small command on reading it, so this file is written for that: one pass, ranges
//! instead of slices (the bytes may move before the request is whole), no allocation once the shared [`Args`] has grown.
//! The rules and limits are those of Redis 7 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>), down to
//! what it tolerates: `*0` and `*-1` are skipped, the two bytes behind an argument are not looked at.

use super::inline;
use crate::base::limits::{INLINE_BYTES_MAX, MULTIBULK_MAX};
use crate::base::limits::{UNAUTHENTICATED_BULK_BYTES_MAX, UNAUTHENTICATED_MULTIBULK_MAX};
use crate::base::number::parse_i64;
use memchr::memchr;
use std::fmt;

/// What a request may ask for. Made per read, as it depends on the client and on `proto-max-bulk-len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The longest argument, bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: u64,
    /// Whether the client may send more than the few small arguments that an AUTH needs.
    pub authenticated: bool,
}

impl RequestLimits {
    /// For the replication stream, which holds what our master has accepted already.
    pub const MASTER: RequestLimits = RequestLimits { bulk_bytes_max: i64::MAX as u64, authenticated: true };
}

/// What one call of [`Parser::next`] found at the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The request is not whole. Nothing is consumed: call again with the same bytes and more behind them.
    Incomplete,
    /// An empty line, `*0` or the like: skip so many bytes, there is nothing to execute and nothing to answer.
    Empty { consumed: usize },
    /// A request; its arguments (at least one) are in the `Args`. The next one starts behind so many bytes.
    Command { consumed: usize },
}

/// Why a connection must end, after it has been told: the texts are Redis'. Written with `Writer::protocol_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    BigInline,
    UnbalancedQuotes,
    BigMultibulkCount,
    MultibulkLength,
    UnauthenticatedMultibulk,
    BigBulkCount,
    /// Something else stood where an argument's `$` belongs.
    ExpectedDollar {
        got: u8,
    },
    BulkLength,
    UnauthenticatedBulk,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            ProtocolError::BigInline => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::BigMultibulkCount => "too big mbulk count string",
            ProtocolError::MultibulkLength => "invalid multibulk length",
            ProtocolError::UnauthenticatedMultibulk => "unauthenticated multibulk length",
            ProtocolError::BigBulkCount => "too big bulk count string",
            ProtocolError::ExpectedDollar { got } => return write!(f, "expected '$', got '{}'", char::from(*got)),
            ProtocolError::BulkLength => "invalid bulk length",
            ProtocolError::UnauthenticatedBulk => "unauthenticated bulk length",
        })
    }
}

impl std::error::Error for ProtocolError {}

/// A start and a length.
type Range = (usize, usize);

/// Where the arguments of one request are. One is shared by all connections of a thread and reused.
#[derive(Debug, Default)]
pub struct Args {
    ranges: Vec<Range>,
    /// Arguments of an inline command, which may differ from the bytes received (quotes, escapes).
    unquoted: Vec<u8>,
    inline: bool,
}

/// Above this many arguments (or bytes of inline arguments) a reused buffer is cut back for the next request.
const KEPT_MAX: usize = 4096;

impl Args {
    /// The number of arguments, the command's name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether no request has been read into it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The arguments as slices; `buf` is the buffer that [`Parser::next`] was last called with.
    pub fn request<'a>(&'a self, buf: &'a [u8]) -> Request<'a> {
        Request { source: if self.inline { &self.unquoted } else { buf }, ranges: &self.ranges }
    }

    /// The range of argument `i` in the bytes given to the parser; `None` for an inline command, or beyond the last.
    /// It lets a caller that owns those bytes take a large argument without copying it.
    pub fn range(&self, i: usize) -> Option<std::ops::Range<usize>> {
        let &(start, len) = self.ranges.get(i)?;
        (!self.inline).then_some(start..start + len)
    }

    #[inline]
    fn clear(&mut self) {
        self.ranges.clear();
        self.inline = false;
        if self.ranges.capacity() > KEPT_MAX {
            self.ranges.shrink_to(KEPT_MAX);
        }
    }

    fn clear_for_inline(&mut self) {
        self.clear();
        self.inline = true;
        self.unquoted.clear();
        self.unquoted.shrink_to(KEPT_MAX);
    }
}

/// One request: its arguments as slices, the command's name first. Copy; borrows the buffer and the [`Args`].
#[derive(Clone, Copy)]
pub struct Request<'a> {
    source: &'a [u8],
    ranges: &'a [Range],
}

impl<'a> Request<'a> {
    /// Of words that are kept elsewhere: `ranges` are (start, length) in `source`.
    pub fn new(source: &'a [u8], ranges: &'a [(usize, usize)]) -> Self {
        Request { source, ranges }
    }

    /// The number of arguments, the command's name included; at least one for a parsed request.
    #[inline]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no argument.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Argument `i`, the command's name being 0.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        let &(start, len) = self.ranges.get(i)?;
        self.source.get(start..start + len)
    }

    /// The arguments from the command's name on.
    pub fn iter(&self) -> Iter<'a> {
        Iter { source: self.source, ranges: self.ranges.iter() }
    }

    /// The same request without its first `count` arguments.
    pub fn skip(&self, count: usize) -> Request<'a> {
        Request { source: self.source, ranges: self.ranges.get(count..).unwrap_or_default() }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

impl<'a> IntoIterator for &Request<'a> {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The arguments of a [`Request`], one after the other.
#[derive(Clone)]
pub struct Iter<'a> {
    source: &'a [u8],
    ranges: std::slice::Iter<'a, Range>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let &(start, len) = self.ranges.next()?;
        self.source.get(start..start + len)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranges.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Where in a request the parser stopped. Places are relative to the request's first byte.
#[derive(Debug, Default)]
enum At {
    /// Before it.
    #[default]
    Start,
    /// In its first line (`*N` or an inline command), of which so many bytes hold no line end.
    FirstLine { searched: usize },
    /// Before the line `$N` of the next argument, which starts at `line`.
    Length { left: u32, line: usize, searched: usize },
    /// In an argument of `len` bytes that starts at `start`.
    Argument { left: u32, start: usize, len: usize },
}

/// The parser of one connection. It holds nothing but its place, until a request arrives in parts: then also the ranges
/// of the arguments that are there already.
///
/// ```
/// use regent::resp::{Args, Parser, RequestLimits, Step};
/// let limits = RequestLimits { bulk_bytes_max: 512 << 20, authenticated: true };
/// let (mut parser, mut args) = (Parser::default(), Args::default());
/// let buf = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*1\r\n$4\r\nQU";
/// assert_eq!(parser.next(buf, &limits, &mut args), Ok(Step::Command { consumed: 20 }));
/// assert_eq!(args.request(buf).get(1), Some(&b"k"[..]));
/// assert_eq!(parser.next(&buf[20..], &limits, &mut args), Ok(Step::Command { consumed: 6 }));
/// assert_eq!(parser.next(&buf[26..], &limits, &mut args), Ok(Step::Incomplete));
/// // Keep buf[26..]; later, with more bytes behind it:
/// let buf = b"*1\r\n$4\r\nQUIT\r\n";
/// assert_eq!(parser.next(buf, &limits, &mut args), Ok(Step::Command { consumed: 14 }));
/// assert_eq!(args.request(buf).get(0), Some(&b"QUIT"[..]));
/// ```
#[derive(Debug, Default)]
pub struct Parser {
    at: At,
    /// The arguments found so far of a request that is not whole; without capacity otherwise.
    found: Vec<Range>,
}

/// A line that holds a count.
enum Line {
    Partial,
    /// The count, `None` if it is no number, and the place behind the line.
    Whole {
        count: Option<i64>,
        end: usize,
    },
}

impl Parser {
    /// Looks at the request that starts at `buf[0]`.
    ///
    /// After `Incomplete`, call it again with the same bytes (in this buffer or another) and more behind them; they are
    /// not looked at again. After `Empty` or `Command`, cut `consumed` bytes off. After an error the connection is to be
    /// closed: the parser must not be used again.
    ///
    /// # Errors
    /// What Redis calls a protocol error.
    #[inline]
    pub fn next(&mut self, buf: &[u8], limits: &RequestLimits, args: &mut Args) -> Result<Step, ProtocolError> {
        match self.at {
            At::Start => {
                args.clear();
                self.first_line(buf, 0, limits, args)
            }
            At::FirstLine { searched } => {
                args.clear();
                self.first_line(buf, searched, limits, args)
            }
            At::Length { left, line, searched } => {
                self.take_up(args);
                self.arguments(buf, left, line, searched, limits, args)
            }
            At::Argument { left, start, len } => {
                let end = start.saturating_add(len).saturating_add(2);
                if buf.len() < end {
                    return Ok(Step::Incomplete);
                }
                self.take_up(args);
                args.ranges.push((start, len));
                self.arguments(buf, left - 1, end, 0, limits, args)
            }
        }
    }

    /// How many bytes are missing at least, if that is known: in the middle of an argument, of which `buffered` bytes of
    /// the request are there. Zero otherwise. A caller may reserve so much at once for an argument that is large; the
    /// number was checked against `bulk_bytes_max`.
    pub fn wanted(&self, buffered: usize) -> usize {
        match self.at {
            At::Argument { start, len, .. } => start.saturating_add(len).saturating_add(2).saturating_sub(buffered),
            _ => 0,
        }
    }

    /// How many bytes of a request that is not whole have been read for good: the words in front of the one that lacks.
    pub fn read_bytes(&self) -> usize {
        match self.at {
            At::Start | At::FirstLine { .. } => 0,
            At::Length { line, .. } => line,
            At::Argument { start, .. } => start,
        }
    }

    /// Whether it stands between two requests.
    pub fn is_idle(&self) -> bool {
        matches!(self.at, At::Start)
    }

    /// The memory held for the request that is not whole, bytes.
    pub fn held_bytes(&self) -> usize {
        self.found.capacity() * size_of::<Range>()
    }

    #[cold]
    fn take_up(&mut self, args: &mut Args) {
        args.clear();
        if !self.found.is_empty() {
            args.ranges = std::mem::take(&mut self.found);
        }
    }

    #[cold]
    fn stop(&mut self, at: At, args: &mut Args) -> Result<Step, ProtocolError> {
        self.at = at;
        if !args.ranges.is_empty() {
            self.found = std::mem::take(&mut args.ranges);
        }
        Ok(Step::Incomplete)
    }

    #[inline]
    fn first_line(
        &mut self,
        buf: &[u8],
        searched: usize,
        limits: &RequestLimits,
        args: &mut Args,
    ) -> Result<Step, ProtocolError> {
        match buf.first() {
            Some(b'*') => {}
            Some(_) => return self.inline(buf, searched, args),
            None => return Ok(Step::Incomplete),
        }
        let Line::Whole { count, end } = count_line(buf, 0, searched) else {
            if buf.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::BigMultibulkCount);
            }
            return self.stop(At::FirstLine { searched: buf.len().saturating_sub(1) }, args);
        };
        let count = match count {
            Some(count) if count <= MULTIBULK_MAX => count,
            _ => return Err(ProtocolError::MultibulkLength),
        };
        if count > UNAUTHENTICATED_MULTIBULK_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulk);
        }
        if count <= 0 {
            self.at = At::Start;
            return Ok(Step::Empty { consumed: end });
        }
        self.arguments(buf, count as u32, end, 0, limits, args)
    }

    #[inline]
    fn arguments(
        &mut self,
        buf: &[u8],
        mut left: u32,
        mut line: usize,
        mut searched: usize,
        limits: &RequestLimits,
        args: &mut Args,
    ) -> Result<Step, ProtocolError> {
        while left > 0 {
            let Line::Whole { count, end } = count_line(buf, line, searched) else {
                if buf.len() - line > INLINE_BYTES_MAX {
                    return Err(ProtocolError::BigBulkCount);
                }
                let searched = buf.len().saturating_sub(1).max(line);
                return self.stop(At::Length { left, line, searched }, args);
            };
            searched = 0;
            if buf[line] != b'$' {
                return Err(ProtocolError::ExpectedDollar { got: buf[line] });
            }
            let len = match count {
                Some(len) if len >= 0 && len as u64 <= limits.bulk_bytes_max => len,
                _ => return Err(ProtocolError::BulkLength),
            };
            if len > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
                return Err(ProtocolError::UnauthenticatedBulk);
            }
            let (start, len) = (end, len as usize);
            if buf.len() - start < len.saturating_add(2) {
                return self.stop(At::Argument { left, start, len }, args);
            }
            args.ranges.push((start, len));
            line = start + len + 2;
            left -= 1;
        }
        self.at = At::Start;
        Ok(Step::Command { consumed: line })
    }

    #[cold]
    fn inline(&mut self, buf: &[u8], searched: usize, args: &mut Args) -> Result<Step, ProtocolError> {
        let Some(place) = memchr(b'\n', &buf[searched..]) else {
            if buf.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::BigInline);
            }
            return self.stop(At::FirstLine { searched: buf.len() }, args);
        };
        self.at = At::Start;
        let consumed = searched + place + 1;
        let line = &buf[..consumed - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        args.clear_for_inline();
        inline::split(line, &mut args.unquoted, &mut args.ranges).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        Ok(if args.ranges.is_empty() { Step::Empty { consumed } } else { Step::Command { consumed } })
    }
}

/// Reads the line at `line`: one byte of kind, a count, CR and one more byte. `searched` is a place up to which there is
/// no CR (or a smaller number).
#[inline(always)]
fn count_line(buf: &[u8], line: usize, searched: usize) -> Line {
    // The usual line has a few digits and nothing wrong; all else goes the long way.
    let mut count: u32 = 0;
    if let Some(window) = buf.get(line..line + 8) {
        for (i, &byte) in window.iter().enumerate().skip(1).take(6) {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                count = count * 10 + u32::from(digit);
                continue;
            }
            let leading_zero = window[1] == b'0' && i > 2;
            if byte == b'\r' && i > 1 && !leading_zero {
                return Line::Whole { count: Some(i64::from(count)), end: line + i + 2 };
            }
            break;
        }
    }
    count_line_slow(buf, line, searched)
}

#[cold]
fn count_line_slow(buf: &[u8], line: usize, searched: usize) -> Line {
    let from = searched.clamp(line, buf.len().max(line));
    let Some(place) = buf.get(from..).and_then(|rest| memchr(b'\r', rest)) else { return Line::Partial };
    let cr = from + place;
    if cr + 1 >= buf.len() {
        return Line::Partial;
    }
    Line::Whole { count: buf.get(line + 1..cr).and_then(parse_i64), end: cr + 2 }
}

#[cfg(test)]
mod tests;
