//! Newtypes and limits that every layer shares.
//!
//! Owns: units ([`Millis`], [`Offset`], [`Epoch`]), identities ([`ReplId`], [`RunId`], [`GroupId`]), the limits of queues and sizes
//! ([`limits`]), and the two text rules that Redis applies everywhere: how a number is read ([`number`]) and how a
//! pattern matches ([`glob`]). It imports nothing of the crate and does no IO: randomness and time are arguments.
//!
//! Tests: `cargo test --lib base::`.

pub mod extended;
pub mod glob;
mod ids;
pub mod limits;
pub mod number;
mod units;

pub use ids::{GroupId, ReplId, RunId};
pub use units::{Epoch, Millis, Offset};
