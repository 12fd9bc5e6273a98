//! Who listens to what: channels, patterns and shard channels, and the delivery of a message into clients' buffers.
//!
//! Shard channels are a space of names of their own: no pattern matches them. In a cluster they belong to the slot of
//! their name; here they are all this node's.

use super::Server;
use super::client::Slot;
use crate::base::glob;
use crate::resp::Writer;
use std::collections::{BTreeMap, BTreeSet};

/// What a client may listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A name as it is.
    Channel,
    /// A name with wildcards.
    Pattern,
    /// A name in the space of shard channels.
    Shard,
}

type Names = BTreeMap<Vec<u8>, BTreeSet<Slot>>;

/// The listeners of a node. The clients hold the same sets seen from their side.
#[derive(Default)]
pub struct PubSub {
    pub channels: Names,
    pub patterns: Names,
    pub shards: Names,
}

impl PubSub {
    /// The names of a sort that somebody listens to.
    pub fn names(&self, sort: Sort) -> &Names {
        match sort {
            Sort::Channel => &self.channels,
            Sort::Pattern => &self.patterns,
            Sort::Shard => &self.shards,
        }
    }

    fn names_mut(&mut self, sort: Sort) -> &mut Names {
        match sort {
            Sort::Channel => &mut self.channels,
            Sort::Pattern => &mut self.patterns,
            Sort::Shard => &mut self.shards,
        }
    }

    fn forget(&mut self, sort: Sort, name: &[u8], slot: Slot) {
        let names = self.names_mut(sort);
        let Some(slots) = names.get_mut(name) else { return };
        slots.remove(&slot);
        if slots.is_empty() {
            names.remove(name);
        }
    }
}

impl Server {
    /// A client listens to a name from now on.
    pub fn subscribe(&mut self, slot: Slot, sort: Sort, name: &[u8]) {
        self.pubsub.names_mut(sort).entry(name.to_vec()).or_default().insert(slot);
        let client = &mut self.clients[slot];
        if client.listening_mut(sort).insert(name.to_vec()) {
            client.named_bytes += name.len();
        }
    }

    /// It does so no longer.
    pub fn unsubscribe(&mut self, slot: Slot, sort: Sort, name: &[u8]) {
        self.pubsub.forget(sort, name, slot);
        let client = &mut self.clients[slot];
        if client.listening_mut(sort).remove(name) {
            client.named_bytes -= name.len();
        }
    }

    /// Delivers a message to all who listen; how many deliveries there were (PUBLISH's reply).
    pub fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let direct = self.pubsub.channels.get(channel).into_iter().flatten().map(|&slot| (slot, None));
        let by_pattern = self
            .pubsub
            .patterns
            .iter()
            .filter(|(pattern, _)| glob::matches(pattern, channel, false))
            .flat_map(|(pattern, slots)| slots.iter().map(move |&slot| (slot, Some(pattern.clone()))));
        let deliveries: Vec<_> = direct.chain(by_pattern).collect();
        for (slot, pattern) in &deliveries {
            self.push(*slot, |writer| match pattern {
                None => message_of(writer, b"message", channel, message),
                Some(pattern) => {
                    writer.push(4);
                    writer.bulk(b"pmessage");
                    writer.bulk(pattern);
                    writer.bulk(channel);
                    writer.bulk(message);
                }
            });
        }
        deliveries.len()
    }

    /// The same for a shard channel (SPUBLISH).
    pub fn publish_to_shard(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let slots: Vec<Slot> = self.pubsub.shards.get(channel).into_iter().flatten().copied().collect();
        for &slot in &slots {
            self.push(slot, |writer| message_of(writer, b"smessage", channel, message));
        }
        slots.len()
    }

    /// Writes something unasked into a client's buffer, to go out with the turn.
    pub fn push(&mut self, slot: Slot, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        let mut writer = Writer::new(&mut client.out, client.proto);
        write(&mut writer);
        self.scripting.tells(slot);
        self.touch(slot);
    }

    /// Takes a client out of every set that names it.
    pub fn forget_subscriptions(&mut self, slot: Slot) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        for sort in [Sort::Channel, Sort::Pattern, Sort::Shard] {
            for name in std::mem::take(client.listening_mut(sort)) {
                client.named_bytes -= name.len();
                self.pubsub.forget(sort, &name, slot);
            }
        }
    }
}

fn message_of(writer: &mut Writer<'_>, word: &[u8], channel: &[u8], message: &[u8]) {
    writer.push(3);
    writer.bulk(word);
    writer.bulk(channel);
    writer.bulk(message);
}
