//! What a start finds on the disk: the checkpoint's pages, then the log behind them; and DEBUG RELOAD, which reads the
//! pages the same way.

use super::allocator;
use super::rdb_file::KeyDelay;
use crate::base::{Millis, Offset, ReplId};
use crate::command::Server;
use crate::command::scripting::Policy;
use crate::command::transfer::Sizes;
use crate::config::Settings;
use crate::keyspace::{self, Keyspace, Loader, Noted};
use crate::replication::{Former, History, Stream};
use crate::store::{self, Entry, Recovery, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Where the manifest of a checkpoint keeps the libraries of functions.
pub const FUNCTIONS: &str = "functions";

/// Loads the libraries that the checkpoint holds.
///
/// # Errors
/// A library that can't be loaded: a start without it would lose what was stored.
pub fn load_functions(recovery: &Recovery, server: &mut Server) -> Result<(), String> {
    let Some(payload) = recovery.manifest().and_then(|manifest| manifest.extra.get(FUNCTIONS)) else { return Ok(()) };
    let loaded = server.restore_libraries(payload, Policy::Flush, false);
    loaded.map_err(|why| format!("the checkpoint's functions can't be loaded: {why}"))
}

/// Where it keeps the deadlines that a replica's own clients set; absent where there are none.
const LOCAL_DEADLINES: &str = "local deadlines";

/// What a checkpoint keeps besides the keyspace.
pub fn beside_keyspace(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let mut extra = BTreeMap::from([(FUNCTIONS.to_string(), server.dump_libraries())]);
    if !server.local_deadlines.is_empty() {
        let rows: Vec<_> = server.local_deadlines.iter().map(|(db, key, deadline)| (db, key, deadline.0)).collect();
        extra.insert(LOCAL_DEADLINES.to_string(), bincode::serialize(&rows).expect("plain data"));
    }
    extra
}

/// Loads the deadlines that a replica's own clients set.
///
/// # Errors
/// What the checkpoint holds is none.
pub fn load_local_deadlines(recovery: &Recovery, server: &mut Server) -> Result<(), String> {
    let stored = recovery.manifest().and_then(|manifest| manifest.extra.get(LOCAL_DEADLINES));
    let rows: Vec<(u32, Vec<u8>, i64)> = match stored {
        Some(bytes) => bincode::deserialize(bytes)
            .map_err(|error| format!("the checkpoint's deadlines of a replica can't be read: {error}"))?,
        None => return Ok(()),
    };
    for (db, key, deadline) in rows {
        server.local_deadlines.note(db, &key, Millis(deadline));
    }
    Ok(())
}

/// How a keyspace is read, and how far that is. Copies share the last two.
#[derive(Clone)]
pub struct Reading {
    /// What is told of keys' uses.
    pub noted: Noted,
    /// What collections count as.
    pub sizes: Sizes,
    /// `key-load-delay`.
    pub delay: KeyDelay,
    /// Bytes that have been read, for whoever waits.
    pub done: Arc<AtomicU64>,
}

impl Reading {
    /// As the settings say.
    pub fn of(settings: &Settings) -> Reading {
        Reading {
            noted: settings.maxmemory_policy.notes(),
            sizes: Sizes::of(settings),
            delay: KeyDelay::of(settings.key_load_delay),
            done: Arc::default(),
        }
    }
}

/// The keyspace that pages and the blobs they name make up. What the database reads into its own memory counts as the
/// store's, what it gives does not.
pub fn read_keyspace(
    manifest: &keyspace::Manifest,
    mut pages: impl Iterator<Item = Result<(u32, u64, Vec<u8>), StoreError>>,
    blob: impl Fn(u32, u64) -> Result<Option<Vec<u8>>, StoreError>,
    mut reading: Reading,
) -> Result<Keyspace, String> {
    let loader = Loader::new(manifest, reading.sizes).map_err(|error| error.to_string())?;
    let mut loader = loader.noting(reading.noted);
    let mut fault: Option<StoreError> = None;
    while let Some(page) = allocator::for_store(|| pages.next()) {
        let (_, _, bytes) = page.map_err(|error| error.to_string())?;
        allocator::from_store(bytes.capacity());
        let loaded = loader.page(&bytes, |space, number| match allocator::for_store(|| blob(space, number)) {
            Ok(bytes) => bytes.inspect(|bytes| allocator::from_store(bytes.capacity())),
            Err(error) => {
                fault = Some(error);
                None
            }
        });
        if let Some(error) = fault.take() {
            return Err(error.to_string());
        }
        reading.done.fetch_add(bytes.len() as u64, Relaxed);
        reading.delay.pass_all(loaded.map_err(|error| error.to_string())?);
    }
    loader.finish().map_err(|error| error.to_string())
}

/// What a start found on the disk, before the log is replayed.
pub struct Found {
    pub keyspace: Keyspace,
    pub stream: Stream,
    pub record: store::History,
}

/// Reads the checkpoint's pages.
pub fn load(recovery: &Recovery, settings: &Settings, seed: [u64; 4], reading: Reading) -> Result<Found, String> {
    let databases = settings.databases.max(1) as usize;
    let origin = recovery.origin();
    let record = recovery.history();
    let mut keyspace = match recovery.manifest() {
        None => Keyspace::new(databases, seed),
        Some(manifest) => {
            let of_keyspace = bincode::deserialize(&manifest.keyspace)
                .map_err(|error| format!("the checkpoint's manifest does not describe a keyspace: {error}"))?;
            read_keyspace(&of_keyspace, recovery.pages(), |space, blob| recovery.blob(space, blob), reading)?
        }
    };
    keyspace.grow_databases(databases);
    let mut stream = Stream::new(from_record(&record), origin.offset, settings.repl_backlog_size);
    stream.set_selected(Some(origin.db));
    Ok(Found { keyspace, stream, record })
}

/// What replaying the log did.
#[derive(Debug)]
pub struct Replayed {
    pub end: Offset,
    pub db: u32,
    pub record: store::History,
    pub bytes: u64,
    pub cut: Option<String>,
}

/// The replay of the log from the checkpoint's offset to its end.
pub struct Replay {
    record: store::History,
    bytes: u64,
    told: u64,
}

impl Replay {
    /// `record` is the history at the checkpoint.
    pub fn new(record: store::History) -> Replay {
        Replay { record, bytes: 0, told: 0 }
    }

    /// Gives records' bytes to `apply` until they are as many as that; whether there are more.
    pub fn slice(
        &mut self,
        recovery: &mut Recovery,
        bytes_max: u64,
        mut apply: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<bool, String> {
        let until = self.bytes.saturating_add(bytes_max);
        while self.bytes < until {
            match recovery.next_entry().map_err(|error| error.to_string())? {
                Some(Entry::Stream { bytes, offset, .. }) => {
                    self.bytes += bytes.len() as u64;
                    let applied = apply(bytes);
                    applied.map_err(|why| format!("the log's record at offset {offset} can't be applied: {why}"))?;
                }
                Some(Entry::History { change, .. }) => self.record = change.history,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Bytes since the last question.
    pub fn take_progress(&mut self) -> u64 {
        let progress = self.bytes - self.told;
        self.told = self.bytes;
        progress
    }

    /// What it did, once there are no more.
    pub fn over(self, recovery: &Recovery) -> Replayed {
        let end = recovery.end().expect("the log was read to its end");
        let cut = recovery.cut().map(ToString::to_string);
        Replayed { end, db: recovery.db(), record: self.record, bytes: self.bytes, cut }
    }
}

/// The recovered stream, standing at the log's end.
pub fn stand(replayed: &Replayed, backlog_bytes: u64) -> Stream {
    let mut stream = Stream::new(from_record(&replayed.record), replayed.end, backlog_bytes);
    stream.set_selected(Some(replayed.db));
    stream
}

/// The stream of a first start.
pub fn first(id: ReplId, backlog_bytes: u64) -> Stream {
    Stream::new(History::blank(id), Offset(0), backlog_bytes)
}

fn from_record(record: &store::History) -> History {
    let former = record.former.iter().map(|&(id, end)| Former { id, end }).collect();
    History::recovered(record.replid, former)
}
