//! The state machine as openraft sees it: the [`Machine`] in memory, its snapshots on the group store.
//!
//! The machine's state is not written at each command. It is the last snapshot plus the log after it up to the committed
//! log id, both of which are kept; at a restart openraft applies those entries again. Applying is pure, so this gives the
//! same state.
//!
//! 1. Only commands reach the machine; blank and membership entries move the applied index alone.
//! 2. [`State`] publishes an index after the machine has it and before its proposer is answered: who waits for the index
//!    and then looks finds it applied.
//! 3. A snapshot is a copy taken between two entries (never while one is applied), and one batch on the store: its meta
//!    record, its parts, and the removal of the parts of the one before.

use super::log::write;
use super::records::{BadRecord, decode, encode};
use super::types::{LogId, Outcome, Snapshot, SnapshotData, SnapshotMeta, StoredMembership, TypeConfig};
use crate::store::group::{Change, GroupStore, Records};
use futures::{Stream, TryStreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// What the group agrees on: a deterministic machine. It has no clock and no luck; commands carry what they need.
///
/// It is called by one task at a time, but moves between threads. Readers look at its state by a handle that the
/// implementation shares (after [`Group::linearizable`](super::Group::linearizable), for an answer that is not stale).
pub trait Machine: Send + 'static {
    /// Applies the command at this log index and gives the outcome for its proposer. Total: a command that makes no sense
    /// is an outcome, not a panic. It may be called again for indexes that it has seen before a restart.
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8>;
    /// The whole state; at most [`SNAPSHOT_BYTES_MAX`](super::SNAPSHOT_BYTES_MAX).
    fn snapshot(&self) -> Vec<u8>;
    /// Takes over the whole state of a snapshot.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

/// The machine, shared between openraft's task and a restart of it.
pub(super) type SharedMachine = Arc<Mutex<Box<dyn Machine>>>;

const META: &[u8] = b"sm";
const PART: u8 = b'q';
/// Under the store's bound for one value.
const PART_BYTES: usize = 60 * 1024;

#[derive(Serialize, Deserialize)]
struct Kept {
    meta: SnapshotMeta,
    /// Which parts are its own.
    generation: u64,
    parts: u32,
    bytes: u64,
    /// CRC-32C over all parts.
    crc: u32,
}

fn checksum(data: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, data) as u32
}

fn part_key(generation: u64, part: u32) -> Vec<u8> {
    let mut key = vec![PART];
    key.extend_from_slice(&generation.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

struct Current {
    snapshot: Option<Snapshot>,
    generation: u64,
    parts: u32,
}

struct Inner {
    store: GroupStore,
    machine: SharedMachine,
    current: Mutex<Current>,
    applied: watch::Sender<Option<u64>>,
}

/// The state machine; one per running Raft.
pub(super) struct State {
    inner: Arc<Inner>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

impl State {
    /// Puts the machine where the last snapshot was. `applied` is told of every index from then on.
    pub(super) fn load(
        store: GroupStore,
        records: &Records,
        machine: SharedMachine,
        applied: watch::Sender<Option<u64>>,
    ) -> Result<State, BadRecord> {
        let mut current = Current { snapshot: None, generation: 0, parts: 0 };
        let mut meta = SnapshotMeta::default();
        if let Some(kept) = records.get(META) {
            let kept: Kept = decode(kept).map_err(|why| BadRecord(format!("snapshot {why}")))?;
            let mut data = Vec::new();
            for part in 0..kept.parts {
                let part = records.get(&part_key(kept.generation, part));
                data.extend_from_slice(part.ok_or_else(|| BadRecord("a part of the snapshot is missing".into()))?);
            }
            if data.len() as u64 != kept.bytes || checksum(&data) != kept.crc {
                return Err(BadRecord("the snapshot's checksum does not match".into()));
            }
            machine.lock().restore(&data).map_err(|why| BadRecord(format!("the snapshot is not accepted: {why}")))?;
            meta = kept.meta.clone();
            let snapshot = Some(Snapshot { meta: kept.meta, snapshot: data.into() });
            current = Current { snapshot, generation: kept.generation, parts: kept.parts };
        }
        applied.send_replace(meta.last_log_id.map(|id| id.index));
        let inner = Arc::new(Inner { store, machine, current: Mutex::new(current), applied });
        Ok(State { inner, last_applied: meta.last_log_id, membership: meta.last_membership })
    }
}

impl Inner {
    /// Makes the snapshot the current one, unless a later one is.
    async fn keep(&self, meta: &SnapshotMeta, data: &SnapshotData) -> io::Result<()> {
        if data.len() > super::SNAPSHOT_BYTES_MAX {
            let text = format!("a snapshot of {} bytes is over {}", data.len(), super::SNAPSHOT_BYTES_MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let changes = {
            let mut current = self.current.lock();
            if current.snapshot.as_ref().is_some_and(|now| now.meta.last_log_id > meta.last_log_id) {
                return Ok(());
            }
            let old = (0..current.parts).map(|part| Change::Delete { key: part_key(current.generation, part) });
            let mut changes: Vec<Change> = old.collect();
            let generation = current.generation + 1;
            let parts = data.len().div_ceil(PART_BYTES) as u32;
            for (part, bytes) in (0..parts).zip(data.chunks(PART_BYTES)) {
                changes.push(Change::Put { key: part_key(generation, part), value: bytes.to_vec() });
            }
            let bytes = data.len() as u64;
            let kept = Kept { meta: meta.clone(), generation, parts, bytes, crc: checksum(data) };
            changes.push(Change::Put { key: META.to_vec(), value: encode(&kept) });
            let snapshot = Some(Snapshot { meta: meta.clone(), snapshot: data.clone() });
            *current = Current { snapshot, generation, parts };
            changes
        };
        write(&self.store, changes).await
    }
}

/// A copy of the state at one index, to be kept.
pub(super) struct Builder {
    inner: Arc<Inner>,
    meta: SnapshotMeta,
    data: SnapshotData,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        self.inner.keep(&self.meta, &self.data).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: self.data.clone() })
    }
}

impl RaftStateMachine<TypeConfig> for State {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let outcome = match &entry.payload {
                EntryPayload::Normal(command) => self.inner.machine.lock().apply(entry.log_id.index, &command.0),
                EntryPayload::Blank => Vec::new(),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                    Vec::new()
                }
            };
            self.last_applied = Some(entry.log_id);
            self.inner.applied.send_replace(Some(entry.log_id.index));
            if let Some(responder) = responder {
                responder.send(Outcome(outcome.into()));
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let builder = self.get_snapshot_builder().await;
        if !force && builder.data.len() > super::SNAPSHOT_BYTES_MAX {
            tracing::error!(
                "the agreed state has {} bytes, too many for a snapshot: the log grows",
                builder.data.len()
            );
            return None;
        }
        Some(builder)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        // Called between two rounds of `apply` on the same task: machine and meta are of one index.
        let data = self.inner.machine.lock().snapshot().into();
        let meta = SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() };
        Builder { inner: self.inner.clone(), meta, data }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: SnapshotData) -> io::Result<()> {
        let accepted = self.inner.machine.lock().restore(&data);
        accepted.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("snapshot not accepted: {why}")))?;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.inner.keep(meta, &data).await?;
        self.inner.applied.send_replace(meta.last_log_id.map(|id| id.index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.inner.current.lock().snapshot.clone())
    }
}
