//! The commands of a node, and the whole state that they work on: [`Server`].
//!
//! It owns what a command *means*: the table ([`Spec`]), the one gate, the handlers (one file per family), the effects
//! that are fed to the log and the replicas. It has no sockets, no tasks, no files and no clock: time is written into
//! [`Server::wall`] and [`Server::mono`] by the runtime, and whatever needs the world outside is an [`Ask`].
//!
//! ```text
//! bytes --session--> Args --Names::find--> Spec --gate::check--> handler(Cx, Args)
//!                                                                  |        |        |
//!                                                              keyspace   reply   Feed --turn--> log, replicas
//!                                                                                 Server::asks --turn--> runtime
//! ```
//!
//! Invariants:
//! 1. Every change goes through [`Cx::changed`] and feeds its effect in the same request
//!    (`tests/scripts`, the `~` lines; `call::tests`).
//! 2. All effects of one request or one EXEC are one unit of the stream (`feed::tests`).
//! 3. A refused command changes nothing and feeds nothing.
//! 4. What comes from the master or the log is applied without gate, clock and expiry, and feeds nothing.
//!
//! Reading order: [`spec`], [`args`], [`cx`], [`gate`], [`call`], [`feed`], [`server`], then a family; [`scripting`] and
//! `running` for scripts, `debugging` for their debugger.
//!
//! Adding a command is one row and one function in a file of `families/`.
//!
//! Tests: `cargo test --lib command::`, `cargo test --test scripts`.

mod access;
pub mod acl;
mod args;
mod ask;
mod awaited;
mod blocked;
mod call;
mod client;
mod client_care;
mod client_eviction;
mod client_line;
mod client_memory;
mod cx;
mod debugging;
pub mod docs;
mod events;
mod eviction;
mod failover;
pub mod families;
pub mod feed;
mod gate;
mod geohash;
mod history;
mod keys_in;
pub mod latency;
mod local_deadlines;
mod names;
mod observers;
mod output_limit;
mod pause;
mod pubsub;
mod refusal;
mod running;
pub mod scripting;
pub mod secrets;
mod server;
mod sketch;
mod slowlog;
pub mod spec;
mod stats;
pub mod stream_transfer;
mod switches;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
mod tracked;
mod tracking;
pub mod transfer;
mod unsent;
mod views;
mod waste;

pub use acl::{Context, Denied, Reason};
pub use args::{Args, OwnedArgs};
pub use ask::{Ask, Migration, Moved, Reload, Save};
pub use awaited::{Awaited, Wait};
pub use client::{Blocked, Client, Closing, Debugs, Kind, Multi, Replies, Slot, Waiter, Watched};
pub use client_care::PEAK_RESET;
pub use client_line::client_line;
use client_line::client_lines;
pub use cx::{Cx, Origin};
pub use events::Class;
pub use eviction::{Eviction, Room};
pub use failover::{Failover, Order};
pub use feed::Feed;
pub use local_deadlines::LocalDeadlines;
pub use names::Names;
pub use output_limit::UNCOUNTED_BYTES;
pub use pause::{Pause, PauseBy};
pub use pubsub::{PubSub, Sort};
pub use refusal::Refusal;
pub use running::Called;
pub use server::{LinkEffects, Loading, LoadingFrom, Parts, Server};
pub use spec::Spec;
pub use stats::{CommandStat, Sampler, SpecKey, Stats};
pub use switches::Switches;
pub use tracked::Who;
pub use tracking::{Mode, Trackers, Tracking};
pub use views::{CpuView, MemoryView, PersistenceView, ProcessView, Rewrite};
pub use waste::{Trash, Waste};

/// What a handler returns: its reply is in the buffer, or the refusal that takes the reply's place.
pub type Outcome = Result<(), Refusal>;
