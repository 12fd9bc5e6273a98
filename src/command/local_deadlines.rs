//! Keys to which a replica's own clients gave a deadline (`replica-read-only no`), and when their time comes.
//!
//! A replica waits for its master to remove what is due. A key that only it knows the master never removes, so the
//! replica does. A deadline is told apart by its value: once the key has another one, or none (the stream has written
//! over it, say), it is the master's again. What a replica's clients write is in no log; the checkpoint that holds such
//! a key holds its row too.

use super::{Cx, Origin, Server};
use crate::base::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

type Place = (u32, Rc<[u8]>);

/// See the module. A row stays until its time, whatever became of the key.
#[derive(Debug, Default)]
pub struct LocalDeadlines {
    of: BTreeMap<Place, Millis>,
    /// The same in the order of time.
    order: BTreeSet<(Millis, Place)>,
}

impl LocalDeadlines {
    pub fn len(&self) -> usize {
        self.of.len()
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The key's deadline is this one from now on.
    pub fn note(&mut self, db: u32, key: &[u8], deadline: Millis) {
        let place: Place = (db, key.into());
        if let Some(before) = self.of.insert(place.clone(), deadline) {
            self.order.remove(&(before, place.clone()));
        }
        self.order.insert((deadline, place));
    }

    /// All rows: database, key, deadline.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8], Millis)> {
        self.of.iter().map(|((db, key), deadline)| (*db, &**key, *deadline))
    }

    /// Takes the earliest row out if its time has passed.
    fn take_passed(&mut self, now: Millis) -> Option<(Millis, Place)> {
        self.order.first().filter(|(deadline, _)| now > *deadline)?;
        let (deadline, place) = self.order.pop_first()?;
        self.of.remove(&place);
        Some((deadline, place))
    }
}

impl Cx<'_> {
    /// A command has set a deadline: a replica keeps in mind those that its own clients set.
    #[inline]
    pub fn deadline_set(&mut self, db: u32, key: &[u8]) {
        if self.origin == Origin::Client && self.server.is_replica() {
            self.server.note_local_deadline(db, key);
        }
    }
}

impl Server {
    #[cold]
    fn note_local_deadline(&mut self, db: u32, key: &[u8]) {
        let entry = self.keyspace.db(db as usize).get(self.keyspace.key(key));
        if let Some(deadline) = entry.and_then(|entry| entry.deadline()) {
            self.local_deadlines.note(db, key, deadline);
        }
    }

    /// On a replica: removes up to so many of its own keys whose time has passed; whether more may be due.
    pub(super) fn expire_local(&mut self, keys_max: usize) -> bool {
        for _ in 0..keys_max {
            let Some((deadline, (db, key))) = self.local_deadlines.take_passed(self.wall) else { return false };
            if (db as usize) < self.keyspace.databases() {
                let key = self.keyspace.key(&key);
                let entry = self.keyspace.db(db as usize).get(key);
                if entry.is_some_and(|entry| entry.deadline() == Some(deadline)) {
                    self.expire_now(db, key);
                }
            }
        }
        true
    }
}
