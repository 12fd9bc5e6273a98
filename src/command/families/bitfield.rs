//! Strings as arrays of integers of any width: BITFIELD, BITFIELD_RO.

use super::bitmap::{bad_offset, has_room};
use super::substring::held_len;
use crate::base::number::parse_i64;
use crate::command::spec::{DENYOOM, FAST, Group, READONLY, Spec, WRITE, key, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::Digits;

pub const ROWS: &[Spec] = &[
    spec("bitfield", -2, WRITE.or(DENYOOM), Group::Bitmap, bitfield)
        .keys(&[key(1, &["RW", "access", "update", "variable_flags"])])
        .doc("3.2.0", "Performs arbitrary bitfield integer operations on strings."),
    spec("bitfield_ro", -2, READONLY.or(FAST), Group::Bitmap, bitfield_ro)
        .keys(&[key(1, &["RO", "access"])])
        .doc("6.0.0", "Performs arbitrary read-only bitfield integer operations on strings."),
];

/// An integer of up to 64 bits somewhere in a string; the highest bit comes first.
#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    bits: u32,
    at: u64,
}

impl Field {
    /// The next two words: `i8`, `u16` .., and an offset in bits, or behind `#` in fields of this width.
    fn of(cx: &Cx<'_>, args: &mut Args<'_>) -> Result<Field, Refusal> {
        let bad = || {
            Refusal::err("Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
        };
        let (signed, digits) = match args.bytes()? {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(bad()),
        };
        let bits_max = if signed { 64 } else { 63 };
        let bits = parse_i64(digits).filter(|bits| (1..=bits_max).contains(bits)).ok_or_else(bad)?;
        let at = match args.bytes()? {
            [b'#', digits @ ..] => parse_i64(digits).and_then(|at| at.checked_mul(bits)),
            digits => parse_i64(digits),
        };
        let at = at.and_then(|at| u64::try_from(at).ok()).filter(|&at| has_room(cx, at)).ok_or_else(bad_offset)?;
        Ok(Field { signed, bits: bits as u32, at })
    }

    /// How long a string is that holds it.
    fn end(self) -> usize {
        (self.at + u64::from(self.bits)).div_ceil(8) as usize
    }

    /// The byte where it begins, and how far its last bit stands from the end of sixteen bytes read from there.
    fn place(self) -> (usize, u32) {
        ((self.at / 8) as usize, 128 - (self.at % 8) as u32 - self.bits)
    }

    fn mask(self) -> u128 {
        (1 << self.bits) - 1
    }

    /// Its value; what lies beyond the string's end is zero.
    fn get(self, bytes: &[u8]) -> i128 {
        let (first, shift) = self.place();
        let mut window = [0; 16];
        let held = bytes.get(first..).unwrap_or_default();
        let len = held.len().min(window.len());
        window[..len].copy_from_slice(&held[..len]);
        self.wrapped((u128::from_be_bytes(window) >> shift) as i128)
    }

    /// Writes the lower bits of a value; the string is long enough.
    fn put(self, bytes: &mut [u8], value: i128) {
        let (first, shift) = self.place();
        let len = self.end() - first;
        let held = &mut bytes[first..][..len];
        let mut window = [0; 16];
        window[..len].copy_from_slice(held);
        let kept = u128::from_be_bytes(window) & !(self.mask() << shift);
        held.copy_from_slice(&(kept | (value as u128 & self.mask()) << shift).to_be_bytes()[..len]);
    }

    /// The lower bits of a value, read with or without a sign.
    fn wrapped(self, value: i128) -> i128 {
        let low = (value as u128 & self.mask()) as i128;
        if self.signed && low >> (self.bits - 1) == 1 { low - (1 << self.bits) } else { low }
    }

    /// The value that a write leaves; `None` where it overflows and fails for that.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i128> {
        let (min, max) = match self.signed {
            true => (-1 << (self.bits - 1), (1 << (self.bits - 1)) - 1),
            false => (0, (1 << self.bits) - 1),
        };
        match overflow {
            _ if (min..=max).contains(&value) => Some(value),
            Overflow::Wrap => Some(self.wrapped(value)),
            Overflow::Saturate => Some(value.clamp(min, max)),
            Overflow::Fail => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy)]
enum Op {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

impl Op {
    /// What it answers, and the value that the field is to have.
    fn run(self, field: Field, old: i128) -> (Option<i128>, Option<i128>) {
        match self {
            Op::Get => (Some(old), None),
            Op::Set(value, overflow) => {
                // A negative value is a very large one without a sign.
                let value = if field.signed { i128::from(value) } else { i128::from(value as u64) };
                let new = field.fit(value, overflow);
                (new.map(|_| old), new)
            }
            Op::Add(increment, overflow) => {
                let new = field.fit(old + i128::from(increment), overflow);
                (new, new)
            }
        }
    }
}

/// The operations behind the key.
fn operations(cx: &Cx<'_>, args: &mut Args<'_>) -> Result<Vec<(Field, Op)>, Refusal> {
    let (mut list, mut overflow) = (Vec::new(), Overflow::Wrap);
    while args.left() > 0 {
        let left = args.left() - 1;
        list.push(match () {
            () if left >= 2 && args.take("get") => (Field::of(cx, args)?, Op::Get),
            () if left >= 3 && args.take("set") => (Field::of(cx, args)?, Op::Set(args.int()?, overflow)),
            () if left >= 3 && args.take("incrby") => (Field::of(cx, args)?, Op::Add(args.int()?, overflow)),
            () if left >= 1 && args.take("overflow") => {
                overflow = match () {
                    () if args.take("wrap") => Overflow::Wrap,
                    () if args.take("sat") => Overflow::Saturate,
                    () if args.take("fail") => Overflow::Fail,
                    () => return Err(Refusal::err("Invalid OVERFLOW type specified")),
                };
                continue;
            }
            () => return Err(Refusal::Syntax),
        });
    }
    Ok(list)
}

fn writes(operations: &[(Field, Op)]) -> impl Iterator<Item = Field> {
    operations.iter().filter(|(_, op)| !matches!(op, Op::Get)).map(|(field, _)| *field)
}

/// BITFIELD key \[GET type offset | \[OVERFLOW WRAP | SAT | FAIL\] SET type offset value | INCRBY type offset increment ..\]
///
/// Other than Redis it also feeds what only made the string longer, when every write has failed for its overflow.
fn bitfield(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let operations = operations(cx, args)?;
    let Some(len) = writes(&operations).map(Field::end).max() else { return get(cx, key, &operations) };
    let held = held_len(cx, key)?;
    if held.is_none() {
        cx.server.keyspace.db_mut(cx.db as usize).set_string(key, b"", None);
    }
    let grown = held.is_none_or(|held| held < len);
    let (mut changes, mut answers) = (0, Vec::with_capacity(operations.len()));
    if let Some(string) = cx.server.keyspace.db_mut(cx.db as usize).string_mut(key) {
        string.edit(len, |bytes| {
            for &(field, op) in &operations {
                let old = field.get(bytes);
                let (answer, new) = op.run(field, old);
                answers.push(answer);
                if let Some(new) = new {
                    field.put(bytes, new);
                    changes += u64::from(grown || new != old);
                }
            }
        });
    }
    if grown || changes > 0 {
        cx.changed_by(key.bytes, changes);
        if held.is_none() {
            cx.born(key.bytes);
        }
        cx.notify(Class::String, "setbit", key.bytes);
        cx.feed_request(args);
    }
    tell(cx, &answers)
}

/// BITFIELD_RO key \[GET type offset ..\]
fn bitfield_ro(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let operations = operations(cx, args)?;
    if writes(&operations).next().is_some() {
        return Err(Refusal::err("BITFIELD_RO only supports the GET subcommand"));
    }
    get(cx, key, &operations)
}

fn get(cx: &mut Cx<'_>, key: crate::keyspace::Key<'_>, operations: &[(Field, Op)]) -> Outcome {
    let all = |bytes: &[u8]| operations.iter().map(|(field, _)| Some(field.get(bytes))).collect::<Vec<_>>();
    let answers = cx.read(key, |entry, _| {
        let string = entry.string().ok_or(Refusal::WrongType)?;
        Ok(all(string.bytes(&mut Digits::default())))
    });
    let answers = answers.transpose()?.unwrap_or_else(|| all(b""));
    tell(cx, &answers)
}

fn tell(cx: &mut Cx<'_>, answers: &[Option<i128>]) -> Outcome {
    let mut reply = cx.reply();
    reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(value) => reply.int(*value as i64),
            None => reply.null(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_what_its_bits_are() {
        let mut dice = crate::base::Dice(3);
        for _ in 0..2000 {
            let signed = dice.roll().is_multiple_of(2);
            let bits = (dice.roll() % if signed { 64 } else { 63 }) as u32 + 1;
            let field = Field { signed, bits, at: dice.roll() % 100 };
            let before: Vec<u8> = (0..field.end()).map(|_| dice.roll() as u8).collect();
            let bit = |bytes: &[u8], at: u64| bytes[(at / 8) as usize] >> (7 - at % 8) & 1;
            let value = field.wrapped(i128::from(dice.roll()));
            let mut after = before.clone();
            field.put(&mut after, value);
            assert_eq!(field.get(&after), value);
            for at in 0..before.len() as u64 * 8 {
                let inside = at.checked_sub(field.at).filter(|&place| place < u64::from(bits));
                let wanted = inside.map(|place| (value >> (u64::from(bits) - 1 - place) & 1) as u8);
                assert_eq!(bit(&after, at), wanted.unwrap_or_else(|| bit(&before, at)));
            }
        }
    }

    #[test]
    fn what_does_not_fit_wraps_saturates_or_fails() {
        let field = |signed, bits| Field { signed, bits, at: 0 };
        let fit = |field: Field, value| {
            [Overflow::Wrap, Overflow::Saturate, Overflow::Fail].map(|overflow| field.fit(value, overflow))
        };
        assert_eq!(fit(field(false, 8), 256), [Some(0), Some(255), None]);
        assert_eq!(fit(field(false, 8), -1), [Some(255), Some(0), None]);
        assert_eq!(fit(field(true, 8), 128), [Some(-128), Some(127), None]);
        assert_eq!(fit(field(true, 8), -129), [Some(127), Some(-128), None]);
        assert_eq!(fit(field(true, 8), -128), [Some(-128); 3]);
        let past = i128::from(i64::MAX) + 1;
        assert_eq!(fit(field(true, 64), past), [Some(i128::from(i64::MIN)), Some(past - 1), None]);
        assert_eq!(fit(field(true, 1), 1), [Some(-1), Some(0), None]);
    }
}
