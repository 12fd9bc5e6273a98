//! The one replication stream of a node: its bytes, the history they belong to, and how far they have come (in memory,
//! in the log, on the disk). The feed of a master and the link of a replica append to it, the log is written from it,
//! and all links are fed from it, so that the same bytes stand at the same offsets everywhere.

use super::backlog::Backlog;
use super::history::{History, Standing};
use super::planted::{Bug, planted};
use crate::base::{Offset, ReplId};
use std::ops::RangeInclusive;

/// Where the stream's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// From this node: it is a master.
    Own,
    /// From a master, over a link that is up.
    Linked,
    /// From a master, but the link is down or a copy is on its way.
    Lost,
}

/// Which bytes the log on disk can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// No log (`appendonly no`): a byte is released as soon as the turn ends.
    Off,
    /// The log serves all bytes from `start` on.
    From { start: Offset, synced: Offset },
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    history: History,
    backlog: Backlog,
    /// Bytes before this are in the log (or need not be): only these are fed to replicas and acknowledged.
    released: Offset,
    /// The lowest byte that a link needs from memory, where there is no log to read it from.
    wanted: Option<Offset>,
    durable: Durable,
    upstream: Upstream,
    /// The database that the stream has selected at its end.
    db: u32,
    /// The next own effect must say SELECT first.
    select_due: bool,
}

impl Stream {
    /// A stream that begins, or goes on after recovery, at `at`.
    pub fn new(history: History, at: Offset, backlog_bytes: u64) -> Self {
        Self::over(history, Backlog::new(backlog_bytes, at))
    }

