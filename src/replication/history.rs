//! Which history a node's offsets belong to: its replication id, the former ids with the offsets where they ended, and
//! whether a PSYNC request may continue. Redis keeps one former id (`master_replid2`); keeping more lets a replica that
//! was away for several failovers still resume in part.

use super::planted::{Bug, planted};
use crate::base::{Offset, ReplId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// The most former ids kept; the oldest is forgotten first.
pub const FORMER_MAX: usize = 16;

/// An id that was left behind: its bytes are ours up to `end`, and whatever others wrote under it after that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    pub id: ReplId,
    /// The last offset at which `id` and the present history are the same (`second_repl_offset` of Redis minus one).
    pub end: Offset,
}

/// What the node may do under its present id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// A fresh id and nothing under it: no master can continue this, so a replica asks for a full copy at once.
    Blank,
    /// The id is this run's, or the one of the master that it follows.
    Current,
    /// Recovered from disk. Others may hold bytes beyond ours under this id (a power cut), so nothing may be appended
    /// under it; a node that restarts as master takes a new id before its first byte or its first PSYNC
    /// ([`History::own`]), and until then can still resume in part under another master.
    Resumed,
}

/// The identity of the bytes of a node's replication stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    id: ReplId,
    /// Oldest first; the last is `master_replid2`. Ends never decrease.
    former: Vec<Former>,
    standing: Standing,
}

/// The answer to a request to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The asker has the bytes before `from` and gets those after it.
    Continue { from: Offset },
    /// The asker needs a full copy (or to go back to where the two agree: [`History::meet`]).
    Full { reason: Reason },
}

/// Why a request cannot continue; displays as Redis logs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The asker said `?`: it has nothing to continue.
    Requested { replica: String },
    /// The id asked for is none of ours.
    Unknown { asked: String, id: ReplId, second: ReplId },
    /// The id asked for ended before the offset asked for.
    Ended { asked_next: i64, second_repl_offset: i64 },
    /// The bytes are no longer here.
    Lacking { replica: String, asked_next: i64 },
    /// The asker is ahead of us under our own id.
    Ahead { replica: String, asked_next: i64 },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Requested { replica } => write!(f, "Full resync requested by replica {replica}"),
            Reason::Unknown { asked, id, second } => write!(
                f,
                "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{asked}', my \
                 replication IDs are '{id}' and '{second}')"
            ),
            Reason::Ended { asked_next, second_repl_offset } => write!(
                f,
                "Partial resynchronization not accepted: Requested offset for second ID was {asked_next}, but I can \
                 reply up to {second_repl_offset}"
            ),
            Reason::Lacking { replica, asked_next } | Reason::Ahead { replica, asked_next } => write!(
                f,
                "Unable to partial resync with replica {replica} for lack of backlog (Replica request was: \
                 {asked_next})."
            ),
        }
    }
}

impl History {
    /// A new history of a node that has nothing yet.
    pub fn blank(id: ReplId) -> Self {
        History { id, former: Vec::new(), standing: Standing::Blank }
    }

    /// The history read back from disk at start-up: `former` oldest first.
    pub fn recovered(id: ReplId, former: Vec<Former>) -> Self {
        History { id, former, standing: Standing::Resumed }
    }

    /// The same history, as one that was read back from disk.
    pub fn resumed(mut self) -> Self {
        self.standing = Standing::Resumed;
        self
    }

    /// `master_replid`.
    pub fn id(&self) -> ReplId {
        self.id
    }

    /// The id left last, with its end.
    pub fn second(&self) -> Option<Former> {
        self.former.last().copied()
    }

    /// `master_replid2`: forty zeros where there is none.
    pub fn second_id(&self) -> ReplId {
        self.second().map_or(ReplId::NONE, |former| former.id)
    }

    /// `second_repl_offset`: the first offset (counted from 1) that `master_replid2` no longer names, or -1.
    pub fn second_repl_offset(&self) -> i64 {
        self.second().map_or(-1, |former| former.end.0 as i64 + 1)
    }

    /// All former ids, oldest first.
    pub fn former(&self) -> &[Former] {
        &self.former
    }

    /// Where a former id ended.
    pub fn left(&self, id: ReplId) -> Option<Offset> {
        let former = self.former.iter().rev().find(|former| former.id == id).filter(|_| id != self.id)?;
        Some(former.end)
    }

    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Is `id` ours up to and including the byte before `at`? `end` is where our stream ends.
    pub fn covers(&self, id: ReplId, at: Offset, end: Offset) -> bool {
        self.common(id, at, end) == Some(at)
    }

    /// The last offset up to which one that has the bytes before `at` of history `id` agrees with us, if we know `id`.
    pub fn common(&self, id: ReplId, at: Offset, end: Offset) -> Option<Offset> {
        if id == self.id {
            return Some(at.min(end));
        }
        // An id may stand twice (left, taken again, left): the later end is the one that counts.
        let former = self.former.iter().rev().find(|former| former.id == id)?;
        Some(if planted(Bug::EndlessFormer) { at } else { at.min(former.end) })
    }

