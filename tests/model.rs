//! Random commands over all types on a node, its replica and a real redis-server, all of them processes, with `kill -9` of
//! node and replica in between: replies are the same, and so are the digests of all three.
//!
//! ```text
//! walk::random_command --pipelines--> node (kill -9) --stream--> replica (kill -9)
//!                      --pipelines--> redis-server                 replies and DEBUG DIGEST compared
//! ```
//! It takes twenty seconds; `REGENT_MODEL_S=3600 cargo test --test model` walks for an hour. A failure names its seed:
//! `SEED=n` takes that way again.

mod support;
mod walk;

use regent::resp::{Frame, command};
use std::time::Duration;
use support::{Client, Server, clock};
use walk::{Dice, in_order, random_command};

/// How long it walks, unless REGENT_MODEL_S says so.
const WALK: Duration = Duration::from_secs(20);

/// Commands of one walk, from empty databases; and the most that are sent at once.
const COMMANDS: usize = 4_000;
const PIPELINE_MAX: usize = 60;

/// Notifications are on, so that they are made all along.
const DIRECTIVES: [&str; 1] = ["notify-keyspace-events KEA"];

struct World {
    node: Server,
    replica: Server,
    redis: Server,
}

/// What happened on all walks.
#[derive(Debug, Default)]
struct Tally {
    walks: u64,
    commands: u64,
    crashes: u64,
    replica_crashes: u64,
    saves: u64,
    digests: u64,
}

impl World {
    fn start() -> World {
        let node = Server::node(&DIRECTIVES);
        let master = format!("replicaof 127.0.0.1 {}", node.port);
        let replica = Server::node(&[&DIRECTIVES[..], &[&master]].concat());
        World { node, replica, redis: Server::redis(&DIRECTIVES) }
    }

    /// Node and redis-server hold the same, and so does the replica once it is in step.
    fn compare(&self) {
        let digest = self.redis.digest();
        assert_eq!(self.node.digest(), digest, "the node's digest, redis-server's");
        self.replica.wait_in_step(&self.node);
        assert_eq!(self.replica.digest(), digest, "the replica's digest, redis-server's");
    }

    /// One walk, from nothing.
    fn walk(&mut self, seed: u64, tally: &mut Tally) {
        let mut dice = Dice::new(seed);
        for server in [&self.node, &self.redis] {
            server.ok("FLUSHALL");
        }
        let (mut ours, mut theirs) = (self.node.client(), self.redis.client());
        let mut done = 0;
        while done < COMMANDS {
            let batch: Vec<Vec<String>> = (0..=dice.roll(PIPELINE_MAX)).map(|_| random_command(&mut dice)).collect();
            let replies = [&mut ours, &mut theirs].map(|client| answers(client, &batch));
            for (at, words) in batch.iter().enumerate() {
                let [ours, theirs] = [0, 1].map(|side: usize| in_order(words, replies[side][at].clone()));
                assert_eq!(ours, theirs, "step {}: {words:?}", done + at);
            }
            done += batch.len();
            match dice.roll(40) {
                0 => {
                    self.node.crash();
                    ours = self.node.client();
                    tally.crashes += 1;
                }
                1 => {
                    self.replica.crash();
                    tally.replica_crashes += 1;
                }
                2 => {
                    // Not waited for: what follows meets a checkpoint under way.
                    let _ = self.node.ask("BGSAVE");
                    tally.saves += 1;
                }
                3 => {
                    self.compare();
                    tally.digests += 1;
                }
                _ => {}
            }
        }
        self.compare();
        self.node.crash();
        self.compare();
        tally.walks += 1;
        tally.commands += done as u64;
    }
}

/// Sends all, then reads a reply for each.
fn answers(client: &mut Client, batch: &[Vec<String>]) -> Vec<Frame> {
    let mut bytes = Vec::new();
    batch.iter().for_each(|words| command(words, &mut bytes));
    client.send_raw(&bytes).expect("sent");
    batch.iter().map(|words| client.receive().unwrap_or_else(|error| panic!("{words:?}: {error}"))).collect()
}

#[test]
fn all_types_are_as_in_redis_behind_crashes_too() {
    let chosen = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    let span = std::env::var("REGENT_MODEL_S").ok().map(|text| text.parse().expect("REGENT_MODEL_S is in seconds"));
    let until = clock() + span.map_or(WALK, Duration::from_secs);
    let mut world = World::start();
    let mut tally = Tally::default();
    for seed in chosen.unwrap_or(1).. {
        let walk = std::panic::AssertUnwindSafe(|| world.walk(seed, &mut tally));
        assert!(std::panic::catch_unwind(walk).is_ok(), "SEED={seed} cargo test --test model");
        if chosen.is_some() || clock() >= until {
            break;
        }
    }
    println!("{tally:?}");
}
