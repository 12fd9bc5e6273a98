//! Values of Lua and replies of commands, as a debugger shows them.
//!
//! A table may hold itself, or others a thousand times over: nothing is written beyond the limit, and no level below the
//! tenth is looked at.

use crate::base::number::push_f64;
use crate::resp::{Frame, Proto, decode};
use crate::script::number::push_general;
use mlua::{Table, Value};
use std::io::Write as _;

/// Levels of nested tables that are shown.
const DEPTH_MAX: usize = 10;

/// Appends a value; goes on until `out` is longer than `limit` at most, and some way beyond for a text.
pub fn value(out: &mut Vec<u8>, shown: &Value, limit: usize) {
    nested(out, shown, limit, 0);
}

fn nested(out: &mut Vec<u8>, shown: &Value, limit: usize, level: usize) {
    if level == DEPTH_MAX {
        out.extend_from_slice(b"<max recursion level reached! Nested table?>");
        return;
    }
    match shown {
        Value::String(text) => quoted(out, &text.as_bytes(), limit),
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Integer(number) => general(out, *number as f64),
        Value::Number(number) => general(out, *number),
        Value::Nil => out.extend_from_slice(b"nil"),
        Value::Table(table) => {
            out.push(b'{');
            let is_sequence = is_sequence(table);
            for (index, pair) in table.pairs::<Value, Value>().enumerate() {
                let Ok((key, value)) = pair else { break };
                if out.len() > limit {
                    break;
                }
                if index > 0 {
                    out.extend_from_slice(b"; ");
                }
                if !is_sequence {
                    out.push(b'[');
                    nested(out, &key, limit, level + 1);
                    out.extend_from_slice(b"]=");
                }
                nested(out, &value, limit, level + 1);
            }
            out.push(b'}');
        }
        other => {
            let kind = if matches!(other, Value::LightUserData(_)) { "light-userdata" } else { other.type_name() };
            let _ = write!(out, "\"{kind}@{:p}\"", other.to_pointer());
        }
    }
}

/// Whether the keys are 1, 2, 3 and so on, in this order.
fn is_sequence(table: &Table) -> bool {
    let mut expected = 0.0;
    table.pairs::<Value, Value>().all(|pair| {
        expected += 1.0;
        match pair {
            Ok((Value::Integer(key), _)) => key as f64 == expected,
            Ok((Value::Number(key), _)) => key == expected,
            _ => false,
        }
    })
}

fn general(out: &mut Vec<u8>, number: f64) {
    match number {
        _ if number.is_nan() => out.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" }),
        f64::INFINITY => out.extend_from_slice(b"inf"),
        f64::NEG_INFINITY => out.extend_from_slice(b"-inf"),
        _ => push_general(out, number, 6),
    }
}

/// A text in quotes; of a long one no more than the limit asks for.
fn quoted(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    out.push(b'"');
    for byte in text {
        if out.len() > limit {
            break;
        }
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            other => {
                let _ = write!(out, "\\x{other:02x}");
            }
        }
    }
    out.push(b'"');
}

/// Appends the reply of a command, which a script got in this protocol.
pub fn reply(out: &mut Vec<u8>, bytes: &[u8], proto: Proto, limit: usize) {
    match decode(bytes) {
        Ok(Some((shown, _))) => frame(out, &shown, proto, limit),
        _ => out.extend_from_slice(b"<reply of a form that cannot be shown>"),
    }
}

fn frame(out: &mut Vec<u8>, shown: &Frame, proto: Proto, limit: usize) {
    match shown {
        Frame::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Frame::Bulk(text) | Frame::Verbatim(text) => quoted(out, text, limit),
        Frame::Simple(text) => quoted(out, format!("+{text}").as_bytes(), limit),
        Frame::Error(text) => quoted(out, format!("-{text}").as_bytes(), limit),
        Frame::Null => out.extend_from_slice(if proto == Proto::Resp3 { b"(null)" } else { b"NULL" }),
        Frame::Bool(value) => out.extend_from_slice(if *value { b"#true" } else { b"#false" }),
        Frame::Double(number) => {
            out.extend_from_slice(b"(double) ");
            push_f64(out, *number);
        }
        Frame::BigNumber(digits) => out.extend_from_slice(digits.as_bytes()),
        Frame::Array(items) | Frame::Push(items) => list(out, items, ["[", "]"], proto, limit),
        Frame::Set(items) => list(out, items, ["~(", ")"], proto, limit),
        Frame::Map(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate().take_while(|(index, _)| *index <= limit) {
                if out.len() > limit {
                    break;
                }
                if index > 0 {
                    out.push(b',');
                }
                frame(out, key, proto, limit);
                out.extend_from_slice(b" => ");
                frame(out, value, proto, limit);
            }
            out.push(b'}');
        }
    }
}

fn list(out: &mut Vec<u8>, items: &[Frame], [open, close]: [&str; 2], proto: Proto, limit: usize) {
    out.extend_from_slice(open.as_bytes());
    for (index, item) in items.iter().enumerate() {
        if out.len() > limit {
            break;
        }
        if index > 0 {
            out.push(b',');
        }
        frame(out, item, proto, limit);
    }
    out.extend_from_slice(close.as_bytes());
}
