//! What a handler has in its hands: the keyspace, the stream, its client, the time, and a buffer for its reply.

use super::args::Args;
use super::client::{Blocked, Client, Kind, Slot};
use super::spec::Spec;
use super::{Ask, Server};
use crate::base::Millis;
use crate::resp::{Proto, Writer};

/// Where a command comes from, which decides about expiry and about feeding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node.
    Client,
    /// The stream of this node's master: nothing expires by itself, nothing is fed.
    Master,
    /// The log, at start: as [`Origin::Master`], and without side effects on subscribers.
    Log,
}

/// The context of one command.
pub struct Cx<'a> {
    pub server: &'a mut Server,
    pub slot: Slot,
    /// The database that the client has selected.
    pub db: u32,
    /// The wall clock of this turn: the only time a handler sees.
    pub now: Millis,
    pub proto: Proto,
    /// The client's output buffer, taken out for as long as the command runs.
    pub out: Vec<u8>,
    pub origin: Origin,
    /// The command that is running.
    pub spec: &'static Spec,
}

impl<'a> Cx<'a> {
    pub(super) fn new(server: &'a mut Server, slot: Slot, db: u32, proto: Proto, out: Vec<u8>, origin: Origin) -> Self {
        let now = server.wall;
        let spec = super::families::NOTHING;
        server.keyspace.set_time(now, server.config.settings.maxmemory_policy.counts_uses());
        Cx { server, slot, db, now, proto, out, origin, spec }
    }

    /// Ends the unit, and gives the buffer and the selected database back to the client.
    pub(super) fn finish(self) {
        let Cx { server, slot, db, proto, mut out, origin, .. } = self;
        // A request that is heard while a script runs feeds nothing, and the unit is the script's.
        let fed = server.feed.commands() > 0 && !server.scripting.runs();
        if fed {
            server.feed.close_unit(&mut server.stream);
        }
        let end = server.stream.end();
        let Some(client) = server.clients.get_mut(slot) else { return };
        if origin != Origin::Client {
            out.clear(); // the stream is told nothing
            (client.out, client.db, client.proto) = (out, db, proto);
            return;
        }
        out.append(&mut client.out); // what was pushed to itself meanwhile comes behind the reply
        (client.out, client.db, client.proto) = (out, db, proto);
        if fed {
            client.written = end;
        }
        if !client.out.is_empty() {
            server.touch(slot);
        }
    }

    /// Gives the output buffer back to the client, so that it can be looked at, or takes it out again.
    pub(super) fn swap_output(&mut self) {
        let slot = self.slot;
        std::mem::swap(&mut self.out, &mut self.server.clients[slot].out);
    }

