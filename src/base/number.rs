//! How Redis reads and writes numbers in arguments.

use std::fmt::Write;

/// Reads a signed integer exactly as Redis does (`string2ll`): no sign but `-`, no leading zero, no blanks, nothing
/// after it. `None` for anything else, so that `"01"` stays a string.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    match negative {
        false => i64::try_from(value).ok(),
        true if value <= 1 << 63 => Some((value as i64).wrapping_neg()),
        true => None,
    }
}

/// Reads a floating-point number as Redis does: the whole text, no blanks, not NaN. An integer may be hexadecimal, as C
/// has it.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.trim_start_matches(['-', '+']);
    let named = plain.eq_ignore_ascii_case("inf") || plain.eq_ignore_ascii_case("infinity");
    if !named && !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(digits) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))? as f64;
        return match &text[..text.len() - plain.len()] {
            "" | "+" => Some(number),
            "-" => Some(-number),
            _ => None,
        };
    }
    text.parse().ok().filter(|value: &f64| !value.is_nan())
}

/// The digits of an integer, appended.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A floating-point number in Redis' form, appended: the shortest digits that read back as the same value, plain where
/// that is short, else `1e+20`; whole numbers below 2^62 plain; `inf`, `-inf`, `nan`, `-0`. At most 32 bytes.
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    if value == 0.0 {
        return out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    }
    if value.abs() <= WHOLE_MAX && value.trunc() == value {
        return push_i64(out, value as i64);
    }
    // Rust's own `{:e}` has the shortest digits, as `d.ddde-N`; only their arrangement differs.
    let mut text = Stack::default();
    write!(text, "{:e}", value.abs()).expect("the longest f64 has 24 characters");
    let (mantissa, exponent) = text.as_str().split_once('e').expect("{:e} prints an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} prints a whole exponent");
    let fraction = mantissa.get(2..).unwrap_or("");
    let after_point = fraction.len() as i32 - exponent; // digits behind the point when written plainly
    if value < 0.0 {
        out.push(b'-');
    }
    let digits = || mantissa.bytes().filter(|&byte| byte != b'.');
    if after_point <= 0 && exponent < fraction.len() as i32 + 8 {
        out.extend(digits());
        out.extend(std::iter::repeat_n(b'0', after_point.unsigned_abs() as usize));
    } else if after_point > 0 && (after_point < 7 || exponent.abs() < 4) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
            out.extend(digits());
        } else {
            let point = exponent as usize + 1;
            out.extend(digits().take(point));
            out.push(b'.');
            out.extend(digits().skip(point));
        }
    } else {
        out.extend_from_slice(mantissa.as_bytes());
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        push_i64(out, i64::from(exponent.abs()));
    }
}

/// A small text on the stack.
#[derive(Default)]
struct Stack {
    bytes: [u8; 32],
    len: usize,
}

impl Stack {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("written through fmt::Write only")
    }
}

impl Write for Stack {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_redis_reads_them() {
        let good = [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)];
        for (text, value) in good {
            assert_eq!(parse_i64(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn floats_refuse_blanks_and_nan() {
        assert_eq!(parse_f64(b"3.0e3"), Some(3000.0));
        assert_eq!(parse_f64(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_f64(b"0x10"), Some(16.0));
        assert_eq!(parse_f64(b"-0XfF"), Some(-255.0));
        for text in ["", " 1", "1 ", "nan", "abc", "1x", "0x", "0x+1", "0xg", "--0x1"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_printed_as_redis_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (3.25, "3.25"),
            (1e15, "1000000000000000"),
            (1e18, "1000000000000000000"),
            (1e20, "1e+20"),
            (-1.5e300, "-1.5e+300"),
            (1.234567e20, "1.234567e+20"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (0.00012345678, "1.2345678e-4"),
            (1.2345e-7, "1.2345e-7"),
            (123456.789, "123456.789"),
            (12345.123456789, "1.2345123456789e+4"),
            (123_456_789.123_456_79, "1.2345678912345679e+8"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            let mut out = Vec::new();
            push_f64(&mut out, value);
            assert_eq!(String::from_utf8(out).expect("ascii"), text, "{value:e}");
        }
    }
}
