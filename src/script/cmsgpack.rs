//! `cmsgpack.*`: MessagePack, as lua-cmsgpack writes and reads it. The bytes are rmp's.

use super::vm::answer;
use crate::base::limits::SCRIPT_MSGPACK_DEPTH_MAX;
use mlua::{Lua, MultiValue, Result, Table, Value};
use rmp::{Marker, encode};

type Taken<T> = std::result::Result<T, String>;

/// The table that becomes `cmsgpack`.
pub fn library(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("pack", lua.create_function(|lua, args: MultiValue| answer(lua, pack(lua, &args)))?)?;
    let all = |lua: &Lua, args: MultiValue| answer(lua, unpack_all(lua, &args));
    table.raw_set("unpack", lua.create_function(all)?)?;
    let one = |lua: &Lua, args: MultiValue| {
        let offset = optional(lua, &args, 1, 0);
        answer(lua, unpack(lua, &args, 1, offset, "unpack_one"))
    };
    table.raw_set("unpack_one", lua.create_function(one)?)?;
    let limited = |lua: &Lua, args: MultiValue| {
        let (limit, offset) = (optional(lua, &args, 1, 0), optional(lua, &args, 2, 0));
        answer(lua, unpack(lua, &args, limit, offset, "unpack_limit"))
    };
    table.raw_set("unpack_limit", lua.create_function(limited)?)?;
    Ok(table)
}

fn optional(lua: &Lua, args: &MultiValue, index: usize, default: i64) -> i64 {
    let value = args.get(index).cloned().unwrap_or(Value::Nil);
    lua.coerce_number(value).ok().flatten().map_or(default, |number| number as i64)
}

fn pack(lua: &Lua, args: &MultiValue) -> Taken<Value> {
    if args.is_empty() {
        return Err("bad argument #0 to 'pack' (MessagePack pack needs input.)".to_string());
    }
    let mut out = Vec::new();
    for value in args {
        put(&mut out, value, 0).map_err(|error| error.to_string())?;
    }
    lua.create_string(out).map(Value::String).map_err(|error| error.to_string())
}

/// Writes a value; what has no form in MessagePack, or stands too deep, is nil.
fn put(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<()> {
    let written = match value {
        Value::Boolean(value) => encode::write_bool(out, *value),
        Value::Integer(number) => return put_number(out, *number as f64),
        Value::Number(number) => return put_number(out, *number),
        Value::String(text) => encode::write_str_len(out, text.as_bytes().len() as u32)
            .map(|_| out.extend_from_slice(&text.as_bytes()))
            .map_err(|error| std::io::Error::other(error.to_string())),
        Value::Table(table) if depth < SCRIPT_MSGPACK_DEPTH_MAX => return put_table(out, table, depth + 1),
        _ => encode::write_nil(out),
    };
    written.map_err(mlua::Error::external)
}

fn put_number(out: &mut Vec<u8>, number: f64) -> Result<()> {
    let wide = |error: encode::ValueWriteError| mlua::Error::external(error);
    if number.fract() == 0.0 && (-9.3e18..1.9e19).contains(&number) {
        if number < 0.0 {
            return encode::write_sint(out, number as i64).map(drop).map_err(wide);
        }
        return encode::write_uint(out, number as u64).map(drop).map_err(wide);
    }
    match f64::from(number as f32) == number {
        true => encode::write_f32(out, number as f32).map_err(wide),
        false => encode::write_f64(out, number).map_err(wide),
    }
}

/// A table whose keys are 1, 2 and so on is an array, any other a map.
fn put_table(out: &mut Vec<u8>, table: &Table, depth: usize) -> Result<()> {
    let (mut count, mut highest, mut is_array) = (0u32, 0.0f64, true);
    for pair in table.pairs::<Value, Value>() {
        count += 1;
        match pair?.0 {
            Value::Integer(key) if key > 0 => highest = highest.max(key as f64),
            Value::Number(key) if key > 0.0 && key.fract() == 0.0 => highest = highest.max(key),
            _ => is_array = false,
        }
    }
    let wide = |error: encode::ValueWriteError| mlua::Error::external(error);
    if is_array && highest == f64::from(count) {
        encode::write_array_len(out, count).map_err(wide)?;
        for index in 1..=count {
            put(out, &table.raw_get::<Value>(index)?, depth)?;
        }
        return Ok(());
    }
    encode::write_map_len(out, count).map_err(wide)?;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        put(out, &key, depth)?;
        put(out, &value, depth)?;
    }
    Ok(())
}

fn data(lua: &Lua, args: &MultiValue, name: &str) -> Taken<Vec<u8>> {
    let value = args.front().cloned().unwrap_or(Value::Nil);
    let got = if args.is_empty() { "no value" } else { value.type_name() };
    let text = lua.coerce_string(value).ok().flatten();
    let text = text.ok_or_else(|| format!("bad argument #1 to '{name}' (string expected, got {got})"))?;
    Ok(text.as_bytes().to_vec())
}

