//! The slow log: the requests that took longer than `slowlog-log-slower-than`, newest first.
//!
//! An entry owns what it shows: long requests are cut when it is made, so its size has a bound whatever was sent.

use crate::base::Millis;
use crate::base::limits::{SLOWLOG_WORD_BYTES_MAX, SLOWLOG_WORDS_MAX};
use std::collections::VecDeque;

/// One slow request.
#[derive(Debug)]
pub struct SlowEntry {
    pub id: u64,
    pub time: Millis,
    pub took_us: u64,
    /// The request, cut to its bounds and without secrets.
    pub words: Vec<Vec<u8>>,
    /// Who asked.
    pub addr: String,
    pub name: Vec<u8>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Adds an entry and drops the oldest ones beyond `len_max`.
    pub fn add(&mut self, entry: SlowEntry, len_max: usize) {
        if len_max == 0 {
            return self.clear();
        }
        self.entries.push_front(SlowEntry { id: self.next_id, ..entry });
        self.next_id += 1;
        self.entries.truncate(len_max);
    }

    /// Newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    /// SLOWLOG RESET: the ids go on.
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
    }
}

/// The words of a request as an entry keeps them: not too many, and none too long.
pub fn cut(words: &[&[u8]]) -> Vec<Vec<u8>> {
    let kept = if words.len() > SLOWLOG_WORDS_MAX { SLOWLOG_WORDS_MAX - 1 } else { words.len() };
    let mut cut: Vec<Vec<u8>> = words[..kept].iter().map(|word| shortened(word)).collect();
    if kept < words.len() {
        cut.push(format!("... ({} more arguments)", words.len() - kept).into_bytes());
    }
    cut
}

fn shortened(word: &[u8]) -> Vec<u8> {
    match word.len().checked_sub(SLOWLOG_WORD_BYTES_MAX) {
        None | Some(0) => word.to_vec(),
        Some(more) => [&word[..SLOWLOG_WORD_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
    }
}
