//! The configuration of a node and of a sentinel: redis.conf, sentinel.conf, the command line, and CONFIG.
//!
//! Owns the one declared table of directives and everything that loops over it: loading, CONFIG GET, SET and REWRITE,
//! the line about directives without a meaning here, and the texts of errors. It changes nothing in the process: the
//! caller goes to `dir`, binds ports and takes over what [`Change`] names. It imports `base` only.
//!
//! ```text
//!  command line ─┐                       ┌─> Settings (a typed field for each honoured directive)
//!  redis.conf  ──┼─ load ─> Kind::parse ─┤
//!  stdin       ──┘            ^          └─> kept values (round-trip only)
//!                   CONFIG SET┘                      │
//!  redis.conf <── rewrite <── Kind::lines <──────────┤
//!  CONFIG GET <────────────── Kind::show  <──────────┘
//!  sentinel ... lines ──(three phases)──> SentinelSettings ──> rewrite
//! ```
//!
//! # Invariants
//! 1. Names and aliases are unique, and every name of Redis 7.2 and Valkey 8 is there
//!    (`tests::every_known_name_is_there_once`).
//! 2. Every default reads back from what is shown and from what is written (`tests::every_default_comes_back`), and is
//!    what Redis 7.0 answers but for a declared few (`tests::defaults_are_those_of_redis`).
//! 3. CONFIG SET takes all pairs or none (`live::tests::all_pairs_or_none`).
//! 4. A rewrite changes only lines whose directive changed; a second one changes nothing; what it wrote loads to the
//!    same settings (`rewrite::tests`, `tests::a_sentinel_keeps_the_users_lines`).
//! 5. No text makes it panic (`tests::any_text_loads_or_is_refused`).
//!
//! # Files, in reading order
//! `table` (what a directive is), `honoured` and `kept` (the rows), `types` (fields and values), `kind` (text to value and
//! back), `lines` (quoting), `config` (the whole), `load`, `error`, `live` (GET and SET), `document` and `rewrite`,
//! `sentinel` (its settings) and `statements` (their lines), `title` (the process name).
//!
//! # Why so
//! A setting lives in one place: the typed field if it is honoured, the kept values if not; text is made by the kind
//! alone. One dynamic map for all would have cost a lookup and a conversion on every read by the server; a field for
//! each kept directive would have invited code that reads what means nothing. Directives without a meaning are accepted
//! because files and tools of today name them; a node says at start which of them it was given.
//!
//! Tests: `cargo test --lib config::`.
#![allow(clippy::module_inception)]

mod aclfile;
mod config;
mod document;
mod error;
mod honoured;
mod kept;
mod kind;
mod lines;
mod live;
mod load;
mod rewrite;
mod sentinel;
mod statements;
mod table;
#[cfg(test)]
mod tests;
mod title;
mod types;

pub use config::{Config, Role, Statement};
pub use error::{ConfigError, LineError};
pub use honoured::Settings;
pub use kind::{Form, Kind, bytes_with_unit};
pub use lines::quote;
pub use live::{Change, SetAccess, SetError};
pub use rewrite::RewriteError;
pub use sentinel::{KnownReplica, KnownSentinel, Lookup, MasterConfig, SentinelSettings};
pub use statements::is_executable;
pub use table::{Directive, Field, Flags, all as directives, find};
pub use types::*;
