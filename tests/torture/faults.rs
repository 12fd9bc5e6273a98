//! What is done to the processes, drawn from the seed: who is struck, how, and when they come back.

use crate::support::Dice;
use std::fmt;

/// A process, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Node(usize),
    Sentinel(usize),
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// `kill -9`, and started again.
    Kill,
    /// Stopped for longer than down-after, and continued.
    Pause,
    /// The replicas among the targets are stopped while so many writes go on, then all targets are killed, and the master
    /// comes back last. Where both replicas are, what was acknowledged meanwhile is in the master's log alone; where one
    /// is, the other has it all, and nothing may be lost.
    Behind(u64),
}

/// When it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    AtOnce,
    /// After so many more writes were acknowledged.
    Writes(u64),
    /// Once the others believe it down; where it was the master, once there is another.
    Noticed,
}

/// One stroke.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Writes that are acknowledged before it.
    pub after: u64,
    pub targets: Vec<Target>,
    pub how: How,
    pub back: Back,
    /// A checkpoint is asked for just before.
    pub checkpoint: bool,
}

impl Fault {
    /// Draws one. `master` and `leader` are struck more often than their number would have it.
    pub fn draw(dice: &mut Dice, master: usize, leader: Option<usize>) -> Fault {
        let node = |dice: &mut Dice| match dice.below(2) {
            0 => master,
            _ => dice.below(3) as usize,
        };
        let sentinel = |dice: &mut Dice| match (dice.below(2), leader) {
            (0, Some(leader)) => leader,
            _ => dice.below(3) as usize,
        };
        let targets = match dice.below(22) {
            20.. => {
                let spared = Some(dice.below(6) as usize).filter(|node| *node != master);
                let targets = (0..3).filter(|node| Some(*node) != spared).map(Target::Node).collect();
                let how = How::Behind(1 + dice.below(200));
                return Fault { after: dice.below(300), targets, how, back: Back::Noticed, checkpoint: false };
            }
            0..10 => vec![Target::Node(node(dice))],
            10..14 => vec![Target::Sentinel(sentinel(dice))],
            14..17 => vec![Target::Node(node(dice)), Target::Sentinel(sentinel(dice))],
            17 => vec![Target::Node(master), Target::Sentinel(leader.unwrap_or_default())],
            18 => {
                let spared = dice.below(3) as usize;
                (0..3).filter(|node| *node != spared).map(Target::Node).collect()
            }
            _ => (0..3).map(Target::Node).collect(),
        };
        let nodes = targets.iter().filter(|target| matches!(target, Target::Node(_))).count();
        let how = if dice.below(6) == 0 { How::Pause } else { How::Kill };
        let back = match dice.below(3) {
            // Of fewer than two nodes no writes are taken, and none is promoted where all are gone.
            _ if nodes > 1 => Back::AtOnce,
            _ if how == How::Pause => Back::Noticed,
            0 => Back::AtOnce,
            1 => Back::Writes(1 + dice.below(300)),
            _ => Back::Noticed,
        };
        let how = if nodes > 1 { How::Kill } else { how };
        Fault { after: dice.below(300), targets, how, back, checkpoint: dice.below(3) == 0 }
    }

    /// Whether the node is struck.
    pub fn strikes(&self, node: usize) -> bool {
        self.targets.contains(&Target::Node(node))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} writes", self.after)?;
        if self.checkpoint {
            write!(f, " and in a checkpoint")?;
        }
        write!(f, ", {:?} ", self.how)?;
        for (at, target) in self.targets.iter().enumerate() {
            let and = if at > 0 { " and " } else { "" };
            match target {
                Target::Node(index) => write!(f, "{and}node{}", index + 1)?,
                Target::Sentinel(index) => write!(f, "{and}sentinel{}", index + 1)?,
            }
        }
        write!(f, ", back {:?}", self.back)
    }
}
