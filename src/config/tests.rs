//! The table as a whole, loading from command lines and files, and sentinel.conf there and back.

use super::table::{self, names};
use super::*;
use crate::base::{Epoch, Millis, RunId};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn args(line: &str) -> Vec<String> {
    let words = lines::split(line.as_bytes()).unwrap();
    words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
}

fn load_in(here: &Path, role: Role, line: &str, stdin: &str) -> Result<Config, ConfigError> {
    Config::load_in(role, here, &args(line), &mut stdin.as_bytes())
}

fn node(line: &str) -> Result<Config, ConfigError> {
    load_in(Path::new("/"), Role::Node, line, "")
}

fn shown(config: &Config, name: &str) -> String {
    config.get(&[name.as_bytes()]).remove(0).1
}

// ---- the table

#[test]
fn every_known_name_is_there_once() {
    let unique: BTreeSet<_> = names().iter().map(|(name, _)| *name).collect();
    assert_eq!(unique.len(), names().len(), "a name stands twice");
    for name in include_str!("testdata/names.txt").lines() {
        assert!(unique.contains(name), "{name} is missing");
    }
    for (name, directive) in names() {
        assert!(!table::STATEMENTS.contains(name) && !table::FORGOTTEN.contains(name));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b)), "{name}");
        assert!(directive.doc.len() > 10 && directive.doc.trim_end().ends_with('.'), "{name} has no doc");
        assert!(directive.field.is_some() || !directive.flags.has(table::BOTH));
    }
}

#[test]
fn every_default_comes_back() {
    let config = Config::new(Role::Node, Path::new("/"));
    for directive in directives() {
        let value = config.value(directive);
        let shown = directive.kind.show(&value);
        let words: Vec<&str> = if directive.kind.takes_many() { shown.split(' ').collect() } else { vec![&shown] };
        if directive.name != "replicaof" {
            assert_eq!(directive.kind.parse(&words, &value).as_ref(), Ok(&value), "{}", directive.name);
        }
        for line in directive.kind.lines(&value) {
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            assert_eq!(directive.kind.parse(&words, &value).as_ref(), Ok(&value), "{}", directive.name);
        }
    }
}

/// What `CONFIG GET *` of a redis-server 7.0.15 without a file answers, and where this differs, on purpose.
#[test]
fn defaults_are_those_of_redis() {
    let config = Config::new(Role::Node, Path::new("/"));
    let differs: &[(&str, &str)] = &[("appendonly", "yes")];
    for line in include_str!("testdata/redis-7.0-defaults.txt").lines() {
        let (name, value) = line.split_once('\t').unwrap();
        let value = differs.iter().find(|(other, _)| *other == name).map_or(value, |(_, own)| own);
        assert_eq!(shown(&config, name), value, "{name}");
    }
}

#[test]
fn a_sentinel_has_its_own_defaults() {
    let config = Config::new(Role::Sentinel, Path::new("/"));
    assert_eq!((config.settings.port, config.settings.protected_mode), (26379, false));
}

// ---- the command line

