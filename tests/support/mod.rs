//! What the process tests stand on: real servers in directories of their own, a client, and waiting for a condition.
//!
//! A server's log is kept and shown when its test fails; a server never outlives the value that started it. Nothing here
//! sleeps but the poll of [`wait_until`].

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

mod client;
mod disk;
mod lookups;
mod process;
mod topology;
mod wait;

pub use client::{Client, Info};
pub use disk::SmallDisk;
pub use lookups::{Lookups, master_port};
pub use process::{Dir, Server};
pub use topology::{Member, Topology, WORKS};
pub use wait::{ALL_ALONG, SOON, clock, wait_for, wait_until};

/// A generator of numbers from a seed (splitmix64), so that a run can be told and repeated.
pub struct Dice(pub u64);

impl Dice {
    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}
