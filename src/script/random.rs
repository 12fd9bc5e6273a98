//! `math.random` of scripts: the generator of `drand48`, the same sequence for the same seed on every machine.
//!
//! A script must not be able to see, or to change, any luck of the node's.

use mlua::{Lua, MultiValue, Result, Value};
use std::cell::Cell;
use std::rc::Rc;

/// 48 bits of state.
#[derive(Debug)]
pub struct Random(Cell<u64>);

const MAX: u64 = i32::MAX as u64;

impl Default for Random {
    fn default() -> Self {
        Random(Cell::new(0x1234_abcd_330e))
    }
}

impl Random {
    fn seed(&self, seed: i32) {
        self.0.set(((seed as u32 as u64) << 16) + 0x330e);
    }

    /// 31 bits.
    fn next(&self) -> u64 {
        let next = (self.0.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb)) & ((1 << 48) - 1);
        self.0.set(next);
        next >> 17
    }

    /// From 0 to 1, without 1.
    fn fraction(&self) -> f64 {
        (self.next() % MAX) as f64 / MAX as f64
    }
}

/// `math.random([low,] [high])` and `math.randomseed(seed)`; see `vm` for what they return.
pub fn functions(lua: &Lua, random: &Rc<Random>) -> Result<[mlua::Function; 2]> {
    let own = random.clone();
    let draw = lua.create_function(move |lua, args: MultiValue| {
        let fraction = own.fraction();
        let drawn = match args.len() {
            0 => Ok(fraction),
            1 => int(lua, &args, 0, "random").and_then(|high| match high {
                1.. => Ok((fraction * f64::from(high)).floor() + 1.0),
                _ => Err("bad argument #1 to 'random' (interval is empty)".to_string()),
            }),
            2 => int(lua, &args, 0, "random").and_then(|low| {
                let high = int(lua, &args, 1, "random")?;
                match low <= high {
                    true => Ok((fraction * (f64::from(high) - f64::from(low) + 1.0)).floor() + f64::from(low)),
                    false => Err("bad argument #2 to 'random' (interval is empty)".to_string()),
                }
            }),
            _ => Err("wrong number of arguments".to_string()),
        };
        super::vm::answer(lua, drawn.map(Value::Number))
    })?;
    let own = random.clone();
    let seed = lua.create_function(move |lua, args: MultiValue| {
        let seeded = int(lua, &args, 0, "randomseed").map(|seed| {
            own.seed(seed);
            Value::Nil
        });
        super::vm::answer(lua, seeded)
    })?;
    Ok([draw, seed])
}

fn int(lua: &Lua, args: &MultiValue, index: usize, name: &str) -> std::result::Result<i32, String> {
    let value = args.get(index).cloned().unwrap_or(Value::Nil);
    let number = lua.coerce_number(value.clone()).ok().flatten().ok_or_else(|| {
        let got = if index < args.len() { value.type_name() } else { "no value" };
        format!("bad argument #{} to '{name}' (number expected, got {got})", index + 1)
    })?;
    Ok(number as i64 as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_drand48() {
        let random = Random::default();
        random.seed(0);
        let drawn: Vec<u64> = (0..4).map(|_| random.next()).collect();
        assert_eq!(drawn, [366850414, 1610402240, 206956554, 1869309841]);
    }
}
