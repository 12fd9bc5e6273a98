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
//! Why so: Redis spreads this over globals (`masterhost`, `repl_state`, `cached_master`, flags of each client) and does
//! IO inside the transitions, so that its rules can be tested only with processes and time. Here both ends run in one
//! loop under a seeded network. A `Rc`-counted chunk per link was refused: an offset per link and one chunk in flight
//! costs nothing where a link is slow.

mod backlog;
mod bulk;
mod history;
mod note;
mod planted;
pub mod sink;
pub mod source;
mod stream;
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
pub use unit::{Cut, Units};
