//! Look-ups that are recorded all along, on every sentinel, and the judge of them: what a sentinel has said once, none may
//! take back (S1).

use super::{ALL_ALONG, Client, Member, WORKS, wait_for, wait_until};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Look-ups of each port that a test wants to have seen.
const ENOUGH: usize = 20;

/// A sentinel that says nothing for so long is given up, and asked anew.
const PATIENCE: Duration = Duration::from_secs(2);

/// A recorded answer. The stamps are drawn from one counter, so that an answer is known to have been given before
/// another was asked for where its end is below the other's beginning.
#[derive(Clone, Copy, Debug)]
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
    /// Held for reading while a look-up is under way.
    open: RwLock<()>,
}

/// Threads that ask every sentinel for the master, over and over.
pub struct Lookups {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The place in the sequence of masters that was reached when it was judged last.
    reached: usize,
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
        let lookups = Lookups { threads: threads.collect(), shared, reached: 0 };
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

    /// Judges what was recorded since the last time; how many answers that were. `masters` is the sequence of all
    /// masters since the beginning, one for each promotion.
    pub fn judge(&mut self, masters: &[u16]) -> Result<usize, String> {
        let mut batch = {
            let _none_under_way = self.shared.open.write().expect("not poisoned");
            std::mem::take(&mut *self.shared.seen.lock().expect("not poisoned"))
        };
        batch.sort_by_key(|lookup| lookup.asked);
        // Each answer is taken to be of the earliest place that it can be of: the least that it rules out.
        let (mut floor, mut under_way): (_, Vec<(usize, &Lookup)>) = ((self.reached, None), Vec::new());
        for lookup in &batch {
            under_way.retain(|&(place, other)| {
                let over = other.answered < lookup.asked;
                if over && place > floor.0 {
                    floor = (place, Some(other));
                }
                !over
            });
            let Some(place) = (floor.0..masters.len()).find(|&place| masters[place] == lookup.port) else {
                let newest = floor.1;
                return Err(format!("{newest:?} was answered before {lookup:?} was asked, of the masters {masters:?}"));
            };
            under_way.push((place, lookup));
        }
        self.reached = under_way.iter().map(|(place, _)| *place).max().unwrap_or(0).max(floor.0);
        Ok(batch.len())
    }

    /// Ends, and judges.
    #[track_caller]
    pub fn end(mut self, masters: &[u16]) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in std::mem::take(&mut self.threads) {
            thread.join().expect("a recorder");
        }
        let ports: Vec<u16> = self.shared.seen.lock().expect("not poisoned").iter().map(|lookup| lookup.port).collect();
        if let Err(why) = self.judge(masters) {
            panic!("{why}");
        }
        for port in masters {
            assert!(ports.contains(port), "{port} was never named");
        }
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

fn record(sentinel: u16, shared: &Shared) {
    let mut client = None;
    wait_for("the test ends", ALL_ALONG, || {
        let Ok(_under_way) = shared.open.read() else { return Some(()) };
        let asked = shared.stamp.fetch_add(1, Ordering::SeqCst);
        match master_port(&mut client, sentinel) {
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

/// The master that a sentinel names; none while the sentinel is gone, or says that it cannot tell.
pub fn master_port(client: &mut Option<Client>, sentinel: u16) -> Option<u16> {
    if client.is_none() {
        *client = Client::connect(sentinel).ok();
        client.as_mut()?.patience(PATIENCE);
    }
    let reply = client.as_mut()?.try_cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "myMaster"]).ok()?;
    let port = reply.items()?.get(1)?.int()?;
    u16::try_from(port).ok()
}
