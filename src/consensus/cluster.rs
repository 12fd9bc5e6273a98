//! Members in one process, over a network in memory that can be cut, lose answers and refuse; for tests and figures.
//!
//! Requests cross it as bytes, and what a member was asked is served to its end even if the asker has given up, as on a
//! real network.

use super::records::{decode, encode};
use super::types::TypeConfig;
use super::wire::{encode_request, encode_response, read_request, read_response};
use super::*;
use crate::base::{GroupId, RunId};
use crate::store::group::{DiskMedium, GroupStore, MemoryMedium};
use futures::future::BoxFuture;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A machine that remembers every command; the outcome is how many there are.
#[derive(Clone, Default)]
pub(super) struct Journal(pub(super) Arc<Mutex<Vec<Vec<u8>>>>);

impl Machine for Journal {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Vec<u8> {
        let mut journal = self.0.lock();
        journal.push(command.to_vec());
        (journal.len() as u64).to_le_bytes().to_vec()
    }

    fn snapshot(&self) -> Vec<u8> {
        encode(&*self.0.lock())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        *self.0.lock() = decode(snapshot).map_err(|why| why.to_string())?;
        Ok(())
    }
}

#[derive(Default)]
struct Wires {
    listening: BTreeMap<String, Group>,
    /// Addresses whose members hear and are heard by nobody.
    cut: BTreeSet<String>,
    /// Addresses whose answers to proposals are lost.
    mute: BTreeSet<String>,
    snapshots: u64,
    read_rounds: u64,
}

#[derive(Clone, Default)]
pub(super) struct Net(Arc<Mutex<Wires>>);

impl Net {
    pub(super) fn cut(&self, addr: &str) {
        self.0.lock().cut.insert(addr.to_owned());
    }

    fn is_cut(&self, addr: &str) -> bool {
        self.0.lock().cut.contains(addr)
    }

    pub(super) fn mute(&self, addr: &str) {
        self.0.lock().mute.insert(addr.to_owned());
    }

    pub(super) fn heal(&self) {
        let mut wires = self.0.lock();
        wires.cut.clear();
        wires.mute.clear();
    }

    /// Questions for the read index so far.
    pub(super) fn read_rounds(&self) -> u64 {
        self.0.lock().read_rounds
    }

    /// Snapshots sent so far.
    pub(super) fn snapshots(&self) -> u64 {
        self.0.lock().snapshots
    }
}

/// One member's end of the network.
struct End {
    net: Net,
    addr: String,
}

impl Transport for End {
    async fn call(&self, to: &PeerNode, request: PeerRequest, _: Duration) -> Result<PeerResponse, TransportError> {
        let unreachable = || TransportError::Unreachable(format!("nobody at {}", to.addr));
        let (group, mute) = {
            let mut wires = self.net.0.lock();
            if wires.cut.contains(&self.addr) || wires.cut.contains(&to.addr) {
                return Err(unreachable());
            }
            let group = wires.listening.get(&to.addr).cloned().ok_or_else(unreachable)?;
            wires.snapshots += u64::from(request.ask.is_bulk());
            wires.read_rounds += u64::from(matches!(request.ask, Ask::ReadIndex));
            (group, wires.mute.contains(&to.addr) && matches!(request.ask, Ask::Propose(_)))
        };
        let bytes = encode_request(7, &request).unwrap();
        let served = TypeConfig::spawn(async move {
            let (id, request) = read_request(&mut &bytes[..]).await.unwrap();
            encode_response(id, &group.serve(request).await).unwrap()
        });
        let bytes = served.await.map_err(|_| TransportError::Broken("gone".into()))?;
        if mute || self.net.is_cut(&self.addr) || self.net.is_cut(&to.addr) {
            return Err(TransportError::Broken("the answer was lost".into()));
        }
        Ok(read_response(&mut &bytes[..]).await.unwrap().1)
    }
}

/// Answers `body` with its length, the asker and the group, readably.
struct Echo;

impl PeerHandler for Echo {
    fn answer(&self, from: RaftId, group: Option<GroupId>, body: Vec<u8>) -> BoxFuture<'static, Vec<u8>> {
        let text = format!("{} bytes from {from} of {}", body.len(), group.map_or("none".into(), |id| id.to_string()));
        Box::pin(async move { text.into_bytes() })
    }
}

/// Where a member keeps its records over restarts.
#[derive(Clone)]
pub(super) enum Keep {
    Memory(MemoryMedium),
    Disk(Arc<tempfile::TempDir>),
}

/// A member that can be stopped and started again.
pub(super) struct Member {
    pub(super) id: RaftId,
    pub(super) node: PeerNode,
    pub(super) group: Group,
    journal: Journal,
    keep: Keep,
}

