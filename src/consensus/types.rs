//! The types that openraft is told to work with: commands and outcomes are opaque bytes, a member is an address.
//!
//! Standard Raft leader ids (one leader a term): with pre-vote they cost nothing, and a term names its leader.

use crate::base::RunId;
use openraft::impls::leader_id_std::LeaderId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The identity of a member: random, made with its store, never reused, never zero. Not the SENTINEL MYID.
pub type RaftId = u64;

/// Where a member listens, and the SENTINEL MYID that it shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerNode {
    /// `host:port` of its ordinary port; only where one dials, never who it is.
    pub addr: String,
    /// Its SENTINEL MYID.
    pub run_id: RunId,
}

impl Default for PeerNode {
    fn default() -> Self {
        PeerNode { addr: String::new(), run_id: RunId::NONE }
    }
}

impl fmt::Display for PeerNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addr)
    }
}

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(pub Arc<[u8]>);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} bytes", self.0.len())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok($name(serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec().into()))
            }
        }
    };
}

opaque! {
    /// What is agreed: bytes that only the [`Machine`](super::Machine) reads.
    Command
}

opaque! {
    /// What applying a command gave: bytes for its proposer.
    Outcome
}

openraft::declare_raft_types!(
    /// The choices made for openraft.
    pub TypeConfig:
        D = Command,
        R = Outcome,
        NodeId = RaftId,
        Node = PeerNode,
        LeaderId = LeaderId<Self::Term, Self::NodeId>,
);

/// openraft's handle over our state machine.
pub(super) type Raft = openraft::Raft<TypeConfig, super::state::State>;
pub(super) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(super) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(super) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(super) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot in memory; cheap to clone.
pub(super) type SnapshotData = Arc<[u8]>;
pub(super) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;
