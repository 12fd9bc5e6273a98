//! `bit.*`: operations on 32 bits, as LuaBitOp has them.

use super::vm::answer;
use mlua::{Lua, MultiValue, Result, Table, Value};

type Taken<T> = std::result::Result<T, String>;

/// The table that becomes `bit`.
pub fn library(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    one(lua, &table, "tobit", |bits| bits)?;
    one(lua, &table, "bnot", |bits| !bits)?;
    one(lua, &table, "bswap", i32::swap_bytes)?;
    many(lua, &table, "band", |a, b| a & b)?;
    many(lua, &table, "bor", |a, b| a | b)?;
    many(lua, &table, "bxor", |a, b| a ^ b)?;
    shift(lua, &table, "lshift", |bits, by| bits << by)?;
    shift(lua, &table, "rshift", |bits, by| (bits as u32 >> by) as i32)?;
    shift(lua, &table, "arshift", |bits, by| bits >> by)?;
    shift(lua, &table, "rol", i32::rotate_left)?;
    shift(lua, &table, "ror", i32::rotate_right)?;
    table.raw_set(
        "tohex",
        lua.create_function(|lua, args: MultiValue| {
            let hex = (|| {
                let bits = operand(lua, &args, 0, "tohex")?;
                let digits = if args.len() < 2 { 8 } else { operand(lua, &args, 1, "tohex")? };
                let width = digits.unsigned_abs().min(8) as usize;
                let all = if digits < 0 { format!("{bits:08X}") } else { format!("{bits:08x}") };
                lua.create_string(&all[8 - width..]).map(Value::String).map_err(|error| error.to_string())
            })();
            answer(lua, hex)
        })?,
    )?;
    Ok(table)
}

fn one(lua: &Lua, table: &Table, name: &'static str, of: fn(i32) -> i32) -> Result<()> {
    let function = move |lua: &Lua, args: MultiValue| {
        let bits = operand(lua, &args, 0, name).map(of);
        answer(lua, bits.map(|bits| Value::Number(bits.into())))
    };
    table.raw_set(name, lua.create_function(function)?)
}

fn many(lua: &Lua, table: &Table, name: &'static str, of: fn(i32, i32) -> i32) -> Result<()> {
    let function = move |lua: &Lua, args: MultiValue| {
        let bits = (1..args.len()).try_fold(operand(lua, &args, 0, name), |bits, index| {
            Ok::<_, String>(Ok(of(bits?, operand(lua, &args, index, name)?)))
        });
        answer(lua, bits.and_then(|bits| bits).map(|bits| Value::Number(bits.into())))
    };
    table.raw_set(name, lua.create_function(function)?)
}

fn shift(lua: &Lua, table: &Table, name: &'static str, of: fn(i32, u32) -> i32) -> Result<()> {
    let function = move |lua: &Lua, args: MultiValue| {
        let bits =
            operand(lua, &args, 0, name).and_then(|bits| Ok(of(bits, (operand(lua, &args, 1, name)? & 31) as u32)));
        answer(lua, bits.map(|bits| Value::Number(bits.into())))
    };
    table.raw_set(name, lua.create_function(function)?)
}

/// A number as 32 bits: rounded to the nearest integer, modulo 2^32.
fn operand(lua: &Lua, args: &MultiValue, index: usize, name: &str) -> Taken<i32> {
    let value = args.get(index).cloned().unwrap_or(Value::Nil);
    match lua.coerce_number(value.clone()).ok().flatten() {
        // The sum leaves the integer in the low bits of the fraction.
        Some(number) => Ok((number + 6_755_399_441_055_744.0).to_bits() as i32),
        None => {
            let got = if index < args.len() { value.type_name() } else { "no value" };
            Err(format!("bad argument #{} to '{name}' (number expected, got {got})", index + 1))
        }
    }
}
