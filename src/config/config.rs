//! [`Config`]: what a process was told by its command line and files, and what CONFIG SET made of it since.

use super::error::{ConfigError, LineError};
use super::honoured::Settings;
use super::sentinel::SentinelSettings;
use super::table::{self, Directive};
use super::title::{TitleVars, process_title};
use super::types::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `regent node`
    Node,
    /// `regent sentinel`
    Sentinel,
}

/// A line whose meaning is known above this layer, with its place for who finds fault with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Those behind its name.
    pub words: Vec<String>,
    pub(super) place: LineError,
}

impl Statement {
    /// One that no file has yet.
    pub fn of(words: Vec<String>) -> Statement {
        Statement { words, place: LineError::default() }
    }

    /// What is wrong with it, and what may stand there.
    pub fn wrong(&self, reason: &str, expected: &str) -> ConfigError {
        let (reason, expected) = (reason.to_owned(), Some(expected.to_owned()));
        ConfigError::Line(Box::new(LineError { reason, expected, ..self.place.clone() }))
    }
}

/// The whole configuration of a process.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings that mean something. Callers may change a field, such as `replicaof` on REPLICAOF; CONFIG GET and
    /// CONFIG REWRITE show it then.
    pub settings: Settings,
    /// What the `sentinel ...` lines say.
    pub sentinel: SentinelSettings,
    /// `rename-command`: from, to; an empty one takes the command away.
    pub rename_commands: Vec<Statement>,
    /// The words behind `user`, line by line: a name and its rules.
    pub users: Vec<Statement>,
    /// The words behind `loadmodule`, line by line.
    pub modules: Vec<Vec<String>>,
    pub(super) role: Role,
    /// Values of kept directives that differ from the default, or did once.
    pub(super) kept: BTreeMap<&'static str, Value>,
    /// Directives that a file or the command line names.
    pub(super) named: BTreeSet<&'static str>,
    pub(super) file: Option<PathBuf>,
    /// What everything was before any line was read: with the role's own defaults.
    pub(super) defaults: Settings,
}

impl Config {
    /// The defaults of a role for a process that was started in `here`.
    pub fn new(role: Role, here: &Path) -> Config {
        let mut settings = Settings { dir: here.to_string_lossy().into_owned(), ..Settings::default() };
        if role == Role::Sentinel {
            settings.port = 26379;
            settings.protected_mode = false;
        }
        Config {
            defaults: settings.clone(),
            settings,
            sentinel: SentinelSettings::default(),
            rename_commands: Vec::new(),
            users: Vec::new(),
            modules: Vec::new(),
            role,
            kept: BTreeMap::new(),
            named: BTreeSet::new(),
            file: None,
        }
    }

    /// What the process is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The configuration file, as an absolute path; none if the process was started without.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The directives that a file or the command line sets although they mean nothing here (to this role), sorted: for
    /// one line at start.
    pub fn kept_in_use(&self) -> Vec<&'static str> {
        let honoured =
            |name: &str| table::find(name.as_bytes()).is_some_and(|(_, d)| d.is_honoured(self.role == Role::Sentinel));
        let mut names: Vec<_> = self.named.iter().copied().filter(|name| !honoured(name)).collect();
        if !self.modules.is_empty() {
            names.push("loadmodule");
        }
        names
    }

    /// The name that the process is to show in `ps`, where `title` is what it is (`regent node`); none under
    /// `set-proc-title no`.
    pub fn process_title(&self, title: &str) -> Option<String> {
        let file = self.file.as_ref().map(|file| file.to_string_lossy());
        let vars = TitleVars {
            title,
            bind: self.settings.bind.first().map(|first| first.trim_start_matches('-')),
            port: self.settings.port,
            tls_port: self.settings.tls_port,
            unixsocket: &self.settings.unixsocket,
            sentinel: self.role == Role::Sentinel,
            config_file: file.as_deref(),
        };
        self.settings.set_proc_title.then(|| process_title(&self.settings.proc_title_template, &vars)).flatten()
    }

    /// The value of a directive, wherever it lives.
    pub(super) fn value(&self, directive: &Directive) -> Value {
        match (directive.field, self.kept.get(directive.name)) {
            (Some(field), _) => (field.get)(&self.settings),
            (None, Some(value)) => value.clone(),
            (None, None) => directive.kind.parse_default(directive.default),
        }
    }

    /// What the value would be without a line or a CONFIG SET.
    pub(super) fn default_value(&self, directive: &Directive) -> Value {
        match directive.field {
            Some(field) => (field.get)(&self.defaults),
            None => directive.kind.parse_default(directive.default),
        }
    }

    pub(super) fn assign(&mut self, directive: &Directive, value: Value) {
        match directive.field {
            Some(field) => (field.set)(&mut self.settings, value),
            None => {
                self.kept.insert(directive.name, value);
            }
        }
    }
}
