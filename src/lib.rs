//! Regent: a Redis-compatible data node that comes back from a crash where it left off, and a Redis Sentinel whose
//! agreed state lives in a Raft log.
//!
//! # Layers
//! A folder imports only folders of a lower number; siblings of one number do not import each other. `tests/tidy.rs`
//! reads this table and checks every `crate::` path and every owned external crate against it.
//!
//! ```text
//! layer 0 base         newtypes, limits, number and pattern rules of the Redis protocol
//! layer 1 resp         bytes <-> requests, replies, frames; owns redis_protocol
//! layer 1 config       one declared table of directives: redis.conf, sentinel.conf, argv, CONFIG
//! layer 1 keyspace     databases, values, expiry, dirty pages; no IO
//! layer 1 rdb          the RDB codec: bytes <-> items
//! layer 1 replication  pure: source (master's side), sink (replica's side), backlog, history
//! layer 1 failover     pure: observation, registry, moves, founding; what the group decides next
//! layer 2 store        the durable log and the checkpoint; owns sled
//! layer 2 script       Lua: its sandbox, its libraries, values to replies and back; owns mlua
//! layer 3 command      Spec, Args, Cx, the one gate, the table of commands; one file per family
//! layer 4 consensus    the Raft group; owns openraft
//! layer 4 session      one client without a socket: parsing, MULTI, subscriptions
//! layer 4 monitor      what one sentinel sees and answers: links' state, SENTINEL commands, events; no IO
//! layer 5 runtime      tasks, sockets, clocks, signals, threads; owns tokio
//! layer 6 node         assembly of `regent node`
//! layer 6 sentinel     assembly of `regent sentinel`
//! ```

pub mod base;
pub mod command;
pub mod config;
pub mod consensus;
pub mod failover;
pub mod keyspace;
pub mod monitor;
pub mod node;
pub mod rdb;
pub mod replication;
pub mod resp;
pub mod runtime;
pub mod script;
pub mod sentinel;
pub mod session;
pub mod store;
