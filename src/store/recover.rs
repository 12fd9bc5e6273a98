//! What a start finds in the data directory, and what it makes of it: nothing, a whole state, or a named fault.
//!
//! | checkpoint | log of its generation | outcome |
//! |---|---|---|
//! | none | none | [`Opened::Fresh`] |
//! | none | from an empty keyspace on | recovered: all of it is replayed |
//! | none | from anywhere else | fault: the checkpoint is missing |
//! | log on | there | recovered: pages, then the log from C to E |
//! | log on | missing | fault (or the checkpoint alone, on request) |
//! | log off | - | recovered: the checkpoint alone |

use super::checkpoint::builder::{Builder, Opener};
use super::checkpoint::manifest::{Loaded, load, read_blob};
use super::checkpoint::pages::{Pages, Sled, Table};
use super::checkpoint::{Checkpoint, Manifest, PieceReader};
use super::error::{LogError, StoreError};
use super::history::History;
use super::lock::DirLock;
use super::log::{self, Blank, Cut, Entry, Log, OnDisk, Origin, Tail};
use super::medium::{Directory, Medium};
use super::open_store::{Store, Wakers};
use crate::base::Offset;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The log's directory in the data directory.
pub const LOG_DIR: &str = "regent-log";
/// The checkpoint's directory in the data directory.
pub const STORE_DIR: &str = "regent-store";

/// How a store is opened.
pub struct Options {
    /// Whether there shall be a log (`appendonly`).
    pub log: bool,
    /// A segment is closed when it has grown to this, in bytes.
    pub segment_bytes: u64,
    /// sled's cache, in bytes: pages are read once, so it may be small.
    pub cache_bytes: u64,
    /// Bytes that may wait for the storage thread.
    pub queue_bytes: usize,
    /// Use a checkpoint whose log is missing: what was written after it is given up.
    pub trust_checkpoint_alone: bool,
    /// Called from the log's and the storage thread.
    pub wakers: Wakers,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            log: true,
            segment_bytes: 32 * 1024 * 1024,
            cache_bytes: 16 * 1024 * 1024,
            queue_bytes: 16 * 1024 * 1024,
            trust_checkpoint_alone: false,
            wakers: Wakers::default(),
        }
    }
}

/// What was found.
pub enum Opened {
    /// Nothing: a first start.
    Fresh(Box<Fresh>),
    /// A state to load.
    Recovered(Box<Recovery>),
}

/// The parts that a store stands on; tests give doubles.
pub(super) struct Parts {
    pub lock: Option<DirLock>,
    pub medium: Arc<dyn Medium>,
    pub opener: Opener,
    /// Whether the checkpoint's directory was there before it was opened.
    pub store_existed: bool,
    pub threaded: bool,
}

/// Opens the store in `dir` (the `dir` directive), taking its lock.
pub fn open(dir: &Path, options: Options) -> Result<Opened, StoreError> {
    let lock = DirLock::take(dir)?;
    let store_dir = dir.join(STORE_DIR);
    let store_existed = store_dir.is_dir();
    let log_dir = dir.join(LOG_DIR);
    let medium = Directory::open(&log_dir).map_err(|cause| StoreError::io(&log_dir, cause))?;
    let cache_bytes = options.cache_bytes;
    let opener: Opener = Box::new(move || Ok(Arc::new(Sled::open(&store_dir, cache_bytes)?) as Arc<dyn Pages>));
    let parts = Parts { lock: Some(lock), medium: Arc::new(medium), opener, store_existed, threaded: true };
    open_parts(parts, options)
}

