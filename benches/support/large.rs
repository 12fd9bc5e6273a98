//! Large collections, one of each type, and writes that fall anywhere in them.

use super::{feed, words};

/// How many members each collection has.
pub const MEMBERS: u64 = 1_000_000;
/// What one random write carries on the whole, bytes: the key's, the member's and the value's.
pub const VALUE: &str = "0123456789abcdef0123456789abcdef";

/// One collection of each type, `MEMBERS` large.
pub fn build(port: u16) {
    feed(port, 0, MEMBERS, |at, request| {
        words(request, &["HSET", "hash", &format!("field:{at:09}"), VALUE]);
        words(request, &["SADD", "set", &format!("member:{at:09}")]);
        words(request, &["ZADD", "zset", &scattered(at).to_string(), &format!("member:{at:09}")]);
        words(request, &["RPUSH", "list", VALUE]);
        words(request, &["XADD", "stream", "*", "field", VALUE]);
    });
}

/// Write number `at`, somewhere in one of them; the sizes stay as they are. How many bytes of payload (keys, members and
/// values) it carries.
pub fn change(at: u64, request: &mut String) -> u64 {
    let member = scattered(at) % MEMBERS;
    let text = match at % 5 {
        0 => vec!["HSET".to_string(), "hash".into(), format!("field:{member:09}"), flipped(at)],
        1 => vec!["SADD".to_string(), "set".into(), format!("other:{member:09}")],
        2 => vec!["ZADD".to_string(), "zset".into(), scattered(at + 1).to_string(), format!("member:{member:09}")],
        3 => vec!["LSET".to_string(), "list".into(), (member % 5_000).to_string(), flipped(at)],
        _ => vec![
            "XADD".to_string(),
            "stream".into(),
            "MAXLEN".into(),
            "~".into(),
            MEMBERS.to_string(),
            "*".into(),
            "field".into(),
            flipped(at),
        ],
    };
    let all: Vec<&str> = text.iter().map(String::as_str).collect();
    words(request, &all);
    all[1..].iter().map(|word| word.len() as u64).sum()
}

fn flipped(at: u64) -> String {
    format!("{at:032}")
}

/// A number that says nothing about its neighbours, below 16 million.
fn scattered(at: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}
