//! What was taken out of the keyspace, or of what is known of caches, and takes time to free: the runtime drops it on another
//! thread.

use super::tracked::Tracked;
use crate::keyspace::{Detached, Garbage, OldValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Something to be dropped elsewhere. When that is done it is counted as freed.
pub struct Trash {
    what: Option<What>,
    objects: u64,
    bytes: u64,
    counts: Option<Arc<Counts>>,
}

enum What {
    Entry(#[expect(dead_code, reason = "held to be dropped")] Detached),
    Value(#[expect(dead_code, reason = "held to be dropped")] OldValue),
    Databases(#[expect(dead_code, reason = "held to be dropped")] Garbage),
    Cached(#[expect(dead_code, reason = "held to be dropped")] Tracked),
}

/// What is on its way (`lazyfree_pending_objects`), what has been freed, and the bytes on their way, about.
#[derive(Debug, Default)]
struct Counts {
    pending: AtomicU64,
    freed: AtomicU64,
    bytes: AtomicU64,
}

impl Trash {
    /// A key with its value.
    pub fn entry(entry: Detached) -> Trash {
        Trash::new(1, entry.entry().memory(), What::Entry(entry))
    }

    /// A value that was overwritten.
    pub fn value(value: OldValue) -> Trash {
        Trash::new(1, value.memory(), What::Value(value))
    }

    /// All keys of databases.
    pub fn databases(garbage: Garbage) -> Trash {
        Trash::new(garbage.len(), garbage.memory(), What::Databases(garbage))
    }

    /// Which keys clients may have in caches.
    pub(super) fn cached(keys: Tracked) -> Trash {
        Trash::new(keys.keys() as u64, keys.memory(), What::Cached(keys))
    }

    fn new(objects: u64, bytes: usize, what: What) -> Trash {
        Trash { what: Some(what), objects, bytes: bytes as u64, counts: None }
    }
}

impl Drop for Trash {
    fn drop(&mut self) {
        drop(self.what.take());
        if let Some(counts) = &self.counts {
            counts.pending.fetch_sub(self.objects, Relaxed);
            counts.freed.fetch_add(self.objects, Relaxed);
            counts.bytes.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// All of it, from here until it is freed.
#[derive(Default)]
pub struct Waste {
    list: Vec<Trash>,
    counts: Arc<Counts>,
}

impl Waste {
    /// Adds something.
    pub fn push(&mut self, mut trash: Trash) {
        self.counts.pending.fetch_add(trash.objects, Relaxed);
        self.counts.bytes.fetch_add(trash.bytes, Relaxed);
        trash.counts = Some(self.counts.clone());
        self.list.push(trash);
    }

    /// Whether nothing waits here.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What waits here, to be dropped on another thread.
    pub fn take(&mut self) -> Vec<Trash> {
        std::mem::take(&mut self.list)
    }

    /// It could not be sent.
    pub fn put_back(&mut self, list: Vec<Trash>) {
        self.list = list;
    }

    /// Objects that are not freed yet.
    pub fn pending(&self) -> u64 {
        self.counts.pending.load(Relaxed)
    }

    /// Objects that have been freed.
    pub fn freed(&self) -> u64 {
        self.counts.freed.load(Relaxed)
    }

    /// CONFIG RESETSTAT.
    pub fn reset_freed(&self) {
        self.counts.freed.store(0, Relaxed);
    }

    /// Bytes that are not freed yet, about.
    pub fn pending_bytes(&self) -> u64 {
        self.counts.bytes.load(Relaxed)
    }
}