    pub(super) fn over(history: History, mut backlog: Backlog) -> Self {
        let released = backlog.end();
        backlog.keep_from(Some(released));
        Stream {
            history,
            backlog,
            released,
            wanted: None,
            durable: Durable::Off,
            upstream: Upstream::Own,
            db: 0,
            select_due: true,
        }
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// `CONFIG SET repl-backlog-size`.
    pub fn resize_backlog(&mut self, bytes: u64) {
        self.backlog.resize(bytes);
    }

    /// `master_repl_offset`: the end of what this node holds in memory.
    pub fn end(&self) -> Offset {
        self.backlog.end()
    }

    /// The end of what may be shown to others; never beyond [`Stream::end`].
    pub fn released(&self) -> Offset {
        self.released
    }

    pub fn upstream(&self) -> Upstream {
        self.upstream
    }

    pub(super) fn set_upstream(&mut self, upstream: Upstream) {
        self.upstream = upstream;
    }

    pub fn durable(&self) -> Durable {
        self.durable
    }

    /// The log's state: after an append, a sync, a segment dropped, `appendonly` switched.
    pub fn set_durable(&mut self, durable: Durable) {
        self.durable = durable;
    }

    /// The last offset synced to disk, for `FACK` and WAITAOF.
    pub fn synced(&self) -> Option<Offset> {
        match self.durable {
            Durable::Off => None,
            Durable::From { synced, .. } => Some(synced.min(self.released)),
        }
    }

    /// The offsets that can be served, from memory or from the log, up to what is released.
    pub fn held(&self) -> RangeInclusive<Offset> {
        let start = match self.durable {
            Durable::From { start, .. } => start.min(self.backlog.start()),
            Durable::Off => self.backlog.start(),
        };
        start..=self.released
    }

    /// The database selected in the stream; `None`: say SELECT first.
    pub fn selected(&self) -> Option<u32> {
        (!self.select_due).then_some(self.db)
    }

    /// The database in which the stream goes on where nobody says SELECT: a master that continues us need not.
    pub fn db(&self) -> u32 {
        self.db
    }

    pub fn set_selected(&mut self, db: Option<u32>) {
        self.select_due = db.is_none();
        self.db = db.unwrap_or(self.db);
    }

    /// Takes the lazily chosen id before the first own byte after a restart as master. `true`: the history changed, and
    /// the change goes into the log before that byte.
    pub fn own(&mut self, fresh: ReplId) -> bool {
        let taken = self.history.own(fresh, self.backlog.end());
        if taken {
            self.select_due = true;
        }
        taken
    }

    /// Is [`Stream::own`] due before anything is appended?
    pub fn must_own(&self) -> bool {
        self.upstream == Upstream::Own && self.history.standing() == Standing::Resumed
    }

    /// Appends whole units: of this node's effects, or received from its master.
    ///
    /// # Panics
    /// If the history is only recovered: bytes under its id may exist elsewhere, so ours would fork it.
    pub fn append(&mut self, bytes: &[u8]) {
        assert!(self.history.standing() != Standing::Resumed, "a recovered history is appended to before own()");
        self.history.began();
        self.backlog.append(bytes);
    }

    /// Appends bytes of the recovered history that a replica still had: the tail lost in a power cut.
    pub fn append_recovered(&mut self, bytes: &[u8]) {
        assert!(self.history.standing() == Standing::Resumed, "only a recovered history has a lost tail");
        self.backlog.append(bytes);
    }

    /// The log holds all bytes before `upto` (or there is no log and the turn has ended).
    pub fn release(&mut self, upto: Offset) {
        assert!(self.released <= upto && upto <= self.backlog.end(), "released {upto}, end {}", self.backlog.end());
        self.released = upto;
        self.keep();
    }

    /// Links need the bytes from `wanted` on from memory.
    pub(super) fn want(&mut self, wanted: Option<Offset>) {
        self.wanted = wanted;
        self.keep();
    }

    /// Frees what the backlog holds beyond what is not yet in the log.
    pub(super) fn free_backlog(&mut self) {
        if self.released == self.backlog.end() {
            self.backlog.reset(self.released);
        }
    }

    fn keep(&mut self) {
        self.backlog.keep_from(Some(self.wanted.map_or(self.released, |wanted| wanted.min(self.released))));
    }

    fn stand_at(&mut self, at: Offset) {
        self.backlog.reset(at);
        self.released = at;
        self.wanted = None;
        self.keep();
    }

    /// The node becomes a master of its own: what follows is under `fresh`.
    pub(super) fn shift(&mut self, fresh: ReplId) {
        if !planted(Bug::PromotedWithoutId) {
            self.history.shift(fresh, self.backlog.end());
        }
        self.select_due = true;
        self.upstream = Upstream::Own;
    }

    /// What follows is under `fresh`, whoever it comes from (`DEBUG CHANGE-REPL-ID`).
    pub fn change_id(&mut self, fresh: ReplId) {
        self.history.shift(fresh, self.backlog.end());
        self.select_due = true;
    }

    /// The master continues us, under `id`; `left`: where it left the id that we asked for.
    pub(super) fn adopt(&mut self, id: ReplId, left: Option<Offset>) -> bool {
        let end = self.backlog.end();
        self.history.adopt(id, left.map_or(end, |left| left.max(end)))
    }

    /// A full copy of history `id` at `at` took the place of everything.
    pub(super) fn replace(&mut self, id: ReplId, at: Offset) {
        self.history.replace(id);
        self.stand_at(at);
        self.select_due = true;
    }

    /// Another data set takes the place of what the stream has told: what follows belongs to a history of its own.
    pub fn begin_anew(&mut self, id: ReplId) {
        self.replace(id, self.backlog.end());
    }

    /// Nothing is left that could be continued.
    pub(super) fn blank(&mut self, fresh: ReplId) {
        self.history = History::blank(fresh);
        self.stand_at(self.backlog.end());
        self.select_due = true;
    }

    /// The node went back to `to` of history `id`; `selected` is the database of the stream there. `false`, and nothing
    /// done, if the history does not allow it.
    pub fn rewind(&mut self, id: ReplId, to: Offset, selected: Option<u32>) -> bool {
        let back = to <= self.backlog.end() && self.history.rewind(id, to);
        if back {
            self.stand_at(to);
            self.set_selected(selected);
        }
        back
    }
}
