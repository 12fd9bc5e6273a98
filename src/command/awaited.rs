//! Keys that blocked clients wait for (BLPOP and its kin), and how the clients are served.
//!
//! A client that finds nothing waits in a queue of each of its keys. A change of such a key notes it as ready; behind the
//! command that did it (behind the whole of an EXEC) the ready keys are gone through in order, and of each the clients in
//! the order in which they came: the request of each is executed again, as if it came now, as long as the key holds a
//! value of the type that it waits for (XREADGROUP in any case: it has to say that its group is gone). It may find nothing again; then it waits on, with the deadline that it had.

use super::access::is_due;
use super::client::{Blocked, Client, Slot};
use super::{Args, Cx, OwnedArgs, Server};
use crate::base::Millis;
use crate::keyspace::Kind;
use ahash::RandomState;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// A key of a database.
type Name = (u32, Vec<u8>);

/// For what a client waits, and how long (zero: for ever).
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub kind: Kind,
    /// Whether it is served as well when the key is gone or holds something else.
    pub even_gone: bool,
    pub timeout: Millis,
}

/// Who waits for which key.
#[derive(Default)]
pub struct Awaited {
    queues: HashMap<Name, VecDeque<Slot>, RandomState>,
    /// Keys that have changed while somebody waits for them.
    ready: VecDeque<Name>,
    /// The deadline of the request that is executed again.
    again: Option<Option<Millis>>,
    serving: bool,
}

impl Awaited {
    /// How many keys are waited for.
    pub fn keys(&self) -> usize {
        self.queues.len()
    }

    /// How many of them somebody waits for who is served as well when they are gone.
    pub fn keys_even_gone(&self, clients: &slab::Slab<Client>) -> usize {
        let even_gone = |slot: &Slot| {
            let blocked = clients.get(*slot).and_then(|client| client.blocked.as_ref());
            matches!(blocked, Some(Blocked::Keys { even_gone: true, .. }))
        };
        self.queues.values().filter(|queue| queue.iter().any(even_gone)).count()
    }

    /// Whether a request that had to wait is being executed again.
    #[inline]
    pub(super) fn is_again(&self) -> bool {
        self.again.is_some()
    }

    /// A key has changed.
    #[inline]
    pub(super) fn changed(&mut self, db: u32, key: &[u8]) {
        if !self.queues.is_empty() {
            self.note(db, key);
        }
    }

    #[cold]
    fn note(&mut self, db: u32, key: &[u8]) {
        let name = (db, key.to_vec());
        if self.queues.contains_key(&name) && !self.ready.contains(&name) {
            self.ready.push_back(name);
        }
    }

    /// All keys of a database may hold something else now (SWAPDB).
    pub(super) fn all_changed(&mut self, db: u32) {
        let names: Vec<Name> = self.queues.keys().filter(|name| name.0 == db).cloned().collect();
        names.iter().for_each(|(db, key)| self.note(*db, key));
    }

    fn leave(&mut self, db: u32, keys: &[Vec<u8>], slot: Slot) {
        for key in keys {
            let name = (db, key.clone());
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.retain(|&other| other != slot);
                if queue.is_empty() {
                    self.queues.remove(&name);
                }
            }
        }
    }
}

impl Cx<'_> {
    /// Blocks the client until one of the keys holds a value of this type, or until the timeout (zero: for ever). Where it
    /// may not be blocked it is as if the time were over: `false`, and the caller replies so.
    pub fn await_keys(&mut self, args: &Args<'_>, keys: Vec<&[u8]>, kind: Kind, timeout: Millis) -> bool {
        self.await_keys_with(OwnedArgs::copy(args), &keys, Wait { kind, even_gone: false, timeout })
    }

    /// The same; the request is what is executed then.
    pub fn await_keys_with(&mut self, request: OwnedArgs, keys: &[&[u8]], wait: Wait) -> bool {
        if !self.may_block() {
            return false;
        }
        let Wait { kind, even_gone, timeout } = wait;
        let fresh = (timeout.0 > 0).then(|| Millis(self.server.mono.0.saturating_add(timeout.0)));
        let deadline = self.server.awaited.again.unwrap_or(fresh);
        let mut names: Vec<Vec<u8>> = Vec::with_capacity(keys.len());
        for key in keys {
            if !names.iter().any(|name| name == *key) {
                names.push(key.to_vec());
            }
        }
        let (db, slot) = (self.db, self.slot);
        for name in &names {
            self.server.awaited.queues.entry((db, name.clone())).or_default().push_back(slot);
        }
        self.block(Blocked::Keys { db, keys: names, kind, even_gone, deadline, request });
        true
    }

    /// Who waits for a key looks at it again, though it has not changed.
    pub fn wake(&mut self, key: &[u8]) {
        self.server.awaited.changed(self.db, key);
    }
}

impl Server {
    /// Serves the clients whose keys have changed.
    pub fn serve_awaited(&mut self) {
        if self.awaited.serving {
            return;
        }
        self.awaited.serving = true;
        while let Some(name) = self.awaited.ready.pop_front() {
            let waiting: Vec<Slot> = self.awaited.queues.get(&name).into_iter().flatten().copied().collect();
            for slot in waiting {
                self.serve(slot, &name);
            }
        }
        self.awaited.serving = false;
    }

    fn serve(&mut self, slot: Slot, (db, key): &Name) {
        let entry = self.keyspace.db(*db as usize).get(self.keyspace.key(key));
        // What is due is left to the next look-up: nobody is woken for it, and no DEL is fed before its time.
        let held = entry.filter(|&entry| !is_due(entry, self.wall)).map(|entry| entry.value().kind());
        let Some(Blocked::Keys { kind, even_gone, db: its, .. }) =
            self.clients.get(slot).and_then(|client| client.blocked.as_ref())
        else {
            return;
        };
        if (held != Some(*kind) && !even_gone) || its != db {
            return;
        }
        let Some(Blocked::Keys { deadline, request, .. }) = self.lift(slot) else { return };
        self.awaited.again = Some(deadline);
        self.request(slot, request.args());
        self.awaited.again = None;
    }

    /// Ends a wait for keys: with null for the time that is over, or with an error (the whole line, code included).
    pub fn end_await(&mut self, slot: Slot, error: Option<&str>) {
        if !matches!(self.clients.get(slot).and_then(|client| client.blocked.as_ref()), Some(Blocked::Keys { .. })) {
            return;
        }
        if let Some(blocked) = self.lift(slot) {
            self.observe_end(slot, &blocked, error);
        }
        self.answer(slot, |reply| match error {
            Some(error) => reply.error(error),
            None => reply.null_array(),
        });
    }

    /// A client waits for no key any more.
    pub(super) fn leave_queues(&mut self, slot: Slot, blocked: &Blocked) {
        if let Blocked::Keys { db, keys, .. } = blocked {
            self.awaited.leave(*db, keys, slot);
        }
    }
}
