//! Users from lines: those of the configuration and those of a file of their own.

use super::DEFAULT;
use super::user::User;
use super::{Acl, has_blanks, joined};
use crate::command::Server;
use crate::command::client::Slot;
use crate::config::{AclPubsubDefault, Config, ConfigError, Statement};
use std::fmt::Write as _;

/// What a line of users is to look like, for a person.
const EXPECTED: &str = "user <name> [<rule> ...], one line for each user and no comments";

/// What is wrong with a file of users: all of it.
#[derive(Debug, PartialEq)]
pub struct FileErrors {
    file: String,
    found: Vec<(usize, String)>,
}

impl FileErrors {
    /// On one line, as ACL LOAD answers.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (line, what) in &self.found {
            let written = write!(text, "{}:{line}: {what}. ", self.file);
            debug_assert!(written.is_ok());
        }
        text + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    }

    /// As a node says that cannot start with it.
    pub fn at_start(&self) -> String {
        let lines: Vec<String> =
            self.found.iter().map(|(line, what)| format!("{}:{line}: {what}", self.file)).collect();
        format!("Aborting startup because of ACL errors: {}; expected: {EXPECTED}", lines.join("; "))
    }
}

/// The users of a file's text. Blank lines are allowed, comments are not: a file that is written anew would lose them.
///
/// # Errors
/// All that is wrong, line by line.
pub fn users_of(file: &str, text: &[u8], all_channels: bool) -> Result<Vec<User>, FileErrors> {
    let (mut users, mut found): (Vec<User>, _) = (Vec::new(), Vec::new());
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let words: Vec<&[u8]> =
            line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty()).collect();
        let mut wrong = |what: String| found.push((number + 1, what));
        let (name, rules) = match words.as_slice() {
            [] => continue,
            [b"user", name, rules @ ..] => (*name, rules),
            _ => {
                wrong("should start with user keyword followed by the username".into());
                continue;
            }
        };
        let shown = String::from_utf8_lossy(name);
        if has_blanks(name) {
            wrong(format!("username '{shown}' contains invalid characters"));
            continue;
        }
        if users.iter().any(|user| user.name() == name) {
            wrong(format!("Duplicate user '{shown}' found"));
            continue;
        }
        let Ok(rules) = joined(rules) else {
            wrong("Unmatched parenthesis in selector definition".into());
            continue;
        };
        let mut user = User::new(name, all_channels);
        let mut secret = false;
        for rule in &rules {
            match user.set(rule) {
                Ok(()) => {}
                // The name of a command is no secret; of all other rules only the first is told of, and not shown.
                Err(error @ super::RuleError::Unknown) => {
                    wrong(format!("Error in applying operation '{}': {error}", String::from_utf8_lossy(rule)));
                }
                Err(error) if !secret => {
                    secret = true;
                    wrong(error.to_string());
                }
                Err(_) => {}
            }
        }
        users.push(user);
    }
    if found.is_empty() { Ok(users) } else { Err(FileErrors { file: file.to_owned(), found }) }
}

