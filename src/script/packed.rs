//! `struct.*`: values to bytes and back by a format (<http://www.inf.puc-rio.br/~roberto/struct/>).
//!
//! Written from the description of its formats; the bounds on sizes keep a format from asking for more than there is.

use super::vm::answer;
use mlua::{Lua, MultiValue, Result, Table, Value};

type Taken<T> = std::result::Result<T, String>;

/// The widest integer of a format, bytes.
const INTEGER_BYTES_MAX: usize = 32;
/// The alignment of the machine.
const ALIGNMENT: usize = 8;

/// The table that becomes `struct`.
pub fn library(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    let function = |lua: &Lua, args: MultiValue| {
        let packed = pack(lua, &args);
        let packed = packed.and_then(|bytes| lua.create_string(bytes).map_err(|error| error.to_string()));
        answer(lua, packed.map(Value::String))
    };
    table.raw_set("pack", lua.create_function(function)?)?;
    table.raw_set("unpack", lua.create_function(|lua, args: MultiValue| answer(lua, unpack(lua, &args)))?)?;
    let function = |lua: &Lua, args: MultiValue| answer(lua, size(lua, &args).map(|size| Value::Number(size as f64)));
    table.raw_set("size", lua.create_function(function)?)?;
    Ok(table)
}

/// One option of a format.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Integer {
        bytes: usize,
        signed: bool,
    },
    Float,
    Double,
    /// So many bytes of a string; zero: as many as were given, or as the value before says.
    Bytes(usize),
    /// A string up to a zero.
    Text,
    Pad,
}

impl Item {
    /// Bytes that it takes, for alignment; a string's are not aligned.
    fn bytes(self) -> usize {
        match self {
            Item::Integer { bytes, .. } => bytes,
            Item::Float => 4,
            Item::Double => 8,
            Item::Bytes(count) => count,
            Item::Text => 0,
            Item::Pad => 1,
        }
    }

    fn is_aligned(self) -> bool {
        !matches!(self, Item::Bytes(_) | Item::Text | Item::Pad)
    }
}

/// Reads a format option by option.
struct Format<'f> {
    /// Who reads it, for errors.
    function: &'static str,
    rest: &'f [u8],
    big: bool,
    alignment: usize,
}

impl<'f> Format<'f> {
    fn new(function: &'static str, format: &'f [u8]) -> Self {
        Format { function, rest: format, big: false, alignment: 1 }
    }

    fn next(&mut self) -> Taken<Option<Item>> {
        while let Some((&option, rest)) = self.rest.split_first() {
            self.rest = rest;
            let integer = |bytes, letter: u8| Item::Integer { bytes, signed: letter.is_ascii_lowercase() };
            return Ok(Some(match option {
                b'b' | b'B' => integer(1, option),
                b'h' | b'H' => integer(2, option),
                b'l' | b'L' => integer(8, option),
                b'T' => Item::Integer { bytes: 8, signed: false },
                b'f' => Item::Float,
                b'd' => Item::Double,
                b'x' => Item::Pad,
                b'c' => Item::Bytes(self.number(1)?),
                b's' => Item::Text,
                b'i' | b'I' => {
                    let bytes = self.number(4)?;
                    if bytes > INTEGER_BYTES_MAX {
                        return Err(format!("integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}"));
                    }
                    integer(bytes, option)
                }
                b' ' => continue,
                b'>' => {
                    self.big = true;
                    continue;
                }
                b'<' => {
                    self.big = false;
                    continue;
                }
                b'!' => {
                    let alignment = self.number(ALIGNMENT)?;
                    if !alignment.is_power_of_two() {
                        return Err("alignment is not a power of 2".to_string());
                    }
                    self.alignment = alignment;
                    continue;
                }
                other => {
                    let what = format!("invalid format option '{}'", char::from(other));
                    return Err(bad_argument(0, self.function, &what));
                }
            }));
        }
        Ok(None)
    }

    fn number(&mut self, default: usize) -> Taken<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let value = digits.iter().try_fold(0usize, |value, digit| {
            let value = value * 10 + usize::from(digit - b'0');
            (value <= i32::MAX as usize).then_some(value).ok_or("integral size overflow")
        })?;
        Ok(if digits.is_empty() { default } else { value })
    }

    /// Bytes in front of an item that would begin at `at`.
    fn gap(&self, item: Item, at: usize) -> usize {
        let bytes = item.bytes();
        if !item.is_aligned() || bytes <= 1 {
            return 0;
        }
        let to = bytes.min(self.alignment).max(1);
        match to.is_power_of_two() {
            true => (to - (at & (to - 1))) & (to - 1),
            false => 0,
        }
    }
}

fn bad_argument(index: usize, function: &str, what: &str) -> String {
    format!("bad argument #{} to '{function}' ({what})", index + 1)
}

fn text(lua: &Lua, args: &MultiValue, index: usize, function: &str) -> Taken<Vec<u8>> {
    let value = args.get(index).cloned().unwrap_or(Value::Nil);
    let got = if index < args.len() { value.type_name() } else { "no value" };
    let text = lua.coerce_string(value).ok().flatten();
    let text = text.ok_or_else(|| bad_argument(index, function, &format!("string expected, got {got}")))?;
    Ok(text.as_bytes().to_vec())
}

