//! SENTINEL and its subcommands.
//!
//! What only looks answers at once; the address of a master is confirmed by the group first; what changes agreed things
//! is proposed.

use super::commands::{Ask, Next};
use super::event::{Answered, Effect, Later, Level};
use super::monitor::Monitor;
use super::reports::write_fields;
use super::table::write_help;
use crate::base::{Millis, glob, number};
use crate::config::MasterConfig;
use crate::failover::{self, Addr, Applied, Entry};
use crate::resp::Writer;
use std::net::IpAddr;

const NO_MASTER: &str = "ERR No such master with that name";

/// How long after SENTINEL FAILOVER another one is answered with `-INPROG`.
const FORCED_PAUSE_MS: Millis = Millis(1_000);

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
            "IS-MASTER-DOWN-BY-ADDR" | "IS-PRIMARY-DOWN-BY-ADDR" => self.is_down_command(ask, w, out),
            "INFO-CACHE" => self.info_cache_command(ask, w),
            "PENDING-SCRIPTS" => self.scripts.write(self.clock.mono, w),
            "CONFIG" => return self.config_command(ask, w, out),
            "DEBUG" => self.debug_command(ask, w),
            "SIMULATE-FAILURE" => self.simulate_command(ask, w, out),
            _ => write_help(HELP, w),
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
        let (name, mut host) = (ask.text(2), ask.text(3));
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
        if host.parse::<IpAddr>().is_err() {
            if let Some(Answered::Resolved(ip)) = &ask.answered {
                self.looked_up(&host, ip.clone(), out);
            }
            match self.resolved(&Addr::new(host.clone(), 1), out) {
                Some(addr) => host = addr.host,
                None if ask.answered.is_none() => return Next::Later(Later::Resolve(host)),
                None => {
                    w.error("ERR Invalid IP address or hostname specified");
                    return Next::Done;
                }
            }
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
        let mut config = MasterConfig {
            down_after: self.periods.down_after,
            failover_timeout: self.periods.failover_timeout,
            ..MasterConfig::new(&name, &host, addr.port, quorum as u32)
        };
        let agreed = self.group().is_some() && self.caught_up;
        match &ask.answered {
            None | Some(Answered::Resolved(_)) if agreed => {
                let (down_after, failover_timeout) = (config.down_after, config.failover_timeout);
                let settings = failover::Settings {
                    down_after,
                    failover_timeout,
                    ..failover::Settings::with_quorum(quorum as u32)
                };
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
            None | Some(Answered::Proposed(_) | Answered::Resolved(_)) => {
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
        let missing = self.missing_for_failover(&ask.text(2));
        if quorum
            && majority
            && let Some(why) = missing
        {
            return w.error(&format!("NOQUORUM {usable} usable Sentinels. {why}"));
        }
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

    /// Why nothing could be promoted here and now, though enough sentinels are there.
    fn missing_for_failover(&self, name: &str) -> Option<&'static str> {
        if self.group().is_none() {
            Some("They have not founded their group yet, which has to authorize a failover")
        } else if !self.caught_up {
            Some("This one has yet to learn what its group has agreed on")
        } else if self.seen.leader.is_none() {
            Some("Their group has no leader at the moment, to authorize a failover")
        } else if !self.registry.masters.contains_key(name) {
            Some("Their group does not monitor this master yet")
        } else {
            None
        }
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
            self.event(Level::Warning, "+reset-master", name, text, out);
        }
        self.peers.retain(|_, peer| !peer.masters.is_empty());
        self.dirty = true;
        w.int(names.len() as i64);
    }
}
