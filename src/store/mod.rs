//! What outlives the process, and the only user of sled.
//!
//! `group.rs` keeps the records of a sentinel's Raft group.

pub mod group;
