//! Bits of strings: SETBIT, GETBIT, BITCOUNT.

use super::substring::held_len;
use crate::base::number::parse_i64;
use crate::command::spec::{DENYOOM, FAST, Group, READONLY, Spec, WRITE, key, spec};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::keyspace::Digits;

pub const ROWS: &[Spec] = &[
    spec("setbit", 4, WRITE.or(DENYOOM), Group::Bitmap, setbit)
        .keys(&[key(1, &["RW", "access", "update"])])
        .doc("2.2.0", "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist."),
    spec("getbit", 3, READONLY.or(FAST), Group::Bitmap, getbit)
        .keys(&[key(1, &["RO", "access"])])
        .doc("2.2.0", "Returns a bit value by offset."),
    spec("bitcount", -2, READONLY, Group::Bitmap, bitcount)
        .keys(&[key(1, &["RO", "access"])])
        .doc("2.6.0", "Counts the number of set bits (population counting) in a string."),
];

/// The next word as the place of a bit: its byte, and the byte with that bit alone.
fn place(cx: &Cx<'_>, args: &mut Args<'_>) -> Result<(usize, u8), Refusal> {
    let bad = || Refusal::err("bit offset is not an integer or out of range");
    let bit = parse_i64(args.bytes()?).and_then(|bit| u64::try_from(bit).ok()).ok_or_else(bad)?;
    // What is obeyed was allowed where it came from.
    if !cx.obeys() && bit >> 3 >= cx.server.config.settings.proto_max_bulk_len {
        return Err(bad());
    }
    Ok(((bit >> 3) as usize, 0x80 >> (bit & 7)))
}

/// SETBIT key offset value
fn setbit(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (byte, mask) = place(cx, args)?;
    let on = match args.bytes()? {
        b"0" => false,
        b"1" => true,
        _ => return Err(Refusal::err("bit is not an integer or out of range")),
    };
    let held = held_len(cx, key)?;
    let db = cx.server.keyspace.db(cx.db as usize);
    let string = db.get(key).filter(|_| held.is_some()).and_then(|entry| entry.string());
    let old = string.and_then(|string| string.bytes(&mut Digits::default()).get(byte).copied());
    if old.is_none_or(|old| (old & mask != 0) != on) {
        if held.is_none() {
            cx.put(key, b"", None);
        }
        let new = if on { old.unwrap_or(0) | mask } else { old.unwrap_or(0) & !mask };
        if let Some(string) = cx.server.keyspace.db_mut(cx.db as usize).string_mut(key) {
            string.set_range(byte, &[new]);
        }
        cx.changed(key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(old.is_some_and(|old| old & mask != 0)));
    Ok(())
}

/// GETBIT key offset
fn getbit(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let (byte, mask) = place(cx, args)?;
    let bit = cx.read(key, |entry, _| {
        let string = entry.string().ok_or(Refusal::WrongType)?;
        Ok(string.bytes(&mut Digits::default()).get(byte).is_some_and(|held| held & mask != 0))
    });
    cx.reply().int(i64::from(bit.transpose()?.unwrap_or(false)));
    Ok(())
}

/// What the places of BITCOUNT count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

/// BITCOUNT key \[start end \[BYTE | BIT\]\]
fn bitcount(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let range = match args.left() {
        0 => None,
        2 | 3 => {
            let (start, end) = (args.int()?, args.int()?);
            let unit = match args.left() {
                0 => Unit::Byte,
                _ if args.take("byte") => Unit::Byte,
                _ if args.take("bit") => Unit::Bit,
                _ => return Err(Refusal::Syntax),
            };
            Some((start, end, unit))
        }
        _ => return Err(Refusal::Syntax),
    };
    let count = cx.read(key, |entry, _| {
        let string = entry.string().ok_or(Refusal::WrongType)?;
        Ok(ones(string.bytes(&mut Digits::default()), range))
    });
    cx.reply().int(count.transpose()?.unwrap_or(0) as i64);
    Ok(())
}

/// The bits that are set, between two places that both count; negative ones count from the end.
fn ones(bytes: &[u8], range: Option<(i64, i64, Unit)>) -> u64 {
    let all = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
    let Some((start, end, unit)) = range else { return all(bytes) };
    let bits = if unit == Unit::Bit { 8 } else { 1 };
    let len = bytes.len() as i64 * bits;
    if start < 0 && end < 0 && start > end {
        return 0;
    }
    let place = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(len - 1));
    if start > end {
        return 0;
    }
    let (first, last) = ((start / bits) as usize, (end / bits) as usize);
    let mut count = all(&bytes[first..=last]);
    if unit == Unit::Bit {
        let before = bytes[first] & !(0xff_u8 >> (start % 8));
        let behind = bytes[last] & (0x7f_u8 >> (end % 8));
        count -= u64::from(before.count_ones()) + u64::from(behind.count_ones());
    }
    count
}
