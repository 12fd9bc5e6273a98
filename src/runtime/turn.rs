//! The end of a turn: what was fed goes to the log with one write, then to the replicas, then the replies go out.
//!
//! ```text
//! clients execute ... (ready tasks) ──> turn: append ─ fsync? ─ release ─ replicas ─ replies ─ asks
//! ```
//! No reply leaves before the bytes of the effects that it may have seen are in the log, and with `appendfsync always`
//! on the disk. What a client adds to its buffer while the turn waits is not part of it: only `cleared` bytes are sent.

use super::disk::Appended;
use super::world::World;
use super::{asks, links};
use crate::command::Server;
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
    loop {
        let appended = {
            let mut server = world.server.borrow_mut();
            clear(&mut server);
            server.stats.turns += 1;
            world.disk.borrow_mut().append(&mut server)
        };
        match appended {
            Appended::All => break,
            Appended::Later => {
                let _ = tokio::time::timeout(RETRY, world.log_bell.notified()).await;
            }
            Appended::Fault => tokio::time::sleep(RETRY).await,
        }
        // What came in while it waited is part of this turn now: it is appended with the next try.
    }
    synced(world).await;
    links::released(world);
    flush(world);
    asks::perform(world);
}

/// What stands in the buffers now belongs to this turn.
fn clear(server: &mut Server) {
    for index in 0..server.touched.len() {
        let slot = server.touched[index];
        if let Some(client) = server.clients.get_mut(slot) {
            client.cleared = client.out.len();
        }
    }
}

/// With `appendfsync always`: until the turn's bytes are on the disk.
async fn synced(world: &Rc<World>) {
    loop {
        {
            let server = world.server.borrow();
            let disk = world.disk.borrow();
            let Some(log) = disk.store.log() else { return };
            if server.config.settings.appendfsync != AppendFsync::Always || log.fault().is_some() {
                return;
            }
            if log.synced() >= server.stream.released() {
                return;
            }
            log.sync_request();
        }
        world.log_bell.notified().await;
    }
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
