//! How the text of a setting becomes a [`Value`] and a value becomes text again: one rule per kind of directive.
//!
//! Reasons of refusal are the words of Redis 7.2 (<https://redis.io/docs/latest/commands/config-set/>), which tools
//! match on.

use super::types::{Address, KeyspaceEvents, OutputLimit, OutputLimits, SavePoint, ShutdownFlags, Value};
use crate::base::number::parse_i64;
use std::fmt::Write;

/// What a directive takes.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The form of the text.
    pub form: Form,
    /// A rule on top of the form: may refuse the value or correct it.
    pub rule: Option<Rule>,
}

/// A rule that looks at a value that has the right form.
pub type Rule = fn(&mut Value) -> Result<(), &'static str>;

/// The form of a setting's text.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `yes` or `no`.
    Bool,
    /// A decimal number within bounds.
    Int { min: i128, max: i128 },
    /// An octal number (a file mode) within bounds.
    Octal { min: i128, max: i128 },
    /// A number of bytes with an optional unit (`k` = 1000, `kb` = 1024, and so on).
    Memory { min: i128, max: i128 },
    /// A number of bytes, or a percentage, which is kept as a negative number.
    MemoryOrPercent { min: i128, max: i128 },
    /// Any text.
    Text,
    /// One word of these.
    Choice(&'static [&'static str]),
    /// Some of the words of [`ShutdownFlags::NAMES`].
    Shutdown,
    /// A list of at most so many words; an empty text is the empty list.
    Words { max: usize },
    /// `save`.
    Save,
    /// `client-output-buffer-limit`.
    Output,
    /// `notify-keyspace-events`.
    Events,
    /// `latency-tracking-info-percentiles`.
    Percentiles,
    /// `replicaof`.
    Master,
    /// Exactly so many numbers within bounds (`oom-score-adj-values`).
    Numbers { count: usize, min: i64, max: i64 },
}

/// The largest value of a C `int`, the upper bound of many directives.
pub const INT: i128 = i32::MAX as i128;
/// The largest value of a C `long`.
pub const LONG: i128 = i64::MAX as i128;
/// The largest value of a C `unsigned long long`.
pub const ULONG: i128 = u64::MAX as i128;

const fn plain(form: Form) -> Kind {
    Kind { form, rule: None }
}
pub const fn yes_no() -> Kind {
    plain(Form::Bool)
}
pub const fn int(min: i128, max: i128) -> Kind {
    plain(Form::Int { min, max })
}
pub const fn octal(min: i128, max: i128) -> Kind {
    plain(Form::Octal { min, max })
}
pub const fn memory(min: i128, max: i128) -> Kind {
    plain(Form::Memory { min, max })
}
pub const fn text() -> Kind {
    plain(Form::Text)
}
pub const fn choice(names: &'static [&'static str]) -> Kind {
    plain(Form::Choice(names))
}
pub const fn of(form: Form) -> Kind {
    plain(form)
}

impl Kind {
    /// The same kind with a rule on top.
    pub const fn with(self, rule: Rule) -> Kind {
        Kind { form: self.form, rule: Some(rule) }
    }

    /// Whether the directive takes several words (Redis' `MULTI_ARG_CONFIG`).
    pub fn takes_many(&self) -> bool {
        use Form::*;
        matches!(self.form, Shutdown | Words { .. } | Save | Output | Percentiles | Master | Numbers { .. })
    }

    /// Reads the words after the directive's name.
    ///
    /// `current` is the value so far: the classes of `client-output-buffer-limit` that are not named keep theirs.
    /// The error is the reason, without the directive's name.
    pub fn parse(&self, words: &[&str], current: &Value) -> Result<Value, String> {
        if !self.takes_many() && words.len() != 1 {
            return Err("wrong number of arguments".into());
        }
        let mut value = self.form.parse(words, current)?;
        if let Some(rule) = self.rule {
            rule(&mut value)?;
        }
        Ok(value)
    }

    /// The value of a default's text, which the table's tests know to be good.
    pub fn parse_default(&self, default: &str) -> Value {
        let empty = Value::Output(DEFAULT_OUTPUT);
        let parts: Vec<&str> = if self.takes_many() { default.split_whitespace().collect() } else { vec![default] };
        match (self.form, default) {
            (Form::Master, "") => Value::Master(None),
            _ => self.form.parse(&parts, &empty).unwrap_or_else(|why| panic!("default '{default}': {why}")),
        }
    }

