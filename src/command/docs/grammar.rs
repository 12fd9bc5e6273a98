//! The arguments of a command in one line, and as the tree that COMMAND DOCS shows.
//!
//! ```text
//! name              a string; `key` alone is the first key specification's key
//! name:integer      integer, double, pattern, unix-time, string; key1 is of the key specification 1, so is pattern1
//! NAME              a word that stands as it is, named like itself in lower case; name=WORD has a name of its own
//! WORD name         a word in front of a value
//! a(b|c)            one of them               a{b c}      all of them
//! [x]               may be missing            x..         more than one; x..& each behind its word
//! x@6.2.0           since this version        x!2.8.12    to be avoided since
//! x/text            shown as `text`           'x y'       any name or word
//! ```
//! A word in front of a value begins with a capital letter, or is quoted.

/// One argument.
#[derive(Debug, Default, PartialEq)]
pub struct Argument {
    pub name: &'static str,
    pub kind: Kind,
    pub token: Option<&'static str>,
    /// How it is shown to people, where that is not its name.
    pub shown: Option<&'static str>,
    pub key_spec: Option<usize>,
    pub since: Option<&'static str>,
    pub deprecated: Option<&'static str>,
    pub is_optional: bool,
    pub is_multiple: bool,
    /// Each further one has its token in front.
    pub repeats_token: bool,
    pub arguments: Vec<Argument>,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    /// As COMMAND DOCS names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Key => "key",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }
}

/// The arguments of a line; `None` where it is no such line.
pub fn parse(line: &'static str) -> Option<Vec<Argument>> {
    let mut reader = Reader { rest: line };
    let arguments = reader.many(' ')?;
    reader.rest.is_empty().then_some(arguments)
}

struct Reader {
    rest: &'static str,
}

impl Reader {
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The letters up to the first that does not fit.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> &'static str {
        let end = self.rest.find(|letter| !fits(letter)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    /// A name or word, and whether it is a word that stands as it is.
    fn word(&mut self) -> Option<(&'static str, bool)> {
        if self.take("'") {
            let (word, rest) = self.rest.split_once('\'')?;
            self.rest = rest;
            return Some((word, true));
        }
        let word = self.run(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_');
        (!word.is_empty()).then(|| (word, word.starts_with(|first: char| first.is_ascii_uppercase())))
    }

    fn many(&mut self, between: char) -> Option<Vec<Argument>> {
        let mut arguments = vec![self.one()?];
        while self.rest.starts_with(between) {
            self.rest = &self.rest[between.len_utf8()..];
            arguments.push(self.one()?);
        }
        Some(arguments)
    }

    fn one(&mut self) -> Option<Argument> {
        if self.take("[") {
            let argument = self.one()?;
            return self.take("]").then_some(Argument { is_optional: true, ..argument });
        }
        let (word, is_token) = self.word()?;
        let named = self.rest.starts_with(['=', '(', '{', ':', '/']);
        let mut argument = Argument { name: word, ..Argument::default() };
        if is_token && !named {
            // Either a word alone, or one in front of a value.
            let value = self.rest.strip_prefix(' ').and_then(|rest| rest.chars().next());
            if value.is_some_and(|first| first.is_ascii_lowercase() || first == '\'') && self.take(" ") {
                argument.token = Some(word);
                argument.name = self.word()?.0;
            } else {
                argument = Argument { name: lower(word), kind: Kind::PureToken, token: Some(word), ..argument };
                return self.end(argument);
            }
        }
        if self.take("=") {
            argument.token = Some(self.word()?.0);
            argument.kind = Kind::PureToken;
        } else if self.take("(") {
            argument.kind = Kind::OneOf;
            argument.arguments = self.many('|')?;
            self.take(")").then_some(())?;
        } else if self.take("{") {
            argument.kind = Kind::Block;
            argument.arguments = self.many(' ')?;
            self.take("}").then_some(())?;
        } else if self.take(":") {
            let (kind, index) = self.kind()?;
            (argument.kind, argument.key_spec) = (kind, index);
        } else if argument.name == "key" {
            (argument.kind, argument.key_spec) = (Kind::Key, Some(0));
        }
        self.end(argument)
    }

    fn kind(&mut self) -> Option<(Kind, Option<usize>)> {
        let word = self.run(|letter| letter.is_ascii_lowercase() || letter == '-');
        let index = self.run(|letter| letter.is_ascii_digit()).parse().ok();
        let kind = match word {
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "double" => Kind::Double,
            "key" => Kind::Key,
            "pattern" => Kind::Pattern,
            "unix-time" => Kind::UnixTime,
            _ => return None,
        };
        Some((kind, index))
    }

    /// What stands behind every argument.
    fn end(&mut self, mut argument: Argument) -> Option<Argument> {
        if self.take("/") {
            argument.shown = Some(self.word()?.0);
        }
        if self.take("@") {
            argument.since = Some(self.version());
        }
        if self.take("!") {
            argument.deprecated = Some(self.version());
        }
        argument.is_multiple = self.take("..");
        argument.repeats_token = argument.is_multiple && self.take("&");
        Some(argument)
    }

    /// Three numbers with points between them.
    fn version(&mut self) -> &'static str {
        let all = self.rest;
        let end = all.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(all.len());
        let end = all[..end].find("..").unwrap_or(end);
        let (version, rest) = all.split_at(end);
        self.rest = rest;
        version
    }
}

/// A word in lower case, kept for good: there are a few hundred of them, made once.
fn lower(word: &'static str) -> &'static str {
    let lower = word.to_ascii_lowercase();
    if lower == word { word } else { Box::leak(lower.into_boxed_str()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_everything() {
        let line = "key dst:key1 [NX@2.6.12] [condition(EX seconds:integer|'~')] GET get:pattern2/pattern..& \
                    equal='=' old!1.0.0 data{field value}@6.2.0..";
        let string = |name| Argument { name, ..Argument::default() };
        let key = |name, index| Argument { kind: Kind::Key, key_spec: Some(index), ..string(name) };
        let token = |name, token| Argument { kind: Kind::PureToken, token: Some(token), ..string(name) };
        let seconds = Argument { kind: Kind::Integer, token: Some("EX"), ..string("seconds") };
        let wanted = vec![
            key("key", 0),
            key("dst", 1),
            Argument { since: Some("2.6.12"), is_optional: true, ..token("nx", "NX") },
            Argument {
                kind: Kind::OneOf,
                is_optional: true,
                arguments: vec![seconds, token("~", "~")],
                ..string("condition")
            },
            Argument {
                kind: Kind::Pattern,
                key_spec: Some(2),
                token: Some("GET"),
                shown: Some("pattern"),
                is_multiple: true,
                repeats_token: true,
                ..string("get")
            },
            token("equal", "="),
            Argument { deprecated: Some("1.0.0"), ..string("old") },
            Argument {
                kind: Kind::Block,
                since: Some("6.2.0"),
                is_multiple: true,
                arguments: vec![string("field"), string("value")],
                ..string("data")
            },
        ];
        assert_eq!(parse(line), Some(wanted));
    }

    #[test]
    fn what_is_no_such_line() {
        for line in ["", "a ", "[a", "a(b", "a{b|c}", "a:float", "'a", "a=", "a]"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
