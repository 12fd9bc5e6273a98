//! JSON to Lua's values.

use super::{Settings, Taken};
use crate::script::number::take_number;
use mlua::{Lua, Table, Value};

/// The value that `text` holds, and nothing behind it.
pub fn decode(lua: &Lua, settings: Settings, text: &[u8]) -> Taken<Value> {
    if let [first, second, ..] = text
        && (*first == 0 || *second == 0)
    {
        return Err("JSON parser does not support UTF-16 or UTF-32".to_string());
    }
    let mut decoder = Decoder { lua, settings, text, at: 0, depth: 0 };
    let first = decoder.token();
    let value = decoder.value(first)?;
    let last = decoder.token();
    match last.kind {
        Kind::End => Ok(value),
        _ => Err(last.unexpected("the end")),
    }
}

enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// What is wrong.
    Wrong(&'static str),
}

/// A token and where it begins.
struct Token {
    kind: Kind,
    at: usize,
}

impl Token {
    fn unexpected(&self, expected: &str) -> String {
        let found = match self.kind {
            Kind::ObjectBegin => "T_OBJ_BEGIN",
            Kind::ObjectEnd => "T_OBJ_END",
            Kind::ArrayBegin => "T_ARR_BEGIN",
            Kind::ArrayEnd => "T_ARR_END",
            Kind::Text(_) => "T_STRING",
            Kind::Number(_) => "T_NUMBER",
            Kind::Boolean(_) => "T_BOOLEAN",
            Kind::Null => "T_NULL",
            Kind::Colon => "T_COLON",
            Kind::Comma => "T_COMMA",
            Kind::End => "T_END",
            Kind::Wrong(what) => what,
        };
        format!("Expected {expected} but found {found} at character {}", self.at + 1)
    }
}

struct Decoder<'a> {
    lua: &'a Lua,
    settings: Settings,
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Decoder<'_> {
    fn value(&mut self, token: Token) -> Taken<Value> {
        Ok(match token.kind {
            Kind::Text(text) => Value::String(self.lua.create_string(text).map_err(|error| error.to_string())?),
            Kind::Number(number) => Value::Number(number),
            Kind::Boolean(value) => Value::Boolean(value),
            Kind::Null => Value::NULL,
            Kind::ObjectBegin => Value::Table(self.nested(Self::object)?),
            Kind::ArrayBegin => Value::Table(self.nested(Self::array)?),
            _ => return Err(token.unexpected("value")),
        })
    }

    fn nested(&mut self, inside: fn(&mut Self) -> Taken<Table>) -> Taken<Table> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth_max {
            return Err(format!("Found too many nested data structures ({}) at character {}", self.depth, self.at));
        }
        let table = inside(self)?;
        self.depth -= 1;
        Ok(table)
    }

    fn object(&mut self) -> Taken<Table> {
        let table = self.lua.create_table().map_err(|error| error.to_string())?;
        let mut token = self.token();
        if matches!(token.kind, Kind::ObjectEnd) {
            return Ok(table);
        }
        loop {
            let Kind::Text(key) = token.kind else { return Err(token.unexpected("object key string")) };
            let colon = self.token();
            if !matches!(colon.kind, Kind::Colon) {
                return Err(colon.unexpected("colon"));
            }
            let first = self.token();
            let value = self.value(first)?;
            let key = self.lua.create_string(key).map_err(|error| error.to_string())?;
            table.raw_set(key, value).map_err(|error| error.to_string())?;
            token = self.token();
            match token.kind {
                Kind::ObjectEnd => return Ok(table),
                Kind::Comma => token = self.token(),
                _ => return Err(token.unexpected("comma or object end")),
            }
        }
    }

    fn array(&mut self) -> Taken<Table> {
        let table = self.lua.create_table().map_err(|error| error.to_string())?;
        let mut token = self.token();
        if matches!(token.kind, Kind::ArrayEnd) {
            return Ok(table);
        }
        for index in 1.. {
            let value = self.value(token)?;
            table.raw_set(index, value).map_err(|error| error.to_string())?;
            token = self.token();
            match token.kind {
                Kind::ArrayEnd => break,
                Kind::Comma => token = self.token(),
                _ => return Err(token.unexpected("comma or array end")),
            }
        }
        Ok(table)
    }

    fn token(&mut self) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let at = self.at;
        let rest = &self.text[at..];
        let mut punctuation = |kind| {
            self.at += 1;
            kind
        };
        let kind = match rest.first() {
            None => Kind::End,
            Some(b'{') => punctuation(Kind::ObjectBegin),
            Some(b'}') => punctuation(Kind::ObjectEnd),
            Some(b'[') => punctuation(Kind::ArrayBegin),
            Some(b']') => punctuation(Kind::ArrayEnd),
            Some(b':') => punctuation(Kind::Colon),
            Some(b',') => punctuation(Kind::Comma),
            Some(b'"') => return self.string(),
            Some(b'-' | b'0'..=b'9') => match !self.settings.decode_invalid && is_invalid_number(rest) {
                true => Kind::Wrong("invalid number"),
                false => self.number(),
            },
            Some(_) => self.word(),
        };
        Token { kind, at }
    }

    fn word(&mut self) -> Kind {
        let rest = &self.text[self.at..];
        let words = [(&b"true"[..], Kind::Boolean(true)), (b"false", Kind::Boolean(false)), (b"null", Kind::Null)];
        for (word, kind) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return kind;
            }
        }
        match self.settings.decode_invalid && is_invalid_number(rest) {
            true => self.number(),
            false => Kind::Wrong("invalid token"),
        }
    }

    fn number(&mut self) -> Kind {
        match take_number(&self.text[self.at..]) {
            Some((number, length)) => {
                self.at += length;
                Kind::Number(number)
            }
            None => Kind::Wrong("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        let mut text = Vec::new();
        let begin = self.at;
        let mut at = begin + 1;
        let wrong = |what, at| Token { kind: Kind::Wrong(what), at };
        loop {
            let rest = &self.text[at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
            text.extend_from_slice(&rest[..plain]);
            at += plain;
            match self.text.get(at..at + 2) {
                Some([b'\\', b'u']) => match unicode(&self.text[at..]) {
                    Some((letter, length)) => {
                        text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                        at += length;
                    }
                    None => return wrong("invalid unicode escape code", at),
                },
                Some([b'\\', escape]) => {
                    text.push(match escape {
                        b'"' | b'\\' | b'/' => *escape,
                        b'b' => 0x08,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 0x0c,
                        b'r' => b'\r',
                        _ => return wrong("invalid escape code", at),
                    });
                    at += 2;
                }
                _ if self.text.get(at) == Some(&b'"') => {
                    self.at = at + 1;
                    return Token { kind: Kind::Text(text), at: begin };
                }
                _ => return wrong("unexpected end of string", self.text.len()),
            }
        }
    }
}

/// The letter of an escape (`\u00e9`), or of two of them that are surrogates, and how long the escape is.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digits = std::str::from_utf8(escape).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    if let 0xd800..0xdc00 = first {
        let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
        let letter = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
        return Some((letter, 12));
    }
    char::from_u32(first).map(|letter| (letter, 6))
}

/// Whether a number is one that JSON has not: hexadecimal, with a leading zero, infinite or none at all.
fn is_invalid_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let is_word = |word: &[u8]| text.len() >= 3 && text[..3].eq_ignore_ascii_case(word);
    match text.first() {
        Some(b'0') => matches!(text.get(1), Some(b'x' | b'X' | b'0'..=b'9')),
        Some(b'1'..=b'9') => false,
        _ => is_word(b"inf") || is_word(b"nan"),
    }
}
