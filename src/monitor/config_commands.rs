//! SENTINEL SET, SENTINEL CONFIG and what else changes or shows how this sentinel works.

use super::commands::{Ask, Next};
use super::event::{Answered, Effect, Later, Level};
use super::monitor::Monitor;
use super::reports::write_fields;
use crate::base::{Epoch, Millis, glob, number};
use crate::config::{Config, SetAccess, is_executable};
use crate::failover::{Addr, Entry, Setting};
use crate::resp::Writer;

const NOT_SAVED: &str = "ERR Failed to save config file. Check server logs.";
const DENIED: &str = "ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig \
                      configuration directive in your Sentinel configuration";

/// SENTINEL SIMULATE-FAILURE: when this process is to end at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simulated {
    /// Behind the commit of a pick that this sentinel is to execute, before any order.
    pub after_election: bool,
    /// Behind the commit of a promotion that it executed.
    pub after_promotion: bool,
}

impl Simulated {
    /// `sentinel_simulate_failure_flags`
    pub fn flags(self) -> u8 {
        u8::from(self.after_election) | u8::from(self.after_promotion) << 1
    }
}

/// What SENTINEL SET changed, beyond the values themselves.
#[derive(Default)]
struct Changed {
    agreed: Vec<Setting>,
    reconnect: bool,
}

