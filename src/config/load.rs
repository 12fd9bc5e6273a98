//! From a command line, files and standard input to a [`Config`].
//!
//! Redis appends standard input and then the options of the command line to the file's text, one `name value ...` line
//! for each `--name value ...`, and the last mention of a directive counts; so it is done here, which also makes line
//! numbers in errors the same.

use super::config::Statement;
use super::error::{ConfigError, LineError, system_word};
use super::kind::Kind;
use super::types::Value;
use super::{Config, Role, lines, statements, table};
use crate::base::glob;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How deep files may include each other; deeper ones are taken for a circle.
const INCLUDE_DEPTH_MAX: usize = 16;

impl Config {
    /// Reads what a process was started with: `[file] [-] [--directive value ...]`, as `redis-server` reads its own
    /// arguments. `args` are those behind `regent node` or `regent sentinel`; `stdin` is read only where `-` stands.
    ///
    /// A sentinel must have a file that can be written. Nothing is changed in the process: the caller goes to
    /// `settings.dir`.
    pub fn load(role: Role, args: &[String], stdin: &mut dyn Read) -> Result<Config, ConfigError> {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Config::load_in(role, &here, args, stdin)
    }

    /// [`Config::load`] as if it were started in the directory `here`.
    pub fn load_in(role: Role, here: &Path, args: &[String], stdin: &mut dyn Read) -> Result<Config, ConfigError> {
        let mut config = Config::new(role, here);
        let args = CommandLine::read(args);
        config.file = args.file.map(|file| here.join(file));
        let mut loader = Loader { config: &mut config, save_seen: false, depth: 0, queue: Vec::new() };

        let mut next_line = 1;
        if let Some(path) = loader.config.file.clone() {
            for (source, text) in read_files(&path)? {
                loader.text(&text, &source, next_line)?;
                next_line += newlines(&text);
            }
        }
        if args.stdin {
            let mut text = Vec::new();
            let read = stdin.read_to_end(&mut text);
            read.map_err(|error| ConfigError::Open { path: "-".into(), why: system_word(&error) })?;
            loader.text(&text, "the standard input", next_line)?;
            next_line += newlines(&text);
        }
        loader.text(args.options.as_bytes(), "the command line", next_line + 1)?;

        let queue = std::mem::take(&mut loader.queue);
        statements::load(&mut config.sentinel, queue)?;
        config.check_whole()?;
        Ok(config)
    }

    /// Reads the text of a file; for callers that hold no file, and for tests. `source` is its name in errors.
    pub fn load_text(&mut self, text: &str, source: &str) -> Result<(), ConfigError> {
        let mut loader = Loader { config: self, save_seen: false, depth: 0, queue: Vec::new() };
        loader.text(text.as_bytes(), source, 1)?;
        let queue = std::mem::take(&mut loader.queue);
        statements::load(&mut self.sentinel, queue)
    }

    fn check_whole(&self) -> Result<(), ConfigError> {
        let log = &self.settings.logfile;
        if !log.is_empty() {
            let path = Path::new(&self.settings.dir).join(log);
            if let Err(error) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
                let reason = format!("Can't open the log file: {}", system_word(&error));
                return Err(ConfigError::Whole { reason });
            }
        }
        if self.role == Role::Sentinel {
            let Some(path) = self.file.clone() else { return Err(ConfigError::SentinelWithoutFile) };
            if let Err(error) = std::fs::OpenOptions::new().append(true).open(&path) {
                return Err(ConfigError::SentinelReadOnly { path, why: system_word(&error) });
            }
        }
        Ok(())
    }
}

fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// A command line taken apart.
#[derive(Debug, Default, PartialEq)]
struct CommandLine {
    file: Option<String>,
    stdin: bool,
    /// The options as lines of a configuration file.
    options: String,
}

