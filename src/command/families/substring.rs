//! Parts of strings: APPEND, SETRANGE, GETRANGE, STRLEN.

use crate::command::spec::{DENYOOM, FAST, Group, READONLY, Spec, WRITE, key, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::Digits;

pub const ROWS: &[Spec] = &[
    spec("append", 3, WRITE.or(DENYOOM).or(FAST), Group::String, append)
        .keys(&[key(1, &["RW", "insert"])])
        .doc("2.0.0", "Appends a string to the value of a key. Creates the key if it doesn't exist."),
    spec("strlen", 2, READONLY.or(FAST), Group::String, strlen)
        .keys(&[key(1, &["RO"])])
        .doc("2.2.0", "Returns the length of a string value."),
    spec("setrange", 4, WRITE.or(DENYOOM), Group::String, setrange).keys(&[key(1, &["RW", "update"])]).doc(
        "2.2.0",
        "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
    ),
    spec("getrange", 4, READONLY, Group::String, getrange)
        .keys(&[key(1, &["RO", "access"])])
        .doc("2.4.0", "Returns a substring of the string stored at a key."),
    spec("substr", 4, READONLY, Group::String, getrange)
        .keys(&[key(1, &["RO", "access"])])
        .doc("1.0.0", "Returns a substring from a string value."),
];

/// The length of a key's string, to change it: `None` where there is none.
pub(super) fn held_len(cx: &mut Cx<'_>, key: crate::keyspace::Key<'_>) -> Result<Option<usize>, Refusal> {
    let held = cx.writing(key, |entry| entry.string().map(|string| string.len()));
    held.map(|len| len.ok_or(Refusal::WrongType)).transpose()
}

fn check_len(cx: &Cx<'_>, held: usize, more: usize) -> Result<usize, Refusal> {
    let total = held.checked_add(more).ok_or(Refusal::TooLong)?;
    // What is obeyed was allowed where it came from.
    if !cx.obeys() && total as u64 > cx.server.config.settings.proto_max_bulk_len {
        Err(Refusal::TooLong)
    } else {
        Ok(total)
    }
}

/// APPEND key value
fn append(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let more = args.bytes()?;
    let total = match held_len(cx, key)? {
        None => {
            cx.put(key, more, None);
            more.len()
        }
        Some(held) => {
            let total = check_len(cx, held, more.len())?;
            if let Some(string) = cx.server.keyspace.db_mut(cx.db as usize).string_mut(key) {
                string.append(more);
            }
            cx.changed(key.bytes);
            total
        }
    };
    cx.notify(Class::String, "append", key.bytes);
    cx.feed_request(args);
    cx.reply().int(total as i64);
    Ok(())
}

/// STRLEN key
fn strlen(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let len = cx.read(key, |entry, _| entry.string().map(|string| string.len()));
    cx.reply().int(len.unwrap_or(Some(0)).ok_or(Refusal::WrongType)? as i64);
    Ok(())
}

/// SETRANGE key offset value
fn setrange(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let offset = usize::try_from(args.int()?).map_err(|_| Refusal::err("offset is out of range"))?;
    let value = args.bytes()?;
    let held = held_len(cx, key)?;
    if value.is_empty() {
        cx.reply().int(held.unwrap_or(0) as i64);
        return Ok(());
    }
    let total = check_len(cx, offset, value.len())?.max(held.unwrap_or(0));
    if held.is_none() {
        cx.put(key, b"", None);
    }
    if let Some(string) = cx.server.keyspace.db_mut(cx.db as usize).string_mut(key) {
        string.set_range(offset, value);
    }
    cx.changed(key.bytes);
    cx.notify(Class::String, "setrange", key.bytes);
    cx.feed_request(args);
    cx.reply().int(total as i64);
    Ok(())
}

/// GETRANGE key start end, SUBSTR key start end
fn getrange(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (start, end) = (args.int()?, args.int()?);
    let written = cx.read(key, |entry, mut writer| {
        let mut digits = Digits::default();
        let bytes = entry.string().ok_or(Refusal::WrongType)?.bytes(&mut digits);
        writer.bulk(&bytes[range(bytes.len(), start, end)]);
        Ok(())
    });
    written.unwrap_or_else(|| {
        cx.reply().bulk(b"");
        Ok(())
    })
}

/// The bytes from `start` to `end` inclusive, where negative places count from the end.
fn range(len: usize, start: i64, end: i64) -> std::ops::Range<usize> {
    let len = len as i64;
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let place = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(len - 1));
    if len == 0 || start > end { 0..0 } else { start as usize..end as usize + 1 }
}