    /// What the directive takes, for a person who wrote something else.
    pub fn expectation(&self) -> String {
        match self.form {
            Form::Bool => "yes or no".into(),
            Form::Int { min, max } => format!("a whole number from {min} to {max}"),
            Form::Octal { min, max } => format!("an octal number from {min:o} to {max:o}"),
            Form::Memory { .. } => "a number of bytes, with a unit if you like: 1k = 1000, 1kb = 1024, mb, gb".into(),
            Form::MemoryOrPercent { .. } => "a number of bytes (units kb, mb, gb), or a percentage such as 5%".into(),
            Form::Text => "one word; put it in quotes if it has blanks".into(),
            Form::Choice(names) => format!("one of {}", names.join(", ")),
            Form::Shutdown => "default, or some of save, nosave, now, force".into(),
            Form::Words { max } => format!("at most {max} words, or \"\" for none"),
            Form::Save => "pairs of <seconds> <changes>, or \"\" for never".into(),
            Form::Output => "groups of <normal|replica|pubsub> <hard limit> <soft limit> <soft seconds>".into(),
            Form::Events => "some of the letters KEg$lshzxetdmnA, or \"\" for none".into(),
            Form::Percentiles => "numbers from 0 to 100, or \"\" for none".into(),
            Form::Master => "<host> <port>, or 'no one'".into(),
            Form::Numbers { count, min, max } => format!("{count} whole numbers from {min} to {max}"),
        }
    }
}

/// `client-output-buffer-limit` as it is without a directive.
pub const DEFAULT_OUTPUT: OutputLimits = OutputLimits {
    normal: OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
    replica: OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
    pubsub: OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
};

impl Form {
    fn parse(&self, words: &[&str], current: &Value) -> Result<Value, String> {
        let one = words.first().copied().unwrap_or("");
        Ok(match *self {
            Form::Bool => Value::Bool(yes_or_no(one).ok_or("argument must be 'yes' or 'no'")?),
            Form::Int { min, max } => {
                let number = integer(one).ok_or("argument couldn't be parsed into an integer")?;
                Value::Int(within(number, min, max)?)
            }
            Form::Octal { min, max } => {
                let number =
                    i64::from_str_radix(one, 8).map_err(|_| "argument couldn't be parsed as an octal number")?;
                if !(min..=max).contains(&i128::from(number)) {
                    return Err(format!("argument must be between {min:o} and {max:o} inclusive"));
                }
                Value::Int(i128::from(number))
            }
            Form::Memory { min, max } => {
                let bytes = bytes_with_unit(one).ok_or("argument must be a memory value")?;
                Value::Int(within(i128::from(bytes), min, max)?)
            }
            Form::MemoryOrPercent { min, max } => Value::Int(memory_or_percent(one, min, max)?),
            Form::Text => Value::Text(one.to_owned()),
            Form::Choice(names) => {
                let index = names.iter().position(|name| name.eq_ignore_ascii_case(one));
                Value::Choice(index.ok_or_else(|| one_of(names.iter().copied()))?)
            }
            Form::Shutdown => Value::Flags(shutdown_flags(words)?),
            Form::Words { max } if words.len() > max => return Err("Too many bind addresses specified.".into()),
            Form::Words { .. } if words == [""] => Value::Words(Vec::new()),
            Form::Words { .. } => Value::Words(words.iter().map(|word| (*word).to_owned()).collect()),
            Form::Save => Value::Save(save_points(words).ok_or("Invalid save parameters")?),
            Form::Output => {
                let Value::Output(limits) = current else { return Err("no limits to start from".into()) };
                Value::Output(output_limits(words, limits.clone())?)
            }
            Form::Events => Value::Flags(events(one).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?),
            Form::Percentiles => Value::Percentiles(percentiles(words)?),
            Form::Master => Value::Master(master(words)?),
            Form::Numbers { count, min, max } => Value::Words(numbers(words, count, min, max)?),
        })
    }
}

/// `yes` and `no` in any case.
pub fn yes_or_no(word: &str) -> Option<bool> {
    match word {
        _ if word.eq_ignore_ascii_case("yes") => Some(true),
        _ if word.eq_ignore_ascii_case("no") => Some(false),
        _ => None,
    }
}

fn integer(word: &str) -> Option<i128> {
    parse_i64(word.as_bytes()).map(i128::from)
}

fn within(number: i128, min: i128, max: i128) -> Result<i128, String> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(format!("argument must be between {min} and {max} inclusive"))
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("argument(s) must be one of the following: {}", names.collect::<Vec<_>>().join(", "))
}

