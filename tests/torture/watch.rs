//! What the logs tell: full copies and why they were due, thrown away tails, and the sequence of masters.

use crate::ledger::{Stamps, Tail};
use crate::support::{Member, Topology};

/// The lines by which a master says why it serves a full copy.
const REASONS: [&str; 3] = [
    "Full resync requested by replica ",
    "Partial resynchronization not accepted: ",
    "Unable to partial resync with replica ",
];

/// A tail that gives way to a full copy: `Replica <ip>:<port> has diverged: what it holds after offset <n> up to offset
/// <n> is not in this history, and gives way to a full copy.`
const DIVERGED: &str = " has diverged: what it holds after offset ";

/// A master that serves a full copy.
#[derive(Clone, Debug)]
pub struct Full {
    pub by: String,
    pub reason: String,
    /// The asker has a tail of its own.
    pub diverged: bool,
}

/// How far the logs were read.
pub struct Watch {
    nodes: Vec<usize>,
    sentinels: Vec<usize>,
    /// Full copies that each node has given a reason for since its last start.
    given: Vec<i64>,
    /// Found since the last rest.
    pub fulls: Vec<Full>,
    pub tails: Vec<Tail>,
    /// All masters since the beginning.
    pub masters: Vec<u16>,
}

impl Watch {
    /// Begins behind what the founding has left in the logs.
    pub fn begin(topology: &Topology, stamps: &Stamps) -> Watch {
        let (nodes, sentinels) = (vec![0; topology.nodes.len()], vec![0; topology.sentinels.len()]);
        let given = vec![0; topology.nodes.len()];
        let masters = vec![topology.nodes[0].port];
        let mut watch = Watch { nodes, sentinels, given, fulls: Vec::new(), tails: Vec::new(), masters };
        watch.read(topology, stamps);
        watch.fulls.clear();
        watch
    }

    /// A node was started again: its counters are at zero.
    pub fn started(&mut self, node: usize) {
        self.given[node] = 0;
    }

    /// Reads on.
    pub fn read(&mut self, topology: &Topology, stamps: &Stamps) {
        for (index, node) in topology.nodes.iter().enumerate() {
            let text = new_lines(node, &mut self.nodes[index]);
            for line in text.lines() {
                if REASONS.iter().any(|reason| line.contains(reason)) {
                    self.given[index] += 1;
                    self.fulls.push(Full { by: node.name.clone(), reason: line.to_string(), diverged: false });
                }
                let Some(tail) = parse_tail(line, topology, stamps) else { continue };
                if let Some(full) = self.fulls.last_mut() {
                    full.diverged = true;
                }
                self.tails.push(tail);
            }
        }
        let mut switches = Vec::new();
        for (index, sentinel) in topology.sentinels.iter().enumerate() {
            let text = new_lines(sentinel, &mut self.sentinels[index]);
            switches.extend(text.lines().filter_map(parse_switch));
        }
        switches.sort();
        for (_, from, to) in switches {
            if self.masters.last() == Some(&from) {
                self.masters.push(to);
            }
        }
    }

    /// The node counts the full copies that it gave a reason for, and no other.
    pub fn counted(&self, topology: &Topology) -> Result<(), String> {
        for (node, given) in topology.nodes.iter().zip(&self.given) {
            let counted = node.try_info("stats").ok_or("no INFO")?.int("sync_full");
            if counted != *given {
                return Err(format!("{} counts {counted} full copies, and gave {given} reasons", node.name));
            }
        }
        Ok(())
    }
}

/// The whole lines behind `from`, which moves on.
fn new_lines(member: &Member, from: &mut usize) -> String {
    let log = member.log();
    let new = &log[*from..];
    let end = new.rfind('\n').map_or(0, |end| end + 1);
    *from += end;
    new[..end].to_string()
}

fn parse_tail(line: &str, topology: &Topology, stamps: &Stamps) -> Option<Tail> {
    let (head, rest) = line.split_once(DIVERGED)?;
    let port: u16 = head.rsplit(':').next()?.parse().ok()?;
    let node = topology.nodes.iter().position(|node| node.port == port)?;
    let mut words = rest.split(' ');
    let common = words.next()?.parse().ok()?;
    let end = words.nth(3)?.parse().ok()?;
    Some(Tail { node, common, end, found: stamps.next() })
}

/// `<pid>:X <day> <month> <year> <time> # +switch-master myMaster <ip> <port> <ip> <port>`: when, from, to.
fn parse_switch(line: &str) -> Option<(String, u16, u16)> {
    let (head, rest) = line.split_once(" +switch-master myMaster ")?;
    let time = head.split(' ').nth(4)?.to_string();
    let words: Vec<&str> = rest.split(' ').collect();
    Some((time, words.get(1)?.parse().ok()?, words.get(3)?.trim_end().parse().ok()?))
}
