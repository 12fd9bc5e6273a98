//! Newtypes and limits that every layer shares.
//!
//! Owns: units ([`Millis`], [`Offset`], [`Epoch`]), identities ([`ReplId`], [`RunId`], [`GroupId`], [`StreamId`]), the limits of queues and
//! sizes ([`limits`]), luck that can be repeated ([`Dice`]), the version of Redis that we stand for, and the two text rules
//! that Redis applies everywhere: how a number is read ([`number`]) and how a pattern matches ([`glob`]). It imports
//! nothing of the crate and does no IO: randomness and time are arguments.
//!
//! Tests: `cargo test --lib base::`.

mod dice;
pub mod extended;
pub mod glob;
mod ids;
pub mod limits;
pub mod number;
mod stream_id;
mod units;

pub use dice::Dice;
pub use ids::{GroupId, ReplId, RunId};
pub use stream_id::{IdText, StreamId};
pub use units::{Epoch, Millis, Offset};

/// The version of Redis that nodes and sentinels stand for (`redis_version` of INFO, `redis-ver` of a full copy).
pub const REDIS_VERSION: &str = "7.2.4";
