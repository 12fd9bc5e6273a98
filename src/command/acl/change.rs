//! Changes of users, and what they mean to the clients that are connected: who loses the right to a channel that it
//! listens to is closed, and so is who was a user that has gone.

use super::file::by_default;
use super::selector::{Selector, is_allowed};
use super::user::{DEFAULT, User};
use super::{Acl, UserId, joined};
use crate::command::client::{Client, Closing, Kind, Slot};
use crate::command::{Context, Reason, Server};
use std::collections::BTreeMap;

impl Server {
    /// Whether clients must authenticate.
    pub fn needs_password(&self) -> bool {
        !self.acl.is_open()
    }

    /// A client is as it was when it came: the default user, authenticated only if that takes no password.
    pub fn become_default(&mut self, slot: Slot) {
        let open = self.acl.is_open();
        self.become_user(slot, DEFAULT, open);
    }

    fn become_user(&mut self, slot: Slot, id: UserId, authenticated: bool) {
        let client = &mut self.clients[slot];
        (client.user, client.authenticated) = (id, authenticated);
        client.may_all = client.kind == Kind::Stream || self.acl.user(id).may_all();
    }

    /// AUTH: whether the client is that user now. `word` is the command that it came with.
    pub fn authenticate(&mut self, slot: Slot, name: &[u8], password: &[u8], word: &[u8]) -> bool {
        match self.acl.find(name).filter(|id| self.acl.user(*id).lets_in(password)) {
            Some(id) => self.become_user(slot, id, true),
            None => {
                let context = if self.clients[slot].multi.is_some() { Context::Multi } else { Context::Toplevel };
                self.note_denied(slot, Reason::Auth, context, word.to_vec(), name.to_vec());
                return false;
            }
        }
        true
    }

    /// ACL SETUSER, asked for by the client `me`: all rules, or none.
    ///
    /// # Errors
    /// What is wrong with which rule.
    pub fn set_user(&mut self, name: &[u8], rules: &[&[u8]], me: Slot) -> Result<(), String> {
        let rules = joined(rules).map_err(|word| {
            let word = String::from_utf8_lossy(word);
            format!("Unmatched parenthesis in acl selector starting at '{word}'.")
        })?;
        let all_channels = by_default(&self.config);
        let id = self.acl.find(name);
        let mut user = id.map_or_else(|| User::new(name, all_channels), |id| self.acl.user(id).clone());
        user.begin_changes(all_channels);
        for rule in &rules {
            user.set(rule).map_err(|error| {
                format!("Error in ACL SETUSER modifier '{}': {error}", String::from_utf8_lossy(rule))
            })?;
        }
        if let Some(id) = id {
            let before = std::mem::replace(&mut self.acl.users[id.0], user);
            let lost = Revoked::between(&before, self.acl.user(id));
            self.close_where(me, |client| client.user == id && lost.as_ref().is_some_and(|lost| lost.hits(client)));
        } else {
            self.acl.insert(user);
        }
        self.refresh_rights();
        Ok(())
    }

    /// `requirepass` has another value.
    pub fn set_default_password(&mut self) {
        let password = self.config.settings.requirepass.as_bytes();
        self.acl.users[DEFAULT.0].set_password(password);
    }

    /// ACL DELUSER: whether there was such a user. Never the default one.
    pub fn delete_user(&mut self, name: &[u8], me: Slot) -> bool {
        let Some(id) = self.acl.find(name).filter(|id| *id != DEFAULT) else { return false };
        self.close_where(me, |client| client.user == id);
        self.acl.remove(id);
        true
    }

    /// ACL LOAD: these users, and a default user if none of them is, in the place of all that are. Clients stay who they
    /// are where their user does.
    pub fn replace_users(&mut self, users: Vec<User>, me: Slot) {
        let mut new: BTreeMap<Vec<u8>, User> = users.into_iter().map(|user| (user.name().to_vec(), user)).collect();
        new.entry(b"default".to_vec()).or_insert_with(User::default_user);
        let gone: Vec<Vec<u8>> = self.acl.by_name.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
        for name in gone {
            self.delete_user(&name, me);
        }
        for (name, user) in new {
            let Some(id) = self.acl.find(&name) else {
                self.acl.insert(user);
                continue;
            };
            let before = std::mem::replace(&mut self.acl.users[id.0], user);
            let lost = Revoked::between(&before, self.acl.user(id));
            self.close_where(me, |client| client.user == id && lost.as_ref().is_some_and(|lost| lost.hits(client)));
        }
        self.refresh_rights();
    }

    /// Closes clients, the asker itself behind its reply; they are nobody from now on.
    fn close_where(&mut self, me: Slot, hit: impl Fn(&Client) -> bool) {
        let hit: Vec<Slot> = self.clients.iter().filter(|(_, client)| hit(client)).map(|(slot, _)| slot).collect();
        for slot in hit {
            self.become_user(slot, DEFAULT, false);
            self.forget_subscriptions(slot);
            // What it waits for is another's now.
            if let Some(blocked) = self.clients[slot].blocked.take() {
                self.leave_queues(slot, &blocked);
            }
            self.close(slot, if slot == me { Closing::AfterReplies } else { Closing::Now });
        }
    }

    /// What is kept beside the clients follows the rules.
    fn refresh_rights(&mut self) {
        for (_, client) in &mut self.clients {
            client.may_all = client.kind == Kind::Stream || self.acl.user(client.user).may_all();
        }
    }
}

impl Acl {
    fn remove(&mut self, id: UserId) {
        let user = self.users.remove(id.0);
        self.by_name.remove(user.name());
    }
}

/// The channels that are left to a user who lost some.
struct Revoked {
    left: Vec<Vec<u8>>,
}

impl Revoked {
    /// `None` where nothing was lost.
    fn between(before: &User, after: &User) -> Option<Revoked> {
        if after.selectors().any(Selector::all_channels) {
            return None;
        }
        let left: Vec<Vec<u8>> = after.selectors().flat_map(Selector::channels).cloned().collect();
        let kept = |selector: &Selector| {
            !selector.all_channels() && selector.channels().iter().all(|channel| left.contains(channel))
        };
        (!before.selectors().all(kept)).then_some(Revoked { left })
    }

    /// Whether a client listens to something that is not left.
    fn hits(&self, client: &Client) -> bool {
        let lost = |channel: &Vec<u8>, is_pattern| !is_allowed(&self.left, channel, is_pattern);
        client.patterns.iter().any(|pattern| lost(pattern, true))
            || client.channels.iter().chain(&client.shards).any(|channel| lost(channel, false))
    }
}
