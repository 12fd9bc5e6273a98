//! The newest bytes of the replication stream, in memory, shared by all links: a queue of fixed blocks, the oldest
//! reused when it falls out. A link holds an offset and no bytes, so a slow one costs nothing. All blocks are there from
//! the start, so that `maxmemory` finds no less room for data with each write that is fed; the system gives the memory
//! when a block is first written.

use crate::base::Offset;
use std::collections::VecDeque;

/// The size of a block; what is kept may exceed the size asked for by less than one block, as in Redis.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// A window `[start, end]` of the stream.
#[derive(Debug)]
pub struct Backlog {
    size: u64,
    block_bytes: usize,
    /// The offset of the first byte of the first block.
    start: Offset,
    end: Offset,
    /// All full but the last.
    blocks: VecDeque<Vec<u8>>,
    /// Empty ones.
    spare: Vec<Vec<u8>>,
    /// Bytes from here on stay whatever the size: not yet in the log, or awaited by a link that has no log to read from.
    keep_from: Option<Offset>,
}

impl Backlog {
    /// An empty backlog at `at` that keeps at least the last `size` bytes (`repl-backlog-size`).
    pub fn new(size: u64, at: Offset) -> Self {
        Self::with_blocks(size, BLOCK_BYTES, at)
    }

    pub(super) fn with_blocks(size: u64, block_bytes: usize, at: Offset) -> Self {
        assert!(block_bytes > 0);
        let (blocks, spare) = (VecDeque::new(), Vec::new());
        let mut backlog = Backlog { size, block_bytes, start: at, end: at, blocks, spare, keep_from: None };
        backlog.reserve();
        backlog
    }

    /// The offset of the oldest byte held.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The offset after the newest byte.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// `repl_backlog_histlen`: the bytes held.
    pub fn held_bytes(&self) -> u64 {
        self.end.bytes_since(self.start)
    }

    /// `repl_backlog_size`.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// `mem_replication_backlog`: bytes of memory taken.
    pub fn memory_bytes(&self) -> usize {
        let lists = self.blocks.capacity() + self.spare.capacity();
        (self.blocks.len() + self.spare.len()) * self.block_bytes + lists * size_of::<Vec<u8>>()
    }

    /// Bytes of memory beyond those of its size: what slow links wait for, or the log.
    pub fn excess_bytes(&self) -> usize {
        (self.blocks.len() + self.spare.len()).saturating_sub(self.blocks_wanted()) * self.block_bytes
    }

    /// A part of a block at either end.
    fn blocks_wanted(&self) -> usize {
        usize::try_from(self.size / self.block_bytes as u64).unwrap_or(usize::MAX - 2) + 2
    }

    /// As many empty blocks as belong to the size.
    fn reserve(&mut self) {
        let wanted = self.blocks_wanted().saturating_sub(self.blocks.len());
        self.spare.resize_with(wanted, || Vec::with_capacity(self.block_bytes));
    }

    pub fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = match self.blocks.back() {
                Some(block) if block.len() < self.block_bytes => self.block_bytes - block.len(),
                _ => {
                    let block = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.block_bytes));
                    self.blocks.push_back(block);
                    self.block_bytes
                }
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.blocks.back_mut().expect("pushed above").extend_from_slice(now);
            self.end += now.len() as u64;
            bytes = later;
        }
        self.trim();
    }

    /// The bytes from `from` on, at most `max` of them, in contiguous pieces; `None` if `from` is not held.
    pub fn slices(&self, from: Offset, max: usize) -> Option<Slices<'_>> {
        if from < self.start || from > self.end {
            return None;
        }
        let skip = from.bytes_since(self.start);
        let block = (skip / self.block_bytes as u64) as usize;
        let at = (skip % self.block_bytes as u64) as usize;
        Some(Slices { backlog: self, block, at, left: max })
    }

    /// A new size (`CONFIG SET repl-backlog-size`), at once.
    pub fn resize(&mut self, size: u64) {
        self.size = size;
        self.trim();
        self.spare.shrink_to_fit();
    }

    /// Holds on to the bytes from `from` on beyond the size, or lets go with `None`.
    pub fn keep_from(&mut self, from: Option<Offset>) {
        self.keep_from = from;
        self.trim();
    }

    /// Forgets all bytes and stands at `at`: another history begins, or memory is given back.
    pub fn reset(&mut self, at: Offset) {
        self.blocks.clear();
        self.reserve();
        (self.start, self.end) = (at, at);
    }

    fn trim(&mut self) {
        let floor = Offset(self.end.0.saturating_sub(self.size)).min(self.keep_from.unwrap_or(Offset(u64::MAX)));
        while self.blocks.len() > 1 && self.start + self.block_bytes as u64 <= floor {
            let mut block = self.blocks.pop_front().expect("more than one");
            self.start += block.len() as u64;
            block.clear();
            self.spare.push(block);
        }
        if self.blocks.len() + self.spare.len() != self.blocks_wanted() {
            self.reserve();
        }
    }
}

/// Contiguous pieces of the stream, in order.
#[derive(Clone, Debug)]
pub struct Slices<'a> {
    backlog: &'a Backlog,
    block: usize,
    at: usize,
    left: usize,
}

impl<'a> Iterator for Slices<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.backlog.blocks.get(self.block)?.get(self.at..)?;
        let piece = &rest[..rest.len().min(self.left)];
        if piece.is_empty() {
            return None;
        }
        self.left -= piece.len();
        (self.block, self.at) = (self.block + 1, 0);
        Some(piece)
    }
}
