//! The store: what a node keeps on disk, and what it finds there after any kind of end.
//!
//! Owns the durable log (the replication stream in segment files), the checkpoint (pages at one offset, in sled), and
//! their recovery; the only owner of sled. It is opaque to what a page or the stream holds, imports `base` alone, and
//! leaves time and policy to its caller: its two threads read the clock only to measure their own work.
//!
//! ```text
//!            turn's bytes ──> log/ ────────fdatasync thread────> regent-log/<generation>-<number>.log
//! loop ──────┤                 │ synced to C, then
//!            pages at C ────> checkpoint/ ──storage thread─────> regent-store/ (sled)
//! start:     recover: checkpoint at C ──> pages ──> log from C to E ──> cut the torn tail ──> append at E
//! ```
//! Invariants:
//! 1. What `append` accepted is recovered after a process crash, what `synced` covers after a power cut, and what is
//!    recovered is a prefix of what was appended (`torture::what_was_promised_is_recovered`).
//! 2. A checkpoint becomes current whole or not at all (`checkpoint::tests::a_crash_at_every_step`).
//! 3. Recovery uses only the log generation that the checkpoint names; a generation counts when a checkpoint names it
//!    (`torture::a_new_generation_counts_when_its_checkpoint_is_current`).
//! 4. A torn tail is cut with a message; damage below what was synced is a fault (`log::tests`).
//! 5. A half that is missing is a fault, never an empty start (`torture::missing_halves`).
//!
//! Files in reading order: `medium` (files behind a trait), `error`, `codec` and `history` (records), `log/`,
//! `checkpoint/`, `unfinished` (what a killed sled leaves), `lock`, `recover` (what a start finds), `open_store` (both
//! together), `memory` (the doubles), `doubles` (the same for other folders' tests). `group` stands by itself: the records
//! of a sentinel's Raft group.
//!
//! Why two halves: the log takes each turn with one write and an fsync by policy, and a file loses nothing on `kill -9`;
//! sled took eight times the CPU for the same and lost its last segment. sled changes many pages atomically, which a log
//! cannot.
//!
//! Tests: `cargo test --lib store::`.

mod background;
mod checkpoint;
mod codec;
#[cfg(test)]
mod doubles;
mod error;
pub mod group;
mod history;
mod lock;
mod log;
pub mod medium;
#[cfg(test)]
mod memory;
mod open_store;
mod recover;
#[cfg(test)]
mod torture;
mod unfinished;

pub use background::give_way;
pub use checkpoint::{Checkpoint, CheckpointInfo, Done, Finished, Full, Image, Manifest, Visit, Watchdog, Work};
#[cfg(test)]
pub use doubles::Doubles;
pub use error::{LogError, StoreError};
pub use history::{History, HistoryChange};
pub use log::{Cut, Entry, Log, LogInfo, LogReader, Origin, SyncCost, SyncHandle};
pub use open_store::{Info, State, Store, Wakers};
pub use recover::{Fresh, LOG_DIR, Opened, Options, Recovery, STORE_DIR, open};
