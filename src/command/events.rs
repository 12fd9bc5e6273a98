//! Keyspace notifications: what happened to a key, told to those who subscribed to `__keyspace@<db>__:<key>` or
//! `__keyevent@<db>__:<event>`.
//!
//! Every handler says its events itself, beside [`Cx::changed`], in the order and under the names of Redis 7.2: only it
//! knows them. They are messages of this node alone: neither fed to the log nor to replicas, which say their own when
//! they apply the stream; a replay of the log says none. Where `notify-keyspace-events` is empty an event costs one
//! comparison.

use super::{Cx, Origin, Server};
use crate::base::number;
use crate::config::KeyspaceEvents;
use crate::keyspace::Key;

/// The class of an event: a letter of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Class {
    /// `g`: events of keys whatever they hold.
    Generic = KeyspaceEvents::GENERIC,
    /// `$`
    String = KeyspaceEvents::STRING,
    /// `l`
    List = KeyspaceEvents::LIST,
    /// `s`
    Set = KeyspaceEvents::SET,
    /// `h`
    Hash = KeyspaceEvents::HASH,
    /// `z`
    Zset = KeyspaceEvents::ZSET,
    /// `t`
    Stream = KeyspaceEvents::STREAM,
    /// `x`: a key is gone since its time had come.
    Expired = KeyspaceEvents::EXPIRED,
    /// `e`: a key is gone to make room.
    Evicted = KeyspaceEvents::EVICTED,
    /// `m`: a key was looked for in vain, to be read.
    KeyMiss = KeyspaceEvents::KEY_MISS,
    /// `n`: a key came into being.
    New = KeyspaceEvents::NEW,
}

impl Cx<'_> {
    /// Says an event of a key in the selected database.
    #[inline]
    pub fn notify(&mut self, class: Class, event: &'static str, key: &[u8]) {
        self.notify_in(self.db, class, event, key);
    }

    /// The same in another database.
    #[inline]
    pub fn notify_in(&mut self, db: u32, class: Class, event: &'static str, key: &[u8]) {
        if self.server.notifies() && self.origin != Origin::Log {
            self.server.notify(db, class, event, key);
        }
    }

    /// Says that a key went with its last element, if it did; behind the event of what took the element.
    #[inline]
    pub fn emptied(&mut self, key: Key<'_>) {
        if self.server.notifies() && self.server.keyspace.db(self.db as usize).get(key).is_none() {
            self.notify(Class::Generic, "del", key.bytes);
        }
    }

    /// Says that a key came into being where there was none: the event `new`, in front of the command's own.
    #[inline]
    pub fn born(&mut self, key: &[u8]) {
        self.notify(Class::New, "new", key);
    }
}

impl Server {
    /// Whether anybody may be told of events at all.
    #[inline]
    pub(super) fn notifies(&self) -> bool {
        self.config.settings.notify_keyspace_events.0 != 0
    }

    /// Says an event that no handler says: a key that expired or was evicted.
    #[inline]
    pub fn notify(&mut self, db: u32, class: Class, event: &'static str, key: &[u8]) {
        if self.notifies() {
            self.tell_event(db, class, event, key);
        }
    }

    #[cold]
    fn tell_event(&mut self, db: u32, class: Class, event: &'static str, key: &[u8]) {
        let KeyspaceEvents(wanted) = self.config.settings.notify_keyspace_events;
        if wanted & class as u32 == 0 {
            return;
        }
        if wanted & KeyspaceEvents::KEYSPACE != 0 {
            self.publish(&channel(b"__keyspace@", db, key), event.as_bytes());
        }
        if wanted & KeyspaceEvents::KEYEVENT != 0 {
            self.publish(&channel(b"__keyevent@", db, event.as_bytes()), key);
        }
    }
}

fn channel(prefix: &[u8], db: u32, name: &[u8]) -> Vec<u8> {
    let mut channel = prefix.to_vec();
    number::push_i64(&mut channel, i64::from(db));
    channel.extend_from_slice(b"__:");
    channel.extend_from_slice(name);
    channel
}
