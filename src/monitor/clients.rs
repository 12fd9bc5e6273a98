//! The clients of a sentinel, and who of them subscribed to which events.

use crate::base::{Millis, glob};
use crate::resp::{Proto, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// A client; never reused.
pub type ClientId = u64;

/// One connection of a client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub addr: String,
    pub laddr: String,
    pub name: String,
    pub lib_name: String,
    pub lib_ver: String,
    pub proto: Proto,
    pub authenticated: bool,
    /// Monotonic milliseconds.
    pub since: i64,
    pub last: i64,
    pub last_command: String,
    pub channels: BTreeSet<Vec<u8>>,
    pub patterns: BTreeSet<Vec<u8>>,
    /// CLIENT REPLY OFF, or SKIP for the next one.
    pub muted: Muted,
    /// CLIENT NO-EVICT
    pub no_evict: bool,
    /// It is to be closed once its output is written.
    pub closing: bool,
}

/// CLIENT PAUSE: until when (monotonic), and whether for all commands or for those alone that a node would replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub until: Millis,
    pub all: bool,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Muted {
    #[default]
    On,
    Off,
    SkipNext,
    Skip,
}

impl Client {
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// As TYPE of CLIENT LIST and KILL names it.
    pub fn kind(&self) -> &'static str {
        if self.subscriptions() > 0 { "pubsub" } else { "normal" }
    }
}

/// All clients.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    pub all: BTreeMap<ClientId, Client>,
    next: ClientId,
    /// Clients that CLIENT KILL named; the runtime takes them.
    pub killed: Vec<ClientId>,
    pub pause: Option<Pause>,
}

impl Clients {
    /// Until when this command is to wait, if a pause holds it up at `now`. Of a sentinel's commands PUBLISH alone is of
    /// the kind that WRITE holds.
    pub fn paused_until(&self, now: Millis, words: &[&[u8]]) -> Option<Millis> {
        let publishes = || words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"publish"));
        let pause = self.pause.filter(|pause| pause.until > now && (pause.all || publishes()))?;
        Some(pause.until)
    }

    pub fn add(&mut self, client: Client) -> ClientId {
        self.next += 1;
        self.all.insert(self.next, client);
        self.next
    }

    /// The messages for everybody who hears `channel`.
    pub fn publish(&self, channel: &str, payload: &str, out: &mut Vec<(ClientId, Vec<u8>)>) {
        for (id, client) in &self.all {
            if client.channels.contains(channel.as_bytes()) {
                out.push((*id, message(client.proto, &[b"message", channel.as_bytes(), payload.as_bytes()])));
            }
            for pattern in client.patterns.iter().filter(|p| glob::matches(p, channel.as_bytes(), false)) {
                let parts = [&b"pmessage"[..], pattern, channel.as_bytes(), payload.as_bytes()];
                out.push((*id, message(client.proto, &parts)));
            }
        }
    }
}

fn message(proto: Proto, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, proto);
    writer.push(parts.len());
    parts.iter().for_each(|part| writer.bulk(part));
    bytes
}
