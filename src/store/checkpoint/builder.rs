//! The steps of a checkpoint, in the storage thread's hands: pages under a new version, the manifest, the switch, the
//! sweep. Every step leaves either the former checkpoint or the new one whole.
//!
//! ```text
//! begin ─ rounds: [unswept mark] pages, barrier ─ ... ─ commit: manifest, barrier ─ log synced to C ─ current, barrier
//!       └ abort or fault: what this version wrote is removed        then: what the old one alone named is removed
//! ```

use super::manifest::{
    Contents, Current, Loaded, Manifest, PART_BYTES, Piece, PieceId, UNSWEPT, chunk_key, current_row, load,
    manifest_rows, part_key, part_of_key, piece,
};
use super::pages::{Op, Pages, Table, free_closed};
use crate::store::error::StoreError;
use crate::store::log::SyncHandle;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One round: so many bytes are put in one batch, then flushed and synced.
const ROUND_BYTES: usize = 4 * 1024 * 1024;
/// Keys removed in one round.
const ROUND_REMOVALS: usize = 4096;

/// Opens the database, again after it failed.
pub type Opener = Box<dyn Fn() -> Result<Arc<dyn Pages>, StoreError> + Send>;

/// A page or a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A page.
    Page(PieceId),
    /// A blob.
    Blob(PieceId),
}

impl Place {
    fn table(self) -> Table {
        match self {
            Place::Page(_) => Table::Pages,
            Place::Blob(_) => Table::Blobs,
        }
    }

    fn key(self, version: u64, part: u32) -> Vec<u8> {
        let (Place::Page(id) | Place::Blob(id)) = self;
        part_key(id, version, part)
    }

    fn of(self, contents: &mut Contents) -> (&mut BTreeMap<PieceId, Piece>, PieceId) {
        match self {
            Place::Page(id) => (&mut contents.pages, id),
            Place::Blob(id) => (&mut contents.blobs, id),
        }
    }
}

/// What a checkpoint has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of pages and blobs written.
    pub bytes: u64,
    /// How many of them.
    pub pieces: u64,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
}

pub struct Builder {
    opener: Opener,
    pages: Option<Arc<dyn Pages>>,
    current: Option<Current>,
    contents: Contents,
    /// The highest version that may have left rows behind.
    used: u64,
    unswept: bool,
    building: Option<Building>,
    /// Rows that no current checkpoint names.
    garbage: Vec<(Table, Vec<u8>)>,
}

struct Building {
    version: u64,
    contents: Contents,
    /// Rows that only the current checkpoint names.
    garbage: Vec<(Table, Vec<u8>)>,
    round: [Vec<Op>; 2],
    round_bytes: usize,
    work: Work,
}

impl Builder {
    /// A builder over an open database and the checkpoint found in it.
    pub fn new(opener: Opener, pages: Arc<dyn Pages>, loaded: Option<&Loaded>) -> Result<Self, StoreError> {
        let mut builder = Builder {
            opener,
            pages: None,
            current: None,
            contents: Contents::default(),
            used: 0,
            unswept: false,
            building: None,
            garbage: Vec::new(),
        };
        builder.adopt(pages, loaded)?;
        Ok(builder)
    }

    fn adopt(&mut self, pages: Arc<dyn Pages>, loaded: Option<&Loaded>) -> Result<(), StoreError> {
        let mark = pages.get(Table::Meta, UNSWEPT)?;
        let marked = mark.as_deref().and_then(|mark| mark.try_into().ok()).map_or(0, u64::from_be_bytes);
        self.current = loaded.map(|loaded| loaded.current.clone());
        self.contents = loaded.map(|loaded| loaded.contents.clone()).unwrap_or_default();
        self.used = self.used.max(marked).max(self.current.as_ref().map_or(0, |current| current.version));
        self.unswept = mark.is_some();
        self.pages = Some(pages);
        Ok(())
    }

    /// The database, opened anew if it failed.
    fn open(&mut self) -> Result<Arc<dyn Pages>, StoreError> {
        if let Some(pages) = &self.pages {
            return Ok(pages.clone());
        }
        let pages = (self.opener)()?;
        let loaded = load(&*pages)?;
        self.adopt(pages.clone(), loaded.as_ref())?;
        Ok(pages)
    }

    /// Shows the current checkpoint.
    pub fn visit(&mut self, visit: super::Visit) {
        match self.open() {
            Ok(pages) => visit(Ok(super::Image { pages: &*pages, contents: &self.contents })),
            Err(error) => visit(Err(error)),
        }
    }