    /// The last point at which another lineage agrees with us: it holds the bytes before `at` of `id`, and before that
    /// those of its `former` ids (oldest first). The id is one that both know.
    pub fn meet(&self, id: ReplId, at: Offset, former: &[Former], end: Offset) -> Option<Former> {
        let theirs = std::iter::once(Former { id, end: at }).chain(former.iter().rev().copied());
        let common = |theirs: Former| self.common(theirs.id, theirs.end.min(at), end);
        theirs.filter_map(|theirs| Some(Former { id: theirs.id, end: common(theirs)? })).next()
    }

    /// Judges `PSYNC asked next` by the rules of Redis' master.
    ///
    /// `asked` is the id as it was sent; `next` the offset as PSYNC counts it (the first byte wanted, from 1);
    /// `held` the offsets from which we can serve, up to our end; `replica` how log lines call the asker.
    pub fn continues(&self, asked: &[u8], next: i64, held: &RangeInclusive<Offset>, replica: &str) -> Verdict {
        let full = |reason| Verdict::Full { reason };
        if asked.first() == Some(&b'?') {
            return full(Reason::Requested { replica: replica.to_owned() });
        }
        let mine = ReplId::parse(asked).filter(|&id| id == self.id || self.former.iter().any(|former| former.id == id));
        let Some(id) = mine else {
            let asked = String::from_utf8_lossy(asked).into_owned();
            return full(Reason::Unknown { asked, id: self.id, second: self.second_id() });
        };
        let end = *held.end();
        let lacking = || Reason::Lacking { replica: replica.to_owned(), asked_next: next };
        // PSYNC counts from 1; no honest replica asks for byte 0 or less.
        let Some(from) = next.checked_sub(1).and_then(|at| u64::try_from(at).ok()).map(Offset) else {
            return full(lacking());
        };
        let common = self.common(id, from, end);
        if id != self.id && common != Some(from) {
            let ended = common.map_or(-1, |at| at.0 as i64 + 1);
            return full(Reason::Ended { asked_next: next, second_repl_offset: ended });
        }
        if from > end {
            return full(Reason::Ahead { replica: replica.to_owned(), asked_next: next });
        }
        if !held.contains(&from) {
            return full(lacking());
        }
        Verdict::Continue { from }
    }

    /// A new id for what follows `at`: a replica is promoted, or a master takes its own id after a restart.
    pub fn shift(&mut self, new: ReplId, at: Offset) {
        if self.standing != Standing::Blank {
            self.leave(at);
        }
        self.id = new;
        self.standing = Standing::Current;
    }

    /// The lazily taken id of a node that restarted as master: `true` if `new` was taken now, and then the change must
    /// be in the log before the id is shown to anyone.
    pub fn own(&mut self, new: ReplId, at: Offset) -> bool {
        let due = self.standing == Standing::Resumed;
        if planted(Bug::IdKeptAfterRestart) {
            self.standing = Standing::Current;
            return false;
        }
        if due {
            self.shift(new, at);
        }
        due
    }

    /// The first own byte of a blank history: from now on its id names something.
    pub(super) fn began(&mut self) {
        if self.standing == Standing::Blank {
            self.standing = Standing::Current;
        }
    }

    /// The master continued us under the id `new`; `true` if that is another id than before. `at`: where the old one
    /// ended, which may lie ahead of what we hold: the bytes up to there are on their way, and are its own as well.
    pub fn adopt(&mut self, new: ReplId, at: Offset) -> bool {
        self.standing = Standing::Current;
        let changed = new != self.id && !planted(Bug::IdKeptOnContinue);
        if changed {
            self.leave(at + u64::from(planted(Bug::EndTooHigh)));
            self.id = new;
        }
        changed
    }

    /// A full copy was taken: nothing of the past is ours any more.
    pub fn replace(&mut self, new: ReplId) {
        let former = if planted(Bug::FormerKeptOnCopy) { std::mem::take(&mut self.former) } else { Vec::new() };
        *self = History { id: new, former, standing: Standing::Current };
    }

    /// The node went back to `to`, as history `id` (its own or a former one), and has thrown away what it held after
    /// it. `false`, and nothing done, if `id` does not reach that far here. Where former ids ended under `id` is as true
    /// as before, even where that lies ahead now.
    pub fn rewind(&mut self, id: ReplId, to: Offset) -> bool {
        if id != self.id {
            let Some(at) = self.former.iter().rposition(|former| former.id == id && former.end >= to) else {
                return false;
            };
            self.former.truncate(at);
            self.id = id;
        }
        self.standing = Standing::Resumed;
        true
    }

    fn leave(&mut self, at: Offset) {
        if self.former.len() == FORMER_MAX {
            self.former.remove(0);
        }
        // What was still to come under an earlier id will not come any more beyond this point.
        if !planted(Bug::PromisedEndsKept) {
            self.former.iter_mut().for_each(|former| former.end = former.end.min(at));
        }
        self.former.push(Former { id: self.id, end: at });
    }
}
