//! Lua's values to JSON.

use super::{Invalid, Settings, Taken};
use crate::script::number::push_general;
use mlua::{Table, Value};

/// The text of a value.
pub fn encode(settings: &Settings, value: &Value) -> Taken<Vec<u8>> {
    let mut out = Vec::new();
    Encoder { settings, out: &mut out }.value(value, 0)?;
    Ok(out)
}

struct Encoder<'a> {
    settings: &'a Settings,
    out: &'a mut Vec<u8>,
}

fn refused(kind: &str, why: &str) -> String {
    format!("Cannot serialise {kind}: {why}")
}

fn lua(error: mlua::Error) -> String {
    error.to_string()
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Taken<()> {
        match value {
            Value::String(text) => self.text(&text.as_bytes()),
            Value::Integer(number) => self.number(*number as f64)?,
            Value::Number(number) => self.number(*number)?,
            Value::Boolean(value) => self.out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return Err(refused(other.type_name(), "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> Taken<()> {
        if depth > self.settings.encode_depth_max {
            return Err(format!("Cannot serialise, excessive depth ({depth})"));
        }
        match self.array_length(table)? {
            Some(length @ 1..) => {
                for index in 1..=length {
                    self.out.push(if index == 1 { b'[' } else { b',' });
                    let value: Value = table.raw_get(index).map_err(lua)?;
                    self.value(&value, depth)?;
                }
                self.out.push(b']');
                Ok(())
            }
            _ => self.object(table, depth),
        }
    }

    /// The highest index of a table that is an array; `None` where it is an object.
    fn array_length(&self, table: &Table) -> Taken<Option<i64>> {
        let (mut highest, mut items) = (0, 0);
        for pair in table.pairs::<Value, Value>() {
            let index = match pair.map_err(lua)?.0 {
                Value::Integer(index) if index > 0 => index,
                Value::Number(index) if index > 0.0 && index.fract() == 0.0 => index as i64,
                _ => return Ok(None),
            };
            highest = highest.max(index);
            items += 1;
        }
        let Settings { sparse_convert, sparse_ratio, sparse_safe, .. } = *self.settings;
        if sparse_ratio > 0 && highest > items * sparse_ratio && highest > sparse_safe {
            return match sparse_convert {
                true => Ok(None),
                false => Err(refused("table", "excessively sparse array")),
            };
        }
        Ok(Some(highest))
    }

    fn object(&mut self, table: &Table, depth: usize) -> Taken<()> {
        self.out.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(lua)?;
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            match &key {
                Value::String(text) => self.text(&text.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    let number = key.as_number().or(key.as_integer().map(|i| i as f64)).unwrap_or(0.0);
                    self.out.push(b'"');
                    self.number(number)?;
                    self.out.push(b'"');
                }
                _ => return Err(refused("table", "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn number(&mut self, number: f64) -> Taken<()> {
        if number.is_finite() {
            push_general(self.out, number, self.settings.precision);
            return Ok(());
        }
        match self.settings.encode_invalid {
            Invalid::Refused => return Err(refused("number", "must not be NaN or Inf")),
            Invalid::Null => self.out.extend_from_slice(b"null"),
            Invalid::Written if number.is_nan() => self.out.extend_from_slice(b"nan"),
            Invalid::Written => self.out.extend_from_slice(if number > 0.0 { b"inf" } else { b"-inf" }),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for &byte in text {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                0x0c => self.out.extend_from_slice(b"\\f"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                0..0x20 | 0x7f => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                other => self.out.push(other),
            }
        }
        self.out.push(b'"');
    }
}
