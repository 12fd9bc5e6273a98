//! Reads a checkpoint back in one ordered pass over a table: all rows are read where they stand, and those that the
//! manifest names are put together.

use super::manifest::{PART_BYTES, Piece, PieceId, check, part_key, part_of_key};
use super::pages::{Pages, Rows, Table};
use crate::store::error::StoreError;
use std::collections::BTreeMap;

/// The pages (or blobs) that the manifest names, in the order in which they were written. Rows that it does not name are
/// passed over; one that is named and not there is a fault.
pub struct PieceReader<'a> {
    pages: &'a dyn Pages,
    table: Table,
    what: &'static str,
    rows: Rows<'a>,
    wanted: &'a BTreeMap<PieceId, Piece>,
    found: usize,
    done: bool,
}

impl<'a> PieceReader<'a> {
    pub(in crate::store) fn new(pages: &'a dyn Pages, table: Table, wanted: &'a BTreeMap<PieceId, Piece>) -> Self {
        let what = if table == Table::Blobs { "blob" } else { "page" };
        PieceReader { pages, table, what, rows: pages.scan(table, &[]), wanted, found: 0, done: false }
    }

    fn step(&mut self) -> Result<Option<(u32, u64, Vec<u8>)>, StoreError> {
        for row in self.rows.by_ref() {
            let (key, mut bytes) = row?;
            let Some((id, version, 0)) = part_of_key(&key) else { continue };
            let Some(piece) = self.wanted.get(&id).filter(|piece| piece.version == version) else { continue };
            if piece.parts > 1 {
                bytes.reserve_exact((piece.length as usize).min(piece.parts as usize * PART_BYTES) - bytes.len());
            }
            for part in 1..piece.parts {
                let Some(row) = self.rows.next() else { break };
                let (key, more) = row?;
                if part_of_key(&key) != Some((id, version, part)) {
                    break;
                }
                bytes.extend_from_slice(&more);
            }
            return self.checked(id, piece, bytes).map(Some);
        }
        Ok(None)
    }

    fn checked(&mut self, id: PieceId, piece: &Piece, bytes: Vec<u8>) -> Result<(u32, u64, Vec<u8>), StoreError> {
        check(self.pages, || format!("{} {} of space {}", self.what, id.1, id.0), piece, &bytes)?;
        self.found += 1;
        Ok((id.0, id.1, bytes))
    }

    /// At the end: every piece has been found, or the first that is missing is named.
    fn complete(&self) -> Result<(), StoreError> {
        if self.found == self.wanted.len() {
            return Ok(());
        }
        for (&id, piece) in self.wanted {
            if self.pages.get(self.table, &part_key(id, piece.version, 0))?.is_none() {
                let what = format!("{} {} of space {}", self.what, id.1, id.0);
                return Err(StoreError::Damaged { dir: self.pages.dir().into(), what, why: "it is missing".into() });
            }
        }
        let why = format!("{} rows were read of {}", self.found, self.wanted.len());
        Err(StoreError::Damaged { dir: self.pages.dir().into(), what: "its order".into(), why })
    }
}

impl Iterator for PieceReader<'_> {
    type Item = Result<(u32, u64, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.step().and_then(|piece| match piece {
            Some(piece) => Ok(Some(piece)),
            None => self.complete().map(|()| None),
        });
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
