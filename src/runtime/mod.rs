//! Everything that touches the world: tasks, sockets, clocks, threads, signals, luck. The only owner of tokio's tasks.
//!
//! It owns *when* and *where*, never *what*: requests are executed by `session`, replication is decided by its cores,
//! and this folder carries bytes between them, the sockets and the store. All tasks of a node run on one thread and
//! share one [`World`]; nothing of it is borrowed across an await.
//!
//! ```text
//! listener ─> connection ─bytes─> session::input ─> Server ─> turn: log ─ replicas ─ replies ─> connection
//!                 links (PSYNC out and in, copies)     cron (deadlines, expiry)     disk (store's threads)
//! ```
//!
//! Invariants:
//! 1. No reply leaves before the effects it may have seen are in the log (`turn`; the crash tests).
//! 2. Only [`clock`] reads the clocks and only this folder draws random numbers.
//! 3. The loop waits for no disk: appends go into the page cache, fsync and checkpoints have threads.
//!
//! Files in reading order: [`clock`], [`logging`], `world`, `socket`, `tls`, `connection`, `turn`, `asks`, `bystanders`,
//! `cron`, `disk`, [`start`], `recovery`, `reload`, `links/`, `listener`, [`allocator`] (which counts), `freeing`, `gauges` (the figures of INFO), `launch` (both
//! roles' start), `stop`, `process` (title, pid file, signals).
//!
//! Tests: the process tests in `tests/`.

pub mod allocator;
mod asks;
mod bystanders;
pub mod clock;
mod connection;
pub mod cron;
pub mod disk;
mod freeing;
pub mod gauges;
pub mod launch;
pub mod links;
pub mod listener;
pub mod logging;
mod migrate;
pub mod process;
pub mod rdb_file;
pub mod recovery;
mod reload;
pub mod sentinel;
mod socket;
pub mod start;
mod stop;
pub mod tls;
pub mod turn;
mod world;

pub use asks::verbosity;
pub use bystanders::Hearing;
pub use stop::Request as StopRequest;
pub use world::World;

/// Stops the node as SHUTDOWN does.
pub use stop::by_signal as stop_by_signal;

/// Random bytes from the system, as an identity.
pub fn random_id<T>(from: impl FnOnce([u8; 20]) -> T) -> T {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    from(bytes)
}

/// A random seed: of the keyspace's hash, of passwords to be made.
pub fn random_seed() -> [u64; 4] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    std::array::from_fn(|i| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight bytes")))
}
