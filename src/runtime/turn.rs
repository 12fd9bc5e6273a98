//! The end of a turn: what was fed goes to the log with one write, then to the replicas, then the replies go out.
//!
//! ```text
//! clients execute ... (ready tasks) ──> turn: append ─ fsync? ─ release ─ replicas ─ replies ─ asks
//! ```
//! No reply leaves before the bytes of the effects that it may have seen are in the log, and with `appendfsync always`
//! on the disk. What a client adds to its buffer while the turn waits is not part of it: only `cleared` bytes are sent.

use super::disk::Appended;
use super::world::World;
use super::{asks, clock, links};
use crate::base::Millis;
use crate::command::{Closing, Kind, Server};
use crate::config::AppendFsync;
use std::rc::Rc;
use std::time::Duration;

/// How long the turn waits before it tries a failed append again.
const RETRY: Duration = Duration::from_millis(100);

/// Ends turns for as long as the node runs.
pub async fn turns(world: Rc<World>) {
    loop {
        world.turn.notified().await;
        close(&world).await;
    }
}

async fn close(world: &Rc<World>) {
    links::perform(world);
    let mut held = Held::default();
    loop {
        let appended = {
            let mut server = world.server.borrow_mut();
            server.tell_broadcasts();
            clear(&mut server);
            let Some(mut disk) = world.opened() else { break }; // nothing is fed while a start reads the store
            let began = clock::micros();
            if server.switches.append_sleep_us > 0 {
                #[expect(clippy::disallowed_methods, reason = "DEBUG AOF-FLUSH-SLEEP is to stop the loop")]
                std::thread::sleep(Duration::from_micros(server.switches.append_sleep_us));
            }
            let appended = disk.append(&mut server);
            let append_us = clock::micros().saturating_sub(began);
            server.stats.end_turn(append_us);
            server.note_latency("aof-write-alone", append_us);
            appended
        };
        match appended {
            Appended::All if synced(world).await => break,
            Appended::All => {}
            Appended::Fault => held.wait(world).await,
        }
        // What came in while it waited is part of this turn now: it is appended with the next try.
    }
    links::released(world);
    flush(world);
    world.server.borrow_mut().evict_clients();
    asks::perform(world);
    world.freeing.send(&mut world.server.borrow_mut());
}

/// A turn whose effects are not in the log, or not in a log that counts.
#[derive(Default)]
struct Held {
    since: Option<Millis>,
}

impl Held {
    /// Waits for a moment. Clients whose replies have been held for too long are closed without them: they know nothing
    /// then, which is true, and the next ones have their time.
    async fn wait(&mut self, world: &Rc<World>) {
        let now = clock::mono();
        let since = *self.since.get_or_insert(now);
        let limit = Millis(world.server.borrow().config.settings.log_hold_timeout.saturating_mul(1000));
        if now.since(since) >= limit {
            self.since = None;
            let mut server = world.server.borrow_mut();
            let closed = close_touched(&mut server);
            drop(server);
            tracing::warn!("{closed} clients are closed without a reply: the log could not be written for {limit} ms");
            asks::perform(world);
        }
        let _ = tokio::time::timeout(RETRY, world.log_bell.notified()).await;
    }
}

/// Closes all ordinary clients that have something to be sent; how many.
fn close_touched(server: &mut Server) -> usize {
    let mut closed = 0;
    for slot in std::mem::take(&mut server.touched) {
        let Some(client) = server.clients.get_mut(slot) else { continue };
        client.touched = false;
        if client.kind != Kind::Normal {
            server.touch(slot);
            continue;
        }
        client.drop_output();
        server.close(slot, Closing::Now);
        closed += 1;
    }
    closed
}

/// What stands in the buffers now belongs to this turn.
fn clear(server: &mut Server) {
    for index in 0..server.touched.len() {
        let slot = server.touched[index];
        server.limit_output(slot);
        if let Some(client) = server.clients.get_mut(slot) {
            client.cleared = client.out.len();
        }
    }
}

/// With `appendfsync always`: waits until the turn's bytes are on the disk. False where an fsync failed: they have to be
/// brought there in another way.
async fn synced(world: &Rc<World>) -> bool {
    let began = clock::micros();
    loop {
        {
            let server = world.server.borrow();
            let disk = world.disk();
            let Some(log) = disk.store.log() else { return true };
            if server.config.settings.appendfsync != AppendFsync::Always {
                return true;
            }
            if log.fault().is_some() {
                return false;
            }
            if log.synced() >= server.stream.released() {
                break;
            }
            log.sync_request();
        }
        world.log_bell.notified().await;
    }
    let mut server = world.server.borrow_mut();
    server.note_latency("aof-fsync-always", clock::micros().saturating_sub(began));
    world.disk().release(&mut server);
    server.retry_waits();
    true
}

/// Sends the replies that are cleared.
fn flush(world: &Rc<World>) {
    let mut touched = std::mem::take(&mut world.server.borrow_mut().touched);
    let mut later = Vec::new();
    for &slot in &touched {
        let more = match world.server.borrow_mut().clients.get_mut(slot) {
            Some(client) => {
                client.touched = false;
                client.out.len() > client.cleared
            }
            None => continue,
        };
        if more {
            later.push(slot);
        }
        if let Some(connection) = world.connection(slot) {
            world.send(&connection);
        }
    }
    touched.clear();
    let mut server = world.server.borrow_mut();
    if server.touched.is_empty() {
        server.touched = touched; // its capacity serves the next turn
    }
    if !later.is_empty() {
        for slot in later {
            server.touch(slot);
        }
        world.turn.notify_one();
    }
}
