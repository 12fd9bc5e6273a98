//! `cjson.*`: JSON as lua-cjson 2.1 writes and reads it, with its options and its words for what is wrong.
//!
//! The crates for JSON give other errors, have other rules for numbers (`nan`, hexadecimal), and would build a tree
//! between the text and Lua's tables.

mod decode;
mod encode;

use super::vm::answer;
use mlua::{Lua, MultiValue, Result, Table, Value};
use std::cell::Cell;
use std::rc::Rc;

/// What scripts can set. The settings last, as in Redis, for as long as the machine.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether an excessively sparse array becomes an object; an error else.
    sparse_convert: bool,
    /// From how many times its elements on an array counts as sparse (0: never), if its highest index is above `sparse_safe`.
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth_max: usize,
    decode_depth_max: usize,
    precision: usize,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

/// What becomes of infinities and NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// The deepest nesting that an option may ask for: each level is a call of a function here.
const DEPTH_MAX: i64 = 2000;

type Taken<T> = std::result::Result<T, String>;

/// The table that becomes `cjson`.
pub fn library(lua: &Lua) -> Result<Table> {
    let settings = Rc::new(Cell::new(Settings::default()));
    let table = lua.create_table()?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    table.raw_set("null", Value::NULL)?;
    let own = settings.clone();
    let function = move |lua: &Lua, args: MultiValue| {
        let text = one(&args, "encode").and_then(|value| encode::encode(&own.get(), value));
        let text = text.and_then(|text| lua.create_string(text).map_err(|error| error.to_string()));
        answer(lua, text.map(Value::String))
    };
    table.raw_set("encode", lua.create_function(function)?)?;
    let own = settings.clone();
    let function = move |lua: &Lua, args: MultiValue| {
        let value = one(&args, "decode").and_then(|value| {
            let text =
                lua.coerce_string(value.clone()).ok().flatten().ok_or_else(|| {
                    format!("bad argument #1 to 'decode' (string expected, got {})", value.type_name())
                })?;
            decode::decode(lua, own.get(), &text.as_bytes())
        });
        answer(lua, value)
    };
    table.raw_set("decode", lua.create_function(function)?)?;

    let option = |name: &'static str, change: fn(&mut Settings, &Options<'_>) -> Taken<Value>| {
        let own = settings.clone();
        let function = move |lua: &Lua, args: MultiValue| {
            let mut changed = own.get();
            let result = change(&mut changed, &Options { lua, args: &args, name });
            if result.is_ok() {
                own.set(changed);
            }
            answer(lua, result)
        };
        table.raw_set(name, lua.create_function(function)?)
    };
    option("encode_max_depth", |settings, options| {
        settings.encode_depth_max = options.int(0, 1, DEPTH_MAX, settings.encode_depth_max as i64)? as usize;
        Ok(Value::Number(settings.encode_depth_max as f64))
    })?;
    option("decode_max_depth", |settings, options| {
        settings.decode_depth_max = options.int(0, 1, DEPTH_MAX, settings.decode_depth_max as i64)? as usize;
        Ok(Value::Number(settings.decode_depth_max as f64))
    })?;
    option("encode_number_precision", |settings, options| {
        settings.precision = options.int(0, 1, 17, settings.precision as i64)? as usize;
        Ok(Value::Number(settings.precision as f64))
    })?;
    option("encode_keep_buffer", |_, options| Ok(Value::Boolean(options.bool(0, true)?)))?;
    option("encode_sparse_array", |settings, options| {
        settings.sparse_convert = options.bool(0, settings.sparse_convert)?;
        settings.sparse_ratio = options.int(1, 0, i64::from(i32::MAX), settings.sparse_ratio)?;
        settings.sparse_safe = options.int(2, 0, i64::from(i32::MAX), settings.sparse_safe)?;
        Ok(Value::Boolean(settings.sparse_convert))
    })?;
    option("encode_invalid_numbers", |settings, options| {
        settings.encode_invalid = match options.args.front() {
            Some(Value::String(word)) if *word == "null" => Invalid::Null,
            _ => match options.bool(0, settings.encode_invalid != Invalid::Refused)? {
                true => Invalid::Written,
                false => Invalid::Refused,
            },
        };
        Ok(Value::Boolean(settings.encode_invalid != Invalid::Refused))
    })?;
    option("decode_invalid_numbers", |settings, options| {
        settings.decode_invalid = options.bool(0, settings.decode_invalid)?;
        Ok(Value::Boolean(settings.decode_invalid))
    })?;
    Ok(table)
}

fn one<'v>(args: &'v MultiValue, name: &str) -> Taken<&'v Value> {
    match (args.len(), args.front()) {
        (1, Some(value)) => Ok(value),
        _ => Err(format!("bad argument #1 to '{name}' (expected 1 argument)")),
    }
}

/// The arguments of a function that sets an option.
struct Options<'a> {
    lua: &'a Lua,
    args: &'a MultiValue,
    name: &'static str,
}

impl Options<'_> {
    fn given(&self, index: usize) -> Option<&Value> {
        self.args.get(index).filter(|value| !value.is_nil())
    }

    fn int(&self, index: usize, low: i64, high: i64, now: i64) -> Taken<i64> {
        let Some(value) = self.given(index) else { return Ok(now) };
        let number = self.lua.coerce_number(value.clone()).ok().flatten();
        let number = number.filter(|number| (low as f64..=high as f64).contains(number));
        let wrong = || {
            let (place, name) = (index + 1, self.name);
            format!("bad argument #{place} to '{name}' (expected integer between {low} and {high})")
        };
        number.map(|number| number as i64).ok_or_else(wrong)
    }

    fn bool(&self, index: usize, now: bool) -> Taken<bool> {
        match self.given(index) {
            None => Ok(now),
            Some(Value::Boolean(value)) => Ok(*value),
            Some(Value::String(word)) if *word == "on" => Ok(true),
            Some(Value::String(word)) if *word == "off" => Ok(false),
            Some(other) => {
                let text = other.to_string().unwrap_or_default();
                Err(format!("bad argument #{} to '{}' (invalid option '{text}')", index + 1, self.name))
            }
        }
    }
}
