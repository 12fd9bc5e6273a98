//! A user: whether it may come in, its passwords, and what it may do.

use super::selector::{Selector, has_blanks};
use super::{RuleError, UserId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    name: Vec<u8>,
    on: bool,
    nopass: bool,
    /// RESTORE takes its payloads without looking deeply (both words are kept; payloads are looked at in any case).
    skip_sanitize: bool,
    /// SHA-256 of each.
    passwords: Vec<[u8; 32]>,
    /// The root, and those in parentheses.
    root: Selector,
    more: Vec<Selector>,
    /// What `reset` and new selectors start with: `acl-pubsub-default`.
    all_channels: bool,
}

impl User {
    /// One that may do nothing, by `acl-pubsub-default` but listen to all channels.
    pub fn new(name: &[u8], all_channels: bool) -> User {
        User {
            name: name.to_vec(),
            on: false,
            nopass: false,
            skip_sanitize: false,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            more: Vec::new(),
            all_channels,
        }
    }

    /// The user that every connection begins as.
    pub fn default_user() -> User {
        let mut user = User::new(b"default", true);
        (user.on, user.nopass) = (true, true);
        for rule in [&b"+@all"[..], b"~*"] {
            let done = user.root.set(rule);
            debug_assert!(done.is_ok());
        }
        user
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether any password will do.
    pub fn takes_any_password(&self) -> bool {
        self.nopass
    }

    /// The root and the others.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.more)
    }

    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The selectors in parentheses.
    pub fn more(&self) -> &[Selector] {
        &self.more
    }

    /// Whether nothing is forbidden.
    pub fn may_all(&self) -> bool {
        self.selectors().any(Selector::allows_all)
    }

    /// Whether it may come in with this password. Digests are compared, so neither the time nor the length of the
    /// comparison tells anything.
    pub fn lets_in(&self, password: &[u8]) -> bool {
        if !self.on || self.nopass {
            return self.on;
        }
        let digest = Sha256::digest(password);
        let mut hit = subtle::Choice::from(0);
        for known in &self.passwords {
            hit |= known[..].ct_eq(&digest[..]);
        }
        hit.into()
    }

    /// The same rules under another name.
    pub fn take_rules(&mut self, other: User) {
        *self = User { name: std::mem::take(&mut self.name), ..other };
    }

    /// For rules to come: `acl-pubsub-default` as it is now.
    pub fn begin_changes(&mut self, all_channels: bool) {
        self.all_channels = all_channels;
    }

    /// `requirepass`: the one password, or none needed.
    pub fn set_password(&mut self, password: &[u8]) {
        self.nopass = password.is_empty();
        self.passwords = if self.nopass { Vec::new() } else { vec![Sha256::digest(password).into()] };
    }

    /// Applies one rule of ACL SETUSER.
    pub fn set(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            [] => {}
            _ if is("on") => self.on = true,
            _ if is("off") => self.on = false,
            _ if is("skip-sanitize-payload") => self.skip_sanitize = true,
            _ if is("sanitize-payload") => self.skip_sanitize = false,
            _ if is("nopass") => {
                self.nopass = true;
                self.passwords.clear();
            }
            _ if is("resetpass") => {
                self.nopass = false;
                self.passwords.clear();
            }
            [b'>', password @ ..] => self.add_password(Sha256::digest(password).into()),
            [b'#', hash @ ..] => self.add_password(digest_of(hash)?),
            [b'<', password @ ..] => self.remove_password(Sha256::digest(password).into())?,
            [b'!', hash @ ..] => self.remove_password(digest_of(hash)?)?,
            [b'(', rules @ .., b')'] => {
                let mut selector = Selector::new(self.all_channels);
                let words = rules.split(|byte| has_blanks(&[*byte])).filter(|word| !word.is_empty());
                words.into_iter().try_for_each(|word| selector.set(word))?;
                self.more.push(selector);
            }
            _ if is("clearselectors") => self.more.clear(),
            _ if is("reset") => {
                let name = std::mem::take(&mut self.name);
                *self = User::new(&name, self.all_channels);
            }
            _ => self.root.set(rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, digest: [u8; 32]) {
        if !self.passwords.contains(&digest) {
            self.passwords.push(digest);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, digest: [u8; 32]) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| *known == digest).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    /// `on`, `nopass` and so on, in Redis' order.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.on { "on" } else { "off" }];
        flags.extend(self.nopass.then_some("nopass"));
        flags.push(if self.skip_sanitize { "skip-sanitize-payload" } else { "sanitize-payload" });
        flags
    }

    /// The digests of its passwords, in hexadecimal.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// All of it as rules that make it out of a new user; what ACL LIST shows and files hold.
    pub fn describe(&self) -> Vec<u8> {
        let mut text = self.flags().join(" ").into_bytes();
        for digest in self.passwords() {
            text.extend_from_slice(b" #");
            text.extend_from_slice(digest.as_bytes());
        }
        text.push(b' ');
        text.extend_from_slice(&self.root.describe());
        for selector in &self.more {
            text.extend_from_slice(b" (");
            text.extend_from_slice(&selector.describe());
            text.push(b')');
        }
        text
    }

    /// As a line of a file, without its end.
    pub fn line(&self) -> Vec<u8> {
        [b"user ", &self.name[..], b" ", &self.describe()].concat()
    }
}

/// The bytes of 64 small hexadecimal digits.
fn digest_of(hash: &[u8]) -> Result<[u8; 32], RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    if hash.len() != 64 {
        return Err(RuleError::BadHash);
    }
    for (byte, pair) in digest.iter_mut().zip(hash.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(RuleError::BadHash) };
        *byte = high << 4 | low;
    }
    Ok(digest)
}

/// The default user's place.
pub const DEFAULT: UserId = UserId(0);
