//! The `sentinel ...` lines of sentinel.conf: read into [`SentinelSettings`], and written from it.
//!
//! Lines are read in three phases whatever their order in the file: those that concern the sentinel itself, then
//! `monitor`, then those about a master (<https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/>).
//! Each line is one row of [`STATEMENTS`]; the rows are also what the rewrite knows to be its own.

use super::document::{Document, Wanted};
use super::error::{ConfigError, LineError};
use super::kind::yes_or_no;
use super::load::{Queued, wrong};
use super::sentinel::{KnownReplica, KnownSentinel, Lookup, MasterConfig, SentinelSettings};
use super::table::nearest_of;
use crate::base::number::parse_i64;
use crate::base::{Epoch, Millis, RunId};
use std::net::IpAddr;

/// Reads one statement about the sentinel: the words behind its name.
type ReadOwn = fn(&mut SentinelSettings, &[String]) -> Result<(), &'static str>;
/// Reads one statement about a master: the words behind the master's name.
type ReadMaster = fn(&mut MasterConfig, &[String]) -> Result<(), &'static str>;

#[derive(Clone, Copy)]
enum Reading {
    Own(ReadOwn),
    Monitor,
    Master(ReadMaster),
}

/// One statement of sentinel.conf.
pub(super) struct Statement {
    /// Its name, as rewrites spell it.
    pub name: &'static str,
    /// Another name.
    pub alias: Option<&'static str>,
    /// The numbers of words that may follow its name.
    words: &'static [usize],
    /// What the words are, for a person.
    usage: &'static str,
    reading: Reading,
}

const fn own(name: &'static str, usage: &'static str, read: ReadOwn) -> Statement {
    Statement { name, alias: None, words: &[1], usage, reading: Reading::Own(read) }
}

const fn about(name: &'static str, words: &'static [usize], usage: &'static str, read: ReadMaster) -> Statement {
    Statement { name, alias: None, words, usage, reading: Reading::Master(read) }
}

const NEGATIVE_OR_ZERO: &str = "negative or zero time parameter.";

