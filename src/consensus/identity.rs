//! Who this member is, durably: its Raft id, the group that it belongs to, and what it has promised at a founding.

use super::records::{BadRecord, decode, encode};
use super::types::RaftId;
use crate::base::GroupId;
use crate::store::group::{Ack, Change, GroupStore, GroupStoreError};
use parking_lot::Mutex;
use std::io;
use tokio::sync::oneshot;

const RAFT_ID: &str = "raft-id";
const GROUP_ID: &str = "group-id";
const PROMISE: &str = "promise";

/// This member's durable identity.
pub struct Identity {
    store: GroupStore,
    raft_id: RaftId,
    group: Mutex<Option<GroupId>>,
}

impl Identity {
    /// Reads the identity, or makes one from `luck` (eight random bytes) in a store that has none.
    pub(super) fn open(store: GroupStore, luck: u64) -> Result<Identity, GroupStoreError> {
        let damaged = |what: &str, why: BadRecord| {
            GroupStoreError::Corrupt(store.dir().to_owned(), format!("the record of the {what} {why}"))
        };
        let raft_id = match store.meta(RAFT_ID) {
            Some(record) => decode(&record).map_err(|why| damaged("Raft id", why))?,
            None => {
                let (tell, told) = crossbeam_channel::bounded(1);
                let ack: Ack = Box::new(move |how| {
                    let _ = tell.send(how);
                });
                let id = luck.max(1);
                store.put_meta(RAFT_ID, Some(encode(&id)), Vec::new(), Some(ack));
                let written = told.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
                written.map_err(|why| GroupStoreError::Unusable(store.dir().to_owned(), why))?;
                id
            }
        };
        let group = store.meta(GROUP_ID).map(|record| decode(&record)).transpose();
        let group = group.map_err(|why| damaged("group id", why))?;
        Ok(Identity { raft_id, group: Mutex::new(group), store })
    }

    /// The Raft id: random, for the life of the store.
    pub fn raft_id(&self) -> RaftId {
        self.raft_id
    }

    /// The group; `None` before founding or joining.
    pub fn group(&self) -> Option<GroupId> {
        *self.group.lock()
    }

    /// Takes a group for this member's own, together with these changes.
    pub(super) async fn set_group(&self, group: GroupId, along: Vec<Change>) -> io::Result<()> {
        self.keep(GROUP_ID, Some(encode(&group)), along).await?;
        *self.group.lock() = Some(group);
        Ok(())
    }

    /// What the founding protocol last kept here.
    pub fn promise(&self) -> Option<Vec<u8>> {
        self.store.meta(PROMISE)
    }

    /// Keeps the founding protocol's bytes; on the disk when the future ends with `Ok`.
    pub async fn set_promise(&self, promise: Option<Vec<u8>>) -> io::Result<()> {
        self.keep(PROMISE, promise, Vec::new()).await
    }

    async fn keep(&self, name: &str, value: Option<Vec<u8>>, along: Vec<Change>) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        let ack: Ack = Box::new(move |how| {
            let _ = tell.send(how);
        });
        self.store.put_meta(name, value, along, Some(ack));
        told.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}
