//! Replies: nothing says OK without doing what it says, and fields stand where tools look for them.

use super::*;
use crate::monitor::table;

#[test]
fn what_is_not_there_is_refused_by_name() {
    let mut bench = Bench::new("");
    for (line, reply) in [
        ("multi", "-ERR unknown command 'multi', with args beginning with: "),
        ("get a", "-ERR unknown command 'get', with args beginning with: 'a' "),
        ("client tracking on", "-ERR unknown subcommand 'tracking'. Try CLIENT HELP."),
        ("client caching yes", "-ERR unknown subcommand 'caching'. Try CLIENT HELP."),
        ("client no-touch on", "-ERR unknown subcommand 'no-touch'. Try CLIENT HELP."),
        ("client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP."),
        ("client pause", "-ERR wrong number of arguments for 'client|pause' command"),
        ("client pause x", "-ERR timeout is not an integer or out of range"),
        ("client pause -1", "-ERR timeout is negative"),
        ("client pause 5 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("client no-evict maybe", "-ERR syntax error"),
        ("client unblock x", "-ERR value is not an integer or out of range"),
        ("client list type foo", "-ERR Unknown client type 'foo'"),
        ("client kill id 0", "-ERR client-id should be greater than 0"),
        ("client kill 1:1", "-ERR No such client"),
        ("command foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP."),
        ("command getkeys get a", "-ERR Invalid command specified"),
        ("command getkeys sentinel masters", "-ERR The command has no key arguments"),
        (
            "acl setuser x",
            "-ERR ACL SETUSER is not supported by this sentinel: it has one user, 'default', with requirepass as its password",
        ),
        ("acl foo", "-ERR unknown subcommand 'foo'. Try ACL HELP."),
        ("shutdown abort", "-ERR No shutdown in progress."),
        ("shutdown never", "-ERR syntax error"),
        ("sentinel foo", "-ERR unknown subcommand 'foo'. Try SENTINEL HELP."),
        ("sentinel info-cache", "-ERR wrong number of arguments for 'sentinel|info-cache' command"),
        ("sentinel simulate-failure x", "-ERR Unknown failure simulation specified"),
        ("sentinel debug foo 1", "-ERR Unknown option or number of arguments for SENTINEL DEBUG 'foo'"),
        ("sentinel debug info-period", "-ERR Unknown option or number of arguments for SENTINEL DEBUG 'info-period'"),
        ("sentinel debug info-period 0", "-ERR Invalid argument '0' for SENTINEL DEBUG 'info-period'"),
        ("sentinel debug tilt-period 5", "-ERR SENTINEL DEBUG 'tilt-period' cannot be set on this sentinel"),
        ("sentinel config set foo bar", "-ERR Invalid argument 'foo' to SENTINEL CONFIG SET"),
        ("sentinel config set loglevel debug announce-ip", "-ERR Missing argument 'announce-ip' value"),
        ("sentinel config set loglevel loud", "-ERR Invalid value 'loud' to SENTINEL CONFIG SET 'loglevel'"),
        (
            "sentinel config set announce-port 1 announce-port 2",
            "-ERR Duplicate argument 'announce-port' to SENTINEL CONFIG SET",
        ),
        (
            "sentinel set m notification-script /bin/true",
            "-ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig \
             configuration directive in your Sentinel configuration",
        ),
        ("sentinel set m quorum 0", "-ERR Invalid argument '0' for SENTINEL SET 'quorum'"),
        ("sentinel set m foo 0", "-ERR Unknown option or number of arguments for SENTINEL SET 'foo'"),
    ] {
        assert_eq!(bench.say(line), reply, "{line}");
    }
    assert_eq!(bench.say("sentinel config get loglevel"), "loglevel notice", "refused as a whole");
}

#[test]
fn every_command_of_the_table_is_known_to_its_handler() {
    for row in table::all() {
        for row in std::iter::once(row).filter(|row| row.subs.is_empty()).chain(&row.subs) {
            let mut bench = Bench::new("");
            let mut words: Vec<&str> = row.parent.into_iter().chain([row.name]).collect();
            words.resize(usize::from(row.arity.unsigned_abs()).max(words.len()), "1");
            if matches!(row.name, "shutdown" | "monitor" | "failover") {
                continue;
            }
            let reply = text(&bench.ask(&words));
            assert!(!reply.contains("unknown command") && !reply.contains("unknown subcommand"), "{words:?}: {reply}");
            let docs = Bench::new("").say(&format!("command docs {}", row.full_name()));
            assert!(docs.starts_with(&format!("{} summary ", row.full_name())), "{docs}");
        }
    }
    let mut bench = Bench::new("");
    assert_eq!(bench.say("command count"), "15", "as redis-sentinel");
}

#[test]
fn settings_take_effect_at_once() {
    let mut bench = Bench::new("sentinel deny-scripts-reconfig no\n");
    bench.out.clear();
    let set = "sentinel config set announce-ip 10.9.9.9 announce-port 7 sentinel-pass s loglevel verbose resolve-hostnames yes";
    assert_eq!(bench.say(set), "OK");
    let done: Vec<String> = bench.out.iter().map(|effect| format!("{effect:?}")).collect();
    for wanted in ["Verbosity(Verbose)", "PeerPass(Some(\"s\"))", "OwnAddress"] {
        assert!(done.iter().any(|effect| effect == wanted), "{wanted} in {done:?}");
    }
    assert_eq!(
        bench.say("sentinel config get *"),
        "resolve-hostnames yes announce-hostnames no announce-ip 10.9.9.9 announce-port 7 sentinel-user  sentinel-pass s \
         loglevel verbose"
    );
    assert_eq!(bench.say("sentinel set m notification-script /bin/true quorum 3"), "OK");
    let said = bench.say("sentinel set m client-reconfig-script /nowhere/x");
    assert_eq!(said, "-ERR Client reconfiguration script seems non existing or non executable");
    assert_eq!(bench.say("sentinel debug ping-period 100 script-retry-delay 5"), "OK");
    let shown = bench.say("sentinel debug");
    assert!(shown.starts_with("INFO-PERIOD 10000 PING-PERIOD 100 ASK-PERIOD 1000 PUBLISH-PERIOD 2000 "), "{shown}");
    assert!(shown.ends_with("SCRIPT-MAX-RUNTIME 60000 SCRIPT-RETRY-DELAY 5"), "{shown}");
    assert_eq!(bench.say("sentinel simulate-failure crash-after-election crash-after-promotion"), "OK");
    assert!(bench.say("info sentinel").contains("sentinel_simulate_failure_flags:3\r\n"));
    assert_eq!(bench.say("sentinel simulate-failure help"), "crash-after-election crash-after-promotion");
}

#[test]
fn a_pause_holds_all_commands_or_publish_alone() {
    let mut bench = Bench::new("");
    let held = |bench: &Bench, name: &str| bench.monitor.clients.paused_until(Millis(bench.now), &[name.as_bytes()]);
    assert_eq!(held(&bench, "ping"), None);
    assert_eq!(bench.say("client pause 500 write"), "OK");
    assert_eq!((held(&bench, "ping"), held(&bench, "PUBLISH")), (None, Some(Millis(1500))));
    assert_eq!(bench.say("client pause 100"), "OK");
    assert_eq!(held(&bench, "ping"), Some(Millis(1500)), "the longer of both, and for all");
    bench.now = 1500;
    assert_eq!(held(&bench, "ping"), None);
}

#[test]
fn warnings_run_the_notification_script() {
    let mut bench = Bench::new("sentinel notification-script m /bin/true\n");
    let ran = |bench: &mut Bench| -> Vec<(u64, Vec<String>)> {
        let all = std::mem::take(&mut bench.out);
        let run = |effect| match effect {
            Effect::RunScript { job, argv } => Some((job, argv)),
            _ => None,
        };
        all.into_iter().filter_map(run).collect()
    };
    bench.step(Event::Tick);
    let first = ran(&mut bench);
    assert_eq!(first[0].1, ["/bin/true", "+monitor", "master m 10.0.0.1 7001 quorum 2"]);
    bench.step(Event::ScriptStarted { job: first[0].0, pid: 77 });
    let pending = bench.say("sentinel pending-scripts");
    assert!(pending.contains("flags running pid 77 run-time 0 retry-num 1"), "{pending}");
    bench.step(Event::ScriptEnded { job: first[0].0, how: super::super::Ended::Exit(3) });
    assert!(bench.log().contains(&"-script-error /bin/true 0 3".to_owned()));
    assert_eq!(bench.say("sentinel pending-scripts"), "");
    bench.pass(9000);
    let later = ran(&mut bench);
    assert_eq!(later[0].1, ["/bin/true", "+sdown", "master m 10.0.0.1 7001"], "notices run nothing");
}

#[test]
fn votes_are_answered_as_redis_counts_them() {
    let mut bench = Bench::new("");
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    let mut ask =
        |epoch: u64, runid: &str| bench.say(&format!("sentinel is-master-down-by-addr 10.0.0.1 7001 {epoch} {runid}"));
    assert_eq!(ask(0, "*"), "0 * 0");
    assert_eq!(ask(3, &a), format!("0 {a} 3"));
    assert_eq!(ask(3, &b), format!("0 {a} 3"), "one vote in one epoch");
    assert_eq!(ask(2, &b), format!("0 {a} 3"), "and none in an older one");
    assert_eq!(ask(4, &b), format!("0 {b} 4"));
}

#[test]
fn fields_stand_in_redis_order() {
    let mut bench = Bench::new(&format!("sentinel known-sentinel m 10.0.0.8 5002 {}\n", "2".repeat(40)));
    bench.up(7001);
    bench.answer(7001, &watching::master_info(&[7002]));
    bench.up(7002);
    bench.answer(7002, &watching::replica_info(7001, "up"));
    let common = "name ip port runid flags link-pending-commands link-refcount last-ping-sent last-ok-ping-reply \
                  last-ping-reply down-after-milliseconds";
    let state = "info-refresh role-reported role-reported-time";
    let master = bench.ask(&["sentinel", "master", "m"]);
    assert_eq!(
        names(&master).join(" "),
        format!("{common} {state} config-epoch num-slaves num-other-sentinels quorum failover-timeout parallel-syncs")
    );
    assert_eq!(text(&master.items().unwrap()[33]), "1", "num-other-sentinels, where tools count to");
    let Frame::Array(replicas) = bench.ask(&["sentinel", "replicas", "m"]) else { panic!() };
    assert_eq!(
        names(&replicas[0]).join(" "),
        format!(
            "{common} {state} master-link-down-time master-link-status master-host master-port slave-priority \
             slave-repl-offset replica-announced"
        )
    );
    let Frame::Array(sentinels) = bench.ask(&["sentinel", "sentinels", "m"]) else { panic!() };
    assert_eq!(names(&sentinels[0]).join(" "), format!("{common} last-hello-message voted-leader voted-leader-epoch"));
    bench.now = 7000;
    bench.pass(20_000);
    let down = names(&bench.ask(&["sentinel", "master", "m"])).join(" ");
    assert!(down.contains("last-ping-reply s-down-time down-after-milliseconds"), "{down}");
    let info = bench.say("info sentinel");
    let fields: Vec<&str> = info.lines().skip(1).map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        fields[..8].join(" "),
        "sentinel_masters sentinel_tilt sentinel_tilt_since_seconds sentinel_total_tilt sentinel_running_scripts \
         sentinel_scripts_queue_length sentinel_simulate_failure_flags master0"
    );
    assert!(info.contains("master0:name=m,status=sdown,address=10.0.0.1:7001,slaves=1,sentinels=2\r\n"), "{info}");
}