impl CommandLine {
    /// The rules of Redis 7: a name begins with `--` and takes at least one argument, whatever that looks like, so
    /// that `--masterauth --secret` sets a password; but for `--save` and `--sentinel`, which may stand alone.
    fn read(args: &[String]) -> CommandLine {
        let mut line = CommandLine::default();
        let mut name_may_follow = true;
        for (place, arg) in args.iter().enumerate() {
            let is_last = place + 1 == args.len();
            let next_is_name = args.get(place + 1).is_some_and(|next| next.starts_with("--"));
            if place == 0 && !arg.starts_with('-') {
                line.file = Some(arg.clone());
            } else if arg == "-" && (place == 0 || is_last) {
                line.stdin = true;
            } else if name_may_follow && arg.starts_with("--") {
                if !line.options.is_empty() {
                    line.options.push('\n');
                }
                line.options.push_str(&arg[2..]);
                line.options.push(' ');
                let alone = lines::split(arg.as_bytes()).is_some_and(|words| words.len() == 1);
                let may_stand_alone = next_is_name || is_last;
                name_may_follow = !alone || (next_is_name && is_pseudo(arg));
                if alone && may_stand_alone && arg.eq_ignore_ascii_case("--save") {
                    line.options.push_str("\"\"");
                }
            } else {
                line.options.push_str(&lines::quote(arg.as_bytes()));
                line.options.push(' ');
                name_may_follow = true;
            }
        }
        line
    }
}

fn is_pseudo(arg: &str) -> bool {
    arg.eq_ignore_ascii_case("--save") || arg.eq_ignore_ascii_case("--sentinel")
}

/// The texts of a file, or of all files of a pattern, sorted; a pattern that matches none has none.
fn read_files(path: &Path) -> Result<Vec<(String, Vec<u8>)>, ConfigError> {
    let is_pattern = path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    let paths = if is_pattern { expand(path) } else { vec![path.to_owned()] };
    let read = |path: PathBuf| match std::fs::read(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => Err(ConfigError::Open { path, why: system_word(&error) }),
    };
    paths.into_iter().map(read).collect()
}

/// The existing paths that a pattern matches, part by part, sorted.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let is_pattern = part.as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        if !is_pattern {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut deeper = Vec::new();
        for directory in &found {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            let hidden = |name: &[u8]| name.starts_with(b".") && !part.as_encoded_bytes().starts_with(b".");
            let fits = |name: &[u8]| !hidden(name) && glob::matches(part.as_encoded_bytes(), name, false);
            let fitting = names.iter().filter(|name| fits(name.as_encoded_bytes()));
            deeper.extend(fitting.map(|name| directory.join(name)));
        }
        found = deeper;
    }
    found.retain(|path| path.exists());
    found
}

/// One `sentinel ...` line, kept until all lines are read, since their order in the file does not matter.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// The words behind `sentinel`.
    pub words: Vec<String>,
    /// Where it stands, with no reason yet.
    pub place: LineError,
}

struct Loader<'a> {
    config: &'a mut Config,
    /// Whether a `save` line was read: the first one replaces the defaults, later ones add to it.
    save_seen: bool,
    depth: usize,
    queue: Vec<Queued>,
}

