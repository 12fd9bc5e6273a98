//! The process's allocator: jemalloc behind a count of the bytes that are given out, exact and cheap to read, for
//! `maxmemory` and `used_memory`.
//!
//! Each thread counts for one of three: the loop, whose count is its own and needs no atomics; the thread that frees for
//! the loop; and all others (the store's, sled's, those that read and write files). Their sum is exact. What the others hold
//! is the store's: 20 MB of sled for as long as the process runs, and what a checkpoint takes while it is under way.
//! Evicting keys for it would be wrong, so it is told apart. They free pages that the loop allocated, so these are counted
//! over to them when they are handed over; small things drift all the same (a record freed by the other side), so each
//! checkpoint begins with a new mark.
//!
//! What is counted for an allocation is the size of its class in jemalloc, as Redis counts: what it really takes.
//! jemalloc's own figures were refused: `stats.allocated` takes microseconds to bring up to date and counts what its caches
//! hold; the counters of a thread say nothing of the others.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use tikv_jemallocator::Jemalloc;

/// To be the `#[global_allocator]`.
pub struct Counting;

/// For whom a thread counts. What the freer and a maker of keyspaces count is the loop's, by an atomic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Others,
    Loop,
    Freer,
}

struct Here {
    side: Cell<Side>,
    /// Of the loop.
    bytes: Cell<i64>,
}

thread_local! {
    static HERE: Here = const { Here { side: Cell::new(Side::Others), bytes: Cell::new(0) } };
}

static FREER: AtomicI64 = AtomicI64::new(0);
static OTHERS: AtomicI64 = AtomicI64::new(0);
/// What of it is not the store's.
static MARK: AtomicI64 = AtomicI64::new(0);

/// What the store holds while it has nothing to do: the least of the first marks, since at one of them its database may
/// be open still.
static AT_REST: AtomicI64 = AtomicI64::new(i64::MAX);
static MARKS_LEFT: AtomicI64 = AtomicI64::new(4);

#[inline]
fn count(bytes: i64) {
    HERE.with(|here| match here.side.get() {
        Side::Loop => here.bytes.set(here.bytes.get() + bytes),
        Side::Freer => drop(FREER.fetch_add(bytes, Relaxed)),
        Side::Others => drop(OTHERS.fetch_add(bytes, Relaxed)),
    });
}

/// What an allocation of this size takes: sixteenths up to 128 bytes, then four classes to each doubling.
#[inline]
fn class(size: usize) -> i64 {
    let step = if size <= 128 { 16 } else { size.next_power_of_two() >> 3 };
    (size.next_multiple_of(step)) as i64
}

// SAFETY: all is jemalloc's; beside it numbers are counted, in memory that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(class(layout.size()));
        // SAFETY: the caller's promise is passed on; so below.
        unsafe { Jemalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(class(layout.size()));
        // SAFETY: as above.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-class(layout.size()));
        // SAFETY: as above.
        unsafe { Jemalloc.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(class(size) - class(layout.size()));
        // SAFETY: as above.
        unsafe { Jemalloc.realloc(pointer, layout, size) }
    }
}

/// This thread is the loop. What it has allocated so far stays with the others.
pub fn become_loop() {
    HERE.with(|here| here.side.set(Side::Loop));
}

/// This thread frees for the loop.
pub fn become_freer() {
    HERE.with(|here| here.side.set(Side::Freer));
}

/// What is done here is the store's: it opens its database, and reads from it.
pub fn for_store<R>(work: impl FnOnce() -> R) -> R {
    on(Side::Others, work)
}

/// What is done here, on a thread of the store's, is the loop's: a keyspace is made.
pub fn for_loop<R>(work: impl FnOnce() -> R) -> R {
    on(Side::Freer, work)
}

fn on<R>(side: Side, work: impl FnOnce() -> R) -> R {
    let before = HERE.with(|here| here.side.replace(side));
    let done = work();
    HERE.with(|here| here.side.set(before));
    done
}

/// An allocation of this size goes over to the store, which frees it.
pub fn to_store(size: usize) {
    let bytes = class(size);
    count(-bytes);
    OTHERS.fetch_add(bytes, Relaxed);
}

/// An allocation of this size was the store's, and is the loop's now.
pub fn from_store(size: usize) {
    let bytes = class(size);
    OTHERS.fetch_sub(bytes, Relaxed);
    count(bytes);
}

/// Bytes that the store holds for the moment, apart from the keyspace: its database's, and what is on its way there.
pub fn held_by_store() -> u64 {
    u64::try_from(OTHERS.load(Relaxed) - MARK.load(Relaxed)).unwrap_or(0)
}

/// Bytes in use: all that is allocated, but for what the store holds. Only the loop may ask, as below.
pub fn used() -> u64 {
    let (own, others) = (HERE.with(|here| here.bytes.get()), OTHERS.load(Relaxed));
    u64::try_from(own + FREER.load(Relaxed) + others.min(MARK.load(Relaxed))).unwrap_or(0)
}

/// A checkpoint begins: the store holds what it holds at rest, and what has drifted since the last mark is used. Only the
/// loop calls it.
pub fn mark_store() {
    let others = OTHERS.load(Relaxed);
    if MARKS_LEFT.fetch_sub(1, Relaxed) > 0 {
        AT_REST.fetch_min((others - MARK.load(Relaxed)).max(0), Relaxed);
    }
    MARK.store(others - AT_REST.load(Relaxed), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes_are_those_of_jemalloc() {
        let pairs =
            [(1, 16), (16, 16), (17, 32), (128, 128), (129, 160), (160, 160), (161, 192), (256, 256), (257, 320)];
        for (size, wanted) in pairs {
            assert_eq!(class(size), wanted, "{size}");
        }
        assert_eq!([4096, 4097, 16 * 1024 + 1, 1 << 20].map(class), [4096, 5120, 20 * 1024, 1 << 20]);
    }
}
