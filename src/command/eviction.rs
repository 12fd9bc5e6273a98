//! `maxmemory`: how much is in use, and how keys are dropped when it is too much.
//!
//! The rules are Redis' (<https://redis.io/docs/latest/develop/reference/eviction/>). Some keys are drawn in each database
//! and the best of them kept in a pool from one time to the next; the best of the pool goes. It goes as an effect of its
//! own: a DEL or UNLINK in the stream, in front of the request that found the memory full. So a replica never evicts: it is
//! told, whatever `replica-ignore-maxmemory` says (`no` makes it refuse writes of its own clients). Nor does a node that
//! is loading, paused or at fault, or a master that came back and has written nothing of its own yet, but for a write.
//!
//! What counts is what the data set takes, and the clients: not what waits for the log, for slow replicas, for another
//! thread to free it, or for a checkpoint. Keys dropped for such memory would only add to it.

use super::access::del_word;
use super::spec::Spec;
use super::{Ask, Class, Cx, Refusal, Server};
use crate::config::MaxmemoryPolicy as Policy;
use crate::keyspace::{EntryRef, Noted};

/// Keys that are kept in mind from one eviction to the next.
const POOL: usize = 16;

/// Keys between two looks at the clock.
const STRIDE: u64 = 16;

/// What eviction keeps in mind.
#[derive(Debug, Default)]
pub struct Eviction {
    /// The higher the score, the better to evict; in order.
    pool: Vec<Candidate>,
    /// The database that was evicted from last, where luck decides.
    last_db: usize,
    /// It goes on behind the turn, in slices.
    pub(super) running: bool,
    /// Nothing is left to evict, as the last request found it.
    full: bool,
    /// Microseconds of the clock: since when more is in use than may be; and how long that was, all in all.
    exceeded_since: Option<u64>,
    exceeded_us: u64,
}

#[derive(Debug)]
struct Candidate {
    score: u64,
    db: u32,
    key: Vec<u8>,
}

/// What has come of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// No more is in use than may be, or nobody may do anything about it.
    Enough,
    /// Too much is, and eviction goes on behind the turn.
    Making,
    /// Too much is, and there is nothing to evict.
    None,
}

impl Eviction {
    fn offer(&mut self, score: u64, db: u32, key: &[u8]) {
        let at = self.pool.partition_point(|other| other.score < score);
        let fits = self.pool.len() < POOL;
        if !fits && at == 0 {
            return;
        }
        if !fits {
            self.pool.remove(0);
        }
        self.pool.insert(at - usize::from(!fits), Candidate { score, db, key: key.to_vec() });
    }

    /// How long more has been in use than may be, microseconds: now, and all in all.
    pub fn exceeded_us(&self, now: u64) -> (u64, u64) {
        let current = self.exceeded_since.map_or(0, |since| now.saturating_sub(since));
        (current, self.exceeded_us + current)
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        (self.exceeded_since, self.exceeded_us) = (None, 0);
    }

    fn note(&mut self, room: Room, now: u64) -> Room {
        match room {
            Room::Enough => {
                let since = self.exceeded_since.take();
                self.exceeded_us += since.map_or(0, |since| now.saturating_sub(since));
                self.running = false;
            }
            Room::Making | Room::None => drop(self.exceeded_since.get_or_insert(now)),
        }
        self.full = room == Room::None;
        self.running = room == Room::Making;
        room
    }
}

/// The gate's question, where `maxmemory` is set: makes room, and refuses what would take more where there is none.
pub(super) fn admit(cx: &mut Cx<'_>, spec: &'static Spec, takes: bool) -> Result<(), Refusal> {
    // What is queued takes memory as well.
    let queues =
        cx.server.clients[cx.slot].multi.is_some() && !matches!(spec.name, "exec" | "discard" | "quit" | "reset");
    if cx.server.make_room(takes) == Room::None && (takes || queues) {
        return Err(Refusal::OutOfMemory);
    }
    Ok(())
}

