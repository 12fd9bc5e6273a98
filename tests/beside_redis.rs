//! Random commands over all types, on a node and on a real redis-server side by side: replies and digests are the same,
//! a replica that is fed the stream agrees, and so does a node that reads the whole stream as its log.
//!
//! A failure names its seed: `SEED=n cargo test --test beside_redis` walks that one alone.

mod in_process;
mod judge;
mod walk;

use in_process::{Node, Replica};
use judge::Judge;
use regent::base::StreamId;
use regent::command::{Kind, Origin, Server, Slot};
use regent::keyspace::Group;
use regent::resp::{Args, Frame, command};
use regent::session::StreamReader;
use walk::{Dice, in_order, random_command};

const SEEDS: u64 = 12;
const STEPS: usize = 2500;

struct World {
    node: Node,
    slot: Slot,
    replica: Replica,
    stream: Vec<u8>,
}

impl World {
    fn new() -> World {
        let mut node = Node::new("enable-debug-command yes");
        let slot = node.connect();
        World { node, slot, replica: Replica::new(), stream: Vec::new() }
    }

    fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Frame {
        let mut bytes = Vec::new();
        command(words, &mut bytes);
        self.node.send(self.slot, &bytes);
        let fed = self.node.fed();
        self.replica.obey(&fed);
        self.stream.extend_from_slice(&fed);
        self.node.heard(self.slot).remove(0)
    }
}

/// Who has which entry of a stream, since when and how often, and how far the groups have read.
fn groups(server: &Server) -> Vec<String> {
    let keyspace = &server.keyspace;
    let streams = ["x1", "x2"].map(|name| keyspace.db(0).get(keyspace.key(name.as_bytes())));
    let groups = streams.into_iter().flatten().filter_map(|entry| entry.stream()).flat_map(|stream| stream.groups());
    let shown = |group: &Group| {
        let name = |name: &[u8]| name.escape_ascii().to_string();
        let consumers: Vec<_> = group.consumers().map(|(_, it)| (name(&it.name), it.pending())).collect();
        let owner = |number: u32| group.consumer(number).map(|consumer| name(&consumer.name));
        let pending = group.pending_from(StreamId::MIN);
        let pending: Vec<_> = pending.map(|it| (it.id, owner(it.consumer), it.delivered, it.count)).collect();
        format!("{} {} {:?} {consumers:?} {pending:?}", name(&group.name), group.last, group.read)
    };
    groups.map(shown).collect()
}

fn walk(seed: u64, judge: &mut Judge) {
    let mut dice = Dice::new(seed);
    let mut world = World::new();
    judge.clear();
    let digest = |world: &mut World, judge: &mut Judge| {
        judge.send(1, &["DEBUG", "DIGEST"]);
        let ours = world.ask(&["DEBUG", "DIGEST"]);
        assert_eq!(ours, judge.hear(1), "the digest");
        let replica = world.replica.node.server.keyspace.digest();
        assert_eq!(replica, world.node.server.keyspace.digest(), "the replica's digest");
        assert_eq!(groups(&world.replica.node.server), groups(&world.node.server), "the replica's groups");
    };
    for step in 0..STEPS {
        let words = random_command(&mut dice);
        judge.send(1, &words);
        let ours = in_order(&words, world.ask(&words));
        let theirs = in_order(&words, judge.hear(1));
        assert_eq!(ours, theirs, "step {step}: {words:?}");
        if step % 25 == 0 {
            digest(&mut world, judge);
        }
    }
    digest(&mut world, judge);
    let mut reread = Node::new("");
    let slot = reread.server.connect(Kind::Stream, String::new(), String::new(), -1);
    let mut reader = StreamReader::new(slot, Origin::Log);
    reader.input(&mut reread.server, &world.stream, &mut Args::default()).expect("a valid stream");
    assert_eq!(reread.server.keyspace.digest(), world.node.server.keyspace.digest(), "read as the log");
    assert_eq!(groups(&reread.server), groups(&world.node.server), "read as the log");
}

#[test]
fn all_types_are_as_in_redis() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut judge = Judge::start(dir.path());
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).expect("SEED is a number"),
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let walked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| walk(seed, &mut judge)));
        assert!(walked.is_ok(), "SEED={seed} cargo test --test beside_redis");
    }
}
