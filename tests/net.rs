//! Sockets of a node as clients meet them: real processes, and `redis-cli` as a client that is not ours.

mod support;

#[path = "net/busy.rs"]
mod busy;
#[path = "net/eviction.rs"]
mod eviction;
#[path = "net/memory.rs"]
mod memory;
#[path = "net/stop.rs"]
mod stop;
#[path = "net/tls.rs"]
mod tls;
#[path = "net/unix.rs"]
mod unix;