impl Monitor {
    /// SENTINEL SET: one option after the other; those before a wrong one stay, as in Redis.
    pub(super) fn set_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) -> Next {
        let name = ask.text(2);
        match &ask.answered {
            Some(Answered::Flushed(Err(_))) => {
                w.error(NOT_SAVED);
                return Next::Done;
            }
            Some(_) => {
                w.ok();
                return Next::Done;
            }
            None => {}
        }
        if !self.masters.contains_key(&name) {
            w.error("ERR No such master with that name");
            return Next::Done;
        }
        let mut changed = Changed::default();
        let mut at = 3;
        let mut wrong = None;
        while at < ask.words.len() && wrong.is_none() {
            match self.set_one(&name, ask, at, &mut changed, out) {
                Ok(words) => at += words,
                Err(why) => wrong = Some(why),
            }
        }
        self.retime(&name);
        if changed.reconnect {
            self.reconnect_all(&name, out);
        }
        if !changed.agreed.is_empty() {
            let by = self.seen.me.member;
            match self.registry.masters.get(&name).is_some_and(|master| master.observers.contains(&by)) {
                true => {
                    let (settings, at) = (changed.agreed, self.clock.wall);
                    self.propose(Entry::Configure { name: name.clone(), settings, by, at }, out);
                }
                false => {
                    self.seen.wanted.remove(&name);
                }
            }
        }
        self.sync_config();
        self.look_now = true;
        if let Some(why) = wrong {
            self.dirty = true;
            w.error(&why);
            return Next::Done;
        }
        Next::Later(Later::Flush)
    }

    /// Sets the option at this word; how many words it took, or the reply.
    fn set_one(
        &mut self,
        name: &str,
        ask: &Ask<'_>,
        at: usize,
        changed: &mut Changed,
        out: &mut Vec<Effect>,
    ) -> Result<usize, String> {
        let typed = ask.text(at);
        let option = typed.to_ascii_lowercase();
        let values = if option == "rename-command" { 2 } else { 1 };
        let unknown = || format!("ERR Unknown option or number of arguments for SENTINEL SET '{typed}'");
        if at + values >= ask.words.len() {
            return Err(unknown());
        }
        let (value, second) = (ask.text(at + 1), ask.text(at + 2));
        let wrong = || format!("ERR Invalid argument '{value}' for SENTINEL SET '{typed}'");
        let number = number::parse_i64(value.as_bytes()).filter(|number| *number <= i64::from(i32::MAX));
        let positive = || number.filter(|number| *number > 0).ok_or_else(wrong);
        let some = Some(value.clone()).filter(|text| !text.is_empty());
        let denied = self.config.sentinel.deny_scripts_reconfig;
        let Some(watched) = self.masters.get_mut(name) else { return Err(unknown()) };
        let config = &mut watched.config;
        match &*option {
            "down-after-milliseconds" => {
                config.down_after = Millis(positive()?);
                changed.agreed.push(Setting::DownAfter(config.down_after));
            }
            "failover-timeout" => {
                config.failover_timeout = Millis(positive()?);
                changed.agreed.push(Setting::FailoverTimeout(config.failover_timeout));
            }
            "parallel-syncs" => {
                config.parallel_syncs = positive()? as u32;
                changed.agreed.push(Setting::ParallelSyncs(config.parallel_syncs));
            }
            "quorum" => {
                config.quorum = positive()? as u32;
                changed.agreed.push(Setting::Quorum(config.quorum));
            }
            "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
                config.reboot_down_after = Millis(number.filter(|number| *number >= 0).ok_or_else(wrong)?);
            }
            "auth-pass" => (config.auth_pass, changed.reconnect) = (some, true),
            "auth-user" => (config.auth_user, changed.reconnect) = (some, true),
            "rename-command" => {
                if value.is_empty() || second.is_empty() {
                    return Err(wrong());
                }
                config.rename_commands.retain(|(from, _)| !from.eq_ignore_ascii_case(&value));
                if !second.eq_ignore_ascii_case(&value) {
                    config.rename_commands.push((value.clone(), second.clone()));
                }
            }
            "notification-script" | "client-reconfig-script" if denied => return Err(DENIED.to_owned()),
            "notification-script" => {
                if some.as_ref().is_some_and(|path| !is_executable(path)) {
                    return Err("ERR Notification script seems non existing or non executable".to_owned());
                }
                config.notification_script = some;
            }
            "client-reconfig-script" => {
                if some.as_ref().is_some_and(|path| !is_executable(path)) {
                    return Err("ERR Client reconfiguration script seems non existing or non executable".to_owned());
                }
                config.client_reconfig_script = some;
            }
            _ => return Err(unknown()),
        }
        let shown = if option == "auth-pass" { "******" } else { &*value };
        let more = if values == 2 { format!(" {second}") } else { String::new() };
        let text = format!("{} {typed} {shown}{more}", watched.describe(&watched.addr));
        self.event(Level::Warning, "+set", name, text, out);
        Ok(1 + values)
    }

    /// SENTINEL CONFIG GET pattern ... | SET name value ...
    pub(super) fn config_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) -> Next {
        match (&*ask.upper(2), ask.words.len(), &ask.answered) {
            ("GET", ..) => self.config_get(ask, w),
            ("SET", 5.., None) => match self.config_set(ask, out) {
                Ok(()) => return Next::Later(Later::Flush),
                Err(why) => w.error(&why),
            },
            ("SET", 5.., Some(Answered::Flushed(Err(_)))) => w.error(NOT_SAVED),
            ("SET", 5.., Some(_)) => w.ok(),
            _ => w.error(
                "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are \
                 supported.",
            ),
        }
        Next::Done
    }

    fn config_get(&self, ask: &Ask<'_>, w: &mut Writer<'_>) {
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
        // Pattern by pattern, each name once, as Redis goes through them.
        let mut shown: Vec<(&'static str, String)> = Vec::new();
        for pattern in &ask.words[3..] {
            for (name, value) in &all {
                if glob::matches(pattern, name.as_bytes(), true) && !shown.iter().any(|(known, _)| known == name) {
                    shown.push((name, value.clone()));
                }
            }
        }
        write_fields(&shown, w);
    }

    /// All of the pairs or none of them.
    fn config_set(&mut self, ask: &Ask<'_>, out: &mut Vec<Effect>) -> Result<(), String> {
        let mut wanted = self.config.clone();
        let mut seen: Vec<String> = Vec::new();
        let mut words = (3..ask.words.len()).map(|at| ask.text(at));
        while let Some(typed) = words.next() {
            let option = typed.to_ascii_lowercase();
            let known = [
                "announce-ip",
                "announce-port",
                "announce-hostnames",
                "resolve-hostnames",
                "sentinel-user",
                "sentinel-pass",
                "loglevel",
            ];
            if !known.contains(&&*option) {
                return Err(format!("ERR Invalid argument '{typed}' to SENTINEL CONFIG SET"));
            }
            if seen.contains(&option) {
                return Err(format!("ERR Duplicate argument '{typed}' to SENTINEL CONFIG SET"));
            }
            let Some(value) = words.next() else { return Err(format!("ERR Missing argument '{typed}' value")) };
            let wrong = || format!("ERR Invalid value '{value}' to SENTINEL CONFIG SET '{typed}'");
            let yes_no = || match &*value.to_ascii_lowercase() {
                "yes" => Ok(true),
                "no" => Ok(false),
                _ => Err(wrong()),
            };
            let sentinel = &mut wanted.sentinel;
            match &*option {
                "resolve-hostnames" => sentinel.resolve_hostnames = yes_no()?,
                "announce-hostnames" if yes_no()? => return Err(ANNOUNCE_HOSTNAMES.to_owned()),
                "announce-hostnames" => sentinel.announce_hostnames = false,
                "announce-ip" if !value.is_empty() && !Addr::new(value.clone(), 1).is_sound() => return Err(wrong()),
                "announce-ip" => sentinel.announce_ip.clone_from(&value),
                "announce-port" => sentinel.announce_port = value.parse().map_err(|_| wrong())?,
                "sentinel-user" if !matches!(&*value, "" | "default") => return Err(SENTINEL_USER.to_owned()),
                "sentinel-user" => sentinel.sentinel_user.clone_from(&value),
                "sentinel-pass" => sentinel.sentinel_pass.clone_from(&value),
                _ => {
                    let pair = [(&b"loglevel"[..], value.as_bytes())];
                    wanted.set(&pair, SetAccess::default()).map_err(|_| wrong())?;
                }
            }
            seen.push(option);
        }
        let changed = |name: &str| seen.iter().any(|known| known == name);
        self.config = wanted;
        if changed("loglevel") {
            out.push(Effect::Verbosity(self.config.settings.loglevel));
        }
        if changed("sentinel-pass") {
            out.push(Effect::PeerPass(peer_pass(&self.config)));
        }
        if changed("announce-ip") || changed("announce-port") {
            out.push(Effect::OwnAddress);
        }
        self.look_now = true;
        Ok(())
    }

    /// SENTINEL SIMULATE-FAILURE \[CRASH-AFTER-ELECTION\] \[CRASH-AFTER-PROMOTION\] \[HELP\]
    pub(super) fn simulate_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) {
        self.simulated = Simulated::default();
        for at in 2..ask.words.len() {
            let after = match &*ask.upper(at) {
                "CRASH-AFTER-ELECTION" => {
                    self.simulated.after_election = true;
                    "being successfully elected as failover leader"
                }
                "CRASH-AFTER-PROMOTION" => {
                    self.simulated.after_promotion = true;
                    "promoting the selected replica to master"
                }
                "HELP" => return w.bulks(&["crash-after-election", "crash-after-promotion"]),
                _ => return w.error("ERR Unknown failure simulation specified"),
            };
            let text = format!("Failure simulation: this Sentinel will crash after {after}");
            self.log(Level::Warning, text, out);
        }
        w.ok();
    }

    /// SENTINEL INFO-CACHE name ...
    pub(super) fn info_cache_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
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

    /// SENTINEL IS-MASTER-DOWN-BY-ADDR ip port epoch runid: what this sentinel believes, and, where a run id is given, its
    /// vote as Redis' sentinels count them. Nothing here asks for votes or acts on them.
    pub(super) fn is_down_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>, out: &mut Vec<Effect>) {
        let (Some(port), Some(epoch)) = (number::parse_i64(ask.words[3]), number::parse_i64(ask.words[4])) else {
            return w.error("ERR value is not an integer or out of range");
        };
        let addr = Addr::new(ask.text(2), u16::try_from(port).unwrap_or(0));
        let name = self.masters.iter().find(|(_, watched)| watched.addr == addr).map(|(name, _)| name.clone());
        let down = name.as_ref().is_some_and(|name| {
            self.pulse.tilt_since().is_none()
                && self.masters[name].master().is_some_and(|master| master.observation.is_down())
        });
        let runid = ask.text(5);
        let vote = name.filter(|_| runid != "*").and_then(|name| {
            self.vote(&name, &runid, Epoch(u64::try_from(epoch).unwrap_or(0)), out);
            self.masters[&name].vote.clone()
        });
        w.array(3);
        w.int(i64::from(down));
        w.bulk(vote.as_ref().map_or("*", |(leader, _)| leader).as_bytes());
        w.int(vote.map_or(0, |(_, epoch)| epoch.0 as i64));
    }

    /// A higher epoch than any voted in gets this sentinel's vote.
    fn vote(&mut self, name: &str, runid: &str, epoch: Epoch, out: &mut Vec<Effect>) {
        if epoch > self.epoch() {
            self.config.sentinel.current_epoch = epoch;
            self.dirty = true;
            self.event(Level::Warning, "+new-epoch", name, epoch.to_string(), out);
        }
        let current = self.epoch();
        let Some(watched) = self.masters.get_mut(name) else { return };
        let voted = watched.vote.as_ref().map_or(Epoch(0), |(_, epoch)| *epoch).max(watched.epoch);
        if voted < epoch && current <= epoch {
            watched.vote = Some((runid.to_owned(), epoch));
            self.event(Level::Warning, "+vote-for-leader", name, format!("{runid} {epoch}"), out);
        }
    }

    /// The address that other sentinels are told is another one.
    pub(super) fn moved(&mut self, addr: Addr) {
        if self.seen.me.addr != addr {
            self.founding.moved(addr.clone());
            self.seen.me.addr = addr;
            for watched in self.masters.values_mut() {
                watched.nodes.values_mut().for_each(|node| node.next_hello = self.clock.mono);
            }
        }
    }
}

/// What this sentinel gives other sentinels for a password: `sentinel-pass`, or its own `requirepass`.
pub fn peer_pass(config: &Config) -> Option<String> {
    let passes = [&config.sentinel.sentinel_pass, &config.settings.requirepass];
    passes.into_iter().find(|pass| !pass.is_empty()).cloned()
}

/// What `sentinel announce-hostnames yes` is told.
pub const ANNOUNCE_HOSTNAMES: &str =
    "ERR announce-hostnames is not supported by this sentinel: it resolves host names and announces addresses";
/// What `sentinel sentinel-user` of another user is told.
pub const SENTINEL_USER: &str = "ERR sentinel-user is not supported by this sentinel: there is one user, 'default'";
