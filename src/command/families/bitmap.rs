//! Bits of strings: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. Integers made of bits are in `bitfield`.
//!
//! Long strings are counted, searched and combined in words of 64 bits.

use super::substring::held_len;
use crate::base::number::parse_i64;
use crate::command::spec::{DENYOOM, FAST, Group, KeySpec, Place, READONLY, Spec, WRITE, key, keys_from, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::Digits;
use std::ops::RangeInclusive;

/// The destination of BITOP.
const TARGET: KeySpec = KeySpec { flags: &["OW", "update"], place: Place::Range { first: 2, last: 0, step: 1 } };

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
    spec("bitpos", -3, READONLY, Group::Bitmap, bitpos)
        .keys(&[key(1, &["RO", "access"])])
        .doc("2.8.7", "Finds the first set (1) or clear (0) bit in a string."),
    spec("bitop", -4, WRITE.or(DENYOOM), Group::Bitmap, bitop)
        .keys(&[TARGET, keys_from(3, 1, &["RO", "access"])])
        .doc("2.6.0", "Performs bitwise operations on multiple strings, and stores the result."),
];

/// What a bad offset is answered with.
pub(super) fn bad_offset() -> Refusal {
    Refusal::err("bit offset is not an integer or out of range")
}

/// Whether a string may be so long that it has this bit. What is obeyed was allowed where it came from.
pub(super) fn has_room(cx: &Cx<'_>, bit: u64) -> bool {
    cx.obeys() || bit >> 3 < cx.server.config.settings.proto_max_bulk_len
}

