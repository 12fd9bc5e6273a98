//! Lines of a configuration file as words, and words as lines: the quoting rules of redis.conf.
//!
//! The rules are those of Redis' `sdssplitargs` (and so of inline commands): blanks separate words; `"..."` knows
//! `\n \r \t \b \a \\ \"` and `\xHH`; `'...'` knows `\'` only; a closing quote must be followed by a blank or the end.

/// The words of a line, or `None` if its quotes are unbalanced.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_blank(*first)
        {
            rest = tail;
        }
        if rest.is_empty() || rest[0] == 0 {
            return Some(words);
        }
        let (word, tail) = one_word(rest)?;
        words.push(word);
        rest = tail;
    }
}

/// `isspace` of C.
fn is_blank(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

fn one_word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] | [0, ..] => return Some((word, &[])),
            [blank, ..] if is_blank(*blank) => return Some((word, rest)),
            [b'"', tail @ ..] => rest = double_quoted(tail, &mut word)?,
            [b'\'', tail @ ..] => rest = single_quoted(tail, &mut word)?,
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn closed(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [] | [0, ..] => Some(rest),
        [blank, ..] if is_blank(*blank) => Some(rest),
        _ => None,
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push((digit(*high)? * 16 + digit(*low)?) as u8);
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [b'"', tail @ ..] => return closed(tail),
            [] | [0, ..] => return None,
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return closed(tail),
            [] | [0, ..] => return None,
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        }
    }
}

/// A word in double quotes, with everything that is not printable ASCII escaped.
pub fn quote(word: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in word {
        match byte {
            b'\\' | b'"' => text.extend(['\\', byte as char]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            7 => text.push_str("\\a"),
            8 => text.push_str("\\b"),
            b' '..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

/// A word as it stands, or in quotes where [`split`] would not give it back otherwise (also when a comment would
/// begin).
pub fn quote_if_needed(word: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !word.is_empty() && !word.starts_with('#') && word.as_bytes().iter().all(plain) {
        return word.to_owned();
    }
    quote(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_and_quotes_as_in_redis() {
        let good: &[(&str, &[&[u8]])] = &[
            ("", &[]),
            ("  \t ", &[]),
            ("port 6379", &[b"port", b"6379"]),
            ("save \"\"", &[b"save", b""]),
            ("requirepass \"a b\\x41\\n\\q\"", &[b"requirepass", b"a bA\nq"]),
            ("x 'it\\'s' y", &[b"x", b"it's", b"y"]),
            ("x '\\n'", &[b"x", b"\\n"]),
            ("x ab\"cd\"", &[b"x", b"abcd"]),
            ("x \"\\xff\\xZZ\"", &[b"x", b"\xffxZZ"]),
        ];
        for (line, words) in good {
            assert_eq!(
                split(line.as_bytes()).as_deref(),
                Some(&words.iter().map(|w| w.to_vec()).collect::<Vec<_>>()[..])
            );
        }
        for bad in ["x \"abc", "x 'abc", "x \"abc\"def", "x 'a'b", "\"\\"] {
            assert_eq!(split(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5)) {
            let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(line.as_bytes()), Some(words));
        }

        #[test]
        fn a_word_is_quoted_only_where_needed(word in any::<String>()) {
            let line = quote_if_needed(&word);
            prop_assert_eq!(split(line.as_bytes()), Some(vec![word.into_bytes()]));
        }

        #[test]
        fn any_bytes_split_without_panic(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = split(&line);
        }
    }
}
