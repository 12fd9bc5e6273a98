//! The configuration of a node and of a sentinel: redis.conf, sentinel.conf, the command line, and CONFIG.
#![allow(clippy::module_inception)]

mod config;
mod document;
mod error;
mod honoured;
mod kept;
mod kind;
mod lines;
mod live;
mod load;
mod rewrite;
mod sentinel;
mod table;
mod title;
mod types;

pub use config::{Config, Role};
pub use error::{ConfigError, LineError};
pub use honoured::Settings;
pub use kind::{Form, Kind};
pub use live::{Change, SetAccess, SetError};
pub use rewrite::RewriteError;
pub use sentinel::{KnownReplica, KnownSentinel, Lookup, MasterConfig, ScriptsReconfig, SentinelSettings};
pub use table::{Directive, Flags};
pub use title::{TitleVars, process_title};
pub use types::*;