/// Digits with an optional unit; no digits are zero, as Redis has it.
pub fn bytes_with_unit(word: &str) -> Option<u64> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(end);
    let factor: u64 = match &*unit.to_ascii_lowercase() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    number.checked_mul(factor)
}

fn memory_or_percent(word: &str, min: i128, max: i128) -> Result<i128, String> {
    if let Some(bytes) = bytes_with_unit(word) {
        let bytes = i128::from(bytes);
        return if bytes <= max { Ok(bytes) } else { within(bytes, min, max) };
    }
    let percent = word.strip_suffix('%').and_then(integer).filter(|percent| *percent >= 0);
    let percent = percent.ok_or("argument must be a memory or percent value")?;
    if -percent < min {
        return Err(format!("percentage argument must be less or equal to {}", -min));
    }
    Ok(-percent)
}

fn shutdown_flags(words: &[&str]) -> Result<u32, String> {
    let names = ShutdownFlags::NAMES;
    let mut flags = 0;
    for word in words {
        match names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            Some((_, flag)) => flags |= flag,
            None => return Err(one_of(names.iter().map(|(name, _)| *name))),
        }
    }
    if words.is_empty() {
        return Err(one_of(names.iter().map(|(name, _)| *name)));
    }
    if ShutdownFlags(flags).has(ShutdownFlags::SAVE) && ShutdownFlags(flags).has(ShutdownFlags::NOSAVE) {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(flags)
}

fn save_points(words: &[&str]) -> Option<Vec<SavePoint>> {
    if words == [""] {
        return Some(Vec::new());
    }
    if !words.len().is_multiple_of(2) {
        return None;
    }
    let mut points = Vec::new();
    for pair in words.chunks_exact(2) {
        let (seconds, changes) = (pair[0].trim_start().parse().ok()?, pair[1].trim_start().parse().ok()?);
        if seconds < 1 || !(0..=i64::from(i32::MAX)).contains(&changes) {
            return None;
        }
        points.push(SavePoint { seconds, changes });
    }
    Some(points)
}

fn output_limits(words: &[&str], mut limits: OutputLimits) -> Result<OutputLimits, String> {
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for group in words.chunks_exact(4) {
        let class = match &*group[0].to_ascii_lowercase() {
            "normal" => &mut limits.normal,
            "slave" | "replica" => &mut limits.replica,
            "pubsub" => &mut limits.pubsub,
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        };
        let (hard, soft) = (bytes_with_unit(group[1]), bytes_with_unit(group[2]));
        let seconds = group[3].parse().ok().filter(|seconds: &i64| *seconds >= 0);
        let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) = (hard, soft, seconds) else {
            return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".into());
        };
        *class = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
    }
    Ok(limits)
}

/// The letters of `notify-keyspace-events` in the order in which they are shown; `A` stands before them, `K`, `E` and
/// `m` after them.
const EVENT_LETTERS: &[(char, u32)] = &[
    ('g', KeyspaceEvents::GENERIC),
    ('$', KeyspaceEvents::STRING),
    ('l', KeyspaceEvents::LIST),
    ('s', KeyspaceEvents::SET),
    ('h', KeyspaceEvents::HASH),
    ('z', KeyspaceEvents::ZSET),
    ('x', KeyspaceEvents::EXPIRED),
    ('e', KeyspaceEvents::EVICTED),
    ('t', KeyspaceEvents::STREAM),
    ('d', KeyspaceEvents::MODULE),
];
const EVENT_LETTERS_AFTER: &[(char, u32)] = &[
    ('n', KeyspaceEvents::NEW),
    ('K', KeyspaceEvents::KEYSPACE),
    ('E', KeyspaceEvents::KEYEVENT),
    ('m', KeyspaceEvents::KEY_MISS),
];

fn events(letters: &str) -> Option<u32> {
    let mut flags = 0;
    for letter in letters.chars() {
        flags |= match letter {
            'A' => KeyspaceEvents::ALL,
            _ => EVENT_LETTERS.iter().chain(EVENT_LETTERS_AFTER).find(|(known, _)| *known == letter)?.1,
        };
    }
    Some(flags)
}

fn show_events(flags: u32) -> String {
    let mut letters = String::new();
    if flags & KeyspaceEvents::ALL == KeyspaceEvents::ALL {
        letters.push('A');
    } else {
        letters.extend(EVENT_LETTERS.iter().filter(|(_, flag)| flags & flag != 0).map(|(letter, _)| letter));
    }
    letters.extend(EVENT_LETTERS_AFTER.iter().filter(|(_, flag)| flags & flag != 0).map(|(letter, _)| letter));
    letters
}