fn unpack_all(lua: &Lua, args: &MultiValue) -> Taken<MultiValue> {
    let data = data(lua, args, "unpack")?;
    let mut from = Reader { lua, rest: &data };
    let mut values = MultiValue::new();
    while !from.rest.is_empty() {
        values.push_back(from.value(0)?);
    }
    Ok(values)
}

/// Up to `limit` values from `offset` on, behind the offset of the next one (-1 at the end).
fn unpack(lua: &Lua, args: &MultiValue, limit: i64, offset: i64, name: &str) -> Taken<MultiValue> {
    let data = data(lua, args, name)?;
    if offset < 0 || limit < 0 {
        return Err(format!("Invalid request to unpack with offset of {offset} and limit of {}.", data.len()));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)) else {
        return Err(format!("Start offset {offset} greater than input length {}.", data.len()));
    };
    let mut from = Reader { lua, rest };
    let mut values = MultiValue::new();
    let whole = name == "unpack_limit" && limit == 0;
    while !from.rest.is_empty() && (whole || (values.len() as i64) < limit) {
        values.push_back(from.value(0)?);
    }
    let next = if from.rest.is_empty() { -1.0 } else { (data.len() - from.rest.len()) as f64 };
    values.push_front(Value::Number(next));
    Ok(values)
}

struct Reader<'l, 'd> {
    lua: &'l Lua,
    rest: &'d [u8],
}

impl<'d> Reader<'_, 'd> {
    fn value(&mut self, depth: usize) -> Taken<Value> {
        let marker = Marker::from_u8(self.bytes(1)?[0]);
        Ok(match marker {
            Marker::FixPos(number) => Value::Number(number.into()),
            Marker::FixNeg(number) => Value::Number(number.into()),
            Marker::Null => Value::Nil,
            Marker::True => Value::Boolean(true),
            Marker::False => Value::Boolean(false),
            Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => {
                let wide = 1 << (marker.to_u8() - Marker::U8.to_u8());
                Value::Number(self.uint(wide)? as f64)
            }
            Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => {
                let wide = 1 << (marker.to_u8() - Marker::I8.to_u8());
                let unused = 64 - 8 * wide as u32;
                Value::Number(((self.uint(wide)? << unused) as i64 >> unused) as f64)
            }
            Marker::F32 => Value::Number(f32::from_bits(self.uint(4)? as u32).into()),
            Marker::F64 => Value::Number(f64::from_bits(self.uint(8)?)),
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 | Marker::Bin8 => self.long_text(1)?,
            Marker::Str16 | Marker::Bin16 => self.long_text(2)?,
            Marker::Str32 | Marker::Bin32 => self.long_text(4)?,
            Marker::FixArray(count) => self.array(count.into(), depth)?,
            Marker::Array16 => {
                let count = self.uint(2)?;
                self.array(count, depth)?
            }
            Marker::Array32 => {
                let count = self.uint(4)?;
                self.array(count, depth)?
            }
            Marker::FixMap(count) => self.map(count.into(), depth)?,
            Marker::Map16 => {
                let count = self.uint(2)?;
                self.map(count, depth)?
            }
            Marker::Map32 => {
                let count = self.uint(4)?;
                self.map(count, depth)?
            }
            _ => return Err("Bad data format in input.".to_string()),
        })
    }

    fn bytes(&mut self, count: usize) -> Taken<&'d [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or("Missing bytes in input.")?;
        self.rest = rest;
        Ok(bytes)
    }

    fn uint(&mut self, wide: usize) -> Taken<u64> {
        Ok(self.bytes(wide)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn long_text(&mut self, wide: usize) -> Taken<Value> {
        let length = self.uint(wide)?;
        self.text(length as usize)
    }

    fn text(&mut self, length: usize) -> Taken<Value> {
        let bytes = self.bytes(length)?;
        self.lua.create_string(bytes).map(Value::String).map_err(|error| error.to_string())
    }

    fn table(&self, depth: usize) -> Taken<Table> {
        if depth >= crate::base::limits::SCRIPT_REPLY_DEPTH_MAX {
            return Err("Bad data format in input.".to_string());
        }
        self.lua.create_table().map_err(|error| error.to_string())
    }

    fn array(&mut self, count: u64, depth: usize) -> Taken<Value> {
        let table = self.table(depth)?;
        for index in 1..=count {
            let value = self.value(depth + 1)?;
            table.raw_set(index, value).map_err(|error| error.to_string())?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, count: u64, depth: usize) -> Taken<Value> {
        let table = self.table(depth)?;
        for _ in 0..count {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            if key.is_nil() || key.as_number().is_some_and(f64::is_nan) {
                return Err("Bad data format in input.".to_string());
            }
            table.raw_set(key, value).map_err(|error| error.to_string())?;
        }
        Ok(Value::Table(table))
    }
}
