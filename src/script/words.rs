//! The words of a command that a script calls, gathered from Lua's values.

use super::table::Denied;
use crate::base::number::{push_f64, push_i64};
use crate::resp::Request;
use mlua::{MultiValue, Value};

/// Above this many bytes (or words) a reused buffer is cut back.
const KEPT_MAX: usize = 4096;

/// Reused from call to call.
#[derive(Debug, Default)]
pub struct Words {
    bytes: Vec<u8>,
    ranges: Vec<(usize, usize)>,
}

impl Words {
    /// Takes the values of a call.
    ///
    /// # Errors
    /// There are none, or one is no text.
    pub fn gather(&mut self, values: &MultiValue) -> Result<(), Denied> {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.ranges.clear();
        self.ranges.shrink_to(KEPT_MAX);
        if values.is_empty() {
            return Err(Denied::NoWords);
        }
        for value in values {
            let start = self.bytes.len();
            match value {
                Value::String(text) => self.bytes.extend_from_slice(&text.as_bytes()),
                Value::Integer(number) => push_i64(&mut self.bytes, *number),
                Value::Number(number) => push_number(&mut self.bytes, *number),
                _ => return Err(Denied::NoText),
            }
            self.ranges.push((start, self.bytes.len() - start));
        }
        Ok(())
    }

    /// The words, as a request.
    pub fn request(&self) -> Request<'_> {
        Request::new(&self.bytes, &self.ranges)
    }
}

/// A number as a command takes it: without a fraction where it has none.
fn push_number(out: &mut Vec<u8>, number: f64) {
    if number.fract() == 0.0 && number.abs() < 9.2e18 {
        push_i64(out, number as i64);
    } else {
        push_f64(out, number);
    }
}
