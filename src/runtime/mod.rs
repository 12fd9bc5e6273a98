//! Tasks, sockets, clocks, threads, signals.
pub mod clock;
pub mod logging;
