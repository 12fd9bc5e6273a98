//! What clients of a sentinel may ask: the gate, and all commands but SENTINEL and CLIENT.

use super::clients::{Client, ClientId, Muted};
use super::event::{Answered, Effect, Later};
use super::monitor::{Clock, Monitor};
use super::{reports, table};
use crate::base::{REDIS_VERSION, RunId};
use crate::resp::{Proto, Writer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

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
        self.wake(clock, out);
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
        let Some(mut row) = table::by_full_name(name.as_bytes()).filter(|row| row.parent.is_none()) else {
            w.error(&unknown_command(ask.words));
            return Next::Done;
        };
        if let (false, Some(sub)) = (row.subs.is_empty(), ask.words.get(1)) {
            row = match row.sub(sub) {
                Some(sub) => sub,
                None => {
                    w.error(&unknown_subcommand(&name, ask));
                    return Next::Done;
                }
            };
        }
        if !row.fits(ask.words.len()) {
            w.error(&format!("ERR wrong number of arguments for '{}' command", row.full_name()));
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
            "client" => self.client_command(ask, w, out),
            "command" => table::command(ask, w),
            "acl" => match &*ask.upper(1) {
                "WHOAMI" => w.bulk(b"default"),
                _ => w.bulks(&["default"]),
            },
            "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe" => self.subscribe_command(&name, ask, w),
            "publish" => {
                if ask.words[1] != super::links::HELLO_CHANNEL.as_bytes() {
                    w.error("ERR Only HELLO messages are accepted by Sentinel instances.");
                } else {
                    self.hello(ask.words[2], out);
                    w.int(1);
                }
            }
            "shutdown" => return shutdown_command(ask, w),
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
        w.bulk(REDIS_VERSION.as_bytes());
        w.bulk(b"proto");
        w.int(if w.proto == Proto::Resp3 { 3 } else { 2 });
        w.bulk(b"id");
        w.int(ask.client as i64);
        w.bulk(b"mode");
        w.bulk(b"sentinel");
        w.bulk(b"modules");
        w.array(0);
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

/// SHUTDOWN \[NOSAVE | SAVE\] \[NOW\] \[FORCE\] | ABORT: there is nothing to save, and nothing to wait for.
fn shutdown_command(ask: &Ask<'_>, w: &mut Writer<'_>) -> Next {
    let words: Vec<String> = (1..ask.words.len()).map(|at| ask.upper(at)).collect();
    let has = |word: &str| words.iter().any(|known| known == word);
    let known = words.iter().all(|word| matches!(&**word, "NOSAVE" | "SAVE" | "NOW" | "FORCE" | "ABORT"));
    match (known, has("ABORT")) {
        (true, false) if !(has("SAVE") && has("NOSAVE")) => return Next::Shutdown,
        (true, true) if words.len() == 1 => w.error("ERR No shutdown in progress."),
        _ => w.error("ERR syntax error"),
    }
    Next::Done
}

/// Redis' users are not known here yet: an ACL subcommand that would need them says so.
fn unknown_subcommand(name: &str, ask: &Ask<'_>) -> String {
    const ACL: &[&str] =
        &["CAT", "DELUSER", "DRYRUN", "GENPASS", "GETUSER", "HELP", "LIST", "LOAD", "LOG", "SAVE", "SETUSER"];
    let sub = ask.upper(1);
    if name == "acl" && ACL.contains(&&*sub) {
        return format!(
            "ERR ACL {sub} is not supported by this sentinel: it has one user, 'default', with requirepass as its password"
        );
    }
    let shown: String = ask.text(1).chars().take(128).collect();
    format!("ERR unknown subcommand '{shown}'. Try {} HELP.", name.to_uppercase())
}

pub(super) fn is_plain(text: &[u8]) -> bool {
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
