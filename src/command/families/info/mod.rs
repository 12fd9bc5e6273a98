//! INFO. One file per section declares its rows in the order of Redis 7.2, own fields last; this one finds the sections
//! that are meant and prints them.
//!
//! A row is a name and what it shows of the server; `tests::order` holds the names against a list written down from
//! Redis 7.2, and `tests/info_redis.rs` against a redis-server.

mod clients;
mod counted;
mod cpu;
pub(super) mod memory;
mod persistence;
mod replication;
mod server;
mod stats;
#[cfg(test)]
mod tests;

use crate::command::spec::{Categories, Group, LOADING, STALE, Spec, spec};
use crate::command::{Args, Cx, Outcome, Server};
use std::fmt::Write;

pub const ROWS: &[Spec] = &[spec("info", -1, LOADING.or(STALE), Group::Server, info)
    .acl(Categories::DANGEROUS)
    .doc("1.0.0", "Returns information and statistics about the server.")];

/// One line, or several, of a section.
pub enum Row {
    /// `name:value`
    Field(&'static str, fn(&Server) -> String),
    /// `name:value`, where there is a value.
    Maybe(&'static str, fn(&Server) -> Option<String>),
    /// Any number of lines with names of their own (`db0`, `slave1`, `cmdstat_get`).
    Lines(fn(&Server, &mut Lines<'_>)),
}

/// A section: the name that is asked for, the title that is printed.
pub struct Section {
    pub name: &'static str,
    pub title: &'static str,
    /// Whether INFO shows it unasked.
    pub by_default: bool,
    pub rows: &'static [Row],
}

/// The section that is shown only to who asks for it by name.
const DEBUG: &str = "debug";

/// All sections, in order.
pub const SECTIONS: &[Section] = &[
    Section { name: "server", title: "Server", by_default: true, rows: server::ROWS },
    Section { name: "clients", title: "Clients", by_default: true, rows: clients::ROWS },
    Section { name: "memory", title: "Memory", by_default: true, rows: memory::ROWS },
    Section { name: "persistence", title: "Persistence", by_default: true, rows: persistence::ROWS },
    Section { name: "stats", title: "Stats", by_default: true, rows: stats::ROWS },
    Section { name: "replication", title: "Replication", by_default: true, rows: replication::ROWS },
    Section { name: "cpu", title: "CPU", by_default: true, rows: cpu::ROWS },
    Section { name: "modules", title: "Modules", by_default: true, rows: &[] },
    Section { name: "commandstats", title: "Commandstats", by_default: false, rows: counted::COMMANDS },
    Section { name: "errorstats", title: "Errorstats", by_default: true, rows: counted::ERRORS },
    Section { name: "latencystats", title: "Latencystats", by_default: false, rows: counted::LATENCIES },
    Section { name: "cluster", title: "Cluster", by_default: true, rows: counted::CLUSTER },
    Section { name: "keyspace", title: "Keyspace", by_default: true, rows: counted::KEYSPACE },
    Section { name: DEBUG, title: "Debug", by_default: false, rows: stats::DEBUG },
];

/// Where rows write their lines.
pub struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    /// `name:value`. What peers say of themselves stands in values: it cannot make lines of its own.
    pub fn line(&mut self, name: impl std::fmt::Display, value: impl std::fmt::Display) {
        let from = self.0.len();
        let _ = write!(self.0, "{name}:{value}"); // into a String: cannot fail
        if self.0[from..].contains(char::is_control) {
            let clean = self.0[from..].replace(char::is_control, " ");
            self.0.replace_range(from.., &clean);
        }
        self.0.push_str("\r\n");
    }
}

/// INFO \[section ...\]
fn info(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut wanted = [false; SECTIONS.len()];
    if args.left() == 0 {
        mark(&mut wanted, |section| section.by_default);
    }
    while let Some(word) = args.maybe() {
        match word.to_ascii_lowercase().as_slice() {
            b"default" => mark(&mut wanted, |section| section.by_default),
            b"all" | b"everything" => mark(&mut wanted, |section| section.name != DEBUG),
            word => mark(&mut wanted, |section| section.name.as_bytes() == word),
        }
    }
    let used = (cx.server.allocated)(); // before this text takes any
    cx.server.memory.used = used;
    cx.server.memory.peak = cx.server.memory.peak.max(used);
    let text = text(cx.server, &wanted);
    cx.reply().verbatim("txt", &text);
    Ok(())
}

fn mark(wanted: &mut [bool], fits: impl Fn(&Section) -> bool) {
    for (wanted, section) in wanted.iter_mut().zip(SECTIONS) {
        *wanted |= fits(section);
    }
}

fn text(server: &Server, wanted: &[bool]) -> String {
    let mut text = String::with_capacity(8 * 1024);
    for (section, _) in SECTIONS.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let _ = write!(text, "# {}\r\n", section.title);
        let mut lines = Lines(&mut text);
        for row in section.rows {
            match row {
                Row::Field(name, value) => lines.line(name, value(server)),
                Row::Maybe(name, value) => {
                    if let Some(value) = value(server) {
                        lines.line(name, value);
                    }
                }
                Row::Lines(write) => write(server, &mut lines),
            }
        }
    }
    text
}

/// What has no meaning here and is shown because tools read it.
fn zero(_: &Server) -> String {
    "0".to_owned()
}

/// Bytes for people: `918.97K`.
fn human(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "K", "M", "G", "T", "P"];
    let power = (0..UNITS.len() - 1).find(|power| bytes >> (10 * (power + 1)) == 0).unwrap_or(UNITS.len() - 1);
    match power {
        0 => format!("{bytes}B"),
        power => format!("{:.2}{}", bytes as f64 / (1u64 << (10 * power)) as f64, UNITS[power]),
    }
}

/// `yes` is 1.
fn bit(yes: bool) -> String {
    u8::from(yes).to_string()
}
