//! The thread that drops what takes time to free: bulky values, databases that were flushed.

use super::allocator;
use crate::command::{Server, Trash};
use crate::store;
use crossbeam_channel::{Sender, TrySendError, bounded};

/// Batches on their way: a turn sends one at most.
const BATCHES_MAX: usize = 64;

/// What waits here while the queue is full is dropped by the loop from this many on.
const WAITING_MAX: usize = 4096;

/// The way to that thread.
pub struct Freeing {
    to: Sender<Vec<Trash>>,
}

impl Freeing {
    /// Starts it; it ends with the process.
    pub fn start() -> Freeing {
        let (to, from) = bounded::<Vec<Trash>>(BATCHES_MAX);
        let run = move || {
            allocator::become_freer();
            store::give_way();
            from.iter().flatten().for_each(drop);
        };
        let started = std::thread::Builder::new().name("freeing".into()).spawn(run);
        drop(started.expect("the system has threads"));
        Freeing { to }
    }

    /// Sends what this turn left, and what a checkpoint is done with.
    pub fn send(&self, server: &mut Server) {
        if let Some(garbage) = server.keyspace.take_garbage() {
            server.garbage.push(Trash::databases(garbage));
        }
        if server.garbage.is_empty() {
            return;
        }
        let batch = server.garbage.take();
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = self.to.try_send(batch)
            && batch.len() < WAITING_MAX
        {
            server.garbage.put_back(batch);
        }
    }
}
