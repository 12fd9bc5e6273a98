//! Clients whose further requests wait, and what lifts the wait: an acknowledgement, a deadline, the end of a pause, a
//! checkpoint, another client.

use super::Server;
use super::client::{Blocked, Closing, Replies, Slot, Waiter};
use crate::base::{Millis, Offset};
use crate::resp::Writer;

impl Server {
    /// Looks again at one client: answers a WAIT that is satisfied or late, executes a request that no pause holds back
    /// any more.
    pub fn retry_blocked(&mut self, slot: Slot) {
        let Some(blocked) = self.clients.get(slot).and_then(|client| client.blocked.as_ref()) else {
            self.held.remove(&slot);
            return;
        };
        match blocked {
            &Blocked::Wait { local: Some(1..), .. } if !self.config.settings.appendonly => {
                self.end_wait(slot, Some(super::families::NO_LOG));
            }
            &Blocked::Wait { local, replicas, offset, deadline } => {
                let met = match local {
                    None => self.source.acked_count(offset) as i64 >= replicas,
                    Some(local) => {
                        let (here, there) = self.synced_counts(offset);
                        here >= local && there >= replicas
                    }
                };
                if met || deadline.is_some_and(|deadline| deadline <= self.mono) {
                    self.end_wait(slot, None);
                }
            }
            Blocked::Paused { .. } if self.is_paused() => {}
            Blocked::Paused { .. } => self.retry_paused(slot),
            Blocked::Keys { deadline, .. } => {
                if deadline.is_some_and(|deadline| deadline <= self.mono) {
                    self.end_await(slot, None);
                }
            }
            Blocked::Checkpoint | Blocked::Flushed | Blocked::Shutdown => {}
        }
    }

    /// Ends a WAIT with what it has come to, or with an error (the whole line, code included).
    pub fn end_wait(&mut self, slot: Slot, error: Option<&str>) {
        let Some(&Blocked::Wait { local, offset, .. }) =
            self.clients.get(slot).and_then(|client| client.blocked.as_ref())
        else {
            return;
        };
        let acked = self.source.acked_count(offset) as i64;
        let (here, there) = self.synced_counts(offset);
        if let Some(blocked) = self.lift(slot) {
            self.observe_end(slot, &blocked, error);
        }
        self.answer(slot, |reply| match (error, local) {
            (Some(error), _) => reply.error(error),
            (None, None) => reply.int(acked),
            (None, Some(_)) => {
                reply.array(2);
                reply.int(here);
                reply.int(there);
            }
        });
    }

    /// How many logs hold the stream up to `offset` on the disk: this node's own, and those of replicas.
    pub fn synced_counts(&self, offset: Offset) -> (i64, i64) {
        let here = self.stream.synced().is_some_and(|synced| synced >= offset);
        (i64::from(here), self.source.synced_count(offset) as i64)
    }

    /// Looks again at all of them.
    pub fn retry_all_blocked(&mut self) {
        let held: Vec<Slot> = self.held.iter().copied().collect();
        for slot in held {
            self.retry_blocked(slot);
        }
    }

    /// When the next client must be looked at, on the monotonic clock.
    pub fn next_block_deadline(&self) -> Option<Millis> {
        let deadline = |slot: &Slot| match self.clients.get(*slot)?.blocked.as_ref()? {
            Blocked::Wait { deadline, .. } | Blocked::Keys { deadline, .. } => *deadline,
            Blocked::Paused { .. } => self.pause.map(|pause| pause.until),
            Blocked::Checkpoint | Blocked::Flushed | Blocked::Shutdown => None,
        };
        self.held.iter().filter_map(deadline).min()
    }

    /// A client that is about to wait for the runtime.
    pub fn waiter(&self, slot: Slot) -> Waiter {
        Waiter { slot, id: self.clients[slot].id }
    }

    /// The checkpoint that a client waits for is on disk, or cannot be written (the whole error line, code included);
    /// or a shutdown came to nothing.
    pub fn answer_saved(&mut self, waiter: Waiter, result: Result<(), &str>) {
        let Waiter { slot, id } = waiter;
        // Who has asked may have left, and another one have the slot.
        let blocked =
            self.clients.get(slot).filter(|client| client.id == id).and_then(|client| client.blocked.as_ref());
        let result = match blocked {
            Some(Blocked::Checkpoint | Blocked::Shutdown) => result,
            Some(Blocked::Flushed) => Ok(()),
            _ => return,
        };
        self.lift(slot);
        self.answer(slot, |reply| match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        });
    }

    /// SHUTDOWN ABORT: who waits for the end is told that it does not come.
    pub fn answer_shutdowns(&mut self, error: &str) {
        for slot in self.held_by(|blocked| matches!(blocked, Blocked::Shutdown)) {
            self.answer_saved(self.waiter(slot), Err(error));
        }
    }

    /// This node follows a master from now on: nobody waits for its replicas any more, nor for keys.
    pub fn refuse_waits(&mut self) {
        for slot in self.held_by(|blocked| matches!(blocked, Blocked::Wait { .. } | Blocked::Keys { .. })) {
            let error = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
            self.end_wait(slot, Some(error));
            self.end_await(slot, Some(error));
            self.close(slot, Closing::AfterReplies);
        }
    }

    /// The clients whose WAIT an acknowledgement, or a sync of the log, may have satisfied.
    pub fn retry_waits(&mut self) {
        if self.waits.is_empty() {
            return;
        }
        for slot in self.waits.iter().copied().collect::<Vec<_>>() {
            match self.clients.get(slot).and_then(|client| client.blocked.as_ref()) {
                Some(Blocked::Wait { .. }) => self.retry_blocked(slot),
                _ => drop(self.waits.remove(&slot)),
            }
        }
    }

    /// How many clients are blocked, for INFO.
    pub fn blocked_clients(&self) -> usize {
        let is_blocked = |slot: &&Slot| self.clients.get(**slot).is_some_and(|client| client.blocked.is_some());
        self.held.iter().filter(is_blocked).count()
    }

    pub(super) fn answer(&mut self, slot: Slot, write: impl FnOnce(&mut Writer<'_>)) {
        if self.clients.get(slot).is_some_and(|client| client.replies != Replies::Off) {
            self.push(slot, write);
        }
    }

    pub(super) fn lift(&mut self, slot: Slot) -> Option<Blocked> {
        self.held.remove(&slot);
        self.waits.remove(&slot);
        let blocked = self.unblock(slot)?;
        self.leave_queues(slot, &blocked);
        Some(blocked)
    }

    fn held_by(&self, wanted: impl Fn(&Blocked) -> bool) -> Vec<Slot> {
        let blocked = |slot: &Slot| self.clients.get(*slot).and_then(|client| client.blocked.as_ref());
        self.held.iter().copied().filter(|slot| blocked(slot).is_some_and(&wanted)).collect()
    }
}
