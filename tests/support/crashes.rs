//! Clients at work on a node that is killed again and again.

use super::{Client, Dice, SOON, Server, wait_for, wait_until};
use regent::resp::Frame;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the clients hear of who kills the node, and tell them.
pub struct Load {
    port: u16,
    steps: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// A new connection, as soon as the node is back.
    pub fn connect(&self) -> Client {
        wait_for("the node is back", SOON, || {
            let mut client = Client::connect(self.port).ok()?;
            matches!(client.try_cmd(&["PING"]), Ok(Frame::Simple(_))).then_some(client)
        })
    }

    /// A client has done something that it was told of.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// The last crash is over: a client looks at what it has done once more, and ends.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// How the node is killed.
pub struct Crashes {
    pub seed: u64,
    pub count: u64,
    /// The fewest steps between two, and how many may be added.
    pub steps: (u64, u64),
}

impl Crashes {
    /// Runs `client` for each of the numbers below `clients`, and kills and restarts the node meanwhile; `before` each
    /// kill, which it is given the number of, something may be asked. What a client finds wrong fails the test.
    pub fn during(
        self,
        node: &mut Server,
        clients: usize,
        client: impl Fn(usize, &Load) + Sync,
        before: impl Fn(&Server, u64),
    ) {
        let load = Load { port: node.port, steps: AtomicU64::new(0), over: AtomicBool::new(false) };
        std::thread::scope(|scope| {
            for me in 0..clients {
                let (client, load) = (&client, &load);
                scope.spawn(move || client(me, load));
            }
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut dice = Dice(self.seed);
                for kill in 0..self.count {
                    let steps = || load.steps.load(Ordering::Relaxed);
                    let until = steps() + self.steps.0 + dice.below(self.steps.1);
                    wait_until("the load goes on", SOON, || steps() >= until);
                    before(node, kill);
                    node.crash();
                }
            }));
            load.over.store(true, Ordering::Relaxed);
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic);
            }
        });
    }
}
