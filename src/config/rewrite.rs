//! CONFIG REWRITE: the file of the user, changed where the settings have changed and nowhere else.
//!
//! A directive whose lines already say what it is set to keeps these lines byte for byte, `100mb` included. Otherwise
//! its line is replaced in place, and what the file does not mention is added at the end if it is not the default.
//! The new text becomes the file by a rename, so that a crash leaves the old one or the new one
//! (<https://redis.io/docs/latest/commands/config-rewrite/>).

use super::config::Statement;
use super::document::{Document, Wanted};
use super::error::system_word;
use super::kind::Form;
use super::table::{self, Directive};
use super::types::Value;
use super::{Config, Role, statements};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why the file was not rewritten. It is as it was, unless it had to be written in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteError {
    /// The process was started without one.
    NoFile,
    /// The system refused `step` on `path`, in its words.
    Io { step: &'static str, path: PathBuf, why: String },
}

impl RewriteError {
    /// What failed where, for the log.
    pub fn detail(&self) -> String {
        match self {
            RewriteError::NoFile => self.to_string(),
            RewriteError::Io { step, path, why } => format!("could not {step} {}: {why}", path.display()),
        }
    }
}

impl fmt::Display for RewriteError {
    /// Redis' reply without its code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RewriteError::NoFile => write!(f, "The server is running without a config file"),
            RewriteError::Io { why, .. } => write!(f, "Rewriting config file: {why}"),
        }
    }
}

impl std::error::Error for RewriteError {}

impl Config {
    /// CONFIG REWRITE with every directive in it, its default or not (DEBUG CONFIG-REWRITE-FORCE-ALL).
    pub fn rewrite_all(&self) -> Result<(), RewriteError> {
        self.rewrite_by(|old| self.text_over(old, &[], true))
    }

    /// CONFIG REWRITE. `overrides` are directives whose value is run-time state that lives elsewhere, by name.
    pub fn rewrite(&self, overrides: &[(&str, Value)]) -> Result<(), RewriteError> {
        self.rewrite_by(|old| self.rewritten(old, overrides))
    }

    fn rewrite_by(&self, text: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<(), RewriteError> {
        let path = self.file.as_deref().ok_or(RewriteError::NoFile)?;
        let old = match fs::read(path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("read", path)(error)),
        };
        replace_file(path, &text(&old), &|from, to| fs::rename(from, to))
    }

    /// The text that a file of the text `old` is rewritten to.
    pub fn rewritten(&self, old: &[u8], overrides: &[(&str, Value)]) -> Vec<u8> {
        self.text_over(old, overrides, false)
    }

    fn text_over(&self, old: &[u8], overrides: &[(&str, Value)], everything: bool) -> Vec<u8> {
        let mut document = Document::read(old);
        for directive in table::all() {
            let over = overrides.iter().find(|(name, _)| *name == directive.name);
            let value = over.map_or_else(|| self.value(directive), |(_, value)| value.clone());
            self.put(&mut document, directive, &value, everything);
        }
        if self.role == Role::Node {
            let line = |user: &Statement| Wanted {
                words: std::iter::once("user".to_owned()).chain(user.words.iter().cloned()).collect(),
                key: 2,
                force: true,
                quoted: false,
            };
            document.put(document.lines_of(&["user"]), self.users.iter().map(line).collect());
        }
        if self.role == Role::Sentinel {
            statements::rewrite(&self.sentinel, &mut document);
        }
        document.text()
    }

    fn put(&self, document: &mut Document, directive: &'static Directive, value: &Value, everything: bool) {
        let own = document.lines_of(&[directive.name]);
        let default = self.default_value(directive);
        let said = self.said_by(directive, own.iter().map(|number| document.arguments(*number)));
        if said.is_some_and(|said| said == *value) && (!everything || !own.is_empty()) {
            return;
        }
        let same = *value == default;
        let default_lines = directive.kind.lines(&default);
        let mut texts = directive.kind.lines(value);
        if texts.is_empty() && *value == Value::Text(String::new()) && !same {
            texts.push(vec![String::new()]);
        }
        // Limits are a line for each class of clients; every other directive has one line.
        let per_class = matches!(directive.kind.form, Form::Output);
        let wanted = texts.into_iter().map(|text| Wanted {
            force: everything || if per_class { !default_lines.contains(&text) } else { !same },
            key: if per_class { 2 } else { 1 },
            quoted: matches!(directive.kind.form, Form::Text | Form::Events),
            words: std::iter::once(directive.name.to_owned()).chain(text).collect(),
        });
        document.put(own, wanted.collect());
    }

