//! The Raft group of the sentinels, over opaque commands. The only folder that knows openraft.
//!
//! It owns: agreement on a sequence of byte strings ([`Group::propose`]), reads that are never stale
//! ([`Group::linearizable`]), who is in the group and who leads it ([`Group::watch`]), what members say to each other
//! ([`wire`]) and what a member keeps on disk (through `store::group`). It does not know what the commands mean: a
//! [`Machine`] does. It opens no socket: a [`Transport`] and the functions of [`wire`] are its edges. It starts no task
//! but openraft's and two of its own, through openraft's runtime, which end with the group.
//!
//! ```text
//! propose ----> leader: log -> store (fsync) -> quorum -> commit -> Machine::apply -> outcome
//!    \-- follower: over the transport to the leader
//! linearizable -> (batched) read index of the leader, confirmed by a quorum -> wait until applied here
//! ```
//!
//! 1. A command whose proposer got an outcome is applied, in the same place, on every member (test
//!    `commands_outlive_leaders`).
//! 2. A read after `linearizable` never misses what was agreed before it began, on any member; a member that is cut off
//!    says [`NoQuorum`] (test `reads_are_never_stale`).
//! 3. [`ProposeError::Unknown`] is told apart from "certainly not proposed" (test `a_lost_answer_is_unknown`).
//! 4. A vote or an entry that a member answers for is on its disk (`store::group`, and openraft's own storage suite in
//!    `storage_tests.rs`).
//! 5. Who is of another group, or not who was meant, is refused before Raft sees the request (test
//!    `strangers_are_refused`): openraft panics on a snapshot that contradicts committed entries.
//! 6. Bounds: a command [`COMMAND_BYTES_MAX`], a snapshot [`SNAPSHOT_BYTES_MAX`], a frame
//!    [`FRAME_BYTES_MAX`](wire::FRAME_BYTES_MAX).
//!
//! Files, in reading order: `types.rs` (what openraft works with), `records.rs` (bytes on disk and wire), `identity.rs`,
//! `log.rs` and `state.rs` (openraft's storage), `wire.rs`, `network.rs` (openraft's calls over a transport), `view.rs`,
//! `reads.rs`, `members.rs`, `group.rs` (the handle).
//!
//! Why openraft 0.10 (alpha): 0.9 has no pre-vote and no leader transfer, and ties elections for seconds. Why the log is
//! in memory too: see `log.rs`. Why no lease reads: a lease holds only if no clock stops, and a read-index round costs
//! less than a millisecond.
//!
//! Tests: `cargo test --lib consensus::`.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod figures;
mod group;
mod identity;
mod log;
mod members;
mod network;
mod reads;
pub mod records;
mod state;
#[cfg(test)]
mod storage_tests;
#[cfg(test)]
mod tests;
mod types;
mod view;
pub mod wire;

pub use group::{FoundError, Group, PeerHandler, ProposeError};
pub use identity::Identity;
pub use members::MemberError;
pub use network::{Transport, TransportError};
pub use reads::NoQuorum;
pub use state::Machine;
pub use types::{PeerNode, RaftId};
pub use view::{Status, View};
pub use wire::{Ask, MemberChange, PeerRequest, PeerResponse, Refusal};

use std::time::Duration;

/// The longest command: with its log id it fits one value of the store.
pub const COMMAND_BYTES_MAX: usize = 60 * 1024;
/// The largest snapshot of the machine: with its meta it fits one frame.
pub const SNAPSHOT_BYTES_MAX: usize = 15 * 1024 * 1024;
/// Log entries in one request.
const APPEND_ENTRIES_MAX: u64 = 128;

const _: () = assert!(COMMAND_BYTES_MAX + 1024 <= crate::base::limits::SLED_VALUE_BYTES_MAX);
const _: () = assert!(SNAPSHOT_BYTES_MAX + 64 * 1024 < wire::FRAME_BYTES_MAX);
const _: () = assert!((APPEND_ENTRIES_MAX as usize) * (COMMAND_BYTES_MAX + 1024) < wire::FRAME_BYTES_MAX);

/// The group's timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// The leader shows itself this often. At least three times what an fsync takes at its worst.
    pub heartbeat: Duration,
    /// A follower that hears nothing for longer than a time in this range stands for election; the upper end is also how
    /// long a leader that is gone is waited for.
    pub election: (Duration, Duration),
    /// A member gets this long to take a whole snapshot.
    pub install_snapshot: Duration,
    /// How long [`Group::propose`] and changes of the membership may take.
    pub propose_timeout: Duration,
    /// How long [`Group::linearizable`] may take: an election passes in it.
    pub read_timeout: Duration,
    /// Entries applied since the last snapshot that make the next one due.
    pub snapshot_after: u64,
    /// Entries kept behind a snapshot for members that lag a little.
    pub keep_behind: u64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            heartbeat: Duration::from_millis(100),
            election: (Duration::from_millis(300), Duration::from_millis(600)),
            install_snapshot: Duration::from_secs(10),
            propose_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_millis(1500),
            snapshot_after: 5000,
            keep_behind: 1000,
        }
    }
}

impl GroupConfig {
    fn for_openraft(&self) -> Result<openraft::Config, String> {
        let ms = |duration: Duration| duration.as_millis() as u64;
        openraft::Config {
            cluster_name: "sentinels".to_owned(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election.0),
            election_timeout_max: ms(self.election.1),
            install_snapshot_timeout: ms(self.install_snapshot),
            max_payload_entries: APPEND_ENTRIES_MAX,
            max_append_entries: Some(APPEND_ENTRIES_MAX * 8),
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_after),
            max_in_snapshot_log_to_keep: self.keep_behind,
            replication_lag_threshold: self.snapshot_after + self.keep_behind,
            enable_pre_vote: Some(true),
            // A restarted leader asks for votes like anybody else.
            enable_leader_restore: Some(false),
            // A leader that hears no quorum lets the others elect, also where the network fails in one direction only.
            quorum_loss_probe_interval: Some(2 * ms(self.election.1)),
            backoff: "50ms 100ms 200ms ...500ms".to_owned(),
            ..openraft::Config::default()
        }
        .validate()
        .map_err(|why| format!("the group's timing is not possible: {why}"))
    }
}
