//! SCAN: all keys, a few at a time. The cursor is a place in the order of hashes, so splits of the table do not disturb
//! it: what is there all the time is given at least once.

use crate::base::glob;
use crate::command::access::is_due;
use crate::command::spec::{Categories, Group, READONLY, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::resp::Writer;

pub const ROWS: &[Spec] = &[spec("scan", -2, READONLY, Group::Generic, scan)
    .acl(Categories::KEYSPACE)
    .doc("2.8.0", "Iterates over the key names in the database.")];

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
fn scan(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = std::str::from_utf8(args.bytes()?).ok().and_then(|word| word.parse::<u64>().ok());
    let cursor = cursor.ok_or_else(|| Refusal::err("invalid cursor"))?;
    let (mut pattern, mut count, mut wanted) = (None, 10, None);
    while args.left() > 1 {
        if args.take("count") {
            count = args.int()?;
            if count < 1 {
                return Err(Refusal::Syntax);
            }
        } else if args.take("match") {
            pattern = args.maybe().filter(|&pattern| pattern != b"*");
        } else if args.take("type") {
            wanted = args.maybe();
        } else {
            return Err(Refusal::Syntax);
        }
    }
    args.finish()?;
    let (now, obeys) = (cx.now, cx.obeys());
    let (mut found, mut due): (Vec<&[u8]>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let db = cx.server.keyspace.db(cx.db as usize);
    let next = db.scan(cursor, usize::try_from(count).unwrap_or(usize::MAX), |entry| {
        let type_name = entry.value().type_name().as_bytes();
        let fits = pattern.is_none_or(|pattern| glob::matches(pattern, entry.key(), false))
            && wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(type_name));
        if fits && !obeys && is_due(entry, now) {
            due.push(entry.key().to_vec());
        } else if fits {
            found.push(entry.key());
        }
    });
    let mut reply = Writer::new(&mut cx.out, cx.proto);
    reply.array(2);
    reply.bulk(next.to_string().as_bytes());
    reply.bulks(&found);
    for key in due {
        let key = cx.key(&key);
        cx.server.expire(cx.db, key, false);
        cx.end_unit();
    }
    Ok(())
}
