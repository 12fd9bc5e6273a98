//! A selector: a set of permissions that stand together. A user has one of its own (the root) and any more in
//! parentheses; a request is allowed if one of them allows all of it.
//!
//! What a selector allows is kept twice: as bits, which a check reads, and as the rules in their order, which say how the
//! bits came about. Rules are what is shown and stored: replayed on a fresh selector they give the same bits, also for
//! commands that a later version adds to a category.

use super::RuleError;
use crate::base::glob;
use crate::command::Spec;
use crate::command::spec::{Access, Categories};
use crate::command::table;
use std::collections::BTreeMap;

/// Commands and subcommands that the bits have room for.
pub const COMMANDS_MAX: usize = 1024;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    all_keys: bool,
    all_channels: bool,
    all_commands: bool,
    /// It began with all commands, those of the future included, and took some away.
    from_all: bool,
    allowed: [u64; COMMANDS_MAX / 64],
    /// By the command's number: first arguments with which it is allowed though its bit is not set.
    first_args: BTreeMap<usize, Vec<Vec<u8>>>,
    keys: Vec<KeyPattern>,
    channels: Vec<Vec<u8>>,
    rules: Vec<Rule>,
}

/// `+name` or `-name` behind the `+@all` or `-@all` at the beginning.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    allow: bool,
    name: String,
}

/// Keys of these names may be used so.
#[derive(Clone, Debug, PartialEq)]
struct KeyPattern {
    access: Access,
    pattern: Vec<u8>,
}

