//! What goes on beside the walk: a writer whose count is known.

use crate::support::{ALL_ALONG, Client, WORKS, wait_for, wait_until};
use regent::resp::Frame;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How often a writer counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Acknowledged with a number.
    pub acknowledged: u64,
    /// Sent, and not answered: applied once or never.
    pub unknown: u64,
}

/// A thread that counts up one key, and goes on whatever happens to the server.
pub struct Writer {
    stop: Arc<AtomicBool>,
    counted: Arc<Mutex<Counted>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Begins to write to that port.
    pub fn begin(port: u16) -> Writer {
        let (stop, counted) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Counted::default())));
        let shared = (stop.clone(), counted.clone());
        let thread = std::thread::spawn(move || {
            let (stop, counted) = shared;
            let mut client = None;
            wait_for("the walk ends", ALL_ALONG, || {
                burst(&mut client, port, &counted);
                stop.load(Ordering::SeqCst).then_some(())
            });
        });
        Writer { stop, counted, thread }
    }

    /// Waits until writes that begin after this call were acknowledged.
    #[track_caller]
    pub fn wait_for_more(&self) {
        let before = self.counted.lock().expect("not poisoned").acknowledged;
        wait_until("writes are acknowledged", WORKS, || {
            self.counted.lock().expect("not poisoned").acknowledged > before + 50
        });
    }

    /// Ends.
    #[track_caller]
    pub fn end(self) -> Counted {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("a writer");
        *self.counted.lock().expect("not poisoned")
    }
}

/// Some writes, each waiting for its reply.
fn burst(client: &mut Option<Client>, port: u16, counted: &Mutex<Counted>) {
    for _ in 0..10 {
        if client.is_none() {
            *client = Client::connect(port).ok();
        }
        let Some(connection) = client else { return };
        let reply = connection.try_cmd(&["INCR", "counter"]);
        let mut counted = counted.lock().expect("not poisoned");
        match reply {
            Ok(Frame::Int(_)) => counted.acknowledged += 1,
            Ok(_) => return,
            Err(_) => {
                counted.unknown += 1;
                *client = None;
                return;
            }
        }
    }
}
