//! How Redis reads and writes numbers in arguments.

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

/// Reads a floating-point number as Redis does for INCRBYFLOAT: the whole text, no blanks, not NaN.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.trim_start_matches(['-', '+']);
    let named = plain.eq_ignore_ascii_case("inf") || plain.eq_ignore_ascii_case("infinity");
    if !named && !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.parse().ok().filter(|value: &f64| !value.is_nan())
}

/// The digits of an integer, appended.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
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
        for text in ["", " 1", "1 ", "nan", "abc", "1x"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }
}
