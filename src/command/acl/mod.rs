//! Users and what they may do (<https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>).
//!
//! A client is one of the users ([`UserId`]); whether that user may do everything is kept beside it
//! (`Client::may_all`), so a request of the default user costs one branch. Users live in the configuration or in a file of
//! their own (`aclfile`), never in the stream: each node has its own.
//!
//! ```text
//! redis.conf `user`, aclfile ─┐
//! ACL SETUSER ────────────────┴─> User::set ─> Selector::set ─> bits, patterns │ rules ─> ACL LIST, ACL SAVE, REWRITE
//! request ─gate─> Server::permit ─> User::check ─> any Selector allows command, keys and channels │ ACL LOG, INFO
//! ```
//!
//! Invariants:
//! 1. What is shown of a user makes the same user (`tests::what_is_shown_makes_the_same_user`).
//! 2. A change of rules is whole or is not (`tests/scripts/acl.txt`, the wrong rules; `tests/acl.rs`, the broken file).
//! 3. No client is a user that has gone: it is the default user then, not authenticated, and closed
//!    (`tests/scripts/acl.txt`, a user that goes).
//!
//! Files: `selector`, `user`, `check`, `log`, `file` (lines to users), `change` (what a change of users means to clients).
//!
//! Tests: `cargo test --lib command::acl`, `tests/scripts/acl.txt`, `tests/acl.rs`.

mod change;
mod check;
mod file;
mod log;
mod selector;
#[cfg(test)]
mod tests;
mod user;

pub use check::{Denied, Reason};
pub use log::{Context, Log};
pub use selector::{COMMANDS_MAX, Selector, has_blanks};
pub use user::{DEFAULT, User};

use slab::Slab;
use std::collections::BTreeMap;
use std::fmt;

/// A user's place in the table; the place of one that has gone may be another one's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(usize);

/// All users, and the log of what was denied.
pub struct Acl {
    users: Slab<User>,
    by_name: BTreeMap<Vec<u8>, UserId>,
    pub log: Log,
}

impl Acl {
    /// The default user alone, with `requirepass` as its password.
    pub fn new(requirepass: &str) -> Acl {
        let mut user = User::default_user();
        user.set_password(requirepass.as_bytes());
        let mut acl = Acl { users: Slab::new(), by_name: BTreeMap::new(), log: Log::default() };
        let id = acl.insert(user);
        debug_assert_eq!(id, DEFAULT);
        acl
    }

    fn insert(&mut self, user: User) -> UserId {
        let name = user.name().to_vec();
        let id = UserId(self.users.insert(user));
        self.by_name.insert(name, id);
        id
    }

    /// The user of a client.
    pub fn user(&self, id: UserId) -> &User {
        &self.users[id.0]
    }

    /// The user of this name.
    pub fn find(&self, name: &[u8]) -> Option<UserId> {
        self.by_name.get(name).copied()
    }

    /// All users by name.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &User> {
        self.by_name.values().map(|id| self.user(*id))
    }

    /// Whether who comes in is the default user without a word.
    pub fn is_open(&self) -> bool {
        let user = self.user(DEFAULT);
        user.is_on() && user.takes_any_password()
    }
}

/// What is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No such command or category.
    Unknown,
    Syntax,
    KeysAfterAll,
    ChannelsAfterAll,
    NoSuchPassword,
    BadHash,
    FirstArgOfSub,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::Syntax => "Syntax error",
            RuleError::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::FirstArgOfSub => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

/// Joins selectors that stand in several words: `(+get`, `~x)`.
///
/// # Errors
/// The word with the parenthesis that nothing closes.
pub fn joined<'w>(words: &[&'w [u8]]) -> Result<Vec<Vec<u8>>, &'w [u8]> {
    let mut joined: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for &word in words {
        open = match open {
            Some((first, mut text)) => {
                text.push(b' ');
                text.extend_from_slice(word);
                match word.last() {
                    Some(b')') => {
                        joined.push(text);
                        None
                    }
                    _ => Some((first, text)),
                }
            }
            None if word.first() == Some(&b'(') && word.last() != Some(&b')') => Some((word, word.to_vec())),
            None => {
                joined.push(word.to_vec());
                None
            }
        };
    }
    match open {
        Some((first, _)) => Err(first),
        None => Ok(joined),
    }
}
