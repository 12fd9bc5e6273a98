//! Changes of the membership, on the leader: each is idempotent, and none makes a voter of a member that is not there.

use super::types::{PeerNode, Raft, TypeConfig};
use super::wire::MemberChange;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A learner may become a voter when it is at most this many entries behind the leader's log.
const BEHIND_MAX: u64 = 64;

/// Why the membership was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberError {
    /// No leader took it in the time allowed; nothing was changed.
    NoLeader,
    /// A leader took it and its word was lost. Ask again: a change that is already so does nothing.
    Unknown,
    /// It is not allowed: no such member, a member still catching up, the last voter.
    Refused(String),
    /// There is no Raft here.
    Stopped(String),
}

impl fmt::Display for MemberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberError::NoLeader => f.write_str("no quorum: no leader took the change"),
            MemberError::Unknown => f.write_str("it is not known whether the membership changed"),
            MemberError::Refused(why) | MemberError::Stopped(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for MemberError {}

pub(super) enum Change {
    Done(u64),
    /// Not the leader, or another change is under way: nothing was done.
    NotNow,
    Unknown,
    Refused(String),
}

type Answer = Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

fn outcome(answer: Answer) -> Change {
    match answer {
        Ok(done) => Change::Done(done.log_id.index),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Change::NotNow,
        Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
        ))) => Change::NotNow,
        Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(why))) => Change::Refused(why.to_string()),
        Err(_) => Change::Unknown,
    }
}

pub(super) async fn change(raft: &Raft, change: &MemberChange) -> Change {
    let metrics = raft.metrics().borrow_watched().clone();
    if metrics.current_leader != Some(metrics.id) {
        return Change::NotNow;
    }
    let now = &metrics.membership_config;
    let settled = now == &metrics.committed_membership_config && now.get_joint_config().len() == 1;
    let index = now.log_id().map_or(0, |id| id.index);
    let voters: BTreeSet<_> = now.voter_ids().collect();
    let node_of = |id| now.get_node(id);
    if !settled {
        return Change::NotNow;
    }
    let set_node = |id, node: &PeerNode| {
        raft.change_membership(ChangeMembers::SetNodes(BTreeMap::from([(id, node.clone())])), true)
    };
    match change {
        MemberChange::AddLearner { id, node } | MemberChange::SetNode { id, node } if node_of(id) == Some(node) => {
            Change::Done(index)
        }
        MemberChange::AddLearner { id, node } if node_of(id).is_some() => outcome(set_node(*id, node).await),
        MemberChange::AddLearner { id, node } => outcome(raft.add_learner(*id, node.clone(), false).await),
        MemberChange::SetNode { id, .. } if node_of(id).is_none() => {
            Change::Refused(format!("member {id:x} is not in the group"))
        }
        MemberChange::SetNode { id, node } => outcome(set_node(*id, node).await),
        MemberChange::SetVoters(wanted) if *wanted == voters => Change::Done(index),
        MemberChange::SetVoters(wanted) => {
            let last = metrics.last_log_index.unwrap_or(0);
            for id in wanted.difference(&voters) {
                if node_of(id).is_none() {
                    return Change::Refused(format!("member {id:x} is not in the group"));
                }
                let matched = metrics.replication.as_ref().and_then(|all| all.get(id).copied().flatten());
                if matched.is_none_or(|log_id| log_id.index + BEHIND_MAX < last) {
                    return Change::Refused(format!("member {id:x} has not caught up yet"));
                }
            }
            outcome(raft.change_membership(wanted.clone(), true).await)
        }
        MemberChange::Remove(id) if node_of(id).is_none() => Change::Done(index),
        MemberChange::Remove(id) => {
            let ids = BTreeSet::from([*id]);
            let change = match voters.contains(id) {
                true => ChangeMembers::RemoveVoters(ids),
                false => ChangeMembers::RemoveNodes(ids),
            };
            outcome(raft.change_membership(change, false).await)
        }
    }
}
