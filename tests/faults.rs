//! Bad input and faults, each as a user meets it: the text that is read, and nothing lost of what was acknowledged.
//!
//! | fault | stands in |
//! |---|---|
//! | garbage, `*2147483647`, `$-5`, nesting, truncated frames, 512 MB and one byte more | `wire`; all error texts: `resp::request` and `fuzz_wire` |
//! | torn log tail, a flipped bit in the log | `dir`; at every byte: `store::log` |
//! | a half of the store is missing, a damaged or cut off checkpoint | `dir`; at every step: `store::checkpoint`, `store::torture` |
//! | kill -9 while checkpoints run | `node.rs` (`nothing_acknowledged_is_lost_or_done_twice`) |
//! | two processes on one `dir`, port in use, a `dir` that can't be written | `dir` |
//! | disk full and space again, for a master, a replica, a stop; a turn larger than the log's reserve | `full`; the log alone: `store::log` |
//! | a failed fsync | `runtime::disk`, over a disk that fails on demand |
//! | wrong masterauth, a master that sends a broken RDB or closes in its middle | `replication.rs` |
//! | a replica that stops reading for a while | `links` |
//! | a sentinel.conf that can't be rewritten, a foreign group, a step of the wall clock | `sentinel` |

#[path = "faults/dir.rs"]
mod dir;
#[path = "faults/full.rs"]
mod full;
#[path = "faults/links.rs"]
mod links;
#[path = "faults/sentinel.rs"]
mod sentinel;
mod support;
#[path = "faults/wire.rs"]
mod wire;