fn percentiles(words: &[&str]) -> Result<Vec<f64>, String> {
    if words == [""] {
        return Ok(Vec::new());
    }
    let mut list = Vec::new();
    for word in words {
        let percentile: f64 = word.parse().map_err(|_| "Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&percentile) {
            return Err("latency-tracking-info-percentiles should contain values between 0.0 and 100.0".into());
        }
        list.push(percentile);
    }
    Ok(list)
}

fn master(words: &[&str]) -> Result<Option<Address>, String> {
    let [host, port] = words else { return Err("wrong number of arguments".into()) };
    if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") {
        return Ok(None);
    }
    let port = port.parse().map_err(|_| "Invalid master port")?;
    Ok(Some(Address { host: (*host).to_owned(), port }))
}

fn numbers(words: &[&str], count: usize, min: i64, max: i64) -> Result<Vec<String>, String> {
    if words.len() != count {
        return Err("wrong number of arguments".into());
    }
    let good = |word: &&str| word.parse().is_ok_and(|number: i64| (min..=max).contains(&number));
    if !words.iter().all(good) {
        return Err(format!("Invalid oom-score-adj-values, elements must be between {min} and {max}."));
    }
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

// ---- and back to text

impl Kind {
    /// The value as CONFIG GET shows it: memory in bytes, lists on one line.
    pub fn show(&self, value: &Value) -> String {
        let octal = matches!(self.form, Form::Octal { .. });
        let percent = matches!(self.form, Form::MemoryOrPercent { .. });
        match value {
            Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
            Value::Int(number) if octal => format!("{number:o}"),
            Value::Int(number) if percent && *number < 0 => format!("{}%", -number),
            Value::Int(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Choice(index) => match self.form {
                Form::Choice(names) => names[*index].into(),
                _ => index.to_string(),
            },
            Value::Flags(flags) if matches!(self.form, Form::Events) => show_events(*flags),
            Value::Flags(0) => "default".into(),
            Value::Flags(flags) => {
                let set = ShutdownFlags::NAMES.iter().filter(|(_, flag)| flags & flag != 0);
                set.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
            }
            Value::Words(words) => words.join(" "),
            Value::Save(points) => {
                let pairs = points.iter().map(|point| format!("{} {}", point.seconds, point.changes));
                pairs.collect::<Vec<_>>().join(" ")
            }
            Value::Output(limits) => {
                // The class of replicas keeps its old name here: clients parse it.
                let mut line = String::new();
                for (class, limit) in [("normal", limits.normal), ("slave", limits.replica), ("pubsub", limits.pubsub)]
                {
                    let blank = if line.is_empty() { "" } else { " " };
                    let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
                    let _ = write!(line, "{blank}{class} {hard_bytes} {soft_bytes} {soft_seconds}");
                }
                line
            }
            Value::Percentiles(list) => list.iter().map(f64::to_string).collect::<Vec<_>>().join(" "),
            Value::Master(None) => String::new(),
            Value::Master(Some(address)) => format!("{} {}", address.host, address.port),
        }
    }

    /// The value as words of a configuration file, one list per line; no line where the file must not mention the
    /// directive at all (a text without a value, no master).
    pub fn lines(&self, value: &Value) -> Vec<Vec<String>> {
        let memory = matches!(self.form, Form::Memory { .. } | Form::MemoryOrPercent { .. });
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        match value {
            Value::Int(number) if memory && *number >= 0 => vec![vec![show_memory(*number)]],
            Value::Text(text) if text.is_empty() => Vec::new(),
            Value::Master(None) => Vec::new(),
            Value::Text(_) | Value::Flags(_) if matches!(self.form, Form::Events | Form::Text) => {
                vec![vec![self.show(value)]]
            }
            Value::Words(list) if list.is_empty() => vec![vec![String::new()]],
            Value::Words(list) => vec![list.clone()],
            Value::Output(limits) => {
                let classes = [("normal", limits.normal), ("replica", limits.replica), ("pubsub", limits.pubsub)];
                let line = |(class, limit): (&str, OutputLimit)| {
                    let (hard, soft) = (show_memory(limit.hard_bytes.into()), show_memory(limit.soft_bytes.into()));
                    vec![class.to_owned(), hard, soft, limit.soft_seconds.to_string()]
                };
                classes.into_iter().map(line).collect()
            }
            _ => vec![words(self.show(value))],
        }
    }
}

/// Bytes in the largest unit that divides them.
fn show_memory(bytes: i128) -> String {
    for (unit, name) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes % unit == 0 {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}