/// Every statement, those of the first phase first.
pub(super) static STATEMENTS: &[Statement] = &[
    own("myid", "<40 hexadecimal digits>", |sentinel, words| {
        let id = RunId::parse(words[0].as_bytes()).ok_or("Malformed Sentinel id in myid option.")?;
        sentinel.myid = Some(id);
        Ok(())
    }),
    own("current-epoch", "<number>", |sentinel, words| {
        sentinel.current_epoch = sentinel.current_epoch.max(epoch(&words[0])?);
        Ok(())
    }),
    own("announce-ip", "<address>", |sentinel, words| {
        sentinel.announce_ip.clone_from(&words[0]);
        Ok(())
    }),
    own("announce-port", "<port>", |sentinel, words| {
        sentinel.announce_port = port(&words[0])?;
        Ok(())
    }),
    own("deny-scripts-reconfig", "yes|no", |sentinel, words| {
        let yes = yes_or_no(&words[0]).ok_or("Please specify yes or no for the deny-scripts-reconfig options.")?;
        sentinel.deny_scripts_reconfig = yes;
        Ok(())
    }),
    own("sentinel-user", "<user>", |sentinel, words| {
        sentinel.sentinel_user.clone_from(&words[0]);
        Ok(())
    }),
    own("sentinel-pass", "<password>", |sentinel, words| {
        sentinel.sentinel_pass.clone_from(&words[0]);
        Ok(())
    }),
    own("resolve-hostnames", "yes|no", |sentinel, words| {
        let yes = yes_or_no(&words[0]).ok_or("Please specify yes or no for the resolve-hostnames option.")?;
        sentinel.resolve_hostnames = yes;
        Ok(())
    }),
    own("announce-hostnames", "yes|no", |sentinel, words| {
        let yes = yes_or_no(&words[0]).ok_or("Please specify yes or no for the announce-hostnames option.")?;
        sentinel.announce_hostnames = yes;
        Ok(())
    }),
    own("lookup", "linearizable|local", |sentinel, words| {
        sentinel.lookup = match &*words[0].to_ascii_lowercase() {
            "linearizable" => Lookup::Linearizable,
            "local" => Lookup::Local,
            _ => return Err("Please specify linearizable or local for the lookup option."),
        };
        Ok(())
    }),
    own("group-size", "<number of sentinels>", |sentinel, words| {
        sentinel.group_size = count(&words[0]).ok_or("The group size must be 1 or greater.")?;
        Ok(())
    }),
    Statement {
        name: "monitor",
        alias: None,
        words: &[4],
        usage: "<name> <host> <port> <quorum>",
        reading: Reading::Monitor,
    },
    about("down-after-milliseconds", &[2], "<name> <milliseconds>", |master, words| {
        master.down_after = millis(&words[0], 1).ok_or(NEGATIVE_OR_ZERO)?;
        Ok(())
    }),
    about("failover-timeout", &[2], "<name> <milliseconds>", |master, words| {
        master.failover_timeout = millis(&words[0], 1).ok_or(NEGATIVE_OR_ZERO)?;
        Ok(())
    }),
    about("parallel-syncs", &[2], "<name> <number>", |master, words| {
        master.parallel_syncs = count(&words[0]).ok_or("parallel-syncs must be 1 or greater.")?;
        Ok(())
    }),
    about("notification-script", &[2], "<name> <path>", |master, words| {
        if !is_executable(&words[0]) {
            return Err("Notification script seems non existing or non executable.");
        }
        master.notification_script = Some(words[0].clone());
        Ok(())
    }),
    about("client-reconfig-script", &[2], "<name> <path>", |master, words| {
        if !is_executable(&words[0]) {
            return Err("Client reconfiguration script seems non existing or non executable.");
        }
        master.client_reconfig_script = Some(words[0].clone());
        Ok(())
    }),
    about("auth-pass", &[2], "<name> <password>", |master, words| {
        master.auth_pass = Some(words[0].clone());
        Ok(())
    }),
    about("auth-user", &[2], "<name> <user>", |master, words| {
        master.auth_user = Some(words[0].clone());
        Ok(())
    }),
    Statement {
        name: "master-reboot-down-after-period",
        alias: Some("primary-reboot-down-after-period"),
        words: &[2],
        usage: "<name> <milliseconds>",
        reading: Reading::Master(|master, words| {
            master.reboot_down_after = millis(&words[0], 0).ok_or("negative time parameter.")?;
            Ok(())
        }),
    },
    about("config-epoch", &[2], "<name> <number>", |master, words| {
        master.config_epoch = epoch(&words[0])?;
        Ok(())
    }),
    about("leader-epoch", &[2], "<name> <number>", |master, words| {
        master.leader_epoch = epoch(&words[0])?;
        Ok(())
    }),
    Statement {
        name: "known-replica",
        alias: Some("known-slave"),
        words: &[3],
        usage: "<name> <ip> <port>",
        reading: Reading::Master(|master, words| {
            let replica = KnownReplica { ip: words[0].clone(), port: port(&words[1])? };
            // A line that stands twice is no reason not to start.
            if !master.known_replicas.contains(&replica) {
                master.known_replicas.push(replica);
            }
            Ok(())
        }),
    },
    about("known-sentinel", &[3, 4], "<name> <ip> <port> <runid>", |master, words| {
        // The old form has no runid and says nothing of use.
        let Some(runid) = words.get(2) else { return Ok(()) };
        let runid = RunId::parse(runid.as_bytes()).ok_or("Malformed Sentinel id in known-sentinel option.")?;
        let known = KnownSentinel { ip: words[0].clone(), port: port(&words[1])?, runid };
        master.known_sentinels.retain(|other| other.runid != runid);
        master.known_sentinels.push(known);
        Ok(())
    }),
    about("rename-command", &[3], "<name> <command> <renamed-command>", |master, words| {
        if master.rename_commands.iter().any(|(from, _)| from.eq_ignore_ascii_case(&words[0])) {
            return Err("Same command renamed multiple times with rename-command.");
        }
        master.rename_commands.push((words[0].clone(), words[1].clone()));
        Ok(())
    }),
];

fn epoch(word: &str) -> Result<Epoch, &'static str> {
    word.parse().map(Epoch).map_err(|_| "Invalid epoch.")
}

