//! CONFIG GET and CONFIG SET: the settings of a running process.
//!
//! SET takes all of its pairs or none, and tells the caller which directives changed, so that their effects (a new
//! port, a shorter log) can be applied; if one of those fails, the caller gives the [`Change`] back to
//! [`Config::undo`]. Texts are those of Redis 7.2 (<https://redis.io/docs/latest/commands/config-set/>).

use super::Config;
use super::table::{self, Directive, FIXED, GUARDED, HIDDEN, NOT_LOADING, SECRET};
use super::types::Value;
use crate::base::glob;
use std::fmt;

/// What the asker may change now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAccess {
    /// Whether it may set protected directives: see `Settings::enable_protected_configs`.
    pub protected: bool,
    /// Whether the data set is being loaded.
    pub loading: bool,
}

/// Why CONFIG SET changed nothing. Shown without the error's code (`ERR`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No such directive.
    Unknown(String),
    /// Not while loading; the reply is the LOADING error that every command gets then.
    Loading,
    /// This directive cannot be set, or not to this value; Redis' reason.
    Failed { name: String, reason: String },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Unknown(name) => {
                write!(f, "Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            SetError::Loading => write!(f, "Redis is loading the dataset in memory"),
            SetError::Failed { name, reason } if reason.is_empty() => {
                write!(f, "CONFIG SET failed (possibly related to argument '{name}')")
            }
            SetError::Failed { name, reason } => {
                write!(f, "CONFIG SET failed (possibly related to argument '{name}') - {reason}")
            }
        }
    }
}

impl std::error::Error for SetError {}

/// What a CONFIG SET changed, and what was there before.
#[derive(Clone, Debug, Default)]
pub struct Change {
    before: Vec<(&'static Directive, Value)>,
}

impl Change {
    /// The directives that have another value now, by their names in Redis 7.2, in the order of the request.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.before.iter().map(|(directive, _)| directive.name)
    }

    /// Those of them that mean nothing here.
    pub fn kept(&self) -> Vec<&'static str> {
        self.before
            .iter()
            .filter(|(directive, _)| directive.field.is_none())
            .map(|(directive, _)| directive.name)
            .collect()
    }

    /// Whether this directive has another value now.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|changed| changed == name)
    }
}

/// A file may ask for the defragmentation of Redis' own allocator, since files of today are to work; who asks a running
/// node is told that there is none.
fn may_begin(directive: &Directive, value: Value) -> Result<Value, String> {
    match directive.name {
        "activedefrag" if value == Value::Bool(true) => Err(
            "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc like \
             the one shipped by default with the Redis source distribution"
                .into(),
        ),
        _ => Ok(value),
    }
}

