//! Pauses: CLIENT PAUSE, a failover that waits for its target, a shutdown that waits for its replicas.
//!
//! Each has its own end and strictness; what holds is all of them together. While any holds, nothing is added to the
//! stream: no writes, no expiry, no eviction, no request for acknowledgements.

use super::client::{Blocked, Slot};
use super::{Ask, Server};
use crate::base::Millis;

/// What is held back, and up to when on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    pub until: Millis,
    /// All commands, or only those that may write.
    pub all: bool,
}

/// Who pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseBy {
    Client,
    Shutdown,
    Failover,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pauses {
    by: [Option<Pause>; 3],
    /// Pauses that were held back so far: the order of those that are is that of their numbers.
    held: u64,
    /// Replicas are to be asked for acknowledgements when the pause is over.
    pub(super) acks_due: bool,
}

impl Server {
    /// Begins a pause; one that is under way for the same reason ends no earlier than before.
    pub fn begin_pause(&mut self, by: PauseBy, until: Millis, all: bool) {
        let pause = &mut self.pauses.by[by as usize];
        let until = pause.map_or(until, |before| before.until.max(until));
        *pause = Some(Pause { until, all });
        self.settle_pause();
    }

    /// Ends the pause for this reason.
    pub fn end_pause(&mut self, by: PauseBy) {
        self.pauses.by[by as usize] = None;
        self.settle_pause();
    }

    /// The pause for this reason, while it lasts.
    pub fn pause_by(&self, by: PauseBy) -> Option<Pause> {
        self.pauses.by[by as usize].filter(|pause| pause.until > self.mono)
    }

    /// Whether the stream rests.
    pub fn is_paused(&self) -> bool {
        self.pause.is_some() && self.pauses.by.iter().flatten().any(|pause| pause.until > self.mono)
    }

    /// Drops the pauses that are over, and works out what holds until the next of them is.
    pub fn settle_pause(&mut self) {
        let now = self.mono;
        for pause in &mut self.pauses.by {
            *pause = pause.filter(|pause| pause.until > now);
        }
        let both = |a: Pause, b: Pause| Pause { until: a.until.min(b.until), all: a.all || b.all };
        self.pause = self.pauses.by.iter().flatten().copied().reduce(both);
        if self.pause.is_none() && std::mem::take(&mut self.pauses.acks_due) {
            self.ask_for_acks();
        }
        self.asks.push(Ask::PauseChanged);
    }

    /// Asks all replicas for acknowledgements, as a unit of its own: it is no write of the client that waits. In a pause
    /// that is put off, since it would add to the stream.
    pub fn ask_for_acks(&mut self) {
        if self.source.attached() == 0 || self.is_replica() {
            return; // a replica adds nothing to the stream
        }
        if self.is_paused() {
            self.pauses.acks_due = true;
            return;
        }
        let Server { feed, stream, .. } = self;
        feed.plain(stream, [&b"REPLCONF"[..], b"GETACK", b"*"].into_iter());
        feed.close_unit(stream);
    }

    /// The number of one more request that is held back.
    pub(super) fn next_paused(&mut self) -> u64 {
        self.pauses.held += 1;
        self.pauses.held
    }

    /// Clients whose request a pause holds back, in the order in which they came.
    pub fn paused_clients(&self) -> Vec<Slot> {
        let order = |slot: &Slot| match self.clients.get(*slot)?.blocked.as_ref()? {
            Blocked::Paused { number, .. } => Some((*number, *slot)),
            _ => None,
        };
        let mut held: Vec<(u64, Slot)> = self.held.iter().filter_map(order).collect();
        held.sort_unstable();
        held.into_iter().map(|(_, slot)| slot).collect()
    }

    /// The pause has changed: the request comes as if anew, and may be held back again.
    pub fn retry_paused(&mut self, slot: Slot) {
        if !matches!(self.clients.get(slot).and_then(|client| client.blocked.as_ref()), Some(Blocked::Paused { .. })) {
            return;
        }
        let Some(Blocked::Paused { request, .. }) = self.lift(slot) else { return };
        self.request(slot, request.args());
    }
}
