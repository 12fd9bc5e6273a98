//! What goes on beside the walk: look-ups that are recorded all along, and a writer whose count is known.

use crate::support::{Client, wait_for, wait_until};
use crate::topology::{Member, WORKS};
use regent::resp::Frame;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than any walk.
const ALL_ALONG: Duration = Duration::from_secs(1800);

/// Look-ups of each port that a walk wants to have seen.
const ENOUGH: usize = 20;

/// A recorded answer. The stamps are drawn from one counter, so that an answer is known to have been given before
/// another was asked for where its end is below the other's beginning.
#[derive(Clone, Debug)]
struct Lookup {
    sentinel: u16,
    asked: u64,
    answered: u64,
    port: u16,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    stamp: AtomicU64,
    seen: Mutex<Vec<Lookup>>,
}

/// Threads that ask every sentinel for the master, over and over.
pub struct Lookups {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Lookups {
    /// Begins to record; every sentinel has answered when this returns.
    #[track_caller]
    pub fn begin(sentinels: &[Member]) -> Lookups {
        let shared = Arc::new(Shared::default());
        let ports: Vec<u16> = sentinels.iter().map(|sentinel| sentinel.port).collect();
        let threads = ports.iter().map(|&port| {
            let shared = shared.clone();
            std::thread::spawn(move || record(port, &shared))
        });
        let lookups = Lookups { threads: threads.collect(), shared };
        wait_until("each sentinel answers a look-up", WORKS, || {
            let seen = lookups.shared.seen.lock().expect("not poisoned");
            ports.iter().all(|&port| seen.iter().any(|lookup| lookup.sentinel == port))
        });
        lookups
    }

    /// Waits until that port was answered often.
    #[track_caller]
    pub fn enough_of(&self, port: u16) {
        wait_until("enough look-ups name the new master", WORKS, || {
            let seen = self.shared.seen.lock().expect("not poisoned");
            seen.iter().filter(|lookup| lookup.port == port).count() >= ENOUGH
        });
    }

    /// Ends, and judges: old, then new, and nowhere old again once anyone was told of the new one.
    #[track_caller]
    pub fn end(self, old: u16, new: u16) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a recorder");
        }
        let seen = self.shared.seen.lock().expect("not poisoned").clone();
        let stray = seen.iter().find(|lookup| lookup.port != old && lookup.port != new);
        assert!(stray.is_none(), "neither {old} nor {new}: {stray:?}");
        assert!(seen.iter().any(|lookup| lookup.port == old), "the old master was never named");
        let first = seen.iter().filter(|lookup| lookup.port == new).min_by_key(|lookup| lookup.answered);
        let first = first.expect("the new master was named");
        let backward = seen.iter().find(|lookup| lookup.port == old && lookup.asked > first.answered);
        assert!(backward.is_none(), "{first:?} was answered before {backward:?} was asked");
    }
}

fn record(sentinel: u16, shared: &Shared) {
    let mut client = None;
    wait_for("the walk ends", ALL_ALONG, || {
        let asked = shared.stamp.fetch_add(1, Ordering::SeqCst);
        match lookup(&mut client, sentinel) {
            Some(port) => {
                let answered = shared.stamp.fetch_add(1, Ordering::SeqCst);
                let lookup = Lookup { sentinel, asked, answered, port };
                shared.seen.lock().expect("not poisoned").push(lookup);
            }
            None => client = None,
        }
        shared.stop.load(Ordering::SeqCst).then_some(())
    });
}

/// An answer that names a master; none while the sentinel is gone, or says that it cannot tell.
fn lookup(client: &mut Option<Client>, sentinel: u16) -> Option<u16> {
    if client.is_none() {
        *client = Client::connect(sentinel).ok();
    }
    let reply = client.as_mut()?.try_cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "myMaster"]).ok()?;
    let port = reply.items()?.get(1)?.int()?;
    u16::try_from(port).ok()
}

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
