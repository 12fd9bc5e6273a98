//! What COMMAND DOCS tells beyond a command's row: cost, history, arguments; and the tips of COMMAND INFO.
//!
//! It stands in a text file for each group, one block a command, which is read at first use:
//!
//! ```text
//! xtrim
//!   cost O(N), N: the number of entries removed     how long it takes
//!   syscmd                                          it is for servers, not for people
//!   deprecated 6.2.0 `ZRANGE`                       since when, and what takes its place
//!   6.2.0 New: `MINID`.                             what changed with a version
//!   args key [COUNT count:integer]                  see [`grammar`]
//!   tips nondeterministic_output                    for proxies and routers
//! ```
//! Names, types and versions are facts of Redis 7.2, and `tests/command_docs.rs` holds them against a redis-server; the
//! words are our own.

pub mod grammar;

use super::spec::Spec;
use ahash::RandomState;
use grammar::Argument;
use hashbrown::HashMap;
use std::sync::LazyLock;

/// What is told of one command.
#[derive(Debug, Default)]
pub struct Docs {
    pub cost: Option<&'static str>,
    pub is_for_servers: bool,
    /// Since when, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Versions and what they changed.
    pub history: Vec<(&'static str, &'static str)>,
    pub arguments: Vec<Argument>,
    pub tips: Vec<&'static str>,
}

const TEXTS: &[&str] = &[
    include_str!("bitmap.txt"),
    include_str!("cluster.txt"),
    include_str!("connection.txt"),
    include_str!("generic.txt"),
    include_str!("geo.txt"),
    include_str!("hash.txt"),
    include_str!("hyperloglog.txt"),
    include_str!("list.txt"),
    include_str!("pubsub.txt"),
    include_str!("scripting.txt"),
    include_str!("server.txt"),
    include_str!("set.txt"),
    include_str!("sorted_set.txt"),
    include_str!("stream.txt"),
    include_str!("string.txt"),
    include_str!("transactions.txt"),
];

type Table = HashMap<&'static str, Docs, RandomState>;

static ALL: LazyLock<Table> = LazyLock::new(|| {
    let mut all = Table::default();
    TEXTS.iter().for_each(|text| read(text, &mut all).unwrap_or_else(|line| panic!("a docs file: {line}")));
    all
});

static NONE: LazyLock<Docs> = LazyLock::new(Docs::default);

/// The docs of a command or subcommand.
pub fn of(spec: &Spec) -> &'static Docs {
    ALL.get(&*spec.full_name()).unwrap_or(&NONE)
}

/// The line that cannot be read, if any.
fn read(text: &'static str, all: &mut Table) -> Result<(), &'static str> {
    let mut current: Option<&mut Docs> = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("  ") else {
            current = Some(all.entry(line).or_default());
            continue;
        };
        let docs = current.as_mut().ok_or(line)?;
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "cost" => docs.cost = Some(rest),
            "syscmd" => docs.is_for_servers = true,
            "deprecated" => docs.deprecated = Some(rest.split_once(' ').ok_or(line)?),
            "args" => docs.arguments = grammar::parse(rest).ok_or(line)?,
            "tips" => docs.tips = rest.split(' ').collect(),
            version if version.starts_with(|first: char| first.is_ascii_digit()) => docs.history.push((version, rest)),
            _ => return Err(line),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;

    #[test]
    fn every_command_has_docs() {
        let names: Vec<String> =
            table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subs)).map(Spec::full_name).collect();
        let without: Vec<&String> = names.iter().filter(|name| !ALL.contains_key(name.as_str())).collect();
        assert!(without.is_empty(), "no docs: {without:?}");
    }

    #[test]
    fn keys_of_arguments_are_in_the_table() {
        fn check(spec: &Spec, arguments: &[Argument]) {
            for argument in arguments {
                let is_there = argument.key_spec.is_none_or(|index| index < spec.keys.len());
                assert!(is_there, "{}: {} is of no key specification", spec.full_name(), argument.name);
                check(spec, &argument.arguments);
            }
        }
        table::all()
            .flat_map(|spec| std::iter::once(spec).chain(spec.subs))
            .for_each(|spec| check(spec, &of(spec).arguments));
    }
}