impl Selector {
    /// Nothing but, by `acl-pubsub-default`, all channels.
    pub fn new(all_channels: bool) -> Selector {
        Selector {
            all_keys: false,
            all_channels,
            all_commands: false,
            from_all: false,
            allowed: [0; COMMANDS_MAX / 64],
            first_args: BTreeMap::new(),
            keys: Vec::new(),
            channels: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Whether nothing is forbidden.
    pub fn allows_all(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    // ------------------------------------------------------------------ rules

    /// Applies one rule.
    pub fn set(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            _ if is("allkeys") || is("~*") => {
                self.all_keys = true;
                self.keys.clear();
            }
            _ if is("resetkeys") => {
                self.all_keys = false;
                self.keys.clear();
            }
            _ if is("allchannels") || is("&*") => {
                self.all_channels = true;
                self.channels.clear();
            }
            _ if is("resetchannels") => {
                self.all_channels = false;
                self.channels.clear();
            }
            _ if is("allcommands") || is("+@all") => self.start(true),
            _ if is("nocommands") || is("-@all") => self.start(false),
            [b'~' | b'%', ..] => self.add_keys(rule)?,
            [b'&', pattern @ ..] => self.add_channels(pattern)?,
            [sign @ (b'+' | b'-'), b'@', category @ ..] => self.set_category(*sign == b'+', category)?,
            [b'+', name @ ..] => self.allow(name)?,
            [b'-', name @ ..] => {
                let spec = table::by_full_name(name).ok_or(RuleError::Unknown)?;
                self.set_command(spec, false);
                self.note(false, &spec.full_name());
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    /// All commands, or none.
    fn start(&mut self, all: bool) {
        self.allowed = [if all { u64::MAX } else { 0 }; COMMANDS_MAX / 64];
        (self.all_commands, self.from_all) = (all, all);
        self.first_args.clear();
        self.rules.clear();
    }

    /// `~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`
    fn add_keys(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        let (access, pattern) = match rule {
            [b'~', pattern @ ..] => (Access::ALL, pattern),
            _ => {
                let tilde = rule.iter().position(|byte| *byte == b'~').ok_or(RuleError::Syntax)?;
                let access = match rule[1..tilde].to_ascii_uppercase().as_slice() {
                    b"R" => Access::READ,
                    b"W" => Access::WRITE,
                    b"RW" | b"WR" => Access::ALL,
                    _ => return Err(RuleError::Syntax),
                };
                (access, &rule[tilde + 1..])
            }
        };
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => known.access = known.access.or(access),
            None => self.keys.push(KeyPattern { access, pattern: pattern.to_vec() }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    fn set_category(&mut self, allow: bool, name: &[u8]) -> Result<(), RuleError> {
        let category = Categories::named(name).ok_or(RuleError::Unknown)?;
        for spec in table::with_subs().filter(|spec| spec.all_categories().has(category)) {
            self.set_command(spec, allow);
        }
        self.note(allow, &format!("@{}", String::from_utf8_lossy(name)));
        Ok(())
    }

    /// `+name`, `+container|sub`, `+name|first-arg`
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
            let spec = table::by_full_name(name).ok_or(RuleError::Unknown)?;
            self.set_command(spec, true);
            self.note(true, &spec.full_name());
            return Ok(());
        };
        let (command, sub) = (&name[..bar], &name[bar + 1..]);
        let spec = table::by_full_name(command).ok_or(RuleError::Unknown)?;
        if spec.parent.is_some() {
            return Err(RuleError::FirstArgOfSub);
        }
        if sub.is_empty() {
            return Err(RuleError::Syntax);
        }
        if spec.subs.is_empty() {
            let given = String::from_utf8_lossy(name);
            tracing::warn!(
                "Deprecation warning: Allowing a first arg of an otherwise blocked command is a misuse of ACL and may \
                 get disabled in the future (offender: +{given})"
            );
            let known = self.first_args.entry(table::number(spec)).or_default();
            if !known.iter().any(|known| known.eq_ignore_ascii_case(sub)) {
                known.push(sub.to_vec());
            }
        } else {
            self.set_command(table::by_full_name(name).ok_or(RuleError::Unknown)?, true);
        }
        self.note(true, &String::from_utf8_lossy(name));
        Ok(())
    }

    /// A command with all its subcommands.
    fn set_command(&mut self, spec: &'static Spec, allow: bool) {
        self.first_args.remove(&table::number(spec));
        for spec in std::iter::once(spec).chain(spec.subs) {
            let number = table::number(spec);
            let bit = 1 << (number % 64);
            match allow {
                true => self.allowed[number / 64] |= bit,
                false => self.allowed[number / 64] &= !bit,
            }
        }
        self.all_commands = self.allowed == [u64::MAX; COMMANDS_MAX / 64];
    }

    /// Adds to the rules, and takes out those that it makes void: the same name's, and those of its subcommands.
    fn note(&mut self, allow: bool, name: &str) {
        let name = name.to_ascii_lowercase();
        self.rules.retain(|rule| match rule.name.strip_prefix(&name) {
            Some(rest) => !rest.is_empty() && !rest.starts_with('|'),
            None => true,
        });
        self.rules.push(Rule { allow, name });
    }

    // ------------------------------------------------------------------ questions

    /// Whether the command may be run with this first argument.
    pub fn allows_command(&self, spec: &'static Spec, first_arg: Option<&[u8]>) -> bool {
        if self.all_commands {
            return true;
        }
        let number = table::number(spec);
        if self.allowed[number / 64] & (1 << (number % 64)) != 0 {
            return true;
        }
        let (Some(known), Some(first)) = (self.first_args.get(&number), first_arg) else { return false };
        known.iter().any(|known| known.eq_ignore_ascii_case(first))
    }

    /// Whether a key may be used so.
    pub fn allows_key(&self, key: &[u8], access: Access) -> bool {
        let fits = |known: &KeyPattern| known.access.has(access) && glob::matches(&known.pattern, key, false);
        self.all_keys || self.keys.iter().any(fits)
    }

    /// Whether every key may be used so.
    pub fn allows_every_key(&self, access: Access) -> bool {
        self.all_keys || self.keys.iter().any(|known| known.access.has(access) && known.pattern == b"*")
    }

    /// Whether a channel may be used; a pattern (PSUBSCRIBE) only if it is a pattern of this selector, letter by letter.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels || is_allowed(&self.channels, channel, is_pattern)
    }

    pub fn all_channels(&self) -> bool {
        self.all_channels
    }

    /// The patterns of its channels.
    pub fn channels(&self) -> &[Vec<u8>] {
        &self.channels
    }

    // ------------------------------------------------------------------ text

    /// Commands as rules: `-@all +get`.
    pub fn command_rules(&self) -> String {
        let mut text = String::from(if self.from_all { "+@all" } else { "-@all" });
        for rule in &self.rules {
            text.push_str(if rule.allow { " +" } else { " -" });
            text.push_str(&rule.name);
        }
        text
    }

    /// Keys as rules: `~a %R~b`.
    pub fn key_rules(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let rule = |known: &KeyPattern| {
            let head: &[u8] = match known.access {
                Access::READ => b"%R~",
                Access::WRITE => b"%W~",
                // Without the letters it would be the flag for all keys, behind which no pattern may come.
                _ if known.pattern == b"*" => b"%RW~",
                _ => b"~",
            };
            [head, &known.pattern].concat()
        };
        self.keys.iter().map(rule).collect::<Vec<_>>().join(&b' ')
    }

    /// Channels as rules: `&a &b`.
    pub fn channel_rules(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|pattern| [b"&", &pattern[..]].concat()).collect::<Vec<_>>().join(&b' ')
    }

    /// All of it, as rules that make it out of nothing.
    pub fn describe(&self) -> Vec<u8> {
        let channels: &[u8] = if self.all_channels { b"" } else { b"resetchannels" };
        let (keys, patterns, commands) = (self.key_rules(), self.channel_rules(), self.command_rules());
        let parts = [&keys[..], channels, &patterns, commands.as_bytes()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b' ')
    }
}

/// Whether a channel, or a pattern of channels, is one of those that the patterns allow.
pub fn is_allowed(patterns: &[Vec<u8>], channel: &[u8], is_pattern: bool) -> bool {
    patterns.iter().any(|pattern| match is_pattern {
        true => pattern == channel,
        false => glob::matches(pattern, channel, false),
    })
}

/// Names and patterns are written in files without quotes, so they have no blanks.
pub fn has_blanks(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}
