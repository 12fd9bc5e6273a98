//! Replication without IO: the stream of bytes that a node's replicas are fed, the history that it belongs to, and both
//! ends of a link.
//!
//! Does not do: sockets, files, clocks, luck (all arguments or effects), RESP and RDB parsing. Imports only `base`.
//!
//! ```text
//!   own effects ─┐                                ┌─> log on disk ─(release)─┐
//!                ├─> Stream: History + Backlog ───┤                          ├─> Source ─> links to replicas
//!   master ─Sink ┘     (replid, offset)           └─> slices(from, max) ─────┘
//! ```
//!
//! The caller feeds [`source::Event`]s and [`sink::Event`]s with the one [`Stream`] of the node, and does the effects in
//! their order. Once a turn it writes the bytes between `released` and `end` to the log, calls [`Stream::release`], and
//! only then steps `Released` on both: nothing that the log does not have is shown to anyone.
//!
//! # Invariants
//! 1. A node's bytes are a prefix of what was ever written under its (replid, offset), and under each former id up to its
//!    end: no gap, no repeat, no resume across histories that parted (`tests::world`, `check` and `append_own`).
//! 2. Nobody is shown a byte that the log does not have (`Source::check`, `Effect::Send` in `tests::world`), and a
//!    replica acknowledges only whole units that its log has (`tests::world`, `acknowledged`).
//! 3. Nothing is appended under an id that was only recovered (`Stream::append`).
//! 4. A full copy has a reason (`tests::world`, `asked`), and nothing follows a marked copy before its first ACK.
//! 5. Once faults stop, all replicas come to hold what their master holds (`tests::world`, `heal`).
//!
//! `tests::seeds` plants sixteen bugs (`planted`) and asks that every one is noticed.
//!
//! # What is ours beyond Redis
//! A replica of this make says `capa history`, and is told behind `+CONTINUE <replid>` where the id that it asked for
//! ended, even if that lies ahead of what it holds: should one that is still at that id and further on ask it later, it
//! waits for the bytes that are on their way and continues, where it would have had to give a full copy. The replica
//! says `capa former:<replid>:<end>` for each id that it left, and, where it can, `capa rewind` (every other make ignores
//! capabilities that it does not know). So a master of this make knows where the two parted, even after the replica took
//! an id of its own: one that holds nothing of its own resumes in part; one that does is answered
//! `+REWIND <replid> <offset>`, goes back to there by its own means and asks again, or else takes a full copy, and the log
//! and INFO (`last_full_resync`) tell from which offset to which its tail was thrown away. Any former id is honoured up to
//! its end, not only the last. Behind `+FULLRESYNC <replid> <offset>` one that diverged is told after which offset, for its
//! own log.
//!
//! A master that came back from a power cut asks its replicas for the bytes under its id that its disk had not, before it
//! writes or serves anyone (`tail`; `REPLCONF TAIL`). One that asks it for more than it holds is asked in turn; only one
//! that cannot be reached then is taken for diverged, and told so.
//!
//! # Files, in reading order
//! `history` (which ids, up to where), `backlog` (bytes in memory), `stream` (both, and what is released), `source` (the
//! master's side: `event`, the machine, `copies`, `tail`, `report`), `sink` (the replica's side: `event`, the machine,
//! `handshake`), `tail` (what a power cut cost a master), `bulk` (a copy as it comes), `unit` (whole commands and
//! transactions), `note` (log lines), `planted`.
//!
//! # Why so
//! Redis keeps this in globals (`masterhost`, `repl_state`, `cached_master`, flags of each client) and does IO inside the
//! transitions, so its rules can only be tested with processes and time. Here both ends run in one loop over a seeded
//! network. Reference-counted chunks queued per link were refused: an offset per link and one chunk in flight cost
//! nothing where a link is slow. The old SYNC of a master that knows no PSYNC (before 2.8) is served but never asked.
//!
//! Tests: `cargo test --lib replication::`; `SEED=n` replays one world, `UPDATE=1` rewrites the golden scripts.

mod backlog;
mod bulk;
mod history;
mod note;
mod planted;
pub mod sink;
pub mod source;
mod stream;
pub mod tail;
#[cfg(test)]
mod tests;
mod unit;

pub use backlog::{BLOCK_BYTES, Backlog, Slices};
pub use bulk::{Bulk, BulkError, Extent, MARK_BYTES, Progress};
pub use history::{FORMER_MAX, Former, History, Reason, Standing, Verdict};
pub use note::{Level, Note};
pub use sink::{Sink, SinkConfig};
pub use source::{Source, SourceConfig};
pub use stream::{Durable, Stream, Upstream};
pub use tail::Tail;
pub use unit::{Cut, Units};
