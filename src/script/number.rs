//! Numbers as C writes and reads them: `%.14g`, and what `strtod` takes.

/// Appends a finite number with so many significant digits, without zeros at its end (`%.<digits>g`).
pub fn push_general(out: &mut Vec<u8>, number: f64, digits: usize) {
    let digits = digits.max(1);
    if number == 0.0 {
        out.extend_from_slice(if number.is_sign_negative() { b"-0" } else { b"0" });
        return;
    }
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("the form of {:e}");
    let exponent: i32 = exponent.parse().expect("the form of {:e}");
    let without_zeros = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    let text = if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
    } else {
        without_zeros(&format!("{number:.*}", (digits as i32 - 1 - exponent).max(0) as usize))
    };
    out.extend_from_slice(text.as_bytes());
}

/// The number at the start of the text, and how long it is.
pub fn take_number(text: &[u8]) -> Option<(f64, usize)> {
    let (negative, unsigned) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let sign = text.len() - unsigned.len();
    let starts =
        |word: &str| unsigned.len() >= word.len() && unsigned[..word.len()].eq_ignore_ascii_case(word.as_bytes());
    let (value, length) = if starts("infinity") {
        (f64::INFINITY, 8)
    } else if starts("inf") {
        (f64::INFINITY, 3)
    } else if starts("nan") {
        (f64::NAN, 3)
    } else if starts("0x") && unsigned.get(2).is_some_and(u8::is_ascii_hexdigit) {
        let digits = unsigned[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let digit = |byte: &u8| f64::from(char::from(*byte).to_digit(16).unwrap_or(0));
        (unsigned[2..2 + digits].iter().fold(0.0, |value, byte| value * 16.0 + digit(byte)), 2 + digits)
    } else {
        let length = decimal(unsigned)?;
        (std::str::from_utf8(&unsigned[..length]).ok()?.parse().ok()?, length)
    };
    Some((if negative { -value } else { value }, sign + length))
}

/// How long the decimal number at the start of the text is.
fn decimal(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut end = whole;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_numbers() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e14, "1e+14"),
            (123456789012345.0, "1.2345678901234e+14"),
            (99999999999999.0, "99999999999999"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e300, "1e+300"),
        ];
        for (number, text) in cases {
            let mut out = Vec::new();
            push_general(&mut out, number, 14);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn numbers_are_taken_as_far_as_they_go() {
        let cases: [(&str, Option<(f64, usize)>); 9] = [
            ("12,", Some((12.0, 2))),
            ("-1.5e3]", Some((-1500.0, 6))),
            ("1e", Some((1.0, 1))),
            ("1.", Some((1.0, 2))),
            (".5", Some((0.5, 2))),
            ("0x10", Some((16.0, 4))),
            ("-inf", Some((f64::NEG_INFINITY, 4))),
            (".", None),
            ("-", None),
        ];
        for (text, taken) in cases {
            assert_eq!(take_number(text.as_bytes()), taken, "{text}");
        }
    }
}
