//! The commands of a sentinel, declared: what the gate, COMMAND and the README's list are loops over.
//!
//! A command that a data node has too is its row of `command::table`, with the subcommands that Redis Sentinel 7.2 lets
//! through; SENTINEL and ACL are rows of their own. What does not stand here is an unknown command or subcommand.

use super::commands::Ask;
use crate::base::glob;
use crate::command::spec::{ADMIN, Categories, Flags, LOADING, NONE, NOSCRIPT, STALE};
use crate::command::{Spec, table};
use crate::resp::Writer;
use std::sync::LazyLock;

/// One command, or one subcommand of a container.
pub struct Row {
    /// In lower case, without the container's name.
    pub name: &'static str,
    pub parent: Option<&'static str>,
    /// As Redis counts it: negative is "at least".
    pub arity: i16,
    flags: Flags,
    categories: Categories,
    group: &'static str,
    since: &'static str,
    summary: &'static str,
    pub subs: Vec<Row>,
}

/// Commands that nodes have too, with those of their subcommands that a sentinel has.
const SHARED: &[(&str, &[&str])] = &[
    ("auth", &[]),
    (
        "client",
        &[
            "getname",
            "getredir",
            "help",
            "id",
            "info",
            "kill",
            "list",
            "no-evict",
            "pause",
            "reply",
            "setinfo",
            "setname",
            "trackinginfo",
            "unblock",
            "unpause",
        ],
    ),
    ("command", &["count", "docs", "getkeys", "getkeysandflags", "help", "info", "list"]),
    ("hello", &[]),
    ("info", &[]),
    ("ping", &[]),
    ("psubscribe", &[]),
    ("publish", &[]),
    ("punsubscribe", &[]),
    ("role", &[]),
    ("shutdown", &[]),
    ("subscribe", &[]),
    ("unsubscribe", &[]),
];

/// Name, arity, since, summary.
const SENTINEL: &[(&str, i16, &str, &str)] = &[
    ("ckquorum", 3, "2.8.4", "Checks for a Sentinel quorum."),
    ("config", -4, "6.2.0", "Configures Sentinel."),
    ("debug", -2, "7.0.0", "Lists or updates the current configurable parameters of Sentinel."),
    ("failover", 3, "2.8.4", "Forces a Sentinel failover."),
    ("flushconfig", 2, "2.8.4", "Rewrites the Sentinel configuration file."),
    ("get-master-addr-by-name", 3, "2.8.4", "Returns the port and address of a master instance."),
    ("get-primary-addr-by-name", 3, "8.0.0", "Returns the port and address of a master instance."),
    ("help", 2, "6.2.0", "Returns helpful text about the different subcommands."),
    ("info-cache", -3, "3.2.0", "Returns the cached `INFO` replies from the deployment's instances."),
    ("is-master-down-by-addr", 6, "2.8.4", "Determines whether a master instance is down."),
    ("is-primary-down-by-addr", 6, "8.0.0", "Determines whether a master instance is down."),
    ("master", 3, "2.8.4", "Returns the state of a master instance."),
    ("masters", 2, "2.8.4", "Returns a list of monitored masters."),
    ("monitor", 6, "2.8.4", "Starts monitoring."),
    ("myid", 2, "6.2.0", "Returns the Sentinel instance ID."),
    ("pending-scripts", 2, "2.8.4", "Returns information about pending scripts for Sentinel."),
    ("primaries", 2, "8.0.0", "Returns a list of monitored masters."),
    ("primary", 3, "8.0.0", "Returns the state of a master instance."),
    ("remove", 3, "2.8.4", "Stops monitoring."),
    ("replicas", 3, "5.0.0", "Returns a list of the monitored replicas."),
    ("reset", 3, "2.8.4", "Resets masters by name matching a pattern."),
    ("sentinels", 3, "2.8.4", "Returns a list of Sentinel instances."),
    ("set", -5, "2.8.4", "Changes the configuration of a monitored master."),
    ("simulate-failure", -3, "3.2.0", "Simulates failover scenarios."),
    ("slaves", 3, "2.8.0", "Returns a list of the monitored replicas."),
];

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let mut rows: Vec<Row> = SHARED.iter().filter_map(|(name, subs)| shared(name, subs)).collect();
    let own = |name, parent: Option<&'static str>, arity, flags, since, summary| Row {
        name,
        parent,
        arity,
        flags,
        categories: Categories::ADMIN.or(Categories::SLOW).or(Categories::DANGEROUS),
        group: if parent == Some("acl") || name == "acl" { "server" } else { "sentinel" },
        since,
        summary,
        subs: Vec::new(),
    };
    let sub = |(name, arity, since, summary): &(&'static str, i16, &'static str, &'static str)| {
        own(name, Some("sentinel"), *arity, if *name == "help" { LOADING.or(STALE) } else { ADMIN }, since, summary)
    };
    let container = own("sentinel", None, -2, ADMIN, "2.8.4", "A container for Sentinel commands.");
    rows.push(Row { subs: SENTINEL.iter().map(sub).collect(), ..container });
    let any = NOSCRIPT.or(LOADING).or(STALE);
    let acl = own("acl", None, -2, NONE, "6.0.0", "A container for Access List Control commands.");
    let whoami = own("whoami", Some("acl"), 2, any, "6.0.0", "Returns the authenticated username of the connection.");
    let users = own("users", Some("acl"), 2, ADMIN.or(any), "6.0.0", "Lists all ACL users.");
    rows.push(Row { subs: vec![users, whoami], ..acl });
    rows.sort_by_key(|row| row.name);
    rows
});

