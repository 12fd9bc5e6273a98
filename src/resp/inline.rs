//! Inline commands: the form of a request that one can type (`SET k "a b"`), split as Redis splits it.
//!
//! Blanks separate; double quotes know `\n`, `\r`, `\t`, `\a`, `\b`, `\xHH` and take any other escaped byte as it is;
//! single quotes know only `\'`. A closing quote must be followed by a blank or the end. The same rules hold for lines
//! of redis.conf.

/// Quotes that do not close, or close in the middle of a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// Splits `line` (without its line end). The arguments' bytes go to `out`, their (start, length) in it to `ranges`.
pub(super) fn split(line: &[u8], out: &mut Vec<u8>, ranges: &mut Vec<(usize, usize)>) -> Result<(), Unbalanced> {
    let mut rest = line;
    loop {
        while let [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0, tail @ ..] = rest {
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = out.len();
        rest = word(rest, out)?;
        ranges.push((start, out.len() - start));
    }
}

/// The words of a line that is no request (the head of a script); `None` where quotes do not close.
pub fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    split(line, &mut bytes, &mut ranges).ok()?;
    Some(ranges.iter().map(|&(start, len)| bytes[start..start + len].to_vec()).collect())
}

/// One argument, unquoted; returns what follows it.
fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match rest {
            [] | [b' ' | b'\t' | b'\n' | b'\r' | 0, ..] => return Ok(rest),
            [b'"', tail @ ..] => return closed(double_quoted(tail, out)?),
            [b'\'', tail @ ..] => return closed(single_quoted(tail, out)?),
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

/// What follows a closing quote must be a blank or nothing.
fn closed(rest: &[u8]) -> Result<&[u8], Unbalanced> {
    match rest {
        [] | [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0, ..] => Ok(rest),
        _ => Err(Unbalanced),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match rest {
            [] => return Err(Unbalanced),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((digit(*high) << 4) | digit(*low));
                tail
            }
            [b'\\', byte, tail @ ..] => {
                out.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match rest {
            [] => return Err(Unbalanced),
            [b'\\', b'\'', tail @ ..] => {
                out.push(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return Ok(tail),
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes() {
        let cases: [(&[u8], &[&[u8]]); 12] = [
            (b"", &[]),
            (b"  \t ", &[]),
            (b"SET k v", &[b"SET", b"k", b"v"]),
            (b" a\x0bb \x0b c", &[b"a\x0bb", b"c"]),
            (br#"a "" ''"#, &[b"a", b"", b""]),
            (br#""a b" 'c d'"#, &[b"a b", b"c d"]),
            (br#""\n\r\t\a\b\q\"""#, &[b"\n\r\t\x07\x08q\""]),
            (br#""\x41\xfF\xg1""#, &[b"A\xffxg1"]),
            (br#"'a\'b\n'"#, &[b"a'b\\n"]),
            (br#"pre"fix ed""#, &[b"prefix ed"]),
            (br"back\slash", &[b"back\\slash"]),
            (b"a\0b", &[b"a", b"b"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).as_deref(), Some(&expected.iter().map(|w| w.to_vec()).collect::<Vec<_>>()[..]));
        }
        for line in [&br#""a"#[..], b"'a", br#""a"b"#, b"'a'b", br#""a\"#, br#"a"b"c"#, br#"""""#] {
            assert_eq!(words(line), None, "{}", line.escape_ascii());
        }
    }
}
