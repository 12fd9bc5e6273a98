//! One source of commands without a socket: bytes in, requests executed, replies left in the client's buffer.
//!
//! Owns the drive: it cuts what has been read into requests, hands each to the gate, and stops where a client is
//! blocked or is to be closed. [`input`] serves connections; [`StreamReader`] serves the master's stream and the log,
//! in whole units. It reads no socket and knows no command.
//!
//! ```text
//! 64 KiB read buffer ──input──> Parser ──> Server::request ──> Client::out      (in place; only a partial rest is kept)
//! master's bytes ──StreamReader──> Server::apply, unit by unit ──> Stream::relay (N2: the log sees whole units only)
//! ```
//!
//! Invariants:
//! 1. A connection owns memory only for a partial request, and for a while behind one
//!    (`tests::whole_requests_leave_nothing_behind`, `tests::the_room_of_a_partial_request_is_kept_for_a_while`).
//! 2. No request of a blocked or closing client is executed (`tests::a_closing_client_is_not_heard`).
//! 3. The stream's end is always the end of a whole unit (`tests::nothing_of_an_unfinished_unit_is_applied_or_relayed`).
//!
//! Tests: `cargo test --lib session::`.

mod drive;
mod stream;
#[cfg(test)]
mod tests;

pub use drive::{Progress, input};
pub use stream::{StreamError, StreamReader};
