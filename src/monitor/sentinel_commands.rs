//! SENTINEL and its subcommands.
//!
//! What only looks answers at once; the address of a master is confirmed by the group first; what changes agreed things
//! is proposed.

use super::commands::{Ask, Next};
use super::event::{Answered, Effect, Later, Level};
use super::monitor::Monitor;
use super::reports::write_fields;
use crate::base::{Millis, glob, number};
use crate::config::MasterConfig;
use crate::failover::{self, Addr, Applied, Entry, Setting};
use crate::resp::Writer;
use std::net::IpAddr;

const NO_MASTER: &str = "ERR No such master with that name";

/// How long after SENTINEL FAILOVER another one is answered with `-INPROG`.
const FORCED_PAUSE_MS: Millis = Millis(1_000);

/// A subcommand: name, other name, words with SENTINEL itself (negative: at least).
const SUBCOMMANDS: &[(&str, i32)] = &[
    ("CKQUORUM", 3),
    ("CONFIG", -3),
    ("DEBUG", -2),
    ("FAILOVER", 3),
    ("FLUSHCONFIG", 2),
    ("GET-MASTER-ADDR-BY-NAME", 3),
    ("GET-PRIMARY-ADDR-BY-NAME", 3),
    ("HELP", 2),
    ("INFO-CACHE", -3),
    ("IS-MASTER-DOWN-BY-ADDR", 6),
    ("IS-PRIMARY-DOWN-BY-ADDR", 6),
    ("MASTER", 3),
    ("MASTERS", 2),
    ("MONITOR", 6),
    ("MYID", 2),
    ("PENDING-SCRIPTS", 2),
    ("PRIMARIES", 2),
    ("PRIMARY", 3),
    ("REMOVE", 3),
    ("REPLICAS", 3),
    ("RESET", 3),
    ("SENTINELS", 3),
    ("SET", -5),
    ("SLAVES", 3),
];

const HELP: &[&str] = &[
    "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CKQUORUM <master-name>",
    "    Check if the current Sentinel configuration is able to reach the quorum",
    "    needed to failover a master and the majority needed to authorize the",
    "    failover.",
    "FAILOVER <master-name>",
    "    Manually failover a master node without asking for agreement from other",
    "    Sentinels",
    "FLUSHCONFIG",
    "    Force Sentinel to rewrite its configuration on disk, including the current",
    "    Sentinel state.",
    "GET-MASTER-ADDR-BY-NAME <master-name>",
    "    Return the ip and port number of the master with that name.",
    "INFO-CACHE <master-name>",
    "    Return last cached INFO output from masters and all its replicas.",
    "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
    "    Check if the master specified by ip:port is down from current Sentinel's",
    "    point of view.",
    "MASTER <master-name>",
    "    Show the state and info of the specified master.",
    "MASTERS",
    "    Show a list of monitored masters and their state.",
    "MONITOR <name> <ip> <port> <quorum>",
    "    Start monitoring a new master with the specified name, ip, port and quorum.",
    "MYID",
    "    Return the ID of the Sentinel instance.",
    "PENDING-SCRIPTS",
    "    Get pending scripts information.",
    "REMOVE <master-name>",
    "    Remove master from Sentinel's monitor list.",
    "REPLICAS <master-name>",
    "    Show a list of replicas for this master and their state.",
    "RESET <pattern>",
    "    Reset masters for specific master name matching this pattern.",
    "SENTINELS <master-name>",
    "    Show a list of Sentinel instances for this master and their state.",
    "SET <master-name> <option> <value> [<option> <value> ...]",
    "    Set configuration parameters for certain masters.",
    "HELP",
    "    Print this help.",
];

