//! What the clients did: every operation with its own mark, what became of it, and where in the stream it stands.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an operation does. Each carries its number, so that it can be told from all others and from its own repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `APPEND log ;number`.
    Append,
    /// `XADD stream * n number`.
    Entry,
    /// `INCR count`.
    Incr,
    /// `MULTI`: two counters of this client, one of all clients, and `APPEND multi ;number`.
    Multi,
    /// `SETRANGE map number x`.
    SetRange,
    /// `SET register number`.
    Set,
    /// `UNLINK register`.
    Unlink,
    /// Keys that expire within a moment; the digest alone judges them.
    Brief,
}

/// What the client knows of an operation that may have taken place. (One that was refused is in no ledger, and in no
/// data either.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Acknowledged,
    /// The connection was lost before the reply came.
    Unknown,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    pub number: u64,
    pub kind: Kind,
    pub fate: Fate,
    /// The node that was asked, by its index.
    pub node: usize,
    /// The node's offset in front of it and behind it, where they were told.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// When it was over, in [`Stamps`].
    pub ended: u64,
}

/// One order for what happens in this process.
#[derive(Debug, Default)]
pub struct Stamps(AtomicU64);

impl Stamps {
    /// The next one.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A node's own tail that was thrown away, as its new master's log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Whose tail it was, by its index.
    pub node: usize,
    /// The last offset that was common.
    pub common: i64,
    pub end: i64,
    /// When the report was found in the log.
    pub found: u64,
}

/// What must have become of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Present,
    /// It lies in a tail that was thrown away.
    Lost,
    Either,
}

impl Op {
    /// Judges by the reports of thrown away tails.
    pub fn expected(&self, tails: &[Tail]) -> Expected {
        let mut expected = match self.fate {
            Fate::Acknowledged => Expected::Present,
            Fate::Unknown => return Expected::Either,
        };
        for tail in tails.iter().filter(|tail| tail.node == self.node && self.ended < tail.found) {
            match (self.from, self.to) {
                (_, Some(to)) if to <= tail.common => {}
                (Some(from), Some(to)) if tail.common <= from && to <= tail.end => return Expected::Lost,
                // Something else stands between the offsets that were told, or one of them was not.
                (Some(from), _) if from < tail.end => expected = Expected::Either,
                (None, _) => expected = Expected::Either,
                _ => {}
            }
        }
        expected
    }
}