fn port(word: &str) -> Result<u16, &'static str> {
    word.parse().map_err(|_| "Invalid port number.")
}

fn count(word: &str) -> Option<u32> {
    word.parse().ok().filter(|count| *count >= 1 && *count <= i32::MAX as u32)
}

/// Milliseconds of at least `min`, within a C `int` as Redis reads them.
fn millis(word: &str, min: i64) -> Option<Millis> {
    let number = parse_i64(word.as_bytes())?;
    (min..=i64::from(i32::MAX)).contains(&number).then_some(Millis(number))
}

/// Whether this process may execute the file; a relative path counts from the working directory.
pub fn is_executable(path: &str) -> bool {
    let Ok(path) = std::ffi::CString::new(path) else { return false };
    // SAFETY: the path is a terminated string that lives through the call; access() only reads it.
    unsafe { libc::access(path.as_ptr(), libc::X_OK) == 0 }
}

/// The statement of this name or alias, in any case.
pub(super) fn statement(name: &str) -> Option<&'static Statement> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    STATEMENTS.iter().find(|statement| is(statement.name) || statement.alias.is_some_and(is))
}

/// Reads all `sentinel ...` lines in their three phases.
pub(super) fn load(settings: &mut SentinelSettings, queue: Vec<Queued>) -> Result<(), ConfigError> {
    let mut phases: [Vec<(&'static Statement, Queued)>; 3] = Default::default();
    for line in queue {
        let known = statement(&line.words[0]).filter(|known| known.words.contains(&(line.words.len() - 1)));
        let Some(known) = known else { return Err(unrecognized(line)) };
        let phase = match known.reading {
            Reading::Own(_) => 0,
            Reading::Monitor => 1,
            Reading::Master(_) => 2,
        };
        phases[phase].push((known, line));
    }
    for (known, line) in phases.into_iter().flatten() {
        if let Err(reason) = apply(settings, known, &line.words[1..]) {
            let expected = Some(format!("sentinel {} {}", known.name, known.usage));
            return Err(ConfigError::Line(Box::new(LineError { reason: reason.into(), expected, ..line.place })));
        }
    }
    let newest = settings.masters.iter().map(|master| master.config_epoch).max().unwrap_or_default();
    settings.current_epoch = settings.current_epoch.max(newest);
    Ok(())
}

fn unrecognized(line: Queued) -> ConfigError {
    let name = line.words[0].to_ascii_lowercase();
    let reason = "Unrecognized sentinel configuration statement.";
    let (expected, nearest) = match statement(&name) {
        Some(known) => (Some(format!("sentinel {} {}", known.name, known.usage)), None),
        None => {
            let names = STATEMENTS.iter().flat_map(|known| std::iter::once(known.name).chain(known.alias));
            (None, nearest_of(&name, names).map(|near| format!("sentinel {near}")))
        }
    };
    match wrong(line.place, reason) {
        ConfigError::Line(error) => ConfigError::Line(Box::new(LineError { expected, nearest, ..*error })),
        other => other,
    }
}

fn apply(settings: &mut SentinelSettings, known: &Statement, words: &[String]) -> Result<(), &'static str> {
    match known.reading {
        Reading::Own(read) => read(settings, words),
        Reading::Monitor => monitor(settings, words),
        Reading::Master(read) => {
            let master = settings.masters.iter_mut().find(|master| master.name == words[0]);
            read(master.ok_or("No such master with specified name.")?, &words[1..])
        }
    }
}

fn monitor(settings: &mut SentinelSettings, words: &[String]) -> Result<(), &'static str> {
    let [name, host, port_word, quorum] = words else { return Err("Wrong number of arguments.") };
    let quorum = count(quorum).ok_or("Quorum must be 1 or greater.")?;
    let port = port(port_word)?;
    if settings.master(name).is_some() {
        return Err("Duplicate master name.");
    }
    if !settings.resolve_hostnames && host.parse::<IpAddr>().is_err() {
        return Err("Can't resolve instance hostname.");
    }
    settings.masters.push(MasterConfig::new(name, host, port, quorum));
    Ok(())
}

// ---- and back to lines

