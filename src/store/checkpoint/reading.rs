//! Reads a checkpoint back: one ordered pass over the pages' table, beside the manifest, which is in the same order.

use super::manifest::{Contents, PART_BYTES, Piece, PieceId, check, part_of_key};
use super::pages::{Pages, Rows, Table};
use crate::store::error::StoreError;
use std::collections::btree_map;

/// The pages that the manifest names, in order. Rows that it does not name are passed over.
pub struct PageReader<'a> {
    pages: &'a dyn Pages,
    rows: Rows<'a>,
    wanted: btree_map::Iter<'a, PieceId, Piece>,
    row: Option<(PieceId, u64, u32, Vec<u8>)>,
    failed: bool,
}

impl<'a> PageReader<'a> {
    pub(in crate::store) fn new(pages: &'a dyn Pages, contents: &'a Contents) -> Self {
        let rows = pages.scan(Table::Pages, &[]);
        PageReader { pages, rows, wanted: contents.pages.iter(), row: None, failed: false }
    }

    /// Steps to the next row.
    fn advance(&mut self) -> Result<(), StoreError> {
        self.row = None;
        if let Some(row) = self.rows.next() {
            let (key, value) = row?;
            let (id, version, part) = part_of_key(&key).ok_or_else(|| StoreError::Damaged {
                dir: self.pages.dir().into(),
                what: "a page's key".into(),
                why: format!("{} bytes", key.len()),
            })?;
            self.row = Some((id, version, part, value));
        }
        Ok(())
    }

    fn take(&mut self, id: PieceId, piece: &Piece) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        if piece.parts > 1 {
            bytes.reserve_exact((piece.length as usize).min(piece.parts as usize * PART_BYTES));
        }
        for part in 0..piece.parts {
            let key = (id, piece.version, part);
            if self.row.is_none() {
                self.advance()?;
            }
            while self.row.as_ref().is_some_and(|row| (row.0, row.1, row.2) < key) {
                self.advance()?;
            }
            match self.row.take() {
                Some(row) if (row.0, row.1, row.2) == key => {
                    if bytes.is_empty() {
                        bytes = row.3;
                    } else {
                        bytes.extend_from_slice(&row.3);
                    }
                }
                other => {
                    self.row = other;
                    break;
                }
            }
        }
        check(self.pages, || format!("page {} of space {}", id.1, id.0), piece, &bytes)?;
        Ok(bytes)
    }
}

impl Iterator for PageReader<'_> {
    type Item = Result<(u32, u64, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (&id, piece) = self.wanted.next()?;
        let page = self.take(id, piece);
        self.failed = page.is_err();
        Some(page.map(|bytes| (id.0, id.1, bytes)))
    }
}