impl Config {
    /// CONFIG GET: name and value of every directive that one of the patterns matches, each name once.
    ///
    /// A pattern without `*`, `?` and `[` is a name, and is answered in the spelling of the request; hidden directives
    /// are found by it only. Aliases are names of their own. Redis' order is that of a hash table, so any order will
    /// do: here that of the patterns, then of the alphabet.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, directive: &Directive| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_owned(), directive.kind.show(&self.value(directive))));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
                if let Some((_, directive)) = table::find(pattern) {
                    add(&String::from_utf8_lossy(pattern), directive);
                }
                continue;
            }
            for (name, directive) in table::names() {
                if !directive.flags.has(HIDDEN) && glob::matches(pattern, name.as_bytes(), true) {
                    add(name, directive);
                }
            }
        }
        found
    }

    /// CONFIG SET: all pairs of name and value, or none of them.
    pub fn set(&mut self, pairs: &[(&[u8], &[u8])], access: SetAccess) -> Result<Change, SetError> {
        let mut wanted: Vec<(&'static str, &'static Directive)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let typed = || String::from_utf8_lossy(name).into_owned();
            let failed = |reason: &str| Err(SetError::Failed { name: typed(), reason: reason.to_owned() });
            let Some((name, directive)) = table::find(name) else { return Err(SetError::Unknown(typed())) };
            if directive.flags.has(FIXED) {
                return failed("can't set immutable config");
            }
            if directive.flags.has(GUARDED) && !access.protected {
                return failed("can't set protected config");
            }
            if directive.flags.has(NOT_LOADING) && access.loading {
                return Err(SetError::Loading);
            }
            if wanted.iter().any(|(_, other)| std::ptr::eq(*other, directive)) {
                return failed("duplicate parameter");
            }
            wanted.push((name, directive));
        }

        let mut change = Change::default();
        for ((name, directive), (_, value)) in wanted.into_iter().zip(pairs) {
            let before = self.value(directive);
            let read = self.read_one_text(directive, value);
            match read.and_then(|value| may_begin(directive, value)) {
                Ok(value) if value == before => {}
                Ok(value) => {
                    self.assign(directive, value);
                    change.before.push((directive, before));
                }
                Err(reason) => {
                    self.undo(change);
                    return Err(SetError::Failed { name: name.to_owned(), reason });
                }
            }
        }
        Ok(change)
    }

    /// Takes a change back: everything is as it was before.
    pub fn undo(&mut self, change: Change) {
        for (directive, before) in change.before.into_iter().rev() {
            self.assign(directive, before);
        }
    }

    /// Whether the directive's value is a secret, to be kept out of the slow log and MONITOR.
    pub fn is_secret(name: &[u8]) -> bool {
        table::find(name).is_some_and(|(_, directive)| directive.flags.has(SECRET))
    }

    /// A value in one text, whose words are separated by single blanks where the directive takes several.
    fn read_one_text(&self, directive: &Directive, text: &[u8]) -> Result<Value, String> {
        let text = std::str::from_utf8(text).map_err(|_| "argument must be valid UTF-8")?;
        let words: Vec<&str> = match directive.kind.takes_many() {
            true if text.is_empty() => Vec::new(),
            true => text.split(' ').collect(),
            false => vec![text],
        };
        self.read(directive, &words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyspaceEvents, Role};
    use std::path::Path;

    const ALL: SetAccess = SetAccess { protected: true, loading: false };

    fn config() -> Config {
        Config::new(Role::Node, Path::new("/"))
    }

    fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        config.set(&pairs, ALL).map(|change| change.names().collect()).map_err(|error| error.to_string())
    }

    fn get(config: &Config, name: &str) -> String {
        config.get(&[name.as_bytes()]).remove(0).1
    }

    #[test]
    fn values_are_shown_as_redis_shows_them() {
        let config = config();
        let shown = [
            ("save", "3600 1 300 100 60 10000"),
            ("maxmemory", "0"),
            ("repl-backlog-size", "1048576"),
            ("bind", "* -::*"),
            ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
            ("shutdown-on-sigint", "default"),
            ("oom-score-adj-values", "0 200 800"),
            ("latency-tracking-info-percentiles", "50 99 99.9"),
            ("slaveof", ""),
            ("appendonly", "yes"),
            ("proto-max-bulk-len", "536870912"),
            ("unixsocketperm", "0"),
        ];
        for (name, value) in shown {
            assert_eq!(get(&config, name), value, "{name}");
        }
    }

    /// Pairs as redis-server 7.0.15 answered them.
    #[test]
    fn set_and_shown_again() {
        let mut config = config();
        let pairs = [
            ("maxmemory", "100mb", "104857600"),
            ("maxmemory", "", "0"),
            ("maxmemory-clients", "5%", "5%"),
            ("maxmemory-clients", "1k", "1000"),
            ("notify-keyspace-events", "AKE", "AKE"),
            ("notify-keyspace-events", "Elg", "glE"),
            (
                "client-output-buffer-limit",
                "normal 1mb 0 0",
                "normal 1048576 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
            ("shutdown-on-sigint", "now nosave", "nosave now"),
            ("latency-tracking-info-percentiles", "50.0 99.90", "50 99.9"),
            ("latency-tracking-info-percentiles", "", ""),
            ("hz", "1000", "500"),
            ("save", "", ""),
            ("save", "60 1", "60 1"),
            ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
            ("bind", "", ""),
            ("requirepass", "secret", "secret"),
            ("syslog-ident", "x", "redis"),
        ];
        for (name, value, shown) in pairs {
            let _ = set(&mut config, &[(name, value)]);
            assert_eq!(get(&config, name), shown, "{name} {value}");
        }
        set(&mut config, &[("notify-keyspace-events", "KEA")]).unwrap();
        assert!(config.settings.notify_keyspace_events.wants(KeyspaceEvents::STRING));
        assert!(!config.settings.notify_keyspace_events.wants(KeyspaceEvents::KEY_MISS));
    }

    #[test]
    fn refusals_in_the_words_of_redis() {
        let failed =
            |name: &str, reason: &str| format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}");
        let refused: &[(&[(&str, &str)], String)] = &[
            (&[("nope", "1")], "Unknown option or number of arguments for CONFIG SET - 'nope'".into()),
            (&[("port", "1"), ("PORT", "2")], failed("PORT", "duplicate parameter")),
            (&[("slave-priority", "1"), ("replica-priority", "2")], failed("replica-priority", "duplicate parameter")),
            (&[("slave-priority", "x")], failed("slave-priority", "argument couldn't be parsed into an integer")),
            (&[("databases", "1")], failed("databases", "can't set immutable config")),
            (&[("port", "65536")], failed("port", "argument must be between 0 and 65535 inclusive")),
            (&[("appendonly", "maybe")], failed("appendonly", "argument must be 'yes' or 'no'")),
            (
                &[("appendfsync", "x")],
                failed("appendfsync", "argument(s) must be one of the following: everysec, always, no"),
            ),
            (&[("maxmemory", "1x")], failed("maxmemory", "argument must be a memory value")),
            (&[("maxmemory-clients", "-5")], failed("maxmemory-clients", "argument must be a memory or percent value")),
            (
                &[("maxmemory-clients", "101%")],
                failed("maxmemory-clients", "percentage argument must be less or equal to 100"),
            ),
            (&[("save", "60 1 x")], failed("save", "Invalid save parameters")),
            (&[("dir", "/nonexistent")], failed("dir", "No such file or directory")),
            (&[("dbfilename", "a/b")], failed("dbfilename", "dbfilename can't be a path, just a filename")),
            (
                &[("shutdown-on-sigint", "save nosave")],
                failed("shutdown-on-sigint", "shutdown options SAVE and NOSAVE can't be used simultaneously"),
            ),
        ];
        for (pairs, text) in refused {
            assert_eq!(set(&mut config(), pairs), Err(text.clone()), "{pairs:?}");
        }
        let guarded = config().set(&[(b"dir", b"/")], SetAccess::default()).unwrap_err();
        assert_eq!(guarded.to_string(), failed("dir", "can't set protected config"));
        let loading = config().set(&[(b"appendonly", b"no")], SetAccess { protected: false, loading: true });
        assert_eq!(loading.unwrap_err(), SetError::Loading);
    }

    #[test]
    fn all_pairs_or_none() {
        let mut config = config();
        assert!(set(&mut config, &[("maxmemory", "1gb"), ("timeout", "x")]).is_err());
        assert_eq!(config.settings.maxmemory, 0);
        let names = set(&mut config, &[("maxmemory", "1gb"), ("slave-priority", "7"), ("hz", "10")]).unwrap();
        assert_eq!(names, ["maxmemory", "replica-priority"], "hz had that value");
        let change = config.set(&[(b"maxmemory", b"2gb"), (b"cluster-announce-port", b"1")], ALL).unwrap();
        assert_eq!(
            (get(&config, "maxmemory"), get(&config, "cluster-announce-port")),
            ("2147483648".into(), "1".into())
        );
        config.undo(change);
        assert_eq!(
            (get(&config, "maxmemory"), get(&config, "cluster-announce-port")),
            ("1073741824".into(), "0".into())
        );
    }

    #[test]
    fn get_by_patterns() {
        let config = config();
        let names = |patterns: &[&str]| -> Vec<String> {
            let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
            config.get(&patterns).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&["PORT"]), ["PORT"]);
        assert_eq!(names(&["slaveof", "SlaveOf"]), ["slaveof"]);
        assert_eq!(
            names(&["hash-max-*-entries", "maxmem?ry"]),
            ["hash-max-listpack-entries", "hash-max-ziplist-entries", "maxmemory"].to_vec()
        );
        assert_eq!(names(&["key-load-delay"]), ["key-load-delay"]);
        assert!(names(&["key-load*", "nope"]).is_empty());
        assert_eq!(names(&["*"]).len(), table::names().iter().filter(|(_, d)| !d.flags.has(HIDDEN)).count());
    }

    #[test]
    fn secrets_are_known() {
        assert!(Config::is_secret(b"requirepass") && Config::is_secret(b"MASTERAUTH") && !Config::is_secret(b"port"));
    }
}
