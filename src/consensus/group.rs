//! The handle on the group: found it, propose to it, read from it, change who is in it.

use super::identity::Identity;
use super::log::{Log, write};
use super::members::{self, Change, MemberError};
use super::network::{Links, Transport, TransportError};
use super::reads::{self, NoQuorum, RETRY, Reader};
use super::state::{Machine, SharedMachine, State};
use super::types::{Command, PeerNode, Raft, RaftId, TypeConfig};
use super::view::{self, Status, View};
use super::wire::{Ask, MemberChange, PeerRequest, PeerResponse, Refusal, Welcome};
use super::{COMMAND_BYTES_MAX, GroupConfig};
use crate::base::GroupId;
use crate::store::group::{GroupStore, GroupStoreError, Records};
use futures::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use tokio::sync::{mpsc, oneshot, watch};

/// Answers what members ask beside Raft: founding, joining, opinions.
pub trait PeerHandler: Send + Sync + 'static {
    /// The answer to `body` from a member that says it is `from` of `group` (`None`: it has none yet). Asked only by
    /// members of the same group, or where one side has none.
    fn answer(&self, from: RaftId, group: Option<GroupId>, body: Vec<u8>) -> BoxFuture<'static, Vec<u8>>;
}

/// Why a command has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposeError {
    /// Longer than [`COMMAND_BYTES_MAX`]; not proposed.
    TooLong(usize),
    /// No leader took it within the time allowed; it was certainly not proposed.
    NoLeader,
    /// It was handed over, and then no word came: it may take effect, now or later.
    Unknown,
    /// There is no Raft here: not founded, shut down, or its disk failed; not proposed.
    Stopped(String),
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::TooLong(bytes) => write!(f, "a command of {bytes} bytes, more than {COMMAND_BYTES_MAX}"),
            ProposeError::NoLeader => f.write_str("no quorum: no leader took the command"),
            ProposeError::Unknown => f.write_str("the outcome is unknown: the command may take effect"),
            ProposeError::Stopped(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ProposeError {}

/// Why a group cannot be founded or taken over as one's own.
#[derive(Debug)]
pub enum FoundError {
    /// This member belongs to a group and its log has entries.
    AlreadyIn(GroupId),
    /// The members do not name this one, or are none.
    BadMembers(String),
    /// The store failed.
    Store(io::Error),
    /// Raft did not start, or has ended.
    Stopped(String),
}

impl fmt::Display for FoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FoundError::AlreadyIn(group) => write!(f, "already a member of group {group}"),
            FoundError::BadMembers(why) | FoundError::Stopped(why) => f.write_str(why),
            FoundError::Store(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for FoundError {}

/// Where this member stands; a Raft runs only in a group.
#[derive(Clone)]
enum Stage {
    Unfounded,
    Running(Raft),
    Stopped(String),
}

pub(super) struct Inner {
    pub(super) config: GroupConfig,
    pub(super) links: Links,
    pub(super) view: watch::Sender<View>,
    raft_config: Arc<openraft::Config>,
    store: GroupStore,
    log: Log,
    machine: SharedMachine,
    applied: watch::Sender<Option<u64>>,
    stage: Mutex<Stage>,
    /// Held while the stage changes.
    changing: tokio::sync::Mutex<()>,
    handler: Arc<dyn PeerHandler>,
    readers: mpsc::Sender<Reader>,
}

impl Inner {
    pub(super) fn identity(&self) -> &Identity {
        &self.links.identity
    }

    pub(super) fn raft(&self) -> Result<Raft, String> {
        match &*self.stage.lock() {
            Stage::Running(raft) => Ok(raft.clone()),
            Stage::Unfounded => Err("not in a group yet".to_owned()),
            Stage::Stopped(why) => Err(why.clone()),
        }
    }

    /// The leader and where it listens, as far as this member knows.
    pub(super) fn leader_node(&self) -> Option<(RaftId, PeerNode)> {
        let raft = self.raft().ok()?;
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        Some((leader, metrics.membership_config.get_node(&leader)?.clone()))
    }

    async fn launch(&self, records: &Records) -> Result<(), FoundError> {
        let dir = self.store.dir().to_owned();
        let state = State::load(self.store.clone(), records, self.machine.clone(), self.applied.clone())
            .map_err(|why| FoundError::Stopped(GroupStoreError::Corrupt(dir, why.0).to_string()))?;
        let id = self.identity().raft_id();
        let raft = Raft::new(id, self.raft_config.clone(), self.links.clone(), self.log.clone(), state).await;
        let raft = raft.map_err(|why| FoundError::Stopped(format!("the group's Raft did not start: {why}")))?;
        TypeConfig::spawn(view::follow(raft.metrics(), self.applied.subscribe(), self.view.clone()));
        self.view.send_modify(|view| {
            view.group = self.identity().group();
            view.status = Status::Running;
        });
        *self.stage.lock() = Stage::Running(raft);
        Ok(())
    }
}

/// A member's handle on its group; clones are the same member.
///
/// It must be made and used on a tokio runtime. Raft's tasks are started by openraft and end with
/// [`Group::shutdown`], or when the last handle is gone.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

impl Group {
    /// Takes up what the store holds: a member of a group goes on where it was; a fresh store waits for
    /// [`Group::found`] or [`Group::adopt`]. `luck` (eight random bytes) becomes the Raft id of a fresh store.
    pub async fn start(
        config: GroupConfig,
        (store, records): (GroupStore, Records),
        luck: u64,
        machine: impl Machine,
        transport: impl Transport,
        handler: Arc<dyn PeerHandler>,
    ) -> Result<Group, GroupStoreError> {
        let dir = store.dir().to_owned();
        let corrupt = |why: String| GroupStoreError::Corrupt(dir.clone(), why);
        let raft_config = config.for_openraft().map_err(corrupt)?;
        let log = Log::load(store.clone(), &records).map_err(|why| corrupt(why.0))?;
        let identity = Arc::new(Identity::open(store.clone(), luck)?);
        let (readers, waiting) = mpsc::channel(reads::WAITING_MAX);
        let inner = Arc::new(Inner {
            view: watch::Sender::new(View::new(identity.raft_id())),
            links: Links { identity, transport: Arc::new(transport) },
            raft_config: Arc::new(raft_config),
            machine: Arc::new(Mutex::new(Box::new(machine))),
            applied: watch::Sender::new(None),
            stage: Mutex::new(Stage::Unfounded),
            changing: tokio::sync::Mutex::new(()),
            config,
            store,
            log,
            handler,
            readers,
        });
        TypeConfig::spawn(reads::run(Arc::downgrade(&inner), waiting));
        if inner.identity().group().is_some() {
            inner.launch(&records).await.map_err(|why| corrupt(why.to_string()))?;
        }
        Ok(Group { inner })
    }

    /// Who this member is, and its founding promise.
    pub fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    /// What a listener tells a dialler whose pass is right.
    pub fn welcome(&self) -> Welcome {
        Welcome { raft_id: self.identity().raft_id() }
    }

    /// Makes this member one of `group`, durably, and starts its Raft; it then waits to be reached by a leader. Asked
    /// again with the same group it does nothing. A group whose log never reached this member may be left for another.
    pub async fn adopt(&self, group: GroupId) -> Result<(), FoundError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let stage = inner.stage.lock().clone();
        let mut along = Vec::new();
        match (stage, inner.identity().group()) {
            (Stage::Stopped(why), _) => return Err(FoundError::Stopped(why)),
            (Stage::Running(_), Some(now)) if now == group => return Ok(()),
            (Stage::Running(raft), Some(now)) => {
                if !inner.log.is_empty() {
                    return Err(FoundError::AlreadyIn(now));
                }
                *inner.stage.lock() = Stage::Unfounded;
                let _ = raft.shutdown().await;
                if !inner.log.is_empty() {
                    // A leader was faster: its group it is.
                    inner.launch(&Records::new()).await?;
                    return Err(FoundError::AlreadyIn(now));
                }
                // A vote of that group means nothing in this one, and would forbid founding it here.
                along = inner.log.forget_vote();
            }
            (Stage::Running(_) | Stage::Unfounded, _) => {}
        }
        inner.identity().set_group(group, along).await.map_err(FoundError::Store)?;
        inner.launch(&Records::new()).await
    }

    /// Founds the group with these voters (this one among them). Called on exactly one member; the others
    /// [`adopt`](Group::adopt).
    pub async fn found(&self, group: GroupId, members: BTreeMap<RaftId, PeerNode>) -> Result<(), FoundError> {
        let me = self.identity().raft_id();
        if !members.contains_key(&me) {
            return Err(FoundError::BadMembers(format!("the founder {me:x} is not among the members")));
        }
        self.adopt(group).await?;
        let raft = self.inner.raft().map_err(FoundError::Stopped)?;
        match raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(openraft::errors::InitializeError::NotAllowed(_))) => {
                Err(FoundError::AlreadyIn(group))
            }
            Err(RaftError::APIError(why)) => Err(FoundError::BadMembers(why.to_string())),
            Err(RaftError::Fatal(why)) => Err(FoundError::Stopped(why.to_string())),
        }
    }

    /// What is known of the group here; `changed()` wakes at each change.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.inner.view.subscribe()
    }

    /// What is known of the group here, now.
    pub fn view(&self) -> View {
        self.inner.view.borrow().clone()
    }

    /// The leader, as far as this member knows: it may have been replaced since.
    pub fn leader(&self) -> Option<RaftId> {
        self.inner.leader_node().map(|(id, _)| id)
    }

    /// Whether this member believes that it leads. Orders to nodes need [`Group::linearizable`] besides.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.identity().raft_id())
    }

    /// Agrees on a command: its index and outcome, once it is committed and the leader's machine applied it. Handed on to
    /// the leader where this member is none; tried again as long as it was certainly not taken.
    pub async fn propose(&self, command: Vec<u8>) -> Result<(u64, Vec<u8>), ProposeError> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLong(command.len()));
        }
        let command: Arc<[u8]> = command.into();
        let settled = self.settle(|leader| {
            let command = command.clone();
            async move {
                match leader {
                    Leader::Here(raft) => propose_here(&raft, command).await,
                    Leader::There(id, node) => {
                        let ask = Ask::Propose(command.to_vec());
                        let answer =
                            self.inner.links.ask(Some(id), &node, ask, self.inner.config.propose_timeout).await;
                        match attempt_of(answer) {
                            Attempt::Settled(PeerResponse::Proposed { index, outcome }) => {
                                Attempt::Settled((index, outcome))
                            }
                            Attempt::Settled(_) => Attempt::Unknown,
                            Attempt::Again => Attempt::Again,
                            Attempt::Unknown => Attempt::Unknown,
                            Attempt::Refused(why) => Attempt::Refused(why),
                        }
                    }
                }
            }
        });
        match settled.await {
            Settled::Done(done) => Ok(done),
            Settled::Unknown | Settled::Refused(_) => Err(ProposeError::Unknown),
            Settled::NoLeader => Err(ProposeError::NoLeader),
            Settled::Stopped(why) => Err(ProposeError::Stopped(why)),
        }
    }

    /// The index up to which this member has applied, once that is known not to be stale: everything that was agreed
    /// before the call is in the machine.
    pub async fn linearizable(&self) -> Result<u64, NoQuorum> {
        let ttl = self.inner.config.read_timeout;
        let read = async {
            let (tell, told) = oneshot::channel();
            let gone = |_| NoQuorum("the group was shut down".to_owned());
            self.inner.readers.send(tell).await.map_err(|_| gone(()))?;
            let index = told.await.map_err(|_| gone(()))??;
            self.applied(index).await.map_err(NoQuorum)
        };
        tokio::time::timeout(ttl, read)
            .await
            .unwrap_or_else(|_| Err(NoQuorum(format!("not up to date within {} ms", ttl.as_millis()))))
    }

    /// Waits until this member's machine has applied `index`; the index that it has by then.
    pub async fn applied(&self, index: u64) -> Result<u64, String> {
        let mut applied = self.inner.applied.subscribe();
        let mut view = self.watch();
        loop {
            if let Some(now) = *applied.borrow_and_update()
                && now >= index
            {
                return Ok(now);
            }
            if let Status::Stopped(why) = &view.borrow_and_update().status {
                return Err(why.clone());
            }
            tokio::select! {
                _ = applied.changed() => {}
                _ = view.changed() => {}
            }
        }
    }

    /// Changes who is in the group, by way of the leader; the index of the entry that did it. A change that is already
    /// so does nothing, so one whose outcome is unknown is simply asked for again.
    pub async fn change(&self, change: MemberChange) -> Result<u64, MemberError> {
        let change = &change;
        let settled = self.settle(|leader| async move {
            match leader {
                Leader::Here(raft) => change_here(&raft, change).await,
                Leader::There(id, node) => {
                    let (ask, ttl) = (Ask::Member(change.clone()), self.inner.config.propose_timeout);
                    match attempt_of(self.inner.links.ask(Some(id), &node, ask, ttl).await) {
                        Attempt::Settled(PeerResponse::Member(index)) => Attempt::Settled(index),
                        Attempt::Settled(_) | Attempt::Unknown => Attempt::Unknown,
                        Attempt::Again => Attempt::Again,
                        Attempt::Refused(why) => Attempt::Refused(why),
                    }
                }
            }
        });
        match settled.await {
            Settled::Done(index) => Ok(index),
            Settled::Unknown => Err(MemberError::Unknown),
            Settled::NoLeader => Err(MemberError::NoLeader),
            Settled::Refused(why) => Err(MemberError::Refused(why)),
            Settled::Stopped(why) => Err(MemberError::Stopped(why)),
        }
    }

    /// Takes a member in that follows and does not vote.
    pub async fn add_learner(&self, id: RaftId, node: PeerNode) -> Result<u64, MemberError> {
        self.change(MemberChange::AddLearner { id, node }).await
    }

    /// Makes exactly these the voters; each is in the group already and has caught up with the log.
    pub async fn set_voters(&self, voters: impl IntoIterator<Item = RaftId>) -> Result<u64, MemberError> {
        self.change(MemberChange::SetVoters(voters.into_iter().collect())).await
    }

    /// Takes a member out.
    pub async fn remove(&self, id: RaftId) -> Result<u64, MemberError> {
        self.change(MemberChange::Remove(id)).await
    }

    /// Notes where a member is reached now.
    pub async fn update_address(&self, id: RaftId, node: PeerNode) -> Result<u64, MemberError> {
        self.change(MemberChange::SetNode { id, node }).await
    }

    /// Asks the leader's role for another voter; only the leader does. Returns when it was set going.
    pub async fn transfer_leader(&self, to: RaftId) -> Result<(), String> {
        self.inner.raft()?.trigger().transfer_leader(to).await.map_err(|why| why.to_string())
    }

    /// Asks a member something beside Raft (its [`PeerHandler`] answers).
    pub async fn ask(
        &self,
        node: &PeerNode,
        to: Option<RaftId>,
        body: Vec<u8>,
        ttl: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        match self.inner.links.ask(to, node, Ask::Other(body), ttl).await? {
            PeerResponse::Other(body) => Ok(body),
            _ => Err(TransportError::Broken("the answer is to another question".to_owned())),
        }
    }

    /// Ends Raft here and closes the store; the directory can then be opened again. The group goes on without this member.
    pub async fn shutdown(&self) {
        let _changing = self.inner.changing.lock().await;
        let why = "the group was shut down".to_owned();
        let stage = std::mem::replace(&mut *self.inner.stage.lock(), Stage::Stopped(why.clone()));
        if let Stage::Running(raft) = stage {
            let _ = raft.shutdown().await;
        }
        self.inner.view.send_modify(|view| {
            view.leader = None;
            view.status = Status::Stopped(why);
        });
        // What nobody waits for is written too, so that closing has nothing left to do.
        let _ = write(&self.inner.store, Vec::new()).await;
        self.inner.store.close();
    }

    /// Answers a member's request. See [`wire::serve`](super::wire::serve) for a whole connection.
    pub async fn serve(&self, request: PeerRequest) -> PeerResponse {
        match self.answer(request).await {
            Ok(response) => response,
            Err(why) => PeerResponse::Refused(why),
        }
    }

    /// How many log entries are held.
    #[cfg(test)]
    pub(super) fn log_len(&self) -> usize {
        self.inner.log.len()
    }

    async fn answer(&self, request: PeerRequest) -> Result<PeerResponse, Refusal> {
        let PeerRequest { group: theirs, from, to, ask } = request;
        let (ours, me) = (self.identity().group(), self.identity().raft_id());
        if let Some(wanted) = to
            && wanted != me
        {
            return Err(Refusal::WrongMember { ours: me, wanted });
        }
        let ask = match ask {
            Ask::Other(body) if ours == theirs || ours.is_none() || theirs.is_none() => {
                return Ok(PeerResponse::Other(self.inner.handler.answer(from, theirs, body).await));
            }
            _ if ours.is_none() || ours != theirs => return Err(Refusal::ForeignGroup { ours, theirs }),
            ask => ask,
        };
        let raft = self.inner.raft().map_err(Refusal::Stopped)?;
        let stopped = |why: RaftError<TypeConfig>| Refusal::Stopped(why.to_string());
        let patience = self.inner.config.propose_timeout;
        Ok(match ask {
            Ask::Append(rpc) => PeerResponse::Append(raft.append_entries(rpc).await.map_err(stopped)?),
            Ask::Vote(rpc) => PeerResponse::Vote(raft.vote(rpc).await.map_err(stopped)?),
            Ask::PreVote(rpc) => PeerResponse::PreVote(raft.pre_vote(rpc).await.map_err(stopped)?),
            Ask::Snapshot { vote, meta, data } => {
                let snapshot = super::types::Snapshot { meta, snapshot: data.into() };
                let answer = raft.install_full_snapshot(vote, snapshot).await;
                PeerResponse::Snapshot(answer.map_err(|why| Refusal::Stopped(why.to_string()))?)
            }
            Ask::Transfer(rpc) => {
                let answer = raft.handle_transfer_leader(rpc).await;
                PeerResponse::Transfer(answer.map_err(|why| Refusal::Stopped(why.to_string()))?)
            }
            Ask::Propose(command) if command.len() > COMMAND_BYTES_MAX => {
                return Err(Refusal::Malformed(ProposeError::TooLong(command.len()).to_string()));
            }
            Ask::Propose(command) => {
                let attempt = tokio::time::timeout(patience, propose_here(&raft, command.into())).await;
                let (index, outcome) = self.settled_or_refused(attempt.unwrap_or(Attempt::Unknown))?;
                PeerResponse::Proposed { index, outcome }
            }
            Ask::Member(change) => {
                let attempt = tokio::time::timeout(patience, change_here(&raft, &change)).await;
                PeerResponse::Member(self.settled_or_refused(attempt.unwrap_or(Attempt::Unknown))?)
            }
            Ask::ReadIndex => {
                let patience = self.inner.config.read_timeout;
                match tokio::time::timeout(patience, reads::local_read_index(&raft)).await {
                    Ok(Ok(Some(index))) => PeerResponse::ReadIndex(index),
                    Ok(Ok(None)) => return Err(Refusal::NotLeader { leader: self.leader() }),
                    Ok(Err(NoQuorum(why))) => return Err(Refusal::Stopped(why)),
                    Err(_) => return Err(Refusal::NoQuorum),
                }
            }
            Ask::Other(_) => return Err(Refusal::ForeignGroup { ours, theirs }),
        })
    }

    fn settled_or_refused<T>(&self, attempt: Attempt<T>) -> Result<T, Refusal> {
        match attempt {
            Attempt::Settled(done) => Ok(done),
            Attempt::Again => Err(Refusal::NotLeader { leader: self.leader() }),
            Attempt::Unknown => Err(Refusal::Unknown),
            Attempt::Refused(why) => Err(Refusal::Membership(why)),
        }
    }

    /// Brings a question to whoever leads until it is settled. No new try is made after the time allowed, and one that is
    /// under way then is given a little longer: its answer may be at the door.
    async fn settle<T, F: Future<Output = Attempt<T>>>(&self, attempt: impl Fn(Leader) -> F) -> Settled<T> {
        let mut view = self.watch();
        let me = self.identity().raft_id();
        let (allowed, grace) = (self.inner.config.propose_timeout, self.inner.config.heartbeat * 2);
        let deadline = tokio::time::sleep(allowed);
        tokio::pin!(deadline);
        loop {
            let raft = match self.inner.raft() {
                Ok(raft) => raft,
                Err(why) => return Settled::Stopped(why),
            };
            let attempted = async {
                match self.inner.leader_node() {
                    Some((leader, _)) if leader == me => attempt(Leader::Here(raft)).await,
                    Some((leader, node)) => attempt(Leader::There(leader, node)).await,
                    None => Attempt::Again,
                }
            };
            let outcome = tokio::select! {
                outcome = attempted => outcome,
                _ = async { deadline.as_mut().await; tokio::time::sleep(grace).await } => Attempt::Unknown,
            };
            match outcome {
                Attempt::Settled(done) => return Settled::Done(done),
                Attempt::Unknown => return Settled::Unknown,
                Attempt::Refused(why) => return Settled::Refused(why),
                Attempt::Again if deadline.is_elapsed() => return Settled::NoLeader,
                Attempt::Again => {
                    let _ = tokio::time::timeout(RETRY, view.changed()).await;
                }
            }
        }
    }
}

