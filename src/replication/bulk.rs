//! Reads the copy that a master sends: `$<length>` or `$EOF:<mark>`, newlines before it that only say "still there",
//! then the payload. Push style: bytes go in as they come, pieces of payload come out without being copied.

use super::note::text;
use crate::base::number::parse_i64;
use std::fmt;

/// The length of the mark of a copy whose size is not known beforehand.
pub const MARK_BYTES: usize = 40;

/// A header longer than this is none.
const HEADER_BYTES_MAX: usize = 1024;

/// How the end of the payload is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Sized { bytes: u64 },
    Marked { mark: [u8; MARK_BYTES] },
}

/// What the bytes brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// The header was read; payload follows (ask again with the rest).
    Header(Extent),
    /// The payload is complete; what was not consumed belongs to the stream.
    Done,
}

/// The master refused, or is no master; displays as Redis logs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkError {
    Aborted(String),
    Protocol(String),
}

impl fmt::Display for BulkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BulkError::Aborted(why) => write!(f, "MASTER aborted replication with an error: {why}"),
            BulkError::Protocol(line) => write!(
                f,
                "Bad protocol from MASTER, the first byte is not '$' (we received '{line}'), are you sure the host and \
                 port are right?"
            ),
        }
    }
}

/// The reader of one copy.
#[derive(Clone, Debug)]
pub struct Bulk {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Header {
        line: Vec<u8>,
    },
    Sized {
        left: u64,
    },
    /// `held` bytes at the end of what came are the first bytes of the mark, and may be payload or the mark.
    Marked {
        mark: [u8; MARK_BYTES],
        held: usize,
    },
    Done,
}

impl Default for Bulk {
    fn default() -> Self {
        Bulk { state: State::Header { line: Vec::new() } }
    }
}

impl Bulk {
    /// Takes bytes off the front of `buf`; pieces of payload go to `payload` in order. Returns how many were taken.
    pub fn feed(&mut self, buf: &[u8], payload: &mut dyn FnMut(&[u8])) -> Result<(usize, Progress), BulkError> {
        match &mut self.state {
            State::Header { line } => {
                let end = memchr::memchr(b'\n', buf).map(|at| at + 1);
                let taken = end.unwrap_or(buf.len());
                line.extend_from_slice(&buf[..taken]);
                if line.len() > HEADER_BYTES_MAX {
                    return Err(BulkError::Protocol(text(&line[..64])));
                }
                if end.is_none() {
                    return Ok((taken, Progress::More));
                }
                let line = std::mem::take(line);
                let line = line.trim_ascii_end();
                if line.is_empty() {
                    return Ok((taken, Progress::More));
                }
                let extent = header(line)?;
                self.state = match extent {
                    Extent::Sized { bytes: 0 } => State::Done,
                    Extent::Sized { bytes } => State::Sized { left: bytes },
                    Extent::Marked { mark } => State::Marked { mark, held: 0 },
                };
                Ok((taken, Progress::Header(extent)))
            }
            State::Sized { left } => {
                let taken = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
                if taken > 0 {
                    payload(&buf[..taken]);
                }
                *left -= taken as u64;
                if *left > 0 {
                    return Ok((taken, Progress::More));
                }
                self.state = State::Done;
                Ok((taken, Progress::Done))
            }
            State::Marked { mark, held } => {
                let (taken, done) = until_mark(mark, held, buf, payload);
                if done {
                    self.state = State::Done;
                }
                Ok((taken, if done { Progress::Done } else { Progress::More }))
            }
            State::Done => Ok((0, Progress::Done)),
        }
    }
}

fn header(line: &[u8]) -> Result<Extent, BulkError> {
    match line {
        [b'-', why @ ..] => Err(BulkError::Aborted(text(why))),
        [b'$', b'E', b'O', b'F', b':', mark @ ..] if mark.len() >= MARK_BYTES => {
            Ok(Extent::Marked { mark: mark[..MARK_BYTES].try_into().expect("as long as the mark") })
        }
        [b'$', digits @ ..] => match parse_i64(digits).and_then(|bytes| u64::try_from(bytes).ok()) {
            Some(bytes) => Ok(Extent::Sized { bytes }),
            None => Err(BulkError::Protocol(text(line))),
        },
        _ => Err(BulkError::Protocol(text(line))),
    }
}

/// Emits payload up to the mark. Returns the bytes taken of `buf` and whether the mark was found.
fn until_mark(mark: &[u8; MARK_BYTES], held: &mut usize, buf: &[u8], payload: &mut dyn FnMut(&[u8])) -> (usize, bool) {
    // A mark that began in an earlier read: look for it in the held bytes with the beginning of this read behind them.
    if *held > 0 {
        let head = &buf[..buf.len().min(MARK_BYTES - 1)];
        let mut seam = [0; 2 * MARK_BYTES];
        seam[..*held].copy_from_slice(&mark[..*held]);
        seam[*held..*held + head.len()].copy_from_slice(head);
        let seam = &seam[..*held + head.len()];
        if let Some(at) = memchr::memmem::find(seam, mark) {
            if at > 0 {
                payload(&seam[..at]);
            }
            return (at + MARK_BYTES - *held, true);
        }
        if buf.len() < MARK_BYTES {
            // All of this read is in the seam, and a mark may still be unfinished: the rest is payload.
            let keep = longest_start(mark, seam);
            if keep < seam.len() {
                payload(&seam[..seam.len() - keep]);
            }
            *held = keep;
            return (buf.len(), false);
        }
        payload(&mark[..*held]);
        *held = 0;
    }
    if let Some(at) = memchr::memmem::find(buf, mark) {
        if at > 0 {
            payload(&buf[..at]);
        }
        return (at + MARK_BYTES, true);
    }
    let keep = longest_start(mark, buf);
    if keep < buf.len() {
        payload(&buf[..buf.len() - keep]);
    }
    *held = keep;
    (buf.len(), false)
}

/// The length of the longest end of `bytes` with which the mark begins (shorter than the mark).
fn longest_start(mark: &[u8; MARK_BYTES], bytes: &[u8]) -> usize {
    (0..MARK_BYTES.min(bytes.len() + 1)).rev().find(|&len| bytes.ends_with(&mark[..len])).unwrap_or(0)
}
