//! Everything that one sentinel knows locally, and what it says about it: pure, without sockets and clocks.
//!
//! It owns: the instances that are watched and the state of the links to them, INFO, hellos, the other sentinels, the
//! last agreed registry that the runtime handed over, the subscribers and the commands of a sentinel. It decides
//! nothing about failovers: `failover::moves` does, and this folder turns its moves into effects and what happened into
//! its `Seen`.
//!
//! ```text
//! runtime --Event--> Monitor::step --> Effect (open, send, propose, deliver, rewrite, log)
//! client  --words--> Monitor::request --> bytes at once, or a Later that needs the group
//! ```
//!
//! 1. Nothing here waits: what needs the group is a [`Later`], and its answer comes back through `Monitor::step`.
//! 2. A reply is paired with the command that it answers by its place on one connection; a new connection starts with
//!    nothing pending (`links.rs`).
//! 3. Orders leave only after a read-index that began after they were thought of, with the registry unchanged
//!    (`act.rs`).
//! 4. While the log is replayed at a start, a master never goes back behind the epoch that the file names
//!    (`agreed.rs`).
//!
//! 5. Nothing answers OK without doing what it says: what is not here is an unknown command, or is refused by name
//!    (`tests::answers::what_is_not_there_is_refused_by_name`, `every_command_of_the_table_is_known_to_its_handler`).
//! 6. A pause of this process is taken in before anything that waited meanwhile (`Monitor::wake`;
//!    `tests::watching::a_pause_of_this_process_is_noticed_before_anything_is_read`).
//! 7. While a sentinel of another group watches a master, no orders are given for it from here
//!    (`tests::watching::a_sentinel_that_refuses_is_told_of_once_and_a_foreign_one_stops_orders`).
//!
//! Files, in reading order: `event.rs`, `instance.rs`, `peers.rs`, `watched.rs`, `monitor.rs`, `masters.rs`, `links.rs`, `hosts.rs`,
//! `telling.rs`, `agreed.rs`, `act.rs`, `scripts.rs`, `clients.rs`, `table.rs`, `commands.rs`, `client_commands.rs`,
//! `sentinel_commands.rs`, `config_commands.rs`, `periods.rs`, `reports.rs`.
//!
//! Tests: `cargo test --lib monitor::` and `cargo test --test sentinel`.

mod act;
mod agreed;
mod client_commands;
mod clients;
mod commands;
mod config_commands;
mod event;
mod hosts;
mod instance;
mod links;
mod masters;
#[allow(clippy::module_inception)]
mod monitor;
mod peers;
mod periods;
mod reports;
mod scripts;
mod sentinel_commands;
pub mod table;
mod telling;
#[cfg(test)]
mod tests;
mod watched;

pub use clients::{ClientId, Clients};
pub use commands::{Ask, Next};
pub use config_commands::{ANNOUNCE_HOSTNAMES, SENTINEL_USER, peer_pass};
pub use event::{Answered, Effect, Event, Heard, Later, Level, LinkId, LinkKind};
pub use monitor::{Clock, Identity, Monitor};
pub use peers::{PeerAnswer, PeerMessage, Unanswered};
pub use scripts::{Ended, JobId};