    /// What lines of a file set a directive to; the default if there are none, `None` if they cannot be read.
    fn said_by<'a>(&self, directive: &'static Directive, lines: impl Iterator<Item = Vec<&'a str>>) -> Option<Value> {
        let mut scratch = Config { settings: self.defaults.clone(), ..Config::new(self.role, Path::new("/")) };
        scratch.defaults = self.defaults.clone();
        let lines: Vec<Vec<&str>> = lines.collect();
        scratch.read_lines(directive, &lines).ok()?;
        Some(scratch.value(directive))
    }
}

pub(super) fn failed<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RewriteError + 'a {
    move |error| RewriteError::Io { step, path: path.to_owned(), why: system_word(&error) }
}

/// How a file takes another one's name: `fs::rename`, or a test's double.
pub(super) type Rename<'a> = &'a dyn Fn(&Path, &Path) -> io::Result<()>;

/// Makes `text` the content of a file: by writing a new one and renaming it, or in place where the system forbids that
/// (a file that is a mount point of its own, as in containers, or a directory that is read-only).
pub(super) fn replace_file(path: &Path, text: &[u8], rename: Rename<'_>) -> Result<(), RewriteError> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned()); // a link stays a link
    let mut mode = 0o644;
    match OpenOptions::new().append(true).open(path) {
        Ok(old) => {
            let metadata = old.metadata().map_err(failed("look at", path))?;
            mode = metadata.permissions().mode() & 0o777;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("write to", path)(error)),
    }
    if fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }

    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.tmp", std::process::id()));
    let new = PathBuf::from(new);
    let renamed = write_new(&new, text, mode).and_then(|()| rename(&new, path));
    match renamed {
        Ok(()) => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            File::open(directory).and_then(|open| open.sync_all()).map_err(failed("sync the directory", directory))
        }
        Err(error) => {
            let _ = fs::remove_file(&new);
            if must_write_in_place(&error) {
                return write_in_place(path, text).map_err(failed("write to", path));
            }
            Err(failed("replace", path)(error))
        }
    }
}

fn write_new(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path); // of an earlier process with the same number
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

fn must_write_in_place(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ResourceBusy | CrossesDevices | PermissionDenied | ReadOnlyFilesystem)
}

