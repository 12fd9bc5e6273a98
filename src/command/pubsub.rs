//! Who listens to what: channels and patterns, and the delivery of a message into clients' buffers.

use super::Server;
use super::client::Slot;
use crate::base::glob;
use crate::resp::Writer;
use std::collections::{BTreeMap, BTreeSet};

/// The listeners of a node. The clients hold the same sets seen from their side.
#[derive(Default)]
pub struct PubSub {
    pub channels: BTreeMap<Vec<u8>, BTreeSet<Slot>>,
    pub patterns: BTreeMap<Vec<u8>, BTreeSet<Slot>>,
}

impl PubSub {
    /// Adds or removes a listener; whether that changed anything.
    fn set(map: &mut BTreeMap<Vec<u8>, BTreeSet<Slot>>, name: &[u8], slot: Slot, on: bool) -> bool {
        if on {
            return map.entry(name.to_vec()).or_default().insert(slot);
        }
        let Some(slots) = map.get_mut(name) else { return false };
        let gone = slots.remove(&slot);
        if slots.is_empty() {
            map.remove(name);
        }
        gone
    }

    pub fn subscribe(&mut self, channel: &[u8], slot: Slot) -> bool {
        Self::set(&mut self.channels, channel, slot, true)
    }

    pub fn unsubscribe(&mut self, channel: &[u8], slot: Slot) -> bool {
        Self::set(&mut self.channels, channel, slot, false)
    }

    pub fn psubscribe(&mut self, pattern: &[u8], slot: Slot) -> bool {
        Self::set(&mut self.patterns, pattern, slot, true)
    }

    pub fn punsubscribe(&mut self, pattern: &[u8], slot: Slot) -> bool {
        Self::set(&mut self.patterns, pattern, slot, false)
    }
}

impl Server {
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
                None => {
                    writer.push(3);
                    writer.bulk(b"message");
                    writer.bulk(channel);
                    writer.bulk(message);
                }
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

    /// Writes something unasked into a client's buffer, to go out with the turn.
    pub fn push(&mut self, slot: Slot, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        let mut writer = Writer::new(&mut client.out, client.proto);
        write(&mut writer);
        self.touch(slot);
    }

    /// Takes a client out of every set that names it.
    pub fn forget_subscriptions(&mut self, slot: Slot) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        let (channels, patterns) = (std::mem::take(&mut client.channels), std::mem::take(&mut client.patterns));
        for channel in &channels {
            self.pubsub.unsubscribe(channel, slot);
        }
        for pattern in &patterns {
            self.pubsub.punsubscribe(pattern, slot);
        }
    }
}