/// Microseconds that one go may take (`maxmemory-eviction-tenacity`): up to half a millisecond at the default of 10, from
/// there on growing by 15% a step, to minutes.
fn time_limit_us(tenacity: i64) -> u64 {
    match tenacity {
        ..=10 => 50 * tenacity.max(0) as u64,
        11..100 => (500.0 * 1.15_f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

impl Policy {
    /// Whether keys without a deadline stay.
    fn only_volatile(self) -> bool {
        matches!(self, Policy::VolatileLru | Policy::VolatileLfu | Policy::VolatileRandom | Policy::VolatileTtl)
    }

    /// Whether entries count how often they are used.
    #[inline]
    pub fn counts_uses(self) -> bool {
        matches!(self, Policy::AllkeysLfu | Policy::VolatileLfu)
    }

    /// Whether entries note when they were used, for eviction.
    pub fn notes_time(self) -> bool {
        matches!(self, Policy::AllkeysLru | Policy::VolatileLru)
    }

    /// Which access bits checkpoints and the files made of them tell.
    pub fn notes(self) -> Noted {
        match self {
            _ if self.counts_uses() => Noted::Counts,
            _ if self.notes_time() => Noted::Times,
            _ => Noted::Nothing,
        }
    }

    fn is_random(self) -> bool {
        matches!(self, Policy::AllkeysRandom | Policy::VolatileRandom)
    }
}

impl Server {
    /// Bytes in use that `maxmemory` does not count.
    pub fn not_counted_memory(&self) -> u64 {
        let stream = self.feed.waiting_bytes() + self.stream.backlog().excess_bytes();
        (stream + self.keyspace.checkpoint_bytes()) as u64 + self.garbage.pending_bytes()
    }

    fn counted_memory(&self) -> u64 {
        (self.allocated)().saturating_sub(self.not_counted_memory())
    }

    /// Bytes above `maxmemory`.
    fn excess_memory(&self) -> u64 {
        let limit = self.config.settings.maxmemory;
        if limit == 0 || (self.allocated)() <= limit {
            return 0;
        }
        self.counted_memory().saturating_sub(limit)
    }

    /// Whether a script's first write is to be refused if it has the `denyoom` flag: as the gate found when it began.
    pub fn is_out_of_memory(&self) -> bool {
        self.config.settings.maxmemory != 0 && self.eviction.full
    }

    /// Whether eviction is to go on behind the turn.
    pub fn evicts(&self) -> bool {
        self.eviction.running
    }

    /// `maxmemory` has a new value.
    pub fn maxmemory_changed(&mut self) {
        let (limit, used) = (self.config.settings.maxmemory, (self.allocated)());
        if limit != 0 && limit < used {
            tracing::warn!(
                "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the current memory usage \
                 ({used}). This will result in key eviction and/or the inability to accept new write commands depending \
                 on the maxmemory-policy."
            );
        }
        self.eviction.running = limit != 0;
    }

    /// Evicts until no more is in use than may be, for so long as one go may take. `takes`: for a write that takes memory.
    pub fn make_room(&mut self, takes: bool) -> Room {
        let idle = self.loading.is_some()
            || self.fault.is_some()
            || self.is_paused()
            || (self.stream.must_own() && !takes)
            || (self.is_replica() && self.config.settings.replica_ignore_maxmemory);
        if idle {
            (self.eviction.running, self.eviction.full) = (false, false);
            return Room::Enough;
        }
        let began = (self.ticks)();
        let excess = self.excess_memory();
        let room = match self.config.settings.maxmemory_policy {
            _ if excess == 0 => Room::Enough,
            Policy::Noeviction => Room::None,
            _ if self.is_replica() => Room::None,
            policy => {
                let room = self.evict_bytes(policy, excess, began);
                self.note_latency("eviction-cycle", (self.ticks)().saturating_sub(began));
                room
            }
        };
        if room == Room::Making && !self.eviction.running {
            self.asks.push(Ask::Evict);
        }
        self.eviction.note(room, began)
    }

    fn evict_bytes(&mut self, policy: Policy, excess: u64, began: u64) -> Room {
        let limit_us = time_limit_us(self.config.settings.maxmemory_eviction_tenacity);
        let lazy = self.config.settings.lazyfree_lazy_eviction;
        let (mut freed, mut keys) = (0, 0);
        while freed < excess as i64 {
            let chosen = if policy.is_random() { self.choose_by_luck(policy) } else { self.choose(policy) };
            let Some((db, key)) = chosen else { return Room::None };
            freed += self.evict(db, &key, lazy);
            keys += 1;
            if keys % STRIDE == 0 && self.excess_memory() == 0 {
                break;
            }
            if keys % STRIDE == 0 && (self.ticks)().saturating_sub(began) > limit_us {
                return Room::Making;
            }
        }
        Room::Enough
    }

    /// The next database with keys to evict, and one of them.
    fn choose_by_luck(&mut self, policy: Policy) -> Option<(u32, Vec<u8>)> {
        let Server { keyspace, dice, eviction, .. } = self;
        for _ in 0..keyspace.databases() {
            eviction.last_db = (eviction.last_db + 1) % keyspace.databases();
            let mut chosen = None;
            let found = |entry: EntryRef<'_>| chosen = Some(entry.key().to_vec());
            keyspace.db(eviction.last_db).sample(policy.only_volatile(), 1, || dice.roll(), found);
            if let Some(key) = chosen {
                return Some((eviction.last_db as u32, key));
            }
        }
        None
    }

    /// Draws some keys of each database, and takes the best of all that are in mind.
    fn choose(&mut self, policy: Policy) -> Option<(u32, Vec<u8>)> {
        let (now, frequencies) = (self.wall, self.frequencies());
        let clock = crate::keyspace::access_clock(now);
        let score = |entry: EntryRef<'_>| match policy {
            Policy::VolatileTtl => u64::MAX - entry.deadline().map_or(u64::MAX, |deadline| deadline.0.max(0) as u64),
            _ if policy.counts_uses() => u64::from(u8::MAX - frequencies.of(entry.access(), now)),
            _ => u64::from(idle_seconds(entry.access(), clock)),
        };
        loop {
            let Server { keyspace, dice, eviction, .. } = self;
            let samples = self.config.settings.maxmemory_samples as usize;
            let mut drawn = 0;
            for db in 0..keyspace.databases() {
                let offer = |entry: EntryRef<'_>| {
                    drawn += 1;
                    eviction.offer(score(entry), db as u32, entry.key());
                };
                keyspace.db(db).sample(policy.only_volatile(), samples, || dice.roll(), offer);
            }
            if drawn == 0 {
                return None;
            }
            // Some may have gone meanwhile, or lost their deadline.
            while let Some(best) = eviction.pool.pop() {
                let entry = keyspace.db(best.db as usize).get(keyspace.key(&best.key));
                if entry.is_some_and(|entry| !policy.only_volatile() || entry.deadline().is_some()) {
                    return Some((best.db, best.key));
                }
            }
        }
    }

    /// Drops a key for good; how many bytes that has freed.
    fn evict(&mut self, db: u32, key: &[u8], lazy: bool) -> i64 {
        let before = self.counted_memory();
        let began = self.watches_latency().then(self.ticks);
        let key = self.keyspace.key(key);
        let Some(entry) = self.keyspace.db_mut(db as usize).remove(key) else { return 0 };
        self.free(entry, lazy);
        if let Some(began) = began {
            self.note_latency("eviction-del", (self.ticks)().saturating_sub(began));
        }
        let freed = before as i64 - self.counted_memory() as i64;
        self.stats.evicted_keys += 1;
        self.dirty += 1;
        self.notify(db, Class::Evicted, "evicted", key.bytes);
        self.key_changed(db, key.bytes, None);
        self.awaited.changed(db, key.bytes);
        self.feed_own(db, &[del_word(lazy), key.bytes]);
        self.feed.close_unit(&mut self.stream);
        self.feed.keep_little();
        freed
    }
}

/// Seconds of the access clock, which wraps. What was not used since it was loaded has been idle for longest.
fn idle_seconds(access: u32, clock: u32) -> u32 {
    if access == 0 { u32::MAX } else { clock.wrapping_sub(access) & 0xff_ffff }
}

#[cfg(test)]
mod tests;
