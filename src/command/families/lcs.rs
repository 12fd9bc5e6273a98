//! LCS: the longest common subsequence of two strings, and where its pieces stand.

use crate::command::spec::{Group, KeySpec, Place, READONLY, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::resp::Writer;

pub const ROWS: &[Spec] = &[spec("lcs", -3, READONLY, Group::String, lcs)
    .keys(&[KeySpec { flags: &["RO", "access"], place: Place::Range { first: 1, last: 1, step: 1 } }])
    .doc("7.0.0", "Finds the longest common substring.")];

/// What is asked for.
#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl Options {
    fn read(args: &mut Args<'_>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        while args.left() > 0 {
            if args.take("idx") {
                options.idx = true;
            } else if args.take("len") {
                options.len = true;
            } else if args.take("withmatchlen") {
                options.with_match_len = true;
            } else if args.left() > 1 && args.take("minmatchlen") {
                options.min_match_len = usize::try_from(args.int()?).unwrap_or(0);
            } else {
                return Err(Refusal::Syntax);
            }
        }
        if options.len && options.idx {
            return Err(Refusal::err("If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// Lengths of the common subsequences of all pairs of beginnings of two strings.
struct Table {
    width: usize,
    lens: Vec<u32>,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Table {
        let width = b.len() + 1;
        let mut table = Table { width, lens: vec![0; (a.len() + 1) * width] };
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table.lens[i * width + j] = if a[i - 1] == b[j - 1] {
                    table.at(i - 1, j - 1) + 1
                } else {
                    table.at(i - 1, j).max(table.at(i, j - 1))
                };
            }
        }
        table
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lens[i * self.width + j]
    }
}

/// A piece that both strings have: where it begins in each, and its length.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// The subsequence, and its pieces from the last to the first.
fn trace(table: &Table, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
    let (mut text, mut matches) = (Vec::new(), Vec::<Match>::new());
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            text.push(a[i]);
            match matches.last_mut() {
                Some(last) if (last.a, last.b) == (i + 1, j + 1) => {
                    (last.a, last.b, last.len) = (i, j, last.len + 1);
                }
                _ => matches.push(Match { a: i, b: j, len: 1 }),
            }
        } else if table.at(i - 1, j) > table.at(i, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    text.reverse();
    (text, matches)
}

/// LCS key1 key2 \[LEN\] \[IDX\] \[MINMATCHLEN min-match-len\] \[WITHMATCHLEN\]
fn lcs(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (a, b) = (cx.key(args.bytes()?), cx.key(args.bytes()?));
    let mut string = |key| match cx.read(key, |entry, _| entry.string().map(|string| string.to_vec())) {
        None => Ok(Vec::new()),
        Some(text) => text.ok_or_else(|| Refusal::err("The specified keys must contain string values")),
    };
    let (a, b) = (string(a)?, string(b)?);
    let options = Options::read(args)?;
    let cells = (a.len() as u64 + 1).checked_mul(b.len() as u64 + 1);
    let table_bytes_max = cx.server.config.settings.proto_max_bulk_len;
    if cells.and_then(|cells| cells.checked_mul(4)).is_none_or(|bytes| bytes > table_bytes_max) {
        return Err(Refusal::err("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let table = Table::new(&a, &b);
    let len = i64::from(table.at(a.len(), b.len()));
    if options.len {
        cx.reply().int(len);
        return Ok(());
    }
    let (text, mut matches) = trace(&table, &a, &b);
    if !options.idx {
        cx.reply().bulk(&text);
        return Ok(());
    }
    matches.retain(|piece| piece.len >= options.min_match_len);
    write_matches(cx.reply(), &matches, len, options.with_match_len);
    Ok(())
}

fn write_matches(mut reply: Writer<'_>, matches: &[Match], len: i64, with_match_len: bool) {
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.len());
    for piece in matches {
        reply.array(2 + usize::from(with_match_len));
        for from in [piece.a, piece.b] {
            reply.array(2);
            reply.int(from as i64);
            reply.int((from + piece.len - 1) as i64);
        }
        if with_match_len {
            reply.int(piece.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.int(len);
}
