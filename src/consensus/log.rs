//! The Raft log and vote: all in memory for reading, on the group store for keeping.
//!
//! Reads never touch the disk. The log is short (a snapshot every few thousand entries, then a purge), so a map of it
//! costs little, and a slow disk cannot stall replication or heartbeats. What is written goes to the store's one queue in
//! the order of the calls: `append` returns when the entries can be read and calls back when the disk has them,
//! `save_vote` waits for the disk. `save_committed` and `purge` are lazy: losing them costs a re-application or a few
//! records that stay until the next purge.
//!
//! Keys: `l` + index (u64, big endian), `v` the vote, `c` the committed log id, `p` the last purged log id. The purge
//! marker and the deletions are one batch.

use super::records::{BadRecord, decode, encode};
use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::store::group::{Ack, Change, GroupStore, Records};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use tokio::sync::oneshot;

const ENTRY: u8 = b'l';
const VOTE: &[u8] = b"v";
const COMMITTED: &[u8] = b"c";
const PURGED: &[u8] = b"p";

fn entry_key(index: u64) -> Vec<u8> {
    let mut key = vec![ENTRY];
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn put<T: serde::Serialize>(key: &[u8], value: &T) -> Change {
    Change::Put { key: key.to_vec(), value: encode(value) }
}

/// A change that the disk has when the future ends.
pub(super) async fn write(store: &GroupStore, changes: Vec<Change>) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    let ack: Ack = Box::new(move |how| {
        let _ = tell.send(how);
    });
    store.submit(changes, Some(ack));
    told.await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::BrokenPipe, "the group store was closed")))
}

#[derive(Default)]
struct Held {
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
}

/// The log; clones are the same log, and also its readers.
#[derive(Clone)]
pub(super) struct Log {
    held: Arc<Mutex<Held>>,
    store: GroupStore,
}

impl Log {
    /// Reads what the store held when it was opened.
    pub(super) fn load(store: GroupStore, records: &Records) -> Result<Log, BadRecord> {
        fn one<T: serde::de::DeserializeOwned>(records: &Records, key: &[u8]) -> Result<Option<T>, BadRecord> {
            let value = records.get(key);
            let name = || String::from_utf8_lossy(key).into_owned();
            value.map(|value| decode(value).map_err(|why| BadRecord(format!("record '{}' {why}", name())))).transpose()
        }
        let mut held = Held {
            entries: BTreeMap::new(),
            vote: one(records, VOTE)?,
            committed: one(records, COMMITTED)?,
            purged: one(records, PURGED)?,
        };
        for (key, value) in records.range(vec![ENTRY]..vec![ENTRY + 1]) {
            let entry: Entry = decode(value).map_err(|why| BadRecord(format!("log entry {key:02x?} {why}")))?;
            if *key != entry_key(entry.log_id.index) {
                return Err(BadRecord(format!("log entry {key:02x?} says that it is {}", entry.log_id)));
            }
            held.entries.insert(entry.log_id.index, entry);
        }
        let first = held.entries.keys().next().copied();
        let last = held.entries.keys().next_back().copied();
        if let (Some(first), Some(last)) = (first, last)
            && last - first + 1 != held.entries.len() as u64
        {
            return Err(BadRecord(format!("the log from {first} to {last} has {} entries", held.entries.len())));
        }
        Ok(Log { held: Arc::new(Mutex::new(held)), store })
    }

    /// Whether no entry was ever stored: the group id may still change.
    pub(super) fn is_empty(&self) -> bool {
        let held = self.held.lock();
        held.entries.is_empty() && held.purged.is_none()
    }

    /// Forgets the vote given in a group that never came to be; the changes that make it so. Only while the log is empty
    /// and no Raft runs on it. They belong in the round that names the new group: a member that forgot its vote and stayed
    /// in the old group could vote there twice.
    pub(super) fn forget_vote(&self) -> Vec<Change> {
        debug_assert!(self.is_empty());
        *self.held.lock() = Held::default();
        [VOTE, COMMITTED].map(|key| Change::Delete { key: key.to_vec() }).to_vec()
    }

    /// How many entries are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.lock().entries.len()
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (start, end) = (range.start_bound().cloned(), range.end_bound().cloned());
        // `BTreeMap::range` panics on an empty range; openraft may ask for one.
        let empty = match (start, end) {
            (Bound::Included(a), Bound::Excluded(b)) => a >= b,
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Excluded(a), Bound::Excluded(b) | Bound::Included(b)) => a >= b,
            _ => false,
        };
        if empty {
            return Ok(Vec::new());
        }
        Ok(self.held.lock().entries.range((start, end)).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.held.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let held = self.held.lock();
        let last = held.entries.values().next_back().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: held.purged, last_log_id: last.or(held.purged) })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        write(&self.store, vec![put(VOTE, vote)]).await?;
        self.held.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.held.lock().committed = committed;
        let change = match &committed {
            Some(committed) => put(COMMITTED, committed),
            None => Change::Delete { key: COMMITTED.to_vec() },
        };
        self.store.submit(vec![change], None);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.held.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut changes = Vec::new();
        {
            let mut held = self.held.lock();
            for entry in entries {
                changes.push(put(&entry_key(entry.log_id.index), &entry));
                held.entries.insert(entry.log_id.index, entry);
            }
        }
        self.store.submit(changes, Some(Box::new(move |how| callback.io_completed(how))));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index + 1);
        let gone = self.held.lock().entries.split_off(&from);
        let changes = gone.keys().map(|index| Change::Delete { key: entry_key(*index) }).collect();
        // Not awaited: appends that follow are durable after it, and until then the old tail does no harm.
        self.store.submit(changes, None);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let gone = {
            let mut held = self.held.lock();
            held.purged = held.purged.max(Some(upto));
            let kept = held.entries.split_off(&(upto.index + 1));
            std::mem::replace(&mut held.entries, kept)
        };
        let mut changes = vec![put(PURGED, &upto)];
        changes.extend(gone.into_keys().map(|index| Change::Delete { key: entry_key(index) }));
        self.store.submit(changes, None);
        Ok(())
    }
}