impl Member {
    /// What its machine has applied.
    pub(super) fn commands(&self) -> Vec<Vec<u8>> {
        self.journal.0.lock().clone()
    }
}

pub(super) fn group_id(n: u8) -> GroupId {
    GroupId::from_random([n; 20])
}

pub(super) fn config() -> GroupConfig {
    GroupConfig {
        heartbeat: Duration::from_millis(60),
        election: (Duration::from_millis(250), Duration::from_millis(500)),
        ..GroupConfig::default()
    }
}

pub(super) struct Cluster {
    pub(super) net: Net,
    pub(super) config: GroupConfig,
    pub(super) members: Vec<Member>,
}

impl Cluster {
    /// Unfounded members.
    pub(super) async fn strangers(count: u64, config: GroupConfig, keep: impl Fn() -> Keep) -> Cluster {
        let mut cluster = Cluster { net: Net::default(), config, members: Vec::new() };
        for _ in 0..count {
            cluster.join(keep()).await;
        }
        cluster
    }

    /// A founded group with a leader.
    pub(super) async fn founded(count: u64, config: GroupConfig, keep: impl Fn() -> Keep) -> Cluster {
        let cluster = Cluster::strangers(count, config, keep).await;
        cluster.found(0, group_id(1)).await;
        cluster
    }

    pub(super) async fn found(&self, founder: usize, id: GroupId) {
        for member in &self.members {
            member.group.adopt(id).await.unwrap();
        }
        let voters = self.members.iter().map(|member| (member.id, member.node.clone())).collect();
        self.members[founder].group.found(id, voters).await.unwrap();
        self.leader().await;
    }

    /// One more unfounded member; its place.
    pub(super) async fn join(&mut self, keep: Keep) -> usize {
        let id = self.members.len() as u64 + 1;
        let node = PeerNode { addr: format!("10.0.0.{id}:26379"), run_id: RunId::from_random([id as u8; 20]) };
        let (group, journal) = start(&self.net, &self.config, id, &node, &keep).await;
        self.members.push(Member { id, node, group, journal, keep });
        self.members.len() - 1
    }

    /// As `kill -9` does to a process: nobody is told. What was not on the medium is gone.
    pub(super) async fn stop(&mut self, place: usize) {
        let member = &self.members[place];
        self.net.0.lock().listening.remove(&member.node.addr);
        member.group.shutdown().await;
    }

    pub(super) async fn restart(&mut self, place: usize) {
        let member = &mut self.members[place];
        (member.group, member.journal) = start(&self.net, &self.config, member.id, &member.node, &member.keep).await;
    }

    /// Waits until a member that is up and not cut off leads and knows it; its place.
    pub(super) async fn leader(&self) -> usize {
        let waits = self.members.iter().enumerate().map(|(place, member)| {
            let cut = self.net.is_cut(&member.node.addr);
            Box::pin(async move {
                match cut {
                    true => std::future::pending().await,
                    false => until(&member.group, |view| view.is_leader()).await,
                };
                place
            })
        });
        futures::future::select_all(waits).await.0
    }

    /// Waits until every member has applied what the leader had when asked, and holds the journals against each other.
    pub(super) async fn agree(&self) {
        let index = self.members[self.leader().await].group.linearizable().await.unwrap();
        for member in &self.members {
            within(member.group.applied(index)).await.unwrap();
            let (theirs, first) = (member.commands(), self.members[0].commands());
            assert!(theirs == first, "member {} has {} commands, the first {}", member.id, theirs.len(), first.len());
        }
    }
}

async fn start(net: &Net, config: &GroupConfig, id: RaftId, node: &PeerNode, keep: &Keep) -> (Group, Journal) {
    let opened = match keep {
        Keep::Memory(medium) => GroupStore::over(medium.clone(), "memory".into()).unwrap(),
        Keep::Disk(dir) => GroupStore::over(DiskMedium::open(dir.path()).unwrap(), dir.path().into()).unwrap(),
    };
    let journal = Journal::default();
    let end = End { net: net.clone(), addr: node.addr.clone() };
    let started = Group::start(config.clone(), opened, id, journal.clone(), end, Arc::new(Echo)).await;
    let group = started.unwrap();
    net.0.lock().listening.insert(node.addr.clone(), group.clone());
    (group, journal)
}

pub(super) fn memory() -> Keep {
    Keep::Memory(MemoryMedium::default())
}

pub(super) fn disk() -> Keep {
    Keep::Disk(Arc::new(tempfile::tempdir().unwrap()))
}

/// No wait in a test is longer than this.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// Waits for a state of the view.
pub(super) async fn until(group: &Group, is: impl Fn(&View) -> bool) -> View {
    let mut watch = group.watch();
    within(async { watch.wait_for(|view| is(view)).await.unwrap().clone() }).await
}
