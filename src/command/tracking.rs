//! Client-side caching: who may have which keys in a cache of its own, and how it is told that they have changed.
//!
//! ```text
//! read command ── Cx::remember ──> Tracked ── key_changed ──> "invalidate" into the reader's buffer, or its redirect's
//! a key changes ── key_changed ──> Prefix::changed ── end of the turn ──> one "invalidate" for each prefix
//! ```
//! Messages are output like replies: they leave behind the turn, so nobody is told of an effect that the log lacks. What
//! a client is told of its own command stands behind the reply, of EXEC behind the whole of it.
//!
//! Keys are known by name alone, whatever their database, as in Redis.

use super::client::{Client, Slot};
use super::spec::{Group, READONLY, Spec};
use super::tracked::{Tracked, Who};
use super::{Args, Cx, Server, Trash};
use crate::resp::{Proto, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// What a client with CLIENT TRACKING has asked for.
#[derive(Debug)]
pub struct Tracking {
    pub mode: Mode,
    /// Who is told in its place.
    pub redirect: Option<Who>,
    /// That one was gone when it was to be told.
    pub broken: bool,
    /// It is not told of its own changes.
    pub noloop: bool,
}

impl Tracking {
    /// The id of the client that is told: 0 for the one that tracks.
    pub fn redirect_id(&self) -> i64 {
        self.redirect.map_or(0, |who| who.id as i64)
    }
}

/// Which keys are tracked.
#[derive(Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those that it reads.
    Read,
    /// Those that it reads with the next command, or transaction, where CLIENT CACHING YES was said.
    OptIn { caching: bool },
    /// Those that it reads, but with the next command, or transaction, where CLIENT CACHING NO was said.
    OptOut { skipping: bool },
    /// All that begin with one of these.
    Broadcast(BTreeSet<Vec<u8>>),
}

/// All tracking of a node.
#[derive(Default)]
pub struct Trackers {
    /// Whether any of what follows holds anything: all that the rest of the node asks of it.
    pub(super) active: bool,
    clients: usize,
    keys: Tracked,
    prefixes: BTreeMap<Vec<u8>, Prefix>,
    /// How often in a row the table was too large still when it had been shortened.
    excesses: usize,
}

/// The clients that are told of all keys with a prefix.
#[derive(Default)]
struct Prefix {
    clients: BTreeSet<Slot>,
    /// What has changed in this turn, and by whom the last time.
    changed: BTreeMap<Vec<u8>, Option<Slot>>,
}

/// So many keys at once are taken out of a table that is too large; twice as many the next time, and so on.
const EXCESS_KEYS: usize = 100;

/// A table of so many keys is freed at once; a larger one elsewhere.
const FREED_AT_ONCE_MAX: usize = 64;

const CHANNEL: &[u8] = b"__redis__:invalidate";

impl Trackers {
    /// How many clients track.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// How many keys are tracked.
    pub fn keys(&self) -> usize {
        self.keys.keys()
    }

    /// How many pairs of a key and a client.
    pub fn items(&self) -> usize {
        self.keys.items()
    }

    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    fn settle(&mut self) {
        self.active = self.clients > 0 || self.keys.keys() > 0;
    }
}

impl Server {
    /// A client tracks from now on, or in another way than before. In broadcasting mode prefixes add up.
    pub fn track(&mut self, slot: Slot, tracking: Tracking) {
        if let Mode::Broadcast(prefixes) = &tracking.mode {
            for prefix in prefixes {
                self.trackers.prefixes.entry(prefix.clone()).or_default().clients.insert(slot);
            }
        }
        if self.clients[slot].tracking.replace(Box::new(tracking)).is_none() {
            self.trackers.clients += 1;
        }
        self.trackers.active = true;
    }

    /// It does so no longer. The keys that it has read stay in the table until they change.
    pub fn untrack(&mut self, slot: Slot) {
        let Some(tracking) = self.clients.get_mut(slot).and_then(|client| client.tracking.take()) else { return };
        if let Mode::Broadcast(prefixes) = &tracking.mode {
            for name in prefixes {
                let Some(prefix) = self.trackers.prefixes.get_mut(name) else { continue };
                prefix.clients.remove(&slot);
                if prefix.clients.is_empty() {
                    self.trackers.prefixes.remove(name);
                }
            }
        }
        self.trackers.clients -= 1;
        self.trackers.settle();
    }

    /// A key is another one than before, or gone: breaks the transactions that watch it, and tells the caches. `by` is
    /// the client whose command did it.
    #[inline]
    pub fn key_changed(&mut self, db: u32, key: &[u8], by: Option<Slot>) {
        self.break_watches(db, key);
        if self.trackers.active {
            self.invalidate(key, by);
        }
    }

    #[cold]
    fn invalidate(&mut self, key: &[u8], by: Option<Slot>) {
        for (_, prefix) in self.trackers.prefixes.iter_mut().filter(|(name, _)| key.starts_with(name)) {
            prefix.changed.insert(key.to_vec(), by);
        }
        if let Some(readers) = self.trackers.keys.take(key) {
            self.trackers.settle();
            self.tell_readers(key, &readers, by);
        }
    }

    fn tell_readers(&mut self, key: &[u8], readers: &[Who], by: Option<Slot>) {
        for &reader in readers {
            let tracking = self.present(reader).and_then(|client| client.tracking.as_ref());
            let wants = tracking.is_some_and(|tracking| {
                !(matches!(tracking.mode, Mode::Broadcast(_)) || tracking.noloop && by == Some(reader.slot))
            });
            if wants {
                self.tell_invalid(reader.slot, Some(&[key]));
            }
        }
    }

    /// The client, if it is there still and stays.
    fn present(&self, who: Who) -> Option<&Client> {
        self.clients.get(who.slot).filter(|client| client.id == who.id && client.closing.is_none())
    }

