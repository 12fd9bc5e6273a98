//! What a request needs, held against what its user may do; and what is said where that is not enough.

use super::log::{Context, Entry};
use super::selector::Selector;
use super::user::User;
use crate::command::args::Args;
use crate::command::client::Slot;
use crate::command::client_line::client_line;
use crate::command::keys_in::{Found, keys_in};
use crate::command::spec::{Access, NO_AUTH, Spec};
use crate::command::{Refusal, Server};

/// What is missing; in the order in which one outweighs another, should selectors differ about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Command,
    Key,
    Auth,
    Channel,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Auth => "auth",
            Reason::Channel => "channel",
        }
    }
}

/// Why a request may not be executed, and the word of it that is to blame (0 for the command).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    pub reason: Reason,
    pub at: usize,
}

impl Denied {
    /// As a script or, with `NOPERM` in front, a client is told.
    pub fn text(self, user: &User, spec: &Spec) -> String {
        match self.reason {
            Reason::Key => "No permissions to access a key".into(),
            Reason::Channel => "No permissions to access a channel".into(),
            Reason::Command | Reason::Auth => self.text_in_full(user, spec, b""),
        }
    }

    /// As ACL DRYRUN tells; `word` is the one to blame.
    pub fn text_in_full(self, user: &User, spec: &Spec, word: &[u8]) -> String {
        let (user, word) = (String::from_utf8_lossy(user.name()), String::from_utf8_lossy(word));
        match self.reason {
            Reason::Key => format!("User {user} has no permissions to access the '{word}' key"),
            Reason::Channel => format!("User {user} has no permissions to access the '{word}' channel"),
            Reason::Command | Reason::Auth => {
                format!("User {user} has no permissions to run the '{}' command", spec.full_name())
            }
        }
    }

    /// As EXEC tells where the rules have changed since the command was queued.
    pub fn changed_text(self) -> String {
        let reason = match self.reason {
            Reason::Command | Reason::Auth => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments to the command",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
             is no longer allowed for the following reason: {reason}"
        )
    }
}

impl User {
    /// Whether it may make this request. All selectors are asked; of what they miss, the weightiest is told.
    pub fn check(&self, spec: &'static Spec, args: &Args<'_>) -> Result<(), Denied> {
        let keys = keys_in(spec, args.len(), &|index| args.at(index));
        let mut worst = Denied { reason: Reason::Command, at: 0 };
        for selector in self.selectors() {
            match selector.check(spec, args, &keys) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether one selector allows the request and this use of every key there is.
    pub fn may_with_every_key(&self, spec: &'static Spec, args: &Args<'_>, access: Access) -> bool {
        let keys = keys_in(spec, args.len(), &|index| args.at(index));
        let allows = |s: &Selector| s.allows_every_key(access) && s.check(spec, args, &keys).is_ok();
        self.selectors().any(allows)
    }
}

impl Selector {
    fn check(&self, spec: &'static Spec, args: &Args<'_>, keys: &[Found]) -> Result<(), Denied> {
        let first_arg = (args.len() > 1).then(|| args.at(1));
        if !spec.flags.has(NO_AUTH) && !self.allows_command(spec, first_arg) {
            return Err(Denied { reason: Reason::Command, at: 0 });
        }
        if let Some(key) = keys.iter().find(|key| !self.allows_key(args.at(key.index), key.access())) {
            return Err(Denied { reason: Reason::Key, at: key.index });
        }
        let (channels, is_pattern) = channels(spec, args.len());
        for at in channels {
            if !self.allows_channel(args.at(at), is_pattern) {
                return Err(Denied { reason: Reason::Channel, at });
            }
        }
        Ok(())
    }
}

/// The words of a request that are channels to be used, and whether they are patterns. To stop listening is always allowed.
fn channels(spec: &Spec, words: usize) -> (std::ops::Range<usize>, bool) {
    match (spec.parent, spec.name) {
        (None, "publish" | "spublish") => (1..2, false),
        (None, "subscribe" | "ssubscribe") => (1..words, false),
        (None, "psubscribe") => (1..words, true),
        _ => (0..0, false),
    }
}

impl Server {
    /// Whether a client may have this request executed. What is denied is counted and noted in ACL LOG.
    ///
    /// # Errors
    /// What is missing; its text is that of a script's error without its head, and a client is told it behind `NOPERM`.
    #[inline]
    pub fn permit(&mut self, slot: Slot, spec: &'static Spec, args: &Args<'_>, context: Context) -> Result<(), Denied> {
        if self.clients[slot].may_all { Ok(()) } else { self.permit_restricted(slot, spec, args, context) }
    }

    #[cold]
    fn permit_restricted(
        &mut self,
        slot: Slot,
        spec: &'static Spec,
        args: &Args<'_>,
        context: Context,
    ) -> Result<(), Denied> {
        let user = self.acl.user(self.clients[slot].user);
        let Err(denied) = user.check(spec, args) else { return Ok(()) };
        let object = match denied.reason {
            Reason::Command => spec.full_name().into_bytes(),
            _ => args.at(denied.at).to_vec(),
        };
        let username = user.name().to_vec();
        self.note_denied(slot, denied.reason, context, object, username);
        Err(denied)
    }

    /// The refusal of a client.
    pub fn refusal(&self, slot: Slot, spec: &Spec, denied: Denied) -> Refusal {
        let text = denied.text(self.acl.user(self.clients[slot].user), spec);
        Refusal::Text(format!("NOPERM {text}").into())
    }

    /// Counts what was denied, and notes it in ACL LOG.
    pub fn note_denied(&mut self, slot: Slot, reason: Reason, context: Context, object: Vec<u8>, username: Vec<u8>) {
        let stats = &mut self.stats;
        match reason {
            Reason::Auth => stats.auth_denied += 1,
            Reason::Command => stats.commands_denied += 1,
            Reason::Key => stats.keys_denied += 1,
            Reason::Channel => stats.channels_denied += 1,
        }
        let (client, now) = (client_line(self, slot), self.wall);
        let entry = Entry { id: 0, count: 1, reason, context, object, username, client, created: now, updated: now };
        let max = self.config.settings.acllog_max_len.max(0) as usize;
        self.acl.log.add(entry, max);
    }
}
