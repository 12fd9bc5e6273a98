//! The commands, one file per family. Each file declares its rows and holds their handlers; [`FAMILIES`] is the table.

use super::spec::{Group, NONE, Spec, spec};

mod counter;
mod expire;
mod keys;
mod pubsub;
mod scan;
mod string;
mod substring;
mod transaction;

/// All rows.
pub const FAMILIES: &[&[Spec]] = &[
    string::ROWS,
    substring::ROWS,
    counter::ROWS,
    keys::ROWS,
    scan::ROWS,
    expire::ROWS,
    transaction::ROWS,
    pubsub::ROWS,
];

/// The row of "no command yet".
pub static NOTHING: &Spec = &spec("", 1, NONE, Group::Server, |_, _| Ok(()));