fn number(lua: &Lua, args: &MultiValue, index: usize, function: &str) -> Taken<f64> {
    let value = args.get(index).cloned().unwrap_or(Value::Nil);
    let got = if index < args.len() { value.type_name() } else { "no value" };
    let number = lua.coerce_number(value).ok().flatten();
    number.ok_or_else(|| bad_argument(index, function, &format!("number expected, got {got}")))
}

fn pack(lua: &Lua, args: &MultiValue) -> Taken<Vec<u8>> {
    let format = text(lua, args, 0, "pack")?;
    let mut format = Format::new("pack", &format);
    let (mut out, mut next) = (Vec::new(), 1);
    while let Some(item) = format.next()? {
        out.resize(out.len() + format.gap(item, out.len()), 0);
        match item {
            Item::Pad => {
                out.push(0);
                continue;
            }
            Item::Integer { bytes, .. } => {
                let value = number(lua, args, next, "pack")?;
                let bits = if value < 0.0 { value as i64 as u64 } else { value as u64 };
                let at = out.len();
                out.extend((0..bytes).map(|i| if i < 8 { (bits >> (8 * i)) as u8 } else { 0 }));
                if format.big {
                    out[at..].reverse();
                }
            }
            Item::Float | Item::Double => {
                let value = number(lua, args, next, "pack")?;
                let at = out.len();
                match item {
                    Item::Float => out.extend_from_slice(&(value as f32).to_le_bytes()),
                    _ => out.extend_from_slice(&value.to_le_bytes()),
                }
                if format.big {
                    out[at..].reverse();
                }
            }
            Item::Bytes(count) => {
                let bytes = text(lua, args, next, "pack")?;
                let count = if count == 0 { bytes.len() } else { count };
                let bytes = bytes.get(..count).ok_or_else(|| bad_argument(next, "pack", "string too short"))?;
                out.extend_from_slice(bytes);
            }
            Item::Text => {
                out.extend_from_slice(&text(lua, args, next, "pack")?);
                out.push(0);
            }
        }
        next += 1;
    }
    Ok(out)
}

fn unpack(lua: &Lua, args: &MultiValue) -> Taken<MultiValue> {
    let format = text(lua, args, 0, "unpack")?;
    let data = text(lua, args, 1, "unpack")?;
    let start = if args.len() > 2 { number(lua, args, 2, "unpack")? } else { 1.0 };
    if start < 1.0 {
        return Err(bad_argument(2, "unpack", "offset must be 1 or greater"));
    }
    let mut at = (start as usize) - 1;
    let mut format = Format::new("unpack", &format);
    let mut values = Vec::new();
    let short = || bad_argument(1, "unpack", "data string too short");
    while let Some(item) = format.next()? {
        at = at.checked_add(format.gap(item, at)).ok_or_else(short)?;
        let wanted = match item {
            Item::Bytes(0) => {
                let count =
                    values.pop().and_then(|value: Value| value.as_number().or(value.as_integer().map(|i| i as f64)));
                let count = count.ok_or("format 'c0' needs a previous size")?;
                if !(0.0..=data.len() as f64).contains(&count) {
                    return Err(short());
                }
                count as usize
            }
            item => item.bytes(),
        };
        let end = at.checked_add(wanted).filter(|&end| end <= data.len()).ok_or_else(short)?;
        let mut bytes = data[at..end].to_vec();
        at = end;
        if format.big && item.is_aligned() {
            bytes.reverse();
        }
        let string = |bytes: &[u8]| lua.create_string(bytes).map(Value::String).map_err(|error| error.to_string());
        values.push(match item {
            Item::Pad => continue,
            Item::Integer { bytes: wide, signed } => Value::Number(integer(&bytes, wide, signed)),
            Item::Float => Value::Number(f32::from_le_bytes(bytes.try_into().map_err(|_| short())?).into()),
            Item::Double => Value::Number(f64::from_le_bytes(bytes.try_into().map_err(|_| short())?)),
            Item::Bytes(_) => string(&bytes)?,
            Item::Text => {
                let rest = &data[at.min(data.len())..];
                let end = memchr::memchr(0, rest).ok_or("unfinished string in data")?;
                at += end + 1;
                string(&rest[..end])?
            }
        });
    }
    values.push(Value::Number(at as f64 + 1.0));
    Ok(values.into_iter().collect())
}

fn integer(little: &[u8], wide: usize, signed: bool) -> f64 {
    let bits = little.iter().take(8).rev().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
    if !signed {
        return bits as f64;
    }
    let unused = 64 - 8 * wide.clamp(1, 8) as u32;
    ((bits << unused) as i64 >> unused) as f64
}

fn size(lua: &Lua, args: &MultiValue) -> Taken<usize> {
    let format = text(lua, args, 0, "size")?;
    let mut format = Format::new("size", &format);
    let mut at = 0usize;
    while let Some(item) = format.next()? {
        match item {
            Item::Text => return Err(bad_argument(0, "size", "variable-size format in string")),
            Item::Bytes(0) => return Err(bad_argument(0, "size", "variable-length format in string")),
            _ => {}
        }
        at = at.checked_add(format.gap(item, at) + item.bytes()).ok_or("integral size overflow")?;
    }
    Ok(at)
}