    /// Tells a client that keys are not what they were, or (`None`) that none is.
    fn tell_invalid<K: AsRef<[u8]>>(&mut self, slot: Slot, keys: Option<&[K]>) {
        let Some(tracking) = &self.clients[slot].tracking else { return };
        let redirect = tracking.redirect;
        let target = match redirect {
            None => slot,
            Some(who) if self.present(who).is_some() => who.slot,
            Some(who) => return self.tell_broken(slot, who),
        };
        let what = |writer: &mut Writer<'_>| match keys {
            Some(keys) => writer.bulks(keys),
            None => writer.null(),
        };
        let client = &self.clients[target];
        if client.proto == Proto::Resp3 {
            self.push(target, |writer| {
                writer.push(2);
                writer.bulk(b"invalidate");
                what(writer);
            });
        } else if redirect.is_some() && client.listens() {
            self.push(target, |writer| {
                writer.push(3);
                writer.bulk(b"message");
                writer.bulk(CHANNEL);
                what(writer);
            });
        }
    }

    fn tell_broken(&mut self, slot: Slot, lost: Who) {
        let client = &mut self.clients[slot];
        if let Some(tracking) = &mut client.tracking {
            tracking.broken = true;
        }
        if client.proto == Proto::Resp3 {
            self.push(slot, |writer| {
                writer.push(2);
                writer.bulk(b"tracking-redir-broken");
                writer.int(lost.id as i64);
            });
        }
    }

    /// The end of a turn: tells what has changed to those who follow prefixes.
    pub fn tell_broadcasts(&mut self) {
        if !self.trackers.active {
            return;
        }
        let mut told = Vec::new();
        for prefix in self.trackers.prefixes.values_mut().filter(|prefix| !prefix.changed.is_empty()) {
            told.push((prefix.clients.clone(), std::mem::take(&mut prefix.changed)));
        }
        for (clients, changed) in told {
            for slot in clients {
                let noloop = self.clients[slot].tracking.as_ref().is_some_and(|tracking| tracking.noloop);
                let theirs = changed.iter().filter(|(_, by)| !(noloop && **by == Some(slot))).map(|(key, _)| key);
                let keys: Vec<&Vec<u8>> = theirs.collect();
                if !keys.is_empty() {
                    self.tell_invalid(slot, Some(&keys));
                }
            }
        }
    }

    /// All keys may be others than before: a flush, or the copy of a master.
    pub fn invalidate_all(&mut self) {
        if !self.trackers.active {
            return;
        }
        let keys = std::mem::take(&mut self.trackers.keys);
        if keys.keys() > FREED_AT_ONCE_MAX {
            self.garbage.push(Trash::cached(keys));
        }
        let tracks = |(slot, client): (Slot, &Client)| client.tracking.is_some().then_some(slot);
        let slots: Vec<Slot> = self.clients.iter().filter_map(tracks).collect();
        for slot in slots {
            self.tell_invalid(slot, None::<&[&[u8]]>);
        }
        self.trackers.settle();
    }

    /// `tracking-table-max-keys`: forgets keys by luck where there are more, as if they had changed.
    pub fn shorten_tracked(&mut self) {
        let most = usize::try_from(self.config.settings.tracking_table_max_keys).unwrap_or(usize::MAX);
        let excess = self.trackers.keys.keys().saturating_sub(most);
        if excess == 0 || most == 0 {
            self.trackers.excesses = 0;
            return;
        }
        let effort = EXCESS_KEYS * (self.trackers.excesses + 1);
        for _ in 0..excess.min(effort) {
            let luck = self.dice.roll();
            let Some((key, readers)) = self.trackers.keys.take_any(luck) else { break };
            self.tell_readers(&key, &readers, None);
        }
        self.trackers.excesses = if excess > effort { self.trackers.excesses + 1 } else { 0 };
        self.trackers.settle();
    }
}

impl Cx<'_> {
    /// A command has read the keys that it names: its client may have them in its cache.
    #[cold]
    pub(super) fn remember(&mut self, spec: &'static Spec, args: &Args<'_>) {
        let Server { clients, trackers, .. } = &mut *self.server;
        let client = &clients[self.slot];
        let Some(tracking) = &client.tracking else { return };
        let wanted = match tracking.mode {
            Mode::Read => true,
            Mode::OptIn { caching } => caching,
            Mode::OptOut { skipping } => !skipping,
            Mode::Broadcast(_) => false,
        };
        // Of a script those keys count that its commands read.
        if !wanted || !spec.flags.has(READONLY) || spec.group == Group::Scripting {
            return;
        }
        let who = Who { slot: self.slot, id: client.id };
        for keys in spec.keys.iter().filter(|keys| keys.is_key()) {
            for index in keys.indices(args.len(), &|index| args.at(index)) {
                trackers.keys.add(args.at(index), who);
            }
        }
    }

    /// Before a command is executed: the table is kept within its bound, and what its client has been told meanwhile
    /// (keys that were evicted for its sake) stands in front of the reply.
    #[cold]
    pub(super) fn begin_tracked(&mut self) {
        self.server.shorten_tracked();
        let slot = self.slot;
        let client = &mut self.server.clients[slot];
        self.out.append(&mut client.out);
    }

    /// CLIENT CACHING holds for the command behind it, or for the transaction.
    #[cold]
    pub(super) fn end_tracked(&mut self) {
        let client = self.client();
        let goes_on = client.multi.is_some() || client.last.is_some_and(|spec| spec.parent == Some("client"));
        match client.tracking.as_mut().map(|tracking| &mut tracking.mode) {
            Some(Mode::OptIn { caching: said } | Mode::OptOut { skipping: said }) if !goes_on => *said = false,
            _ => {}
        }
    }
}
