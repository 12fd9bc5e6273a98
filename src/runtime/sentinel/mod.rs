//! The sentinel's edges: sockets to nodes, peers and clients, the group's Raft, the file, the timers.
//!
//! It decides nothing: events go into `monitor::Monitor`, effects come out and are carried out here. All tasks run on
//! one thread and share one [`World`]; nothing of it is borrowed across an await.
//!
//! ```text
//! links (nodes) ──┐                       ┌── links: bytes out
//! peers (wire) ───┤ Event ─> Monitor ─> Effect ── group: propose, read-index, members
//! clients ────────┤                       ├── keeper: founding on disk, sentinel.conf
//! machine (Raft) ─┘                       └── clients: replies, events
//! ```
//!
//! 1. What the group agreed is handed over before the answer of a read-index or of a proposal is (`World::drain`).
//! 2. A founding's promise is on disk before it is told (`keeper.rs` works through effects one after the other).
//! 3. A connection to a peer is used for one request at a time and given up when its answer is not whole
//!    (`peers.rs`).
//!
//! Files in reading order: `world.rs`, `links.rs`, `machine.rs`, `peers.rs`, `keeper.rs`, `clients.rs`, `scripts.rs`, `address.rs`.
//!
//! Tests: `cargo test --test sentinel`.

pub mod address;
pub mod clients;
pub mod keeper;
pub mod links;
mod machine;
pub mod peers;
mod scripts;
mod world;

pub use machine::{Agreement, RegistryMachine};
pub use world::{World, now};
