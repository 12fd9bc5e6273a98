//! How handlers look keys up, remove them and let them expire.
//!
//! A key whose deadline has passed is gone for clients. On a master the look-up removes it, and its DEL goes into the
//! stream in front of the command's own effect. On a replica, while clients are paused, and on a master that has written
//! nothing of its own since its restart, it is only unseen: the DEL is the master's to send, or comes later. What comes
//! from the master or the log sees every key as it is.

use super::spec::WRITE;
use super::{Class, Cx, Origin, Refusal, Server, Trash};
use crate::base::{Dice, Millis};
use crate::config::Settings;
use crate::keyspace::{Db, Detached, EntryRef, Frequencies, Key, Kind, Noted, OldValue, access_clock};
use crate::resp::Writer;

/// What a look-up counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// A use of the key.
    Use,
    /// No use of it, but its absence is an event.
    Glance,
    /// Nothing: its inner life is looked at.
    Peek,
}

impl Cx<'_> {
    /// A key with its hash: make it once per command.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.server.keyspace.key(bytes)
    }

    /// Looks a key up to read it, counts the hit or miss and marks the use. `found` writes what is to be said.
    #[inline]
    pub fn read<R>(&mut self, key: Key<'_>, found: impl FnOnce(EntryRef<'_>, Writer<'_>) -> R) -> Option<R> {
        self.look(key, Touch::Use, found)
    }

    /// The same, but it is no use of the key: TTL, TYPE, EXISTS.
    pub fn glance<R>(&mut self, key: Key<'_>, found: impl FnOnce(EntryRef<'_>, Writer<'_>) -> R) -> Option<R> {
        self.look(key, Touch::Glance, found)
    }

    /// The same for OBJECT and its kin, which say nothing where there is no key.
    pub fn peek<R>(&mut self, key: Key<'_>, found: impl FnOnce(EntryRef<'_>, Writer<'_>) -> R) -> Option<R> {
        self.look(key, Touch::Peek, found)
    }

    #[inline]
    fn look<R>(&mut self, key: Key<'_>, touch: Touch, found: impl FnOnce(EntryRef<'_>, Writer<'_>) -> R) -> Option<R> {
        let obeys = self.obeys();
        let server = &mut *self.server;
        match server.keyspace.db(self.db as usize).get(key) {
            Some(entry) if obeys || !is_due(entry, self.now) => {
                server.stats.hits += 1;
                if touch == Touch::Use && !server.clients[self.slot].no_touch {
                    let db = server.keyspace.db(self.db as usize);
                    mark_use(db, entry, key, self.now, &server.config.settings, &mut server.dice);
                }
                Some(found(entry, Writer::new(&mut self.out, self.proto)))
            }
            due => {
                server.stats.misses += 1;
                if due.is_some() {
                    // What a write takes from a key is fed as a request: replicas must see it as it was seen here.
                    server.expire(self.db, key, self.spec.flags.has(WRITE));
                }
                if touch != Touch::Peek {
                    self.notify(Class::KeyMiss, "keymiss", key.bytes);
                }
                None
            }
        }
    }

    /// Looks a key up to change it. Where it says `None`, an entry that is due may still be there unseen, so a handler
    /// then sets value and deadline, both.
    pub fn writing<R>(&mut self, key: Key<'_>, found: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        let obeys = self.obeys();
        let server = &mut *self.server;
        match server.keyspace.db(self.db as usize).get(key) {
            Some(entry) if obeys || !is_due(entry, self.now) => {
                if !server.clients[self.slot].no_touch {
                    let db = server.keyspace.db(self.db as usize);
                    mark_use(db, entry, key, self.now, &server.config.settings, &mut server.dice);
                }
                Some(found(entry))
            }
            Some(_) => {
                server.expire(self.db, key, true);
                None
            }
            None => None,
        }
    }

    /// Whether a key is there, for a handler that changes it.
    pub fn is_there(&mut self, key: Key<'_>) -> bool {
        self.writing(key, |_| ()).is_some()
    }

    /// Whether a key to be changed is there; refused where it is of another type. What is due and may not be removed
    /// makes room all the same.
    pub fn writing_kind(&mut self, key: Key<'_>, kind: Kind) -> Result<bool, Refusal> {
        match self.writing(key, |entry| entry.value().kind() == kind) {
            Some(true) => Ok(true),
            Some(false) => Err(Refusal::WrongType),
            None => {
                self.server.keyspace.db_mut(self.db as usize).remove(key);
                Ok(false)
            }
        }
    }

    /// Takes a collection out whose last element has gone; the change itself is the caller's to tell and feed.
    pub fn remove_emptied(&mut self, key: Key<'_>) {
        self.server.keyspace.db_mut(self.db as usize).remove(key);
    }

    /// Removes a key that has expired, before a handler overwrites it unseen. Costs nothing where nothing is due.
    #[inline]
    pub fn expire_before_write(&mut self, key: Key<'_>) {
        let earliest = self.server.keyspace.db(self.db as usize).next_deadline();
        if earliest.is_some_and(|deadline| deadline < self.now) {
            self.is_there(key);
        }
    }

    /// Sets a key to a string with this deadline or none, whatever was there.
    #[inline]
    pub fn put(&mut self, key: Key<'_>, value: &[u8], deadline: Option<Millis>) {
        let born = self.server.notifies() && self.server.keyspace.db(self.db as usize).get(key).is_none();
        let old = self.server.keyspace.db_mut(self.db as usize).set_string(key, value, deadline);
        if let Some(old) = old {
            self.free_value(old);
        }
        self.changed(key.bytes);
        if born {
            self.born(key.bytes);
        }
    }

    /// Takes a key out (the caller has looked it up); whether it was there. `lazy` leaves a bulky one to another thread.
    pub fn remove(&mut self, key: Key<'_>, lazy: bool) -> bool {
        let Some(entry) = self.server.keyspace.db_mut(self.db as usize).remove(key) else { return false };
        self.server.free(entry, lazy);
        self.changed(key.bytes);
        true
    }

    /// Drops an overwritten value, as `lazyfree-lazy-server-del` says.
    pub fn free_value(&mut self, old: OldValue) {
        if self.server.config.settings.lazyfree_lazy_server_del {
            self.server.garbage.push(Trash::value(old));
        }
    }

    /// Whether a deadline that is being set has passed already, so that the key is to be removed at once. Never on a
    /// replica and never for what is obeyed: the DEL comes from the master.
    pub fn is_past(&self, deadline: Millis) -> bool {
        self.origin == Origin::Client && deadline <= self.now && !self.server.is_replica()
    }

    /// Removes a key that was given such a deadline.
    pub fn remove_past(&mut self, key: Key<'_>) {
        let lazy = self.server.config.settings.lazyfree_lazy_expire;
        self.remove(key, lazy);
        self.notify(Class::Generic, "del", key.bytes);
        self.feed(&[del_word(lazy), key.bytes]);
    }
}