/// The new text over the old one, and only then the old one's end cut off.
fn write_in_place(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, SetAccess};

    fn load(role: Role, text: &str) -> Config {
        let mut config = Config::new(role, Path::new("/"));
        config.load_text(text, "redis.conf").unwrap();
        config
    }

    fn set(config: &mut Config, pairs: &[(&str, &str)]) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        config.set(&pairs, SetAccess { protected: true, loading: false }).unwrap();
    }

    fn rewritten(config: &Config, old: &str) -> String {
        let text = String::from_utf8(config.rewritten(old.as_bytes(), &[])).unwrap();
        let again = String::from_utf8(config.rewritten(text.as_bytes(), &[])).unwrap();
        assert_eq!(again, text, "a second rewrite changes nothing");
        let mut reread = Config::new(config.role, Path::new("/"));
        reread.load_text(&text, "rewritten").unwrap();
        for directive in table::all() {
            assert_eq!(reread.value(directive), config.value(directive), "{} in\n{text}", directive.name);
        }
        text
    }

    const FILE: &str = "\
# My node\n\
\n\
\n\
  port 7001   \n\
maxmemory 100mb\n\
SLAVEOF 10.0.0.1 6379\r\n\
save 900 1\n\
save 300 10\n\
# limits\n\
client-output-buffer-limit replica 0 0 0\n\
client-output-buffer-limit normal 0 0 0\n\
requirepass 'a b'\n\
rename-command CONFIG \"\"\n\
syslog-ident \"redis\"";

    #[test]
    fn an_unchanged_configuration_leaves_every_byte() {
        let config = load(Role::Node, FILE);
        assert_eq!(rewritten(&config, FILE), format!("{FILE}\n"));
        assert_eq!(rewritten(&Config::new(Role::Node, Path::new("/")), ""), "");
    }

    #[test]
    fn changes_stand_where_the_old_lines_stood_and_new_lines_at_the_end() {
        let mut config = load(Role::Node, FILE);
        let pairs = [
            ("maxmemory", "1gb"),
            ("save", "60 7"),
            ("client-output-buffer-limit", "normal 1mb 0 0"),
            ("requirepass", ""),
            ("appendfsync", "always"),
            ("notify-keyspace-events", "KEA"),
            ("hz", "10"),
            ("masterauth", "p\"w"),
            ("bind", ""),
        ];
        set(&mut config, &pairs);
        config.settings.replicaof = Some(Address { host: "10.0.0.2".into(), port: 7002 });
        assert_eq!(
            rewritten(&config, FILE),
            "\
# My node\n\
\n\
\n\
  port 7001   \n\
maxmemory 1gb\n\
replicaof 10.0.0.2 7002\r\n\
save 60 7\n\
# limits\n\
client-output-buffer-limit replica 0 0 0\n\
client-output-buffer-limit normal 1mb 0 0\n\
rename-command CONFIG \"\"\n\
syslog-ident \"redis\"\n\
# Generated by CONFIG REWRITE\n\
appendfsync always\n\
bind \"\"\n\
masterauth \"p\\\"w\"\n\
notify-keyspace-events \"AKE\"\n"
        );
    }

    #[test]
    fn a_promoted_replica_loses_its_line_and_gets_it_back_at_the_end() {
        let mut config = load(Role::Node, "port 7002\nreplicaof 127.0.0.1 7001\nhz 20\n");
        config.settings.replicaof = None;
        let master = rewritten(&config, "port 7002\nreplicaof 127.0.0.1 7001\nhz 20\n");
        assert_eq!(master, "port 7002\nhz 20\n");
        let over = Value::Master(Some(Address { host: "::1".into(), port: 7003 }));
        let replica = config.rewritten(master.as_bytes(), &[("replicaof", over)]);
        let expected = "port 7002\nhz 20\n# Generated by CONFIG REWRITE\nreplicaof ::1 7003\n";
        assert_eq!(String::from_utf8(replica).unwrap(), expected);
    }

    /// Lines of users that stay keep their place, those of others go, and new ones stand at the end.
    #[test]
    fn users_are_written_line_by_line() {
        let old = "user alice on\nuser bob off\nport 1\n";
        let mut config = load(Role::Node, old);
        assert_eq!(rewritten(&config, old), old);
        let words = |line: &str| Statement::of(line.split(' ').map(str::to_owned).collect());
        config.users = vec![words("alice off ~*"), words("carol on #12 (~x +get)")];
        let expected = "user alice off ~*\nport 1\n# Generated by CONFIG REWRITE\nuser carol on \"#12\" (~x +get)\n";
        assert_eq!(rewritten(&config, old), expected);
        config.users.clear();
        assert_eq!(rewritten(&config, old), "port 1\n");
    }

    #[test]
    fn lines_that_no_table_knows_become_comments() {
        let config = load(Role::Node, "hz 20\n");
        let text = rewritten(&config, "nonsense 1\nhz 20\nx \"open\n");
        assert_eq!(text, "# ??? nonsense 1\nhz 20\n# ??? x \"open\n");
    }

    #[test]
    fn kept_directives_round_trip() {
        let mut config = load(Role::Node, "cluster-announce-port 7\nsyslog-ident me\n");
        set(&mut config, &[("cluster-announce-port", "8"), ("oom-score-adj-values", "1 2 3"), ("locale-collate", "C")]);
        let text = rewritten(&config, "cluster-announce-port 7\nsyslog-ident me\n");
        assert_eq!(
            text,
            "cluster-announce-port 8\nsyslog-ident me\n# Generated by CONFIG REWRITE\nlocale-collate \"C\"\noom-score-adj-values 1 2 3\n"
        );
    }

    #[test]
    fn the_file_is_replaced_with_its_mode_and_no_rest_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redis.conf");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace_file(&path, b"new\n", &|from, to| fs::rename(from, to)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// A file that is mounted by itself (a container's volume) cannot be renamed over: the system says EBUSY, and a
    /// sentinel in a container used to come back with the old master.
    #[test]
    fn a_busy_file_is_written_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        fs::write(&path, "a longer text than the new one\n").unwrap();
        replace_file(&path, b"new\n", &|_, _| Err(io::Error::from_raw_os_error(libc::EBUSY))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn other_failures_are_named_and_leave_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redis.conf");
        fs::write(&path, "old\n").unwrap();
        let full = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(libc::ENOSPC));
        let error = replace_file(&path, b"new\n", &full).unwrap_err();
        assert_eq!(error.to_string(), "Rewriting config file: No space left on device");
        assert!(error.detail().starts_with("could not replace /"), "{}", error.detail());
        assert_eq!(fs::read(&path).unwrap(), b"old\n");
        assert_eq!(Config::new(Role::Node, Path::new("/")).rewrite(&[]), Err(RewriteError::NoFile));
    }
}
