//! What DEBUG shows of values: digests, how they lie in memory.

use crate::command::families::object::{idle_seconds, references, shares_numbers};
use crate::command::{Args, Cx, Outcome, Refusal, transfer};
use crate::keyspace::{Digest, EntryRef, ListRef, TableFigures, Value};
use std::fmt::Write as _;

fn hex(digest: Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// DEBUG DIGEST
pub(super) fn digest(cx: &mut Cx<'_>) -> Outcome {
    let digest = cx.server.keyspace.digest();
    cx.reply().simple(&hex(digest));
    Ok(())
}

/// DEBUG DIGEST-VALUE \[key ...\]
pub(super) fn digest_value(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply().array(args.left());
    while let Some(key) = args.maybe() {
        let key = cx.key(key);
        let digest = cx.peek(key, |entry, _| entry.digest()).unwrap_or_default();
        cx.reply().simple(&hex(digest));
    }
    Ok(())
}

/// The entry of a key, whether it is due or not.
fn entry<'a>(cx: &'a Cx<'_>, key: &[u8]) -> Result<EntryRef<'a>, Refusal> {
    let key = cx.server.keyspace.key(key);
    cx.server.keyspace.db(cx.db as usize).get(key).ok_or(Refusal::NoSuchKey)
}

/// DEBUG OBJECT key \[FAST\]
pub(super) fn object(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.bytes()?;
    let fast = args.take("fast");
    let entry = entry(cx, key)?;
    let len = match fast {
        true => String::new(),
        false => format!(" serializedlength:{}", serialized_len(entry)),
    };
    let mut text = format!(
        "Value at:{:p} refcount:{} encoding:{}{len} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        references(entry, shares_numbers(cx.server)),
        entry.encoding(),
        entry.access(),
        idle_seconds(entry, cx.now, cx.server.mono),
    );
    if entry.encoding() == "quicklist" {
        let leaves = entry.leaves();
        let (elements, bytes) = leaves.iter().fold((0, 0), |sum, leaf| (sum.0 + leaf.0, sum.1 + leaf.1));
        let _ = write!(
            text,
            " ql_nodes:{} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:0 ql_uncompressed_size:{bytes}",
            leaves.len(),
            elements as f64 / leaves.len() as f64,
            cx.server.config.settings.list_max_listpack_size,
        );
    }
    cx.reply().simple(&text);
    Ok(())
}

/// Bytes of the value in an RDB file.
fn serialized_len(entry: EntryRef<'_>) -> usize {
    const FRAME: usize = 1 + 2 + 8; // DUMP's type, version and checksum
    transfer::dump(entry.value()).len() - FRAME
}

const HEAD: &str = "Hash table 0 stats (main hash table):\n";
const EMPTY: &str = "No stats available for empty dictionaries\n";

/// What is said of a table.
fn describe(figures: &TableFigures, full: bool) -> String {
    if figures.elements == 0 {
        return format!("{HEAD}{EMPTY}");
    }
    let TableFigures { tables, buckets, elements, fullest } = figures;
    let mut text =
        format!("Hash table 0 stats (main hash table):\n table size: {buckets}\n number of elements: {elements}\n");
    if full {
        let mean = *elements as f64 / *tables as f64;
        let _ = write!(text, " sub-tables: {tables}\n most elements in one: {fullest}\n mean of elements: {mean:.2}\n");
    }
    text
}

fn told(cx: &mut Cx<'_>, text: &str) -> Outcome {
    cx.reply().verbatim("txt", text);
    Ok(())
}

/// DEBUG HTSTATS db \[FULL\]
pub(super) fn tables(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let number = args.int()?;
    let full = args.take("full");
    let number = usize::try_from(number).ok().filter(|&number| number < cx.server.keyspace.databases());
    let db = cx.server.keyspace.db(number.ok_or_else(|| Refusal::err("Out of range database"))?);
    let expires = match db.expires() {
        0 => format!("{HEAD}{EMPTY}"),
        keys => format!("{HEAD} number of elements: {keys}\n"), // deadlines stand in the entries
    };
    told(cx, &format!("[Dictionary HT]\n{}[Expires HT]\n{expires}", describe(&db.figures(), full)))
}

/// DEBUG HTSTATS-KEY key \[FULL\]
pub(super) fn tables_of_key(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.bytes()?;
    let full = args.take("full");
    let none = || Refusal::err("The value stored at the specified key is not represented using an hash table");
    let text = describe(&entry(cx, key)?.figures().ok_or_else(none)?, full);
    told(cx, &text)
}

/// DEBUG LISTPACK key
pub(super) fn listpack(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.bytes()?;
    let entry = entry(cx, name)?;
    if entry.encoding() != "listpack" {
        return Err(Refusal::err("Not a listpack encoded object."));
    }
    let mut elements: Vec<String> = Vec::new();
    let mut note = |element: &[u8]| elements.push(element.escape_ascii().to_string());
    match entry.value() {
        Value::List(list) => list.iter_from(0).for_each(&mut note),
        Value::Set(set) => set.iter().for_each(&mut note),
        Value::Hash(hash) => hash.iter().for_each(|(field, value)| {
            note(field);
            note(value);
        }),
        Value::Zset(zset) => zset.iter_from(0).for_each(|(member, score)| {
            note(member);
            note(score.to_string().as_bytes());
        }),
        Value::Str(_) | Value::Stream(_) => {}
    }
    tracing::warn!("DEBUG LISTPACK {}: {} elements", name.escape_ascii(), elements.len());
    for (index, element) in elements.iter().enumerate() {
        tracing::warn!("{index}) {element}");
    }
    cx.reply().simple("Listpack structure printed in the log");
    Ok(())
}

/// DEBUG QUICKLIST key \[0|1\]
pub(super) fn quicklist(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.bytes()?;
    let full = args.maybe().is_some_and(|word| word != b"0");
    let entry = entry(cx, name)?;
    let Value::List(list) = entry.value() else { return Err(Refusal::err("Not a quicklist encoded object.")) };
    if entry.encoding() != "quicklist" {
        return Err(Refusal::err("Not a quicklist encoded object."));
    }
    let leaves = entry.leaves();
    tracing::warn!("DEBUG QUICKLIST {}: {} elements in {} leaves", name.escape_ascii(), list.len(), leaves.len());
    write_leaves(list, &leaves, full);
    cx.reply().simple("Quicklist structure printed in the log");
    Ok(())
}

fn write_leaves(list: ListRef<'_>, leaves: &[(usize, usize)], full: bool) {
    let mut elements = list.iter_from(0);
    for (index, (count, bytes)) in leaves.iter().enumerate() {
        tracing::warn!("leaf {index}: {count} elements, {bytes} bytes");
        for element in elements.by_ref().take(*count).filter(|_| full) {
            tracing::warn!("    {}", element.escape_ascii());
        }
    }
}
