//! Scripts: Lua 5.1 as Redis has it, its sandbox and libraries, and the values between it and the protocol.
//!
//! It owns mlua. It knows no command and no keyspace: what a script calls goes to the [`Host`] that it was lent for its
//! run, as words, and comes back as the bytes of a reply.
//!
//! ```text
//! EVAL ── command::scripting ── Vm::eval ── Lua ── redis.call ── Host::call ── a handler ── reply ── a value of Lua's
//!                                            └── every 100,000 instructions: Host::interrupt (BUSY, SCRIPT KILL)
//! ```
//!
//! Invariants:
//! 1. No script leaves anything behind for another one: the globals are read-only, KEYS and ARGV are made anew
//!    (`tests::globals_are_read_only`).
//! 2. What a script does cannot end the process: no code but text is loaded, conversions have a bound, patterns too
//!    (`tests::hostile_scripts`).
//! 3. A stopped script ends, whatever it catches (`tests::a_stopped_script_cannot_go_on`).
//!
//! Reading order: [`host`](Host), `vm` and its `prelude.lua`, `table` and `api` (`redis.*`, `server.*`), `from_reply`,
//! `to_reply`, `library` (heads of scripts, libraries of functions), then what scripts have beside: `cjson`, `cmsgpack`,
//! `packed` (`struct`), `bits`, `random`; and the `debugger`.
//!
//! Lua 5.1 has no read-only tables, and Redis' own Lua is patched to have them; here the prelude hides the tables behind
//! empty ones. The other way, a patched Lua of our own, would be a fork of a C library to look after.
//!
//! Tests: `cargo test --lib script::`, `cargo test --test scripts`.

mod api;
mod bits;
mod cjson;
mod cmsgpack;
pub mod debugger;
mod from_reply;
mod host;
mod library;
mod number;
mod packed;
mod random;
mod table;
#[cfg(test)]
mod tests;
mod to_reply;
mod vm;
mod words;

pub use api::sha1_hex;
pub use host::{Heard, Host, Verdict};
pub use library::{Flags, Libraries, Library, Loaded, library_head, script_head};
pub use table::Denied;
pub use vm::{Ended, Place, Vm};
