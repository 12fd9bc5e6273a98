//! What a script returns, as a reply.

use crate::base::limits::SCRIPT_REPLY_DEPTH_MAX;
use crate::base::number::push_i64;
use crate::resp::{Proto, Writer};
use mlua::{LuaString, Result, Table, Value};

/// An error among what a script returned, to be counted.
pub type Counted = Option<String>;

/// Writes `value`. `script` is the protocol that the script has chosen for its own calls: it decides about booleans. The
/// first error that the reply holds, unless the command that made it has counted it.
pub fn to_reply(value: &Value, script: Proto, reply: &mut Writer<'_>) -> Result<Counted> {
    let mut writing = Writing { script, counted: None };
    writing.value(value, reply, 0)?;
    Ok(writing.counted)
}

struct Writing {
    script: Proto,
    counted: Counted,
}

impl Writing {
    fn value(&mut self, value: &Value, reply: &mut Writer<'_>, depth: usize) -> Result<()> {
        if depth > SCRIPT_REPLY_DEPTH_MAX {
            reply.error("ERR reached lua stack limit");
            return Ok(());
        }
        match value {
            Value::String(text) => reply.bulk(&text.as_bytes()),
            Value::Integer(number) => reply.int(*number),
            Value::Number(number) => reply.int(*number as i64),
            Value::Boolean(value) if self.script == Proto::Resp3 => reply.bool(*value),
            Value::Boolean(true) => reply.int(1),
            Value::Table(table) => return self.table(table, reply, depth),
            _ => reply.null(),
        }
        Ok(())
    }

    /// What a table stands for is found out by a function of its own, so that what recurs is small.
    fn table(&mut self, table: &Table, reply: &mut Writer<'_>, depth: usize) -> Result<()> {
        match shape(table)? {
            Shape::Error { text, counted } => {
                if !counted && self.counted.is_none() {
                    self.counted = Some(text.to_string_lossy());
                }
                reply.error_bytes(&[trimmed(&text.as_bytes())]);
            }
            Shape::Status(text) => {
                reply.raw(b"+");
                reply.raw(&one_line(&text.as_bytes()));
                reply.raw(b"\r\n");
            }
            Shape::Double(number) => reply.double(number),
            Shape::BigNumber(digits) => reply.big_number(&String::from_utf8_lossy(&one_line(&digits.as_bytes()))),
            Shape::Verbatim { format, text } => verbatim(&format.as_bytes(), &text.as_bytes(), reply),
            Shape::Map(map) => return self.map(&map, reply, depth + 1),
            Shape::Set(set) => return self.set(&set, reply, depth + 1),
            Shape::Array => return self.array(table, reply, depth + 1),
        }
        Ok(())
    }

    fn map(&mut self, map: &Table, reply: &mut Writer<'_>, depth: usize) -> Result<()> {
        let at = reply.len();
        let mut pairs = 0;
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, reply, depth)?;
            self.value(&value, reply, depth)?;
            pairs += 1;
        }
        head(reply, at, if reply.proto == Proto::Resp3 { (b'%', pairs) } else { (b'*', 2 * pairs) });
        Ok(())
    }

    fn set(&mut self, set: &Table, reply: &mut Writer<'_>, depth: usize) -> Result<()> {
        let at = reply.len();
        let mut members = 0;
        for pair in set.pairs::<Value, Value>() {
            self.value(&pair?.0, reply, depth)?;
            members += 1;
        }
        head(reply, at, (if reply.proto == Proto::Resp3 { b'~' } else { b'*' }, members));
        Ok(())
    }

    /// The elements up to the first that is nil.
    fn array(&mut self, table: &Table, reply: &mut Writer<'_>, depth: usize) -> Result<()> {
        let at = reply.len();
        let mut count = 0;
        loop {
            let element = table.raw_get::<Value>(count + 1)?;
            if element.is_nil() {
                break;
            }
            self.value(&element, reply, depth)?;
            count += 1;
        }
        head(reply, at, (b'*', count));
        Ok(())
    }
}

/// What a table stands for.
enum Shape {
    Error { text: LuaString, counted: bool },
    Status(LuaString),
    Double(f64),
    BigNumber(LuaString),
    Verbatim { format: LuaString, text: LuaString },
    Map(Table),
    Set(Table),
    Array,
}

fn shape(table: &Table) -> Result<Shape> {
    let field = |name: &str| table.raw_get::<Value>(name);
    if let Value::String(text) = field("err")? {
        let counted = matches!(field("ignore_error_stats_update")?, Value::Boolean(true));
        return Ok(Shape::Error { text, counted });
    }
    if let Value::String(text) = field("ok")? {
        return Ok(Shape::Status(text));
    }
    if let Some(number) = field("double")?.as_number() {
        return Ok(Shape::Double(number));
    }
    if let Value::String(digits) = field("big_number")? {
        return Ok(Shape::BigNumber(digits));
    }
    if let Value::Table(verbatim) = field("verbatim_string")? {
        let (format, text) = (verbatim.raw_get::<Value>("format")?, verbatim.raw_get::<Value>("string")?);
        if let (Value::String(format), Value::String(text)) = (format, text) {
            return Ok(Shape::Verbatim { format, text });
        }
    }
    if let Value::Table(map) = field("map")? {
        return Ok(Shape::Map(map));
    }
    match field("set")? {
        Value::Table(set) => Ok(Shape::Set(set)),
        _ => Ok(Shape::Array),
    }
}

fn verbatim(format: &[u8], text: &[u8], reply: &mut Writer<'_>) {
    if reply.proto == Proto::Resp2 {
        return reply.bulk(text);
    }
    let mut three = *b"   ";
    for (to, from) in three.iter_mut().zip(format) {
        *to = *from;
    }
    reply.raw(b"=");
    push_i64(reply.out, text.len() as i64 + 4);
    reply.raw(b"\r\n");
    reply.raw(&three);
    reply.raw(b":");
    reply.raw(text);
    reply.raw(b"\r\n");
}

/// Puts the head of an aggregate in front of its elements, which begin at `at`.
fn head(reply: &mut Writer<'_>, at: usize, (kind, count): (u8, i64)) {
    let mut head = vec![kind];
    push_i64(&mut head, count);
    head.extend_from_slice(b"\r\n");
    reply.out.splice(at..at, head);
}

fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }).collect()
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &text[..end]
}