/// Whether an entry's deadline has passed. At the very millisecond it still lives, as in Redis.
pub(super) fn is_due(entry: EntryRef<'_>, now: Millis) -> bool {
    entry.deadline().is_some_and(|deadline| now > deadline)
}

/// Notes that a key is used now.
#[inline]
fn mark_use(db: &Db, entry: EntryRef<'_>, key: Key<'_>, now: Millis, settings: &Settings, dice: &mut Dice) {
    let policy = settings.maxmemory_policy;
    let bits = match policy.counts_uses() {
        true => frequencies(settings).used(entry.access(), now, dice.roll()),
        false => access_clock(now),
    };
    if entry.access() != bits {
        entry.set_access(bits);
        if policy.notes() != Noted::Nothing {
            db.note_use(key);
        }
    }
}

fn frequencies(settings: &Settings) -> Frequencies {
    let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Frequencies { log_factor: small(settings.lfu_log_factor), decay_minutes: small(settings.lfu_decay_time) }
}

impl Server {
    /// How the counters of entries rise and fall.
    pub fn frequencies(&self) -> Frequencies {
        frequencies(&self.config.settings)
    }

    /// Whether an entry is there, seen or not, and whether it is due.
    pub(super) fn due(&self, db: u32, key: &[u8]) -> Option<bool> {
        let entry = self.keyspace.db(db as usize).get(self.keyspace.key(key))?;
        Some(is_due(entry, self.wall))
    }

    /// Removes a key that is due, if this node may. While the disk is at fault a reader removes none: the room that is
    /// left in the log is for what was executed.
    pub(super) fn expire(&mut self, db: u32, key: Key<'_>, writing: bool) {
        let may = match self.is_replica() {
            _ if !writing => self.may_change_unasked(),
            false => !self.is_paused(),
            true => !self.config.settings.replica_read_only && !self.is_paused(),
        };
        if may {
            self.expire_now(db, key);
        }
    }

    /// Whether a request that only reads may change what it finds (a key that is due, a count that is kept): the change
    /// is an effect of this node's own, and needs room in the log.
    pub(super) fn may_change_unasked(&self) -> bool {
        !self.is_replica() && !self.stream.must_own() && self.fault.is_none() && !self.is_paused()
    }

    pub(super) fn expire_now(&mut self, db: u32, key: Key<'_>) {
        let Some(entry) = self.keyspace.db_mut(db as usize).remove(key) else { return };
        let lazy = self.config.settings.lazyfree_lazy_expire;
        self.free(entry, lazy);
        self.stats.expired_keys += 1;
        self.dirty += 1;
        self.notify(db, Class::Expired, "expired", key.bytes);
        self.key_changed(db, key.bytes, None);
        self.awaited.changed(db, key.bytes);
        self.feed_own(db, &[del_word(lazy), key.bytes]);
    }

    /// Removes about `keys_max` keys whose deadline has passed, each through the stream; whether more may be due. A
    /// replica removes only keys of its own; none does a node that is loading, paused, at fault, or a master that came back and has
    /// written nothing of its own yet.
    pub fn expire_due(&mut self, keys_max: usize) -> bool {
        if self.is_replica() {
            return self.switches.active_expire && self.loading.is_none() && self.expire_local(keys_max);
        }
        let idle = !self.switches.active_expire
            || self.loading.is_some()
            || self.fault.is_some()
            || self.stream.must_own()
            || self.is_paused();
        if idle {
            return false;
        }
        let (mut keys, mut left, mut more) = (Vec::new(), keys_max, false);
        let passed = self.wall - Millis(1);
        for db in 0..self.keyspace.databases() {
            if left == 0 {
                return true;
            }
            more |= self.keyspace.db_mut(db).due(passed, left, &mut keys);
            left -= keys.len().min(left);
            for key in keys.drain(..) {
                let key = self.keyspace.key(&key);
                self.expire_now(db as u32, key);
                self.feed.close_unit(&mut self.stream);
            }
        }
        self.serve_awaited();
        more
    }

    /// Frees an entry here, or leaves a bulky one to another thread.
    pub(super) fn free(&mut self, entry: Detached, lazy: bool) {
        if lazy && entry.is_bulky() {
            self.garbage.push(Trash::entry(entry));
        }
    }
}

/// The word that a removal is fed with.
pub(super) fn del_word(lazy: bool) -> &'static [u8] {
    if lazy { b"UNLINK" } else { b"DEL" }
}