pub(super) fn open_parts(parts: Parts, options: Options) -> Result<Opened, StoreError> {
    // The log first: it needs no writing, and a damaged one should not leave a new database behind.
    let disk = log::look(&*parts.medium)?;
    if !parts.store_existed {
        refuse_orphan(&disk, &*parts.medium)?;
    }
    let pages = (parts.opener)().or_else(|error| {
        // The database writes a little when it is opened. On a full disk the log's reserve is what there is for it.
        for files in disk.generations.values() {
            files.segments.iter().for_each(|segment| segment.close());
            files.blanks.iter().for_each(Blank::close);
        }
        (parts.opener)().map_err(|_| error)
    })?;
    let loaded = load(&*pages)?;
    let source = choose(&disk, loaded.as_ref(), &*parts.medium, options.trust_checkpoint_alone)?;
    let newest = disk.generations.keys().last().copied().unwrap_or(0);
    let highest = newest.max(loaded.as_ref().map_or(0, |loaded| loaded.manifest.generation));
    let base = Base { parts, options, pages, loaded, disk, highest };
    Ok(match source {
        None => Opened::Fresh(Box::new(Fresh { base })),
        Some(tail) => Opened::Recovered(Box::new(Recovery { base, tail })),
    })
}

const HINT_STORE: &str = "put the checkpoint's directory back, or move the log away to start empty";
const HINT_LOG: &str =
    "put the log back, or start once with the checkpoint alone, giving up all that was written after it";

/// Without any checkpoint directory, only a log that is whole from an empty keyspace on can stand alone.
fn refuse_orphan(disk: &OnDisk, medium: &dyn Medium) -> Result<(), StoreError> {
    let Some((generation, files)) = disk.generations.last_key_value() else { return Ok(()) };
    let first = files.segments.first().map(|first| first.start);
    if first.is_none_or(|start| start.genesis) && disk.generations.len() == 1 {
        return Ok(()); // or it is damaged, which is told when it is read
    }
    Err(missing_store(*generation, first.map_or(Offset(0), |start| start.offset), medium))
}

fn missing_store(generation: u64, start: Offset, medium: &dyn Medium) -> StoreError {
    let why = format!(
        "the checkpoint ({STORE_DIR}) is missing beside the log {}, whose generation {generation} begins at offset {start}",
        medium.path("").display()
    );
    StoreError::Half { why, hint: HINT_STORE }
}

/// The tail to replay: `None` for a fresh start, `Some(None)` for a checkpoint alone.
fn choose(
    disk: &OnDisk,
    loaded: Option<&Loaded>,
    medium: &dyn Medium,
    alone: bool,
) -> Result<Option<Option<Tail>>, StoreError> {
    let Some(loaded) = loaded else {
        let Some((&generation, files)) = disk.generations.first_key_value() else { return Ok(None) };
        let first = files.segments.first().map(|first| first.start);
        if let Some(start) = first.filter(|start| !start.genesis) {
            return Err(missing_store(generation, start.offset, medium));
        }
        let (from, db) = first.map_or((Offset(0), 0), |start| (start.offset, start.db));
        return Ok(Some(Some(Tail::new(files.clone(), from, db)?)));
    };
    let manifest = &loaded.manifest;
    if !manifest.log {
        return Ok(Some(None));
    }
    match disk.generations.get(&manifest.generation) {
        Some(files) => Ok(Some(Some(Tail::new(files.clone(), manifest.offset, manifest.db)?))),
        None if alone => Ok(Some(None)),
        None => {
            let why = format!(
                "the log of generation {} is missing in {} beside a checkpoint at offset {}",
                manifest.generation,
                medium.path("").display(),
                manifest.offset
            );
            Err(StoreError::Half { why, hint: HINT_LOG })
        }
    }
}

struct Base {
    parts: Parts,
    options: Options,
    pages: Arc<dyn Pages>,
    loaded: Option<Loaded>,
    disk: OnDisk,
    /// The highest generation ever used.
    highest: u64,
}

impl Base {
    /// The files of other generations than `kept`, and of segments never born.
    fn strangers(&self, kept: Option<u64>) -> Vec<String> {
        let others = self.disk.generations.iter().filter(|(generation, _)| Some(**generation) != kept);
        let names = others.flat_map(|(_, files)| files.names());
        names.chain(self.disk.unborn.iter().cloned()).collect()
    }

    fn remove(&self, names: &[String]) -> Result<(), StoreError> {
        let medium = &*self.parts.medium;
        for name in names {
            medium.remove(name).map_err(|cause| LogError::files(medium.path(name), cause))?;
        }
        if !names.is_empty() {
            medium.sync_dir().map_err(|cause| LogError::files(medium.path(""), cause))?;
        }
        Ok(())
    }

