//! How openraft reaches the other members: its calls become [`PeerRequest`]s on a [`Transport`].

use super::Identity;
use super::types::{PeerNode, RaftId, Snapshot, SnapshotData, TypeConfig, Vote};
use super::wire::{Ask, PeerRequest, PeerResponse, Refusal};
use futures::future::BoxFuture;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Carries one request to a member and its answer back.
///
/// It connects lazily, opens each connection with [`wire::greet`](super::wire::greet), and uses one that failed, timed
/// out or whose call was dropped for nothing else. A member has a few calls under way at once (heartbeat, log, snapshot,
/// reads): they must not wait for each other.
pub trait Transport: Send + Sync + 'static {
    /// Asks the member at `to.addr`; the answer must be here within `ttl`. The future may be dropped at any point.
    fn call(
        &self,
        to: &PeerNode,
        request: PeerRequest,
        ttl: Duration,
    ) -> impl Future<Output = Result<PeerResponse, TransportError>> + Send;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// Nobody could be reached: the request was certainly not sent. Callers wait before they try again.
    Unreachable(String),
    /// The connection failed, or the time was up, after the request may have been received.
    Broken(String),
    /// The other side does not let us in, or there is no sense in asking it again soon; it did nothing.
    Refused(Refusal),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportError::Unreachable(why) => write!(f, "unreachable: {why}"),
            TransportError::Broken(why) => write!(f, "broken: {why}"),
            TransportError::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl std::error::Error for TransportError {}

/// [`Transport`] behind a pointer.
pub(super) trait AnyTransport: Send + Sync {
    fn call<'a>(
        &'a self,
        to: &'a PeerNode,
        request: PeerRequest,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<PeerResponse, TransportError>>;
}

impl<T: Transport> AnyTransport for T {
    fn call<'a>(
        &'a self,
        to: &'a PeerNode,
        request: PeerRequest,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<PeerResponse, TransportError>> {
        Box::pin(Transport::call(self, to, request, ttl))
    }
}

/// Everything needed to ask a member something.
#[derive(Clone)]
pub(super) struct Links {
    pub(super) identity: Arc<Identity>,
    pub(super) transport: Arc<dyn AnyTransport>,
}

impl Links {
    /// Asks; a refusal in the answer is an error here.
    pub(super) async fn ask(
        &self,
        to: Option<RaftId>,
        node: &PeerNode,
        ask: Ask,
        ttl: Duration,
    ) -> Result<PeerResponse, TransportError> {
        let request = PeerRequest { group: self.identity.group(), from: self.identity.raft_id(), to, ask };
        match tokio::time::timeout(ttl, self.transport.call(node, request, ttl)).await {
            Ok(Ok(PeerResponse::Refused(why))) => Err(TransportError::Refused(why)),
            Ok(answer) => answer,
            Err(_) => Err(TransportError::Broken(format!("no answer within {} ms", ttl.as_millis()))),
        }
    }
}

/// openraft's way to one member.
pub(super) struct Link {
    links: Links,
    id: RaftId,
    node: PeerNode,
}

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, id: RaftId, node: &PeerNode) -> Link {
        Link { links: self.clone(), id, node: node.clone() }
    }
}

/// `Network` is tried again at once, `Unreachable` after a pause: a peer that is gone must not be spun on.
fn rpc_error(why: TransportError) -> RPCError<TypeConfig> {
    match why {
        TransportError::Broken(_) => RPCError::Network(NetworkError::new(&why)),
        TransportError::Unreachable(_) | TransportError::Refused(_) => RPCError::Unreachable(Unreachable::new(&why)),
    }
}

fn mismatch() -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string("the answer is to another question"))
}

impl Link {
    async fn ask(&self, ask: Ask, option: &RPCOption) -> Result<PeerResponse, RPCError<TypeConfig>> {
        self.links.ask(Some(self.id), &self.node, ask, option.soft_ttl()).await.map_err(rpc_error)
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(Ask::Append(rpc), &option).await? {
            PeerResponse::Append(answer) => Ok(answer),
            _ => Err(mismatch()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(Ask::Vote(rpc), &option).await? {
            PeerResponse::Vote(answer) => Ok(answer),
            _ => Err(mismatch()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(Ask::PreVote(rpc), &option).await? {
            PeerResponse::PreVote(answer) => Ok(answer),
            _ => Err(mismatch()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let ask = Ask::Snapshot { vote, meta: snapshot.meta, data: snapshot.snapshot.to_vec() };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = self.ask(ask, &option) => match answer? {
                PeerResponse::Snapshot(answer) => Ok(answer),
                _ => Err(mismatch().into()),
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(Ask::Transfer(rpc), &option).await? {
            PeerResponse::Transfer(answer) => Ok(answer),
            _ => Err(mismatch()),
        }
    }
}
