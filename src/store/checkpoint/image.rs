//! The current checkpoint, read on the storage thread while nothing can change it: what a full copy is made from.

use super::PieceReader;
use super::manifest::{Contents, read_blob, read_page};
use super::pages::{Pages, Table};
use crate::store::error::StoreError;

/// What is done with the image. It runs on the storage thread: checkpoints wait meanwhile.
pub type Visit = Box<dyn FnOnce(Result<Image<'_>, StoreError>) + Send>;

/// The checkpoint that is current.
pub struct Image<'a> {
    pub(super) pages: &'a dyn Pages,
    pub(super) contents: &'a Contents,
}

impl Image<'_> {
    /// All pages as (space, page, bytes), in the order in which they were written; each is checked.
    pub fn pages(&self) -> impl Iterator<Item = Result<(u32, u64, Vec<u8>), StoreError>> + '_ {
        PieceReader::new(self.pages, Table::Pages, &self.contents.pages)
    }

    /// The pages of one space as (page, bytes), by number; each is checked. What else is asked for meanwhile is not held up.
    pub fn pages_of(&self, space: u32) -> impl Iterator<Item = Result<(u64, Vec<u8>), StoreError>> + '_ {
        let pieces = self.contents.pages.range((space, 0)..=(space, u64::MAX));
        pieces.map(|(&id, piece)| Ok((id.1, read_page(self.pages, id, piece)?)))
    }

    /// One page of a space; `None` if the checkpoint has none of that number.
    pub fn page(&self, space: u32, page: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let id = (space, page);
        self.contents.pages.get(&id).map(|piece| read_page(self.pages, id, piece)).transpose()
    }

    /// One blob of a space; `None` if the checkpoint has none of that number.
    pub fn blob(&self, space: u32, blob: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let id = (space, blob);
        self.contents.blobs.get(&id).map(|piece| read_blob(self.pages, id, piece)).transpose()
    }
}
