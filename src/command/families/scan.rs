//! SCAN: all keys, a few at a time; and what HSCAN, SSCAN and ZSCAN share with it. The cursor is a place in the order of
//! hashes, so splits of the table do not disturb it: what is there all the time is given at least once.

use crate::base::glob;
use crate::command::access::is_due;
use crate::command::spec::{Categories, Group, READONLY, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::resp::Writer;

pub const ROWS: &[Spec] = &[spec("scan", -2, READONLY, Group::Generic, scan)
    .acl(Categories::KEYSPACE)
    .doc("2.8.0", "Iterates over the key names in the database.")];

/// What is scanned: it decides about the options.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    Keys,
    Hash,
    Members,
    Scores,
}

/// The options of a scan.
pub struct Options<'a> {
    pattern: Option<&'a [u8]>,
    /// At least 1.
    pub count: usize,
    wanted: Option<&'a [u8]>,
    /// Whether the values of fields, or the scores of members, are told.
    pub values: bool,
}

impl<'a> Options<'a> {
    /// Of the words behind the cursor.
    pub fn of(args: &mut Args<'a>, scanned: Scanned) -> Result<Options<'a>, Refusal> {
        let mut options = Options { pattern: None, count: 10, wanted: None, values: true };
        while args.left() > 0 {
            let word = match scanned {
                Scanned::Hash => "novalues",
                Scanned::Scores => "noscores",
                Scanned::Keys | Scanned::Members => "",
            };
            if !word.is_empty() && args.take(word) {
                options.values = false;
            } else if args.left() < 2 {
                return Err(Refusal::Syntax);
            } else if args.take("count") {
                match args.int()? {
                    ..1 => return Err(Refusal::Syntax),
                    count => options.count = usize::try_from(count).unwrap_or(usize::MAX),
                }
            } else if args.take("match") {
                options.pattern = args.maybe().filter(|&pattern| pattern != b"*");
            } else if scanned == Scanned::Keys && args.take("type") {
                options.wanted = args.maybe();
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether a name is to be told.
    pub fn fits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

/// The next word as a cursor.
pub fn cursor(args: &mut Args<'_>) -> Result<u64, Refusal> {
    let cursor = std::str::from_utf8(args.bytes()?).ok().and_then(|word| word.parse::<u64>().ok());
    cursor.ok_or_else(|| Refusal::err("invalid cursor"))
}

/// The reply of all scans.
pub fn tell(reply: &mut Writer<'_>, next: u64, found: &[&[u8]]) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.bulks(found);
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
fn scan(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = cursor(args)?;
    let options = Options::of(args, Scanned::Keys)?;
    let (now, obeys) = (cx.now, cx.obeys());
    let (mut found, mut due): (Vec<&[u8]>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let db = cx.server.keyspace.db(cx.db as usize);
    let next = db.scan(cursor, options.count, |entry| {
        let type_name = entry.value().type_name().as_bytes();
        let fits =
            options.fits(entry.key()) && options.wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(type_name));
        if fits && !obeys && is_due(entry, now) {
            due.push(entry.key().to_vec());
        } else if fits {
            found.push(entry.key());
        }
    });
    tell(&mut Writer::new(&mut cx.out, cx.proto), next, &found);
    for key in due {
        let key = cx.key(&key);
        cx.server.expire(cx.db, key, false);
        cx.end_unit();
    }
    Ok(())
}
