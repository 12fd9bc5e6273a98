//! What clients of a sentinel may ask, but for SENTINEL itself.

use super::clients::{Client, ClientId, Muted};
use super::event::{Answered, Effect, Later};
use super::monitor::{Clock, Monitor};
use super::reports;
use crate::base::RunId;
use crate::resp::{Proto, Writer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A command of a sentinel: name, arity as Redis counts it, flags, group.
pub struct Spec {
    pub name: &'static str,
    pub arity: i32,
    pub flags: &'static [&'static str],
}

const fn spec(name: &'static str, arity: i32, flags: &'static [&'static str]) -> Spec {
    Spec { name, arity, flags }
}

/// Every command, in the order of the alphabet.
pub const COMMANDS: &[Spec] = &[
    spec("auth", -2, &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"]),
    spec("client", -2, &[]),
    spec("command", -1, &["loading", "stale"]),
    spec("hello", -1, &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"]),
    spec("info", -1, &["loading", "stale"]),
    spec("ping", -1, &["fast"]),
    spec("psubscribe", -2, &["pubsub", "noscript", "loading", "stale"]),
    spec("publish", 3, &["pubsub", "loading", "stale", "fast"]),
    spec("punsubscribe", -1, &["pubsub", "noscript", "loading", "stale"]),
    spec("role", 1, &["noscript", "loading", "stale", "fast"]),
    spec("sentinel", -2, &["admin", "noscript", "loading", "stale", "no_auth"]),
    spec("shutdown", -1, &["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"]),
    spec("subscribe", -2, &["pubsub", "noscript", "loading", "stale"]),
    spec("unsubscribe", -1, &["pubsub", "noscript", "loading", "stale"]),
];

/// What a request leads to beside its reply.
#[derive(Debug, Default, PartialEq)]
pub enum Next {
    #[default]
    Done,
    /// The reply needs this first.
    Later(Later),
    /// The process ends.
    Shutdown,
}

/// One request: who asks, its words, and what came of an earlier [`Later`] for it.
pub struct Ask<'a> {
    pub client: ClientId,
    pub words: &'a [&'a [u8]],
    pub answered: Option<Answered>,
}

impl Ask<'_> {
    /// The word at `at`, in upper case.
    pub fn upper(&self, at: usize) -> String {
        self.words.get(at).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).unwrap_or_default()
    }

    /// The word at `at` as text; bytes that are none are replaced.
    pub fn text(&self, at: usize) -> String {
        self.words.get(at).map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default()
    }
}

impl Monitor {
    /// A client connected.
    pub fn connected(&mut self, clock: Clock, addr: String, laddr: String) -> ClientId {
        self.connections += 1;
        let authenticated = self.config.settings.requirepass.is_empty();
        let (since, last) = (clock.mono.0, clock.mono.0);
        self.clients.add(Client { addr, laddr, authenticated, since, last, ..Client::default() })
    }

    /// A client is gone.
    pub fn disconnected(&mut self, client: ClientId) {
        self.clients.all.remove(&client);
    }

    /// Executes a request; its reply is appended to `reply`.
    pub fn request(&mut self, clock: Clock, ask: &Ask<'_>, reply: &mut Vec<u8>, out: &mut Vec<Effect>) -> Next {
        self.clock = clock;
        let Some(client) = self.clients.all.get_mut(&ask.client) else { return Next::Done };
        client.last = clock.mono.0;
        let at = reply.len();
        client.last_command = String::from_utf8_lossy(ask.words.first().unwrap_or(&&b""[..])).to_ascii_lowercase();
        if client.muted == Muted::SkipNext {
            client.muted = Muted::Skip;
        }
        let proto = client.proto;
        let next = self.execute(ask, &mut Writer::new(reply, proto), out);
        if ask.answered.is_none() {
            self.commands += 1;
        }
        if let Some(client) = self.clients.all.get_mut(&ask.client) {
            match client.muted {
                Muted::Off => reply.truncate(at),
                Muted::Skip if !matches!(next, Next::Later(_)) => {
                    reply.truncate(at);
                    client.muted = Muted::On;
                }
                _ => {}
            }
        }
        self.settle(out);
        next
    }

