//! What a directive is, and how one is found by name.
//!
//! The rows themselves stand in [`honoured`](super::honoured) (what means something here: a typed field of `Settings`)
//! and [`kept`](super::kept) (what only round-trips). Adding a directive is one row in one of the two.

use super::honoured::{HONOURED, Settings};
use super::kept::KEPT;
use super::kind::Kind;
use super::types::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One directive of redis.conf.
#[derive(Debug)]
pub struct Directive {
    /// Its name in Redis 7.2.
    pub name: &'static str,
    /// Its other names (`slave*`, `*ziplist*`, Valkey's).
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// The text of its default on a node.
    pub default: &'static str,
    /// When and how it may be changed and shown.
    pub flags: Flags,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Its field, if it means something here.
    pub field: Option<Field>,
}

/// Where a directive's value lives.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Reads it.
    pub get: fn(&Settings) -> Value,
    /// Writes it.
    pub set: fn(&mut Settings, Value),
}

/// Properties of a directive, added with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

/// May be changed by CONFIG SET.
pub const OPEN: u16 = 0;
/// Fixed at start.
pub const FIXED: u16 = 1;
/// Changed by CONFIG SET only under `enable-protected-configs`.
pub const GUARDED: u16 = 1 << 1;
/// A secret: never in the slow log, MONITOR or the server's log.
pub const SECRET: u16 = 1 << 2;
/// Shown by CONFIG GET only when asked for by its exact name.
pub const HIDDEN: u16 = 1 << 3;
/// Not to be changed while the data set is being loaded.
pub const NOT_LOADING: u16 = 1 << 4;
/// Means something to a sentinel too (and not to a node only).
pub const BOTH: u16 = 1 << 5;

impl Flags {
    /// Whether all of `flags` are set.
    pub const fn has(self, flags: u16) -> bool {
        self.0 & flags == flags
    }
}

impl Directive {
    /// Whether it means something here, to a process of this role.
    pub fn is_honoured(&self, sentinel: bool) -> bool {
        self.field.is_some() && (!sentinel || self.flags.has(BOTH))
    }
}

/// Every directive, sorted by name.
pub fn all() -> &'static [&'static Directive] {
    static ALL: LazyLock<Vec<&'static Directive>> = LazyLock::new(|| {
        let mut all: Vec<_> = HONOURED.iter().chain(KEPT).collect();
        all.sort_by_key(|directive| directive.name);
        all
    });
    &ALL
}

/// Every name and alias, sorted, with the directive it stands for.
pub fn names() -> &'static [(&'static str, &'static Directive)] {
    static NAMES: LazyLock<Vec<(&'static str, &'static Directive)>> = LazyLock::new(|| {
        let each = |directive: &'static Directive| {
            let names = std::iter::once(directive.name).chain(directive.aliases.iter().copied());
            names.map(move |name| (name, directive))
        };
        let mut names: Vec<_> = all().iter().copied().flat_map(each).collect();
        names.sort_by_key(|(name, _)| *name);
        names
    });
    &NAMES
}

/// The directive of this name or alias, in any case, with the name as the table spells it.
pub fn find(name: &[u8]) -> Option<(&'static str, &'static Directive)> {
    static INDEX: LazyLock<HashMap<&'static [u8], (&'static str, &'static Directive)>> =
        LazyLock::new(|| names().iter().map(|(name, directive)| (name.as_bytes(), (*name, *directive))).collect());
    INDEX.get(&name.to_ascii_lowercase()[..]).copied()
}

/// The words that a configuration file knows beside the directives.
pub const STATEMENTS: &[&str] = &["include", "loadmodule", "rename-command", "sentinel", "user"];

/// Directives of older versions, accepted with one argument and forgotten.
pub const FORGOTTEN: &[&str] = &["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

/// The known word that a mistyped one most probably stands for, if any is near enough.
pub fn nearest(typed: &str) -> Option<&'static str> {
    let typed = typed.to_ascii_lowercase();
    let known = names().iter().map(|(name, _)| *name).chain(STATEMENTS.iter().copied());
    nearest_of(&typed, known)
}

/// The nearest of `known`, if it is at most a third of its letters away.
pub fn nearest_of<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|name| (distance(typed.as_bytes(), name.as_bytes()), name)).min()?;
    (near.0 <= (near.1.len() / 3).clamp(1, 4)).then_some(near.1)
}

/// Insertions, deletions, replacements and swaps of neighbours from one to the other.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

macro_rules! honoured {
    ($($(#[doc = $doc:literal])+ $name:literal $(| $alias:literal)* = $default:literal, $kind:expr, $flags:expr
       => $field:ident: $type:ty;)*) => {
        /// What the directives that mean something here are set to: one field each, of the directive's name with `_`.
        /// Numbers are in the directive's own unit; sizes are bytes; an empty text is "none".
        #[derive(Clone, Debug)]
        pub struct Settings { $($(#[doc = $doc])+ pub $field: $type,)* }

        impl Default for Settings {
            fn default() -> Self {
                Settings { $($field: <$type as FieldValue>::from_value(($kind).parse_default($default)),)* }
            }
        }

        /// The rows of the table that have a field.
        pub(super) static HONOURED: &[Directive] = &[$(Directive {
            name: $name,
            aliases: &[$($alias),*],
            kind: $kind,
            default: $default,
            flags: Flags($flags),
            doc: concat!($($doc),+),
            field: Some(Field {
                get: |settings| settings.$field.to_value(),
                set: |settings, value| settings.$field = FieldValue::from_value(value),
            }),
        }),*];
    };
}

macro_rules! kept {
    ($($(#[doc = $doc:literal])+ $name:literal $(| $alias:literal)* = $default:literal, $kind:expr, $flags:expr;)*) => {
        /// The rows of the table that have no meaning here.
        pub(super) static KEPT: &[Directive] = &[$(Directive {
            name: $name,
            aliases: &[$($alias),*],
            kind: $kind,
            default: $default,
            flags: Flags($flags),
            doc: concat!($($doc),+),
            field: None,
        }),*];
    };
}

pub(super) use {honoured, kept};
