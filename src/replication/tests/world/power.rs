//! Power cuts: a node loses what its disk had not yet, and takes it back from its replicas.

use super::World;
use crate::replication::sink::ConnId;
use crate::replication::tail::{Effect, Event};

/// Whether a connection belongs to a search for a tail.
pub(super) fn is_of_tail(conn: ConnId) -> bool {
    conn.0 >= 1 << 48
}

impl World {
    /// Rounds of a master that loses its power and comes back while its replicas live: nothing that one of them had
    /// acknowledged is lost, and none of them needs a full copy.
    pub fn power_cuts(seed: u64) -> World {
        let mut world = World::new(seed);
        let count = world.nodes.len();
        (world.pace_ms, world.ids_are_safe) = (2, true);
        for n in 0..count {
            world.nodes[n].native = true;
            world.nodes[n].disk.log = true;
            world.crash(n, false);
            world.nodes[n].disk.short = false;
            world.nodes[n].follows = (n > 0).then_some(0);
            world.start(n);
        }
        world.write(0);
        world.end_turn(0);
        world.fsync(0);
        world.until("all are in step", |world| world.healed(0));
        let full = world.tally.full;
        for _ in 0..4 {
            for _ in 0..200 + world.luck.below(400) {
                let n = world.luck.below(count);
                world.work(n, false);
                world.check(n);
            }
            let now = world.now;
            let acked = world.live(0).source.replicas(now).map(|replica| replica.offset.0).max().unwrap_or(0);
            // The file of the replicas is written as soon as they are fed.
            world.note_known(0);
            world.crash(0, true);
            for _ in 0..world.luck.below(60) {
                let n = world.luck.below(count);
                world.work(n, true);
            }
            // A machine takes longer to come up than bytes take to arrive.
            world.until("all that was sent has arrived", |world| {
                let read = |n: usize| world.live(n).stream.released() == world.live(n).stream.end();
                world.pipes.iter().all(|pipe| pipe.master != 0 || pipe.down.is_empty()) && (1..count).all(read)
            });
            world.start(0);
            let before = world.live(0).content.len();
            world.until("the search is over", |world| !world.live(0).tail.is_searching());
            let after = world.live(0).content.len();
            assert!(after as u64 >= acked, "{acked} bytes were acknowledged, and {after} are left of them");
            world.tally.tails += usize::from(after > before);
            world.tally.tail_bytes += after - before;
            world.until("all are in step", |world| world.healed(0));
            world.fsync(0);
            let why = world.live(0).source.last_full();
            assert_eq!(world.tally.full, full, "a power cut costs nobody a full copy: {why:?}");
        }
        world
    }

    fn until(&mut self, what: &str, done: impl Fn(&World) -> bool) {
        for _ in 0..40_000 {
            let n = self.luck.below(self.nodes.len());
            self.work(n, true);
            self.check(n);
            if done(self) {
                return;
            }
        }
        panic!("never: {what}\n{}", self.describe());
    }

    /// At a start: who may lack a tail asks.
    pub(super) fn seek(&mut self, n: usize) {
        let disk = &self.nodes[n].disk;
        let peers: Vec<_> = disk.known.iter().map(|&peer| ("node".to_owned(), 7000 + peer as u16)).collect();
        if disk.short && disk.log && self.live(n).stream.must_own() {
            self.live_mut(n).source.may_lack_tail();
            self.tail(n, Event::Begin { peers: &peers });
        }
    }

    /// What the node has on disk of who is fed by it.
    pub(super) fn note_known(&mut self, n: usize) {
        let now = self.now;
        let live = self.live(n);
        if live.stream.must_own() {
            return;
        }
        let fed = live.source.replicas(now).filter(|replica| replica.native && replica.state == "online");
        let known = fed.map(|replica| replica.port as usize - 7000).collect();
        let disk = &mut self.nodes[n].disk;
        (disk.short, disk.known) = (false, known);
    }

    pub(super) fn tail(&mut self, n: usize, event: Event<'_>) {
        let mut out = Vec::new();
        let now = self.now;
        let live = self.live_mut(n);
        live.tail.step(now, event, &live.stream, &mut out);
        for effect in out {
            match effect {
                Effect::Connect { conn, port, .. } => self.dial(n, conn, usize::from(port) - 7000),
                Effect::Send { conn, bytes } => self.push_up(n, conn, bytes),
                Effect::Close { conn } => self.hang_up(n, conn),
                Effect::Done | Effect::Log(_) => {}
            }
        }
    }

    /// A unit that a replica gave back.
    pub(super) fn given(&mut self, n: usize, conn: ConnId, unit: &[u8]) {
        let live = self.live_mut(n);
        live.stream.append_recovered(unit);
        live.content.extend_from_slice(unit);
        self.tail(n, Event::Bytes { conn, bytes: unit.len() as u64 });
    }
}