impl Loader<'_> {
    fn text(&mut self, text: &[u8], source: &str, first_line: usize) -> Result<(), ConfigError> {
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let place = LineError {
                source: source.to_owned(),
                number: first_line + number,
                line: String::from_utf8_lossy(line).into_owned(),
                ..LineError::default()
            };
            let Some(words) = lines::split(line) else {
                return Err(wrong(place, "Unbalanced quotes in configuration line"));
            };
            let words: Result<Vec<String>, _> = words.into_iter().map(String::from_utf8).collect();
            let Ok(words) = words else { return Err(wrong(place, "arguments must be valid UTF-8")) };
            if !words.is_empty() {
                self.line(words, place)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, mut words: Vec<String>, place: LineError) -> Result<(), ConfigError> {
        words[0].make_ascii_lowercase();
        let place = LineError { line: shown(&words).unwrap_or(place.line), ..place };
        if let Some((_, directive)) = table::find(words[0].as_bytes()) {
            let given: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            return self.directive(directive, &given).map_err(|reason| {
                let expected = Some(format!("{} <{}>", directive.name, directive.kind.expectation()));
                ConfigError::Line(Box::new(LineError { reason, expected, ..place }))
            });
        }
        match (words[0].as_str(), words.len()) {
            (name, 2) if table::FORGOTTEN.contains(&name) => Ok(()),
            ("include", 2) => self.include(&words[1], place),
            ("rename-command", 3) => {
                self.config.rename_commands.push(Statement { words: words[1..].to_vec(), place });
                Ok(())
            }
            ("user", 2..) => {
                self.config.users.push(Statement { words: words[1..].to_vec(), place });
                Ok(())
            }
            ("loadmodule", 2..) => {
                self.config.modules.push(words[1..].to_vec());
                Ok(())
            }
            ("sentinel", 1) => Ok(()),
            ("sentinel", _) if self.config.role == Role::Node => {
                Err(wrong(place, "sentinel directive while not in sentinel mode"))
            }
            ("sentinel", _) => {
                self.queue.push(Queued { words: words[1..].to_vec(), place });
                Ok(())
            }
            // `regent sentinel --lookup local`: the two that are more wanted on a command line than in a file.
            ("lookup" | "group-size", 2) if self.config.role == Role::Sentinel => {
                self.queue.push(Queued { words, place });
                Ok(())
            }
            (name, _) => {
                let nearest = table::nearest(name).filter(|near| *near != name).map(str::to_owned);
                let reason = "Bad directive or wrong number of arguments".to_owned();
                Err(ConfigError::Line(Box::new(LineError { reason, nearest, ..place })))
            }
        }
    }

    fn directive(&mut self, directive: &'static table::Directive, words: &[&str]) -> Result<(), String> {
        // One quoted argument may hold the whole list: `save "3600 1 300 100"`.
        let inner: Vec<String> = match words {
            [one] if directive.kind.takes_many() && !one.is_empty() => {
                let words = lines::split(one.as_bytes()).ok_or("Unbalanced quotes in configuration line")?;
                words.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect()
            }
            _ => words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let words: Vec<&str> = inner.iter().map(String::as_str).collect();
        let current = self.config.value(directive);
        let mut value = self.config.read(directive, &words)?;
        if let (Value::Save(points), Value::Save(before)) = (&mut value, current) {
            if self.save_seen && words != [""] {
                points.splice(0..0, before);
            }
            self.save_seen = true;
        }
        self.config.assign(directive, value);
        self.config.named.insert(directive.name);
        Ok(())
    }

    fn include(&mut self, pattern: &str, place: LineError) -> Result<(), ConfigError> {
        if self.depth == INCLUDE_DEPTH_MAX {
            return Err(wrong(place, "Too many files include each other"));
        }
        self.depth += 1;
        let path = Path::new(&self.config.settings.dir).join(pattern);
        for (source, text) in read_files(&path)? {
            self.text(&text, &source, 1)?;
        }
        self.depth -= 1;
        Ok(())
    }
}

/// A line without its secrets, if it may have any: what an error shows of it.
fn shown(words: &[String]) -> Option<String> {
    const REDACTED: &str = "(redacted)";
    let is_secret = table::find(words[0].as_bytes()).is_some_and(|(_, directive)| directive.flags.has(table::SECRET));
    let hide = |(place, word): (usize, &String)| match word.as_bytes().first() {
        _ if place > 0 && is_secret => REDACTED.to_owned(),
        Some(sign @ (b'>' | b'<' | b'#' | b'!')) => format!("{}{REDACTED}", *sign as char),
        _ => word.clone(),
    };
    let may = is_secret || words[0] == "user";
    may.then(|| words.iter().enumerate().map(hide).collect::<Vec<_>>().join(" "))
}

/// A line that is wrong for this reason.
pub(super) fn wrong(place: LineError, reason: &str) -> ConfigError {
    ConfigError::Line(Box::new(LineError { reason: reason.to_owned(), ..place }))
}

impl Config {
    /// Reads the lines that a file has for one directive.
    pub(super) fn read_lines(
        &mut self,
        directive: &'static table::Directive,
        lines: &[Vec<&str>],
    ) -> Result<(), String> {
        let mut loader = Loader { config: self, save_seen: false, depth: 0, queue: Vec::new() };
        lines.iter().try_for_each(|words| loader.directive(directive, words))
    }

    /// Reads words for a directive: its kind's rules, and what depends on more than the words.
    pub(super) fn read(&self, directive: &table::Directive, words: &[&str]) -> Result<Value, String> {
        let kind: &Kind = &directive.kind;
        let value = kind.parse(words, &self.value(directive))?;
        match value {
            Value::Text(dir) if directive.name == "dir" => {
                let path = Path::new(&self.settings.dir).join(dir);
                let path = path.canonicalize().map_err(|error| system_word(&error))?;
                if !path.is_dir() {
                    return Err("Not a directory".into());
                }
                Ok(Value::Text(path.to_string_lossy().into_owned()))
            }
            value => Ok(value),
        }
    }
}
