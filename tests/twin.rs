//! Random commands on a node, and on its simpler twin: a plain map. Replies are the same, what clients see is the same;
//! a replica that is fed the stream, in pieces of any size, holds the same entries at the end of every unit, due ones
//! included; and so does a node that reads the whole stream as its log.
//!
//! A failure names its seed: `SEED=n cargo test --test twin` walks that one alone.

mod in_process;
mod twin_model;

use in_process::{Node, Replica};
use regent::base::Millis;
use regent::command::{Kind, Origin, Server};
use regent::resp::{Args, Frame, command};
use regent::session::StreamReader;
use std::collections::BTreeMap;
use twin_model::{Held, Key, Model, Session};

const SEEDS: u64 = 40;
const STEPS: usize = 1500;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.roll(from.len())]
    }
}

/// A command, with times that matter at `now`.
fn random_command(dice: &mut Dice, now: i64) -> Vec<String> {
    let long = "x".repeat(100 + dice.roll(20_000));
    let names = ["a", "b", "c", "d", "e", "f"];
    let values = ["", "1", "-7", "text", "007", "9223372036854775807", &long];
    let (key, other) = (dice.pick(&names), dice.pick(&names));
    let value = if dice.roll(10) == 0 { values[6] } else { dice.pick(&values[..6]) };
    let ms = &(1 + dice.roll(60)).to_string();
    let at = &(now + dice.roll(60) as i64 - 5).to_string();
    let db = &dice.roll(3).to_string();
    let words: Vec<&str> = match dice.roll(40) {
        0..3 => vec!["SET", key, value],
        3 => vec!["SET", key, value, "PX", ms],
        4 => vec!["SET", key, value, "PXAT", at],
        5 => vec!["SET", key, value, dice.pick(&["NX", "XX"]), "PX", ms],
        6 => vec!["SET", key, value, dice.pick(&["NX", "XX", "KEEPTTL"]), "GET"],
        7 => vec!["SET", key, value, "KEEPTTL"],
        8..10 => vec!["GET", key],
        10 => vec!["SETNX", key, value],
        11 => vec!["GETSET", key, value],
        12 => vec!["GETDEL", key],
        13 => vec!["GETEX", key, "PX", ms],
        14 => vec!["GETEX", key, "PXAT", at],
        15 => vec!["GETEX", key, "PERSIST"],
        16 => vec!["MSET", key, value, other, "2"],
        17 => vec!["MSETNX", key, value, other, "2"],
        18 => vec!["MGET", key, other],
        19 | 20 => vec!["APPEND", key, value],
        21 => vec!["SETRANGE", key, ms, value],
        22 => vec!["STRLEN", key],
        23..26 => vec!["INCRBY", key, dice.pick(&["1", "-3", "9223372036854775807"])],
        26 => vec![dice.pick(&["DEL", "UNLINK"]), key, other],
        27 => vec!["EXISTS", key, other],
        28 => vec![dice.pick(&["RENAME", "RENAMENX"]), key, other],
        29 | 30 => vec!["PEXPIRE", key, ms],
        31 => vec!["PEXPIRE", key, ms, dice.pick(&["NX", "XX", "GT", "LT"])],
        32 => vec!["PEXPIRE", key, "-1"],
        33 => vec!["PERSIST", key],
        34 => vec!["PTTL", key],
        35 => vec!["MOVE", key, db],
        36 => vec!["COPY", key, other, "REPLACE"],
        37 => vec!["SELECT", db],
        38 => match dice.roll(6) {
            0 => vec!["FLUSHDB"],
            1 => vec!["SWAPDB", db, "1"],
            _ => vec!["KEYS", "*"],
        },
        _ => vec!["INCRBY", key, "10"],
    };
    words.into_iter().map(str::to_string).collect()
}

/// All entries of a node, due ones too.
fn entries(server: &Server) -> BTreeMap<Key, Held> {
    let dbs = server.keyspace.dbs().enumerate();
    let entries = dbs.flat_map(|(db, entries)| entries.iter().map(move |entry| (db as u32, entry)));
    entries
        .map(|(db, entry)| {
            let name = String::from_utf8_lossy(entry.key()).into_owned();
            let value = entry.string().expect("a string").to_vec();
            ((db, name), (value, entry.deadline().map(|deadline| deadline.0)))
        })
        .collect()
}

struct World {
    master: Node,
    replica: Replica,
    model: Model,
    clients: Vec<(usize, Session)>,
    stream: Vec<u8>,
    units: usize,
}

impl World {
    fn new() -> World {
        let mut master = Node::new("");
        let clients = (0..2).map(|_| (master.connect(), Session::default())).collect();
        World { master, replica: Replica::new(), model: Model::default(), clients, stream: Vec::new(), units: 0 }
    }

