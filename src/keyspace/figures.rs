//! How values lie in memory, for DEBUG: the tables of databases and large collections, the leaves of large lists.

use super::db::{Db, EntryRef};
use super::entry::Stored;
use super::value::Heap;

/// A table of tables, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFigures {
    /// Sub-tables: the checkpoint's pages.
    pub tables: usize,
    /// Places for elements in all of them.
    pub buckets: usize,
    pub elements: u64,
    /// Elements of the fullest sub-table.
    pub fullest: usize,
}

impl Db {
    /// The tables that find its entries.
    pub fn figures(&self) -> TableFigures {
        let tables = || self.raw_tables().map(|table| &table.entries);
        TableFigures {
            tables: self.pages(),
            buckets: tables().map(hashbrown::HashTable::num_buckets).sum(),
            elements: self.len(),
            fullest: tables().map(hashbrown::HashTable::len).max().unwrap_or(0),
        }
    }
}

impl EntryRef<'_> {
    /// The tables of a large hash, set or sorted set; a small one has none.
    pub fn figures(self) -> Option<TableFigures> {
        match self.stored() {
            Stored::Heap(Heap::Set(map) | Heap::Hash(map)) => Some(map.db.figures()),
            Stored::Heap(Heap::Zset(ranked)) => Some(ranked.map.db.figures()),
            _ => None,
        }
    }

    /// Elements and bytes of each part of a list: of its leaves, or of all in one where it is small.
    pub fn leaves(self) -> Vec<(usize, usize)> {
        match self.stored() {
            Stored::Heap(Heap::List(chain)) => chain.leaves().collect(),
            Stored::Packed { bytes, .. } => vec![(super::packed::count(bytes), bytes.len())],
            _ => Vec::new(),
        }
    }
}