    fn into_store(
        self,
        log: Option<Log>,
        retired: Vec<String>,
        builder: Option<Builder>,
        named: Option<Manifest>,
    ) -> Result<Store, StoreError> {
        let Base { parts, options, pages, loaded, highest, .. } = self;
        let builder = match builder {
            Some(builder) => builder,
            None => Builder::new(parts.opener, pages, loaded.as_ref())?,
        };
        let checkpoint = Checkpoint::start(builder, named.clone(), options.queue_bytes, options.wakers.checkpoint())?;
        Ok(Store::new(
            log,
            checkpoint,
            parts.medium,
            retired,
            highest,
            named,
            options.segment_bytes,
            options.wakers,
            parts.threaded,
            parts.lock,
        ))
    }
}

/// A first start.
pub struct Fresh {
    base: Base,
}

impl Fresh {
    /// Starts with an empty keyspace at `origin`. With a log, its first segment is durable when this returns.
    pub fn start(mut self, origin: Origin) -> Result<Store, StoreError> {
        let strangers = self.base.strangers(None);
        self.base.remove(&strangers)?;
        let mut log = None;
        if self.base.options.log {
            self.base.highest += 1;
            let medium = self.base.parts.medium.clone();
            let first = Log::begin(&*medium, self.base.highest, Origin { genesis: true, ..origin })?;
            log = Some(Log::resume(
                medium,
                vec![first],
                origin.db,
                origin.replid,
                self.base.options.segment_bytes,
                self.base.options.wakers.log(),
                self.base.parts.threaded,
            )?);
        }
        self.base.into_store(log, Vec::new(), None, None)
    }
}

/// A state to load: pages and blobs, then the tail, then [`finish`](Recovery::finish).
pub struct Recovery {
    base: Base,
    tail: Option<Tail>,
}

