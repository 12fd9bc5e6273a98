//! What the process tests stand on: real servers in directories of their own, a client, and waiting for a condition.
//!
//! A server's log is kept and shown when its test fails; a server never outlives the value that started it. Nothing here
//! sleeps but the poll of [`wait_until`].

#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

mod client;
mod crashes;
mod disk;
mod lookups;
mod port;
mod process;
mod topology;
mod wait;

pub use client::{Client, Info};
pub use crashes::{Crashes, Load};
pub use disk::SmallDisk;
pub use lookups::{Lookups, master_port};
pub use port::free_port;
pub use process::{Dir, Server};
pub use regent::base::Dice;
pub use topology::{Member, Topology, WORKS};
pub use wait::{ALL_ALONG, SOON, clock, wait_for, wait_until};