/// The others answer this sentinel.
fn meet_others(bench: &mut Bench) {
    for n in ["2", "3"] {
        let runid = n.repeat(40);
        bench.say(&format!("publish __sentinel__:hello 10.0.0.{n},500{n},{runid},0,m,10.0.0.1,7001,0"));
        let (runid, asked) = (RunId::parse(runid.as_bytes()).unwrap(), Millis(bench.now));
        let answer = crate::failover::encode(&crate::monitor::PeerAnswer::Taken).unwrap();
        bench.step(Event::Told { runid, asked, answer: Ok(answer) });
    }
}

// It said OK for seconds after a first start, when nothing could be promoted.
#[test]
fn ckquorum_says_what_is_missing() {
    let mut bench = Bench::new("");
    let few =
        "-NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this master";
    assert_eq!(bench.say("sentinel ckquorum m"), few);
    meet_others(&mut bench);
    let unfounded = "They have not founded their group yet, which has to authorize a failover";
    assert_eq!(bench.say("sentinel ckquorum m"), format!("-NOQUORUM 3 usable Sentinels. {unfounded}"));

    let mut bench = Bench::grouped();
    meet_others(&mut bench);
    let good = "OK 3 usable Sentinels. Quorum and failover authorization can be reached";
    assert_eq!(bench.say("sentinel ckquorum m"), good);
    bench.step(Event::View { leader: None, voters: [1, 2, 3].into(), learners: [].into() });
    let headless = "Their group has no leader at the moment, to authorize a failover";
    assert_eq!(bench.say("sentinel ckquorum m"), format!("-NOQUORUM 3 usable Sentinels. {headless}"));
    bench.step(Event::View { leader: Some(2), voters: [1, 2, 3].into(), learners: [].into() });
    assert_eq!(bench.say("sentinel ckquorum m"), good);
    bench.step(Event::Agreed { registry: Registry::new(GroupId(5)), events: vec![] });
    let unknown = "Their group does not monitor this master yet";
    assert_eq!(bench.say("sentinel ckquorum m"), format!("-NOQUORUM 3 usable Sentinels. {unknown}"));
}