    fn execute(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) -> Next {
        let name = ask.upper(0).to_ascii_lowercase();
        let Some(spec) = COMMANDS.iter().find(|spec| spec.name == name) else {
            w.error(&unknown_command(ask.words));
            return Next::Done;
        };
        let count = ask.words.len() as i32;
        if spec.arity > 0 && count != spec.arity || count < -spec.arity {
            w.error(&format!("ERR wrong number of arguments for '{name}' command"));
            return Next::Done;
        }
        let Some(client) = self.clients.all.get(&ask.client) else { return Next::Done };
        if !client.authenticated && !matches!(&*name, "auth" | "hello") {
            w.error("NOAUTH Authentication required.");
            return Next::Done;
        }
        let subscribed = client.subscriptions() > 0 && client.proto == Proto::Resp2;
        if subscribed && !matches!(&*name, "ping" | "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe") {
            w.error(&format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                 this context"
            ));
            return Next::Done;
        }
        match &*name {
            "ping" => self.ping_command(ask, subscribed, w),
            "auth" => self.auth_command(ask, w),
            "hello" => self.hello_command(ask, w),
            "info" => {
                let text = reports::info(self, &ask.words[1..]);
                w.verbatim("txt", &text);
            }
            "role" => {
                w.array(2);
                w.bulk(b"sentinel");
                w.bulks(&self.masters.keys().collect::<Vec<_>>());
            }
            "client" => self.client_command(ask, w),
            "command" => command_command(ask, w),
            "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe" => self.subscribe_command(&name, ask, w),
            "publish" => {
                if ask.words[1] != super::links::HELLO_CHANNEL.as_bytes() {
                    w.error("ERR Only HELLO messages are accepted by Sentinel instances.");
                } else {
                    self.hello(ask.words[2], out);
                    w.int(1);
                }
            }
            "shutdown" => return Next::Shutdown,
            "sentinel" => return self.sentinel_command(ask, w, out),
            _ => {}
        }
        Next::Done
    }

    fn ping_command(&mut self, ask: &Ask<'_>, subscribed: bool, w: &mut Writer<'_>) {
        let text = ask.words.get(1).copied();
        match text {
            _ if ask.words.len() > 2 => w.error("ERR wrong number of arguments for 'ping' command"),
            text if subscribed => {
                w.array(2);
                w.bulk(b"pong");
                w.bulk(text.unwrap_or_default());
            }
            Some(text) => w.bulk(text),
            None => w.simple("PONG"),
        }
    }

    /// Whether the pass is the right one, in constant time.
    fn passes(&self, user: &[u8], pass: &[u8]) -> bool {
        let wanted = self.config.settings.requirepass.as_bytes();
        let right: bool = Sha256::digest(wanted).ct_eq(&Sha256::digest(pass)).into();
        user == b"default" && (wanted.is_empty() || right)
    }

    fn auth_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let (user, pass) = match ask.words {
            [_, pass] if self.config.settings.requirepass.is_empty() => {
                let _ = pass;
                return w.error(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                     configuration is correct?",
                );
            }
            [_, pass] => (&b"default"[..], *pass),
            [_, user, pass] => (*user, *pass),
            _ => return w.error("ERR syntax error"),
        };
        if !self.passes(user, pass) {
            return w.error("WRONGPASS invalid username-password pair or user is disabled.");
        }
        if let Some(client) = self.clients.all.get_mut(&ask.client) {
            client.authenticated = true;
        }
        w.ok();
    }

    fn hello_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let mut proto = None;
        let mut name = None;
        let mut rest = &ask.words[1..];
        if let [version, more @ ..] = rest {
            proto = match *version {
                b"2" => Some(Proto::Resp2),
                b"3" => Some(Proto::Resp3),
                other if crate::base::number::parse_i64(other).is_none() => {
                    return w.error("ERR Protocol version is not an integer or out of range");
                }
                _ => return w.error("NOPROTO unsupported protocol version"),
            };
            rest = more;
        }
        while let [option, more @ ..] = rest {
            match (option.to_ascii_uppercase().as_slice(), more) {
                (b"AUTH", [user, pass, more @ ..]) => {
                    if !self.passes(user, pass) {
                        return w.error("WRONGPASS invalid username-password pair or user is disabled.");
                    }
                    if let Some(client) = self.clients.all.get_mut(&ask.client) {
                        client.authenticated = true;
                    }
                    rest = more;
                }
                (b"SETNAME", [value, more @ ..]) => {
                    if !is_plain(value) {
                        return w.error("ERR Client names cannot contain spaces, newlines or special characters.");
                    }
                    name = Some(String::from_utf8_lossy(value).into_owned());
                    rest = more;
                }
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return w.error(&format!("ERR Syntax error in HELLO option '{option}'"));
                }
            }
        }
        let Some(client) = self.clients.all.get_mut(&ask.client) else { return };
        if !client.authenticated {
            return w.error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
                 <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
            );
        }
        client.name = name.unwrap_or_else(|| client.name.clone());
        client.proto = proto.unwrap_or(client.proto);
        w.proto = client.proto;
        w.map(6);
        w.bulk(b"server");
        w.bulk(b"redis");
        w.bulk(b"version");
        w.bulk(reports::REDIS_VERSION.as_bytes());
        w.bulk(b"proto");
        w.int(if w.proto == Proto::Resp3 { 3 } else { 2 });
        w.bulk(b"id");
        w.int(ask.client as i64);
        w.bulk(b"mode");
        w.bulk(b"sentinel");
        w.bulk(b"modules");
        w.array(0);
    }

    fn client_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let now = self.clock.mono.0;
        let sub = ask.upper(1);
        match (&*sub, ask.words.len()) {
            ("ID", 2) => w.int(ask.client as i64),
            ("GETNAME", 2) => match self.clients.all.get(&ask.client).map(|client| &client.name) {
                Some(name) if !name.is_empty() => w.bulk(name.as_bytes()),
                _ => w.null(),
            },
            ("SETNAME", 3) => {
                if !is_plain(ask.words[2]) {
                    return w.error("ERR Client names cannot contain spaces, newlines or special characters.");
                }
                if let Some(client) = self.clients.all.get_mut(&ask.client) {
                    client.name = ask.text(2);
                }
                w.ok();
            }
            ("SETINFO", 4) => {
                let (attribute, value) = (ask.upper(2), ask.text(3));
                if !is_plain(ask.words[3]) {
                    let what = attribute.to_ascii_lowercase();
                    return w.error(&format!("ERR {what} cannot contain spaces, newlines or special characters."));
                }
                let Some(client) = self.clients.all.get_mut(&ask.client) else { return };
                match &*attribute {
                    "LIB-NAME" => client.lib_name = value,
                    "LIB-VER" => client.lib_ver = value,
                    _ => return w.error(&format!("ERR Unrecognized option '{}'", ask.text(2))),
                }
                w.ok();
            }
            ("INFO", 2) => {
                let client = self.clients.all.get(&ask.client);
                let text = client.map(|client| reports::client_line(ask.client, client, now)).unwrap_or_default();
                w.verbatim("txt", &text);
            }
            ("LIST", _) => {
                let text: String =
                    self.clients.all.iter().map(|(id, client)| reports::client_line(*id, client, now)).collect();
                w.verbatim("txt", &text);
            }
            ("REPLY", 3) => {
                let Some(client) = self.clients.all.get_mut(&ask.client) else { return };
                match &*ask.upper(2) {
                    "ON" => {
                        client.muted = Muted::On;
                        w.ok();
                    }
                    "OFF" => client.muted = Muted::Off,
                    "SKIP" if client.muted != Muted::Off => client.muted = Muted::SkipNext,
                    "SKIP" => {}
                    _ => w.error("ERR syntax error"),
                }
            }
            ("KILL", 3..) => self.kill_command(ask, w),
            ("NO-EVICT" | "UNPAUSE" | "PAUSE" | "TRACKING" | "CACHING", _) => w.ok(),
            ("UNBLOCK", _) => w.int(0),
            ("GETREDIR", 2) => w.int(-1),
            _ => w.error(&format!(
                "ERR unknown subcommand or wrong number of arguments for '{}'. Try CLIENT HELP.",
                ask.text(1)
            )),
        }
    }

    fn kill_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let old = ask.words.len() == 3;
        let mut skip_me = !old;
        let mut filters: Vec<(String, String)> = Vec::new();
        if old {
            filters.push(("ADDR".to_owned(), ask.text(2)));
        } else if ask.words.len() % 2 == 1 {
            return w.error("ERR syntax error");
        }
        for pair in ask.words[2..].chunks_exact(2).filter(|_| !old) {
            let (option, value) = (pair[0].to_ascii_uppercase(), String::from_utf8_lossy(pair[1]).into_owned());
            match option.as_slice() {
                b"SKIPME" if value.eq_ignore_ascii_case("no") => skip_me = false,
                b"SKIPME" if value.eq_ignore_ascii_case("yes") => skip_me = true,
                b"ADDR" | b"LADDR" | b"TYPE" | b"USER" | b"ID" => {
                    filters.push((String::from_utf8_lossy(&option).into_owned(), value));
                }
                _ => return w.error("ERR syntax error"),
            }
        }
        let matches = |id: ClientId, client: &Client| {
            filters.iter().all(|(option, value)| match &**option {
                "ADDR" => client.addr == *value,
                "LADDR" => client.laddr == *value,
                "ID" => id.to_string() == *value,
                "USER" => value == "default",
                "TYPE" => {
                    let kind = if client.subscriptions() > 0 { "pubsub" } else { "normal" };
                    value.eq_ignore_ascii_case(kind)
                }
                _ => false,
            })
        };
        let found: Vec<ClientId> = self
            .clients
            .all
            .iter()
            .filter(|(id, client)| matches(**id, client) && !(skip_me && **id == ask.client))
            .map(|(id, _)| *id)
            .collect();
        for id in &found {
            if let Some(client) = self.clients.all.get_mut(id) {
                client.closing = true;
            }
        }
        self.clients.killed.extend(&found);
        match (old, found.len()) {
            (true, 0) => w.error("ERR No such client"),
            (true, _) => w.ok(),
            (false, count) => w.int(count as i64),
        }
    }

    fn subscribe_command(&mut self, name: &str, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let Some(client) = self.clients.all.get_mut(&ask.client) else { return };
        let patterns = name.starts_with('p');
        let leaves = name.ends_with("unsubscribe");
        let set = if patterns { &client.patterns } else { &client.channels };
        let mut names: Vec<Option<Vec<u8>>> = ask.words[1..].iter().map(|word| Some(word.to_vec())).collect();
        if names.is_empty() {
            names = set.iter().cloned().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
        }
        for channel in names {
            let set = if patterns { &mut client.patterns } else { &mut client.channels };
            if let Some(channel) = &channel {
                if leaves {
                    set.remove(channel);
                } else {
                    set.insert(channel.clone());
                }
            }
            w.push(3);
            w.bulk(name.as_bytes());
            match &channel {
                Some(channel) => w.bulk(channel),
                None => w.null(),
            }
            w.int(client.subscriptions() as i64);
        }
    }

    /// SENTINEL MYID.
    pub(super) fn myid(&self) -> RunId {
        self.seen.me.runid
    }
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn unknown_command(words: &[&[u8]]) -> String {
    let name = String::from_utf8_lossy(words.first().unwrap_or(&&b""[..])).chars().take(128).collect::<String>();
    let mut text = format!("ERR unknown command '{name}', with args beginning with: ");
    for word in &words[1.min(words.len())..] {
        if text.len() > 300 {
            break;
        }
        let word: String = String::from_utf8_lossy(word).chars().take(128).collect();
        text.push_str(&format!("'{word}' "));
    }
    text
}