    /// To write the reply with.
    pub fn reply(&mut self) -> Writer<'_> {
        Writer::new(&mut self.out, self.proto)
    }

    /// The client that asked.
    pub fn client(&mut self) -> &mut Client {
        &mut self.server.clients[self.slot]
    }

    /// Whether it is the master's stream or the log that is obeyed: such commands are never refused for their role,
    /// see keys that have expired, and feed nothing.
    pub fn obeys(&self) -> bool {
        self.origin != Origin::Client
    }

    /// Whether what it changes is an effect of this node's own: not what it obeys, and not the writes that a replica
    /// takes with `replica-read-only no`.
    fn feeds(&self) -> bool {
        !self.obeys() && !self.server.is_replica() && !self.server.scripting.unfed
    }

    /// Feeds an effect to the log and the replicas, in the selected database.
    pub fn feed(&mut self, words: &[&[u8]]) {
        self.feed_in(self.db, words);
    }

    /// Feeds an effect in another database.
    pub fn feed_in(&mut self, db: u32, words: &[&[u8]]) {
        if self.feeds() {
            let Server { feed, stream, fresh, .. } = &mut *self.server;
            feed.command(stream, *fresh, db, words.iter().copied());
        }
    }

    /// Feeds a message (PUBLISH). While the disk is at fault it goes to this node's own subscribers alone: the room that
    /// is left in the log is for effects. So it does while the node reads its data, whose stream is not there yet, and on
    /// a master that came back and has written nothing yet: nobody follows it, and a hello of a sentinel must not be the
    /// byte that keeps a deposed master from resuming in part (N2).
    pub fn feed_message(&mut self, words: &[&[u8]]) {
        let stands = self.server.fault.is_none() && self.server.loading.is_none();
        if stands && !self.server.stream.must_own() {
            self.feed(words);
        }
    }

    /// Feeds words without a database (DEBUG REPLICATE).
    pub fn feed_plain(&mut self, words: &[&[u8]]) {
        if self.feeds() && self.server.fault.is_none() {
            let Server { feed, stream, .. } = &mut *self.server;
            feed.plain(stream, words.iter().copied());
        }
    }

    /// The words of the request, the first being the command's own name: what may be fed.
    pub fn words<'w>(&self, args: &Args<'w>) -> Vec<&'w [u8]> {
        let own = self.spec.parent.unwrap_or(self.spec.name).as_bytes();
        let name = if self.server.names.are_own() { args.at(0) } else { own };
        std::iter::once(name).chain(args.all().skip(1)).collect()
    }

    /// Feeds the request as it came, under the command's own name.
    pub fn feed_request(&mut self, args: &Args<'_>) {
        if !self.feeds() {
            return;
        }
        if !self.server.names.are_own() {
            return self.feed(&self.words(args));
        }
        let Server { feed, stream, fresh, .. } = &mut *self.server;
        feed.command(stream, *fresh, self.db, args.all());
    }

    /// Feeds the request with some of its words replaced.
    pub fn feed_words<'w>(&mut self, words: impl ExactSizeIterator<Item = &'w [u8]>) {
        if self.feeds() {
            let Server { feed, stream, fresh, .. } = &mut *self.server;
            feed.command(stream, *fresh, self.db, words);
        }
    }

    /// Ends the unit early, for effects that have nothing to do with each other (each expired key that SCAN meets): they
    /// stand alone in the stream. Inside EXEC all stay together.
    pub fn end_unit(&mut self) {
        if !self.server.in_exec && !self.server.scripting.runs() {
            self.server.feed.close_unit(&mut self.server.stream);
        }
    }

    /// Says that a key has changed: counts it, and breaks the transactions that watch it. Every change of a value, a
    /// deadline or a key's existence comes through here.
    pub fn changed(&mut self, key: &[u8]) {
        self.changed_in(self.db, key);
    }

    /// The same for so many changes at once: the elements of a collection.
    pub fn changed_by(&mut self, key: &[u8], changes: u64) {
        self.changed(key);
        self.server.dirty += changes.saturating_sub(1);
    }

    /// Counts changes of what a key's readers do not see (who has read which entry of a stream): they break no transaction.
    pub fn counted(&mut self, changes: u64) {
        self.server.dirty += changes;
    }

    /// The same in another database.
    pub fn changed_in(&mut self, db: u32, key: &[u8]) {
        self.server.dirty += 1;
        let by = self.slot;
        self.server.key_changed(db, key, Some(by));
        self.server.awaited.changed(db, key);
    }

    /// Asks the world outside for something; it happens behind the turn.
    pub fn ask(&mut self, ask: Ask) {
        self.server.asks.push(ask);
    }

    /// Holds the client's further requests back until the condition is met; the reply comes then.
    pub fn block(&mut self, on: Blocked) {
        let slot = self.slot;
        if let Blocked::Wait { .. } = on {
            self.server.waits.insert(slot);
        }
        self.client().blocked = Some(on);
        self.server.held.insert(slot);
        self.ask(Ask::Blocked(slot));
    }

    /// Whether the client may be blocked: not inside a transaction or a script, and it must be a connection.
    pub fn may_block(&mut self) -> bool {
        let in_unit = self.spec.name == "exec" || self.server.in_exec || self.server.scripting.runs();
        !in_unit && self.client().kind == Kind::Normal
    }
}
