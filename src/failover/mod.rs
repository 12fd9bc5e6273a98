//! The core of the sentinels: what one believes, what the group agreed, and what is to be done next.
//!
//! It owns the rules of failover and nothing else: no sockets, no tasks, no clock, no luck (time and random numbers are
//! arguments), no Raft and no disk. It imports `base` alone. The sentinel's runtime feeds it with what it sees and
//! carries out what it asks for; the Raft group orders its entries.
//!
//! ```text
//!  replies, INFO ──> observation, facts ──> Seen ──┐                 ┌──> Order, Ask ──> nodes (obey)
//!  opinions of others ────────────────────────────>├── moves ──Move──┤
//!  log of the group ──> Registry::apply ──> Registry┘                 └──> Propose ──> log of the group
//!                              └──> Events (+switch-master, ...)
//!  hellos, letters ──> founding ──> letters, Found, Join
//! ```
//!
//! # A failover
//! Opinions (SDOWN) do not travel through the log: each sentinel pushes its own to all others at every change and once a
//! second. The steward (see [`moves()`]) counts those renewed within five seconds; with a quorum it asks the candidates
//! for live offsets, and commits `Picked` with the witnesses inside, which the registry checks. Then a read-index, the
//! order, the node's own word, and `Promoted`: lookups and events change there. So from ODOWN to the order there is one
//! commit and two round trips. The alternative, opinions as entries of the log, puts a commit for each opinion before
//! the pick, writes to the disk at every hiccup of a network, and makes them no fresher: freshness needs a clock, and
//! the registry has none.
//!
//! # Invariants
//! 1. S1: (epoch, address) of a master is one sequence; the group's epoch never resets. `sim::raft`, `sim::oracle`,
//!    `registry::tests::monitor_is_idempotent_and_refuses_another_address`.
//! 2. S2: one promotion an epoch, ordered only after its pick is committed; nodes obey upwards only.
//!    `sim::oracle`, `obey::tests::a_node_obeys_upwards_only`.
//! 3. S3: the switch is the commit of `Promoted`. `registry::tests::a_failover_is_two_entries_and_each_counts_once`.
//! 4. A pick rests on quorum distinct voters that observe the master, of their present boot.
//!    `registry::tests::evidence_is_quorum_distinct_voters_of_their_present_boot`.
//! 5. Only a node of the same lineage is promoted. `candidate::tests::a_stranger_with_a_bigger_offset_is_not_promoted`.
//! 6. A sentinel's own pause is not held against a node.
//!    `observation::tests::its_own_pause_is_not_held_against_the_instance`.
//! 7. One founding, where the views meet; promises are durable before they are told. `founding::tests`, `sim`.
//! 8. Once faults stop, every node comes to its agreed role. `sim::worlds_stay_safe_and_heal`.
//!
//! Each of these is broken on purpose by `plant`, and `sim::planted_bugs_are_noticed` must see it.
//!
//! Files in reading order: [names](self), `entry`, `registry`, `codec`, [`observation`], [`facts`], [`seen`],
//! `candidate`, `moves`, `duties`, `obey`, [`founding`], [`hello`], `plant`, `sim`.
//!
//! Tests: `cargo test --lib failover::`; more worlds with `REGENT_SEEDS=20000`.

mod candidate;
mod codec;
mod duties;
mod entry;
pub mod facts;
pub mod founding;
pub mod hello;
mod moves;
mod names;
mod obey;
pub mod observation;
mod plant;
mod registry;
pub mod seen;

pub use candidate::{ASK_PATIENCE_MS, Candidate, Choice, LIVE_MS, choose, ranked};
pub use codec::{CodecError, VERSION, decode, encode};
pub use entry::{Applied, Entry, Event, Reason, Setting, Settings, Stale, Witness};
pub use moves::{Alarm, Change, LOOK_MS, Move, SILENT_MS, is_stuck, may_force, moves};
pub use names::{Addr, BootId, GroupId, MemberId};
pub use obey::{Obedience, Obeyed, Order, Refusal};
pub use registry::{EPOCH_JUMP_MAX, Master, Member, Phase, Pick, Promotion, Registry, Replica, Standing};
pub use seen::{Answer, MasterSeen, Me, NodeSeen, Opinion, RaftView, Read, Seen, Sent};
#[cfg(test)]
mod sim;
