//! Glob patterns as KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET know them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
//!
//! The rules are Redis' own (<https://redis.io/docs/latest/commands/keys/>). A pattern with many stars could cost
//! exponential time in a naive matcher; this one goes back to the last star only, so it costs at most pattern x text.
//! Redis looks no further than a thousand stars, and so does this one.

/// Runs of stars, between two of which something stands, that a match may go through.
const STARS_MAX: usize = 1000;

/// Whether `text` matches `pattern` as a whole. With `nocase`, ASCII letters of both cases are the same.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None; // pattern place behind the last star, text place it was tried at
    let mut stars = 0;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            p += pattern[p..].iter().take_while(|&&c| c == b'*').count();
            stars += 1;
            if p == pattern.len() {
                return true;
            }
            if stars > STARS_MAX {
                return false;
            }
            star = Some((p, t));
            continue;
        }
        if let Some(next) = one(&pattern[p..], text[t], nocase) {
            p += next;
            t += 1;
            continue;
        }
        let Some((behind, tried)) = star else { return false };
        star = Some((behind, tried + 1));
        (p, t) = (behind, tried + 1);
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// If the first element of `pattern` matches `byte`: how many pattern bytes it takes.
fn one(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    let same = |a: u8, b: u8| if nocase { a.eq_ignore_ascii_case(&b) } else { a == b };
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', c, ..] => same(*c, byte).then_some(2),
        [b'[', ..] => class(pattern, byte, nocase),
        [c, ..] => same(*c, byte).then_some(1),
    }
}

fn class(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    let fold = |c: u8| if nocase { c.to_ascii_lowercase() } else { c };
    let byte = fold(byte);
    let mut i = 1;
    let negated = pattern.get(i) == Some(&b'^');
    i += usize::from(negated);
    let mut hit = false;
    loop {
        match &pattern[i.min(pattern.len())..] {
            [] => break, // an unclosed class ends with the pattern, as in Redis
            [b']', ..] => {
                i += 1;
                break;
            }
            [b'\\', c, ..] => {
                hit |= fold(*c) == byte;
                i += 2;
            }
            [low, b'-', high, ..] => {
                let (low, high) = (fold(*low).min(fold(*high)), fold(*low).max(fold(*high)));
                hit |= (low..=high).contains(&byte);
                i += 3;
            }
            [c, ..] => {
                hit |= fold(*c) == byte;
                i += 1;
            }
        }
    }
    (hit != negated).then_some(i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let yes = [
            ("*", ""),
            ("*", "abc"),
            ("h?llo", "hello"),
            ("h*llo", "heeeello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("a\\*b", "a*b"),
            ("*a*b*c*", "xxaxxbxxcxx"),
            ("[z-a]", "m"),
            ("a**", "a"),
            ("[\\]]", "]"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes(), false), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("h?llo", "hllo"),
            ("h[ae]llo", "hillo"),
            ("h[^e]llo", "hello"),
            ("a", "A"),
            ("a*b", "abc"),
            ("[a", "b"),
        ] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes(), false), "{pattern} {text}");
        }
        assert!(matches(b"FOO*", b"foobar", true));
    }

    #[test]
    fn many_stars_cost_no_exponential_time() {
        let pattern = b"a*".repeat(100);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &b"a".repeat(5000), false));
    }

    #[test]
    fn more_stars_than_redis_looks_at_match_nothing() {
        let (text, stars) = (b"a".repeat(5000), |count| b"*?".repeat(count));
        assert!(matches(&stars(1000), &text, false));
        assert!(!matches(&stars(1001), &text, false));
        assert!(matches(&[stars(1000), b"*".to_vec()].concat(), &text, false), "the last one takes the rest");
        assert!(matches(&[b"*".repeat(5000), b"a".to_vec()].concat(), &text, false), "a run is one star");
    }
}