impl Recovery {
    /// The checkpoint; `None` where the log alone tells everything from an empty keyspace on.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.base.loaded.as_ref().map(|loaded| &loaded.manifest)
    }

    /// Where the state begins before the tail: the checkpoint's offset, or the log's first.
    pub fn origin(&self) -> Origin {
        match (&self.base.loaded, &self.tail) {
            (Some(loaded), _) => {
                let Manifest { offset, db, .. } = loaded.manifest;
                Origin { replid: loaded.manifest.history.replid, offset, db, genesis: false }
            }
            (None, _) => {
                let (_, files) = self.base.disk.generations.first_key_value().expect("a genesis log was found");
                let start = files.segments[0].start;
                Origin { replid: start.replid, offset: start.offset, db: start.db, genesis: true }
            }
        }
    }

    /// The history before the tail.
    pub fn history(&self) -> History {
        self.manifest().map_or_else(|| History::new(self.origin().replid), |manifest| manifest.history.clone())
    }

    /// Bytes of pages, blobs and log that are to be read.
    pub fn bytes(&self) -> u64 {
        let contents = self.base.loaded.as_ref().map_or(0, |loaded| loaded.contents.bytes());
        contents + self.tail.as_ref().map_or(0, |tail| tail.bytes())
    }

    /// All pages as (space, page, bytes), in the order in which they were written; each is checked. The disk is read in
    /// one pass.
    pub fn pages(&self) -> impl Iterator<Item = Result<(u32, u64, Vec<u8>), StoreError>> + '_ {
        let contents = self.base.loaded.as_ref().map(|loaded| &loaded.contents);
        let pages = &*self.base.pages;
        contents.map(|contents| PieceReader::new(pages, Table::Pages, &contents.pages)).into_iter().flatten()
    }

    /// One blob of a space; `None` if the checkpoint has none of that number.
    pub fn blob(&self, space: u32, blob: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let id = (space, blob);
        let piece = self.base.loaded.as_ref().and_then(|loaded| loaded.contents.blobs.get(&id));
        piece.map(|piece| read_blob(&*self.base.pages, id, piece)).transpose()
    }

    /// All blobs as (space, blob, bytes), as [`pages`](Self::pages).
    pub fn blobs(&self) -> impl Iterator<Item = Result<(u32, u64, Vec<u8>), StoreError>> + '_ {
        let contents = self.base.loaded.as_ref().map(|loaded| &loaded.contents);
        let pages = &*self.base.pages;
        contents.map(|contents| PieceReader::new(pages, Table::Blobs, &contents.blobs)).into_iter().flatten()
    }

    /// The next entry to replay; `None` at the end of the log.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, StoreError> {
        match &mut self.tail {
            Some(tail) => Ok(tail.next_entry()?),
            None => Ok(None),
        }
    }

    /// Where the recovered state stands; known when [`next_entry`](Self::next_entry) has returned `None`.
    pub fn end(&self) -> Option<Offset> {
        match &self.tail {
            Some(tail) => tail.end(),
            None => Some(self.origin().offset),
        }
    }

    /// The stream's selected database behind what has been replayed.
    pub fn db(&self) -> u32 {
        self.tail.as_ref().map_or_else(|| self.origin().db, |tail| tail.db())
    }

    /// The torn tail that [`finish`](Self::finish) cuts; known at the end of the log, to be told to people.
    pub fn cut(&self) -> Option<&Cut> {
        self.tail.as_ref().and_then(|tail| tail.cut())
    }

    /// The data directory's log, for messages.
    pub fn log_path(&self) -> PathBuf {
        self.base.parts.medium.path("")
    }

    /// Cuts the torn tail and opens the log for appending at `end`, which is where the caller's state stands.
    ///
    /// # Panics
    /// If the tail has not been read to its end, or `end` is not where it ends: the state would not be the log's.
    pub fn finish(mut self, end: Offset) -> Result<Store, StoreError> {
        assert_eq!(self.end(), Some(end), "the state recovered stands where the log ends");
        let db = self.db();
        let history = match self.tail.as_ref().and_then(|tail| tail.last_history()) {
            Some(change) => change.history.clone(),
            None => self.history(),
        };
        let named = self.manifest().cloned();
        let Some(tail) = self.tail.take() else { return self.finish_alone(named, db, history, end) };
        let segments = tail.finish(&*self.base.parts.medium)?;
        let generation = segments[0].header.generation;
        let strangers = self.base.strangers(Some(generation));
        self.base.remove(&strangers)?;
        if !self.base.options.log {
            let retired = segments.iter().map(|segment| segment.name.clone()).collect();
            return self.base.into_store(None, retired, None, named);
        }
        let log = Log::resume(
            self.base.parts.medium.clone(),
            segments,
            db,
            history.replid,
            self.base.options.segment_bytes,
            self.base.options.wakers.log(),
            self.base.parts.threaded,
        )?;
        self.base.into_store(Some(log), Vec::new(), None, named)
    }

    /// A checkpoint without a log. If there shall be one from now on, the same pages are named once more together with a
    /// new generation, so that what is appended is never without a checkpoint that knows of it.
    fn finish_alone(
        mut self,
        named: Option<Manifest>,
        db: u32,
        history: History,
        end: Offset,
    ) -> Result<Store, StoreError> {
        let strangers = self.base.strangers(None);
        self.base.remove(&strangers)?;
        if !self.base.options.log {
            return self.base.into_store(None, Vec::new(), None, named);
        }
        self.base.highest += 1;
        let generation = self.base.highest;
        let medium = self.base.parts.medium.clone();
        let origin = Origin { replid: history.replid, offset: end, db, genesis: false };
        let first = Log::begin(&*medium, generation, origin)?;
        let manifest = named.map(|manifest| Manifest { generation, log: true, ..manifest });
        let manifest = manifest.expect("a state without a log has a checkpoint");
        let opener = std::mem::replace(&mut self.base.parts.opener, Box::new(|| Err(StoreError::Stopped)));
        let mut builder = Builder::new(opener, self.base.pages.clone(), self.base.loaded.as_ref())?;
        builder.begin()?;
        builder.commit(&manifest, None)?;
        builder.sweep()?;
        let log = Log::resume(
            medium,
            vec![first],
            db,
            history.replid,
            self.base.options.segment_bytes,
            self.base.options.wakers.log(),
            self.base.parts.threaded,
        )?;
        self.base.into_store(Some(log), Vec::new(), Some(builder), Some(manifest))
    }
}