enum Leader {
    Here(Raft),
    There(RaftId, PeerNode),
}

/// How one try went.
enum Attempt<T> {
    Settled(T),
    /// Certainly nothing was done: try again.
    Again,
    /// Something may have been done.
    Unknown,
    /// It is not allowed.
    Refused(String),
}

enum Settled<T> {
    Done(T),
    Unknown,
    /// Certainly nothing was done in the time allowed.
    NoLeader,
    Refused(String),
    Stopped(String),
}

/// What the leader's answer means for the try.
fn attempt_of(answer: Result<PeerResponse, TransportError>) -> Attempt<PeerResponse> {
    match answer {
        Ok(response) => Attempt::Settled(response),
        Err(TransportError::Unreachable(_)) => Attempt::Again,
        Err(TransportError::Broken(_)) => Attempt::Unknown,
        Err(TransportError::Refused(why)) => match why {
            // `Stopped` can come after the entry was logged.
            Refusal::Unknown | Refusal::Stopped(_) => Attempt::Unknown,
            Refusal::Membership(why) => Attempt::Refused(why),
            Refusal::Malformed(why) => Attempt::Refused(why),
            Refusal::NotLeader { .. }
            | Refusal::NoQuorum
            | Refusal::WrongPass
            | Refusal::ForeignGroup { .. }
            | Refusal::WrongMember { .. } => Attempt::Again,
        },
    }
}

async fn propose_here(raft: &Raft, command: Arc<[u8]>) -> Attempt<(u64, Vec<u8>)> {
    match raft.client_write(Command(command)).await {
        Ok(done) => Attempt::Settled((done.log_id.index, done.data.0.to_vec())),
        // Refused before it was logged: not the leader, or (just elected, just cut off) not with a quorum behind it.
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Attempt::Again,
        // `LogEntryDiscarded` too: it was logged, and another leader's log decides.
        Err(RaftError::APIError(_) | RaftError::Fatal(_)) => Attempt::Unknown,
    }
}

async fn change_here(raft: &Raft, change: &MemberChange) -> Attempt<u64> {
    match members::change(raft, change).await {
        Change::Done(index) => Attempt::Settled(index),
        Change::NotNow => Attempt::Again,
        Change::Unknown => Attempt::Unknown,
        Change::Refused(why) => Attempt::Refused(why),
    }
}