/// The next word as the place of a bit: its byte, and the byte with that bit alone.
fn place(cx: &Cx<'_>, args: &mut Args<'_>) -> Result<(usize, u8), Refusal> {
    let bit = parse_i64(args.bytes()?).and_then(|bit| u64::try_from(bit).ok()).ok_or_else(bad_offset)?;
    if !has_room(cx, bit) {
        return Err(bad_offset());
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
            cx.server.keyspace.db_mut(cx.db as usize).set_string(key, b"", None);
        }
        let new = if on { old.unwrap_or(0) | mask } else { old.unwrap_or(0) & !mask };
        if let Some(string) = cx.server.keyspace.db_mut(cx.db as usize).string_mut(key) {
            string.set_range(byte, &[new]);
        }
        cx.changed(key.bytes);
        if held.is_none() {
            cx.born(key.bytes);
        }
        cx.notify(Class::String, "setbit", key.bytes);
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

/// A part of a string, as BITCOUNT and BITPOS are given it.
#[derive(Clone, Copy)]
struct Part {
    start: i64,
    /// To the end of the string where it is not said.
    end: Option<i64>,
    /// Bits in what is counted: eight for bytes.
    unit: i64,
}

impl Part {
    /// The words that are left, if any.
    fn of(args: &mut Args<'_>) -> Result<Option<Part>, Refusal> {
        let words = args.left();
        if words == 0 {
            return Ok(None);
        }
        if words > 3 {
            return Err(Refusal::Syntax);
        }
        let start = args.int()?;
        // The unit is looked at before the end: of two errors Redis names this one.
        let unit = match args.at(args.len() - 1) {
            _ if words < 3 => 8,
            word if word.eq_ignore_ascii_case(b"bit") => 1,
            word if word.eq_ignore_ascii_case(b"byte") => 8,
            _ => return Err(Refusal::Syntax),
        };
        let end = if words > 1 { Some(args.int()?) } else { None };
        Ok(Some(Part { start, end, unit }))
    }

    /// The bits of a string of `bytes` bytes that it names; both ends count, negative ones from the end of the string.
    fn bits(self, bytes: usize) -> Option<RangeInclusive<u64>> {
        let len = bytes as i64 * 8 / self.unit;
        let place = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
        let (start, end) = (place(self.start), self.end.map_or(len - 1, place).min(len - 1));
        (start <= end).then(|| (start * self.unit) as u64..=(end * self.unit + self.unit - 1) as u64)
    }
}

/// BITCOUNT key \[start \[end \[BYTE | BIT\]\]\]: a start alone as in Valkey 8.
fn bitcount(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let part = Part::of(args)?;
    let count = cx.read(key, |entry, _| {
        let mut digits = Digits::default();
        let bytes = entry.string().ok_or(Refusal::WrongType)?.bytes(&mut digits);
        Ok(match part {
            None => ones(bytes),
            // From the end on backwards, where Redis counts nothing even if both stand before the string's beginning.
            Some(Part { start, end: Some(end), .. }) if start < 0 && end < 0 && start > end => 0,
            Some(part) => part.bits(bytes.len()).map_or(0, |bits| ones_within(bytes, bits)),
        })
    });
    cx.reply().int(count.transpose()?.unwrap_or(0) as i64);
    Ok(())
}

/// The bits that are set.
fn ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum::<u64>();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

fn ones_within(bytes: &[u8], bits: RangeInclusive<u64>) -> u64 {
    let (first, last) = (*bits.start(), *bits.end());
    let part = &bytes[(first / 8) as usize..=(last / 8) as usize];
    let before = part[0] & !(0xff_u8 >> (first % 8));
    let behind = part[part.len() - 1] & (0x7f_u8 >> (last % 8));
    ones(part) - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

/// BITPOS key bit \[start \[end \[BYTE | BIT\]\]\]
///
/// Where no end is said, a string of ones has its first zero behind its last bit.
fn bitpos(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let one = match args.int()? {
        0 => false,
        1 => true,
        _ => return Err(Refusal::err("The bit argument must be 1 or 0.")),
    };
    let part = Part::of(args)?;
    let found = cx.read(key, |entry, _| {
        let mut digits = Digits::default();
        let bytes = entry.string().ok_or(Refusal::WrongType)?.bytes(&mut digits);
        let whole = part.unwrap_or(Part { start: 0, end: None, unit: 8 });
        let Some(bits) = whole.bits(bytes.len()) else { return Ok(-1) };
        let open = !one && whole.end.is_none();
        let behind = if open { *bits.end() as i64 + 1 } else { -1 };
        Ok(first(bytes, bits, one).map_or(behind, |at| at as i64))
    });
    cx.reply().int(found.transpose()?.unwrap_or(if one { -1 } else { 0 }));
    Ok(())
}

/// The first bit of this value.
fn first(bytes: &[u8], bits: RangeInclusive<u64>, one: bool) -> Option<u64> {
    // Looked for are ones: of a string turned over for zeros.
    let turn = if one { 0 } else { 0xff };
    let (first, last) = (*bits.start(), *bits.end());
    let from = (first / 8) as usize;
    let part = &bytes[from..=(last / 8) as usize];
    let hit = |index: usize, byte: u8| (from + index) as u64 * 8 + u64::from(byte.leading_zeros());
    let head = (part[0] ^ turn) & (0xff >> (first % 8));
    let at = if head != 0 {
        hit(0, head)
    } else {
        let rest = &part[1..];
        let (words, _) = rest.as_chunks::<8>();
        let skip = if one { 0 } else { u64::MAX };
        let words = words.iter().position(|word| u64::from_ne_bytes(*word) != skip).unwrap_or(words.len());
        let index = rest[words * 8..].iter().position(|byte| byte ^ turn != 0)? + words * 8;
        hit(index + 1, rest[index] ^ turn)
    };
    (at <= last).then_some(at)
}

#[derive(Clone, Copy)]
enum Op {
    And,
    Or,
    Xor,
    Not,
}

/// BITOP AND | OR | XOR | NOT destination key [key ...]. Shorter strings, and those that are not there, go on with zeros.
fn bitop(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let op = match () {
        () if args.take("and") => Op::And,
        () if args.take("or") => Op::Or,
        () if args.take("xor") => Op::Xor,
        () if args.take("not") => Op::Not,
        () => return Err(Refusal::Syntax),
    };
    let to = cx.key(args.bytes()?);
    if matches!(op, Op::Not) && args.left() != 1 {
        return Err(Refusal::err("BITOP NOT must be called with a single source key."));
    }
    let mut result: Option<Vec<u8>> = None;
    while let Some(word) = args.maybe() {
        let (key, first) = (cx.key(word), result.is_none());
        let result = result.get_or_insert_default();
        let fits = cx.read(key, |entry, _| {
            let mut digits = Digits::default();
            let bytes = entry.string()?.bytes(&mut digits);
            match first {
                true => result.extend_from_slice(bytes),
                false => mix(op, result, bytes),
            }
            Some(())
        });
        match fits {
            Some(fits) => fits.ok_or(Refusal::WrongType)?,
            None if !first => mix(op, result, b""),
            None => {}
        }
    }
    let mut result = result.unwrap_or_default();
    if matches!(op, Op::Not) {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let len = result.len();
    if len > 0 {
        if !cx.is_there(to) {
            cx.born(to.bytes);
        }
        let old = cx.server.keyspace.db_mut(cx.db as usize).set_raw(to, result, None);
        old.into_iter().for_each(|old| cx.free_value(old));
        cx.changed(to.bytes);
        cx.notify(Class::String, "set", to.bytes);
        cx.feed_request(args);
    } else if cx.is_there(to) {
        let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
        cx.remove(to, lazy);
        cx.notify(Class::Generic, "del", to.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(len as i64);
    Ok(())
}

/// Takes a further string into the result, which becomes as long as the longest.
fn mix(op: Op, result: &mut Vec<u8>, bytes: &[u8]) {
    if result.len() < bytes.len() {
        result.resize(bytes.len(), 0);
    }
    let (both, rest) = result.split_at_mut(bytes.len());
    let each = |of: fn(u64, u64) -> u64, both: &mut [u8]| {
        let ((to, to_rest), (from, from_rest)) = (both.as_chunks_mut::<8>(), bytes.as_chunks::<8>());
        for (to, from) in to.iter_mut().zip(from) {
            *to = of(u64::from_ne_bytes(*to), u64::from_ne_bytes(*from)).to_ne_bytes();
        }
        for (to, from) in to_rest.iter_mut().zip(from_rest) {
            *to = of(u64::from(*to), u64::from(*from)) as u8;
        }
    };
    match op {
        Op::And => {
            each(|a, b| a & b, both);
            rest.fill(0);
        }
        Op::Or => each(|a, b| a | b, both),
        Op::Xor | Op::Not => each(|a, b| a ^ b, both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(bytes: &[u8], at: u64) -> bool {
        bytes[(at / 8) as usize] & (0x80 >> (at % 8)) != 0
    }

    #[test]
    fn words_count_and_find_what_single_bits_do() {
        let mut dice = crate::base::Dice(7);
        for round in 0..400 {
            let len = dice.roll() as usize % 40 + 1;
            let dull = [0, 0xff][round % 2];
            let byte = |roll: u64| if roll.is_multiple_of(8) { (roll >> 8) as u8 } else { dull };
            let bytes: Vec<u8> = (0..len).map(|_| byte(dice.roll())).collect();
            let start = dice.roll() % (len as u64 * 8);
            let end = start + dice.roll() % (len as u64 * 8 - start);
            let count = (start..=end).filter(|&at| bit(&bytes, at)).count() as u64;
            assert_eq!(ones_within(&bytes, start..=end), count);
            for one in [false, true] {
                let slow = (start..=end).find(|&at| bit(&bytes, at) == one);
                assert_eq!(first(&bytes, start..=end, one), slow, "{bytes:?} {start}..={end} {one}");
            }
        }
    }

    #[test]
    fn words_combine_as_single_bytes_do() {
        let mut dice = crate::base::Dice(8);
        for _ in 0..100 {
            let mut text = |_| (0..dice.roll() % 40).map(|_| dice.roll() as u8).collect::<Vec<u8>>();
            let [a, b] = [0, 1].map(&mut text);
            let of = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or(0);
            let slow = |op: fn(u8, u8) -> u8| (0..a.len().max(b.len())).map(|at| op(of(&a, at), of(&b, at))).collect();
            let results: [Vec<u8>; 3] = [slow(|a, b| a & b), slow(|a, b| a | b), slow(|a, b| a ^ b)];
            for (op, slow) in [Op::And, Op::Or, Op::Xor].into_iter().zip(results) {
                let mut fast = a.clone();
                mix(op, &mut fast, &b);
                assert_eq!(fast, slow);
            }
        }
    }
}