impl Acl {
    /// The users of the configuration: the default one with `requirepass`, and those of the `user` lines.
    ///
    /// # Errors
    /// The line that is wrong.
    pub fn of(config: &Config) -> Result<Acl, ConfigError> {
        let settings = &config.settings;
        let all_channels = by_default(config);
        let mut acl = Acl::new(&settings.requirepass);
        let mut seen: Vec<&str> = Vec::new();
        for statement in &config.users {
            let wrong = |word: &str, error: &dyn std::fmt::Display| {
                let word = if word.starts_with(['>', '<', '#', '!']) { "(redacted)" } else { word };
                statement.wrong(&format!("Error in user declaration '{word}': {error}"), EXPECTED)
            };
            let (name, rules) = (&statement.words[0], &statement.words[1..]);
            if seen.contains(&name.as_str()) {
                return Err(wrong(name, &"Duplicate user found. A user can only be defined once in config files"));
            }
            if has_blanks(name.as_bytes()) {
                return Err(wrong(name, &"Spaces not allowed in ACL usernames"));
            }
            seen.push(name);
            let words: Vec<&[u8]> = rules.iter().map(|word| word.as_bytes()).collect();
            let rules = joined(&words).map_err(|word| {
                wrong(&String::from_utf8_lossy(word), &"Unmatched parenthesis in selector definition")
            })?;
            let mut user = User::new(name.as_bytes(), all_channels);
            for rule in &rules {
                user.set(rule).map_err(|error| wrong(&String::from_utf8_lossy(rule), &error))?;
            }
            if !user.is_on() {
                tracing::info!(
                    "The user '{name}' is disabled (there is no 'on' modifier in the user description). Make sure this \
                     is not a configuration error."
                );
            }
            acl.put(user);
        }
        if !config.users.is_empty() && !settings.aclfile.is_empty() {
            return Err(ConfigError::Whole {
                reason: "Configuring users in the configuration file and at the same time setting an ACL file path \
                         (aclfile) is invalid: define the users in one of both."
                    .into(),
            });
        }
        Ok(acl)
    }
}

impl Acl {
    /// The users of `aclfile`, if there is one, before anybody is connected. Relative paths are meant from `dir`, where
    /// the process must be by now.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub fn read_file(&mut self, config: &Config) -> Result<(), String> {
        let file = &config.settings.aclfile;
        if file.is_empty() {
            return Ok(());
        }
        let text = config.read_aclfile().map_err(|error| format!("Aborting startup: {error}"))?;
        let users = users_of(file, &text, by_default(config)).map_err(|errors| errors.at_start())?;
        self.users[DEFAULT.0] = User::default_user();
        for user in users {
            self.put(user);
        }
        Ok(())
    }

    fn put(&mut self, user: User) {
        match self.find(user.name()) {
            Some(id) => self.users[id.0] = user,
            None => drop(self.insert(user)),
        }
    }
}

/// Whether new users may listen to all channels.
pub fn by_default(config: &Config) -> bool {
    config.settings.acl_pubsub_default == AclPubsubDefault::Allchannels
}

impl Server {
    /// ACL LOAD, asked for by the client `me`.
    ///
    /// # Errors
    /// All that is wrong with the file; then nothing has changed.
    pub fn load_users(&mut self, me: Slot) -> Result<(), String> {
        let text = self.config.read_aclfile()?;
        let file = &self.config.settings.aclfile;
        let users = users_of(file, &text, by_default(&self.config)).map_err(|errors| errors.text())?;
        self.replace_users(users, me);
        Ok(())
    }

    /// Makes the `user` lines of the configuration what the users are, for CONFIG REWRITE. There are none with an
    /// `aclfile`, and none for a default user that `requirepass` alone makes.
    ///
    /// # Errors
    /// A rule that a configuration cannot hold.
    pub fn put_users_in_config(&mut self) -> Result<(), String> {
        let settings = &self.config.settings;
        let plain = Acl::new(&settings.requirepass);
        let written = |user: &&User| settings.aclfile.is_empty() && *user != plain.user(DEFAULT);
        let mut statements = Vec::new();
        for user in self.acl.users().filter(written) {
            let line = String::from_utf8(user.line()).map_err(|_| {
                let name = String::from_utf8_lossy(user.name());
                format!("Rewriting config file: the rules of user '{name}' are not valid UTF-8")
            })?;
            statements.push(Statement::of(line.split(' ').skip(1).map(str::to_owned).collect()));
        }
        self.config.users = statements;
        Ok(())
    }

    /// All users as lines of a file.
    pub fn users_text(&self) -> Vec<u8> {
        self.acl.users().flat_map(|user| [user.line(), b"\n".to_vec()]).flatten().collect()
    }
}
