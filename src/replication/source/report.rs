//! What others ask the source: counts for WAIT and min-replicas, offsets for the log, lines for INFO and ROLE.

use super::event::{LinkId, ReplicaInfo, SyncCounts};
use super::{Format, Link, Phase, Source};
use crate::base::{Millis, Offset};

impl Source {
    pub(super) fn count_good(&mut self, now: Millis) {
        let max_s = self.config.lag_max_s;
        let good = |link: &&Link| match link.phase {
            Phase::Streaming { heard, .. } => now.seconds() - heard.seconds() <= max_s,
            _ => false,
        };
        self.good = self.links.values().filter(good).count();
    }

    /// Replicas online whose last ACK is at most `min-replicas-max-lag` seconds old, as of the last event.
    pub fn good_replicas(&self) -> usize {
        self.good
    }

    /// Links that are replicas (`connected_slaves`).
    pub fn attached(&self) -> usize {
        let replica = |link: &&Link| !matches!(link.phase, Phase::Handshaking | Phase::Giving { .. });
        self.links.values().filter(replica).count()
    }

    /// Is this connection a replica, or fed like one?
    pub fn is_replica(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| !matches!(link.phase, Phase::Handshaking))
    }

    pub fn counts(&self) -> SyncCounts {
        self.counts
    }

    /// Why the last full copy was due, in the log's words.
    pub fn last_full(&self) -> Option<&str> {
        self.last_full.as_deref()
    }

    /// Replicas that hold the stream up to `offset` (WAIT).
    pub fn acked_count(&self, offset: Offset) -> usize {
        self.streaming().filter(|(acked, _)| *acked >= offset).count()
    }

    /// Replicas that have it on disk (WAITAOF).
    pub fn synced_count(&self, offset: Offset) -> usize {
        self.streaming().filter(|(_, synced)| *synced >= offset).count()
    }

    pub(super) fn streaming(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.links.values().filter_map(|link| match link.phase {
            Phase::Streaming { acked, synced, .. } => Some((acked, synced)),
            _ => None,
        })
    }

    /// The lowest offset that a replica has acknowledged (or its copy was taken at): what lies below it, no replica that
    /// may be promoted goes back to.
    pub fn lowest_acked(&self) -> Option<Offset> {
        let acked = |link: &Link| match link.phase {
            Phase::Copying { at, .. } => Some(at),
            Phase::Streaming { acked, sent, .. } => Some(if acked == Offset::default() { sent } else { acked }),
            _ => None,
        };
        self.links.values().filter_map(acked).min()
    }

    /// The lowest offset from which a link will still be fed: the log keeps its bytes from here on.
    pub fn lowest_needed(&self) -> Option<Offset> {
        let needed = |link: &Link| match link.phase {
            Phase::Copying { at, .. } => Some(at),
            Phase::Streaming { sent, .. } | Phase::Giving { sent, .. } => Some(sent),
            _ => None,
        };
        self.links.values().filter_map(needed).min()
    }

    /// The replicas for INFO (all) and ROLE (those `online`).
    pub fn replicas(&self, now: Millis) -> impl Iterator<Item = ReplicaInfo<'_>> {
        let making = self.copy.as_ref().map(|copy| copy.id);
        self.links.iter().filter_map(move |(&id, link)| {
            let (state, offset, synced, lag_s) = match link.phase {
                Phase::Handshaking | Phase::Giving { .. } => return None,
                Phase::Waiting { .. } => ("wait_bgsave", Offset::default(), Offset::default(), 0),
                Phase::Copying { copy, format, .. } => {
                    let made = format == Format::Sized && Some(copy) != making;
                    (if made { "send_bulk" } else { "wait_bgsave" }, Offset::default(), Offset::default(), 0)
                }
                Phase::Streaming { acked, synced, heard, .. } => {
                    ("online", acked, synced, (now.seconds() - heard.seconds()).max(0))
                }
            };
            Some(ReplicaInfo {
                link: id,
                ip: link.peer.announced_ip.as_deref().unwrap_or(&link.peer.ip),
                port: link.peer.port,
                state,
                offset,
                synced,
                lag_s,
                version: link.peer.version.as_deref(),
                native: link.peer.history,
            })
        })
    }
}
