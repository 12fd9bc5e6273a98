//! `maxmemory-clients`: when the clients together take more than that, the largest are closed.
//!
//! Off (0, as it is by default) it costs a branch for each read and each write. Else a client is counted anew when it has
//! sent something, when it was sent something, and once a second; who is to be closed is looked for before each
//! request and at the end of a turn.
//! Clients stand in buckets, one for each doubling of what they take; the highest bucket goes first, and in it who came
//! into it first, as in Redis. Replicas and the master's stream are not counted, and CLIENT NO-EVICT is counted but stays.

use super::client::{Closing, Kind, Slot};
use super::{Server, client_line};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The least that the limit can be: below, nobody could talk to the server to change it.
const LIMIT_MIN: u64 = 128 << 10;

/// The lowest and the highest bucket: up to 32 KiB, and from 4 GiB on.
const BUCKET_MIN: u32 = 15;
const BUCKET_MAX: u32 = 33;

/// Where a client stands among those that may be closed: its bucket, and when it came there.
type Place = (Reverse<u32>, u64);

/// What a client was counted with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    bytes: u64,
    place: Option<Place>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct ClientEviction {
    /// Bytes; 0 while there is none.
    limit: u64,
    total: u64,
    order: BTreeSet<(Reverse<u32>, u64, Slot)>,
    arrivals: u64,
    /// It was said that there is nobody left to be closed.
    said: bool,
}

fn bucket(bytes: u64) -> u32 {
    (u64::BITS - bytes.leading_zeros()).clamp(BUCKET_MIN, BUCKET_MAX)
}

impl Server {
    /// Whether what clients take is counted.
    #[inline]
    pub fn counts_clients(&self) -> bool {
        self.client_eviction.limit != 0
    }