/// Each line was given to redis-server 7.0.15 first.
#[test]
fn command_lines_are_read_as_redis_reads_them() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("", &[("port", "6379")]),
        ("--port 7000 --replicaof 127.0.0.1 7001", &[("port", "7000"), ("replicaof", "127.0.0.1 7001")]),
        ("--port 7000 --slaveof '127.0.0.1 7001'", &[("slaveof", "127.0.0.1 7001")]),
        ("'--port 7002'", &[("port", "7002")]),
        ("--save '' --port 7000", &[("save", ""), ("port", "7000")]),
        ("--save --port 7000", &[("save", ""), ("port", "7000")]),
        ("--save", &[("save", "")]),
        ("--save 60 1 --save 300 2", &[("save", "60 1 300 2")]),
        ("--save '3600 1 300 100'", &[("save", "3600 1 300 100")]),
        ("--masterauth --x --port 7000", &[("masterauth", "--x"), ("port", "7000")]),
        ("--requirepass '\"a'", &[("requirepass", "\"a")]),
        ("--bind", &[("bind", "")]),
        ("--bind 127.0.0.1 -::1", &[("bind", "127.0.0.1 -::1")]),
        ("--maxmemory 1gb --maxmemory 2k", &[("maxmemory", "2000")]),
        ("--shutdown-on-sigterm 'nosave now'", &[("shutdown-on-sigterm", "nosave now")]),
        (
            "--client-output-buffer-limit normal 1mb 0 0 pubsub 1 2 3",
            &[("client-output-buffer-limit", "normal 1048576 0 0 slave 268435456 67108864 60 pubsub 1 2 3")],
        ),
        ("--unixsocketperm 700", &[("unixsocketperm", "700")]),
        ("--hz 0", &[("hz", "1")]),
    ];
    for (line, values) in cases {
        let config = node(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        for (name, value) in *values {
            assert_eq!(shown(&config, name), *value, "{line}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_redis_layout_and_more() {
    let text = |line: &str| node(line).unwrap_err().to_string();
    assert_eq!(
        text("--apendonly yes"),
        "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\n\
         Reading the configuration file, at line 2\n\
         >>> 'apendonly \"yes\"'\n\
         Bad directive or wrong number of arguments\n\
         in the command line; did you mean 'appendonly'?"
    );
    assert_eq!(
        text("--save --port abc"),
        "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\n\
         Reading the configuration file, at line 3\n\
         >>> 'port \"abc\"'\n\
         argument couldn't be parsed into an integer\n\
         in the command line; expected: port <a whole number from 0 to 65535>"
    );
    let reasons = [
        ("--port", "wrong number of arguments"),
        ("--port 7000 1", "wrong number of arguments"),
        ("--replicaof 127.0.0.1", "wrong number of arguments"),
        ("--replicaof h 70000", "Invalid master port"),
        ("--maxmemory 10x", "argument must be a memory value"),
        ("--appendonly maybe", "argument must be 'yes' or 'no'"),
        ("--port 65536", "argument must be between 0 and 65535 inclusive"),
        ("--unixsocketperm 9", "argument couldn't be parsed as an octal number"),
        ("--unixsocketperm 1000", "argument must be between 0 and 777 inclusive"),
        ("--appendfsync x", "argument(s) must be one of the following: everysec, always, no"),
        ("--save 1", "Invalid save parameters"),
        ("--client-output-buffer-limit normal 1", "Wrong number of arguments in buffer limit configuration."),
        ("--client-output-buffer-limit nope 1 1 1", "Invalid client class specified in buffer limit configuration."),
        ("--notify-keyspace-events Q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("--proc-title-template {x}", "template format is invalid or contains unknown variables"),
        ("--dir /nonexistent", "No such file or directory"),
        ("--sentinel monitor a 127.0.0.1 1 1", "sentinel directive while not in sentinel mode"),
        ("--logfile /nonexistent/log", "Can't open the log file: No such file or directory"),
        ("--cluster-enabled yes", "cluster mode is not supported here"),
    ];
    for (line, reason) in reasons {
        assert!(text(line).lines().any(|found| found == reason), "{line}: {}", text(line));
    }
}

#[test]
fn near_names_are_proposed_and_far_ones_are_not() {
    for (typed, near) in
        [("prot", "port"), ("apendfsync", "appendfsync"), ("max-memory", "maxmemory"), ("includ", "include")]
    {
        assert_eq!(table::nearest(typed), Some(near));
    }
    assert_eq!(table::nearest("wonderful-directive"), None);
}

// ---- files

#[test]
fn files_stdin_and_options_in_this_order() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().canonicalize().unwrap();
    fs::write(here.join("redis.conf"), "# mine\n\nport 1\nmaxmemory 1mb\ntimeout 5").unwrap();
    let config = load_in(&here, Role::Node, "redis.conf --port 3 -", "port 2\nmaxmemory 2mb\n").unwrap();
    assert_eq!((config.settings.port, config.settings.maxmemory, config.settings.timeout), (3, 2 << 20, 5));
    assert_eq!(config.file(), Some(&*here.join("redis.conf")));

    let error = load_in(&here, Role::Node, "redis.conf --port x", "").unwrap_err();
    let ConfigError::Line(error) = error else { panic!("{error}") };
    assert_eq!((error.number, &*error.source), (6, "the command line"), "as if appended to the file");

    let error = load_in(&here, Role::Node, "nofile.conf", "").unwrap_err().to_string();
    let path = here.join("nofile.conf");
    assert_eq!(error, format!("Fatal error, can't open config file '{}': No such file or directory", path.display()));
}

#[test]
fn included_files_and_patterns() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().canonicalize().unwrap();
    fs::create_dir(here.join("conf.d")).unwrap();
    fs::write(here.join("conf.d/b.conf"), "port 2\nhz 20\n").unwrap();
    fs::write(here.join("conf.d/a.conf"), "port 1\n").unwrap();
    fs::write(here.join("conf.d/.hidden.conf"), "port 9\n").unwrap();
    fs::write(here.join("main.conf"), "include conf.d/*.conf\ninclude none.d/*.conf\ntimeout 7\n").unwrap();
    let config = load_in(&here, Role::Node, "main.conf", "").unwrap();
    assert_eq!((config.settings.port, config.settings.hz, config.settings.timeout), (2, 20, 7));

    fs::write(here.join("conf.d/b.conf"), "hz 20\n  nonsense 1 \n").unwrap();
    let ConfigError::Line(error) = load_in(&here, Role::Node, "main.conf", "").unwrap_err() else { panic!() };
    assert_eq!((error.number, &*error.line), (2, "nonsense 1"));
    assert!(error.source.ends_with("conf.d/b.conf"));

    fs::write(here.join("circle.conf"), "include circle.conf\n").unwrap();
    let error = load_in(&here, Role::Node, "circle.conf", "").unwrap_err().to_string();
    assert!(error.contains("Too many files include each other"), "{error}");
    fs::write(here.join("gone.conf"), "include gone.d/x.conf\n").unwrap();
    assert!(matches!(load_in(&here, Role::Node, "gone.conf", ""), Err(ConfigError::Open { .. })));
}

#[test]
fn dir_is_made_absolute_and_the_file_is_found_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().canonicalize().unwrap();
    fs::create_dir(here.join("data")).unwrap();
    fs::write(here.join("redis.conf"), "dir ./data\n").unwrap();
    let mut config = load_in(&here, Role::Node, "redis.conf", "").unwrap();
    assert_eq!(config.settings.dir, here.join("data").to_string_lossy());
    config.rewrite(&[]).unwrap();
    assert_eq!(fs::read_to_string(here.join("redis.conf")).unwrap(), "dir ./data\n");
    config.settings.hz = 99;
    config.rewrite(&[]).unwrap();
    let text = fs::read_to_string(here.join("redis.conf")).unwrap();
    assert_eq!(text, "dir ./data\n# Generated by CONFIG REWRITE\nhz 99\n");
}

#[test]
fn kept_directives_in_use_are_named() {
    let config = node("--cluster-announce-port 0 --syslog-ident x --port 1 --loadmodule m.so").unwrap();
    assert_eq!(config.kept_in_use(), ["cluster-announce-port", "syslog-ident", "loadmodule"]);
    let mut sentinel = Config::new(Role::Sentinel, Path::new("/"));
    sentinel.load_text("port 1\nsave 60 1\nloglevel debug\nlua-replicate-commands yes\n", "s").unwrap();
    assert_eq!(sentinel.kept_in_use(), ["save"], "what only nodes heed means nothing to a sentinel");
}

#[test]
fn what_is_set_without_a_meaning_is_known() {
    let mut config = node("").unwrap();
    let pairs: &[(&[u8], &[u8])] = &[(b"maxmemory", b"1gb"), (b"list-compress-depth", b"1")];
    assert_eq!(config.set(pairs, SetAccess::default()).unwrap().kept(), ["list-compress-depth"]);
}

#[test]
fn the_process_title_follows_the_settings() {
    assert_eq!(node("--port 7001").unwrap().process_title("regent node").as_deref(), Some("regent node *:7001"));
    let named = node("--proc-title-template '{title}/{config-file}'").unwrap();
    assert_eq!(named.process_title("x").as_deref(), Some("x/-"));
    assert_eq!(node("--set-proc-title no").unwrap().process_title("x"), None);
}

/// What a start says of a wrong line goes to logs, and secrets do not.
#[test]
fn errors_show_no_secrets() {
    let refused = node("--requirepass hush hush").unwrap_err().to_string();
    assert!(refused.contains(">>> 'requirepass (redacted) (redacted)'") && !refused.contains("hush"), "{refused}");
    let config = node("--user alice on >hush #12 ~x").unwrap();
    let refused = config.users[0].wrong("no", "something").to_string();
    assert!(refused.contains(">>> 'user alice on >(redacted) #(redacted) ~x'"), "{refused}");
}

#[test]
fn statements_that_are_no_directives() {
    let config = node("--rename-command CONFIG '' --user alice on --list-max-ziplist-value 1").unwrap();
    assert_eq!(config.rename_commands[0].words, ["CONFIG", ""]);
    assert_eq!(config.users[0].words, ["alice", "on"]);
}

proptest! {
    #[test]
    fn any_text_loads_or_is_refused(text in "[a-z\"'\\\\ 0-9#\n%-]{0,80}", pick in 0..300usize, tail in ".{0,20}") {
        let mut config = Config::new(Role::Node, Path::new("/"));
        let _ = config.load_text(&text, "text");
        let (name, _) = names()[pick % names().len()];
        let _ = config.load_text(&format!("{name} {tail}"), "text");
        let access = SetAccess { protected: true, loading: false };
        let _ = config.set(&[(name.as_bytes(), tail.as_bytes())], access);
        let _ = config.rewritten(text.as_bytes(), &[]);
    }
}

// ---- sentinel.conf

const SENTINEL_CONF: &str = "\
# my sentinel\n\
sentinel down-after-milliseconds myMaster 5000\n\
port 5001\n\
\n\
sentinel monitor myMaster 127.0.0.1 7001 2  \n";

fn sentinel(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::new(Role::Sentinel, Path::new("/"));
    config.load_text(text, "sentinel.conf").map(|()| config)
}

#[test]
fn the_order_of_sentinel_lines_does_not_matter() {
    let text = "\
sentinel auth-pass m secret\n\
SENTINEL Down-After-Milliseconds m 5000\n\
sentinel known-slave m 10.0.0.2 7002\n\
sentinel known-replica m 10.0.0.2 7002\n\
sentinel known-sentinel m 10.0.0.9 26379 0123456789012345678901234567890123456789\n\
sentinel known-sentinel m 10.0.0.8 26379\n\
sentinel config-epoch m 7\n\
sentinel primary-reboot-down-after-period m 3\n\
sentinel rename-command m CONFIG guessit\n\
sentinel monitor m redis.example 7001 2\n\
repl-diskless-sync-delay 0\n\
sentinel resolve-hostnames yes\n\
sentinel lookup local\n\
sentinel group-size 3\n";
    let config = sentinel(text).unwrap();
    let id = RunId::parse(b"0123456789012345678901234567890123456789").unwrap();
    let expected = MasterConfig {
        down_after: Millis(5000),
        auth_pass: Some("secret".into()),
        known_replicas: vec![KnownReplica { ip: "10.0.0.2".into(), port: 7002 }],
        known_sentinels: vec![KnownSentinel { ip: "10.0.0.9".into(), port: 26379, runid: id }],
        config_epoch: Epoch(7),
        reboot_down_after: Millis(3),
        rename_commands: vec![("CONFIG".into(), "guessit".into())],
        ..MasterConfig::new("m", "redis.example", 7001, 2)
    };
    assert_eq!(config.sentinel.masters, [expected]);
    assert_eq!((config.sentinel.lookup, config.sentinel.group_size), (Lookup::Local, 3));
    assert_eq!(config.sentinel.current_epoch, Epoch(7), "never below an epoch of a master");
}

/// The texts of redis-sentinel 7.0.15.
#[test]
fn wrong_sentinel_lines() {
    let monitor = "sentinel monitor m 127.0.0.1 7001 2\n";
    let cases = [
        ("sentinel monitor a host 1 1", "Can't resolve instance hostname."),
        ("sentinel monitor a 127.0.0.1 1 0", "Quorum must be 1 or greater."),
        ("sentinel monitor a 127.0.0.1 99999 1", "Invalid port number."),
        ("sentinel monitor m 127.0.0.1 7002 2", "Duplicate master name."),
        ("sentinel nope 1", "Unrecognized sentinel configuration statement."),
        ("sentinel monitor a", "Unrecognized sentinel configuration statement."),
        ("sentinel down-after-milliseconds b 1", "No such master with specified name."),
        ("sentinel down-after-milliseconds m 0", "negative or zero time parameter."),
        ("sentinel failover-timeout m -1", "negative or zero time parameter."),
        ("sentinel myid x", "Malformed Sentinel id in myid option."),
        ("sentinel resolve-hostnames x", "Please specify yes or no for the resolve-hostnames option."),
        ("sentinel notification-script m /nope", "Notification script seems non existing or non executable."),
        (
            "sentinel client-reconfig-script m /nope",
            "Client reconfiguration script seems non existing or non executable.",
        ),
    ];
    for (line, reason) in cases {
        let error = sentinel(&format!("{monitor}{line}\n")).unwrap_err();
        let ConfigError::Line(error) = error else { panic!("{error}") };
        assert_eq!((error.number, &*error.line, &*error.reason), (2, line, reason));
    }
    let error = sentinel("sentinel monitr m 127.0.0.1 7001 2").unwrap_err().to_string();
    assert!(error.ends_with("in sentinel.conf; did you mean 'sentinel monitor'?"), "{error}");
}

#[test]
fn a_sentinel_keeps_the_users_lines() {
    let text = SENTINEL_CONF;
    let mut config = sentinel(text).unwrap();
    let id = RunId::from_random([0xab; 20]);
    config.sentinel.myid = Some(id);
    config.sentinel.current_epoch = Epoch(1);
    let first = String::from_utf8(config.rewritten(text.as_bytes(), &[])).unwrap();
    let expected = format!(
        "{text}# Generated by CONFIG REWRITE\n\
         sentinel myid {id}\n\
         sentinel config-epoch myMaster 0\n\
         sentinel leader-epoch myMaster 0\n\
         sentinel current-epoch 1\n"
    );
    assert_eq!(first, expected);

    let master = &mut config.sentinel.masters[0];
    master.port = 7002;
    master.config_epoch = Epoch(2);
    master.known_replicas = vec![KnownReplica { ip: "127.0.0.1".into(), port: 7001 }];
    master.known_sentinels = vec![KnownSentinel { ip: "127.0.0.1".into(), port: 5002, runid: id }];
    config.sentinel.current_epoch = Epoch(2);
    let second = String::from_utf8(config.rewritten(first.as_bytes(), &[])).unwrap();
    let expected = format!(
        "# my sentinel\n\
         sentinel down-after-milliseconds myMaster 5000\n\
         port 5001\n\
         \n\
         sentinel monitor myMaster 127.0.0.1 7002 2\n\
         # Generated by CONFIG REWRITE\n\
         sentinel myid {id}\n\
         sentinel config-epoch myMaster 2\n\
         sentinel leader-epoch myMaster 0\n\
         sentinel current-epoch 2\n\
         sentinel known-replica myMaster 127.0.0.1 7001\n\
         sentinel known-sentinel myMaster 127.0.0.1 5002 {id}\n"
    );
    assert_eq!(second, expected);
    let again = config.rewritten(second.as_bytes(), &[]);
    assert_eq!(String::from_utf8(again).unwrap(), second, "a second rewrite changes nothing");
    assert_eq!(sentinel(&second).unwrap().sentinel, config.sentinel, "and it loads to the same state");

    config.sentinel.masters.clear();
    let third = String::from_utf8(config.rewritten(second.as_bytes(), &[])).unwrap();
    let expected = format!(
        "# my sentinel\nport 5001\n\n# Generated by CONFIG REWRITE\nsentinel myid {id}\nsentinel current-epoch 2\n"
    );
    assert_eq!(third, expected, "a removed master takes its lines along");
}

#[test]
fn lines_of_defaults_stay_in_a_sentinels_file() {
    let text = "\
sentinel monitor m 127.0.0.1 7001 2\n\
sentinel parallel-syncs m  1\n\
sentinel failover-timeout m 180000\n\
sentinel deny-scripts-reconfig yes\n\
sentinel auth-pass m \"a b\"\n\
sentinel announce-ip \"\"\n\
sentinel known-slave m 127.0.0.1 7002\n\
user default on nopass ~* &* +@all\n";
    let config = sentinel(text).unwrap();
    let rewritten = String::from_utf8(config.rewritten(text.as_bytes(), &[])).unwrap();
    assert!(rewritten.starts_with(text), "{rewritten}");
}

#[test]
fn a_sentinel_needs_a_file_that_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let error = load_in(here, Role::Sentinel, "--port 5001", "").unwrap_err().to_string();
    assert_eq!(error, "Sentinel needs config file on disk to save state. Exiting...");
    assert!(matches!(load_in(here, Role::Sentinel, "no.conf", ""), Err(ConfigError::Open { .. })));
    fs::write(here.join("s.conf"), "port 5001\n").unwrap();
    let config = load_in(here, Role::Sentinel, "s.conf --sentinel --lookup local", "").unwrap();
    assert_eq!((config.settings.port, config.sentinel.lookup), (5001, Lookup::Local));
    let set = "s.conf --sentinel monitor m 127.0.0.1 7001 2 --port 5002";
    let config = load_in(here, Role::Sentinel, set, "").unwrap();
    assert_eq!((config.settings.port, config.sentinel.masters.len()), (5002, 1));
    // A directory cannot be written whoever asks; a mode would not stop root.
    fs::create_dir(here.join("dir.conf")).unwrap();
    assert!(load_in(here, Role::Sentinel, "dir.conf", "").is_err());
    let read_only = ConfigError::SentinelReadOnly { path: "/s.conf".into(), why: "Read-only file system".into() };
    let text = "Sentinel config file /s.conf is not writable: Read-only file system. Exiting...";
    assert_eq!(read_only.to_string(), text);
}