    /// Forgets a database that failed: what it holds is read again before the next checkpoint.
    pub fn fault(&mut self) {
        self.pages = None;
        self.building = None;
        self.garbage.clear();
    }

    /// Closes the database until it is wanted again: sled's memory is its own, grows with what it has written (200 MB
    /// and more, whatever its cache is set to), and goes only with it.
    pub fn rest(&mut self) {
        if self.building.is_none() && self.garbage.is_empty() {
            self.pages = None;
            self.contents = Contents::default();
            free_closed();
        }
    }

    /// Whether a checkpoint is being written.
    pub fn building(&self) -> bool {
        self.building.is_some()
    }

    /// Begins a checkpoint; an unfinished one is given up.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        self.abort();
        self.open()?;
        if self.unswept {
            self.sweep_all()?;
        }
        let version = self.used + 1;
        self.used = version;
        self.building = Some(Building {
            version,
            contents: self.contents.clone(),
            garbage: Vec::new(),
            round: [Vec::new(), Vec::new()],
            round_bytes: 0,
            work: Work::default(),
        });
        Ok(())
    }

    /// Begins a checkpoint that holds nothing of the current one: another keyspace has taken its place, whose numbers of
    /// spaces, pages and blobs have nothing to do with those.
    pub fn begin_anew(&mut self) -> Result<(), StoreError> {
        self.begin()?;
        let Some(building) = &mut self.building else { return Err(StoreError::Aborted) };
        let Contents { pages, blobs } = std::mem::take(&mut building.contents);
        let places = pages.into_iter().map(|(id, old)| (Place::Page(id), old));
        for (place, old) in places.chain(blobs.into_iter().map(|(id, old)| (Place::Blob(id), old))) {
            building.discard(place, Some(old), 0);
        }
        Ok(())
    }

    /// Puts a page or blob.
    pub fn put(&mut self, place: Place, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(building) = &mut self.building else { return Err(StoreError::Aborted) };
        let new = piece(bytes, building.version);
        let (pieces, id) = place.of(&mut building.contents);
        let old = pieces.insert(id, new);
        building.discard(place, old, new.parts);
        for part in 0..new.parts {
            let from = part as usize * PART_BYTES;
            let bytes = bytes[from..bytes.len().min(from + PART_BYTES)].to_vec();
            building.push(place.table(), Op::Put(place.key(new.version, part), bytes));
        }
        building.work.bytes += bytes.len() as u64;
        building.work.pieces += 1;
        if building.round_bytes >= ROUND_BYTES {
            self.round()?;
        }
        Ok(())
    }

    /// Drops a page or blob.
    pub fn drop_place(&mut self, place: Place) -> Result<(), StoreError> {
        let Some(building) = &mut self.building else { return Err(StoreError::Aborted) };
        let (pieces, id) = place.of(&mut building.contents);
        let old = pieces.remove(&id);
        building.discard(place, old, 0);
        Ok(())
    }

    /// Drops all pages and blobs of a space.
    pub fn drop_space(&mut self, space: u32) -> Result<(), StoreError> {
        let Some(building) = &mut self.building else { return Err(StoreError::Aborted) };
        for make in [Place::Page as fn(PieceId) -> Place, Place::Blob] {
            let (pieces, _) = make((space, 0)).of(&mut building.contents);
            let gone: Vec<PieceId> = pieces.range((space, 0)..=(space, u64::MAX)).map(|(id, _)| *id).collect();
            for id in gone {
                let (pieces, _) = make(id).of(&mut building.contents);
                let old = pieces.remove(&id);
                building.discard(make(id), old, 0);
            }
        }
        Ok(())
    }

    /// Writes what is gathered: one batch a table, flush, sync.
    fn round(&mut self) -> Result<(), StoreError> {
        let pages = self.open()?;
        let Some(building) = &mut self.building else { return Err(StoreError::Aborted) };
        if !self.unswept {
            let mark = Op::Put(UNSWEPT.to_vec(), building.version.to_be_bytes().to_vec());
            pages.apply(Table::Meta, vec![mark])?;
            self.unswept = true;
        }
        building.round_bytes = 0;
        for (ops, table) in building.round.iter_mut().zip([Table::Pages, Table::Blobs]) {
            if !ops.is_empty() {
                pages.apply(table, std::mem::take(ops))?;
            }
        }
        pages.barrier()
    }

    /// Makes the checkpoint current. `sync`: the log whose bytes up to C must be on disk first.
    pub fn commit(&mut self, manifest: &Manifest, sync: Option<&SyncHandle>) -> Result<Work, StoreError> {
        self.round()?;
        let pages = self.open()?;
        let Some(building) = &mut self.building else { return Err(StoreError::Aborted) };
        let (rows, current) = manifest_rows(building.version, manifest, &building.contents);
        building.work.manifest_bytes = current.length;
        let work = building.work;
        for ops in in_rounds(rows, ROUND_BYTES / PART_BYTES) {
            pages.apply(Table::Manifest, ops)?;
            pages.barrier()?;
        }
        if let Some(sync) = sync {
            sync.wait(manifest.offset)?;
        }
        pages.apply(Table::Meta, vec![current_row(&current)])?;
        pages.barrier()?;
        pages.set_witness(current.version);
        let mut done = self.building.take().expect("it was there a moment ago");
        if let Some(old) = &self.current {
            done.garbage.extend((0..old.chunks).map(|chunk| (Table::Manifest, chunk_key(old.version, chunk))));
        }
        self.contents = done.contents;
        self.current = Some(current);
        self.garbage = done.garbage;
        Ok(work)
    }

    /// Gives up the checkpoint being written. Its rows are garbage: the mark stands, and the next `begin` removes them.
    pub fn abort(&mut self) {
        self.building = None;
    }

    /// Removes the rows that only the former checkpoint named, and with them the mark.
    pub fn sweep(&mut self) -> Result<(), StoreError> {
        let garbage = std::mem::take(&mut self.garbage);
        let pages = self.open()?;
        for table in [Table::Manifest, Table::Pages, Table::Blobs] {
            let keys = garbage.iter().filter(|row| row.0 == table).map(|row| Op::Remove(row.1.clone()));
            for ops in in_rounds(keys, ROUND_REMOVALS) {
                pages.apply(table, ops)?;
                pages.barrier()?;
            }
        }
        pages.apply(Table::Meta, vec![Op::Remove(UNSWEPT.to_vec())])?;
        pages.barrier()?;
        self.unswept = false;
        Ok(())
    }

    /// Looks at every row and removes those that the current checkpoint does not name: after a crash or an abort.
    fn sweep_all(&mut self) -> Result<(), StoreError> {
        let pages = self.open()?;
        let named = |piece: Option<&Piece>, version: u64, part: u32| {
            piece.is_some_and(|piece| piece.version == version && part < piece.parts)
        };
        for (table, pieces) in [(Table::Pages, &self.contents.pages), (Table::Blobs, &self.contents.blobs)] {
            for row in pages.scan(table, &[]) {
                let key = row?.0;
                let part = part_of_key(&key);
                if !part.is_some_and(|(id, version, part)| named(pieces.get(&id), version, part)) {
                    self.garbage.push((table, key));
                }
            }
        }
        let version = self.current.as_ref().map(|current| current.version.to_be_bytes());
        for row in pages.scan(Table::Manifest, &[]) {
            let key = row?.0;
            if !version.is_some_and(|version| key.starts_with(&version)) {
                self.garbage.push((Table::Manifest, key));
            }
        }
        self.sweep()
    }

    /// Bytes on the disk, and of the current checkpoint.
    pub fn sizes(&self) -> (u64, u64) {
        (self.pages.as_ref().map_or(0, |pages| pages.disk_bytes()), self.contents.bytes())
    }
}

impl Building {
    fn push(&mut self, table: Table, op: Op) {
        self.round_bytes += match &op {
            Op::Put(key, value) => key.len() + value.len(),
            Op::Remove(key) => key.len(),
        };
        self.round[usize::from(table == Table::Blobs)].push(op);
    }

    /// What an old piece leaves: rows of an earlier version go after the switch, surplus rows of this one now.
    fn discard(&mut self, place: Place, old: Option<Piece>, parts: u32) {
        let Some(old) = old else { return };
        if old.version == self.version {
            for part in parts..old.parts {
                self.push(place.table(), Op::Remove(place.key(old.version, part)));
            }
        } else {
            self.garbage.extend((0..old.parts).map(|part| (place.table(), place.key(old.version, part))));
        }
    }
}

fn in_rounds(ops: impl IntoIterator<Item = Op>, most: usize) -> impl Iterator<Item = Vec<Op>> {
    let mut ops = ops.into_iter();
    std::iter::from_fn(move || {
        let round: Vec<Op> = ops.by_ref().take(most).collect();
        (!round.is_empty()).then_some(round)
    })
}
