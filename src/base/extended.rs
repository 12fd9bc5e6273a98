//! Floating-point numbers of 64 bits of precision: what INCRBYFLOAT of Redis counts in (`long double` on x86-64).
//!
//! With an `f64` the sum of 0.1 and 0.2 would be printed as 0.30000000000000004, where users have always seen 0.3. So
//! the format is computed here: numbers are read and added with one rounding each (to nearest, ties to even), and
//! printed with at most 17 digits behind the point, exactly as Redis does. Hexadecimal floats are not read.

use std::fmt;
use std::ops::Add;

/// A number, positive or negative; never NaN but as the difference of infinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// `mantissa * 2^exponent`; the mantissa's top bit is set unless the number is zero.
    Finite {
        negative: bool,
        mantissa: u64,
        exponent: i32,
    },
    Infinite {
        negative: bool,
    },
    Nan,
}

/// The longest text that is read, as in Redis (`MAX_LONG_DOUBLE_CHARS`).
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// The largest exponent of a mantissa of 64 bits.
const EXPONENT_MAX: i32 = 16383 - 63;
/// Beyond these decimal exponents a number is too large, or nothing.
const DECIMAL_MAX: i64 = 4940;
const DECIMAL_MIN: i64 = -4960;
/// Digits behind the point.
const PLACES: usize = 17;
const TEN_TO_PLACES: u128 = 10u128.pow(PLACES as u32);

impl Extended {
    pub const ZERO: Extended = Extended::Finite { negative: false, mantissa: 0, exponent: 0 };

    /// Reads the whole text as a decimal number or as `inf`. `None` for anything else, for NaN, and for what is too
    /// large or too small.
    pub fn parse(text: &[u8]) -> Option<Extended> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Extended::Infinite { negative });
        }
        let mut digits = Big::default();
        let (mut seen, mut significant, mut behind_point, mut point) = (false, 0i64, 0i64, false);
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            match byte {
                b'0'..=b'9' => {
                    digits.mul_add(10, u32::from(byte - b'0'));
                    seen = true;
                    significant += i64::from(significant > 0 || *byte != b'0');
                    behind_point += i64::from(point);
                }
                b'.' if !point => point = true,
                _ => break,
            }
            rest = tail;
        }
        if !seen {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', tail @ ..] => decimal_exponent(tail)?,
            _ => return None,
        };
        if significant == 0 {
            return Some(Extended::Finite { negative, mantissa: 0, exponent: 0 });
        }
        let exponent = exponent - behind_point;
        if !(DECIMAL_MIN..=DECIMAL_MAX).contains(&(exponent + significant)) {
            return None;
        }
        let number = digits.times_ten_to(negative, exponent as i32);
        number.is_finite().then_some(number)
    }

    pub fn is_finite(self) -> bool {
        matches!(self, Extended::Finite { .. })
    }

    /// `bits * 2^exponent`, rounded; `more` says that a little is missing.
    fn rounded(negative: bool, bits: u128, exponent: i32, more: bool) -> Extended {
        if bits == 0 {
            return Extended::Finite { negative, mantissa: 0, exponent: 0 };
        }
        let excess = 64 - bits.leading_zeros() as i32; // bits beyond 64, or missing ones if negative
        if excess <= 0 {
            debug_assert!(!more, "what is missing is below what was kept");
            let shift = excess.unsigned_abs();
            return Extended::Finite { negative, mantissa: (bits as u64) << shift, exponent: exponent + excess };
        }
        let kept = (bits >> excess) as u64;
        let half = 1u128 << (excess - 1);
        let rest = bits & ((half << 1) - 1);
        let up = rest > half || rest == half && (more || kept & 1 == 1);
        let (mantissa, exponent) = match kept.checked_add(u64::from(up)) {
            Some(mantissa) => (mantissa, exponent + excess),
            None => (1 << 63, exponent + excess + 1),
        };
        match exponent > EXPONENT_MAX {
            true => Extended::Infinite { negative },
            false => Extended::Finite { negative, mantissa, exponent },
        }
    }
}

fn decimal_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -value } else { value })
}

impl Add for Extended {
    type Output = Extended;
    fn add(self, other: Extended) -> Extended {
        use Extended::{Finite, Infinite, Nan};
        let (a, b) = match (self, other) {
            (Nan, _) | (_, Nan) => return Nan,
            (Infinite { negative: a }, Infinite { negative: b }) if a != b => return Nan,
            (Infinite { .. }, _) => return self,
            (_, Infinite { .. }) => return other,
            (Finite { mantissa: 0, .. }, _) => return other,
            (_, Finite { mantissa: 0, .. }) => return self,
            (Finite { exponent: a, .. }, Finite { exponent: b, .. }) if a < b => (other, self),
            _ => (self, other),
        };
        let (Finite { negative, mantissa, exponent }, Finite { negative: minus, mantissa: small, exponent: low }) =
            (a, b)
        else {
            return Nan;
        };
        // 62 bits of room below the larger one; only if the numbers are farther apart is anything lost, and then at
        // most one leading bit can cancel.
        const ROOM: u32 = 62;
        let shift = (exponent - low).unsigned_abs();
        let large = u128::from(mantissa) << ROOM;
        let whole = u128::from(small) << ROOM;
        let small = whole.checked_shr(shift).unwrap_or(0);
        let lost = shift >= 128 || small << shift != whole;
        let exponent = exponent - ROOM as i32;
        if negative == minus {
            return Extended::rounded(negative, large + small, exponent, lost);
        }
        match large >= small {
            true => {
                let difference = large - small - u128::from(lost);
                Extended::rounded(negative && difference != 0, difference, exponent, lost)
            }
            false => Extended::rounded(minus, small - large, exponent, false),
        }
    }
}

