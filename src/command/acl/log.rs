//! ACL LOG: what was denied lately, the newest first. What is alike within a minute is one entry that counts.

use super::check::Reason;
use crate::base::Millis;
use std::collections::VecDeque;

/// Entries that are alike are joined if they come within this time.
const JOINED_WITHIN: Millis = Millis(60_000);

/// So many of the newest entries are compared with a new one.
const COMPARED: usize = 10;

/// What the request was part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Toplevel,
    Multi,
    Lua,
}

impl Context {
    pub fn name(self) -> &'static str {
        match self {
            Context::Toplevel => "toplevel",
            Context::Multi => "multi",
            Context::Lua => "lua",
        }
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    pub count: u64,
    pub reason: Reason,
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    pub username: Vec<u8>,
    /// The client, as CLIENT LIST shows it.
    pub client: String,
    /// Wall clock.
    pub created: Millis,
    pub updated: Millis,
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    made: u64,
}

impl Log {
    /// Adds an entry, or counts it where it is like a recent one. At most `max` are kept.
    pub fn add(&mut self, entry: Entry, max: usize) {
        let alike = |known: &Entry| {
            known.reason == entry.reason
                && known.context == entry.context
                && (entry.updated.0 - known.updated.0).abs() <= JOINED_WITHIN.0
                && known.object == entry.object
                && known.username == entry.username
        };
        let found = self.entries.iter().take(COMPARED).position(alike);
        if let Some(mut known) = found.and_then(|at| self.entries.remove(at)) {
            known.client = entry.client;
            known.updated = entry.updated;
            known.count += 1;
            self.entries.push_front(known);
            return;
        }
        self.entries.push_front(Entry { id: self.made, ..entry });
        self.made += 1;
        self.entries.truncate(max);
    }

    /// The newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// ACL LOG RESET
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