impl Monitor {
    pub(super) fn sentinel_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) -> Next {
        let sub = ask.upper(1);
        let Some((_, arity)) = SUBCOMMANDS.iter().find(|(name, _)| *name == sub) else {
            let shown: String = ask.text(1).chars().take(128).collect();
            w.error(&format!("ERR unknown subcommand '{shown}'. Try SENTINEL HELP."));
            return Next::Done;
        };
        let count = ask.words.len() as i32;
        if *arity > 0 && count != *arity || count < -*arity {
            w.error(&format!("ERR wrong number of arguments for 'sentinel|{}' command", sub.to_ascii_lowercase()));
            return Next::Done;
        }
        match &*sub {
            "MASTERS" | "PRIMARIES" | "MASTER" | "PRIMARY" => return self.masters_command(ask, w),
            "GET-MASTER-ADDR-BY-NAME" | "GET-PRIMARY-ADDR-BY-NAME" => return self.address_command(ask, w),
            "REPLICAS" | "SLAVES" => {
                let Some(watched) = self.masters.get(&ask.text(2)) else {
                    w.error(NO_MASTER);
                    return Next::Done;
                };
                let shown: Vec<_> = watched.replicas().filter(|node| node.is_replica_shown()).collect();
                w.array(shown.len());
                shown.iter().for_each(|node| write_fields(&self.replica_fields(watched, node), w));
            }
            "SENTINELS" => {
                let Some(watched) = self.masters.get(&ask.text(2)) else {
                    w.error(NO_MASTER);
                    return Next::Done;
                };
                let peers: Vec<_> = watched.sentinels.iter().filter_map(|runid| self.peers.get(runid)).collect();
                w.array(peers.len());
                peers.iter().for_each(|peer| write_fields(&self.sentinel_fields(watched, peer), w));
            }
            "MYID" => w.bulk(&self.myid().hex()),
            "MONITOR" => return self.monitor_command(ask, w, out),
            "REMOVE" => return self.remove_command(ask, w, out),
            "SET" => return self.set_command(ask, w, out),
            "FAILOVER" => self.failover_command(ask, w, out),
            "CKQUORUM" => self.ckquorum_command(ask, w),
            "FLUSHCONFIG" => match &ask.answered {
                None => {
                    self.sync_config();
                    return Next::Later(Later::Flush);
                }
                Some(Answered::Flushed(Err(_))) => w.error("ERR Failed to save config file. Check server logs."),
                Some(_) => w.ok(),
            },
            "RESET" => self.reset_command(ask, w, out),
            "IS-MASTER-DOWN-BY-ADDR" | "IS-PRIMARY-DOWN-BY-ADDR" => self.is_down_command(ask, w),
            "INFO-CACHE" => self.info_cache_command(ask, w),
            "PENDING-SCRIPTS" => w.array(0),
            "CONFIG" => self.config_command(ask, w),
            "DEBUG" => w.error("ERR Invalid argument or unsupported parameter for SENTINEL DEBUG"),
            _ => {
                w.array(HELP.len());
                HELP.iter().for_each(|line| w.simple(line));
            }
        }
        Next::Done
    }

    /// Whether the reply may be given: it waits for the group once, unless lookups are local.
    fn confirmed(&self, ask: &Ask<'_>) -> Result<bool, Next> {
        match &ask.answered {
            _ if self.lookup_is_local() => Ok(true),
            None => Err(Next::Later(Later::Confirm)),
            Some(Answered::Confirmed) => Ok(true),
            Some(_) => Ok(false),
        }
    }

    fn masters_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) -> Next {
        let name = (ask.words.len() == 3).then(|| ask.text(2));
        if name.as_ref().is_some_and(|name| !self.masters.contains_key(name)) {
            w.error(NO_MASTER);
            return Next::Done;
        }
        let confirmed = match self.confirmed(ask) {
            Ok(confirmed) => confirmed,
            Err(later) => return later,
        };
        match name.and_then(|name| self.masters.get(&name)) {
            Some(watched) => write_fields(&self.master_fields(watched, !confirmed), w),
            None => {
                w.array(self.masters.len());
                self.masters.values().for_each(|watched| write_fields(&self.master_fields(watched, !confirmed), w));
            }
        }
        Next::Done
    }

    fn address_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) -> Next {
        if !self.masters.contains_key(&ask.text(2)) {
            w.null_array();
            return Next::Done;
        }
        match self.confirmed(ask) {
            Err(later) => return later,
            Ok(false) => {
                let why = match &ask.answered {
                    Some(Answered::NoQuorum(why)) => why.clone(),
                    _ => "the group cannot be asked".to_owned(),
                };
                w.error(&format!(
                    "NOQUORUM the master's address is not confirmed by a majority of the sentinels: {why}"
                ));
            }
            Ok(true) => match self.masters.get(&ask.text(2)) {
                Some(watched) => {
                    w.array(2);
                    w.bulk(watched.addr.host.as_bytes());
                    w.bulk(watched.addr.port.to_string().as_bytes());
                }
                None => w.null_array(),
            },
        }
        Next::Done
    }

    fn monitor_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) -> Next {
        let (name, host) = (ask.text(2), ask.text(3));
        let Some(quorum) = number::parse_i64(ask.words[5]) else {
            w.error("ERR Invalid quorum");
            return Next::Done;
        };
        let Some(port) = number::parse_i64(ask.words[4]) else {
            w.error("ERR Invalid port");
            return Next::Done;
        };
        if quorum < 1 || quorum > i64::from(i32::MAX) {
            w.error("ERR Quorum must be 1 or greater.");
            return Next::Done;
        }
        if host.parse::<IpAddr>().is_err() && !self.config.sentinel.resolve_hostnames {
            w.error("ERR Invalid IP address or hostname specified");
            return Next::Done;
        }
        let addr = Addr::new(host.clone(), u16::try_from(port).unwrap_or(0));
        if !addr.is_sound() {
            w.error("ERR Invalid port number.");
            return Next::Done;
        }
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            w.error("ERR Invalid IP address or hostname specified");
            return Next::Done;
        }
        if self.masters.contains_key(&name) && !matches!(ask.answered, Some(Answered::Flushed(_))) {
            w.error("ERR Duplicate master name.");
            return Next::Done;
        }
        let mut config = MasterConfig::new(&name, &host, addr.port, quorum as u32);
        let agreed = self.group().is_some() && self.caught_up;
        match &ask.answered {
            None if agreed => {
                let settings = failover::Settings::with_quorum(quorum as u32);
                let by = self.seen.me.member;
                let entry = Entry::Monitor { name, addr, settings, by, at: self.clock.wall };
                return Next::Later(Later::Propose(entry));
            }
            Some(Answered::Proposed(Ok(Applied::Conflict { addr }))) => {
                w.error(&format!(
                    "ERR Duplicate master name. The group of sentinels monitors '{name}' at {} {}.",
                    addr.host, addr.port
                ));
            }
            Some(Answered::Proposed(Ok(Applied::Stale(why)))) => {
                w.error(&format!("ERR The group of sentinels refuses it: {why}."));
            }
            None | Some(Answered::Proposed(_)) => {
                if let Some(master) = self.registry.masters.get(&name) {
                    config.config_epoch = master.epoch;
                }
                self.watch(config, out);
                self.take_registry(out);
                self.look_now = true;
                return Next::Later(Later::Flush);
            }
            Some(Answered::Flushed(Err(_))) => w.error("ERR Failed to save config file. Check server logs."),
            Some(_) => w.ok(),
        }
        Next::Done
    }

    fn remove_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) -> Next {
        let name = ask.text(2);
        match &ask.answered {
            None => {
                if !self.masters.contains_key(&name) {
                    w.error(NO_MASTER);
                    return Next::Done;
                }
                self.unwatch(&name, out);
                if self.group().is_some() {
                    let by = self.seen.me.member;
                    return Next::Later(Later::Propose(Entry::Unmonitor { name, by, at: self.clock.wall }));
                }
                Next::Later(Later::Flush)
            }
            Some(Answered::Proposed(_)) => Next::Later(Later::Flush),
            Some(Answered::Flushed(Err(_))) => {
                w.error("ERR Failed to save config file. Check server logs.");
                Next::Done
            }
            Some(_) => {
                w.ok();
                Next::Done
            }
        }
    }

    fn set_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) -> Next {
        let name = ask.text(2);
        match &ask.answered {
            Some(Answered::Flushed(Err(_))) => {
                w.error("ERR Failed to save config file. Check server logs.");
                return Next::Done;
            }
            Some(_) => {
                w.ok();
                return Next::Done;
            }
            None => {}
        }
        if !self.masters.contains_key(&name) {
            w.error(NO_MASTER);
            return Next::Done;
        }
        let mut at = 3;
        let mut agreed = Vec::new();
        let mut reconnect = false;
        while at < ask.words.len() {
            let option = ask.text(at).to_ascii_lowercase();
            let values = if option == "rename-command" { 2 } else { 1 };
            if at + values >= ask.words.len() {
                w.error(&format!("ERR Unknown option or number of arguments for SENTINEL SET '{}'", ask.text(at)));
                return Next::Done;
            }
            let (value, second) = (ask.text(at + 1), ask.text(at + 2));
            let wrong = format!("ERR Invalid argument '{value}' for SENTINEL SET '{}'", ask.text(at));
            let number = number::parse_i64(value.as_bytes()).filter(|number| *number <= i64::from(i32::MAX));
            let positive = number.filter(|number| *number > 0);
            let denied = self.config.sentinel.deny_scripts_reconfig;
            let Some(watched) = self.masters.get_mut(&name) else { return Next::Done };
            let config = &mut watched.config;
            match (&*option, positive) {
                ("down-after-milliseconds", Some(ms)) => {
                    config.down_after = Millis(ms);
                    agreed.push(Setting::DownAfter(Millis(ms)));
                }
                ("failover-timeout", Some(ms)) => {
                    config.failover_timeout = Millis(ms);
                    agreed.push(Setting::FailoverTimeout(Millis(ms)));
                }
                ("parallel-syncs", Some(count)) => {
                    config.parallel_syncs = count as u32;
                    agreed.push(Setting::ParallelSyncs(count as u32));
                }
                ("quorum", Some(count)) => {
                    config.quorum = count as u32;
                    agreed.push(Setting::Quorum(count as u32));
                }
                ("down-after-milliseconds" | "failover-timeout" | "parallel-syncs" | "quorum", None) => {
                    w.error(&wrong);
                    return Next::Done;
                }
                ("master-reboot-down-after-period" | "primary-reboot-down-after-period", _) => {
                    match number.filter(|n| *n >= 0) {
                        Some(ms) => config.reboot_down_after = Millis(ms),
                        None => {
                            w.error(&wrong);
                            return Next::Done;
                        }
                    }
                }
                ("auth-pass", _) => {
                    config.auth_pass = Some(value.clone()).filter(|text| !text.is_empty());
                    reconnect = true;
                }
                ("auth-user", _) => {
                    config.auth_user = Some(value.clone()).filter(|text| !text.is_empty());
                    reconnect = true;
                }
                ("rename-command", _) => {
                    config.rename_commands.retain(|(from, _)| !from.eq_ignore_ascii_case(&value));
                    if !second.is_empty() && !second.eq_ignore_ascii_case(&value) {
                        config.rename_commands.push((value.clone(), second.clone()));
                    }
                }
                ("notification-script" | "client-reconfig-script", _) if denied => {
                    w.error(
                        "ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig \
                         configuration directive in your Sentinel configuration",
                    );
                    return Next::Done;
                }
                ("notification-script", _) => {
                    config.notification_script = Some(value.clone()).filter(|text| !text.is_empty())
                }
                ("client-reconfig-script", _) => {
                    config.client_reconfig_script = Some(value.clone()).filter(|text| !text.is_empty());
                }
                _ => {
                    w.error(&format!("ERR Unknown option or number of arguments for SENTINEL SET '{}'", ask.text(at)));
                    return Next::Done;
                }
            }
            let shown = if option == "auth-pass" { "******" } else { &*value };
            let more = if values == 2 { format!(" {second}") } else { String::new() };
            let Some(watched) = self.masters.get(&name) else { return Next::Done };
            let text = format!("{} {option} {shown}{more}", watched.describe(&watched.addr));
            self.event(Level::Warning, "+set", text, out);
            at += 1 + values;
        }
        self.retime(&name);
        if reconnect {
            self.reconnect_all(&name, out);
        }
        if !agreed.is_empty() {
            let by = self.seen.me.member;
            match self.registry.masters.get(&name).is_some_and(|master| master.observers.contains(&by)) {
                true => self
                    .propose(Entry::Configure { name: name.clone(), settings: agreed, by, at: self.clock.wall }, out),
                false => {
                    self.seen.wanted.remove(&name);
                }
            }
        }
        self.sync_config();
        self.look_now = true;
        Next::Later(Later::Flush)
    }

    fn failover_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) {
        let name = ask.text(2);
        let Some(watched) = self.masters.get(&name) else { return w.error(NO_MASTER) };
        // A failover takes milliseconds here. Who asks twice at once means one, as where it takes seconds.
        let recent = watched.forced_at.is_some_and(|at| self.clock.mono.since(at) < FORCED_PAUSE_MS);
        if recent {
            return w.error("INPROG Failover already in progress");
        }
        if self.group().is_none() || !self.registry.masters.contains_key(&name) {
            return w.error("NOGOODSLAVE No suitable replica to promote");
        }
        match failover::may_force(&self.registry, &self.seen, &name, self.clock.mono) {
            Err(why) => w.error(why),
            Ok(()) => {
                self.log(Level::Warning, format!("Executing user requested FAILOVER of '{name}'"), out);
                if let Some(watched) = self.masters.get_mut(&name) {
                    watched.forced_at = Some(self.clock.mono);
                }
                self.seen.masters.entry(name).or_default().forced = Some(self.clock.mono);
                self.look_now = true;
                w.ok();
            }
        }
    }

    fn ckquorum_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let Some(watched) = self.masters.get(&ask.text(2)) else { return w.error(NO_MASTER) };
        let usable = 1 + watched
            .sentinels
            .iter()
            .filter_map(|runid| self.peers.get(runid))
            .filter(|peer| !peer.observation.is_down() && !peer.observation.is_disconnected())
            .count();
        let all = (watched.sentinels.len() + 1).max(self.seen.raft.voters.len());
        let quorum = usable >= watched.config.quorum as usize;
        let majority = usable > all / 2;
        if quorum && majority {
            return w
                .simple(&format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached"));
        }
        let mut text = format!("NOQUORUM {usable} usable Sentinels. ");
        if !quorum {
            text.push_str("Not enough available Sentinels to reach the specified quorum for this master");
        }
        if !majority {
            if !quorum {
                text.push_str(". ");
            }
            text.push_str("Not enough available Sentinels to reach the majority and authorize a failover");
        }
        w.error(&text);
    }

    fn reset_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) {
        let names: Vec<String> =
            self.masters.keys().filter(|name| glob::matches(ask.words[2], name.as_bytes(), true)).cloned().collect();
        for name in &names {
            let Some(watched) = self.masters.get_mut(name) else { continue };
            let text = watched.describe(&watched.addr);
            let replicas: Vec<Addr> = watched.replicas().map(|node| node.addr.clone()).collect();
            watched.sentinels.clear();
            watched.odown = None;
            if let Some(node) = watched.nodes.get_mut(&watched.addr) {
                node.info_sent = self.clock.mono;
            }
            replicas.iter().for_each(|addr| self.drop_node(name, addr, out));
            self.peers.values_mut().for_each(|peer| {
                peer.masters.remove(name);
            });
            self.event(Level::Warning, "+reset-master", text, out);
        }
        self.peers.retain(|_, peer| !peer.masters.is_empty());
        self.dirty = true;
        w.int(names.len() as i64);
    }

    fn is_down_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let (Some(port), Some(_)) = (number::parse_i64(ask.words[3]), number::parse_i64(ask.words[4])) else {
            return w.error("ERR value is not an integer or out of range");
        };
        let addr = Addr::new(ask.text(2), u16::try_from(port).unwrap_or(0));
        let watched = self.masters.values().find(|watched| watched.addr == addr);
        let down = watched.and_then(|watched| watched.master()).is_some_and(|master| master.observation.is_down());
        w.array(3);
        w.int(i64::from(down));
        w.bulk(b"*");
        w.int(0);
    }

    fn info_cache_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let wanted: Vec<String> = (2..ask.words.len()).map(|at| ask.text(at)).collect();
        let found: Vec<_> =
            self.masters.values().filter(|watched| wanted.iter().any(|name| name == watched.name())).collect();
        w.array(found.len() * 2);
        for watched in found {
            w.bulk(watched.name().as_bytes());
            let nodes: Vec<_> = watched.master().into_iter().chain(watched.replicas()).collect();
            w.array(nodes.len());
            for node in nodes {
                w.array(2);
                w.int(node.info_at.map_or(0, |at| self.clock.mono.since(at).0));
                match node.info_at {
                    Some(_) => w.bulk(&node.info),
                    None => w.null(),
                }
            }
        }
    }

    fn config_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        if ask.upper(2) != "GET" || ask.words.len() < 4 {
            return w.error("ERR Only SENTINEL CONFIG GET is supported");
        }
        let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let sentinel = &self.config.sentinel;
        let all: [(&'static str, String); 7] = [
            ("resolve-hostnames", yes_no(sentinel.resolve_hostnames)),
            ("announce-hostnames", yes_no(sentinel.announce_hostnames)),
            ("announce-ip", sentinel.announce_ip.clone()),
            ("announce-port", sentinel.announce_port.to_string()),
            ("sentinel-user", sentinel.sentinel_user.clone()),
            ("sentinel-pass", sentinel.sentinel_pass.clone()),
            ("loglevel", self.config.settings.loglevel.name().to_owned()),
        ];
        let wants = |name: &str| ask.words[3..].iter().any(|pattern| glob::matches(pattern, name.as_bytes(), true));
        write_fields(&all.into_iter().filter(|(name, _)| wants(name)).collect(), w);
    }
}