fn shared(name: &str, subs: &[&str]) -> Option<Row> {
    let row = |spec: &'static Spec| Row {
        name: spec.name,
        parent: spec.parent,
        arity: spec.arity,
        flags: spec.flags,
        categories: spec.all_categories(),
        group: spec.group.name(),
        since: spec.since,
        summary: spec.summary,
        subs: Vec::new(),
    };
    let spec = table::by_name(name.as_bytes())?;
    let subs = spec.subs.iter().filter(|sub| subs.contains(&sub.name)).map(row).collect();
    Some(Row { subs, ..row(spec) })
}

/// Every command, in the order of the alphabet.
pub fn all() -> &'static [Row] {
    &TABLE
}

/// The command, or the subcommand `container|sub`, of this name in any case.
pub fn by_full_name(name: &[u8]) -> Option<&'static Row> {
    let bar = name.iter().position(|byte| *byte == b'|');
    let row = all().iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(&name[..bar.unwrap_or(name.len())]))?;
    match bar {
        None => Some(row),
        Some(bar) => row.sub(&name[bar + 1..]),
    }
}

impl Row {
    pub fn sub(&self, name: &[u8]) -> Option<&Row> {
        self.subs.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// `client|list` for a subcommand, the plain name else.
    pub fn full_name(&self) -> String {
        self.parent.map_or_else(|| self.name.to_owned(), |parent| format!("{parent}|{}", self.name))
    }

    /// Whether a request of so many words, names included, is of the declared arity.
    pub fn fits(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    fn with_subs(&'static self) -> impl Iterator<Item = &'static Row> {
        std::iter::once(self).chain(&self.subs)
    }
}

const COMMAND_HELP: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full Redis command.",
    "HELP",
    "    Print this help.",
];

/// COMMAND and its subcommands.
pub(super) fn command(ask: &Ask<'_>, w: &mut Writer<'_>) {
    let named = || ask.words[2..].iter().map(|name| by_full_name(name));
    match &*ask.upper(1) {
        "COUNT" => w.int(all().len() as i64),
        "HELP" => write_help(COMMAND_HELP, w),
        "INFO" if ask.words.len() > 2 => {
            w.array(ask.words.len() - 2);
            named().for_each(|row| match row {
                Some(row) => describe(row, w),
                None => w.null_array(),
            });
        }
        "DOCS" => {
            let found: Vec<&Row> =
                if ask.words.len() > 2 { named().flatten().collect() } else { all().iter().collect() };
            w.map(found.len());
            found.into_iter().for_each(|row| document(row, w));
        }
        "LIST" => list(ask, w),
        // No command of a sentinel names keys.
        "GETKEYS" | "GETKEYSANDFLAGS" => match by_full_name(ask.words[2]) {
            None => w.error("ERR Invalid command specified"),
            Some(row) if !row.fits(ask.words.len() - 2) => {
                w.error("ERR Invalid number of arguments specified for command");
            }
            Some(_) => w.error("ERR The command has no key arguments"),
        },
        _ => {
            w.array(all().len());
            all().iter().for_each(|row| describe(row, w));
        }
    }
}

fn list(ask: &Ask<'_>, w: &mut Writer<'_>) {
    let rows = || all().iter().flat_map(Row::with_subs);
    let names: Vec<String> = match (ask.words.len(), &*ask.upper(2), &*ask.upper(3)) {
        (2, ..) => rows().map(Row::full_name).collect(),
        (5, "FILTERBY", kind @ ("MODULE" | "ACLCAT" | "PATTERN")) => {
            let wanted = ask.words[4];
            let fits = |row: &&Row| match kind {
                "ACLCAT" => row.categories.names().any(|name| name.as_bytes().eq_ignore_ascii_case(wanted)),
                "PATTERN" => glob::matches(wanted, row.full_name().as_bytes(), true),
                _ => false, // of a module: there are none
            };
            rows().filter(fits).map(Row::full_name).collect()
        }
        _ => return w.error("ERR syntax error"),
    };
    w.bulks(&names);
}

/// The ten elements of one command.
fn describe(row: &Row, w: &mut Writer<'_>) {
    w.array(10);
    w.bulk(row.full_name().as_bytes());
    w.int(i64::from(row.arity));
    let flags: Vec<&str> = row.flags.names().collect();
    w.set(flags.len());
    flags.into_iter().for_each(|flag| w.simple(flag));
    (0..3).for_each(|_| w.int(0)); // first key, last key, step
    let categories: Vec<String> = row.categories.names().map(|name| format!("@{name}")).collect();
    w.set(categories.len());
    categories.iter().for_each(|name| w.simple(name));
    w.set(0); // tips
    w.set(0); // key specifications
    w.set(row.subs.len());
    row.subs.iter().for_each(|sub| describe(sub, w));
}

fn document(row: &Row, w: &mut Writer<'_>) {
    w.bulk(row.full_name().as_bytes());
    w.map(3 + usize::from(!row.subs.is_empty()));
    for (name, text) in [("summary", row.summary.trim_end_matches('.')), ("since", row.since), ("group", row.group)] {
        w.bulk(name.as_bytes());
        w.bulk(text.as_bytes());
    }
    if !row.subs.is_empty() {
        w.bulk(b"subcommands");
        w.map(row.subs.len());
        row.subs.iter().for_each(|sub| document(sub, w));
    }
}

/// The reply to HELP.
pub(super) fn write_help(lines: &[&str], w: &mut Writer<'_>) {
    w.array(lines.len());
    lines.iter().for_each(|line| w.simple(line));
}