impl fmt::Display for Extended {
    /// Fixed notation, at most 17 places, no trailing zeros, no `-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (negative, mantissa, exponent) = match *self {
            Extended::Nan => return f.write_str("nan"),
            Extended::Infinite { negative } => return f.write_str(if negative { "-inf" } else { "inf" }),
            Extended::Finite { negative, mantissa, exponent } => (negative, mantissa, exponent),
        };
        let sign = if negative { "-" } else { "" };
        if exponent >= 0 {
            let mut whole = Big::default();
            whole.mul_add(1, (mantissa >> 32) as u32);
            whole.shift_left(32);
            whole.mul_add(1, mantissa as u32);
            whole.shift_left(exponent as usize);
            return write!(f, "{}{}", if mantissa == 0 { "" } else { sign }, whole.decimal());
        }
        let scaled = u128::from(mantissa) * TEN_TO_PLACES;
        let below = exponent.unsigned_abs();
        let units = if below >= 128 {
            0
        } else {
            let (units, rest, half) = (scaled >> below, scaled & ((1 << below) - 1), 1u128 << (below - 1));
            units + u128::from(rest > half || rest == half && units & 1 == 1)
        };
        if units == 0 {
            return f.write_str("0");
        }
        write!(f, "{sign}{}", units / TEN_TO_PLACES)?;
        let fraction = format!("{:017}", units % TEN_TO_PLACES);
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            places => write!(f, ".{places}"),
        }
    }
}

/// A whole number of any size: limbs of 32 bits, the lowest first, no zero limb on top.
#[derive(Clone, Default)]
struct Big(Vec<u32>);

impl Big {
    fn mul_add(&mut self, factor: u32, more: u32) {
        let mut carry = u64::from(more);
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn shift_left(&mut self, bits: usize) {
        if self.0.is_empty() {
            return;
        }
        let limbs = bits / 32;
        self.mul_add(1 << (bits % 32), 0);
        self.0.splice(0..0, std::iter::repeat_n(0, limbs));
    }

    /// Divides; gives the remainder.
    fn divide(&mut self, divisor: u32) -> u32 {
        let mut rest = 0u64;
        for limb in self.0.iter_mut().rev() {
            let value = rest << 32 | u64::from(*limb);
            *limb = (value / u64::from(divisor)) as u32;
            rest = value % u64::from(divisor);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        rest as u32
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 32 - top.leading_zeros() as usize)
    }

    /// This number times a power of ten.
    fn times_ten_to(mut self, negative: bool, power: i32) -> Extended {
        const NINE: u32 = 1_000_000_000;
        let (mut left, mut more, mut exponent) = (power.unsigned_abs(), false, 0);
        if power < 0 {
            // So far up that at least 66 bits are left behind the division (10^n has less than 3.33 n + 1 bits).
            let wanted = 66 + left as usize * 333 / 100 + 2;
            let shift = wanted.saturating_sub(self.bits());
            self.shift_left(shift);
            exponent = -(shift as i32);
        }
        while left > 0 {
            let step = left.min(9);
            let factor = if step == 9 { NINE } else { 10u32.pow(step) };
            match power < 0 {
                true => more |= self.divide(factor) != 0,
                false => self.mul_add(factor, 0),
            }
            left -= step;
        }
        // The top four limbs hold more than 96 bits.
        let low = self.0.len().saturating_sub(4);
        more |= self.0[..low].iter().any(|&limb| limb != 0);
        let top = self.0[low..].iter().rev().fold(0u128, |bits, &limb| bits << 32 | u128::from(limb));
        Extended::rounded(negative, top, exponent + low as i32 * 32, more)
    }

    fn decimal(mut self) -> String {
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            groups.push(self.divide(1_000_000_000));
        }
        let Some(first) = groups.pop() else { return "0".to_string() };
        groups.iter().rev().fold(first.to_string(), |text, group| format!("{text}{group:09}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let read = |text: &str| Extended::parse(text.as_bytes()).expect(text);
        (read(a) + read(b)).to_string()
    }

    #[test]
    fn sums_have_the_digits_that_redis_prints() {
        // Taken from redis-server 7.0 on x86-64.
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("3.0e3", "200", "3200"),
            ("1", "1.23456789012345678901", "2.23456789012345679"),
            ("-0.5", "0.5", "0"),
            ("1e-20", "0", "0"),
            ("-1e-18", "0", "0"),
            ("17179869184", "1.5", "17179869185.5"),
            ("1e17", "0.25", "100000000000000000.25"),
            ("9007199254740993", "0", "9007199254740993"),
            ("1e25", "0", "10000000000000000000000000"),
            (".5", "5.", "5.5"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn whole_numbers_add_as_integers_do() {
        let mut state = 1u64;
        for _ in 0..10_000 {
            let mut next = || {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (state >> 8) as i64 - (1 << 55)
            };
            let (a, b) = (next(), next() >> 30);
            assert_eq!(sum(&a.to_string(), &b.to_string()), (a + b).to_string());
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", " 1", "1 ", ".", "1e", "1e+", "abc", "nan", "1.2.3", "--1", "1e5000", "1e-5000", "0x10"] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        let infinite = Extended::parse(b"inf").expect("a number");
        assert!(!(infinite + Extended::ZERO).is_finite());
        let most = Extended::parse(b"1.1e4932").expect("below the largest");
        assert!(!(most + most).is_finite());
    }
}