fn command_command(ask: &Ask<'_>, w: &mut Writer<'_>) {
    let write = |spec: &Spec, w: &mut Writer<'_>| {
        w.array(10);
        w.bulk(spec.name.as_bytes());
        w.int(i64::from(spec.arity));
        w.set(spec.flags.len());
        spec.flags.iter().for_each(|flag| w.simple(flag));
        (0..3).for_each(|_| w.int(0));
        w.set(0);
        w.array(0);
        w.array(0);
        w.array(0);
    };
    match (&*ask.upper(1), ask.words.len()) {
        ("", 1) => {
            w.array(COMMANDS.len());
            COMMANDS.iter().for_each(|spec| write(spec, w));
        }
        ("COUNT", 2) => w.int(COMMANDS.len() as i64),
        ("LIST", 2) => w.bulks(&COMMANDS.iter().map(|spec| spec.name).collect::<Vec<_>>()),
        ("INFO", 2) => {
            w.array(COMMANDS.len());
            COMMANDS.iter().for_each(|spec| write(spec, w));
        }
        ("INFO", _) => {
            w.array(ask.words.len() - 2);
            for word in &ask.words[2..] {
                match COMMANDS.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(word)) {
                    Some(spec) => write(spec, w),
                    None => w.null_array(),
                }
            }
        }
        ("DOCS", _) => w.map(0),
        _ => w.error(&format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try COMMAND HELP.",
            ask.text(1)
        )),
    }
}
