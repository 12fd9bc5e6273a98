//! COMMAND DOCS beside a real redis-server's: groups, versions, and the tree of arguments. Summaries and remarks are our
//! own words; what 7.2 has changed since is named below.

mod in_process;
mod judge;

use in_process::Node;
use judge::Judge;
use regent::resp::{Frame, command};
use std::collections::BTreeMap;

/// Whose arguments 7.2 tells otherwise than the judge, and what is new in them.
const CHANGED: &[(&str, &str)] = &[
    ("acl|cat", "another name"),
    ("acl|log", "a field of the reply"),
    ("bitcount", "a start alone"),
    ("bitop", "the operations one by one"),
    ("client|kill", "YES and NO one by one"),
    ("client|list", "another shape"),
    ("client|pause", "another version"),
    ("command|getkeys", "they were not told"),
    ("command|getkeysandflags", "they were not told"),
    ("config|get", "another shape"),
    ("geohash", "none is allowed"),
    ("geopos", "none is allowed"),
    ("georadius", "STORE or STOREDIST"),
    ("georadiusbymember", "STORE or STOREDIST"),
    ("hscan", "NOVALUES"),
    ("lcs", "another name"),
    ("migrate", "other names"),
    ("module|loadex", "another shape"),
    ("pfmerge", "none is allowed"),
    ("psetex", "deprecated"),
    ("psubscribe", "another shape"),
    ("quit", "deprecated"),
    ("setex", "deprecated"),
    ("setnx", "deprecated"),
    ("xclaim", "another name"),
    ("xgroup|create", "another name"),
    ("xgroup|createconsumer", "other names"),
    ("xgroup|delconsumer", "other names"),
    ("xgroup|destroy", "another name"),
    ("xgroup|setid", "another name"),
    ("xinfo|consumers", "a field of the reply"),
    ("xinfo|stream", "a field of the reply, another shape"),
    ("xsetid", "another name"),
    ("zrank", "WITHSCORE"),
    ("zrevrank", "WITHSCORE"),
    ("zscan", "NOSCORES"),
];

fn text(frame: &Frame) -> String {
    frame.text().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
}

/// The pairs of a map, as RESP2 has it.
fn pairs(frame: &Frame) -> BTreeMap<String, &Frame> {
    let items = frame.items().expect("a map");
    items.chunks(2).map(|pair| (text(&pair[0]), &pair[1])).collect()
}

/// The facts of one argument. Names of what only groups others are for nobody, and 7.2 has other ones; it writes `-`
/// for `_`, and the units of length in lower case.
fn argument(frame: &Frame) -> String {
    let facts = pairs(frame);
    let of = |name: &str| facts.get(name).map(|value| text(value)).unwrap_or_default();
    let kind = of("type");
    let mut line = format!("{kind} {} {}", of("token").to_uppercase(), of("since"));
    if !matches!(kind.as_str(), "oneof" | "block") {
        let shown = if facts.contains_key("display_text") { "display_text" } else { "name" };
        line += &of(shown).replace('_', "-");
    }
    if let Some(Frame::Int(index)) = facts.get("key_spec_index") {
        line += &format!(" of {index}");
    }
    if let Some(flags) = facts.get("flags") {
        let mut flags: Vec<String> = flags.items().expect("flags").iter().map(text).collect();
        flags.sort();
        line += &format!(" {flags:?}");
    }
    if let Some(inner) = facts.get("arguments") {
        line += &arguments(inner);
    }
    line
}

fn arguments(frame: &Frame) -> String {
    let all: Vec<String> = frame.items().expect("arguments").iter().map(argument).collect();
    format!("({})", all.join(", "))
}

/// The facts of each command, by full name.
fn facts(docs: &Frame) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, frame) in pairs(docs) {
        let docs = pairs(frame);
        let of = |name: &str| docs.get(name).map(|value| text(value)).unwrap_or_default();
        let items = |name: &str| docs.get(name).and_then(|value| value.items()).unwrap_or_default();
        let flags: Vec<String> = items("doc_flags").iter().map(text).collect();
        let versions: Vec<String> =
            items("history").iter().map(|change| text(&change.items().expect("a change")[0])).collect();
        let facts = format!(
            "{} {} {} {flags:?} {versions:?} {}",
            of("group"),
            of("since"),
            of("deprecated_since"),
            docs.get("arguments").map(|frame| arguments(frame)).unwrap_or_default()
        );
        if let Some(subs) = docs.get("subcommands") {
            all.extend(self::facts(subs));
        }
        all.insert(name, facts);
    }
    all
}

#[test]
fn facts_are_those_of_a_real_redis() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut judge = Judge::start(dir.path());
    judge.send(1, &["COMMAND", "DOCS"]);
    let theirs = facts(&judge.hear(1));
    let mut node = Node::new("");
    let slot = node.connect();
    let mut request = Vec::new();
    command(&["COMMAND", "DOCS"], &mut request);
    node.send(slot, &request);
    let ours = facts(&node.heard(slot)[0]);
    assert!(ours.len() > 200);
    let mut unlike = String::new();
    for (name, own) in &ours {
        let is_changed = CHANGED.iter().any(|(changed, _)| changed == name);
        match theirs.get(name) {
            Some(other) if (own == other) == is_changed => {
                unlike += &format!("{name}\n  ours  {own}\n  Redis {other}\n");
            }
            _ => {}
        }
    }
    assert!(unlike.is_empty(), "unlike, or like although named as changed:\n{unlike}");
}
