//! The words of the stream commands: ids, ranges of ids, how to trim.

use crate::base::{Millis, StreamId};
use crate::command::{Args, Cx, Refusal};
use crate::keyspace::{Keep, NodeLimits, Trim};
use std::ops::RangeInclusive;

fn invalid() -> Refusal {
    Refusal::err("Invalid stream ID specified as stream command argument")
}

/// A full id, or the first one of a millisecond.
pub fn id(word: &[u8]) -> Result<StreamId, Refusal> {
    StreamId::parse(word, 0).ok_or_else(invalid)
}

/// An id where `-` and `+` stand for the least and the greatest.
pub fn any_id(word: &[u8], missing: u64) -> Result<StreamId, Refusal> {
    match word {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        word => StreamId::parse(word, missing).ok_or_else(invalid),
    }
}

/// The lower end of a range; `(` leaves the id itself out.
pub fn start(word: &[u8]) -> Result<StreamId, Refusal> {
    match word {
        [b'(', rest @ ..] if !rest.is_empty() => {
            let id = StreamId::parse(rest, 0).ok_or_else(invalid)?;
            id.next().ok_or_else(|| Refusal::err("invalid start ID for the interval"))
        }
        word => any_id(word, 0),
    }
}

fn end(word: &[u8]) -> Result<StreamId, Refusal> {
    match word {
        [b'(', rest @ ..] if !rest.is_empty() => {
            let id = StreamId::parse(rest, u64::MAX).ok_or_else(invalid)?;
            id.previous().ok_or_else(|| Refusal::err("invalid end ID for the interval"))
        }
        word => any_id(word, u64::MAX),
    }
}

/// A range of ids.
pub fn bounds(first: &[u8], last: &[u8]) -> Result<RangeInclusive<StreamId>, Refusal> {
    Ok(start(first)?..=end(last)?)
}

/// The id that an entry is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `*`
    Any,
    /// `ms-*`
    Within(u64),
    Id(StreamId),
}

impl Asked {
    fn read(word: &[u8]) -> Result<Asked, Refusal> {
        match word.strip_suffix(b"-*") {
            Some(ms) if !ms.contains(&b'-') => Ok(Asked::Within(id(ms)?.ms)),
            _ => Ok(Asked::Id(id(word)?)),
        }
    }

    /// The id behind the last one; `None` where there is none. A given one may be any.
    pub fn next(self, last: StreamId, now: Millis) -> Option<StreamId> {
        match self {
            Asked::Id(id) => Some(id),
            Asked::Within(ms) if ms == last.ms => last.seq.checked_add(1).map(|seq| StreamId { ms, seq }),
            Asked::Within(ms) => Some(StreamId { ms, seq: 0 }),
            Asked::Any => match u64::try_from(now.0).unwrap_or(0) {
                ms if ms > last.ms => Some(StreamId { ms, seq: 0 }),
                _ => last.next(),
            },
        }
    }
}

/// How XADD and XTRIM are to trim.
pub struct Trimming {
    pub trim: Trim,
    /// Where the threshold stands.
    pub at: usize,
}

/// What XADD and XTRIM are told besides.
pub struct Options {
    pub asked: Asked,
    /// Where the id stands (XADD).
    pub id_at: usize,
    pub no_make: bool,
    pub trimming: Option<Trimming>,
    pub nodes: NodeLimits,
}

/// Without LIMIT an approximate trimming takes no more than this, whatever the size of nodes is.
const LIMIT_DEFAULT: i64 = 10_000;
const LIMIT_MAX: i64 = 1_000_000;

impl Options {
    /// Reads the words behind the key.
    pub fn read(cx: &Cx<'_>, args: &Args<'_>, adding: bool) -> Result<Options, Refusal> {
        let settings = &cx.server.config.settings;
        let entries = settings.stream_node_max_entries;
        let nodes = NodeLimits { bytes: settings.stream_node_max_bytes as usize, entries: entries.max(0) as usize };
        let (mut trimming, mut limit, mut no_make, mut asked) = (None, None, false, Asked::Any);
        let is = |at: usize, word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
        let mut at = 2;
        while at < args.len() {
            let more = args.len() - at - 1;
            if adding && args.at(at) == b"*" {
                break;
            } else if more > 0 && (is(at, "maxlen") || is(at, "minid")) {
                if trimming.is_some() {
                    let text = "syntax error, MAXLEN and MINID options at the same time are not compatible";
                    return Err(Refusal::err(text));
                }
                let by_length = is(at, "maxlen");
                let sign = more > 1 && matches!(args.at(at + 1), b"~" | b"=");
                let nodes_only = sign && args.at(at + 1) == b"~";
                at += 1 + usize::from(sign);
                let keep = match by_length {
                    true => match crate::base::number::parse_i64(args.at(at)).ok_or(Refusal::NotInteger)? {
                        ..0 => return Err(Refusal::err("The MAXLEN argument must be >= 0.")),
                        length => Keep::Length(length as u64),
                    },
                    false => Keep::From(id(args.at(at))?),
                };
                trimming = Some(Trimming { trim: Trim { keep, nodes_only, limit: 0 }, at });
            } else if more > 0 && is(at, "limit") {
                at += 1;
                match crate::base::number::parse_i64(args.at(at)).ok_or(Refusal::NotInteger)? {
                    ..0 => return Err(Refusal::err("The LIMIT argument must be >= 0.")),
                    count => limit = Some(count as u64),
                }
            } else if adding && is(at, "nomkstream") {
                no_make = true;
            } else if adding {
                asked = Asked::read(args.at(at))?;
                break;
            } else {
                return Err(Refusal::Syntax);
            }
            at += 1;
        }
        let limited = limit.is_some_and(|limit| limit > 0);
        if limited && trimming.is_none() {
            let text = "syntax error, LIMIT cannot be used without specifying a trimming strategy";
            return Err(Refusal::err(text));
        }
        if !adding && trimming.is_none() {
            return Err(Refusal::err("syntax error, XTRIM must be called with a trimming strategy"));
        }
        // What is obeyed says exactly what was trimmed.
        if !cx.obeys() {
            let approximate = trimming.as_ref().is_some_and(|trimming| trimming.trim.nodes_only);
            if limit.is_some() && !approximate {
                let text = "syntax error, LIMIT cannot be used without the special ~ option";
                return Err(Refusal::err(text));
            }
            if let Some(trimming) = trimming.as_mut().filter(|_| approximate) {
                let usual = match entries.saturating_mul(100) {
                    ..=0 => LIMIT_DEFAULT,
                    usual => usual.min(LIMIT_MAX),
                };
                trimming.trim.limit = limit.unwrap_or(usual as u64);
            }
        }
        Ok(Options { asked, id_at: at, no_make, trimming, nodes })
    }
}
