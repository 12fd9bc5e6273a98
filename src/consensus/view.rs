//! What a member knows of its group at one moment, published on a watch.

use super::types::{PeerNode, RaftId, TypeConfig};
use crate::base::GroupId;
use openraft::RaftMetrics;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Whether Raft runs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// In no group yet.
    Unfounded,
    Running,
    /// It was shut down, or its disk failed; the text says which.
    Stopped(String),
}

/// What one member knows. The leader and the term may have changed since; the members are those of the last committed
/// membership entry that this member knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub status: Status,
    /// This member.
    pub raft_id: RaftId,
    pub group: Option<GroupId>,
    pub leader: Option<RaftId>,
    pub term: u64,
    pub voters: BTreeMap<RaftId, PeerNode>,
    pub learners: BTreeMap<RaftId, PeerNode>,
    /// The index of the last entry that this member's machine has applied.
    pub last_applied: Option<u64>,
}

impl View {
    pub(super) fn new(raft_id: RaftId) -> View {
        View {
            status: Status::Unfounded,
            raft_id,
            group: None,
            leader: None,
            term: 0,
            voters: BTreeMap::new(),
            learners: BTreeMap::new(),
            last_applied: None,
        }
    }

    /// Whether this member leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.raft_id)
    }

    fn take(&mut self, metrics: &RaftMetrics<TypeConfig>, applied: Option<u64>) -> bool {
        let before = self.clone();
        let members = &metrics.committed_membership_config;
        let voters: Vec<RaftId> = members.voter_ids().collect();
        let (voting, learning) =
            members.nodes().map(|(id, node)| (*id, node.clone())).partition(|(id, _)| voters.contains(id));
        self.leader = metrics.current_leader;
        self.term = metrics.current_term;
        self.voters = voting;
        self.learners = learning;
        self.last_applied = applied;
        if let Err(why) = &metrics.running_state {
            self.leader = None;
            self.status = Status::Stopped(format!("the group's Raft has ended: {why}"));
        }
        *self != before
    }
}

/// Keeps the view up to date as long as one Raft runs.
pub(super) async fn follow(
    mut metrics: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    mut applied: watch::Receiver<Option<u64>>,
    view: watch::Sender<View>,
) {
    loop {
        let index = *applied.borrow_and_update();
        let now = metrics.borrow_watched().clone();
        view.send_if_modified(|view| view.take(&now, index));
        if now.running_state.is_err() {
            return;
        }
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { return },
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}
