//! Reads that are not stale: one round of ReadIndex serves everybody who came before it began.
//!
//! A caller who arrives while a round is under way waits for the next one: the running one may have taken the leader's
//! word before the caller's question.

use super::group::Inner;
use super::wire::{Ask, PeerResponse};
use openraft::ReadPolicy;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Callers that one round serves at most, and that may wait.
pub(super) const WAITING_MAX: usize = 4096;

/// Nobody can say within the time allowed that what is known here is not stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoQuorum(pub String);

impl std::fmt::Display for NoQuorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no quorum: {}", self.0)
    }
}

impl std::error::Error for NoQuorum {}

pub(super) type Reader = oneshot::Sender<Result<u64, NoQuorum>>;

/// Runs rounds until the group is gone.
pub(super) async fn run(inner: Weak<Inner>, mut readers: mpsc::Receiver<Reader>) {
    let mut round = Vec::new();
    while readers.recv_many(&mut round, WAITING_MAX).await > 0 {
        let Some(inner) = inner.upgrade() else { return };
        let ttl = inner.config.read_timeout;
        let answer = match tokio::time::timeout(ttl, read_index(&inner)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoQuorum(format!("no leader was confirmed within {} ms", ttl.as_millis()))),
        };
        for reader in round.drain(..) {
            let _ = reader.send(answer.clone());
        }
    }
}

/// The index that a read must have applied, from whoever leads; asks again until somebody does.
async fn read_index(inner: &Arc<Inner>) -> Result<u64, NoQuorum> {
    let mut view = inner.view.subscribe();
    loop {
        let raft = inner.raft().map_err(NoQuorum)?;
        match inner.leader_node() {
            Some((leader, _)) if leader == inner.identity().raft_id() => {
                if let Some(index) = local_read_index(&raft).await? {
                    return Ok(index);
                }
            }
            Some((leader, node)) => {
                let ttl = inner.config.election.0;
                if let Ok(PeerResponse::ReadIndex(index)) =
                    inner.links.ask(Some(leader), &node, Ask::ReadIndex, ttl).await
                {
                    return Ok(index);
                }
            }
            None => {}
        }
        let _ = tokio::time::timeout(RETRY, view.changed()).await;
    }
}

/// The pause before the leader is asked again, unless the view changes.
pub(super) const RETRY: Duration = Duration::from_millis(5);

/// The read index where this member leads; `None`: it does not, or not with a quorum behind it just now.
pub(super) async fn local_read_index(raft: &super::types::Raft) -> Result<Option<u64>, NoQuorum> {
    match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(read) => Ok(Some(read.read_log_id().index())),
        Err(openraft::errors::RaftError::APIError(_)) => Ok(None),
        Err(openraft::errors::RaftError::Fatal(why)) => Err(NoQuorum(why.to_string())),
    }
}
