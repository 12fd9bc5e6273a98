//! The commands, one file per family. Each file declares its rows and holds their handlers; [`FAMILIES`] is the table.

use super::spec::{Group, NONE, Spec, spec};

mod acl;
mod bitfield;
mod bitmap;
mod client;
mod cluster;
mod command;
mod config;
pub mod connection;
mod counter;
mod debug;
mod dump;
mod expire;
mod failover;
mod function;
mod geo;
mod geo_search;
mod hash;
pub mod help;
mod hyperloglog;
mod info;
mod keys;
mod latency;
mod lcs;
mod list;
mod list_blocking;
mod lolwut;
mod memory;
pub(super) mod migrate;
mod object;
mod persistence;
mod pubsub;
mod random;
mod replication;
mod scan;
mod script;
mod server;
mod set;
mod slowlog;
mod sort;
mod stream;
mod stream_claim;
mod stream_group;
mod stream_info;
mod stream_read;
mod stream_words;
mod string;
mod substring;
mod transaction;
mod wait;
mod zset;
mod zset_combine;
mod zset_range;

pub(super) use wait::NO_LOG;

/// All rows.
pub const FAMILIES: &[&[Spec]] = &[
    string::ROWS,
    substring::ROWS,
    lcs::ROWS,
    bitmap::ROWS,
    bitfield::ROWS,
    hyperloglog::ROWS,
    geo::ROWS,
    geo_search::ROWS,
    counter::ROWS,
    hash::ROWS,
    list::ROWS,
    list_blocking::ROWS,
    set::ROWS,
    zset::ROWS,
    zset_range::ROWS,
    zset_combine::ROWS,
    stream::ROWS,
    stream_read::ROWS,
    stream_group::ROWS,
    stream_claim::ROWS,
    stream_info::ROWS,
    keys::ROWS,
    sort::ROWS,
    dump::ROWS,
    migrate::ROWS,
    object::ROWS,
    memory::ROWS,
    lolwut::ROWS,
    scan::ROWS,
    expire::ROWS,
    transaction::ROWS,
    script::ROWS,
    function::ROWS,
    pubsub::ROWS,
    connection::ROWS,
    client::ROWS,
    info::ROWS,
    config::ROWS,
    command::ROWS,
    replication::ROWS,
    wait::ROWS,
    failover::ROWS,
    persistence::ROWS,
    server::ROWS,
    cluster::ROWS,
    slowlog::ROWS,
    latency::ROWS,
    acl::ROWS,
    debug::ROWS,
];

/// The row of "no command yet".
pub static NOTHING: &Spec = &spec("", 1, NONE, Group::Server, |_, _| Ok(()));
