//! Replies of commands, as values of Lua.
//!
//! The reply is one that a handler of ours has just written, so it is whole and its nesting is that of a command.

use crate::base::number::{parse_f64, parse_i64};
use mlua::{Lua, LuaString, Result, Table, Value};

/// Reads the reply at the start of `bytes`.
pub fn from_reply(lua: &Lua, bytes: &[u8]) -> Result<Value> {
    Reader { lua, rest: bytes }.value()
}

/// An error as scripts know it: a table with the text under `err`.
pub fn error_table(lua: &Lua, text: &[u8]) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("err", lua.create_string(text)?)?;
    Ok(table)
}

struct Reader<'l, 'b> {
    lua: &'l Lua,
    rest: &'b [u8],
}

impl<'b> Reader<'_, 'b> {
    fn value(&mut self) -> Result<Value> {
        let (kind, line) = self.line();
        let number = || parse_i64(line).unwrap_or(0);
        Ok(match kind {
            b':' => Value::Number(number() as f64),
            b'$' if line == b"-1" => Value::Boolean(false),
            b'*' if line == b"-1" => Value::Boolean(false),
            b'$' => Value::String(self.lua.create_string(self.bulk(line))?),
            b'+' => Value::Table(self.field("ok", self.lua.create_string(line)?)?),
            b'-' => {
                let table = error_table(self.lua, line)?;
                // It was counted where it arose.
                table.raw_set("ignore_error_stats_update", true)?;
                Value::Table(table)
            }
            b'*' | b'>' => Value::Table(self.array(number() as usize)?),
            b'%' => {
                let map = self.lua.create_table_with_capacity(0, number() as usize)?;
                for _ in 0..number() {
                    let (key, value) = (self.value()?, self.value()?);
                    map.raw_set(key, value)?;
                }
                Value::Table(self.field("map", map)?)
            }
            b'~' => {
                let set = self.lua.create_table_with_capacity(0, number() as usize)?;
                for _ in 0..number() {
                    set.raw_set(self.value()?, true)?;
                }
                Value::Table(self.field("set", set)?)
            }
            b'#' => Value::Boolean(line == b"t"),
            b',' => Value::Table(self.field("double", parse_f64(line).unwrap_or(f64::NAN))?),
            b'(' => Value::Table(self.field("big_number", self.lua.create_string(line)?)?),
            b'=' => {
                let text = self.bulk(line);
                let (format, text) = text.split_at(text.len().min(3));
                let inner = self.field("format", self.lua.create_string(format)?)?;
                inner.raw_set("string", self.lua.create_string(text.strip_prefix(b":").unwrap_or(text))?)?;
                Value::Table(self.field("verbatim_string", inner)?)
            }
            b'|' => {
                // Attributes are not shown to scripts.
                for _ in 0..2 * number() {
                    self.value()?;
                }
                self.value()?
            }
            _ => Value::Nil,
        })
    }

    fn array(&mut self, count: usize) -> Result<Table> {
        if let Some(texts) = self.texts(count) {
            return self.lua.create_sequence_from(texts.into_iter().map(LuaString::wrap));
        }
        let table = self.lua.create_table_with_capacity(count, 0)?;
        for index in 1..=count {
            let value = self.value()?;
            table.raw_set(index, value)?;
        }
        Ok(table)
    }

    /// The elements of an array of bulk strings alone, which most are: they are put into the table in one go.
    fn texts(&mut self, count: usize) -> Option<Vec<&'b [u8]>> {
        let start = self.rest;
        let mut texts = Vec::with_capacity(count.min(start.len() / 5));
        for _ in 0..count {
            if !self.rest.starts_with(b"$") || self.rest.starts_with(b"$-") {
                self.rest = start;
                return None;
            }
            let (_, line) = self.line();
            texts.push(self.bulk(line));
        }
        Some(texts)
    }

    fn field(&self, name: &str, value: impl mlua::IntoLua) -> Result<Table> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(table)
    }

    /// The next line: its first byte, and what follows up to its end.
    fn line(&mut self) -> (u8, &'b [u8]) {
        let end = memchr::memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(2..).unwrap_or_default();
        match line.split_first() {
            Some((&kind, line)) => (kind, line),
            None => (b'_', line),
        }
    }

    /// So many bytes, and their line end.
    fn bulk(&mut self, length: &[u8]) -> &'b [u8] {
        let length = parse_i64(length).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let (bytes, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest.get(2..).unwrap_or_default();
        bytes
    }
}