    fn now(&self) -> i64 {
        self.master.server.wall.0
    }

    fn ask(&mut self, client: usize, words: &[String], dice: &mut Dice) {
        let now = self.now();
        let (slot, session) = &mut self.clients[client];
        let mut bytes = Vec::new();
        command(words, &mut bytes);
        self.master.send(*slot, &bytes);
        let mut said = self.master.heard(*slot);
        let mut expected = vec![self.model.answer(session, words, now)];
        if words[0] == "KEYS" || words[0] == "EXEC" {
            said.iter_mut().chain(&mut expected).for_each(sort_keys);
        }
        assert_eq!(said, expected, "{words:?}");
        self.replicate(dice);
    }

    /// Hands the stream's new bytes to the replica, in pieces, and looks at both.
    fn replicate(&mut self, dice: &mut Dice) {
        let bytes = self.master.fed();
        self.stream.extend_from_slice(&bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(1 + dice.roll(rest.len()).min(dice.roll(200)));
            self.replica.obey(piece);
            rest = more;
        }
        let (master, replica) = (&mut self.master, &mut self.replica);
        assert_eq!(replica.unfinished_bytes(), 0, "a request feeds whole units");
        assert_eq!(replica.node.fed(), bytes, "the replica's stream is the master's");
        assert_eq!(replica.node.server.stream.end(), master.server.stream.end());
        assert_eq!(entries(&replica.node.server), entries(&master.server));
        self.units += usize::from(!bytes.is_empty());
    }

    /// Clients see what the twin holds.
    fn check(&mut self) {
        let now = self.now();
        self.model.expire(now);
        let mut seen = entries(&self.master.server);
        seen.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| now <= deadline));
        assert_eq!(seen, self.model.map);
        assert_eq!(self.replica.node.server.keyspace.digest(), self.master.server.keyspace.digest());
        assert_eq!(self.replica.node.server.stats.unexpected_errors, 0, "the stream was refused");
    }

    /// A node that reads the stream as its log holds the same.
    fn read_as_log(&self) {
        let mut node = Node::new("");
        let slot = node.server.connect(Kind::Stream, String::new(), String::new(), -1);
        let mut reader = StreamReader::new(slot, Origin::Log);
        for piece in self.stream.chunks(1000) {
            reader.input(&mut node.server, piece, &mut Args::default()).expect("a valid stream");
        }
        assert_eq!(entries(&node.server), entries(&self.master.server));
        assert!(node.fed().is_empty(), "reading the log feeds nothing");
    }
}

fn sort_keys(frame: &mut Frame) {
    if let Frame::Array(items) = frame {
        items.iter_mut().for_each(sort_keys);
        if items.iter().all(|item| matches!(item, Frame::Bulk(_))) {
            items.sort_by_key(|item| item.text().map(<[u8]>::to_vec));
        }
    }
}

fn walk(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995);
    let mut world = World::new();
    for step in 0..STEPS {
        let client = dice.roll(2);
        match dice.roll(12) {
            0 => {
                let span = Millis(dice.roll(40) as i64);
                world.master.wait(span);
                world.replica.node.wait(span);
            }
            1 => {
                world.master.server.expire_due(1 + dice.roll(5));
                world.replicate(&mut dice);
            }
            2 => {
                let word = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
                if dice.roll(2) == 0 {
                    world.ask(client, &word(&["WATCH", "a", "f"]), &mut dice);
                    if dice.roll(3) == 0 {
                        let words = random_command(&mut dice, world.now());
                        world.ask(1 - client, &words, &mut dice);
                    }
                }
                world.ask(client, &word(&["MULTI"]), &mut dice);
                for _ in 0..dice.roll(5) {
                    let words = random_command(&mut dice, world.now());
                    world.ask(client, &words, &mut dice);
                }
                let end = dice.pick(&["EXEC", "EXEC", "EXEC", "DISCARD"]);
                world.ask(client, &word(&[end]), &mut dice);
            }
            _ => {
                let words = random_command(&mut dice, world.now());
                world.ask(client, &words, &mut dice);
            }
        }
        if step % 50 == 0 {
            world.check();
        }
    }
    while world.master.server.expire_due(100) {}
    world.replicate(&mut dice);
    world.check();
    world.read_as_log();
    assert!(world.units > STEPS / 5, "only {} requests changed anything", world.units);
}

#[test]
fn a_node_its_twin_and_its_replica_agree() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).expect("SEED is a number"),
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let walked = std::panic::catch_unwind(|| walk(seed));
        assert!(walked.is_ok(), "SEED={seed} cargo test --test twin");
    }
}