/// Makes the `sentinel ...` lines of a file say what the settings say.
pub(super) fn rewrite(settings: &SentinelSettings, document: &mut Document) {
    let mut wanted = Vec::new();
    own_lines(settings, &mut wanted);
    for master in &settings.masters {
        master_lines(master, &mut wanted);
    }
    wanted.push(line(&["current-epoch", &settings.current_epoch.to_string()], 1, true));
    let own = STATEMENTS.iter().flat_map(|known| document.lines_of(&["sentinel", known.name])).collect();
    document.put(own, wanted);
}

/// A line, the number of words behind `sentinel` that an older line must share to be replaced by it, and whether it is
/// added where there is none.
fn line(words: &[&str], key: usize, force: bool) -> Wanted {
    let words = std::iter::once("sentinel").chain(words.iter().copied()).map(str::to_owned).collect();
    Wanted { words, key: key + 1, force, quoted: false }
}

fn own_lines(settings: &SentinelSettings, wanted: &mut Vec<Wanted>) {
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    if let Some(myid) = settings.myid {
        wanted.push(line(&["myid", &myid.to_string()], 1, true));
    }
    let denied = settings.deny_scripts_reconfig;
    wanted.push(line(&["deny-scripts-reconfig", yes_no(denied)], 1, !denied));
    for (name, yes) in
        [("resolve-hostnames", settings.resolve_hostnames), ("announce-hostnames", settings.announce_hostnames)]
    {
        wanted.push(line(&[name, yes_no(yes)], 1, yes));
    }
    let texts = [
        ("announce-ip", &settings.announce_ip),
        ("sentinel-user", &settings.sentinel_user),
        ("sentinel-pass", &settings.sentinel_pass),
    ];
    for (name, text) in texts {
        wanted.push(line(&[name, text], 1, !text.is_empty()));
    }
    wanted.push(line(&["announce-port", &settings.announce_port.to_string()], 1, settings.announce_port != 0));
    let (lookup, is_local) = match settings.lookup {
        Lookup::Linearizable => ("linearizable", false),
        Lookup::Local => ("local", true),
    };
    wanted.push(line(&["lookup", lookup], 1, is_local));
    if settings.group_size != 0 {
        wanted.push(line(&["group-size", &settings.group_size.to_string()], 1, true));
    }
}

fn master_lines(master: &MasterConfig, wanted: &mut Vec<Wanted>) {
    let name = &*master.name;
    let mut push = |statement: &str, words: &[&str], force: bool| {
        let words: Vec<&str> = [statement, name].iter().chain(words).copied().collect();
        wanted.push(line(&words, 2, force));
    };
    push("monitor", &[&master.ip, &master.port.to_string(), &master.quorum.to_string()], true);
    let times = [
        ("down-after-milliseconds", master.down_after, MasterConfig::DOWN_AFTER),
        ("failover-timeout", master.failover_timeout, MasterConfig::FAILOVER_TIMEOUT),
        ("master-reboot-down-after-period", master.reboot_down_after, Millis(0)),
    ];
    for (statement, time, default) in times {
        push(statement, &[&time.to_string()], time != default);
    }
    let parallel = master.parallel_syncs;
    push("parallel-syncs", &[&parallel.to_string()], parallel != MasterConfig::PARALLEL_SYNCS);
    let texts = [
        ("notification-script", &master.notification_script),
        ("client-reconfig-script", &master.client_reconfig_script),
        ("auth-pass", &master.auth_pass),
        ("auth-user", &master.auth_user),
    ];
    for (statement, text) in texts {
        if let Some(text) = text {
            push(statement, &[text], true);
        }
    }
    push("config-epoch", &[&master.config_epoch.to_string()], true);
    push("leader-epoch", &[&master.leader_epoch.to_string()], true);
    for replica in &master.known_replicas {
        push("known-replica", &[&replica.ip, &replica.port.to_string()], true);
    }
    for known in &master.known_sentinels {
        push("known-sentinel", &[&known.ip, &known.port.to_string(), &known.runid.to_string()], true);
    }
    for (from, to) in &master.rename_commands {
        push("rename-command", &[from, to], true);
    }
}
