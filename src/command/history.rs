//! Changes of the stream's history that commands bring about: each is noted in the feed at the very place where it
//! happened, between the bytes before and behind it (N2), and not when the effects of the cores are carried out.

use super::Server;
use crate::base::ReplId;
use crate::replication::source::DropReason;
use crate::replication::{Stream, sink, source};
use sha1::{Digest, Sha1};

impl Server {
    /// An id for a new history, never given out before: the random one that the runtime left, or one derived from it
    /// where that is in use already.
    pub fn fresh_id(&mut self) -> ReplId {
        loop {
            let candidate = self.fresh;
            let next = Sha1::new().chain_update(candidate.bytes()).chain_update(self.run_id.bytes()).finalize();
            self.fresh = ReplId::from_random(next.into());
            let history = self.stream.history();
            if history.id() != candidate && history.former().iter().all(|former| former.id != candidate) {
                return candidate;
            }
        }
    }

    /// One event for the replica's side. A change of history is noted at once, with its reason.
    pub fn step_sink(&mut self, event: sink::Event<'_>, reason: &str) {
        let Server { sink, stream, links, feed, mono, .. } = self;
        let from = links.sink.len();
        sink.step(*mono, event, stream, &mut links.sink);
        if take(&mut links.sink, from, &sink::Effect::HistoryChanged) {
            feed.history_changed(stream, reason);
        }
        // Who is fed under the id before goes now, and not who asks under the new one in the same request.
        for why in [DropReason::NewId, DropReason::Replaced] {
            if take(&mut self.links.sink, from, &sink::Effect::DropReplicas { why }) {
                self.step_source(source::Event::DropAll { why }, reason);
            }
        }
        self.asks.push(super::Ask::Replication);
    }

    /// One event for the master's side, likewise.
    pub fn step_source(&mut self, event: source::Event<'_>, reason: &str) {
        let Server { source, stream, links, feed, mono, .. } = self;
        let from = links.source.len();
        source.step(*mono, event, stream, &mut links.source);
        if take(&mut links.source, from, &source::Effect::HistoryChanged) {
            feed.history_changed(stream, reason);
        }
        if links.source.len() > from {
            self.asks.push(super::Ask::Replication);
        }
    }

    /// DEBUG CHANGE-REPL-ID: what follows is under another id.
    pub fn change_history(&mut self, replid: ReplId) {
        let Server { stream, feed, .. } = self;
        Stream::change_id(stream, replid);
        feed.history_changed(stream, "DEBUG CHANGE-REPL-ID");
    }
}

/// Takes an effect out of what was added since `from`; whether it was there.
fn take<E: PartialEq>(effects: &mut Vec<E>, from: usize, wanted: &E) -> bool {
    let found = effects[from..].iter().position(|effect| effect == wanted);
    if let Some(at) = found {
        effects.remove(from + at);
    }
    found.is_some()
}