    /// `maxmemory-clients` or `maxmemory` has a new value.
    pub fn client_limit_changed(&mut self) {
        let settings = &self.config.settings;
        let limit = match settings.maxmemory_clients {
            0 => None,
            percent @ ..0 => {
                let share = u128::from(settings.maxmemory) * u128::from(percent.unsigned_abs()) / 100;
                (settings.maxmemory > 0).then_some(share as u64)
            }
            bytes => Some(bytes as u64),
        };
        let counted = self.counts_clients();
        self.client_eviction.limit = limit.map_or(0, |limit| limit.max(LIMIT_MIN));
        if self.counts_clients() == counted {
            return;
        }
        (self.client_eviction.total, self.client_eviction.said) = (0, false);
        self.client_eviction.order.clear();
        let slots: Vec<Slot> = self.clients.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.clients[slot].counted = Counted::default();
            if self.counts_clients() {
                self.recount(slot);
            }
        }
    }

    /// A client takes more, or less, or may be closed now where it might not.
    #[cold]
    pub fn recount(&mut self, slot: Slot) {
        let Server { clients, client_eviction: all, .. } = self;
        let Some(client) = clients.get_mut(slot) else { return };
        let counts = client.kind == Kind::Normal && client.closing != Some(Closing::Now);
        let bytes = if counts { client.memory().total as u64 } else { 0 };
        let place = (counts && !client.no_evict).then(|| Reverse(bucket(bytes)));
        let before = client.counted;
        client.counted.bytes = bytes;
        all.total = all.total - before.bytes + bytes;
        if before.place.map(|(bucket, _)| bucket) == place {
            return;
        }
        if let Some((bucket, arrival)) = before.place {
            all.order.remove(&(bucket, arrival, slot));
        }
        client.counted.place = place.map(|bucket| {
            all.arrivals += 1;
            all.order.insert((bucket, all.arrivals, slot));
            (bucket, all.arrivals)
        });
    }

    /// A client is gone.
    pub(super) fn uncount(&mut self, slot: Slot) {
        let Some(counted) = self.clients.get_mut(slot).map(|client| std::mem::take(&mut client.counted)) else {
            return;
        };
        let all = &mut self.client_eviction;
        all.total -= counted.bytes;
        if let Some((bucket, arrival)) = counted.place {
            all.order.remove(&(bucket, arrival, slot));
        }
    }

    /// Closes the largest clients until all take less than they may.
    pub fn evict_clients(&mut self) {
        if !self.counts_clients() {
            return;
        }
        while self.client_eviction.total >= self.client_eviction.limit {
            let Some(&(_, _, slot)) = self.client_eviction.order.first() else {
                if !std::mem::replace(&mut self.client_eviction.said, true) {
                    tracing::warn!("Over client maxmemory after evicting all evictable clients");
                }
                return;
            };
            if self.clients[slot].closing == Some(Closing::Now) {
                self.uncount(slot);
                continue;
            }
            tracing::info!("Evicting client: {}", client_line(self, slot));
            self.stats.evicted_clients += 1;
            self.uncount(slot);
            let client = &mut self.clients[slot];
            // What it holds is free from here on: its connection ends behind the turn.
            client.drop_output();
            client.partial = Vec::new();
            client.multi = None;
            self.close(slot, Closing::Now);
        }
        self.client_eviction.said = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::server;

    fn connect(server: &mut Server, kib: usize) -> Slot {
        let slot = server.connect(Kind::Normal, String::new(), String::new(), 8);
        server.clients[slot].partial = Vec::with_capacity(kib << 10);
        server.recount(slot);
        slot
    }

    fn gone(server: &Server) -> Vec<Slot> {
        let closing = |client: &super::super::Client| client.closing == Some(Closing::Now);
        server.clients.iter().filter(|(_, client)| closing(client)).map(|(slot, _)| slot).collect()
    }

    #[test]
    fn the_largest_go_first_and_of_like_ones_the_oldest() {
        let mut server = server("maxmemory-clients 700kb");
        let sizes = [100, 300, 100, 290, 100];
        let slots = sizes.map(|kib| connect(&mut server, kib));
        server.evict_clients();
        assert_eq!(gone(&server), [slots[1]], "300 and 290 KiB are in one bucket");
        assert_eq!(server.stats.evicted_clients, 1);
        server.evict_clients();
        assert_eq!(gone(&server).len(), 1, "once is enough");
        assert_eq!(server.clients[slots[1]].partial.capacity(), 0, "what it held is free at once");
        server.disconnect(slots[1]);
        let late = connect(&mut server, 600);
        server.evict_clients();
        assert_eq!(gone(&server), [late]);
    }

    #[test]
    fn some_are_spared_and_some_not_counted() {
        let mut server = server("maxmemory-clients 200kb");
        let spared = connect(&mut server, 150);
        server.clients[spared].no_evict = true;
        server.recount(spared);
        let replica = connect(&mut server, 5000);
        server.clients[replica].kind = Kind::Replica;
        server.recount(replica);
        server.evict_clients();
        assert!(gone(&server).is_empty());
        let other = connect(&mut server, 100);
        server.evict_clients();
        assert_eq!(gone(&server), [other], "who is spared is counted");
        server.clients[spared].no_evict = false;
        server.recount(spared);
        server.evict_clients();
        assert_eq!(gone(&server), [other], "the rest is below the limit");
    }

    #[test]
    fn a_limit_may_be_a_share_come_and_go() {
        let mut server = server("maxmemory 10mb\nmaxmemory-clients 5%");
        assert_eq!(server.client_eviction.limit, 512 << 10);
        let slot = connect(&mut server, 600);
        server.config.settings.maxmemory = 0;
        server.client_limit_changed();
        assert!(!server.counts_clients(), "a share of nothing is no limit");
        server.evict_clients();
        assert!(gone(&server).is_empty());
        server.config.settings.maxmemory_clients = 1;
        server.client_limit_changed();
        assert_eq!(server.client_eviction.limit, LIMIT_MIN);
        server.evict_clients();
        assert_eq!(gone(&server), [slot]);
    }
}
