//! The commands, one file per family. Each file declares its rows and holds their handlers; [`FAMILIES`] is the table.

use super::spec::{Group, NONE, Spec, spec};

mod string;

/// All rows.
pub const FAMILIES: &[&[Spec]] = &[string::ROWS];

/// The row of "no command yet".
pub static NOTHING: &Spec = &spec("", 1, NONE, Group::Server, |_, _| Ok(()));
