//! CLIENT on a sentinel: what a connection is told of itself and of the others, and what it may do to them.

use super::clients::{Client, ClientId, Muted, Pause};
use super::commands::{Ask, is_plain};
use super::event::Effect;
use super::monitor::Monitor;
use super::reports;
use super::table::write_help;
use crate::base::{Millis, number};
use crate::resp::Writer;

const HELP: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "    * ID <client-id>",
    "      Kill connections by client id.",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "    * ID <client-id> [<client-id> ...]",
    "      Return clients of specified IDs only.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "HELP",
    "    Print this help.",
];

impl Monitor {
    pub(super) fn client_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) {
        let now = self.clock.mono.0;
        match &*ask.upper(1) {
            "ID" => w.int(ask.client as i64),
            "GETNAME" => match self.clients.all.get(&ask.client).map(|client| &client.name) {
                Some(name) if !name.is_empty() => w.bulk(name.as_bytes()),
                _ => w.null(),
            },
            "SETNAME" => {
                if !is_plain(ask.words[2]) {
                    return w.error("ERR Client names cannot contain spaces, newlines or special characters.");
                }
                if let Some(client) = self.clients.all.get_mut(&ask.client) {
                    client.name = ask.text(2);
                }
                w.ok();
            }
            "SETINFO" => self.setinfo_command(ask, w),
            "INFO" => {
                let client = self.clients.all.get(&ask.client);
                let text = client.map(|client| reports::client_line(ask.client, client, now)).unwrap_or_default();
                w.verbatim("txt", &text);
            }
            "LIST" => self.list_command(ask, w),
            "REPLY" => {
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
            "KILL" => self.kill_command(ask, w),
            "NO-EVICT" => {
                let Some(client) = self.clients.all.get_mut(&ask.client) else { return };
                client.no_evict = match &*ask.upper(2) {
                    "ON" => true,
                    "OFF" => false,
                    _ => return w.error("ERR syntax error"),
                };
                w.ok();
            }
            "PAUSE" => self.pause_command(ask, w, out),
            "UNPAUSE" => {
                self.clients.pause = None;
                out.push(Effect::PauseChanged);
                w.ok();
            }
            "UNBLOCK" => match (number::parse_i64(ask.words[2]), ask.words.len(), &*ask.upper(3)) {
                (_, 5.., _) => w.error(&wrong_form(ask)),
                (_, 4, reason) if !matches!(reason, "TIMEOUT" | "ERROR") => {
                    w.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
                }
                (None, ..) => w.error("ERR value is not an integer or out of range"),
                // Nothing blocks on a sentinel.
                (Some(_), ..) => w.int(0),
            },
            "GETREDIR" => w.int(-1),
            "TRACKINGINFO" => {
                w.map(3);
                w.bulk(b"flags");
                w.set(1);
                w.bulk(b"off");
                w.bulk(b"redirect");
                w.int(-1);
                w.bulk(b"prefixes");
                w.array(0);
            }
            _ => write_help(HELP, w),
        }
    }

    fn setinfo_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let (attribute, value) = (ask.upper(2), ask.text(3));
        if !matches!(&*attribute, "LIB-NAME" | "LIB-VER") {
            return w.error(&format!("ERR Unrecognized option '{}'", ask.text(2)));
        }
        if !is_plain(ask.words[3]) {
            let shown = ask.text(2);
            return w.error(&format!("ERR {shown} cannot contain spaces, newlines or special characters."));
        }
        let Some(client) = self.clients.all.get_mut(&ask.client) else { return };
        *(if attribute == "LIB-NAME" { &mut client.lib_name } else { &mut client.lib_ver }) = value;
        w.ok();
    }

    fn list_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let now = self.clock.mono.0;
        let mut kind = None;
        let mut ids: Option<Vec<i64>> = None;
        match (&*ask.upper(2), ask.words.len()) {
            ("", 2) => {}
            ("TYPE", 4) => match kind_of(&ask.text(3)) {
                Ok(wanted) => kind = Some(wanted),
                Err(why) => return w.error(&why),
            },
            ("ID", 4..) => {
                let parsed: Option<Vec<i64>> = ask.words[3..].iter().map(|word| number::parse_i64(word)).collect();
                match parsed {
                    Some(parsed) => ids = Some(parsed),
                    None => return w.error("ERR Invalid client ID"),
                }
            }
            _ => return w.error("ERR syntax error"),
        }
        let shown = |(id, client): &(&ClientId, &Client)| {
            kind.is_none_or(|kind| kind == client.kind()) && ids.as_ref().is_none_or(|ids| ids.contains(&(**id as i64)))
        };
        let all = self.clients.all.iter().filter(shown);
        let text: String = all.map(|(id, client)| reports::client_line(*id, client, now)).collect();
        w.verbatim("txt", &text);
    }

    fn pause_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let all = match (ask.words.len(), &*ask.upper(3)) {
            (3, _) | (4, "ALL") => true,
            (4, "WRITE") => false,
            (4, _) => return w.error("ERR CLIENT PAUSE mode must be WRITE or ALL"),
            _ => return w.error(&wrong_form(ask)),
        };
        let until = match number::parse_i64(ask.words[2]) {
            None => return w.error("ERR timeout is not an integer or out of range"),
            Some(..0) => return w.error("ERR timeout is negative"),
            Some(ms) => now + Millis(ms),
        };
        let before = self.clients.pause.filter(|pause| pause.until > now);
        self.clients.pause = Some(Pause {
            until: before.map_or(until, |before| before.until.max(until)),
            all: all || before.is_some_and(|before| before.all),
        });
        out.push(Effect::PauseChanged);
        w.ok();
    }

    fn kill_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let old = ask.words.len() == 3;
        let mut skip_me = !old;
        let mut filters: Vec<(Vec<u8>, String)> = Vec::new();
        if old {
            filters.push((b"ADDR".to_vec(), ask.text(2)));
        } else if ask.words.len() % 2 == 1 {
            return w.error("ERR syntax error");
        }
        for pair in ask.words[2..].chunks_exact(2).filter(|_| !old) {
            let (option, value) = (pair[0].to_ascii_uppercase(), String::from_utf8_lossy(pair[1]).into_owned());
            match option.as_slice() {
                b"SKIPME" if value.eq_ignore_ascii_case("no") => skip_me = false,
                b"SKIPME" if value.eq_ignore_ascii_case("yes") => skip_me = true,
                b"ID" if number::parse_i64(pair[1]).is_none_or(|id| id < 1) => {
                    return w.error("ERR client-id should be greater than 0");
                }
                b"TYPE" => match kind_of(&value) {
                    Ok(kind) => filters.push((option, kind.to_owned())),
                    Err(why) => return w.error(&why),
                },
                b"USER" if value != "default" => return w.error(&format!("ERR No such user '{value}'")),
                b"ADDR" | b"LADDR" | b"USER" | b"ID" => filters.push((option, value)),
                _ => return w.error("ERR syntax error"),
            }
        }
        let matches = |id: ClientId, client: &Client| {
            filters.iter().all(|(option, value)| match &**option {
                b"ADDR" => client.addr == *value,
                b"LADDR" => client.laddr == *value,
                b"ID" => id.to_string() == *value,
                b"TYPE" => client.kind() == value,
                _ => true,
            })
        };
        let all = self.clients.all.iter();
        let found = all.filter(|(id, client)| matches(**id, client) && !(skip_me && **id == ask.client));
        let found: Vec<ClientId> = found.map(|(id, _)| *id).collect();
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
}

/// The kind of client that TYPE names; a sentinel has no replicas and no master as clients.
fn kind_of(word: &str) -> Result<&'static str, String> {
    let kinds = [
        ("normal", "normal"),
        ("master", "master"),
        ("replica", "replica"),
        ("slave", "replica"),
        ("pubsub", "pubsub"),
    ];
    let known = kinds.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, kind)| *kind).ok_or_else(|| format!("ERR Unknown client type '{word}'"))
}

/// The form does not fit although the least number of words is there.
fn wrong_form(ask: &Ask<'_>) -> String {
    format!("ERR unknown subcommand or wrong number of arguments for '{}'. Try CLIENT HELP.", ask.text(1))
}
